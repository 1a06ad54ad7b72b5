"""Reference fits on the user's own machine: ``mlekit.selftest()``.

The cases, in ``selftest_cases.json``, are regressions solved with 50 digits in mpmath, likelihoods maximised by R,
NIST's Longley data, a separated outcome and a maximum at the limit of a parameter. No number is mlekit's own.
"""

import contextlib
import importlib.metadata
import io
import json
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from mlekit.families import FAMILIES
from mlekit.fitter import fit
from mlekit.verified import digits
from mlekit.version import __version__

_PACKAGES = ("numpy", "scipy", "pandas", "patsy", "statsmodels")


@dataclass(frozen=True, repr=False)
class SelfTest:
    """What came of the reference fits. It is true in a condition if all are right.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per number or group of them: case, what, digits that agree (of the worst), least that must, passed.
    versions : dict
        Of mlekit, Python, the packages it needs, and the linear algebra that NumPy was built with.
    """

    table: pd.DataFrame
    versions: Mapping[str, str] = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether all are right."""
        return bool(self.table.passed.all())

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        failed = int((~self.table.passed).sum())
        said = f"{failed} of {len(self.table)} comparisons failed" if failed else "all comparisons passed"
        shown = self.table.assign(passed=self.table.passed.map({True: "yes", False: "NO"}))
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{shown.to_string(index=False)}\n{versions}\nSelf-test: {said}"

    __repr__ = __str__


def selftest() -> SelfTest:
    """Run reference fits on this machine, and say how many digits agree with numbers of others.

    It takes about a second.

    Returns
    -------
    SelfTest
        Prints as a table; ``passed`` is whether all agree.

    Examples
    --------
    >>> found = selftest()
    >>> found.passed, len(found.table) > 40
    (True, True)
    """
    cases = json.loads(resources.files("mlekit").joinpath("selftest_cases.json").read_text(encoding="utf-8"))
    rows = [row for case in cases for row in _run(case)]
    return SelfTest(pd.DataFrame(rows, columns=["case", "what", "digits", "least", "passed"]), versions())


def _run(case: Mapping[str, Any]) -> list[tuple[str, str, float, float, bool]]:
    """Fit a case and compare; a fit that raises fails with the error in the place of what was compared."""
    name, least = case["name"], float(case["least"])
    frame = pd.DataFrame(case["data"])
    for column, levels in case["factors"].items():
        frame[column] = pd.Categorical(frame[column], categories=levels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they would say is in the status
            family = FAMILIES[case["family"]](**case["links"])
            found = fit(case["formula"], frame, family, **case["options"])
            status = found.status.name
            ended = status == case["status"] if case["status"] else found.converged
            rows = [(name, f"status {status}", np.nan, np.nan, bool(ended))]
            for what, expected in case["expected"].items():
                left = _agreeing(_numbers(found, what), expected)
                rows.append((name, what, left, least, left >= least))
            return rows
    except Exception as error:  # whatever is wrong with this machine is what is looked for
        return [(name, f"{type(error).__name__}: {error}", 0.0, least, False)]


def _numbers(found: Any, what: str) -> Any:
    kind, _, cov_type = what.partition(" ")
    return getattr(found.with_cov(cov_type) if cov_type else found, kind)


def _agreeing(found: Any, expected: Any) -> float:
    """Digits in which the worst of some numbers agrees."""
    right = pd.Series(expected if isinstance(expected, dict) else {"": expected}, dtype=float)
    ours = found[right.index] if isinstance(expected, dict) else pd.Series({"": found})
    error = np.abs(ours.to_numpy(dtype=float) - right.to_numpy())
    size = np.abs(right.to_numpy())
    return float(digits(error, np.where(size > 0, size, 1.0)).min())


def versions() -> dict[str, str]:
    """Versions of mlekit, of Python, of what mlekit needs, and the linear algebra behind NumPy."""
    found = {"mlekit": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    with contextlib.redirect_stdout(io.StringIO()):
        config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    found["BLAS"] = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    found["machine"] = platform.machine()
    return found
