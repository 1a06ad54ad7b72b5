"""The wiring: a family, a design and observations become a fit. No mathematics here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from patsy import EvalEnvironment
from scipy import linalg
from statsmodels.tools.sm_exceptions import CollinearityWarning, ConvergenceWarning

from mlekit.basis import SAMPLE_ROWS, Basis, basis, has_constant, relation, sample_rows
from mlekit.covariance import COVARIANCES, cov_name
from mlekit.design import Design, Observations, aligned, checked, design_table, sum_offsets
from mlekit.families import GenericLikelihood, Normal, as_family
from mlekit.labels import Labels
from mlekit.likelihood import Evaluation, Likelihood, Transformed, Working
from mlekit.links import Array, log
from mlekit.messages import warn
from mlekit.optimize import Optimum, Step, maximize, method_name
from mlekit.optimize.base import StartError
from mlekit.optimize.closed_form import closed_form
from mlekit.optimize.newton import newton
from mlekit.optimize.start import given_start, starting_point
from mlekit.optimize.verdict import Verdict, judge
from mlekit.predict import Rows
from mlekit.results import Results, ResultsWrapper
from mlekit.sources import Block


# The estimate from a sample is some standard errors away from the one from all rows: closer to it is no gain.
_SAMPLE_TOLERANCE = 1e-2


@dataclass(frozen=True, eq=False)
class Model:
    """A family of distributions, a design and the rows that it reads: everything that is known before a fit.

    Made by :meth:`from_formula` or :meth:`from_arrays`.

    Attributes
    ----------
    family : GenericLikelihood
    design : Design
        Names and slices of the coefficients that are estimated.
    observations : Observations
        The rows, with the columns that are estimated.
    bases : tuple of Basis
        Well-conditioned coordinates of each parameter's matrix.
    aliased : dict
        Columns left out because they are combinations of others, with the relation in words.
    """

    family: GenericLikelihood
    design: Design
    observations: Observations
    bases: tuple[Basis, ...]
    aliased: Mapping[str, str]

    # ------------------------------------------------------------------------------------ making one

    @classmethod
    def from_formula(
        cls,
        formula: str | Mapping[str, str],
        data: Any = None,
        family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
        *,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
        missing: str = "drop",
        env: int | EvalEnvironment = 0,
    ) -> "Model":
        """Make a model from a formula; see :func:`mlekit.fit` for the arguments.

        ``env`` is how many calls up the caller's variables are, or their scope itself.
        """
        scope = EvalEnvironment.capture(env, reference=1)
        chosen = as_family(family)
        if missing not in ("drop", "raise"):
            raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}")
        design, observations = design_table(
            formula,
            data,
            tuple(chosen.params),
            scope,
            offsets=_offsets(offset, chosen),
            exposure=_exposure(exposure, chosen),
            weights=weights,
            missing=missing,
        )
        return cls._made(chosen, design, observations)

    @classmethod
    def from_arrays(
        cls,
        y: Any,
        X: Any,
        family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
        *,
        names: Sequence[str] | None = None,
        weights: Any = None,
        offset: Any = None,
        exposure: Any = None,
    ) -> "Model":
        """Make a model from a response and a matrix, as it is: no intercept is added.

        Parameters
        ----------
        y : (n,) array
        X : (n, p) array or DataFrame, or a dict of them per parameter
            A parameter without a matrix gets an intercept.
        family : name, class or instance
        names : sequence of str, optional
            Names of the columns (default those of a DataFrame, or x1, x2, ...).
        weights, offset, exposure : array, optional
            As for :func:`mlekit.fit`.

        Examples
        --------
        >>> import numpy as np
        >>> model = Model.from_arrays([1, 3, 2], np.ones((3, 1)), family="poisson", names=["const"])
        >>> print(model.fit().params.round(4).to_dict())
        {'const': 0.6931}
        """
        chosen = as_family(family)
        response = np.ascontiguousarray(y, dtype=float)
        if response.ndim != 1:
            raise ValueError(f"y must have one dimension, not {response.ndim}")
        labels = pd.RangeIndex(response.size)
        given = X if isinstance(X, Mapping) else {next(iter(chosen.params)): X}
        matrices, columns = [], []
        for i, param in enumerate(chosen.params):
            matrix, heads = _matrix(given.get(param), response.size, names if i == 0 else None)
            matrices.append(matrix)
            columns.append(heads)
        design = Design({}, tuple(chosen.params), getattr(y, "name", None) or "y", tuple(columns))
        design, offsets = _array_offsets(design, chosen, offset, exposure, labels)
        weight = None if weights is None else aligned(weights, labels, "weights")
        block = Block(response, tuple(matrices), offsets, weight)
        return cls._made(chosen, design, checked(block, design, labels, response.size))

    @classmethod
    def _made(cls, family: GenericLikelihood, design: Design, observations: Observations) -> "Model":
        """Check the response and the rank, and leave out what cannot be estimated."""
        _check_response(family, design, observations)
        count, rows = len(design.names), observations.block.y.size
        if count > rows:
            raise ValueError(
                f"more coefficients ({count}) than rows ({rows}): leave terms out of the formula, or collect more data"
            )
        _probe(family, observations.block.y[:3])
        bases = tuple(basis(x) for x in observations.block.X)
        aliased: dict[str, str] = {}
        for found, names in zip(bases, design.columns, strict=True):
            kept = [names[j] for j in found.kept]
            aliased |= {names[j]: relation(names[j], c, kept) for j, c in found.dropped.items()}
        if aliased:
            warn("exactly collinear columns were left out: " + "; ".join(aliased.values()), CollinearityWarning)
            block = observations.block
            kept_columns = tuple(
                np.ascontiguousarray(x[:, list(found.kept)]) for x, found in zip(block.X, bases, strict=True)
            )
            observations = replace(observations, block=replace(block, X=kept_columns))
            design = design.keep([found.kept for found in bases])
        return cls(family, design, observations, bases, aliased)

    # ------------------------------------------------------------------------------------ what a fit works on

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood in the coefficients that users see."""
        return Likelihood(self.family, self.observations.block, self.design.slices)

    @cached_property
    def matrix(self) -> Array:
        """Well-conditioned coordinates of all coefficients: ``params = matrix @ gamma``."""
        return linalg.block_diag(*(found.matrix for found in self.bases))

    @cached_property
    def working(self) -> Working:
        """The likelihood in well-conditioned coordinates."""
        columns = tuple(found.columns for found in self.bases)
        if any(z is None for z in columns):
            return Transformed(self.likelihood, self.matrix)
        block = replace(self.observations.block, X=columns)
        return Likelihood(self.family, block, self.design.slices)

    @cached_property
    def k_constant(self) -> int:
        """1 if the first parameter's columns can add up to a constant, as an intercept or dummies of all levels do."""
        return int(has_constant(self.observations.block.X[0]))

    @cached_property
    def row_weight(self) -> Array | None:
        """How much each row counts in a sum of squares: its weight, times its precision where a scale has an offset."""
        block = self.observations.block
        if len(block.offset) < 2 or block.offset[1] is None or list(self.family.links.values())[1] != log:
            return block.weight
        precision = np.exp(-2 * block.offset[1])
        return precision if block.weight is None else precision * block.weight

    @cached_property
    def null(self) -> "Model":
        """The model with an intercept for each parameter that has one, and the offsets."""
        matrices = tuple(np.ones((len(x), int(has_constant(x)))) for x in self.observations.block.X)
        columns = tuple(("Intercept",) * x.shape[1] for x in matrices)
        observations = replace(self.observations, block=replace(self.observations.block, X=matrices))
        design = replace(self.design, columns=columns, infos=None)
        return Model(self.family, design, observations, tuple(basis(x) for x in matrices), {})

    # ------------------------------------------------------------------------------------ statsmodels' vocabulary

    @property
    def endog(self) -> Array:
        """The response."""
        return self.observations.block.y

    @property
    def exog(self) -> Array:
        """The matrix of the first parameter."""
        return self.observations.block.X[0]

    @property
    def endog_names(self) -> str:
        """Name of the response."""
        return self.design.response

    @property
    def exog_names(self) -> list[str]:
        """Names of all coefficients."""
        return list(self.design.names)

    @cached_property
    def data(self) -> Labels:
        """Names for arrays."""
        return Labels(self.design.names, self.design.response, self.observations.labels)

    def loglike(self, params: Array) -> float:
        """Log-likelihood at any coefficients."""
        return self.likelihood.evaluate(np.asarray(params), 0).value * self.likelihood.nobs

    def score(self, params: Array) -> Array:
        """Gradient of the log-likelihood."""
        return self._finite(params, 1).gradient * self.likelihood.nobs

    def hessian(self, params: Array) -> Array:
        """Hessian of the log-likelihood."""
        return self._finite(params, 2).hessian * self.likelihood.nobs

    def score_obs(self, params: Array) -> Array:
        """Gradient of each row's log-density."""
        return self.likelihood.score_rows(np.asarray(params))

    def _finite(self, params: Array, order: int) -> Evaluation:
        found = self.likelihood.evaluate(np.asarray(params), order)
        if found.gradient is None:
            raise ValueError("the log-likelihood is not finite at these coefficients, so it has no derivatives there")
        return found

    # ------------------------------------------------------------------------------------ fitting

    def fit(
        self,
        method: str = "auto",
        *,
        start: Any = None,
        cov_type: str = "nonrobust",
        use_t: bool | None = None,
        maxiter: int | None = None,
        tol: float | None = None,
        callback: Callable[[Step], Any] | None = None,
    ) -> ResultsWrapper:
        """Fit by maximum likelihood; see :func:`mlekit.fit` for the arguments."""
        method, cov_type = method_name(method), cov_name(cov_type)
        options = {"maxiter": _positive(maxiter, "maxiter"), "tol": _positive(tol, "tol"), "callback": callback}
        optimum, reference, used = self._maximum(method, start, options)
        verdict = judge(self.working, optimum, reference)
        cov = np.full((self.working.size,) * 2, np.nan)
        if verdict.evaluation.hessian is not None:
            cov = COVARIANCES[cov_type](self.working, optimum.gamma, verdict.evaluation)
        # In units of the coordinates: a variance overflows long before its standard error does.
        units = np.abs(self.matrix).max(axis=1, initial=0.0)
        scaled = self.matrix / units[:, None]
        cov = scaled @ cov @ scaled.T
        if use_t and cov_type in ("nonrobust", "eim"):
            cov = self._unbiased(cov)
        results = Results(
            self,
            self.matrix @ optimum.gamma,
            cov,
            units,
            verdict,
            optimum,
            method=used,
            cov_type=cov_type,
            use_t=bool(use_t),
        )
        if not verdict.status.ok:
            warn(results.reason, ConvergenceWarning)
        return ResultsWrapper(results)

    def _maximum(self, method: str, start: Any, options: dict[str, Any]) -> tuple[Optimum, Array | None, str]:
        """Where the likelihood is largest, the Hessian at the start, and the method that found it."""
        working = self.working
        if working.size == 0:
            return Optimum(np.zeros(0), "no coefficients", 0, 0), None, "closed_form"
        if start is None and method in ("auto", "closed_form"):
            optimum = closed_form(working, self.likelihood, self.matrix)
            if optimum is not None:
                return optimum, None, "closed_form"
        if method == "closed_form":
            raise ValueError(
                f"no closed form for {self.family!r} with this design: there is one for a Normal mean with identity "
                "link, and for an intercept alone or groups alone. Use method='newton'"
            )
        method = "newton" if method == "auto" else method
        if start is not None:
            gamma = given_start(working, self._named(start), self.matrix)
        elif self.endog.size > 2 * SAMPLE_ROWS:
            try:
                gamma, reference, hessian = self._sampled_start()
                extra = {"hessian": hessian} if method == "newton" else {}
                return maximize(working, gamma, method, **options, **extra), reference, method
            except StartError:  # what suits the sample leaves a domain elsewhere
                gamma = starting_point(working)
        else:
            gamma = starting_point(working)
        return maximize(working, gamma, method, **options), working.evaluate(gamma, 2).hessian, method

    def _sampled_start(self) -> tuple[Array, Array, Array]:
        """Estimate from a sample of the rows, with the Hessians where it started and where it ended."""
        part = self.working.part(sample_rows(self.endog.size))
        gamma = starting_point(part)
        found = newton(part, gamma, tol=_SAMPLE_TOLERANCE)
        return found.gamma, part.evaluate(gamma, 2).hessian, part.evaluate(found.gamma, 2).hessian

    def _named(self, start: Any) -> Array:
        """Start values in the order of the coefficients."""
        names = self.design.names
        if isinstance(start, Mapping | pd.Series):
            given = dict(start.items())
            if set(given) != set(names):
                raise ValueError(f"start has {', '.join(map(str, given))}: it needs {', '.join(names)}")
            start = [given[name] for name in names]
        values = np.asarray(start, dtype=float)
        if values.shape != (len(names),) or not np.isfinite(values).all():
            raise ValueError(f"start must be {len(names)} finite numbers, for {', '.join(names)}")
        return values

    def _unbiased(self, cov: Array) -> Array:
        """The covariance that ordinary least squares reports: sigma squared over n - p, where there is such a sigma."""
        first = self.design.slices[0]
        freedom = self.likelihood.nobs - (first.stop - first.start)
        if not isinstance(self.family, Normal) or freedom <= 0:
            return cov
        cov = cov.copy()
        cov[first, first] *= self.likelihood.nobs / freedom
        return cov

    # ------------------------------------------------------------------------------------ new rows

    def rows(self, exog: Any = None, offset: Any = None, exposure: Any = None) -> Rows:
        """Rows to predict on: those of the fit, or new ones.

        Raises
        ------
        ValueError
            If columns do not fit, or an offset that the fit was given as an array is missing.
        """
        block, design = self.observations.block, self.design
        if exog is None:
            if offset is not None or exposure is not None:
                raise ValueError("offset and exposure go with new rows: the rows of the fit have theirs")
            return Rows(block.X, block.offset, self.observations.labels)
        if design.infos is None:
            matrix, _ = _matrix(exog, None, design.columns[0])
            X = (matrix, *(np.ones((len(matrix), x.shape[1])) for x in block.X[1:]))
            offsets, missing, labels = (None,) * len(X), None, getattr(exog, "index", pd.RangeIndex(len(matrix)))
        else:
            X, offsets, missing = design.matrices(exog)
            rows = len(X[0]) if missing is None else missing.size
            labels = getattr(exog, "index", None)
            labels = labels if isinstance(labels, pd.Index) else pd.RangeIndex(rows)
        given = self._given_offsets(offset, exposure, len(X[0]), labels, missing)
        total = tuple(b if a is None else a if b is None else a + b for a, b in zip(offsets, given, strict=True))
        return Rows(X, total, labels, missing)

    def _given_offsets(
        self, offset: Any, exposure: Any, rows: int, labels: pd.Index, missing: Array | None
    ) -> tuple[Array | None, ...]:
        """Offsets handed over with new rows, which must be those that the fit was handed."""
        needed = [o for o in self.design.offsets if o.code is None]
        given = {**_offsets(offset, self.family)}
        for o in needed:
            has = exposure if o.exposure else given.get(o.param)
            if has is None:
                what = "exposure" if o.exposure else f"offset of {o.param}"
                raise ValueError(
                    f"the fit was given an {what} as an array: predict needs one for the new rows "
                    f"({'exposure' if o.exposure else 'offset'}=...)"
                )
        if not needed and (given or exposure is not None):
            raise ValueError("the fit was given no offset or exposure as an array, so predict takes none")
        raw = [aligned(exposure if o.exposure else given[o.param], labels, "the offset") for o in needed]
        if missing is not None:
            raw, labels = [values[~missing] for values in raw], labels[~missing]
        return sum_offsets(needed, raw, self.design.params, labels)


