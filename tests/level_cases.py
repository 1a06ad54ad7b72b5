"""Responses of levels to test with, and what R finds there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from mpmath import mp, mpf


@cache
def sixty() -> pd.DataFrame:
    """Sixty rows that any machine makes alike: two covariates, and a response from 0 to 3."""
    i = np.arange(1, 61)
    x, z = np.round(np.sin(i * 1.7) * 2, 3), np.round(np.cos(i * 0.9) + 0.1 * (i % 7), 3)
    return pd.DataFrame({"x": x, "z": z, "y": np.digitize(0.9 * x - 0.6 * z + 1.6 * np.sin(i * 2.3), [-1.2, 0.1, 1.3])})


#: Family by name: estimates, standard errors and log-likelihood of y ~ x + z, by R 4.2.2: MASS::polr (7.3-58.2,
#: reltol = 1e-16) and nnet::multinom (7.3-18, reltol = 1e-18).
R: dict[str, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    "ordered_logit": (
        (1.333413454209434, -0.800502226167235, -2.133674410819185, 0.165602081118648, 2.030110733396504),
        (0.243267549081205, 0.392804422569853, 0.449375750114871, 0.359237246375114, 0.441896667759666),
        -60.659113588056606,
    ),
    "ordered_probit": (
        (0.8133762151998962, -0.4817087520070232, -1.2696047831791613, 0.0935447560697973, 1.2206702752064609),
        (0.134753703201837, 0.224129566468328, 0.255234956010697, 0.210834766023164, 0.255620166046474),
        -59.645360121442188,
    ),
    "multinomial_logit": (
        (
            *(1.225204702375460, 0.814229311929763, -0.824621435076327),
            *(0.926475259443873, 1.736704728858491, -1.054079925120616),
            *(-0.568361030022932, 3.043869314631178, -1.882694728582182),
        ),
        (
            *(0.647141222156937, 0.415826426381652, 0.591613164703543),
            *(0.684769763548841, 0.497502636426642, 0.738843418189378),
            *(1.054013797734569, 0.777806591246662, 0.885319360792216),
        ),
        -58.876032130741471,
    ),
}


def maximum(log_likelihood: Callable[..., Any], start: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Estimates, standard errors and value of a log-likelihood written in mpmath, from near its maximum."""
    k = range(len(start))
    with mp.workdps(30):

        def partial(orders: list[int]) -> Callable[..., Any]:
            return lambda *beta: mp.diff(log_likelihood, beta, orders)

        score = [partial([int(j == i) for j in k]) for i in k]
        at = mp.findroot(lambda *beta: [s(*beta) for s in score], [mpf(b) for b in start], tol=1e-32)
        hessian = mp.matrix(len(start))
        for i in k:
            for j in range(i + 1):
                both = tuple(int(m == i) + int(m == j) for m in k)
                hessian[i, j] = hessian[j, i] = mp.diff(log_likelihood, tuple(at), both)
        inverse = (-hessian) ** -1
        errors = [float(mp.sqrt(inverse[i, i])) for i in k]
        return np.array([float(b) for b in at]), np.array(errors), float(log_likelihood(*at))
