"""Families against their own densities: the registry, good families of users, and ones with a mistake each."""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from mlekit import GenericLikelihood, Normal, Poisson
from mlekit.families import FAMILIES
from mlekit.jets import DerivativeError, Rows
from tests.test_families import MODELS, THETA, make

POSITIVE_RESPONSES = [0.3, 1.7, 12.0]
#: Responses by family, none at a kink: of those that are not named here, any number is one.
RESPONSES = {"exponential": POSITIVE_RESPONSES, "bernoulli": [0, 1, 1], "poisson": [0, 3, 40], "geometric": [0, 3, 40]}
ANYWHERE = [-2.3, 0.7, 31.5]
DISTRIBUTION = ("cdf", "logcdf", "logsf", "ppf", "rvs")


def defines(kind: type[GenericLikelihood], name: str) -> bool:
    """Whether a family has something of its own by that name."""
    return getattr(kind, name, None) is not getattr(GenericLikelihood, name, None)


@pytest.mark.parametrize(("name", "links"), MODELS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_every_family_with_every_link(name: str, links: tuple[str, ...]) -> None:
    assert set(FAMILIES) >= set(RESPONSES)
    family = make(name, links)
    for middle in (0, 1, 2):
        theta = {p: THETA[p][min(middle, len(THETA[p]) - 1)] for p in family.params}
        if name == "geometric":
            theta["p"] = max(theta["p"], 1e-3)  # of fewer, sums have more terms than anyone would add
        found = family.check(RESPONSES.get(name, ANYWHERE), **theta)
        assert found, found
        assert found.discrete == (name in ("bernoulli", "poisson", "geometric"))
        assert {"total probability", "mean", "variance"} < set(found.table.index)
        assert all(line.agrees for line in found.lines), found


def test_a_family_of_the_registry_is_compared_in_all_that_it_defines() -> None:
    found = Normal().check(ANYWHERE, mu=[0.0, 1.0, 30.0], sigma=2.0)
    assert {line.what.partition(":")[0] for line in found.lines} == {
        *("rows", "linear_rows", "in_support", "total probability", "mean", "variance", "information"),
        *(name for name in DISTRIBUTION if defines(Normal, name)),
    }


# ---------------------------------------------------------------- families of users


class Gumbel(GenericLikelihood):
    """A continuous distribution with everything, from scipy where that has it."""

    params = {"mu": "identity", "beta": "log"}

    def logpdf(self, y: Any, mu: Any, beta: Any) -> Any:
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)

    def mean(self, mu: Any, beta: Any) -> Any:
        return mu + np.euler_gamma * beta

    def variance(self, mu: Any, beta: Any) -> Any:
        return (np.pi * beta) ** 2 / 6

    def cdf(self, y: Any, mu: Any, beta: Any) -> Any:
        return stats.gumbel_r.cdf(y, mu, beta)

    def ppf(self, share: Any, mu: Any, beta: Any) -> Any:
        return stats.gumbel_r.ppf(share, mu, beta)

    def rvs(self, mu: Any, beta: Any, rng: Any) -> Any:
        return rng.gumbel(mu, beta)

    def rows(self, y: Any, mu: Any, beta: Any, *, order: int = 2) -> Rows:
        z = (y - mu) / beta
        e = np.exp(-z)
        slope, bend = (1 - e) / beta, -e / beta**2
        grad = np.stack([slope, z * slope - 1 / beta])
        cross = z * bend - slope / beta
        hess = np.array([[bend, cross], [cross, z * z * bend - (2 * z * slope - 1 / beta) / beta]])
        return Rows(self.logpdf(y, mu, beta), grad if order else None, hess if order > 1 else None)

    def information(self, *eta: Any) -> Any:
        c = 1 - np.euler_gamma
        unit = np.exp(-eta[1])
        one = np.ones_like(unit)
        return np.array([[unit**2, -c * unit], [-c * unit, (np.pi**2 / 6 + c * c) * one]])


