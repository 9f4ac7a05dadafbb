"""The grid of a self-organizing map: where its units lie, how far apart they are, and which are neighbours."""

import dataclasses
import functools

import jax
import numpy as np

TOPOLOGIES = ("rectangular", "hexagonal")


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Grid:
    """`height x width` units, numbered row by row; one step between neighbours has length 1.

    Attributes:
        height: H, number of rows; even on a hexagonal torus, whose rows could not meet otherwise.
        width: W, units in a row.
        topology: "rectangular", or "hexagonal": odd rows are shifted by half a step, rows are sqrt(3)/2 apart.
        toroidal: the grid is closed at its borders, left to right and top to bottom.

    Raises:
        ValueError: at construction, for a size below 1, an unknown topology or an odd hexagonal torus.
    """

    height: int
    width: int
    topology: str = "rectangular"
    toroidal: bool = False

    def __post_init__(self):
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid of {self.height} x {self.width} has no units")
        if self.topology not in TOPOLOGIES:
            raise ValueError(f"topology {self.topology!r} is unknown; choose one of {TOPOLOGIES}")
        if self.topology == "hexagonal" and self.toroidal and self.height % 2:
            raise ValueError(f"a hexagonal torus needs an even height, not {self.height}")

    @property
    def units(self) -> int:
        """K = H W."""
        return self.height * self.width

    @property
    def periods(self) -> tuple[float, float]:
        """Height and width of the torus in steps."""
        return self.height * _row_spacing(self), float(self.width)


def _row_spacing(grid: Grid) -> float:
    return float(np.sqrt(3) / 2) if grid.topology == "hexagonal" else 1.0


def positions(grid: Grid) -> np.ndarray:
    """Where the units lie: float64 `[K, 2]`, (row, column) in steps, unit `r * W + c` being row r, column c."""
    rows, columns = np.divmod(np.arange(grid.units), grid.width)
    shift = 0.5 * (rows % 2) if grid.topology == "hexagonal" else 0.0
    return np.stack([rows * _row_spacing(grid), columns + shift], axis=1)


@functools.lru_cache(maxsize=8)
def distances(grid: Grid, manhattan: bool = False) -> np.ndarray:
    """Euclidean (or Manhattan) distances between units on the plane or torus: float64 `[K, K]`, in steps."""
    points = positions(grid)
    offsets = np.abs(points[:, None] - points[None])
    if grid.toroidal:
        offsets = np.minimum(offsets, np.asarray(grid.periods) - offsets)
    return offsets.sum(axis=-1) if manhattan else np.sqrt(np.square(offsets).sum(axis=-1))


def usual_neighbours(grid: Grid) -> int:
    """How many neighbours a unit inside the grid has: 6 if hexagonal, else 8 (diagonals included)."""
    return 6 if grid.topology == "hexagonal" else 8


def adjacency(grid: Grid, neighbours: int = 0) -> np.ndarray:
    """Which pairs of units are neighbours: bool `[K, K]`, symmetric, False on the diagonal.

    Args:
        grid: the grid.
        neighbours: of a unit inside: 4 or 8 on a rectangular grid, 6 on a hexagonal one; 0: `usual_neighbours`.

    Raises:
        ValueError: the topology has no such neighbourhood.
    """
    reach = {("rectangular", 4): 1.0, ("rectangular", 8): np.sqrt(2), ("hexagonal", 6): 1.0}
    chosen = neighbours or usual_neighbours(grid)
    if (grid.topology, chosen) not in reach:
        fitting = [n for topology, n in reach if topology == grid.topology]
        raise ValueError(
            f"a {grid.topology} grid has no neighbourhood of {neighbours}; choose from {fitting}"
        )
    between = distances(grid)
    return (between < reach[grid.topology, chosen] + 1e-6) & (between > 0)
