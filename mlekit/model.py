"""The wiring: a family, a design and observations become a fit. No mathematics here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from patsy import EvalEnvironment
from scipy import linalg
from statsmodels.tools.sm_exceptions import CollinearityWarning

from mlekit.arrays import design_arrays
from mlekit.basis import Basis, basis, centred_basis, has_constant, relation, sampled_basis
from mlekit.checks import PROBED, check_count, check_response, exposure_of, offsets_of, probe
from mlekit.conditioning import REMEDY, Conditioning, conditioning, told_apart
from mlekit.design import Design, Observations
from mlekit.estimable import left_out
from mlekit.families import GenericLikelihood, as_family
from mlekit.families.categorical import Categorical
from mlekit.fitting import fit_model
from mlekit.holding import hold
from mlekit.labels import Labels
from mlekit.levels import (
    check_location,
    constants,
    described,
    described_anew,
    named,
    read_response,
    read_table,
    without_intercept,
)
from mlekit.likelihood import Evaluation, Likelihood, Transformed, Working
from mlekit.links import Array, log
from mlekit.messages import warn
from mlekit.newdata import rows_of
from mlekit.observations import Held, refuse_infinite
from mlekit.optimize import Step
from mlekit.penalties import Penalty
from mlekit.predict import Rows
from mlekit.response_units import in_unit, unit_of
from mlekit.results import ResultsWrapper
from mlekit.untrusted import UntrustedScope, scope_for


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
    trusted : bool
        Whether formulas may use more than :mod:`mlekit.untrusted` lists.
    """

    family: GenericLikelihood
    design: Design
    observations: Observations
    bases: tuple[Basis, ...]
    aliased: Mapping[str, str]
    trusted: bool = True
    #: Whether a model without covariates means anything.
    has_null: ClassVar[bool] = True

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
        fixed: Mapping[str, float] | None = None,
        missing: str = "drop",
        env: int | EvalEnvironment = 0,
        trusted: bool = True,
    ) -> "Model":
        """Make a model from a formula; see :func:`mlekit.fit` for the arguments.

        ``env`` is how many calls up the caller's variables are, or their scope itself.
        """
        scope = scope_for(env, trusted)
        chosen = as_family(family)
        if missing not in ("drop", "raise"):
            raise ValueError(f"missing must be 'drop' or 'raise', not {missing!r}")
        chosen, design, observations = read_table(
            formula, data, chosen, scope, offset=offset, exposure=exposure, weights=weights, missing=missing
        )
        made = cls._made(chosen, design, observations, fixed or {})
        return replace(made, trusted=not isinstance(scope, UntrustedScope))

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
        fixed: Mapping[str, float] | Sequence[Held] | None = None,
    ) -> "Model":
        """Make a model from a response and a matrix, as it is: no intercept is added.

        Parameters
        ----------
        y : (n,) array
        X : (n, p) array or DataFrame, or a dict of them per parameter
            A parameter without a matrix gets an intercept; of unordered levels, one matrix describes each.
        family : name, class or instance
        names : sequence of str, optional
            Names of the columns (default those of a DataFrame, or x1, x2, ...).
        weights, offset, exposure : array, optional
        fixed : dict, optional
            As for :func:`mlekit.fit`.

        Examples
        --------
        >>> import numpy as np
        >>> model = Model.from_arrays([1, 3, 2], np.ones((3, 1)), family="poisson", names=["const"])
        >>> print(model.fit().params.round(4).to_dict())
        {'const': 0.6931}
        """
        chosen, y = read_response(as_family(family), y)
        design, observations = design_arrays(
            y,
            described(chosen, X, names, y),
            tuple(chosen.params),
            names=names,
            weights=weights,
            offsets=offsets_of(offset, chosen),
            exposure=exposure_of(exposure, chosen),
        )
        return cls._made(chosen, design, observations, fixed or {})

    @classmethod
    def _made(
        cls,
        family: GenericLikelihood,
        design: Design,
        observations: Observations,
        fixed: Mapping[str, float] | Sequence[Held],
    ) -> "Model":
        """Check the response and the rank, and leave out what is known or cannot be estimated."""
        check_response(family, design, observations)
        design, observations = hold(
            family, named(family, design), observations, without_intercept(family, fixed, design)
        )
        check_location(family, design, observations)
        probe(family, observations.block.y[:PROBED])
        sampled = tuple(sampled_basis(x) for x in observations.block.X)
        for x, found, names in zip(observations.block.X, sampled, design.columns, strict=True):
            if found is None:  # the others are looked at if a pass over them finds no likelihood
                refuse_infinite(x, names, observations.labels)
        X = observations.block.X
        bases = tuple(b or basis(x) for b, x in zip(sampled, X, strict=True))
        if constants(family, design, X) is not None:
            bases = (centred_basis(X[0]), *bases[1:])
        check_count([x.shape for x in X], [len(found.kept) for found in bases])
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
            relations = left_out(bases, X, design.columns)
            design = replace(design.keep([found.kept for found in bases]), left_out=relations)
        made = cls(family, design, observations, bases, aliased)
        if made.nearly_collinear:
            warn(f"nearly collinear columns: {made.nearly_collinear}. What to do: {REMEDY}", CollinearityWarning)
        return made

    # ------------------------------------------------------------------------------------ what a fit works on

    @cached_property
    def conditioning(self) -> tuple[Conditioning, ...]:
        """How well the columns of each parameter's matrix are told apart."""
        parts = zip(self.observations.block.X, self.bases, self.design.columns, strict=True)
        return tuple(conditioning(x, found, names) for x, found, names in parts)

    @cached_property
    def nearly_collinear(self) -> str:
        """Which columns are nearly combinations of others, in words; empty if none are."""
        if all(told_apart(x, found) for x, found in zip(self.observations.block.X, self.bases, strict=True)):
            return ""
        params = ["", *(f"of {param}, " for param in self.design.params[1:])]
        found = zip(params, self.conditioning, strict=True)
        return "; ".join(f"{param}{each}" for param, each in found if each.relation)

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood in the coefficients that users see."""
        return Likelihood(self.family, self.observations.block, self.design.slices)

    @cached_property
    def unit(self) -> float:
        """The unit in which a fit takes the response; 1 but for responses of extreme size."""
        return unit_of(self.family, self.observations.block.y)

    @cached_property
    def matrix(self) -> Array:
        """Well-conditioned coordinates of all coefficients: ``params = matrix @ gamma``."""
        matrix = linalg.block_diag(*(found.matrix for found in self.bases))
        matrix[self.design.slices[0]] *= self.unit
        origin = self.bases[0].origin if self.bases else None
        if origin is not None:
            design = self.design
            columns = constants(self.family, design, self.observations.block.X) or []
            for where, column in zip(design.slices[1:], columns, strict=True):
                matrix[where.start + column, : origin.size] = origin
        return matrix

    @cached_property
    def working(self) -> Working:
        """The likelihood in well-conditioned coordinates."""
        inner, matrix = self.likelihood, self.matrix
        if self.unit != 1:
            inner = in_unit(inner, self.unit, shifted=True)
            matrix = linalg.block_diag(*(found.matrix for found in self.bases))
        block = inner.block
        if {found.columns is None for found in self.bases if found.kept} == {True}:
            return Transformed(inner, matrix)
        # One that was copied needs it: its own columns would leave few digits of a Hessian.
        columns = tuple(
            x @ found.matrix if found.columns is None else found.columns
            for x, found in zip(block.X, self.bases, strict=True)
        )
        return replace(inner, block=replace(block, X=columns))

    @cached_property
    def k_constant(self) -> int:
        """1 if the first parameter's columns can add up to a constant, as an intercept or dummies of all levels do.

        Of levels, how many of the parameters, which all describe them.
        """
        return sum(has_constant(x) for x in self.observations.block.X[: self.describing])

    @property
    def describing(self) -> int:
        """How many of the parameters, from the first on, describe the response in itself, and not its scatter."""
        return len(self.design.params) if isinstance(self.family, Categorical) else 1

    @property
    def one_scale(self) -> bool:
        """Whether the errors have a scale that is estimated, and is one number: least squares has an unbiased one."""
        if self.family.scale_mle(np.ones(1), np.ones(1), np.ones(1)) is None:
            return False
        x = self.observations.block.X[1]
        return x.shape[1] == 1 and bool((x == x[0]).all())

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # what is cached can be computed again

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
        design = replace(self.design, columns=columns, infos=None, held=())
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
        bounds: Mapping[str, tuple[Any, Any]] | None = None,
        constraints: Any = None,
        penalty: Penalty | None = None,
        bias_reduction: bool = False,
        n_starts: int = 1,
    ) -> ResultsWrapper:
        """Fit by maximum likelihood; see :func:`mlekit.fit` for the arguments."""
        return fit_model(
            self,
            method,
            start=start,
            cov_type=cov_type,
            use_t=use_t,
            maxiter=maxiter,
            tol=tol,
            callback=callback,
            bounds=bounds,
            constraints=constraints,
            penalty=penalty,
            bias_reduction=bias_reduction,
            n_starts=n_starts,
        )

    def rows(self, exog: Any = None, offset: Any = None, exposure: Any = None, new_levels: str = "raise") -> Rows:
        """Rows to predict on; see :func:`mlekit.newdata.rows_of`."""
        return rows_of(
            self.design,
            self.observations,
            described_anew(self.family, self.design, exog),
            offsets_of(offset, self.family),
            exposure,
            new_levels,
        )
