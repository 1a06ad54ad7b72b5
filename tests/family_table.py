"""The table of families in docs/families.md, made from the registry: ``python -m tests.family_table`` writes it.

Names in R and SciPy are those of each docstring; a mean is shown if it is the first parameter, or an expression of the
docstring that gives the numbers of the family.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from mlekit.families import FAMILIES, GenericLikelihood
from mlekit.families.categorical import Categorical

PAGE = Path(__file__).parent.parent / "docs" / "families.md"
_BEGIN, _END = "<!-- table: made by python -m tests.family_table -->", "<!-- end of the table -->"
_HEADS = ("`family=`", "class", "parameters (links)", "response", "mean", "R", "scipy.stats")
_KNOWN = {"gamma": special.gamma, "euler_gamma": np.euler_gamma, "exp": np.exp, "sqrt": np.sqrt, "log": np.log}


def values(family: GenericLikelihood) -> list[np.ndarray]:
    """A few values of each parameter, inside its domain."""
    shares = np.array([0.3, 0.5, 0.8])
    found = []
    for low, high in family.domains().values():
        if np.isfinite(low) and np.isfinite(high):
            found.append(low + (high - low) * shares)
        else:
            found.append((low if np.isfinite(low) else 0.0) + 3 * shares + 0.7)
    return found


def mathematics(text: str) -> str:
    """An expression with its signs of multiplication, which docstrings leave out."""
    return re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)


def _mean(family: GenericLikelihood, text: str) -> str:
    """The mean as an expression in the parameters."""
    theta = values(family)
    mean = family.mean(*theta)
    assert mean is not None
    named = dict(zip(family.params, theta, strict=True)) | {n: getattr(family, n) for n in family.constants}
    for expression in (*family.params, *re.findall(r"``([^`]+)``", text)):
        try:
            found = eval(mathematics(expression), {"__builtins__": {}}, _KNOWN | named)
        except (SyntaxError, NameError, TypeError, AttributeError):
            continue
        if np.shape(found) == np.shape(mean) and np.allclose(found, mean, rtol=1e-12):
            return f"`{expression}`"
    raise ValueError(f"the docstring of {type(family).__name__} does not give its mean")


def _after(text: str, where: str) -> str:
    """The first name in code after a mark such as ``R:``."""
    found = re.search(rf"\b{where}[^`.]{{0,40}}``([^`]+)``", text)
    return f"`{found.group(1)}`" if found else "none"


def row(name: str, kind: type[GenericLikelihood]) -> tuple[str, ...]:
    """What the table says of a family."""
    text = re.sub(r"\s+", " ", (inspect.getdoc(kind) or "").split("Examples\n")[0])
    # Not the defaults: with those, a mean may be a parameter by chance.
    family = kind(**{c: 0.3 for c in kind.constants})
    if isinstance(family, Categorical):
        family = family.of_levels(list("abc"))
        parameters, mean, response = ", ".join(f"`{param}`" for param in family.params), "none", "a level"
    else:
        parameters = ", ".join(f"`{param}` ({', '.join(kind.links_for[param])})" for param in family.links)
        mean, response = _mean(family, text), family.support_text
    constants = "".join(f"; constant `{constant}`" for constant in family.constants)
    scipy = _after(text, "scipy(?::| )").replace("scipy.stats.", "")
    r_name = _after(text, "R(?:'s|:)")
    return f'`"{name}"`', f"`{kind.__name__}`", parameters + constants, response, mean, r_name, scipy


def table() -> str:
    """The whole table."""
    rows: list[Any] = [_HEADS, ("---",) * len(_HEADS), *(row(name, kind) for name, kind in FAMILIES.items())]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in rows)


def page(text: str) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
