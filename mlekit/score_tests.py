"""Score tests: of terms to add, of hypotheses about coefficients, and of what a fit is held to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from patsy import EvalEnvironment, PatsyError

from mlekit import labels
from mlekit.model_tests import ModelTest, caveats, chi2_tail
from mlekit.nesting import check_usable, described, free, unwrapped
from mlekit.score import polished, score_statistic
from mlekit.submodels import added, held, let_go

if TYPE_CHECKING:
    from mlekit.results import Results


def score_test(results: "Results", asked: Any, information: str | None, env: EvalEnvironment) -> ModelTest:
    """Score test; see :meth:`mlekit.results.Results.score_test`."""
    check_usable(results)
    if hasattr(results, "at_limit"):
        raise ValueError(
            f"{results.at_limit} is at the limit of its parameter, where the score is not one of this family: fit "
            "the simpler family that the summary names, and test that"
        )
    if results.model.family.quantile_level is not None:
        raise ValueError(
            f"{results.model.family!r} has a density with a kink, so there is no smooth score to test by: use lr_test"
        )
    _refuse_bounds(results)
    if asked is None:
        return _of_restrictions(results, information)
    if _are_terms(asked):
        return _of_terms(results, asked, information, env)
    return _of_hypotheses(results, asked, information)


def _refuse_bounds(results: "Results") -> None:
    """Refuse an estimate on a bound: the likelihood still rises there, and its slope is no score of the hypothesis."""
    restrictions = getattr(results, "restrictions", None)
    if restrictions is None:
        return
    reached = (results.params <= restrictions.low) | (results.params >= restrictions.high)
    if reached.any():
        names = [name for name, there in zip(results.model.design.names, reached, strict=True) if there]
        raise ValueError(
            f"{', '.join(names)} is on its bound, where a score is not chi-squared: hold it by fixed= instead, or fit "
            "without the bound"
        )


def _are_terms(asked: Any) -> bool:
    """Whether what is asked are terms to add, ``"+ x"`` or ``{"sigma": "+ x"}``, and not linear hypotheses."""
    texts = list(asked.values()) if isinstance(asked, Mapping) else [asked]
    return all(isinstance(text, str) and text.strip().startswith("+") for text in texts)


def _of_terms(results: "Results", asked: Any, information: str | None, env: EvalEnvironment) -> ModelTest:
    larger = added(results.model, asked, env)
    names, known = larger.design.names, results.model.design.names
    places = [names.index(name) for name in known]
    if not np.isfinite(results.params).all():
        raise ValueError(
            f"{described(results)} has infinite estimates, where there is no score: fit the model with the terms and "
            "take lr_test, which is right there"
        )
    beta = np.zeros(len(names))
    beta[places] = polished(results)
    restrictions = getattr(results, "restrictions", None)
    if restrictions is not None:
        matrix = np.zeros((len(restrictions.matrix), len(names)))
        matrix[:, places] = restrictions.matrix
        low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
        low[places], high[places] = restrictions.low, restrictions.high
        restrictions = replace(restrictions, matrix=matrix, low=low, high=high)
    text = asked if isinstance(asked, str) else ", ".join(f"{param}: {terms}" for param, terms in asked.items())
    found = score_statistic(larger, beta, restrictions, information)
    return _as_test(results, described(results), f"the same {text.strip()}", found, len(names) - len(known))


def _of_hypotheses(results: "Results", asked: Any, information: str | None) -> ModelTest:
    model = results.model
    names = model.design.names
    try:
        matrix, constants = labels.constraints(names, asked)
    except (PatsyError, ValueError, IndexError, TypeError) as error:
        raise ValueError(
            f"cannot read {asked!r}: hypotheses are written as 'x1 = 0, x2 = x3', about {', '.join(names)}, and terms "
            f"to add as '+ x4' ({str(error).splitlines()[0] if str(error) else 'there are none'})"
        ) from None
    restrictions = getattr(results, "restrictions", None)
    every, wanted, bounds = matrix, constants.ravel(), None
    if restrictions is not None:
        every = np.vstack([restrictions.matrix, matrix])
        wanted = np.concatenate([restrictions.constants, wanted])
        limits = zip(names, restrictions.low, restrictions.high, strict=True)
        bounds = {n: (a, b) for n, a, b in limits if np.isfinite(a) or np.isfinite(b)}
    start = results.params if np.isfinite(results.params).all() else None
    smaller = unwrapped(model.fit(constraints=(every, wanted), bounds=bounds, start=start))
    df = free(results) - free(smaller)
    if df == 0:
        raise ValueError(f"{asked!r} is nothing that can be tested: the fit leaves it no room to be otherwise")
    check_usable(smaller)
    _refuse_bounds(smaller)
    found = score_statistic(model, polished(smaller), restrictions, information)
    text = asked if isinstance(asked, str) else f"{len(matrix)} linear hypotheses"
    return _as_test(results, text, described(results), found, df, caveats(results, smaller))


def _of_restrictions(results: "Results", information: str | None) -> ModelTest:
    """Test what a fit is held to: its constraints, and the coefficients that are held."""
    restrictions, known = getattr(results, "restrictions", None), held(results.model)
    constrained = restrictions is not None and len(restrictions.matrix)
    if not known and not constrained:
        raise ValueError(
            "score_test needs a hypothesis ('x1 = 0'), or terms to add ('+ x2'): without, it tests the constraints of "
            "a fit, or what it holds, and this one has none"
        )
    beta = polished(results)
    larger, beta = let_go(results.model, beta) if known else (results.model, beta)
    df = len(larger.design.names) - free(results)
    text = described(results)
    return _as_test(results, text, "the same without", score_statistic(larger, beta, None, information), df)


def _as_test(
    results: "Results", smaller: str, larger: str, found: Any, df: int, notes: Sequence[str] | None = None
) -> ModelTest:
    said = caveats(results, results) if notes is None else notes
    return ModelTest(
        "Score test",
        smaller,
        larger,
        found.statistic,
        df,
        chi2_tail(found.statistic, df),
        f"chi2({df})",
        (f"By the {found.information} information under the hypothesis.", *said),
    )
