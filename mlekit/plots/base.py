"""An empty figure and the look of its lines. matplotlib is an optional extra: ``pip install "mlekit[plot]"``."""

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; markers and dashes tell them apart in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":")


def figure(width: float = 6.4, height: float = 4.0) -> "Figure":
    """Return an empty figure, without touching the state of pyplot.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "mlekit[plot]"') from None
    return Figure(figsize=(width, height), layout="constrained")


def style(i: int, count: int) -> dict[str, Any]:
    """Look of the i-th line: open markers that shrink, so that equal traces show through one another."""
    kind = i % len(COLOURS)
    return {
        "color": COLOURS[kind],
        "marker": MARKERS[kind],
        "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        "linewidth": 1.3,
        "markersize": 8 - 4 * i / max(count - 1, 1),
        "markerfacecolor": "none",
    }


def lines(text: str, width: int) -> str:
    """Break text into two lines at most; of what is too long the middle goes, as formulas differ at their ends."""
    broken = textwrap.wrap(text, width, break_on_hyphens=False)
    if len(broken) > 2:
        broken = [f"{text[: width - 4].rstrip()} ...", text[-width:].lstrip()]
    return "\n".join(broken).replace("$", r"\$")  # Python's, not TeX's
