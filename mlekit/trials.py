"""How many trials a predicted binomial response has, and its distribution then: that of a count."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mlekit.families.base import GenericLikelihood
from mlekit.families.binomial import Binomial
from mlekit.families.successes import Successes
from mlekit.formula import unknown_name
from mlekit.links import Array
from mlekit.observations import aligned
from mlekit.sources import as_table

if TYPE_CHECKING:
    from mlekit.model import Model
    from mlekit.predict import Rows


def trials_of(model: "Model", exog: Any, trials: Any, rows: "Rows") -> Array | None:
    """Trials of the rows to predict on, as far as these are complete; None where nobody has said.

    Those of the fit have their own. NaN stands for a row whose trials are missing.

    Raises
    ------
    ValueError
        If the family has no trials, there is not one whole number for each row, or a column is not there.
    """
    family = model.family
    if not isinstance(family, Binomial):
        if trials is not None:
            raise ValueError(f"trials= goes with family 'binomial': a response of {family!r} has none")
        return None
    if trials is None:
        return None if exog is not None else np.asarray(family.repeats(model.endog))
    if isinstance(trials, str):
        if exog is None:
            trials = model.observations.column(trials, "trials")
        else:
            table = as_table(exog, [trials])
            if trials not in table.columns:
                raise ValueError(unknown_name(trials, table.known))
            trials = table.columns[trials].to_numpy(float, na_value=np.nan)
    found = aligned(trials, rows.labels, "trials")
    found = found if rows.missing is None else found[~rows.missing]
    wrong = ~np.isnan(found) & ~((found >= 0) & (found == np.floor(found)) & np.isfinite(found))
    if wrong.any():
        raise ValueError(f"trials are whole numbers, not {found[wrong][0]:g}")
    return found


def counted(
    family: GenericLikelihood, eta: tuple[Array, ...], trials: Array | None
) -> tuple[GenericLikelihood, tuple[Array, ...]]:
    """Return the family of the number of successes, and its linear predictors, if a response has trials.

    Raises
    ------
    ValueError
        If nobody has said how many.
    """
    if not isinstance(family, Binomial):
        return family, eta
    if trials is None:
        raise ValueError(
            "the distribution of the successes depends on the number of trials, which new rows do not say: pass "
            "trials=, a number, a column of the new rows or an array (the rows of the fit have their own)"
        )
    return Successes(p=family.links["p"]), (*eta, trials)
