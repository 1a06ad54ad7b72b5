"""How a family is declared: parameters, links, constants, and what is refused."""

import pickle
from typing import Any

import numpy as np
import pytest

from mlekit.families import (
    FAMILIES,
    AsymmetricLaplace,
    Bernoulli,
    GenericLikelihood,
    HuberNormal,
    Laplace,
    Normal,
    Poisson,
    as_family,
)
from mlekit.links import LINKS, Link, identity, log
from tests.test_families import close


class Gumbel(GenericLikelihood):
    params = {"mu": identity, "beta": log}

    def logpdf(self, y: Any, mu: Any, beta: Any) -> Any:
        z = (y - mu) / beta
        return -z - np.exp(-z) - np.log(beta)


def test_links_are_chosen_in_the_instance() -> None:
    assert repr(Gumbel()) == "Gumbel()"
    assert repr(Gumbel(beta="softplus", mu="identity")) == "Gumbel(beta='softplus')"
    assert Gumbel(beta="log") == Gumbel() != Gumbel(beta="softplus")
    assert len({Gumbel(), Gumbel(beta=log), Gumbel(beta="softplus"), Poisson(), Normal()}) == 4
    assert Poisson(mu="sqrt").links == {"mu": LINKS["sqrt"]}
    again = pickle.loads(pickle.dumps(Poisson(mu="sqrt")))
    assert again == Poisson(mu="sqrt")
    assert again.links["mu"] is LINKS["sqrt"]
    with pytest.raises(AttributeError, match=r"Poisson is immutable: make a new one, as in Poisson\(mu=\.\.\.\)"):
        Poisson().mu = "sqrt"  # type: ignore[attr-defined]


