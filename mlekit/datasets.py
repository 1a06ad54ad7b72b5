"""The data sets that come with mlekit, as pandas data frames.

Each is a CSV file with a description beside it: source, shape, and the meaning and unit of every column.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import pandas as pd

__all__ = ["describe", "load", "load_africa", "load_heights", "names"]

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries the files inside the package; a source tree has them in its top-level folder. The order
# matters: beside an installed package there may be somebody else's package called "datasets".
_FOLDERS = (_PACKAGE / "_datasets", _PACKAGE.parent / "datasets")


def names() -> list[str]:
    """List the data sets.

    Returns
    -------
    list of str
        Names that `load` and `describe` take, sorted.

    Examples
    --------
    >>> from mlekit import datasets
    >>> datasets.names()
    ['africa', 'heights']
    """
    return sorted(path.stem for path in _folder().glob("*.csv"))


def load(name: str) -> pd.DataFrame:
    """Load a data set by its name.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    pandas.DataFrame
        A fresh copy at each call, rows numbered from 0.

    Raises
    ------
    ValueError
        If there is no data set of that name; the message lists those that exist.

    Examples
    --------
    >>> from mlekit import datasets
    >>> datasets.load("heights").mean()
    height    162.75
    weight     53.75
    dtype: float64
    """
    return pd.read_csv(_find(name, ".csv"))


def describe(name: str) -> str:
    """Describe a data set: its source, its shape, and the meaning and unit of every column.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    str
        Markdown text.

    Raises
    ------
    ValueError
        If there is no data set of that name; the message lists those that exist.

    Examples
    --------
    >>> from mlekit import datasets
    >>> print(datasets.describe("heights"))
    # heights: four heights and weights
    ...
    | `height` | number | height | centimetres |
    | `weight` | number | weight | kilograms |
    ...
    """
    return _find(name, ".md").read_text(encoding="utf-8")


def load_africa() -> pd.DataFrame:
    """Load military coups and politics in 36 countries of sub-Saharan Africa.

    Returns
    -------
    pandas.DataFrame
        36 rows, no value missing, with the columns

        country : str
            Name of the country, as abbreviated in the source.
        miltcoup : int
            Successful military coups from independence to 1989; the usual response.
        oligarchy : int
            Years under a military oligarchy from independence to 1989.
        pollib : int
            Political liberalisation: 0 no civil rights for political expression, 1 limited, 2 full.
        parties : int
            Legal political parties in 1993.
        pctvote : float
            Percent voting in the last election.
        popn : float
            Population in 1989, in millions.
        size : float
            Area, in 1000 square kilometres.
        numelec : int
            Legislative and presidential elections, in total.
        numregim : int
            Types of regime.

    Notes
    -----
    The source has 47 countries. These are the ones that are complete in every column, as left by ``na.omit``
    on the data of the same name in the R package ``faraway``.

    References
    ----------
    Bratton, M. and Van de Walle, N. (1997). Political Regimes and Regime Transitions in Africa, 1910-1994.
    ICPSR study 6996.

    Examples
    --------
    >>> from mlekit.datasets import load_africa
    >>> africa = load_africa()
    >>> africa.shape
    (36, 10)
    >>> africa[["country", "miltcoup", "parties"]].head(3)
       country  miltcoup  parties
    0    Benin         5       34
    1  Burkina         6       62
    2  Burundi         2       10
    """
    return load("africa")


def load_heights() -> pd.DataFrame:
    """Load the heights and weights of four people, small enough to check a fit by hand.

    Returns
    -------
    pandas.DataFrame
        4 rows, no value missing, with the columns

        height : int
            Height in centimetres.
        weight : int
            Weight in kilograms.

    Examples
    --------
    >>> from mlekit.datasets import load_heights
    >>> load_heights()
       height  weight
    0     158      48
    1     160      53
    2     165      54
    3     168      60
    """
    return load("heights")


def _folder() -> Path:
    """Return the folder that holds the data files."""
    for folder in _FOLDERS:
        if (folder / "africa.csv").is_file():
            return folder
    raise FileNotFoundError("the data files of mlekit are missing: the installation is incomplete, reinstall mlekit")


def _find(name: str, suffix: str) -> Path:
    """Return the path of a file of a data set, having checked the name."""
    known = names()
    if name not in known:
        close = get_close_matches(str(name), known, n=1)
        hint = f": did you mean {close[0]!r}?" if close else "."
        raise ValueError(
            f"no data set is called {name!r}{hint} The data sets are: {', '.join(known)}. "
            "Read a file of your own with pandas.read_csv."
        )
    return _folder() / f"{name}{suffix}"
