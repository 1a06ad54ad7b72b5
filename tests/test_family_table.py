"""The table of families in the documents is that of the registry, and the names in it are true."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from mlekit.families import FAMILIES
from tests.family_table import PAGE, mathematics, page, row, values

ROWS = {name: row(name, kind) for name, kind in FAMILIES.items()}


def test_the_page_has_the_table_of_the_registry() -> None:
    """If this fails, run ``python -m tests.family_table``."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


def test_every_family_with_a_mean_is_named_in_r() -> None:
    assert {name for name, cells in ROWS.items() if cells[-2] == "none"} == set()


@pytest.mark.parametrize(
    "name", [name for name, cells in ROWS.items() if cells[-1] not in ("none", "`binom(successes + failures, p)`")]
)
def test_the_name_in_scipy_is_that_distribution(name: str) -> None:
    """Evaluated as the table has it, it has the density of the family."""
    kind = FAMILIES[name]
    family = kind(**{c: 0.3 for c in kind.constants})
    theta = dict(zip(family.params, values(family), strict=True)) | {c: 0.3 for c in kind.constants}
    expression = ROWS[name][-1].strip("`").replace("\\|", "|")
    distribution = eval(f"stats.{mathematics(expression)}", {"stats": stats, "sqrt": np.sqrt, "exp": np.exp}, theta)
    share = np.array([0.2, 0.5, 0.9])
    y = distribution.ppf(share)
    density = distribution.logpmf if family.discrete else distribution.logpdf
    parameters = [theta[p] for p in family.params]
    np.testing.assert_allclose(family.logpdf(y, *parameters), density(y), rtol=1e-10, atol=1e-12)


def test_every_mean_is_in_the_table() -> None:
    for name, kind in FAMILIES.items():
        assert (ROWS[name][4] == "none") == (not kind.params), name
        assert not re.search("docstring", ROWS[name][4])
