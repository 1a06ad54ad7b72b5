"""`fit`: from a formula and a table to estimates in one call."""

from collections.abc import Callable, Mapping
from typing import Any

from mlekit.existence import Existence, existence
from mlekit.families import GenericLikelihood
from mlekit.model import Model
from mlekit.optimize import Step
from mlekit.penalties import Penalty
from mlekit.results import ResultsWrapper


def fit(
    formula: str | Mapping[str, str],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "normal",
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    fixed: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[Any, Any]] | None = None,
    constraints: Any = None,
    penalty: Penalty | None = None,
    bias_reduction: bool = False,
    n_starts: int = 1,
    method: str = "auto",
    start: Any = None,
    cov_type: str = "nonrobust",
    missing: str = "drop",
    use_t: bool | None = None,
    maxiter: int | None = None,
    tol: float | None = None,
    callback: Callable[[Step], Any] | None = None,
    trusted: bool = True,
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
        ``"normal"``, ``"exponential"``, ``"bernoulli"``, ``"poisson"``, ``"laplace"``, ... or any
        :class:`~mlekit.families.base.GenericLikelihood`; links go with the instance, as in ``Poisson(mu="sqrt")``.
    weights : str or array, optional
        Frequency weights: a row of weight 3 stands for three equal rows. (Precision weights w of a Normal are
        ``offset={"sigma": "-0.5 * log(w)"}``.)
    offset : str, array, or dict per parameter, optional
        A known part of the linear predictor. An expression is remembered and evaluated again at prediction.
    exposure : str or array, optional
        Positive; its log is an offset of a log link.
    fixed : dict, optional
        What is known and not estimated: ``{"parties": 0.02}`` holds a coefficient, ``{"sigma": 1}`` a parameter whose
        formula is an intercept alone, on its own scale.
    bounds : dict, optional
        ``(low, high)`` of coefficients, or of a parameter whose formula is an intercept alone, on its own scale; None
        is no bound. An estimate on its bound is said to be, and has no standard error.
    constraints : str or array, optional
        Linear constraints of the coefficients, ``"x1 = x2, x3 = 2 * x4"``, or ``(matrix, constants)``. Standard errors
        account for them.
    penalty : Penalty, optional
        A log-prior added to the log-likelihood: :class:`mlekit.Ridge`, :class:`mlekit.NormalPrior`, or one of yours.
    bias_reduction : bool
        Solve Firth's (1993) adjusted score equations in place of the likelihood's, which removes the first-order bias
        of the estimates; with canonical links it is a likelihood with Jeffreys' prior. Estimates are finite under
        separation, and there are profile intervals of the penalised likelihood with canonical links.
    method : str
        ``"auto"`` (closed form or linear programme where there is one, else Newton), ``"closed_form"``, ``"newton"``,
        ``"fisher"``, ``"gd"`` or ``"sgd"`` (gradient descent), or any method of :func:`scipy.optimize.minimize` by its
        name (``"bfgs"`` is what R's ``optim`` does).
    start : dict or array, optional
        Values of the coefficients to start from; by default they are found. Where those given lead nowhere, the fit is
        that from the default ones.
    n_starts : int
        How many starts to try where the likelihood may have several maxima, as that of a mixture or of Student's
        location: the estimate is the highest, and a warning says if others were found (``results.attempts``).
    cov_type : str
        ``"nonrobust"`` (observed information; expected, for a density with a kink), ``"eim"`` (expected information, as
        R's ``glm``), ``"opg"``, ``"HC0"`` to ``"HC3"``,
        ``"hac"``; what needs clusters follows the fit, ``fit(...).with_cov("cluster", groups="country")``.
    missing : {"drop", "raise"}
        What to do with rows that have missing values in anything the fit uses.
    use_t : bool, optional
        Student's t with n - p degrees of freedom; for the Normal also the unbiased sigma, as ordinary least squares.
    maxiter : int, optional
        Iteration limit of the method.
    tol : float, optional
        Distance to the maximum, in standard errors, at which the method stops.
    callback : callable, optional
        Takes each line of the trace: (iteration, llf, decrement, step, seconds). Whatever it raises ends the fit.
    trusted : bool
        A formula is Python, and can do what you can. With False, for one that a stranger wrote, it has columns of the
        data, numbers, operators and listed functions, and is refused otherwise before any of it is evaluated; so are
        expressions of offsets, exposures and weights. See :mod:`mlekit.untrusted`.

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
        fixed=fixed,
        missing=missing,
        env=1,
        trusted=trusted,
    )
    return model.fit(
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


def check_existence(
    formula: str | Mapping[str, str],
    data: Any = None,
    family: str | type[GenericLikelihood] | GenericLikelihood = "bernoulli",
    *,
    weights: Any = None,
    offset: Any = None,
    exposure: Any = None,
    fixed: Mapping[str, float] | None = None,
    missing: str = "drop",
    trusted: bool = True,
) -> Existence:
    """Decide, without fitting, whether a model has a maximum-likelihood estimate, or some coefficients are infinite.

    They are where covariates separate outcomes, completely or in part, or where a group of counts has only zeros. It is
    decided by linear programming. :func:`fit` does so by itself where its result looks like it.

    Parameters
    ----------
    formula, data, family, weights, offset, exposure, fixed, missing, trusted
        As for :func:`fit`.

    Returns
    -------
    Existence
        With ``exists``, ``infinite`` (a table of coefficients), ``separated`` (labels of rows) and ``reason``.

    Raises
    ------
    FormulaError, ValueError
        As for :func:`fit`.

    Examples
    --------
    >>> data = {"count": [0, 0, 0, 3, 5, 2], "group": list("aaabbb")}
    >>> found = check_existence("count ~ group", data, "poisson")
    >>> found
    No maximum-likelihood estimate: Intercept = -inf, group[T.b] = inf, because of rows 0, 1, 2
    >>> found.infinite
                 estimate       rows
    Intercept        -inf  [0, 1, 2]
    group[T.b]        inf  [0, 1, 2]
    """
    model = Model.from_formula(
        formula,
        data,
        family,
        weights=weights,
        offset=offset,
        exposure=exposure,
        fixed=fixed,
        missing=missing,
        trusted=trusted,
        env=1,
    )
    return existence(model)