def _positive(value: Any, name: str) -> Any:
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be positive, not {value!r}")
    return value


def _offsets(offset: Any, family: GenericLikelihood) -> dict[str, Any]:
    """One entry per parameter: a plain offset belongs to the first."""
    if offset is None:
        return {}
    if isinstance(offset, Mapping):
        unknown = set(offset) - set(family.params)
        if unknown:
            raise ValueError(
                f"offset for {', '.join(map(str, unknown))}: the family's parameters are {', '.join(family.params)}"
            )
        return dict(offset)
    return {next(iter(family.params)): offset}


def _exposure(exposure: Any, family: GenericLikelihood) -> Any:
    """Refuse an exposure where the first parameter's link does not turn it into a factor of the mean."""
    name, link = next(iter(family.links.items()))
    if exposure is not None and link != log:
        raise ValueError(
            f"an exposure needs the log link, and {name} has {link.name}: "
            "with another link, give offset= on the scale of the linear predictor"
        )
    return exposure


def _array_offsets(
    design: Design, family: GenericLikelihood, offset: Any, exposure: Any, labels: pd.Index
) -> tuple[Design, tuple[Array | None, ...]]:
    from mlekit.design import Offset

    entries = [(Offset(param, None), values) for param, values in _offsets(offset, family).items()]
    if _exposure(exposure, family) is not None:
        entries.append((Offset(design.params[0], None, True), exposure))
    for _, values in entries:
        if isinstance(values, str):
            raise TypeError("a model made of arrays takes offset and exposure as arrays, not as expressions")
    raw = [aligned(values, labels, "the offset") for _, values in entries]
    described = [offset for offset, _ in entries]
    return replace(design, offsets=tuple(described)), sum_offsets(described, raw, design.params, labels)


