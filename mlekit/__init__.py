"""Maximum-likelihood estimation: declare a log-density, write a formula, get estimates you can trust."""

import importlib
from typing import TYPE_CHECKING, Any

from mlekit.version import __version__

if TYPE_CHECKING:
    from mlekit import datasets, folds, losses
    from mlekit.calibration import Calibration
    from mlekit.comparison import Comparison, compare
    from mlekit.crossval import CrossValidation, cross_validate
    from mlekit.families import (
        AsymmetricLaplace,
        Bernoulli,
        Beta,
        Binomial,
        Censored,
        Exponential,
        Gamma,
        GenericLikelihood,
        Geometric,
        Gumbel,
        HuberNormal,
        Hurdle,
        InverseGaussian,
        Laplace,
        Logistic,
        LogNormal,
        MultinomialLogit,
        NegativeBinomial,
        NegativeBinomial1,
        Normal,
        OrderedLogit,
        OrderedProbit,
        Poisson,
        StudentT,
        Truncated,
        Weibull,
        ZeroInflated,
    )
    from mlekit.fitter import check_existence, fit
    from mlekit.formula import FormulaError
    from mlekit.functional import mle
    from mlekit.model import Model
    from mlekit.model_tests import anova
    from mlekit.optimize import StartError, Status
    from mlekit.penalties import NormalPrior, Penalty, Ridge
    from mlekit.publication import table
    from mlekit.roc import Roc
    from mlekit.saving.loading import load
    from mlekit.saving.text import SavedFitError
    from mlekit.selection import Selection, compare_models
    from mlekit.selftesting import selftest
    from mlekit.simulation import simulate
    from mlekit.trainer import train
    from mlekit.training import Training, TrainingStatus

# Imported when first asked for: the command line answers --help without waiting for statsmodels.
_HOMES = {
    "AsymmetricLaplace": "mlekit.families",
    "Bernoulli": "mlekit.families",
    "Beta": "mlekit.families",
    "Binomial": "mlekit.families",
    "Calibration": "mlekit.calibration",
    "Censored": "mlekit.families",
    "Comparison": "mlekit.comparison",
    "CrossValidation": "mlekit.crossval",
    "Exponential": "mlekit.families",
    "FormulaError": "mlekit.formula",
    "Gamma": "mlekit.families",
    "GenericLikelihood": "mlekit.families",
    "Geometric": "mlekit.families",
    "Gumbel": "mlekit.families",
    "HuberNormal": "mlekit.families",
    "Hurdle": "mlekit.families",
    "InverseGaussian": "mlekit.families",
    "Laplace": "mlekit.families",
    "LogNormal": "mlekit.families",
    "Logistic": "mlekit.families",
    "Model": "mlekit.model",
    "MultinomialLogit": "mlekit.families",
    "NegativeBinomial": "mlekit.families",
    "NegativeBinomial1": "mlekit.families",
    "Normal": "mlekit.families",
    "OrderedLogit": "mlekit.families",
    "OrderedProbit": "mlekit.families",
    "NormalPrior": "mlekit.penalties",
    "Penalty": "mlekit.penalties",
    "Poisson": "mlekit.families",
    "Ridge": "mlekit.penalties",
    "Roc": "mlekit.roc",
    "SavedFitError": "mlekit.saving.text",
    "Selection": "mlekit.selection",
    "StartError": "mlekit.optimize",
    "Status": "mlekit.optimize",
    "StudentT": "mlekit.families",
    "Training": "mlekit.training",
    "TrainingStatus": "mlekit.training",
    "Truncated": "mlekit.families",
    "Weibull": "mlekit.families",
    "ZeroInflated": "mlekit.families",
    "anova": "mlekit.model_tests",
    "check_existence": "mlekit.fitter",
    "compare": "mlekit.comparison",
    "compare_models": "mlekit.selection",
    "cross_validate": "mlekit.crossval",
    "fit": "mlekit.fitter",
    "load": "mlekit.saving.loading",
    "mle": "mlekit.functional",
    "selftest": "mlekit.selftesting",
    "simulate": "mlekit.simulation",
    "table": "mlekit.publication",
    "train": "mlekit.trainer",
}
_MODULES = ("datasets", "folds", "losses")

__all__ = [
    "AsymmetricLaplace",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Calibration",
    "Censored",
    "Comparison",
    "CrossValidation",
    "Exponential",
    "FormulaError",
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
    "Model",
    "MultinomialLogit",
    "NegativeBinomial",
    "NegativeBinomial1",
    "Normal",
    "NormalPrior",
    "OrderedLogit",
    "OrderedProbit",
    "Penalty",
    "Poisson",
    "Ridge",
    "Roc",
    "SavedFitError",
    "Selection",
    "StartError",
    "Status",
    "StudentT",
    "Training",
    "TrainingStatus",
    "Truncated",
    "Weibull",
    "ZeroInflated",
    "__version__",
    "anova",
    "check_existence",
    "compare",
    "compare_models",
    "cross_validate",
    "datasets",
    "fit",
    "folds",
    "load",
    "losses",
    "mle",
    "selftest",
    "simulate",
    "table",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"mlekit.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mlekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
