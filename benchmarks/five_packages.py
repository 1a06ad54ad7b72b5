"""The same data in five packages: ``python benchmarks/five_packages.py`` writes the table of docs/trust.md.

Each case has a right answer, found without any of the five. What a package returns counts as right if it is that; else
the table shows it, and whether a warning or an error said so. R has to be on the path.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import glum
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from pages import write_table
from scipy.special import logsumexp
from sklearn import linear_model

import mlekit
from mlekit.datasets import load_africa

PACKAGES = ("mlekit", "statsmodels", "scikit-learn", "glum", "R")
Answer = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True)
class Case:
    """One data set, one number asked for, and what each package is asked by.

    ``right`` is a number (to six digits), or the word "refused" or "said" where an error or a warning is right.
    ``answers`` are by package; R's is code that reads the data frame ``d``.
    """

    what: str
    asked: str
    right: float | str
    data: pd.DataFrame
    answers: dict[str, Answer | str]


# ------------------------------------------------------------------------------------ how packages are asked


def _sm_glm(formula: str, family: Any, pick: Callable[[Any], Any], **how: Any) -> Answer:
    def answer(d: pd.DataFrame) -> Any:
        return pick(smf.glm(formula, d, family=family(), **how).fit())

    return answer


def _mlekit(formula: str, family: str, pick: Callable[[Any], Any], **how: Any) -> Answer:
    return lambda d: pick(mlekit.fit(formula, d, family=family, **how))


def _sklearn(model: Any, x: list[str], y: str, position: int = 0) -> Answer:
    return lambda d: model.fit(d[x], d[y]).coef_.ravel()[position]


def _glum(family: str, x: list[str], y: str, position: int = 0, **how: Any) -> Answer:
    def answer(d: pd.DataFrame) -> Any:
        model = glum.GeneralizedLinearRegressor(family=family, alpha=0)
        columns = {name: d[how[name]] for name in how}
        return model.fit(d[x], d[y], **columns).coef_[position]

    return answer


def _coefficient(name: str) -> Callable[[Any], float]:
    return lambda fit: float(fit.params[name])


# ------------------------------------------------------------------------------------ the cases

AFRICA = load_africa()
_REFERENCE = Path(__file__).parent.parent / "tests" / "reference" / "africa_poisson_parties.json"
EXPECTED = json.loads(_REFERENCE.read_text(encoding="utf-8"))["expected"]  # to 50 digits, rounded
SLOPE = EXPECTED["params"]["parties"]
QUASI = pd.DataFrame({"y": [0, 0, 0, 1, 0, 1], "x1": [0, 0, 1, 1, 0, 0], "x2": [0, 0, 0, 0, 1, 1]})
ZEROS = pd.DataFrame({"y": [0, 0, 0, 0, 3, 5, 2, 4], "a": [1, 1, 1, 1, 0, 0, 0, 0]})
LARGE = AFRICA.assign(parties=AFRICA["parties"] * 1e8)
SHIFTED = AFRICA.assign(parties=AFRICA["parties"] + 1e8)
OFFSET = pd.DataFrame({"y": [3, 1, 4, 1, 5, 9, 2, 6], "o": np.linspace(600.0, 690.0, 8), "one": 1.0})
COLLINEAR = pd.DataFrame({"x1": [1.0, 2, 3, 4, 5, 7], "y": [1.0, 3, 2, 5, 4, 6]}).assign(x2=lambda d: 2 * d["x1"] + 1)
HEIGHTS = pd.DataFrame({"y": [158.0, 160, 165, 168], "x": [48.0, 53, 54, 60]})
_RESIDUALS = HEIGHTS["y"] - np.polyval(np.polyfit(HEIGHTS["x"], HEIGHTS["y"], 1), HEIGHTS["x"])
AIC = 4 * (np.log(2 * np.pi * np.mean(_RESIDUALS**2)) + 1) + 2 * 3
WEIGHTED = pd.DataFrame({"y": [1.0, 2, 4, np.nan, 7], "w": [1.0, 2, 1, 3, 1], "one": 1.0})
EVEN = pd.DataFrame({"y": [3, 2, 3, 3, 2, 3, 3, 2]})
TWO = pd.DataFrame({"y": [0, 1, 1, 2, 0, 1], "x": [1.0, 2, 3, 4, 5, 6]})
GROUPS = pd.DataFrame({"y": [1.0, 2, 3, 5], "g": ["a", "a", "b", "b"]})
EXPOSED = pd.DataFrame({"y": [3, 5, 2, 8], "t": [1.0, 2, 1, 4], "x": [0.0, 1, 0, 1]})

CASES = (
    Case(
        "outcomes separated in two of six rows",
        "coefficient of x1",
        np.inf,
        QUASI,
        {
            "mlekit": _mlekit("y ~ x1 + x2", "bernoulli", _coefficient("x1")),
            "statsmodels": _sm_glm("y ~ x1 + x2", sm.families.Binomial, _coefficient("x1")),
            "scikit-learn": _sklearn(linear_model.LogisticRegression(C=np.inf), ["x1", "x2"], "y"),
            "glum": _glum("binomial", ["x1", "x2"], "y"),
            "R": "coef(glm(y ~ x1 + x2, binomial, d))[['x1']]",
        },
    ),
    Case(
        "a group whose counts are all zero",
        "its coefficient",
        -np.inf,
        ZEROS,
        {
            "mlekit": _mlekit("y ~ a", "poisson", _coefficient("a")),
            "statsmodels": _sm_glm("y ~ a", sm.families.Poisson, _coefficient("a")),
            "scikit-learn": _sklearn(linear_model.PoissonRegressor(alpha=0), ["a"], "y"),
            "glum": _glum("poisson", ["a"], "y"),
            "R": "coef(glm(y ~ a, poisson, d))[['a']]",
        },
    ),
    Case(
        "counts, the covariate in units of 1e-8",
        "slope",
        SLOPE / 1e8,
        LARGE,
        {
            "mlekit": _mlekit("miltcoup ~ parties", "poisson", _coefficient("parties")),
            "statsmodels": lambda d: smf.poisson("miltcoup ~ parties", d).fit(disp=0).params["parties"],
            "scikit-learn": _sklearn(linear_model.PoissonRegressor(alpha=0), ["parties"], "miltcoup"),
            "glum": _glum("poisson", ["parties"], "miltcoup"),
            "R": "coef(glm(miltcoup ~ parties, poisson, d))[['parties']]",
        },
    ),
    Case(
        "counts, the covariate plus 1e8",
        "slope",
        SLOPE,
        SHIFTED,
        {
            "mlekit": _mlekit("miltcoup ~ parties", "poisson", _coefficient("parties")),
            "statsmodels": lambda d: smf.poisson("miltcoup ~ parties", d).fit(disp=0).params["parties"],
            "scikit-learn": _sklearn(linear_model.PoissonRegressor(alpha=0), ["parties"], "miltcoup"),
            "glum": _glum("poisson", ["parties"], "miltcoup"),
            "R": "coef(glm(miltcoup ~ parties, poisson, d))[['parties']]",
        },
    ),
    Case(
        "robust errors HC3 of a Poisson regression",
        "standard error of the slope",
        EXPECTED["robust"]["HC3"]["bse"]["parties"],
        AFRICA,
        {
            "mlekit": _mlekit("miltcoup ~ parties", "poisson", lambda f: f.with_cov("HC3").bse["parties"]),
            "statsmodels": lambda d: smf.poisson("miltcoup ~ parties", d).fit(disp=0, cov_type="HC3").bse["parties"],
            "R": "sqrt(sandwich::vcovHC(glm(miltcoup ~ parties, poisson, d, epsilon = 1e-14), 'HC3')[2, 2])",
        },
    ),
    Case(
        "counts with an offset of 600 to 690",
        "intercept",
        float(np.log(OFFSET["y"].sum()) - logsumexp(OFFSET["o"])),
        OFFSET,
        {
            "mlekit": _mlekit("y ~ 1", "poisson", _coefficient("Intercept"), offset="o"),
            "statsmodels": lambda d: smf.poisson("y ~ 1", d, offset=d["o"]).fit(disp=0).params["Intercept"],
            "glum": lambda d: (
                glum.GeneralizedLinearRegressor(family="poisson", alpha=0, fit_intercept=False)
                .fit(d[["one"]], d["y"], offset=d["o"])
                .coef_[0]
            ),
            "R": "coef(glm(y ~ 1 + offset(o), poisson, d))[[1]]",
        },
    ),
    Case(
        "an outcome of 2 in a logit",
        "an error",
        "refused",
        TWO,
        {
            "mlekit": _mlekit("y ~ x", "bernoulli", _coefficient("x")),
            "statsmodels": _sm_glm("y ~ x", sm.families.Binomial, _coefficient("x")),
            "scikit-learn": _sklearn(linear_model.LogisticRegression(C=np.inf), ["x"], "y"),
            "glum": _glum("binomial", ["x"], "y"),
            "R": "coef(glm(y ~ x, binomial, d))[['x']]",
        },
    ),
    Case(
        "a fit that is stopped after one iteration",
        "a warning",
        "said",
        AFRICA,
        {
            "mlekit": lambda d: mlekit.fit("miltcoup ~ parties", d, family="poisson", maxiter=1).params["parties"],
            "statsmodels": lambda d: (
                smf.glm("miltcoup ~ parties", d, family=sm.families.Poisson()).fit(maxiter=1).params["parties"]
            ),
            "scikit-learn": _sklearn(linear_model.PoissonRegressor(alpha=0, max_iter=1), ["parties"], "miltcoup"),
            "glum": lambda d: (
                glum.GeneralizedLinearRegressor(family="poisson", alpha=0, max_iter=1)
                .fit(d[["parties"]], d["miltcoup"])
                .coef_[0]
            ),
            "R": "coef(glm(miltcoup ~ parties, poisson, d, maxit = 1))[['parties']]",
        },
    ),
    Case(
        "a covariate that is 2 x1 + 1",
        "that it is said",
        "said",
        COLLINEAR,
        {
            "mlekit": _mlekit("y ~ x1 + x2", "normal", lambda f: f.params.get("x2", np.nan)),
            "statsmodels": lambda d: smf.ols("y ~ x1 + x2", d).fit().params["x2"],
            "scikit-learn": _sklearn(linear_model.LinearRegression(), ["x1", "x2"], "y", 1),
            "glum": _glum("normal", ["x1", "x2"], "y", 1),
            "R": "coef(lm(y ~ x1 + x2, d))[['x2']]",
        },
    ),
    Case(
        "counts that vary less than Poisson's, by a negative binomial",
        "its dispersion",
        0.0,
        EVEN,
        {
            "mlekit": _mlekit("y ~ 1", "negative_binomial", lambda f: f.distribution.loc["alpha", "estimate"]),
            "statsmodels": lambda d: smf.negativebinomial("y ~ 1", d).fit(disp=0).params["alpha"],
            "R": "1 / MASS::glm.nb(y ~ 1, d)$theta",
        },
    ),
    Case(
        "missing values beside weights",
        "mean",
        3.2,
        WEIGHTED,
        {
            "mlekit": _mlekit("y ~ 1", "normal", _coefficient("Intercept"), weights="w"),
            "statsmodels": lambda d: smf.wls("y ~ 1", d, weights=d["w"]).fit().params["Intercept"],
            "scikit-learn": lambda d: (
                linear_model.LinearRegression(fit_intercept=False).fit(d[["one"]], d["y"], d["w"]).coef_[0]
            ),
            "glum": _glum("normal", ["one"], "y", sample_weight="w"),
            "R": "coef(lm(y ~ 1, d, weights = w))[[1]]",
        },
    ),
    Case(
        "AIC of a straight line, whose sigma is estimated too",
        "AIC",
        float(AIC),
        HEIGHTS,
        {
            "mlekit": _mlekit("y ~ x", "normal", lambda f: f.aic),
            "statsmodels": lambda d: smf.ols("y ~ x", d).fit().aic,
            "R": "AIC(lm(y ~ x, d))",
        },
    ),
    Case(
        "prediction without the exposure that the fit had",
        "an error",
        "refused",
        EXPOSED,
        {
            "mlekit": lambda d: mlekit.fit("y ~ x", d, "poisson", exposure="t").predict(d[["x"]])[0],
            "statsmodels": lambda d: smf.poisson("y ~ x", d, exposure=d["t"]).fit(disp=0).predict(d[["x"]].copy())[0],
            "glum": lambda d: (
                glum.GeneralizedLinearRegressor(family="poisson", alpha=0)
                .fit(d[["x"]], d["y"], offset=np.log(d["t"]))
                .predict(d[["x"]])[0]
            ),
            "R": "predict(glm(y ~ x + offset(log(t)), poisson, d), d['x'], type = 'response')[[1]]",
        },
    ),
    Case(
        "a misspelt argument (`weigths`)",
        "an error",
        "refused",
        HEIGHTS.assign(w=[1, 2, 3, 4]),
        {
            "mlekit": lambda d: mlekit.fit("y ~ x", d, weigths="w").params["x"],  # type: ignore[call-arg]
            "statsmodels": lambda d: smf.glm("y ~ x", d, weigths=d["w"]).fit().params["x"],
            "scikit-learn": lambda d: linear_model.LinearRegression().fit(d[["x"]], d["y"], weigths=d["w"]).coef_[0],
            "glum": _glum("normal", ["x"], "y", weigths="w"),
            "R": "coef(glm(y ~ x, gaussian, d, weigths = w))[['x']]",
        },
    ),
    Case(
        "prediction for a level that the fit has not seen",
        "an error that names it",
        "refused",
        GROUPS,
        {
            "mlekit": lambda d: mlekit.fit("y ~ g", d).predict(pd.DataFrame({"g": ["c"]}))[0],
            "statsmodels": lambda d: smf.ols("y ~ g", d).fit().predict(pd.DataFrame({"g": ["c"]}))[0],
            "R": "predict(lm(y ~ g, d), data.frame(g = 'c'))[[1]]",
        },
    ),
)


# ------------------------------------------------------------------------------------ what comes of them


@dataclass(frozen=True)
class Outcome:
    """What a package returned, and what it said."""

    value: float | None
    warned: str = ""
    error: str = ""

    def cell(self, right: float | str) -> str:
        """One cell of the table: "right", or what came out instead."""
        if self.error:
            return (
                "right (an error)"
                if right in ("refused", "said")
                else f"error: {textwrap.shorten(self.error, 60, placeholder='...')}"
            )
        if right == "said" and self.warned:
            return "right (a warning)"
        if isinstance(right, float) and _same(self.value, right):
            return "right"
        if np.isnan(self.value):
            return f"NaN{', a warning' if self.warned else ''}"
        return f"{self.value:.6g}, a warning" if self.warned else f"**{self.value:.6g}, silently**"


def _same(value: float | None, right: float) -> bool:
    return value is not None and (value == right or bool(np.isclose(value, right, rtol=1e-6, atol=0)))


def in_python(answer: Answer, data: pd.DataFrame) -> Outcome:
    """Ask a Python package."""
    with warnings.catch_warnings(record=True) as said, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("always")
        try:
            value = float(answer(data.copy()))
        except Exception as error:
            return Outcome(None, error=f"{error}" or type(error).__name__)
    return Outcome(
        value, "; ".join(f"{w.message}" for w in said if not issubclass(w.category, DeprecationWarning | FutureWarning))
    )


_R = """
d <- read.csv("{path}")
said <- character(0)
value <- tryCatch(withCallingHandlers({code}, warning = function(w) {{
  said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning")
}}), error = function(e) {{ cat("error:", conditionMessage(e), "\\n"); quit() }})
cat(sprintf("%.17g", value), "\\n", paste(said, collapse = "; "))
"""


def in_r(code: str, data: pd.DataFrame) -> Outcome:
    """Ask R."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False, float_format="%.17g")
        made = subprocess.run(
            ["Rscript", "-e", _R.format(path=path.as_posix(), code=code)], capture_output=True, text=True, check=True
        )
    first, _, rest = made.stdout.partition("\n")
    if first.startswith("error:"):
        return Outcome(None, error=first.removeprefix("error: "))
    return Outcome(float("nan") if first.strip() == "NA" else float(first), rest.strip())


def ask(case: Case, package: str) -> str:
    """Return the cell of a case and a package."""
    answer = case.answers.get(package)
    if answer is None:
        return "not offered"
    outcome = in_r(answer, case.data) if isinstance(answer, str) else in_python(answer, case.data)
    return outcome.cell(case.right)


def main() -> None:
    """Write the table."""
    rows = []
    for case in CASES:
        right = case.right if isinstance(case.right, str) else f"{case.right:.6g}"
        rows.append([case.what, f"{case.asked}: {right}", *(ask(case, package) for package in PACKAGES)])
        print(rows[-1], flush=True)
    write_table("trust.md", "five_packages.py", ["data", "right", *PACKAGES], rows)


if __name__ == "__main__":
    main()