def test_wrong_links() -> None:
    with pytest.raises(TypeError, match=r"Normal has no parameter scale, tau: its parameters are mu, sigma"):
        Normal(scale="log", tau="log")
    with pytest.raises(ValueError, match="unknown link 'logg': the links are identity, log"):
        Normal(sigma="logg")
    with pytest.raises(ValueError, match="'logit' does not suit Poisson's mu: use log, identity, sqrt"):
        Poisson(mu="logit")
    own = Link("own", np.log, np.exp, log.slopes, log.domain)
    assert Poisson(mu=own).links["mu"] is own
    y = np.array([0.0, 4.0])
    close(
        Poisson(mu=own).linear_rows(y, np.array([0.3, 2.0])),
        Poisson().linear_rows(y, np.array([0.3, 2.0])),
        1e-14,
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_links_for_names_links_and_parameters(name: str) -> None:
    cls = FAMILIES[name]
    for param, allowed in cls.links_for.items():
        assert cls.params[param].name in allowed  # type: ignore[union-attr]
        assert set(allowed) <= set(LINKS)
    assert as_family(name) == as_family(name.upper()) == as_family(cls) == cls()
    assert as_family(family := cls()) is family


def test_unknown_family() -> None:
    with pytest.raises(
        ValueError, match="unknown family 'gauss': the families are normal, exponential, bernoulli, binomial, poi"
    ):
        as_family("gauss")
    for wrong in (3, None, int, np.exp):
        with pytest.raises(TypeError, match="a name, a GenericLikelihood class or an instance"):
            as_family(wrong)  # type: ignore[arg-type]


def _declare(**members: Any) -> None:
    type("Mine", (GenericLikelihood,), members)


def test_declaration_is_checked() -> None:
    with pytest.raises(TypeError, match="Mine declares no parameters"):
        _declare(logpdf=lambda self, y: -y)
    with pytest.raises(
        TypeError, match=r"logpdf takes \(y, m\), but params declares \(mu\): write def logpdf\(self, y, mu"
    ):
        _declare(params={"mu": "identity"}, logpdf=lambda self, y, m: -y)
    with pytest.raises(TypeError, match=r"write def logpdf\(self, y, mu, sigma\)"):
        _declare(params={"mu": "identity", "sigma": "log"}, logpdf=lambda self, y, sigma, mu: -y)
    with pytest.raises(TypeError, match=r"but params declares \(mu\): write def logpdf\(self, y, mu\)"):
        _declare(params={"mu": "identity"})
    with pytest.raises(TypeError, match="derivatives is 'jets': it must be 'exact' or 'numeric'"):
        _declare(params={"mu": "log"}, logpdf=lambda self, y, mu: -y, derivatives="jets")
    with pytest.raises(ValueError, match="unknown link 'logg'"):
        _declare(params={"mu": "logg"}, logpdf=lambda self, y, mu: -y)


def test_defaults_of_a_declaration() -> None:
    family, y = Gumbel(), np.array([1.0, np.nan])
    assert family.in_support(y).tolist() == [True, False]
    assert family.domains() == {"mu": identity.domain, "beta": log.domain}
    assert family.mean(y, y) is family.variance(y, y) is family.information(y, y) is None
    assert family.base_measure(y) is family.linear_deviance(y, y, y) is None
    assert family.mean_mle(y) is family.scale_mle(y, y, y) is None

    class Nowhere(Gumbel):
        def logpdf(self, y: Any, mu: Any, beta: Any) -> Any:
            return super().logpdf(y, mu, beta) - np.inf

    with pytest.raises(ValueError, match=r"Nowhere\(\) has density zero"):
        Nowhere().start(np.ones(3), np.ones(3))
    assert Bernoulli().eta_limits() == ((-np.inf, np.inf),)
    assert Bernoulli(p="log").eta_limits() == ((-np.inf, 0.0),)


# ---------------------------------------------------------------- constants


class Cauchy(GenericLikelihood):
    params = {"mu": "identity"}
    constants = {"scale": 1}
    constant_domains = {"scale": (0.0, np.inf)}
    scale: float

    def logpdf(self, y: Any, mu: Any) -> Any:
        return -np.log1p(((y - mu) / self.scale) ** 2) - np.log(np.pi * self.scale)


def test_constants_are_chosen_in_the_instance() -> None:
    assert (Cauchy().scale, Cauchy(scale=2).scale, Cauchy(scale=np.float32(0.5)).scale) == (1.0, 2.0, 0.5)
    assert repr(Cauchy(scale=2)) == "Cauchy(scale=2.0)"
    assert repr(AsymmetricLaplace(q=0.25, b="sqrt")) == "AsymmetricLaplace(q=0.25, b='sqrt')"
    assert repr(HuberNormal()) == "HuberNormal(k=1.345)"
    assert AsymmetricLaplace() == AsymmetricLaplace(q=0.5) != AsymmetricLaplace(q=0.25)
    assert AsymmetricLaplace(q=0.5) != Laplace()
    assert len({Cauchy(), Cauchy(scale=1.0), Cauchy(scale=2), Laplace()}) == 3
    again = pickle.loads(pickle.dumps(AsymmetricLaplace(q=0.25, b="sqrt")))
    assert again == AsymmetricLaplace(q=0.25, b="sqrt")
    assert again.q == 0.25
    with pytest.raises(AttributeError, match=r"is immutable: make a new one, as in AsymmetricLaplace\(q=\.\.\.\)"):
        AsymmetricLaplace().q = 0.3
    assert type("Heir", (AsymmetricLaplace,), {})(q=0.1).q == 0.1  # type: ignore[attr-defined]
    assert Cauchy(scale=2).rows(np.array([1.0]), 0.0).grad.tolist() == [[0.4]]


def test_wrong_constants() -> None:
    for q in (0, 1, -0.1, 25, np.nan, np.inf):
        with pytest.raises(ValueError, match="AsymmetricLaplace's q must be between 0 and 1, not"):
            AsymmetricLaplace(q=q)
    for wrong in ("0.5", True, np.True_, None, [0.5], 1j, log):
        with pytest.raises(TypeError, match="AsymmetricLaplace's q is a constant: it must be a number, not"):
            AsymmetricLaplace(q=wrong)
    with pytest.raises(ValueError, match="HuberNormal's k must be between 0 and inf, not 0"):
        HuberNormal(k=0)
    with pytest.raises(TypeError, match=r"no parameter tau: its parameters are mu, b; its constants are q$"):
        AsymmetricLaplace(tau=0.5)
    with pytest.raises(TypeError, match=r"no parameter q: its parameters are mu, b$"):
        Laplace(q=0.5)
    with pytest.raises(TypeError, match=r"takes links and constants by name: AsymmetricLaplace\(q=\.\.\.\)"):
        AsymmetricLaplace(0.25)
    with pytest.raises(TypeError, match=r"takes links and constants by name: Poisson\(mu=\.\.\.\)"):
        Poisson("sqrt")


def test_declaration_of_constants_is_checked() -> None:
    density = {"params": {"mu": "identity"}, "logpdf": lambda self, y, mu: -((y - mu) ** 2)}
    for name in ("mu", "links", "mean", "logpdf", "params"):
        with pytest.raises(TypeError, match=f"Mine has a constant named {name}: a parameter or a member"):
            _declare(constants={name: 1.0}, **density)
    with pytest.raises(TypeError, match="Mine's c is a constant: it must be a number, not 'one'"):
        _declare(constants={"c": "one"}, **density)
    with pytest.raises(ValueError, match="Mine's c must be between 2 and 3, not 1"):
        _declare(constants={"c": 1}, constant_domains={"c": (2, 3)}, **density)
    with pytest.raises(ValueError, match="Mine's c must be finite, not inf"):
        _declare(constants={"c": np.inf}, **density)


def test_a_class_that_stays_empty_has_no_instances() -> None:
    empty = type("Empty", (GenericLikelihood,), {})
    for cls in (empty, GenericLikelihood):
        with pytest.raises(TypeError, match=rf"{cls.__name__} declares no parameters: set params = "):
            cls()


def test_a_class_of_a_script_goes_to_other_processes() -> None:
    # joblib sends such a class by value: it is made empty, and then filled.
    from joblib.externals.loky import wrap_non_picklable_objects

    class Tilted(AsymmetricLaplace):
        constants = {"q": 0.3}

    class Local(Gumbel):
        params = {"mu": "identity", "beta": "softplus"}

    y = np.array([0.5, 2.0])
    for family in (Tilted(q=0.4), Local(), Local(beta="log")):
        again = pickle.loads(pickle.dumps(wrap_non_picklable_objects(family, keep_wrapper=False)))
        assert repr(again) == repr(family)
        np.testing.assert_array_equal(again.logpdf(y, 1.0, 2.0), family.logpdf(y, 1.0, 2.0))
