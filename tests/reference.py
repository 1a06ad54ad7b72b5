"""Reference fits: data, model and the right numbers. `reference/README.md` explains every key."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).parent / "reference"
_NONFINITE = {"Infinity": float("inf"), "-Infinity": float("-inf"), "NaN": float("nan")}


@dataclass(frozen=True)
class Case:
    """One reference case; `frame` is empty where a case names the data of others."""

    name: str
    kind: str
    frame: pd.DataFrame
    formula: str | dict[str, str] | None
    family: str | None
    link: str | None
    options: dict[str, Any]
    expected: dict[str, Any]


def cases(kind: str | Collection[str] | None = None) -> list[str]:
    """List the names of all cases, or of those of one kind or of several, sorted."""
    kinds = {kind} if isinstance(kind, str) else kind
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    found = [name for name in names if kinds is None or _read(name)["kind"] in kinds]
    if not found:  # a test over no case would pass without testing anything
        raise ValueError(f"no case of kind {kind!r}; kinds: {sorted({_read(name)['kind'] for name in names})}")
    return found


def load(name: str) -> Case:
    """Load a case. Nothing is shared between two calls, so a test may change what it gets."""
    raw = _read(name)
    return Case(
        name=raw["name"],
        kind=raw["kind"],
        frame=_frame(raw),
        formula=raw.get("formula"),
        family=raw.get("family"),
        link=raw.get("link"),
        options=_numbers(raw.get("options") or {}),
        expected=_numbers(raw["expected"]),
    )


@cache
def _read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def _frame(raw: dict[str, Any]) -> pd.DataFrame:
    """Build the data; columns named in `factors` become categorical, with R's order of the levels."""
    factors = raw.get("factors") or {}
    if "data_file" in raw:
        frame = pd.read_csv(FOLDER / raw["data_file"], dtype=dict.fromkeys(factors, str))
    else:
        frame = pd.DataFrame(raw.get("data") or {})
    for column, levels in factors.items():
        unknown = set(frame[column].dropna()) - set(levels)
        if unknown:  # pandas would turn them into missing values
            raise ValueError(f"{raw['name']}: {column} has values that are not among its levels: {unknown}")
        frame[column] = pd.Categorical(frame[column], categories=levels)
    return frame


def _numbers(value: Any) -> Any:
    """Copy a value, with floats for the strings that stand for infinities and NaN (strict JSON has none)."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return _NONFINITE.get(value, value) if isinstance(value, str) else value
