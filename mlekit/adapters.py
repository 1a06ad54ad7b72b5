"""Fits as other packages take them: the package marginaleffects."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlekit.counterfactuals import Scene, scene_of
from mlekit.families.categorical import Categorical
from mlekit.links import Array
from mlekit.optimize.base import Status
from mlekit.predict import predicted
from mlekit.sources import as_table

if TYPE_CHECKING:
    from mlekit.results import Results, ResultsWrapper

# Names that marginaleffects keeps for itself.
_RESERVED = {
    *("rowid", "type", "group", "estimate", "std_error", "p_value", "s_value", "conf_low", "conf_high", "term"),
    *("contrast", "statistic"),
}


def for_marginaleffects(fit: "ResultsWrapper", what: Any = "mean", data: Any = None) -> Any:
    """A fit that ``predictions``, ``comparisons``, ``slopes`` and ``hypotheses`` of marginaleffects take.

    That package (0.6 or later) has no registry of models; it takes objects of its own abstract class, and this is one.

    Parameters
    ----------
    fit : ResultsWrapper
        Of a formula and a table. Its covariance is the default; ``vcov="HC3"`` or ``vcov={"cluster": "country"}`` there
        takes another, as :meth:`~mlekit.inference.Inference.with_cov` does.
    what : str or tuple
        What is predicted, as for ``marginal_effects``; of levels their probabilities, a row for each.
    data : table, optional
        Rows to stand for those of the fit, where the fit does not have its data, as after pickling.

    Raises
    ------
    ImportError
        If marginaleffects is not installed.
    ValueError
        If the fit was made of arrays, lacks its data, has an offset that was handed over as an array, or has infinite
        estimates.

    Notes
    -----
    Variables with levels are of polars' type Enum there, the reference level first. Other columns of the data are there
    to group by, or for weights (``wts=``), if they have no missing values.

    That package takes differences, which leave three or four digits of the standard errors of slopes; with
    ``eps_vcov=1e-5`` there are more, and :meth:`~mlekit.predictions.Predictions.marginal_effects` has exact ones. Its
    differences step beyond the data, where ``bs(x)`` is not defined: ``lower_bound=`` and ``upper_bound=`` widen it.
    Its statistics are those of the normal distribution unless the fit was made with ``use_t=True``.

    Examples
    --------
    >>> import mlekit
    >>> from mlekit.datasets import load_africa
    >>> res = mlekit.fit("miltcoup ~ parties", load_africa(), "poisson")
    >>> from marginaleffects import avg_slopes  # doctest: +SKIP
    >>> avg_slopes(mlekit.adapters.for_marginaleffects(res))  # doctest: +SKIP
    """
    results = fit._results
    if results.verdict.status is Status.INFINITE:
        raise ValueError(
            "the fit has infinite estimates, of which marginaleffects cannot take differences: its own "
            "marginal_effects() takes the limits"
        )
    weight = results.model.observations.block.weight
    unweighted = None if data is None or weight is None else 1.0  # it weights by wts= alone
    scene = scene_of(results.model, data, unweighted, None, None)
    if any(offset.code is None for offset in results.model.design.offsets):
        raise ValueError(
            "the fit has an offset or exposure that was handed over as an array, and marginaleffects makes rows of its "
            "own: fit with a column, as exposure='n' or y ~ x + offset(log(n))"
        )
    own = results.model.observations.given.data if data is None else data
    return _adapter()(results, what, scene, own, results.model.endog if data is None else None)


def _frame(scene: Scene, data: Any, response: str, y: Array | None) -> Any:
    """Rows in use as polars has them: the response, the variables of the formulas, and what else is complete."""
    import polars as pl

    everything = as_table(data)
    used = scene.used
    columns: dict[str, Any] = {}
    for name, column in scene.table.columns.items():
        columns[name] = _as_polars(name, column[used], scene.levels(name) if scene.is_discrete(name) else None)
    known = {response: np.full(int(used.sum()), np.nan) if y is None or y.ndim > 1 else y}
    for name, column in everything.columns.items():
        if isinstance(column, pd.Series) and str(name) not in columns and str(name) not in _RESERVED:
            part = column[used]
            if not part.isna().any():
                text = part.dtype.kind not in "iufbmM"
                columns[str(name)] = _as_polars(str(name), part, sorted(set(part), key=str) if text else None)
    return pl.DataFrame({name: values for name, values in known.items() if name not in columns} | columns)


def _as_polars(name: str, column: pd.Series, levels: Any) -> Any:
    import polars as pl

    if levels is not None and not set(map(type, levels)) <= {bool, np.bool_}:
        return pl.Series(name, [str(value) for value in column], dtype=pl.Enum([str(level) for level in levels]))
    return pl.Series(name, column.astype(bool).to_numpy() if levels is not None else column.to_numpy())


def _covariance(results: "Results", vcov: Any) -> Array | None:
    """Covariance: of the fit (True), none (False), or another by its name."""
    if vcov is False or vcov is None:
        return None
    if vcov is True:
        return np.asarray(results.cov_params())
    if isinstance(vcov, str):
        return np.asarray(results.with_cov(vcov).cov_params())
    if isinstance(vcov, dict) and len(vcov) == 1:
        ((name, groups),) = vcov.items()
        return np.asarray(results.with_cov(name, groups=groups).cov_params())
    raise ValueError(f"vcov is True, False, a name such as 'HC3', {{'cluster': column}} or a matrix, not {vcov!r}")


def _matrix(scene: Scene, rows: Any) -> Array:
    """Matrices and offsets of rows side by side; rows that lack a value are NaN."""
    columns = {name: _as_fitted(scene, name, rows[name]) for name in scene.table.columns}
    X, offsets, missing = scene.design.matrices(columns)
    sides = [np.zeros(len(X[0])) if offset is None else offset for offset in offsets]
    full = np.full((len(rows), sum(x.shape[1] for x in X) + len(sides)), np.nan)
    full[slice(None) if missing is None else ~missing] = np.column_stack([*X, *sides])
    return full


def _as_fitted(scene: Scene, name: str, values: Any) -> Any:
    """A column of polars as the formulas know it."""
    if not scene.is_discrete(name):
        return np.asarray(values.to_numpy(), dtype=float)
    levels = {str(level): level for level in scene.levels(name)}
    return pd.Series([None if v is None else levels.get(str(v), v) for v in values], dtype=object)


def _predicted(results: "Results", what: Any, params: Array, matrix: Array) -> dict[str | None, Array]:
    """What is predicted of rows at any coefficients, by level if there are several."""
    design, family = results.model.design, results.model.family
    beta, k = np.asarray(params, dtype=float).reshape(-1), len(design.params)
    sides = zip(design.slices, matrix[:, -k:].T, strict=True)
    eta = tuple(matrix[:, where] @ beta[where] + offset for where, offset in sides)
    name, number = what if isinstance(what, tuple) else (what, None)
    if isinstance(family, Categorical) and name in ("mean", "probabilities"):
        table = predicted(family, eta, "probabilities")
        if number is not None:
            return {None: table[number].to_numpy()}
        return {str(level): table[level].to_numpy() for level in table}
    asked = {} if number is None else {"q" if name == "quantile" else "at": number}
    return {None: np.asarray(predicted(family, eta, name, **asked), dtype=float)}


@functools.cache
def _adapter() -> type:
    """Class of adapters, made when it is first asked for, as it needs the package."""
    try:
        import polars as pl
        from marginaleffects.classes import ModelAbstract, ModelVault
    except ImportError:
        raise ImportError(
            "this needs the package marginaleffects, 0.6 or later: pip install 'mlekit[marginaleffects]'; "
            "res.marginal_effects() has slopes and differences without it"
        ) from None

    class ForMarginaleffects(ModelAbstract):
        """A fit of mlekit under the names that marginaleffects asks for."""

        def __init__(self, results: "Results", what: Any, scene: Scene, data: Any, response: Array | None) -> None:
            self._results, self._what, self._scene = results, what, scene
            design = results.model.design
            vault = ModelVault(
                coef=np.asarray(results.params),
                coefnames=np.array(design.names),
                # A function in the place of a formula: marginaleffects would read a text in a grammar of its own.
                formula=lambda rows: (None, self.get_exog(rows)),
                modeldata=_frame(scene, data, design.response, response),
                package="mlekit",
                variable_names=[design.response, *scene.variables()],
            )
            try:
                super().__init__(results._wrapped(), vault)
            except pl.exceptions.InvalidOperationError as error:
                raise ImportError(
                    f"this marginaleffects does not work with polars {pl.__version__} ({str(error).splitlines()[0]}): "
                    "pip install 'mlekit[marginaleffects]' takes a polars that it works with"
                ) from error

        @property
        def df_resid(self) -> float:
            """Degrees of freedom of Student's t; infinite for the normal distribution."""
            return float(self._results.df_resid_inference) if self._results.use_t else float("inf")

        def get_vcov(self, vcov: Any = True) -> Array | None:
            return _covariance(self._results, vcov)

        def get_exog(self, newdata: Any) -> Array:
            return _matrix(self._scene, newdata)

        def get_predict(self, params: Array, newdata: Array) -> Any:
            parts = []
            for level, values in _predicted(self._results, self._what, params, newdata).items():
                group = {} if level is None else {"group": [level] * len(values)}
                rows = pl.Series(range(len(values)), dtype=pl.Int32)
                parts.append(pl.DataFrame({"rowid": rows, **group, "estimate": values}))
            return pl.concat(parts)

    return ForMarginaleffects
