"""Names for arrays: what statsmodels' result wrapper and tests ask a model's ``data`` for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Labels:
    """Names of the coefficients, of the response and of the rows.

    It answers to the attributes of :class:`statsmodels.base.data.ModelData` that ``t_test``, ``summary`` and the result
    wrapper use.
    """

    names: tuple[str, ...]
    response: str
    row_labels: pd.Index

    model_spec = None

    @property
    def param_names(self) -> list[str]:
        """Names of the coefficients."""
        return list(self.names)

    xnames = cov_names = param_names

    @property
    def ynames(self) -> str:
        """Name of the response."""
        return self.response

    def wrap_output(self, obj: Any, how: str = "columns", names: Any = None) -> Any:
        """Attach names to an array: ``how`` is "columns", "rows" or "cov"."""
        array = np.asarray(obj)
        if array.ndim == 0:
            return obj
        if how == "rows":
            return pd.Series(array, index=self.row_labels)
        if how == "cov":
            return pd.DataFrame(array, index=self.param_names, columns=self.param_names)
        if array.ndim == 1:
            return pd.Series(array, index=self.param_names)
        return pd.DataFrame(array, index=self.param_names)
