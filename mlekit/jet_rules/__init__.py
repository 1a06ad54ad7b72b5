"""Derivatives of NumPy and scipy.special functions, as tables of formulas.

Each table maps a ufunc to its partial derivatives. A partial is a function, a constant, or None for zero:

* `UNARY`: the first derivative, a function of ``(x, f)`` with ``f = ufunc(x)``, and the second, a function of
  ``(x, f, d)`` where ``d`` is the first derivative.
* `BINARY`: a `Binary` of partials, functions of ``(a, b, f)`` with ``f = ufunc(a, b)``. `NO_RULE` stands for an
  argument that can be data alone.
* `CHOICES`: functions that return one of their two arguments; the entry, of ``(a, b)``, says where the first.
* `FLAT`: functions whose derivative is zero wherever it exists.

Adding a rule means adding one entry, and its mpmath counterpart in ``tests/density_cases.py``. A partial is
written so that it keeps its relative accuracy in the tails, where a textbook form may cancel or overflow.
"""

import numpy as np

from mlekit.jet_rules import bessel, elementary, gamma, normal
from mlekit.jet_rules.elementary import CHOICES, FLAT
from mlekit.jet_rules.gamma import tetragamma, trigamma
from mlekit.jet_rules.partials import NO_RULE, Array, Binary, Partial, Unary

__all__ = ["BINARY", "CHOICES", "FLAT", "NO_RULE", "UNARY", "Array", "Binary", "Partial", "tetragamma", "trigamma"]

UNARY: dict[np.ufunc, Unary] = elementary.UNARY | gamma.UNARY | normal.UNARY | bessel.UNARY

BINARY: dict[np.ufunc, Binary] = elementary.BINARY | gamma.BINARY | normal.BINARY | bessel.BINARY
