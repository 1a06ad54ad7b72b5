"""Estimates on a boundary: edges of domains, zeros, certain outcomes, perfect fits, and one row.

What is right is a closed form, or the maximum that mpmath finds on the edge.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from mlekit import Hurdle, Model, Status, ZeroInflated
from mlekit.families import FAMILIES, GenericLikelihood

Array = np.ndarray

SIX = np.arange(6.0)
LINE = np.column_stack([np.ones(6), SIX])
GROUPS = np.column_stack([np.ones(6), SIX > 2]).astype(float)
ONE = np.ones((6, 1))
COVARIANCES = ("nonrobust", "eim", "opg", "HC0", "HC1", "HC2", "HC3", "hac")


def family(name: str, **links: Any) -> GenericLikelihood:
    constants = {"q": 0.3} if name == "asymmetric_laplace" else {}
    return FAMILIES[name](**constants, **links)


def fitted(y: Any, X: Any, of: Any, method: str = "auto", **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return Model.from_arrays(np.asarray(y, dtype=float), X, of, **how).fit(method)


def says_all(res: Any) -> None:
    """Whatever the end, everything can be asked, and nothing is called converged that is not finite."""
    assert res.status.value.split(":")[0] in str(res.summary()) or "NO: see below" in str(res.summary())
    np.asarray(res.predict())
    assert len(res.diagnosis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for kind in COVARIANCES:
            try:
                other = res.with_cov(kind)
            except ValueError as error:
                assert len(str(error)) > 40  # noqa: PT017 - a reason, in a sentence
                continue
            assert str(other.summary())
            if other.status in (Status.CONVERGED, Status.CLOSED_FORM):
                assert np.isfinite(other.params).all()
                assert np.isfinite(other.bse).all()
                assert (other.bse > 0).all()


# ------------------------------------------------------------------------------------ the edge of a domain


def _poisson(y: list[int], mean: Any) -> Any:
    return mpmath.fsum(
        -mean(x) + (k * mpmath.log(mean(x)) - mpmath.loggamma(k + 1) if k else 0) for x, k in enumerate(y)
    )


def _outcomes(y: list[int], share: Any) -> Any:
    return mpmath.fsum(mpmath.log(share(x) if k else 1 - share(x)) for x, k in enumerate(y))


class Edge(NamedTuple):
    """A fit whose maximum is on an edge: the right coefficients, the log-likelihood, and the rows there."""

    of: GenericLikelihood
    y: Any
    X: Array
    params: tuple[Any, ...]
    llf: Any
    rows: str


def _edges() -> dict[str, Edge]:
    poisson, bernoulli, geometric = FAMILIES["poisson"], FAMILIES["bernoulli"], FAMILIES["geometric"]
    zeros, ones, mixed, parted = [0] * 6, [1] * 6, [0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    rising = [0, 0, 0, 1, 2, 6]
    third = 1 / mpmath.mpf(3)
    with mpmath.workdps(30):
        # Along the edge log p(5) = 0 one slope is left: its score is zero where mpmath finds it.
        slopes = []
        for y in (mixed, parted):

            def along(b: Any, y: Any = y) -> Any:
                return _outcomes(y[:-1], lambda x: mpmath.exp(b * (x - 5)))

            slopes.append(mpmath.findroot(lambda b, along=along: mpmath.diff(along, b), 0.38))
        on_edge = [
            _outcomes(y[:-1], lambda x, b=b: mpmath.exp(b * (x - 5)))
            for y, b in zip((mixed, parted), slopes, strict=True)
        ]
        root = mpmath.sqrt(mpmath.mpf(9) / 55)
    return {
        "counts of zero": Edge(poisson(mu="identity"), zeros, ONE, (0,), 0, "6 rows"),
        "a group of zeros": Edge(
            poisson(mu="identity"), [0, 0, 0, 1, 2, 3], GROUPS, (0, 2), _poisson([1, 2, 3], lambda x: 2), "3 rows"
        ),
        "a line through zero": Edge(
            poisson(mu="identity"),
            rising,
            LINE,
            (0, 0.6),
            _poisson(rising, lambda x: 3 * mpmath.mpf(x) / 5),
            "1 row, 0",
        ),
        "a root through zero": Edge(
            poisson(mu="sqrt"), rising, LINE, (0, root), _poisson(rising, lambda x: (root * x) ** 2), "1 row, 0"
        ),
        "log, certain at the end": Edge(
            bernoulli(p="log"), mixed, LINE, (-5 * slopes[0], slopes[0]), on_edge[0], "1 row, 5"
        ),
        "log, parted": Edge(bernoulli(p="log"), parted, LINE, (-5 * slopes[1], slopes[1]), on_edge[1], "1 row, 5"),
        "log, all certain": Edge(bernoulli(p="log"), ones, ONE, (0,), 0, "6 rows"),
        "identity, none": Edge(bernoulli(p="identity"), zeros, ONE, (0,), 0, "6 rows"),
        "identity, all": Edge(bernoulli(p="identity"), ones, ONE, (1,), 0, "6 rows"),
        "identity, two edges": Edge(
            bernoulli(p="identity"), mixed, LINE, (0, 0.2), 2 * mpmath.log(mpmath.mpf(8) / 25), "2 rows, 0, 5"
        ),
        "identity, a group": Edge(
            bernoulli(p="identity"),
            [0, 0, 0, 1, 0, 0],
            GROUPS,
            (0, third),
            _outcomes([1, 0, 0], lambda x: third),
            "3 rows",
        ),
        "no failures, log": Edge(geometric(p="log"), zeros, ONE, (0,), 0, "6 rows"),
        "no failures, identity": Edge(geometric(p="identity"), zeros, ONE, (1,), 0, "6 rows"),
    }


EDGES = _edges()


@pytest.mark.parametrize("name", EDGES)
def test_the_maximum_on_an_edge_is_found_and_flagged(name: str) -> None:
    case = EDGES[name]
    with pytest.warns(ConvergenceWarning, match="limit of its domain"):
        res = Model.from_arrays(np.array(case.y, dtype=float), case.X, case.of).fit()
    assert res.status is Status.BOUNDARY
    assert case.rows in res.reason
    # The mean log-likelihood is within 1e-12 of its supremum; at a maximum that is smooth along the edge
    # coefficients are known to the root of what rounding leaves of it, and along an edge to all digits.
    np.testing.assert_allclose(res.params, [float(p) for p in case.params], rtol=1e-9, atol=2e-12)
    assert res.llf == pytest.approx(float(case.llf), rel=1e-11, abs=2e-11)
    assert np.isnan(res.bse).all()
    assert "withheld" in str(res.summary())
    assert not res.diagnosis.passed["domain"]
    says_all(res)


@pytest.mark.parametrize("method", ["newton", "fisher", "bfgs", "l-bfgs-b", "nelder-mead", "gd"])
@pytest.mark.parametrize("name", ["counts of zero", "a line through zero", "log, parted", "identity, all"])
def test_no_method_calls_a_point_before_an_edge_the_maximum(name: str, method: str) -> None:
    case = EDGES[name]
    res = fitted(case.y, case.X, case.of, method)
    assert not res.converged
    assert res.llf <= float(case.llf) + 1e-9


def test_a_maximum_inside_the_domain_is_left_alone() -> None:
    res = fitted([1, 2, 2, 4, 4, 7], LINE, FAMILIES["poisson"](mu="identity"))
    assert res.status is Status.CONVERGED
    with mpmath.workdps(30):
        y = [1, 2, 2, 4, 4, 7]
        root = mpmath.findroot(
            [
                lambda a, b: mpmath.fsum(k / (a + b * x) - 1 for x, k in enumerate(y)),
                lambda a, b: mpmath.fsum(x * (k / (a + b * x) - 1) for x, k in enumerate(y)),
            ],
            (0.8, 1.0),
        )
    np.testing.assert_allclose(res.params, [float(r) for r in root], rtol=1e-9)


# ------------------------------------------------------------------------------------ zeros, and certain outcomes


@pytest.mark.parametrize(
    ("of", "value", "sign"),
    [
        *[(family("poisson", mu=link), 0, -1) for link in ("log", "softplus")],
        *[(family("geometric", p=link), 0, 1) for link in ("logit", "probit", "cloglog", "cauchit")],
        *[
            (family("bernoulli", p=link), v, 2 * v - 1)
            for link in ("logit", "probit", "cloglog", "cauchit")
            for v in (0, 1)
        ],
        (family("negative_binomial"), 0, -1),
        (family("negative_binomial_1"), 0, -1),
    ],
    ids=str,
)
def test_links_without_an_edge_go_to_infinity_at_the_limit(of: GenericLikelihood, value: int, sign: int) -> None:
    res = fitted(np.full(6, value), ONE, of)
    assert res.status is Status.INFINITE
    assert res.params.iloc[0] == sign * np.inf
    assert res.llf == 0
    assert (np.asarray(res.predict()) == value).all()
    says_all(res)


@pytest.mark.parametrize("successes", [0, 5])
def test_trials_that_are_all_alike(successes: int) -> None:
    res = fitted(np.column_stack([np.full(6, successes), np.full(6, 5 - successes)]), ONE, "binomial")
    assert res.status is Status.INFINITE
    assert res.llf == 0
    says_all(res)


@pytest.mark.parametrize("of", [ZeroInflated("poisson"), Hurdle("poisson")], ids=str)
def test_zeros_alone_tell_nothing_of_what_is_above_them(of: GenericLikelihood) -> None:
    res = fitted(np.zeros(6), ONE, of)
    assert not res.converged
    assert res.llf == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("likely", [False, True])
@pytest.mark.parametrize("link", FAMILIES["bernoulli"].links_for["p"])
def test_one_in_a_thousand_million(link: str, likely: bool) -> None:
    n = 10**9
    weights = [1.0, n - 1.0] if likely else [n - 1.0, 1.0]
    res = fitted([0, 1], np.ones((2, 1)), family("bernoulli", p=link), weights=weights)
    assert res.status is Status.CLOSED_FORM
    with mpmath.workdps(40):
        p = mpmath.mpf(n - 1 if likely else 1) / n
        forward = {
            "logit": (mpmath.log(p / (1 - p)), p * (1 - p)),
            "probit": (x := mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1), mpmath.npdf(x)),
            "cloglog": (mpmath.log(-mpmath.log(1 - p)), -(1 - p) * mpmath.log(1 - p)),
            "cauchit": (t := mpmath.tan(mpmath.pi * (p - mpmath.mpf(1) / 2)), 1 / mpmath.pi / (1 + t**2)),
            "log": (mpmath.log(p), p),
            "identity": (p, mpmath.mpf(1)),
        }
        eta, slope = forward[link]
        error = mpmath.sqrt(p * (1 - p) / n) / slope
    # Near 1 a double knows 1 - p to seven digits of 1e-9.
    digits = 1e-7 if likely else 1e-12
    assert res.params.iloc[0] == pytest.approx(float(eta), rel=digits)
    assert res.bse.iloc[0] == pytest.approx(float(error), rel=1e-6 if likely else 1e-9)


# ------------------------------------------------------------------------------------ perfect fits

SCALED = {
    "normal": "sigma",
    "logistic": "s",
    "gumbel": "beta",
    "huber_normal": "sigma",
    "laplace": "b",
    "lognormal": "sigma",
}


@pytest.mark.parametrize("line", [False, True])
@pytest.mark.parametrize("name", [*SCALED, "asymmetric_laplace", "student_t", "weibull", "gamma", "inverse_gaussian"])
def test_a_perfect_fit_has_no_maximum_and_no_errors(name: str, line: bool) -> None:
    of = family(name)
    straight = of.links[next(iter(of.params))].name == "identity" and name != "lognormal"
    y = (1 + 2 * SIX if straight else 2.0 ** (1 + SIX)) if line else np.full(6, 4.0)
    res = fitted(y, LINE if line else ONE, of)
    assert res.status is Status.UNBOUNDED
    right = ([1, 2] if straight else [math.log(2)] * 2) if line else [4 if straight else math.log(4)]
    np.testing.assert_allclose(res.params[: len(right)], right, rtol=1e-7)
    assert np.isnan(res.bse).all()
    says_all(res)


@pytest.mark.parametrize("link", ["log", "identity", "sqrt", "inverse", "softplus"])
@pytest.mark.parametrize("name", SCALED)
def test_a_group_without_scatter_has_a_scale_of_zero(name: str, link: str) -> None:
    of = family(name, **{SCALED[name]: link})
    res = fitted([3, 3, 3, 1, 2, 4], {next(iter(of.params)): GROUPS, SCALED[name]: GROUPS}, of)
    assert res.status is Status.UNBOUNDED, res.reason
    assert np.isnan(res.bse).all()


@pytest.mark.parametrize("name", ["exponential", "poisson", "geometric"])
@pytest.mark.parametrize("rows", [1, 2])
def test_as_many_coefficients_as_rows(name: str, rows: int) -> None:
    y = np.array([2.0, 4.0])[:rows]
    res = fitted(y, LINE[:rows, :rows], family(name))
    sign = -1 if name == "geometric" else 1
    right = [sign * math.log(2), sign * math.log(2)][:rows]
    assert res.status is Status.CLOSED_FORM
    np.testing.assert_allclose(res.params, right, rtol=1e-12)
    # Variance of the log of each mean: 1, 1 / mu, (1 + mu) / mu
    variance = {"exponential": y * 0 + 1, "poisson": 1 / y, "geometric": (1 + y) / y}[name]
    np.testing.assert_allclose(res.bse, np.sqrt(np.cumsum(variance)), rtol=1e-12)
    with pytest.warns(ConvergenceWarning, match="standard errors are not finite"):
        robust = Model.from_arrays(y, LINE[:rows, :rows], family(name)).fit(cov_type="HC0")
    assert robust.status is Status.NO_ERRORS
    assert np.isnan(robust.bse).all()
    says_all(res)


@pytest.mark.parametrize(
    ("name", "y"),
    [
        *[
            (n, 0.5)
            for n in (*SCALED, "asymmetric_laplace", "student_t", "weibull", "gamma", "inverse_gaussian", "beta")
        ],
        *[(n, 1) for n in ("negative_binomial", "negative_binomial_1", "multinomial_logit")],
    ],
)
def test_one_row_is_too_few_for_two_parameters(name: str, y: float) -> None:
    with pytest.raises(ValueError, match=r"more coefficients|levels"):
        fitted([y], np.ones((1, 1)), family(name))
