"""The table that ``--data`` names: a bundled data set, a file, or standard input."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlekit.cli.output import say

if TYPE_CHECKING:
    import pandas as pd


def table(source: str) -> "pd.DataFrame":
    """Read the table that ``--data`` names."""
    from mlekit import datasets

    path, known = Path(source), datasets.names()
    if source in known:
        if path.is_file():
            say("warning", f"{source} is the data set that comes with mlekit: for the file write ./{source}")
        return datasets.load(source)
    if source == "-":
        found = _read("standard input", "read_csv", getattr(sys.stdin, "buffer", sys.stdin), low_memory=False)
    elif path.exists():
        found = _read_file(path)
    else:
        raise FileNotFoundError(
            f"{source!r} is neither a file nor one of the data sets that come with mlekit: {', '.join(known)}"
        )
    if found.empty:
        columns = ", ".join(map(str, found.columns)) or "none"
        raise ValueError(f"{source}: there are no rows (the columns are {columns})")
    return found


def _read_file(path: Path) -> "pd.DataFrame":
    kind = path.name.lower().removesuffix(".gz")
    if path.name.lower().endswith(".parquet"):
        return _read(str(path), "read_parquet", path)
    if kind.endswith(".tsv"):
        return _read(str(path), "read_csv", path, sep="\t", low_memory=False)
    if kind.endswith(".csv") or not path.suffix:
        return _read(str(path), "read_csv", path, low_memory=False)
    raise ValueError(f"cannot read {path}: mlekit reads .csv, .tsv (both also .gz) and .parquet")


def _read(name: str, function: str, source: Any, **options: Any) -> "pd.DataFrame":
    """Call one of pandas' functions, and say in our words what is wrong with the file."""
    import pandas as pd

    try:
        found: pd.DataFrame = getattr(pd, function)(source, **options)
        return found
    except ImportError as error:
        raise ImportError(f"cannot read {name}: .parquet files need pyarrow: pip install pyarrow") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"cannot read {name}: it is empty") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {name}: it is not text in UTF-8 ({error})") from error
    except Exception as error:  # gzip, zlib and pyarrow have their own
        raise ValueError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
