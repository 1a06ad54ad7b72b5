"""Settings for all tests and doctests."""

import doctest
import os
import re

os.environ.setdefault("MPLBACKEND", "Agg")  # figures need no screen


class FencedParser(doctest.DocTestParser):
    """Read a Markdown fence as a blank line: it ends the expected output of the example before it."""

    def parse(self, string: str, name: str = "<string>") -> list[str | doctest.Example]:
        """Split a text into examples and what is between them."""
        return super().parse(re.sub(r"^[ \t]*```.*$", "", string, flags=re.MULTILINE), name)


doctest.DocTestParser = FencedParser  # type: ignore[misc]  # pytest looks it up when it collects a text file
