"""The africa fit by formula with its summary, and a fresh process that does it, against statsmodels."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

from peers import medians, report

FORMULA = "miltcoup ~ parties"

OURS = f"""
import mlekit
data = mlekit.datasets.load_africa()
print(mlekit.fit({FORMULA!r}, data, family="poisson").summary())
"""

THEIRS = f"""
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
data = pd.read_csv({{path!r}})
print(smf.glm({FORMULA!r}, data, family=sm.families.Poisson()).fit().summary())
"""


def in_process(rounds: int) -> None:
    """Time a fit with its summary in a warm process."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    import mlekit

    data = mlekit.datasets.load_africa()
    functions: dict[str, Any] = {
        "mlekit": lambda: str(mlekit.fit(FORMULA, data, family="poisson").summary()),
        "statsmodels glm": lambda: str(smf.glm(FORMULA, data, family=sm.families.Poisson()).fit().summary()),
        "statsmodels poisson": lambda: str(smf.poisson(FORMULA, data).fit(disp=0).summary()),
    }
    found = medians(functions, rounds)
    report("africa fit with summary", "mlekit", found, {"statsmodels glm": 1.0, "statsmodels poisson": 1.0})


def fresh_process(rounds: int) -> None:
    """Time a process that imports, fits and prints."""
    from pathlib import Path

    theirs = THEIRS.format(path=str(Path(__file__).parents[1] / "datasets" / "africa.csv"))
    functions = {
        "mlekit": lambda: run(OURS),
        "statsmodels.formula.api": lambda: run(theirs),
    }
    found = medians(functions, rounds)
    report("fresh process: import, fit, print", "mlekit", found, {"statsmodels.formula.api": 1.0})


def run(code: str) -> None:
    """Run a script in a process of its own."""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    in_process(rounds=50)
    fresh_process(rounds=9)
