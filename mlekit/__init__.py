"""Maximum-likelihood estimation: declare a log-density, write a formula, get estimates you can trust."""

from mlekit import datasets
from mlekit.compare import Comparison, compare
from mlekit.families import Bernoulli, Exponential, GenericLikelihood, Normal, Poisson
from mlekit.formula import FormulaError
from mlekit.model import Model, fit
from mlekit.optimize import Status

__version__ = "0.1.0"

__all__ = [
    "Bernoulli",
    "Comparison",
    "Exponential",
    "FormulaError",
    "GenericLikelihood",
    "Model",
    "Normal",
    "Poisson",
    "Status",
    "compare",
    "datasets",
    "fit",
]
