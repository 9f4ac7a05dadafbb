"""Clusters of equal size: the cheapest assignment of rows to centres under which sizes differ by at most one."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.errors import UserError
from unsupjax.numerics import checks, nearest

_COOLEST = 1e-3  # last temperature, in units of the first


def balanced_labels(x: np.ndarray, centers: np.ndarray, *, passes: int = 100) -> np.ndarray:
    r"""Labels that minimise :math:`\sum_n \|x_n - c_{l_n}\|^2` with every size floor(N / K) or ceil(N / K).

    First come prices: with a price on each centre and rows taking the cheapest, the assignment is the optimum for
    the sizes that it happens to have. Prices that make the sizes nearly equal are those of entropic optimal
    transport, by Sinkhorn's iteration under a falling temperature, over tiles of rows on the device. Then rows are
    moved on the host, along the cheapest chains of moves from a centre that has too many to one that has too few.
    Such a chain (a shortest augmenting path) leaves the optimum for the new sizes, so the result is the optimum,
    but for round-off.

    No `[N, K]` array is made: memory is O(N D + K^2). Time is O(passes N K D) and, on the host,
    O((K^3 + N D) S), where S is how many rows the prices leave in excess, a percent or so of N: meant for up to
    some 100,000 rows.

    Args:
        x: rows, `[N, D]`, real and finite.
        centers: `[K, D]`; K may exceed N.
        passes: of Sinkhorn's iteration. Fewer leave more rows to be moved; the result is the same.

    Returns:
        int32 `[N]`.

    Raises:
        UserError: x or centers are no finite table, differ in features, or passes is below 1.

    Source: prices: Cuturi, "Sinkhorn distances", NeurIPS 2013; chains: Ahuja, Magnanti and Orlin, "Network flows",
    1993, section 9.7 (successive shortest paths).
    """
    x, centers = checks.rows(x, "balanced_labels"), checks.rows(centers, "balanced_labels: centers")
    if x.shape[1] != centers.shape[1]:
        raise UserError(f"balanced_labels: x has {x.shape[1]} features and centers {centers.shape[1]}")
    if passes < 1:
        raise UserError(f"balanced_labels: passes={passes} must be at least 1")
    origin = centers.mean(axis=0, dtype=np.float64)
    x, centers = x - origin, centers - origin
    # Exact scaling by a power of two, so that float32 squares neither overflow nor vanish.
    scale = np.exp2(-np.frexp(max(np.abs(x).max(), np.abs(centers).max()))[1])
    x, centers = x * scale, centers * scale
    prices, labels = _prices(x.astype(np.float32), centers.astype(np.float32), passes=passes)
    return _Plan(x, centers, np.array(labels), np.asarray(prices, np.float64)).balance()


@functools.partial(jax.jit, static_argnames="passes")
def _prices(x: jax.Array, centers: jax.Array, *, passes: int) -> tuple[jax.Array, jax.Array]:
    """Prices of the centres `[K]`, in the units of half a squared distance, and the cheapest of each row `[N]`."""
    units, (n, k) = nearest.prepare(centers, "euclidean"), (x.shape[0], centers.shape[0])
    rows = nearest.tile_rows(n, k)

    def costs(start):
        p = nearest.points(nearest.tile(x, start, rows), units.shift, "euclidean", False)
        return nearest.scores(p, units, "euclidean", "highest")  # [K, rows]

    def masses(prices, temperature):
        def body(total, start, fresh):
            share = jax.nn.softmax(-(costs(start) + prices[:, None]) / temperature, axis=0)
            return total + jnp.sum(jnp.where(fresh[None], share, 0), axis=1)

        return nearest.fold(body, jnp.zeros(k, jnp.float32), n, rows)

    def sinkhorn(prices, i):
        temperature = warmest * _COOLEST ** (i / max(passes - 1, 1))
        excess = jnp.log(jnp.maximum(masses(prices, temperature), 1e-30) * (k / n))
        return prices + temperature * excess, None

    _, distance = nearest.find(x, centers)
    warmest = jnp.maximum(jnp.mean(jnp.square(distance)), 1e-30)
    prices, _ = jax.lax.scan(sinkhorn, jnp.zeros(k, jnp.float32), jnp.arange(passes))

    def choose(out, start, fresh):
        return nearest.put(out, nearest.lowest(costs(start) + prices[:, None])[0], start)

    return prices, nearest.fold(choose, jnp.zeros(n, jnp.int32), n, rows)


class _Plan:
    """An assignment under repair.

    `moves[a, b]` is what the cheapest move of a row from centre a to b adds to the cost (inf where a has no rows)
    and `movers[a, b]` that row. `prices` are such that moves + price of b - price of a is never negative: that,
    which round-off alone violates, says that no circle of moves lowers the cost.
    """

    def __init__(self, x: np.ndarray, centers: np.ndarray, labels: np.ndarray, prices: np.ndarray):
        k = len(centers)
        self.x, self.centers, self.labels, self.prices = x, centers, labels, prices
        self.half_norms = 0.5 * np.square(centers).sum(axis=1)
        self.sizes = np.bincount(labels, minlength=k)
        self.moves, self.movers = np.empty((k, k)), np.empty((k, k), np.int64)
        for a in range(k):
            self._refresh(a)

    def balance(self) -> np.ndarray:
        low = len(self.labels) // len(self.centers)
        high = -(-len(self.labels) // len(self.centers))
        while np.any(self.sizes > high):
            self._shift(self.sizes > high, self.sizes < high, np.inf)
        while np.any(self.sizes < low):
            self._shift(self.sizes > low, self.sizes < low, np.inf)
        # Which centres have one row more than others may still be bettered.
        while low < high and self._shift(self.sizes > low, self.sizes < high, -1e-12):
            pass
        return self.labels

    def _shift(self, sources: np.ndarray, sinks: np.ndarray, limit: float) -> bool:
        """Makes the cheapest chain of moves from a source to a sink; False if it adds `limit` or more."""
        distance, before = self._shortest(sources)
        end = np.argmin(np.where(sinks, distance, np.inf))
        if distance[end] >= limit:
            return False
        chain = [end]
        while before[chain[-1]] >= 0:
            chain.append(before[chain[-1]])
        rows = [self.movers[a, b] for b, a in itertools.pairwise(chain)]
        self.labels[rows] = chain[:-1]
        self.sizes[chain[-1]] -= 1
        self.sizes[end] += 1
        self.prices = -distance
        for a in chain:
            self._refresh(a)
        return True

    def _shortest(self, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cost of the cheapest chain from any source to each centre, and the centre before it (-1: none)."""
        reduced = np.maximum(self.moves + self.prices[None] - self.prices[:, None], 0)
        total = np.where(sources, self.prices, np.inf)
        before, columns = np.full(len(total), -1), np.arange(len(total))
        while True:  # Bellman and Ford: no length is negative, so it ends, and `before` has no circles
            through = total[:, None] + reduced
            best = np.argmin(through, axis=0)
            shorter = through[best, columns] < total
            if not shorter.any():
                return total - self.prices, before
            total = np.where(shorter, through[best, columns], total)
            before = np.where(shorter, best, before)

    def _refresh(self, a: int):
        rows = np.flatnonzero(self.labels == a)
        if len(rows) == 0:
            self.moves[a], self.movers[a] = np.inf, -1
            return
        costs = self.half_norms[None] - self.x[rows] @ self.centers.T
        added = costs - costs[:, a : a + 1]
        best = np.argmin(added, axis=0)
        self.moves[a], self.movers[a] = added[best, np.arange(len(self.centers))], rows[best]
