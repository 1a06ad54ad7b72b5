"""Strict JSON: what a saved fit is written in, and nothing more."""

import json
import math
import unicodedata
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from mlekit.links import Array

#: A file that is larger, in bytes, is not read.
LARGEST = 64 * 2**20
# Digits of a whole number: those of 2**64.
_DIGITS = 20
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class SavedFitError(ValueError):
    """A file that is no saved fit, or a fit that cannot be saved."""


def write(record: Any) -> str:
    """Write a record of dicts, lists, text, numbers, booleans and None; lists of plain values have a line each.

    Finite numbers are written with as few digits as tell them from all other floats.

    Examples
    --------
    >>> print(write({"a": [0.1, 1e-300], "b": {"c": None}}), end="")
    {
      "a": [0.1, 1e-300],
      "b": {
        "c": null
      }
    }
    """
    return "".join(_written(record, "")) + "\n"


def _written(value: Any, margin: str) -> Iterable[str]:
    inner = margin + "  "
    if isinstance(value, dict) and value:
        separator = "{\n"
        for key, item in value.items():
            yield f"{separator}{inner}{json.dumps(key, ensure_ascii=False)}: "
            yield from _written(item, inner)
            separator = ",\n"
        yield f"\n{margin}}}"
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        separator = "[\n"
        for item in value:
            yield f"{separator}{inner}"
            yield from _written(item, inner)
            separator = ",\n"
        yield f"\n{margin}]"
    else:
        yield json.dumps(value, ensure_ascii=False, allow_nan=False)


def read(text: str | bytes) -> Any:
    """Read such a text.

    Raises
    ------
    SavedFitError
        If it is too large, no JSON, or has a key twice, a number that is no float, or characters that control a
        terminal.

    Examples
    --------
    >>> read('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    mlekit.saving.text.SavedFitError: the file is no saved fit: it has the key 'a' twice in one place
    """
    if len(text) > LARGEST:
        refuse(f"it has more than {LARGEST // 2**20} MB")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        found = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_whole, parse_float=_real, parse_constant=_constant
        )
        for string in _strings(found):
            _plain(string)
    except UnicodeError:
        refuse("it is not in UTF-8")
    except json.JSONDecodeError as error:
        refuse(f"it is no JSON ({error})")
    except RecursionError:
        refuse("it is nested too deeply")
    return found


def refuse(why: str) -> NoReturn:
    """Say why a file is no saved fit."""
    raise SavedFitError(f"the file is no saved fit: {why}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            refuse(f"it has the key {key[:50]!r} twice in one place")
        found[key] = value
    return found


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        refuse(f"it has a whole number of {len(digits)} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        refuse(f"it has the number {digits[:50]}, which is no float")
    return value


def _constant(name: str) -> NoReturn:
    refuse(f"it has {name}, which is no JSON: as text, in quotes, it is")


def _strings(value: Any) -> Iterable[str]:
    """Every text in a record."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            left += [*item, *item.values()]
        elif isinstance(item, list):
            left += item


def _plain(string: str) -> None:
    """Refuse characters that a terminal obeys, and halves of characters."""
    if string.isprintable():
        return
    for character in string:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            refuse(f"it has the control character {character!r} in {string[:50]!r}")


# ------------------------------------------------------------------------------------ numbers


def number(value: Any) -> float | str:
    """Write a float: as a number, or by its name if it is not finite.

    Examples
    --------
    >>> number(np.float64(0.1)), number(float("nan")), number(-np.inf)
    (0.1, 'NaN', '-Infinity')
    """
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def real(value: Any) -> float:
    """Read a float; see :func:`number`."""
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


def listed(values: Any) -> Any:
    """Write an array as a list of numbers, or of lists."""
    return [listed(value) for value in values] if np.ndim(values) else number(values)


def vector(values: list[Any]) -> Array:
    """Read a list of numbers."""
    return np.array([real(value) for value in values], dtype=float)


def matrix(rows: list[Any], columns: int, what: str) -> Array:
    """Read a matrix of so many columns.

    Raises
    ------
    SavedFitError
        If a row has another length.
    """
    if any(len(row) != columns for row in rows):
        refuse(f"{what} has a row that has not {columns} numbers")
    return np.array([[real(value) for value in row] for row in rows], dtype=float).reshape(len(rows), columns)


def digits(values: Array) -> list[str]:
    """Write numbers of more digits, or a wider range, than a float has, with as many digits as they need.

    Examples
    --------
    >>> exact = np.array([1, 2], dtype=np.longdouble) / 3
    >>> bool((long(digits(exact)) == exact).all())
    True
    """
    return [np.format_float_scientific(value) for value in values]


def long(values: list[str]) -> Array:
    """Read such numbers."""
    found = np.array([np.longdouble(value) for value in values], dtype=np.longdouble)
    if not np.isfinite(found).all():
        refuse("it has a number that is too large")
    return found
