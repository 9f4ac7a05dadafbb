"""Two random views of each example, and what tells whether their embeddings are healthy."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from unsupjax import losses
from unsupjax.augment import InBatch, random_resized_crop
from unsupjax.parallel.collectives import all_gather, example_keys, pmean

_SAMPLE = 1024  # examples whose pairs give the uniformity
_COLLAPSED = 0.05  # of `embedding_std`, which is about 1 where embeddings fill the sphere


def two_views(
    augment: Callable | InBatch, key: jax.Array, x: jax.Array, axis_name: str | None
) -> tuple[jax.Array, jax.Array]:
    """Views `(x1, x2)` of each example of a batch, drawn from the example's own key.

    Args:
        augment: `(key, example) -> (x1, x2)`, or an `InBatch` of `(key, example, batch) -> (x1, x2)`, where `batch`
            holds the examples of all devices.
        key: of the step.
        x: this device's examples, `[B, ...]`.
        axis_name: the mapped device axis.
    """
    keys = example_keys(key, x.shape[0], axis_name)
    if isinstance(augment, InBatch):
        return jax.vmap(augment.two_views, in_axes=(0, 0, None))(keys, x, all_gather(x, axis_name))
    return jax.vmap(augment)(keys, x)


def local_views(
    augment: Callable,
    key: jax.Array,
    x: jax.Array,
    count: int,
    area: tuple[float, float],
    size: tuple[int, int],
    axis_name: str | None,
) -> jax.Array:
    """Small parts of further views of each example, resampled to `size`: `[B, count, *size, C]`.

    Args:
        augment: `(key, example) -> (x1, x2)`, each of which gives as many of the views, as far as that goes.
        key: of the step.
        x: this device's images, `[B, H, W, C]`.
        count: of an example.
        area: lowest and highest share of a view that a part covers.
        size: height and width.
        axis_name: the mapped device axis.
    """

    def parts(key, image):
        view_key, crop_key = jax.random.split(key)
        pairs = jax.vmap(augment, (0, None))(jax.random.split(view_key, (count + 1) // 2), image)
        crop = lambda key, view: random_resized_crop(key, view, size, area=area)
        return jax.vmap(crop)(jax.random.split(crop_key, count), jnp.concatenate(pairs)[:count])

    return jax.vmap(parts)(example_keys(key, x.shape[0], axis_name), x)


def health(z1: jax.Array, z2: jax.Array, axis_name: str | None) -> dict[str, jax.Array]:
    r"""Metrics of the embeddings of two views, scaled to unit length.

    Args:
        z1, z2: embeddings of this device's examples, `[B, D]`.
        axis_name: the mapped device axis.

    Returns:
        float32 scalars over the global batch: `embedding_std`, the mean over features of the standard deviation of z1
        times sqrt(D), about 1 where embeddings fill the sphere and 0 where they are all the same; `alignment`,
        the mean of :math:`\|z_1 - z_2\|^2`; `uniformity` of z1 (of the first 1024 examples);
        `positive_similarity` and `negative_similarity`, the mean cosines of the two views of one and of
        different examples.
    """
    z1, z2 = (losses.normalize(jax.lax.stop_gradient(z).astype(jnp.float32)) for z in (z1, z2))
    pooled = all_gather(z1, axis_name)
    n, d = pooled.shape
    positive = pmean((z1 * z2).sum(axis=1).mean(), axis_name)
    # The sum of all n^2 similarities is a product of sums; n of them are positives.
    total = (pooled.mean(axis=0) * pmean(z2.mean(axis=0), axis_name)).sum() * n
    return {
        "embedding_std": pooled.std(axis=0).mean() * jnp.sqrt(d),
        "alignment": pmean(losses.align(z1, z2).mean(), axis_name),
        "uniformity": losses.uniformity(pooled[:_SAMPLE]),
        "positive_similarity": positive,
        "negative_similarity": (total - positive) / max(n - 1, 1),
    }


def diagnose(metrics: dict[str, float]) -> str | None:
    """Says so where the embeddings of all examples have become the same."""
    if metrics["embedding_std"] >= _COLLAPSED:
        return None
    return (
        f"the encoder has collapsed: it gives all examples nearly the same embedding (embedding_std "
        f"{metrics['embedding_std']:.2g}, healthy near 1). Lower the learning rate, warm it up for longer, or look "
        "at the batch norm of the projector"
    )
