"""Lapped transforms of blocks, which need no training: where a learned one begins."""

import numpy as np

BLOCK = 16  # pixels of a side
COARSEST = 64.0  # the step of quality 0, in grey levels
ANCHORS = 9  # qualities at which gains and biases are learned, the step half of it every second one
SLOW = 10.0  # transforms are stored as so many times themselves, which slows their learning
LAMBDA = 7.5  # bits a squared error of step^2 is worth
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
RGB = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])


def dct(n: int) -> np.ndarray:
    """The orthonormal DCT-II, a row a frequency, `[n, n]`."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    rows = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * np.sqrt(2 / n)
    rows[0] /= np.sqrt(2)
    return rows


def lapped(n: int, boost: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    r"""A lapped transform: the samples across each border of two blocks are rotated before the blocks' DCT.

    The filter at a border, of its n samples, is

    .. math:: P = \tfrac12 \begin{pmatrix} I & J \\ J & -I \end{pmatrix} \begin{pmatrix} I & 0 \\ 0 & V \end{pmatrix}
        \begin{pmatrix} I & J \\ J & -I \end{pmatrix}, \quad V = J C_{II}^T S C_{IV} J,

    with J the reversal, S the identity but for its first entry, `boost`. Orthonormal where that is 1.

    Args:
        n: samples of a block, even.
        boost: above 1, analysis and synthesis differ, and smooth signals take fewer coefficients.

    Returns:
        analysis and synthesis, `[n, 2 n]` each, a row a coefficient: of 2 n samples around the block, half a block
        beyond it on each side.

    Source: Tran, Liang and Tu, "Lapped transform via time-domain pre- and post-filtering", TSP 2003.
    """
    half = n // 2
    reverse, one = np.eye(half)[::-1], np.eye(half)
    k = np.arange(half) + 0.5
    fourth = np.cos(np.pi * k[:, None] * k[None] / half) * np.sqrt(2 / half)
    butterfly = np.block([[one, reverse], [reverse, -one]])

    def filters(scale):
        s = np.eye(half)
        s[0, 0] = scale
        v = reverse @ dct(half).T @ s @ fourth @ reverse
        return butterfly @ np.block([[one, 0 * one], [0 * one, v]]) @ butterfly / 2

    found = []
    for p in (filters(boost), filters(1 / boost)):
        borders = np.zeros((2 * n, 2 * n))
        borders[:n, :n] = borders[n:, n:] = p
        found.append(dct(n) @ borders[half : half + n])
    return found[0], found[1]


def frequencies(n: int) -> list[tuple[int, int]]:
    """The frequencies (row, column) of an n x n block, lowest first, diagonal by diagonal."""
    return sorted(((u, v) for u in range(n) for v in range(n)), key=lambda f: (f[0] + f[1], f[0]))


def lapped_blocks(n: int, boost: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` of the products of two `lapped` in order of `frequencies`: `[2 n * 2 n, count]` each."""
    chosen = np.array([u * n + v for u, v in frequencies(n)[:count]])
    a, s = (np.kron(m, m)[chosen].T for m in lapped(n, boost))
    return a, s


def cells_of(planes, block: int):
    """`[B, H, W] -> [B, h + 1, w + 1, block^2]`: squares between the centres of blocks, mirrored beyond the borders.

    H and W are multiples of `block`; block (i, j) and half a block around it are the cells (i, j) to (i + 1, j + 1).
    """
    xp = numpy_of(planes)
    half = block // 2
    x = xp.pad(planes, ((0, 0), (half, half), (half, half)), mode="symmetric")
    batch, height, width = x.shape
    x = x.reshape(batch, height // block, block, width // block, block).swapaxes(2, 3)
    return x.reshape(batch, height // block, width // block, block * block)


def analyse(cells, matrix):
    """Coefficients `[B, h, w, C]` of cells; matrix `[4, block^2, C]`, for the four cells of a block."""
    h, w = cells.shape[1] - 1, cells.shape[2] - 1
    return sum(cells[:, i : i + h, j : j + w] @ matrix[2 * i + j] for i in range(2) for j in range(2))


def synthesise(y, matrix, block: int):
    """Planes `[B, H, W]` of coefficients `[B, h, w, C]`; matrix `[4, C, block^2]`; what leaves them is folded back."""
    xp = numpy_of(y)
    batch, h, w, _ = y.shape
    half = block // 2
    pads = lambda i, j: ((0, 0), (i, 1 - i), (j, 1 - j), (0, 0))
    cells = sum(xp.pad(y @ matrix[2 * i + j], pads(i, j)) for i in range(2) for j in range(2))
    x = cells.reshape(batch, h + 1, w + 1, block, block).swapaxes(2, 3)
    x = x.reshape(batch, (h + 1) * block, (w + 1) * block)
    return _folded(_folded(x, half).swapaxes(1, 2), half).swapaxes(1, 2)


def by_cells(matrix: np.ndarray, block: int) -> np.ndarray:
    """`[2 block * 2 block, C] -> [4, block^2, C]`."""
    m = matrix.reshape(2, block, 2, block, -1).swapaxes(1, 2)
    return m.reshape(4, block * block, -1)


def _folded(x, half: int):
    """The rows of `[B, H + 2 half, W]` beyond the first and the last are mirrored onto those within, and added."""
    xp = numpy_of(x)
    top, bottom = x[:, :half][:, ::-1], x[:, -half:][:, ::-1]
    inner = x[:, half:-half]
    rest = ((0, 0), (0, inner.shape[1] - half), (0, 0))
    return inner + xp.pad(top, rest) + xp.pad(bottom, (rest[0], rest[1][::-1], rest[2]))


def numpy_of(x):
    """The module whose functions take an array: numpy, or jax.numpy."""
    if isinstance(x, np.ndarray):
        return np
    import jax.numpy as jnp

    return jnp
