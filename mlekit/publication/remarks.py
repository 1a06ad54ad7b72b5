"""What a reader of several fits side by side must know: how they were made, and which numbers cannot be compared."""

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np

from mlekit.publication.columns import RATIOS, Column

_CRITERIA = "log-likelihoods, AIC and BIC cannot be compared"


def each(columns: Sequence[Column], said: Callable[[Column], Hashable]) -> Iterator[tuple[str, Hashable]]:
    """Each text that is said, after the columns that it is said of: nothing if of all, else " of " and their names."""
    texts = [said(column) for column in columns]
    for text in dict.fromkeys(texts):
        if text:
            names = [column.name for column, own in zip(columns, texts, strict=True) if own == text]
            yield ("" if len(names) == len(columns) else f" of {', '.join(names)}"), text


def failures(columns: Sequence[Column]) -> list[str]:
    """Why estimates are not to be trusted."""
    return [f"{column.name} WARNING: {column.failure}." for column in columns if column.failure]


def about_errors(columns: Sequence[Column]) -> list[str]:
    """What the standard errors are."""
    return [f"Standard errors{names}: {text}." for names, text in each(columns, lambda column: column.cov_text)]


def about_exponents(columns: Sequence[Column]) -> list[str]:
    """Which coefficients are exponents, and which are not.

    Raises
    ------
    ValueError
        If none is.
    """
    kinds = [
        f"Exponents of coefficients{names}: {text}."
        for names, text in each(columns, lambda column: " and ".join(_kinds(column)))
    ]
    if not kinds:
        raise ValueError(
            "exponentiate=True: no coefficient of these fits is on a log, logit or cloglog scale, so the exponent of "
            "none is a ratio"
        )
    plain = [
        f"Coefficients{names} on other scales, not exponents: {text}."
        for names, text in each(columns, lambda column: ", ".join(_plain(column)))
    ]
    tests = "Standard errors of exponents by the delta method; intervals and tests are those of the coefficients."
    return [*kinds, *plain, tests]


def _kinds(column: Column) -> list[str]:
    return list(dict.fromkeys(RATIOS[entry.link] for entry in column.entries.values() if entry.link in RATIOS))


def _plain(column: Column) -> list[str]:
    return [entry.name for entry in column.entries.values() if entry.link not in RATIOS]


def others(columns: Sequence[Column]) -> list[str]:
    """What else is to be said of single fits."""
    texts = dict.fromkeys(text for column in columns for text in column.remarks)
    said = []
    for text in texts:
        names = [column.name for column in columns if text in column.remarks]
        said.append(f"{text}." if len(names) == len(columns) else f"{', '.join(names)}: {text}.")
    return said


# ------------------------------------------------------------------------------------------------ comparability


def comparability(columns: Sequence[Column]) -> list[str]:
    """Why numbers of these fits cannot be compared."""
    pairs = [(columns[0], column) for column in columns[1:]]
    said = []
    if any(_other_response(*pair) for pair in pairs):
        said.append(f"Different responses: {_CRITERIA}.")
    if any(_other_rows(*pair) for pair in pairs):
        said.append(f"Fitted to different rows: {_CRITERIA}.")
    elif any(_other_weights(*pair) for pair in pairs):
        said.append(f"Different weights: {_CRITERIA}.")
    if {column.discrete for column in columns} >= {True, False}:
        said.append(f"Probabilities of a discrete response and densities of a continuous one: {_CRITERIA}.")
    unknown = [column.name for column in columns if column.rows.y is None]
    if unknown and pairs and not said:
        said.append(
            f"The rows of {', '.join(unknown)} are not kept, so whether all fits are of the same rows is not known. If "
            f"not, {_CRITERIA}."
        )
    ours = {hasattr(getattr(column.fit, "_results", column.fit), "verdict") for column in columns}
    if len(ours) == 2 and not all(column.discrete for column in columns):
        said.append("AIC and BIC of statsmodels may not count a scale that is estimated; those of mlekit do.")
    return said


def _other_rows(one: Column, two: Column) -> bool:
    if abs(one.nobs - two.nobs) > 0 and one.rows.weight is None and two.rows.weight is None:
        return True
    first, second = one.rows.labels, two.rows.labels
    return (
        first is not None and second is not None and not (len(first) == len(second) and bool((first == second).all()))
    )


def _other_response(one: Column, two: Column) -> bool:
    first, second = one.rows.y, two.rows.y
    if first is None or second is None or len(first) != len(second):
        return one.response != two.response
    return not np.array_equal(first, second)


def _other_weights(one: Column, two: Column) -> bool:
    first, second = one.rows.weight, two.rows.weight
    if first is None or second is None:
        return first is not second
    return not np.array_equal(first, second)
