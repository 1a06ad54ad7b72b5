"""What ``center``, ``standardize`` and the splines learned from the rows of a fit, as records."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mlekit.links import Array
from mlekit.saving.text import digits, listed, long, matrix, refuse, vector

#: Largest degree of a spline, and most of its knots: what formulas that are not trusted may ask for.
_LARGEST_DEGREE, _MOST_KNOTS = 5, 1100


class Transform(NamedTuple):
    """How the state of a function is written, and read into its attributes.

    Attributes
    ----------
    written : callable
        Takes the attributes, and returns a record.
    attributes : callable
        Takes that record, and returns the attributes.
    """

    written: Callable[[Mapping[str, Any]], dict[str, Any]]
    attributes: Callable[[Mapping[str, Any]], dict[str, Any]]


def _centre_record(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"sum": digits(of["_sum"]), "count": int(of["_count"])}


def _centre(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"_sum": long(record["sum"]), "_count": record["count"]}


def _standard_record(of: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "count": int(of["current_n"]),
        "mean": digits(of["current_mean"]),
        "sum_of_squares": digits(of["current_M2"]),
    }


def _standard(record: Mapping[str, Any]) -> dict[str, Any]:
    mean, squares = long(record["mean"]), long(record["sum_of_squares"])
    if mean.shape != squares.shape or (squares < 0).any():
        refuse("the mean and the sum of squares of a column do not belong together")
    return {"current_n": record["count"], "current_mean": mean, "current_M2": squares}


def _b_spline_record(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"degree": int(of["_degree"]), "knots": listed(of["_all_knots"])}


def _b_spline(record: Mapping[str, Any]) -> dict[str, Any]:
    degree, knots = record["degree"], _knots(record, ties=True)
    if degree > _LARGEST_DEGREE or knots.size < 2 * (degree + 1):
        refuse(f"a spline of degree {degree} has {knots.size} knots")
    return {"_degree": degree, "_all_knots": knots}


def _cubic_record(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"knots": listed(of["_all_knots"])} | _product_record(of)


def _cubic(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"_all_knots": _knots(record, ties=False)} | _product(record)


def _product_record(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"constraints": None if of["_constraints"] is None else listed(of["_constraints"])}


def _product(record: Mapping[str, Any]) -> dict[str, Any]:
    rows = record["constraints"]
    found = None if rows is None else matrix(rows, len(rows[0]), "the constraints of a spline")
    return {"_constraints": found}


def _knots(record: Mapping[str, Any], ties: bool) -> Array:
    knots = vector(record["knots"])
    steps = np.diff(knots)
    if not 2 <= knots.size <= _MOST_KNOTS or not ((steps >= 0) if ties else (steps > 0)).all():
        refuse("the knots of a spline are not in order, or too many")
    return knots


_STANDARD = Transform(_standard_record, _standard)
_CUBIC = Transform(_cubic_record, _cubic)
#: Every function of formulas that learns from the rows, by the name that formulas call it by.
TRANSFORMS: dict[str, Transform] = {
    "center": Transform(_centre_record, _centre),
    "standardize": _STANDARD,
    "scale": _STANDARD,
    "bs": Transform(_b_spline_record, _b_spline),
    "cr": _CUBIC,
    "cc": _CUBIC,
    "te": Transform(_product_record, _product),
}
