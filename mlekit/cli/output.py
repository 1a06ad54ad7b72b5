"""What a command prints: text at once, warnings and errors as one line each, and strict JSON."""

import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any


def emit(text: str, end: str = "\n") -> None:
    """Write to standard output at once, so that it is here that we learn if that cannot be done."""
    try:
        print(text, end=end, flush=True)
    except OSError:
        # What is left in the buffer goes nowhere, or Python would complain again when it exits.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        raise


def say(kind: str, message: str) -> None:
    """Write one line to standard error."""
    with contextlib.suppress(OSError):
        print(f"mlekit: {kind}: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_to_stderr() -> Iterator[None]:
    """Print each warning once, as one line; those meant for programmers not at all."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in said:
            said.add(text)
            say("warning", text)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def explained(error: Exception) -> str:
    """Say what went wrong: in the words of the error if it is one that mlekit expects."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, ValueError | TypeError | OSError | ImportError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error} (--traceback shows where it arose; please report it)"


def as_json(record: Mapping[str, Any]) -> str:
    """Write a record as strict JSON."""
    return json.dumps(_strict(record), indent=2, allow_nan=False)


def _strict(value: Any) -> Any:
    """Return a value in the types that JSON has: NaN as null, infinities as strings.

    Examples
    --------
    >>> _strict({"x": [float("nan"), float("-inf"), 1.5]})
    {'x': [None, '-Infinity', 1.5]}
    """
    if isinstance(value, Mapping):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # a NumPy number
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
