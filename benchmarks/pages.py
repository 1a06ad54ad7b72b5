"""Write a table into a page of docs/, between two comments that name the script that makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def coverage_lines(
    coverage: Callable[[str, int], Mapping[str, float]],
    families: Iterable[str],
    sizes: Sequence[int],
    kinds: Sequence[str],
) -> list[list[str]]:
    """Measure each family at each number of rows: a line of percentages by kind, and the number of samples."""
    lines = []
    for family in families:
        for rows in sizes:
            found = coverage(family, rows)
            cells = [f"{found[kind]:.1f}" if kind in found else "" for kind in kinds]
            lines.append([family, f"{rows}", *cells, f"{found['samples']:g}"])
            print(lines[-1], flush=True)
    return lines


def write_table(page: str, script: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Replace the table of a page that this script makes; the page has the two comments already."""
    begin, end = f"<!-- table: made by python benchmarks/{script} -->", "<!-- end of the table -->"
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    if begin not in text:
        raise SystemExit(f"{path} has no line {begin!r}: add it, and {end!r} below it, where the table belongs")
    before, _, rest = text.partition(begin)
    lines = [heads, ["---"] * len(heads), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    path.write_text(f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}", encoding="utf-8")
