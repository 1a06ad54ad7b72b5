"""What coefficients and terms are called: by their column, and by their parameter where there are several."""

from collections.abc import Callable, Sequence

from mlekit.formula import FormulaError


def _plain_first(position: int, param: str, name: str) -> str:
    return f"{param}_{name}" if position else name


def _levels(position: int, param: str, name: str) -> str:
    return f"{param}_{name}"


def _cutpoints(position: int, param: str, name: str) -> str:
    return param if position and name == "Intercept" else _plain_first(position, param, name)


#: How a coefficient is named from the position and the name of its parameter, and its column. The first parameter is
#: the one that a formula describes, but levels are all alike; a cutpoint is its own intercept.
NAMINGS: dict[str, Callable[[int, str, str], str]] = {
    "plain_first": _plain_first,
    "levels": _levels,
    "cutpoints": _cutpoints,
}


def full_name(naming: str, position: int, param: str, name: str) -> str:
    """Name of the coefficient of a column.

    Examples
    --------
    >>> full_name("plain_first", 0, "mu", "x"), full_name("plain_first", 1, "sigma", "x")
    ('x', 'sigma_x')
    >>> full_name("levels", 0, "b", "x"), full_name("cutpoints", 1, "low|mid", "Intercept")
    ('b_x', 'low|mid')
    """
    return NAMINGS[naming](position, param, name)


def refuse_twins(names: Sequence[str]) -> None:
    """Refuse two coefficients of one name."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise FormulaError(
            f"two coefficients would be called {', '.join(twins)}: rename the column of the first parameter's formula"
        )
