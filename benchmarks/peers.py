"""Time functions against each other in one run: turn by turn, so that a noisy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

# OpenBLAS's threads go on spinning for tens of milliseconds after their work: without a rest, each function would pay
# for the threads of the one before it.
_REST = 0.2


def medians(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each function over so many rounds, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            time.sleep(_REST)
            begin = time.perf_counter()
            function()
            if turn:
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(title: str, ours: str, found: Mapping[str, float], targets: Mapping[str, float]) -> None:
    """Print each peer's median and ours as a ratio to it, beside the ratio aimed for."""
    print(f"{title}: {ours} {found[ours] * 1e3:.1f} ms")
    for name, target in targets.items():
        ratio = found[ours] / found[name]
        verdict = "reached" if ratio <= target else "MISSED"
        print(f"  / {name:<42} {found[name] * 1e3:9.1f} ms   ratio {ratio:.3f}   aim {target:g}   {verdict}")
