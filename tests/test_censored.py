"""Censored responses: against R's survreg, mpmath far in the tails, and what a formula says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mpmath import mp

import mlekit
from mlekit import Censored
from tests.mp_ranges import EXACT, log_range, orders
from tests.reference import load

# ---------------------------------------------------------------- against R


@pytest.mark.parametrize("family", ["weibull", "exponential"])
def test_lung_is_as_r_has_it(family: str) -> None:
    case = load(f"{family}_censored_lung")
    fit = mlekit.fit("Surv(time, event) ~ age + sex + ecog", case.frame, Censored(family))
    expected = case.expected
    assert fit.converged
    assert fit.llf == pytest.approx(expected["llf"], rel=1e-13)
    assert (fit.aic, fit.bic) == pytest.approx((expected["aic"], expected["bic"]), rel=1e-13)
    signs = np.array([1, 1, 1, 1, -1])[: len(fit.params)]  # log of survreg's scale is minus the log of the shape
    np.testing.assert_allclose(fit.params * signs, list(expected["params"].values()), rtol=1e-11)
    np.testing.assert_allclose(fit.bse, list(expected["bse"].values()), rtol=1e-11)
    survreg = expected["survreg"]
    np.testing.assert_allclose(fit.params.iloc[:4], survreg["coef"], rtol=1e-8)


def _table(names: str, rows: str) -> pd.DataFrame:
    return pd.DataFrame([[float(x) for x in row.split(",")] for row in rows.split()], columns=names.split())


OVARIAN = _table(
    "time event age rx",
    """
59,1,72.3315,1 115,1,74.4932,1 156,1,66.4658,1 421,0,53.3644,2 431,1,50.3397,1 448,0,56.4301,1 464,1,56.937,2
475,1,59.8548,2 477,0,64.1753,1 563,1,55.1781,2 638,1,56.7562,1 744,0,50.1096,2 769,0,59.6301,2 770,0,57.0521,2
803,0,39.2712,1 855,0,43.1233,1 1040,0,38.8932,1 1106,0,44.6,1 1129,0,53.9068,2 1206,0,44.2055,2 1227,0,59.589,2
268,1,74.5041,1 329,1,43.137,1 353,1,63.2192,2 365,1,64.4247,2 377,0,58.3096,2
""",
)
TOBIN = _table(
    "durable age quant",
    """
