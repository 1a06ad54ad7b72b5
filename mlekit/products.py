"""Products of a tall, narrow matrix, in panels of rows that stay in cache and that BLAS multiplies on one core.

BLAS shares a product among its threads from a certain size on, which for a matrix this narrow costs more than it gains,
and makes threads that each hold a block of rows wait for one another. Stacks of panels go to :func:`numpy.matmul`
instead: one call for a block, without Python or its lock in between.
"""

import itertools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlekit.links import Array

#: More columns than this make a product large enough for BLAS to share it among threads well.
NARROW = 40
# Entries of a panel: OpenBLAS keeps to one thread below 9216 of them.
_PANEL_ENTRIES = 9000
_MOST_THREADS = 8


def _stack(x: Array) -> tuple[Array, int, int]:
    """Rows as a stack of panels (k, r, p), with r and the number of rows in it; what is left over is no panel."""
    rows = _PANEL_ENTRIES // max(x.shape[1], 1)
    count = len(x) // rows if 0 < x.shape[1] <= NARROW and x.flags.c_contiguous else 0
    return x[: count * rows].reshape(count, rows, x.shape[1]), rows, count * rows


def linear_predictor(x: Array, beta: Array) -> Array:
    """``x @ beta``, of one or several columns."""
    panels, _, stacked = _stack(x)
    if not stacked:
        return x @ beta
    found = np.empty((len(x), *beta.shape[1:]))
    np.matmul(panels, beta, out=found[:stacked].reshape(*panels.shape[:2], *beta.shape[1:]))
    found[stacked:] = x[stacked:] @ beta
    return found


def row_sum(weight: Array, x: Array) -> Array:
    """``x.T @ weight``: the sum of the rows, each times its weight."""
    panels, rows, stacked = _stack(x)
    if not stacked:
        return weight @ x
    sums = np.matmul(weight[:stacked].reshape(-1, 1, rows), panels)
    return sums.sum(axis=(0, 1)) + weight[stacked:] @ x[stacked:]


def product(left: Array, right: Array) -> Array:
    """``left.T @ right``."""
    panels, rows, stacked = _stack(left)
    if not stacked or not right.shape[1]:
        return left.T @ right
    others = right[:stacked].reshape(-1, rows, right.shape[1])
    return np.matmul(panels.transpose(0, 2, 1), others).sum(axis=0) + left[stacked:].T @ right[stacked:]


def cross_product(left: Array, weight: Array, right: Array) -> Array:
    """``left.T @ diag(weight) @ right``, exactly symmetric where both sides are one matrix."""
    total = product(left, weight[:, None] * right)
    return 0.5 * (total + total.T) if left is right else total


def over_blocks(function: Callable[[Any], Any], blocks: Iterable[Any], columns: int) -> list[Any]:
    """Results of a function for each block, in their order, on as many cores as there are.

    Sums of the results do not depend on the number of cores. Wide matrices go one by one: their products keep all
    cores busy as they are.
    """
    blocks = list(blocks)
    threads = min(_cores(), _MOST_THREADS, len(blocks) // 2)
    if threads < 2 or columns > NARROW:
        return [function(block) for block in blocks]
    ends = [i * len(blocks) // threads for i in range(threads + 1)]
    shares = [blocks[first:last] for first, last in itertools.pairwise(ends)]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda share: [function(block) for block in share], shares)
        return list(itertools.chain.from_iterable(found))


def _cores() -> int:
    """Cores that this process may use, no more than OMP_NUM_THREADS says, as for BLAS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) > 0 else cores