class NegativeBinomial(GenericLikelihood):
    """A discrete distribution, its names those of other people."""

    params = {"mu": "log", "alpha": "log"}

    def logpdf(self, y: Any, mu: Any, alpha: Any) -> Any:
        r = 1 / alpha
        ways = special.gammaln(y + r) - special.gammaln(r) - special.gammaln(y + 1)
        return ways - r * np.log1p(alpha * mu) + special.xlogy(y, alpha * mu / (1 + alpha * mu))

    def in_support(self, y: Any) -> Any:
        return (y >= 0) & (y == np.floor(y))

    def mean(self, mu: Any, alpha: Any) -> Any:
        return mu

    def variance(self, mu: Any, alpha: Any) -> Any:
        return mu + alpha * mu**2

    def cdf(self, y: Any, mu: Any, alpha: Any) -> Any:
        return stats.nbinom.cdf(y, 1 / alpha, 1 / (1 + alpha * mu))

    def ppf(self, share: Any, mu: Any, alpha: Any) -> Any:
        return stats.nbinom.ppf(share, 1 / alpha, 1 / (1 + alpha * mu))

    def rvs(self, *theta: Any, size: Any = None, random_state: Any = None) -> Any:
        mu, alpha = theta
        return stats.nbinom.rvs(1 / alpha, 1 / (1 + alpha * mu), size=size, random_state=random_state)


class ByScipy(GenericLikelihood):
    """A density that jets cannot follow."""

    params = {"mu": "identity", "sigma": "log"}
    derivatives = "numeric"

    def logpdf(self, y: Any, mu: Any, sigma: Any) -> Any:
        return stats.norm.logpdf(y, mu, sigma)

    def mean(self, mu: Any, sigma: Any) -> Any:
        return mu


class Heavy(GenericLikelihood):
    """Student's t with three degrees of freedom: integrals that take their time."""

    params = {"mu": "identity", "sigma": "log"}

    def logpdf(self, y: Any, mu: Any, sigma: Any) -> Any:
        return np.log(2 / (np.pi * np.sqrt(3))) - np.log(sigma) - 2 * np.log1p(((y - mu) / sigma) ** 2 / 3)

    def variance(self, mu: Any, sigma: Any) -> Any:
        return 3 * sigma**2


Y = {Gumbel: [-1.0, 0.4, 30.0], NegativeBinomial: [0, 1, 30], ByScipy: ANYWHERE, Heavy: ANYWHERE}
AT: dict[type[GenericLikelihood], dict[str, Any]] = {
    Gumbel: {"mu": [0.0, 0.5, 20.0], "beta": [1.0, 2.0, 0.25]},
    NegativeBinomial: {"mu": [0.3, 5.0, 80.0], "alpha": [2.0, 1e-3, 0.5]},
    ByScipy: {"mu": [1.0, 1e4, -3.0], "sigma": [2.0, 30.0, 1e-3]},
    Heavy: {"mu": [0.0, 1e3, 1.0], "sigma": [1e-2, 1.0, 5.0]},
}


@pytest.mark.parametrize("kind", AT)
def test_good_families(kind: type[GenericLikelihood]) -> None:
    found = kind().check(Y[kind], **AT[kind])
    assert found, found
    assert all(line.agrees for line in found.lines), found
    assert found.discrete == (kind is NegativeBinomial)
    absent = [name for name in DISTRIBUTION if not defines(kind, name)]
    for name in DISTRIBUTION:
        assert any(line.what.startswith(name) for line in found.lines) == (name not in absent)
        assert (name in found.notes[-1].rpartition(":")[2].strip(" .").split(", ")) == (name in absent)


def spoil(kind: type[GenericLikelihood], **members: Any) -> GenericLikelihood:
    spoilt: type[GenericLikelihood] = type("Spoilt", (kind,), members)
    return spoilt()


def altered(kind: Any, name: str, change: Any) -> GenericLikelihood:
    """Return a family with a change to what one of its methods returns."""
    method = getattr(kind, name)

    @wraps(method)
    def changed(self: Any, *args: Any, **named: Any) -> Any:
        return change(method(self, *args, **named))

    return spoil(kind, **{name: changed})


def sign_of_gradient(rows: Rows) -> Rows:
    return rows._replace(grad=-rows.grad)


def one_wrong_entry(rows: Rows) -> Rows:
    if rows.hess is None:
        return rows
    hess = rows.hess.copy()
    hess[0, 1] *= 1 + 1e-5
    return rows._replace(hess=hess)


def lost_row(rows: Rows) -> Rows:
    grad = rows.grad.copy()
    grad[1, -1] = np.nan
    return rows._replace(grad=grad)