def _matrix(X: Any, rows: int | None, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """A matrix with names for its columns; an intercept where there is none."""
    if X is None:
        return np.ones((rows or 0, 1)), ("Intercept",)
    heads = tuple(map(str, X.columns)) if isinstance(X, pd.DataFrame) else None
    matrix = np.ascontiguousarray(X, dtype=float)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or (rows is not None and matrix.shape[0] != rows):
        raise ValueError(f"the matrix has shape {matrix.shape}: it needs two dimensions and {rows} rows")
    chosen = tuple(names) if names is not None else heads or tuple(f"x{j + 1}" for j in range(matrix.shape[1]))
    if len(chosen) != matrix.shape[1] or len(set(chosen)) != len(chosen):
        raise ValueError(f"{matrix.shape[1]} columns need as many different names, not {', '.join(chosen)}")
    return matrix, chosen


def _probe(family: GenericLikelihood, y: Array) -> None:
    """Find out on three rows, before any fit, whether the density can be differentiated."""
    with np.errstate(all="ignore"):
        family.linear_rows(y, *(np.zeros_like(y) for _ in family.params))


def _check_response(family: GenericLikelihood, design: Design, observations: Observations) -> None:
    """Refuse a response that the family cannot have produced, naming the row and the value."""
    y, labels = observations.block.y, observations.labels
    bad = ~family.in_support(y)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        more = f" and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
        raise ValueError(
            f"{design.response} is {y[first]:g} in row {labels[first]!r}{more}: "
            f"for {type(family).__name__} each response must be {family.support_text}"
        )
    if design.success is not None and type(family).__name__ != "Bernoulli" and design.success != "True":
        raise ValueError(
            f"the response {design.response} is text or categorical ({design.failure!r}, {design.success!r}): "
            f"{type(family).__name__} needs numbers; family='bernoulli' takes two levels"
        )


def fit(
    formula: str | Mapping[str, str],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    method: str = "auto",
    start: Any = None,
    cov_type: str = "nonrobust",
    missing: str = "drop",
    use_t: bool | None = None,
    maxiter: int | None = None,
    tol: float | None = None,
    callback: Callable[[Step], Any] | None = None,
) -> ResultsWrapper:
    """Fit a distribution to a response by maximum likelihood.

    Parameters
    ----------
    formula : str or dict
        As in R and patsy: ``"y ~ x + C(group)"``, with ``offset(log(n))`` if there is one. It describes the family's
        first parameter; a dict has one formula per parameter.
    data : pandas or polars DataFrame, pyarrow Table, dict of arrays, or None
        What it lacks is looked up in the caller's scope.
    family : str, class or instance
        ``"normal"``, ``"exponential"``, ``"bernoulli"``, ``"poisson"``, or any
        :class:`~mlekit.families.base.GenericLikelihood`; links go with the instance, as in ``Poisson(mu="sqrt")``.
    weights : str or array, optional
        Frequency weights: a row of weight 3 stands for three equal rows. (Precision weights w of a Normal are
        ``offset={"sigma": "-0.5 * log(w)"}``.)
    offset : str, array, or dict per parameter, optional
        A known part of the linear predictor. An expression is remembered and evaluated again at prediction.
    exposure : str or array, optional
        Positive; its log is an offset of a log link.
    method : str
        ``"auto"`` (closed form where there is one, else Newton), ``"closed_form"``, ``"newton"``, ``"fisher"``, or any
        method of :func:`scipy.optimize.minimize` by its name (``"bfgs"`` is what R's ``optim`` does).
    start : dict or array, optional
        Values of the coefficients to start from; by default they are found.
    cov_type : str
        ``"nonrobust"`` (observed information), ``"eim"`` (expected information, as R's ``glm``), ``"opg"``, ``"HC0"``.
    missing : {"drop", "raise"}
        What to do with rows that have missing values in anything the fit uses.
    use_t : bool, optional
        Student's t with n - p degrees of freedom; for the Normal also the unbiased sigma, as ordinary least squares.
    maxiter : int, optional
        Iteration limit of the method.
    tol : float, optional
        Distance to the maximum, in standard errors, at which the method stops.
    callback : callable, optional
        Takes each line of the trace: (iteration, llf, decrement, step, seconds).

    Returns
    -------
    ResultsWrapper
        Estimates and inference; see :class:`mlekit.results.Results`.

    Raises
    ------
    FormulaError
        If the formula cannot be read or does not fit the data.
    ValueError
        If the response is outside the family's support, a name is unknown, or nothing can be estimated.

    Warns
    -----
    statsmodels.tools.sm_exceptions.ConvergenceWarning
        If the estimate is not the maximum.
    statsmodels.tools.sm_exceptions.CollinearityWarning
        If columns are exact combinations of others.

    Examples
    --------
    >>> from mlekit.datasets import load_africa
    >>> res = fit("miltcoup ~ parties", load_africa(), family="poisson")
    >>> res.params.round(6).to_dict()
    {'Intercept': 0.027402, 'parties': 0.022855}
    >>> res.bse.round(6).to_dict()
    {'Intercept': 0.230078, 'parties': 0.008936}
    """
    model = Model.from_formula(
        formula,
        data,
        family,
        weights=weights,
        offset=offset,
        exposure=exposure,
        missing=missing,
        env=1,
    )
    return model.fit(
        method, start=start, cov_type=cov_type, use_t=use_t, maxiter=maxiter, tol=tol, callback=callback
    )
