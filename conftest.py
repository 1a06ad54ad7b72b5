"""Settings for all tests and doctests."""

import doctest
import os
import re
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # figures need no screen


class FencedParser(doctest.DocTestParser):
    """Read a Markdown fence as a blank line: it ends the expected output of the example before it."""

    def parse(self, string: str, name: str = "<string>") -> list[str | doctest.Example]:
        """Split a text into examples and what is between them."""
        return super().parse(re.sub(r"^[ \t]*```.*$", "", string, flags=re.MULTILINE), name)


doctest.DocTestParser = FencedParser  # type: ignore[misc]  # pytest looks it up when it collects a text file


@pytest.fixture(autouse=True)
def figures(doctest_namespace: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the documents a folder ``figures`` to draw into: a passing one, or the one that ``make figures`` names."""
    chosen = os.environ.get("MLEKIT_FIGURES")
    doctest_namespace["figures"] = Path(chosen) if chosen else tmp_path_factory.mktemp("figures")
