"""Maximum-likelihood estimation: declare a log-density, write a formula, get estimates you can trust."""

import importlib
from typing import TYPE_CHECKING, Any

from mlekit.version import __version__

if TYPE_CHECKING:
    from mlekit import datasets
    from mlekit.comparison import Comparison, compare
    from mlekit.families import Bernoulli, Exponential, GenericLikelihood, Normal, Poisson
    from mlekit.formula import FormulaError
    from mlekit.model import Model, fit
    from mlekit.optimize import StartError, Status

# Imported when first asked for: the command line answers --help without waiting for statsmodels.
_HOMES = {
    "Bernoulli": "mlekit.families",
    "Comparison": "mlekit.comparison",
    "Exponential": "mlekit.families",
    "FormulaError": "mlekit.formula",
    "GenericLikelihood": "mlekit.families",
    "Model": "mlekit.model",
    "Normal": "mlekit.families",
    "Poisson": "mlekit.families",
    "StartError": "mlekit.optimize",
    "Status": "mlekit.optimize",
    "compare": "mlekit.comparison",
    "fit": "mlekit.model",
}

__all__ = [
    "Bernoulli",
    "Comparison",
    "Exponential",
    "FormulaError",
    "GenericLikelihood",
    "Model",
    "Normal",
    "Poisson",
    "StartError",
    "Status",
    "__version__",
    "compare",
    "datasets",
    "fit",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return importlib.import_module("mlekit.datasets")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
