"""Families of distributions: one file per group, facts only."""

from mlekit.families.base import GenericLikelihood
from mlekit.families.bernoulli import Bernoulli
from mlekit.families.beta import Beta
from mlekit.families.binomial import Binomial
from mlekit.families.censored import Censored
from mlekit.families.exponential import Exponential
from mlekit.families.gamma import Gamma, InverseGaussian
from mlekit.families.geometric import Geometric
from mlekit.families.huber import HuberNormal
from mlekit.families.hurdle import Hurdle
from mlekit.families.laplace import AsymmetricLaplace, Laplace
from mlekit.families.location_scale import Gumbel, Logistic
from mlekit.families.multinomial import MultinomialLogit
from mlekit.families.negative_binomial import NegativeBinomial, NegativeBinomial1
from mlekit.families.normal import Normal
from mlekit.families.ordered import OrderedLogit, OrderedProbit
from mlekit.families.poisson import Poisson
from mlekit.families.registry import FAMILIES, as_family
from mlekit.families.student import StudentT
from mlekit.families.survival import LogNormal, Weibull
from mlekit.families.truncated import Truncated
from mlekit.families.zero_inflated import ZeroInflated

__all__ = [
    "FAMILIES",
    "AsymmetricLaplace",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Censored",
    "Exponential",
    "Gamma",
    "GenericLikelihood",
    "Geometric",
    "Gumbel",
    "HuberNormal",
    "Hurdle",
    "InverseGaussian",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MultinomialLogit",
    "NegativeBinomial",
    "NegativeBinomial1",
    "Normal",
    "OrderedLogit",
    "OrderedProbit",
    "Poisson",
    "StudentT",
    "Truncated",
    "Weibull",
    "ZeroInflated",
    "as_family",
]
