"""The built-in families by name."""

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.beta import Beta
from mlekit.families.binomial import Binomial
from mlekit.families.exponential import Exponential
from mlekit.families.gamma import Gamma, InverseGaussian
from mlekit.families.geometric import Geometric
from mlekit.families.huber import HuberNormal
from mlekit.families.laplace import AsymmetricLaplace, Laplace
from mlekit.families.location_scale import Gumbel, Logistic
from mlekit.families.multinomial import MultinomialLogit
from mlekit.families.negative_binomial import NegativeBinomial, NegativeBinomial1
from mlekit.families.normal import Normal
from mlekit.families.ordered import OrderedLogit, OrderedProbit
from mlekit.families.poisson import Poisson
from mlekit.families.student import StudentT
from mlekit.families.survival import LogNormal, Weibull

#: Every built-in family by its name.
FAMILIES: dict[str, type[GenericLikelihood]] = {
    "normal": Normal,
    "exponential": Exponential,
    "bernoulli": Bernoulli,
    "binomial": Binomial,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "negative_binomial_1": NegativeBinomial1,
    "geometric": Geometric,
    "laplace": Laplace,
    "asymmetric_laplace": AsymmetricLaplace,
    "huber_normal": HuberNormal,
    "student_t": StudentT,
    "logistic": Logistic,
    "gumbel": Gumbel,
    "weibull": Weibull,
    "lognormal": LogNormal,
    "gamma": Gamma,
    "inverse_gaussian": InverseGaussian,
    "beta": Beta,
    "ordered_logit": OrderedLogit,
    "ordered_probit": OrderedProbit,
    "multinomial_logit": MultinomialLogit,
}


def as_family(family: "str | type[GenericLikelihood] | GenericLikelihood") -> GenericLikelihood:
    """Return the family that a name, a class or an instance stands for.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the names.
    TypeError
        If it is neither a name nor a family.

    Examples
    --------
    >>> as_family("poisson"), as_family(Poisson), as_family(Poisson(mu="sqrt"))
    (Poisson(), Poisson(), Poisson(mu='sqrt'))
    """
    if isinstance(family, GenericLikelihood):
        return family
    if isinstance(family, type) and issubclass(family, GenericLikelihood):
        return family()
    if isinstance(family, str):
        if family.lower() in FAMILIES:
            return FAMILIES[family.lower()]()
        raise ValueError(
            f"unknown family {family!r}: the families are {', '.join(FAMILIES)}, or a GenericLikelihood of yours"
        )
    raise TypeError(f"family must be a name, a GenericLikelihood class or an instance, not {family!r}")
