"""A progress bar for what takes long. tqdm is an optional extra: ``pip install "mlekit[progress]"``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def tqdm_class() -> Any:
    """Return the class ``tqdm``; called before the work starts, it finds out in time whether there is one.

    Raises
    ------
    ImportError
        If tqdm is not installed; the message says how to install it.
    """
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError('a progress bar needs tqdm: pip install "mlekit[progress]"') from None
    return tqdm


@contextmanager
def bar(wanted: bool, total: int, unit: str) -> Iterator[Callable[[str], None]]:
    """Show a bar while the block runs, if one is wanted and the block takes more than a second.

    Parameters
    ----------
    wanted : bool
        Without a bar the function does nothing.
    total : int
        How many steps there are.
    unit : str
        What one step is called.

    Yields
    ------
    callable
        To call after each step, with what is to be shown behind the bar, which may be nothing.

    Examples
    --------
    >>> with bar(False, 3, "fold") as step:
    ...     for _ in range(3):
    ...         step("")
    """
    if not wanted:
        yield lambda text: None
        return
    with tqdm_class()(total=total, unit=unit, delay=1) as shown:

        def step(text: str) -> None:
            shown.set_postfix_str(text, refresh=False)
            shown.update()

        yield step
