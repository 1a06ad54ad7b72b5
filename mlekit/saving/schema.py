"""The schema of saved fits, and whether a record follows it; as much of JSON Schema as it uses."""

import functools
import json
import re
from collections.abc import Callable
from importlib import resources
from typing import Any, NoReturn

from mlekit.saving.text import SavedFitError

# What the words for types mean. A boolean is no number.
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


@functools.cache
def schema() -> dict[str, Any]:
    """JSON Schema of a saved fit (draft 2020-12)."""
    found: dict[str, Any] = json.loads(resources.files("mlekit.saving").joinpath("schema.json").read_text("utf-8"))
    return found


def check_schema(record: Any, otherwise: str = "the file is no saved fit") -> None:
    """Refuse a record that does not follow the schema, and name the first place where.

    Parameters
    ----------
    record
    otherwise : str
        How the message begins.

    Examples
    --------
    >>> check_schema({"format": "mlekit fit"})
    Traceback (most recent call last):
    ...
    mlekit.saving.text.SavedFitError: the file is no saved fit: it lacks version, provenance, family, design, fit
    """
    try:
        _check(record, schema(), "it")
    except _Mismatch as found:
        raise SavedFitError(f"{otherwise}: {found}") from None


class _Mismatch(Exception):
    """Where a record does not follow the schema."""


def _no(place: str, why: str) -> NoReturn:
    raise _Mismatch(f"{place} {why}")


def _check(value: Any, rule: dict[str, Any], place: str) -> None:
    if "$ref" in rule:
        rule = schema()["$defs"][rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:
        _any_of(value, rule, place)
        return
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[name](value) for name in types):
        _no(place, f"must be {' or '.join(types)}, not {_short(value)}")
    if "enum" in rule and not any(type(value) is type(one) and value == one for one in rule["enum"]):
        _no(place, f"must be one of {', '.join(map(repr, rule['enum']))}, not {_short(value)}")
    if isinstance(value, dict):
        _object(value, rule, place)
    elif isinstance(value, list):
        _array(value, rule, place)
    elif isinstance(value, str):
        if "pattern" in rule and not re.search(rule["pattern"], value):
            _no(place, f"is {_short(value)}, which is not written as {rule['title']}")
    elif value is not None and "minimum" in rule and value < rule["minimum"]:
        _no(place, f"must not be below {rule['minimum']}, and is {_short(value)}")


def _any_of(value: Any, rule: dict[str, Any], place: str) -> None:
    """Check what may be of several kinds: an object is of the kind that its first key tells, if one fits it."""
    said = []
    for choice in rule["anyOf"]:
        try:
            _check(value, choice, place)
            return
        except _Mismatch as found:
            said.append(str(found))
    if isinstance(value, dict):
        _no(place, f"is no {rule['title']}: {said[-1] if len(said) == 1 else '; or '.join(said)}"[:500])
    _no(place, f"must be {rule['title']}, not {_short(value)}")


def _object(value: dict[str, Any], rule: dict[str, Any], place: str) -> None:
    known = rule.get("properties", {})
    lacking = [name for name in rule.get("required", ()) if name not in value]
    if lacking:
        _no(place, f"lacks {', '.join(lacking)}")
    others = rule.get("additionalProperties", False)
    for name, item in value.items():
        where = name[:50] if place == "it" else f"{place}.{name[:50]}"
        if name in known:
            _check(item, known[name], where)
        elif others is False:
            _no(place, f"has {name[:50]!r}, which is not known")
        else:
            _check(item, others, where)


def _array(value: list[Any], rule: dict[str, Any], place: str) -> None:
    low, high = rule.get("minItems", 0), rule.get("maxItems", len(value))
    if not low <= len(value) <= high:
        _no(place, f"must have {low if low == high else f'at least {low}'} entries, and has {len(value)}")
    for i, item in enumerate(value):
        _check(item, rule["items"], f"{place}[{i}]")


def _short(value: Any) -> str:
    said = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return said if len(said) <= 60 else f"{said[:60]}..."
