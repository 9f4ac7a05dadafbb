"""Neighbours found among compressed vectors, beside faiss at as many bytes a vector.

    pip install -e '.[bench]' && python -m benchmarks.quantize SOURCE [--features=64] [--queries=1000] [--seeds=3]

Training rows are brought to so many principal components and coded, and their first 20,000 are what codebooks are
learned from, 25 iterations for everyone. Queries are test rows, and stay as they are. recall@10: how many of the 10
training rows nearest to a query are among the 10 whose codes stand for the nearest vectors. `error` is the mean squared
distance of a row from what its code stands for, as a share of the rows' variance.
"""

import argparse
import time

import jax
import numpy as np
from sklearn.decomposition import PCA

from unsupjax.cluster import quantize
from unsupjax.data import arrays, open_source

LEARNT, NEAREST, ITERATIONS = 20_000, 10, 25


def nearest(base, queries):
    """Indices `[Q, 10]` of the nearest rows."""
    squares = np.square(base).sum(axis=1)
    parts = [
        np.argpartition(squares[None] - 2 * q @ base.T, NEAREST, axis=1)[:, :NEAREST]
        for q in np.array_split(queries, max(1, len(queries) // 100))
    ]
    return np.concatenate(parts)


def ours(learn, base, seed, **sizes):
    """What codes of one byte a level or subspace stand for."""
    books = learn(jax.random.key(seed), base[:LEARNT], iterations=ITERATIONS, **sizes)
    return np.asarray(quantize.decode(books, quantize.encode(books, base)))


def faiss_product(base, seed, size):
    """The same of faiss's product quantiser."""
    import faiss

    coder = faiss.ProductQuantizer(base.shape[1], size, 8)
    coder.cp.niter, coder.cp.seed = ITERATIONS, seed + 1
    coder.train(base[:LEARNT])
    return coder.decode(coder.compute_codes(base))


def faiss_residual(base, seed, size, beam):
    """The same of its residual quantiser; a beam keeps so many sums of centres at each level."""
    import faiss

    coder = faiss.ResidualQuantizer(base.shape[1], size, 8)
    coder.cp.niter, coder.cp.seed, coder.max_beam_size = ITERATIONS, seed + 1, beam
    coder.train(base[:LEARNT])
    return coder.decode(coder.compute_codes(base))


CODERS = {
    "product": lambda x, seed, m: ours(quantize.product, x, seed, subspaces=m),
    "product, faiss": faiss_product,
    "residual": lambda x, seed, m: ours(quantize.residual, x, seed, levels=m),
    "residual, faiss": lambda x, seed, m: faiss_residual(x, seed, m, 1),
    "residual, faiss, beam of 5": lambda x, seed, m: faiss_residual(x, seed, m, 5),
}


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bytes", type=int, nargs="+", default=(4, 8))
    options = parser.parse_args()
    opened = open_source(options.source)
    flat = lambda split: arrays(split)[0].reshape(len(split), -1).astype(np.float32)
    pca = PCA(options.features, random_state=0).fit(flat(opened.train)[:LEARNT])
    base, queries = (pca.transform(flat(split)).astype(np.float32) for split in (opened.train, opened.test))
    queries = queries[: options.queries]
    exact = nearest(base, queries)
    print("| bytes | codes | recall@10 | error | seconds of CPU |\n|---|---|---|---|---|")
    for size in options.bytes:
        for name, use in CODERS.items():
            rows = []
            for seed in range(options.seeds):
                start = time.process_time()
                made = use(base, seed, size)
                spent = time.process_time() - start
                hits = [
                    len(np.intersect1d(*pair)) for pair in zip(exact, nearest(made, queries), strict=True)
                ]
                error = np.square(made - base).sum(axis=1).mean() / base.var(axis=0).sum()
                rows.append((np.mean(hits) / NEAREST, error, spent))
            low, high = np.min(rows, axis=0), np.max(rows, axis=0)
            print(
                f"| {size} | {name} | {low[0]:.3f}-{high[0]:.3f} | {low[1]:.3f}-{high[1]:.3f} | {low[2]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