0,57.7,236 0.7,50.9,283 0,48.5,207 0,41.7,220 0,47.7,238 0,59.8,216 0,44.3,284 3.7,45.1,221 0,51.7,275 3,50,269
10.4,46.8,207 0,58,249 0,58.9,246 0,40,277 1.5,34.1,231 0,39.9,219 0,33.4,240 3.5,48.1,266 6.1,46.6,214
0,53.1,251
""",
)
ENDS = pd.DataFrame(
    {
        "low": [1, 2, 0.5, 3, 4, 2.5, 6, 7, 1.5, 8, 0.7, 5],
        "high": [2, 2, 1, np.inf, 6, 4, 6, 9, 3, np.inf, 0.7, np.inf],
        "x": [0.3, 0.1, -1, 0.7, 1, 0.2, 0.9, 1.4, 0, 1.1, -0.8, 0.6],
    }
)
TIMES, LOGS = "Surv(time, event) ~ age + rx", "Surv(np.log(time), event) ~ age + rx"
LEFT = "Surv(durable, durable > 0, type='left') ~ age + quant"
INTERVALS, LOG_INTERVALS = (f"Surv({f}, type='interval') ~ x" for f in ("low, high", "np.log(low), np.log(high)"))
# R 4.2.2, survival 3.5.3: survreg(..., control = survreg.control(rel.tolerance = 1e-14)): coefficients and scale,
# standard errors of the coefficients and of Log(scale), log-likelihood (not of a logarithm).
SURVREG: dict[str, tuple[Any, str, Any, list[float], list[float], float | None]] = {
    "ovarian weibull": (
        *(OVARIAN, TIMES, "weibull"),
        [10.462615277326346, -0.079095369537970792, 0.56727555787972783, 0.55063984012513367],
        [1.4427049975117574, 0.019787176193432923, 0.3403255743965381, 0.23522493237578682],
        -88.761710100981816,
    ),
    "ovarian lognormal": (
        *(OVARIAN, TIMES, "lognormal"),
        [9.8545565137823665, -0.076547572368322436, 0.69035761706040422, 0.68298527013553224],
        [1.1377755687488349, 0.017083259089887871, 0.3168508158360534, 0.2189456287726744],
        -87.658220660589663,
    ),
    "ovarian loglogistic": (
        *(OVARIAN, LOGS, "logistic"),
        [10.215966890614022, -0.080517023132264498, 0.59112307620558391, 0.40452574024935201],
        [1.2609981616291264, 0.018672571990804205, 0.32981687628434431, 0.238498363523867],
        None,
    ),
    "ovarian gaussian": (
        *(OVARIAN, TIMES, "normal"),
        [2274.1963923534208, -33.173232559009477, 262.0250148027863, 362.40911133115628],
        [588.18273945422754, 8.8143205707721783, 166.51371063436633, 0.22241158381820986],
        -95.188883463145771,
    ),
    "ovarian logistic": (
        *(OVARIAN, TIMES, "logistic"),
        [2466.9785905297931, -35.009624063612826, 196.22719946713505, 209.5400152127099],
        [628.12256448132121, 8.7455725899482175, 172.06789026389072, 0.24367207895790327],
        -95.390380206930629,
    ),
    "ovarian extreme": (  # of minima: those of -y are maxima, and what was beyond is below
        *(OVARIAN, "Surv(-time, event, type='left') ~ I(-age) + I(-rx)", "gumbel"),
        [-2639.2221027099845, -38.398512112939102, 326.37524334515251, 295.87599700331543],
        [735.20316417728077, 9.6371734000382183, 184.04838724819362, 0.22947905406174338],
        -96.092382708871781,
    ),
    "tobin left": (
        *(TOBIN, LEFT, "normal"),
        [15.144866332220889, -0.12905928386455262, -0.045541662889677884, 5.5725397659952094],
        [16.079453202383611, 0.21858359671644387, 0.0582541155075963, 0.31032272018758966],
        -28.940133199720577,
    ),
    "interval weibull": (
        *(ENDS, INTERVALS, "weibull"),
        [0.76751333716160519, 1.2012732172342078, 0.21372134725463493],
        [0.1065301224126201, 0.13786018810435438, 0.31717365642523154],
        -10.159890339323079,
    ),
    "interval lognormal": (
        *(ENDS, INTERVALS, "lognormal"),
        [0.67184711946269737, 1.1685731816689346, 0.24943919219469085],
        [0.095653447956842663, 0.11643230397890167, 0.29116999545221961],
        -9.8344106800411364,
    ),
    "interval loglogistic": (
        *(ENDS, LOG_INTERVALS, "logistic"),
        [0.66580820464521828, 1.1717524878731196, 0.14555435395263208],
        [0.09178186705933053, 0.11063934583253067, 0.32066279184311147],
        None,
    ),
    "interval gaussian": (
        *(ENDS, INTERVALS, "normal"),
        [2.8826057991542622, 3.3611393270380212, 1.2314571653233157],
        [0.42328589987123311, 0.53499943767392422, 0.25161343738473063],
        -15.336092072363806,
    ),
}


@pytest.mark.parametrize("name", SURVREG)
def test_fit_is_that_of_survreg(name: str) -> None:
    data, formula, family, expected, errors, llf = SURVREG[name]
    fit = mlekit.fit(formula, data, Censored(family))
    found = fit.params.to_numpy().copy()
    found[-1] = np.exp(-found[-1] if family == "weibull" else found[-1])
    assert fit.converged
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(fit.bse, errors, rtol=1e-8)
    if llf is not None:
        assert fit.llf == pytest.approx(llf, rel=1e-12)


# ---------------------------------------------------------------- against mpmath

INF = np.inf
REAL_ENDS = [(z, INF) for z in (-30.0, 0.3, 5.0, 30.0, 700.0)] + [(-INF, z) for z in (-700.0, -30.0, -5.0, 0.3, 30.0)]
REAL_ENDS += [(-1.0, 2.0), (5.0, 6.0), (30.0, 30.5), (30.0, 30.0 + 1e-9), (-31.0, -30.0), (0.3, 0.3001), (-INF, INF)]
REAL_ENDS += [(1.7, 1.7)]
POSITIVE_ENDS = [(z, INF) for z in (1e-12, 0.3, 5.0, 200.0)] + [(-INF, z) for z in (1e-12, 0.3, 5.0)] + [(0.0, 0.2)]
POSITIVE_ENDS += [(0.1, 3.0), (9.0, 11.0), (20.0, 20.0 + 1e-8), (1.0, 1.0001), (1e-9, 2e-9), (1.7, 1.7)]


@pytest.mark.parametrize("name", EXACT)
def test_rows_against_mpmath(name: str) -> None:
    eta = EXACT[name][1]
    ends = REAL_ENDS if name in ("normal", "logistic", "gumbel", "student_t") else POSITIVE_ENDS
    y, k = np.array(ends), len(eta)
    rows = Censored(name).linear_rows(y, *(np.full(len(y), e) for e in eta))
    tolerance = 1e-9 if name in ("gamma", "student_t") else 1e-10
    with mp.workdps(60):
        point = tuple(map(mp.mpf, eta))
        for r, (lower, upper) in enumerate(ends):
            if name == "gumbel" and upper < -4:
                continue  # log P = -exp(-z): out of range
            value = log_range(name, lower, upper)
            want = float(value(*point))
            assert rows.value[r] == pytest.approx(want, rel=1e-12, abs=1e-15), (lower, upper)
            first = np.array([float(mp.diff(value, point, orders(k, i))) for i in range(k)])
            second = np.array([[float(mp.diff(value, point, orders(k, i, j))) for j in range(k)] for i in range(k)])
            size = np.abs(first) + 1e-15
            assert np.all(np.abs(rows.grad[:, r] - first) <= tolerance * size), (lower, upper)
            # Second derivatives of a sum may cancel against the products of the first.
            size2 = np.abs(second) + 1e-3 * np.outer(size, size) + 1e-15
            assert np.all(np.abs(rows.hess[..., r] - second) <= tolerance * size2), (lower, upper)
