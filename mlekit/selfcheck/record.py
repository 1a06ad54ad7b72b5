"""What is said of a family that was compared with its own log-density."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mlekit.families.base import GenericLikelihood


class Line(NamedTuple):
    """One comparison, at the values where the two ways differ most.

    Attributes
    ----------
    what : str
    at : str
        The response and the parameters.
    ours, reference : float
        What the family says, and what follows from its log-density; NaN if nothing does.
    deviation, tolerance : float
        Their distance relative to the size that matters (a standard deviation, an information), and what is allowed.
    by : str
        How the reference was found.
    """

    what: str
    at: str
    ours: float
    reference: float
    deviation: float
    tolerance: float
    by: str

    @property
    def agrees(self) -> bool | None:
        """Whether the deviation is within the tolerance; None where there is no reference."""
        return None if np.isnan(self.reference) else bool(self.deviation <= self.tolerance)


@dataclass(frozen=True, repr=False)
class FamilyCheck:
    """What agrees in a family, and what does not.

    It is true in a condition if nothing disagrees, so that a test can be ``assert family.check(...)``.

    Attributes
    ----------
    family : GenericLikelihood
    discrete : bool
        Whether expectations are sums over the whole numbers.
    lines : tuple of Line
        The comparisons.
    notes : tuple of str
        What was not compared, and why.
    """

    family: "GenericLikelihood"
    discrete: bool
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Line, ...]:
        """The comparisons that disagree."""
        return tuple(line for line in self.lines if line.agrees is False)

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    @property
    def table(self) -> Any:
        """The comparisons as a pandas DataFrame."""
        import pandas as pd

        words = {True: "yes", False: "NO", None: "?"}
        rows = [line._asdict() | {"agrees": words[line.agrees]} for line in self.lines]
        return pd.DataFrame(rows, columns=[*Line._fields, "agrees"]).set_index("what")

    def __str__(self) -> str:
        kind = "discrete" if self.discrete else "continuous"
        count = len(self.failures)
        verdict = f"{count} of {len(self.lines)} disagree" if count else "nothing disagrees"
        shown = self.table.drop(columns="tolerance").reset_index()
        formats: Any = {"ours": "{:.8g}".format, "reference": "{:.8g}".format, "deviation": "{:.0e}".format}
        unknown = ["?: the reference does not converge, or is not a number."]
        return "\n".join(
            [
                f"{self.family!r}, {kind}: {verdict}",
                shown.to_string(formatters=formats, index=False),
                *(unknown if any(line.agrees is None for line in self.lines) else []),
                *self.notes,
            ]
        )

    __repr__ = __str__