MISTAKES: dict[str, tuple[GenericLikelihood, set[str]]] = {
    "sign of a gradient": (altered(Gumbel, "rows", sign_of_gradient), {"rows: d/dmu", "rows: d/dbeta"}),
    "one entry of a hessian": (altered(Gumbel, "rows", one_wrong_entry), {"rows: d2/dmu dbeta"}),
    "not a number": (altered(Gumbel, "rows", lost_row), {"rows: d/dbeta"}),
    "value": (altered(Gumbel, "rows", lambda r: r._replace(value=r.value + 1)), {"rows: value"}),
    "linear": (
        altered(Normal, "linear_rows", sign_of_gradient),
        {"linear_rows: d/deta_mu", "linear_rows: d/deta_sigma"},
    ),
    "constant": (altered(Poisson, "base_measure", lambda b: 2 * b), {"linear_rows: value"}),
    "mean": (altered(Gumbel, "mean", lambda m: m * (1 + 1e-4)), {"mean"}),
    "mean of counts": (altered(NegativeBinomial, "mean", lambda m: m + 1e-3), {"mean"}),
    "mean that is not a number": (altered(Gumbel, "mean", lambda m: m * np.nan), {"mean"}),
    "variance": (altered(Gumbel, "variance", np.sqrt), {"variance"}),
    "variance of counts": (altered(NegativeBinomial, "variance", lambda v: v * 1.001), {"variance"}),
    "variance of heavy tails": (altered(Heavy, "variance", lambda v: v * 1.001), {"variance"}),
    "mean by differences": (altered(ByScipy, "mean", lambda m: m + 1), {"mean"}),
    "cdf": (altered(Gumbel, "cdf", lambda p: 1 - p), {"cdf"}),
    "cdf of counts": (
        spoil(NegativeBinomial, cdf=lambda self, y, mu, alpha: NegativeBinomial().cdf(y - 1, mu, alpha)),
        {"cdf"},
    ),
    "ppf": (spoil(Gumbel, ppf=lambda self, share, mu, beta: Gumbel().ppf(1 - share, mu, beta)), {"ppf: share below"}),
    "ppf of counts": (altered(NegativeBinomial, "ppf", lambda y: y + 1), {"ppf: share below"}),
    "ppf of counts, too small": (altered(NegativeBinomial, "ppf", lambda y: y - 1), {"ppf: share below"}),
    "rvs": (altered(Gumbel, "rvs", lambda y: y * 1.1), {"rvs: share below"}),
    "impossible draws": (altered(NegativeBinomial, "rvs", lambda y: y + 0.5), {"rvs: share possible"}),
    "information": (altered(Gumbel, "information", lambda i: np.abs(i)), {"information: mu, beta"}),
    "information of a half": (
        altered(Normal, "information", lambda i: i / 2),
        {"information: mu", "information: sigma"},
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_where_it_is(mistake: str) -> None:
    family, where = MISTAKES[mistake]
    kind = type(family).__mro__[1]
    y, theta = Y.get(kind, [0, 1, 4]), AT.get(kind, {"mu": [0.5, 2.0, 3.0], "sigma": 1.5})
    found = family.check(y, **({"mu": [0.5, 2.0, 3.0]} if kind is Poisson else theta))
    assert not found
    assert {line.what for line in found.failures} >= where, found
    # A draw in the wrong place is in the wrong share as well, and so on; but nothing else is blamed.
    assert {w.partition(":")[0] for w in (line.what for line in found.failures)} == {
        w.partition(":")[0] for w in where
    }, found
    assert f"{len(found.failures)} of {len(found.lines)} disagree" in str(found)


def test_a_tail_that_cancels_is_found() -> None:
    def logsf(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
        return np.log1p(-Normal().cdf(y, mu, sigma))

    assert spoil(Normal, logsf=logsf).check([1.0, -3.0], mu=0.0, sigma=2.0)
    for y in (15.0, 90.0):
        found = spoil(Normal, logsf=logsf).check([1.0, y], mu=0.0, sigma=2.0)
        assert [line.what for line in found.failures] == ["logsf"], found
        assert found.failures[0].reference == pytest.approx(special.log_ndtr(-y / 2), rel=1e-12)


def test_a_density_of_another_total() -> None:
    found = altered(Gumbel, "logpdf", lambda value: value + 0.01).check(0.3, mu=0.0, beta=1.0)
    total = next(line for line in found.failures if line.what == "total probability")
    assert total.ours == pytest.approx(np.exp(0.01), rel=1e-12)
    assert total.reference == 1
    # The rest is that of the density divided by its total: nothing else is blamed.
    assert found.failures == (total,)


class Endless(GenericLikelihood):
    """An exponential density that does not say where it ends."""

    params = {"rate": "log"}

    def logpdf(self, y: Any, rate: Any) -> Any:
        return np.log(rate) - rate * y


class EndlessCount(GenericLikelihood):
    params = {"mu": "log"}

    def logpdf(self, y: Any, mu: Any) -> Any:
        return special.xlogy(y, mu) - mu - special.gammaln(y + 1)


class Logarithm(GenericLikelihood):
    """A log-normal density that says nothing of zero and below."""

    params = {"mu": "identity"}

    def logpdf(self, y: Any, mu: Any) -> Any:
        return -0.5 * (np.log(y) - mu) ** 2 - np.log(y) - 0.5 * np.log(2 * np.pi)


def test_a_support_that_is_not_declared() -> None:
    found = Endless().check([0.3, 2.0], rate=1.0)
    assert [(line.what, line.ours) for line in found.failures] == [("total probability", np.inf)]
    assert "The density was taken over all numbers: if it ends somewhere, let in_support say where." in str(found)
    found = spoil(Endless, in_support=lambda self, y: y >= 0).check([0.3, 2.0], rate=[1.0, 1e-5])
    assert found, found

    found = EndlessCount().check([0, 4], mu=3.0)
    assert not found.discrete
    assert "total probability" in {line.what for line in found.failures}
    assert "If the response is a count, let in_support say so" in str(found)
    assert EndlessCount().check([0, 4], mu=3.0, discrete=True)

    found = Logarithm().check([0.3, 2.0], mu=0.0)
    assert [line.what for line in found.failures] == ["in_support"]
    assert "y=-" in found.failures[0].at
    assert spoil(Logarithm, in_support=lambda self, y: y > 0).check([0.3, 2.0], mu=0.0)


def test_discrete_is_found_out_or_asked_for() -> None:
    """A wide normal density sums to 1 as it integrates to 1: only the support tells which is meant."""
    for asked in (None, False, True):
        alone = spoil(Normal, **{name: getattr(GenericLikelihood, name) for name in DISTRIBUTION})
        found = alone.check([1.0, 4.0], mu=3.0, sigma=8.0, discrete=asked)
        assert found.discrete == bool(asked)
        assert found
    assert not Normal().check(1.0, mu=0.3, sigma=0.1, discrete=True)
    assert not Poisson().check(1.0, mu=0.5, discrete=False)


def test_what_does_not_converge_is_not_judged() -> None:
    """The mean of a Cauchy distribution does not exist, whatever the family says."""

    class Cauchy(GenericLikelihood):
        params = {"mu": "identity"}

        def logpdf(self, y: Any, mu: Any) -> Any:
            return -np.log(np.pi) - np.log1p((y - mu) ** 2)

        def mean(self, mu: Any) -> Any:
            return mu

    found = Cauchy().check(ANYWHERE, mu=1.0)
    mean = next(line for line in found.lines if line.what == "mean")
    assert mean.agrees is None
    assert found.ok
    assert "?: the reference does not converge" in str(found)
    assert found.table.loc["mean", "agrees"] == "?"


def test_a_hidden_parameter() -> None:
    """Jets see what they are shown: one taken from its value has no derivative, and differences find it."""

    def logpdf(self: Any, y: Any, mu: Any, sigma: Any) -> Any:
        shown = getattr(sigma, "value", sigma)
        return -0.5 * ((y - mu) / shown) ** 2 - np.log(shown) - 0.5 * np.log(2 * np.pi)

    found = spoil(Heavy, logpdf=logpdf, variance=lambda self, mu, sigma: sigma**2).check(ANYWHERE, mu=0.5, sigma=2.0)
    assert {line.what for line in found.failures} == {"rows: d/dsigma", "rows: d2/dmu dsigma"}
    assert {line.by for line in found.failures} == {"differences"}


def test_rows_by_hand_of_a_density_that_jets_cannot_follow() -> None:
    hand = spoil(ByScipy, derivatives="exact", rows=Normal.rows)
    found = hand.check(ANYWHERE, mu=0.5, sigma=2.0)
    assert found, found
    assert {line.by for line in found.lines if line.what.startswith("rows")} == {"differences"}
    with pytest.raises(DerivativeError, match=r"scipy\.stats\.norm\.logpdf"):
        spoil(ByScipy, derivatives="exact").check(ANYWHERE, mu=0.5, sigma=2.0)


def test_responses_of_two_columns() -> None:
    class Interval(GenericLikelihood):
        params = {"rate": "log"}

        def logpdf(self, y: Any, rate: Any) -> Any:
            return np.log(np.exp(-rate * y[:, 0]) - np.exp(-rate * y[:, 1]))

        def in_support(self, y: Any) -> Any:
            return (y[:, 0] >= 0) & (y[:, 0] < y[:, 1])

    found = Interval().check([[0.0, 1.0], [2.0, 5.0]], rate=0.7)
    assert found.ok
    assert {line.what.partition(":")[0] for line in found.lines} == {"rows"}
    assert "The response has 2 columns: its density was not integrated." in str(found)
