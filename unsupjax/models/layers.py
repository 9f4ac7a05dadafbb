"""What the networks with batch norm share."""

import flax.linen as nn
import jax
import jax.numpy as jnp

HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def batch_norm(
    train: bool,
    *,
    momentum: float = 0.9,
    dtype: jnp.dtype | None = None,
    axis_name: str | None = None,
    affine: bool = True,
    zero: bool = False,
) -> nn.BatchNorm:
    r"""Batch norm over every axis but the last, :math:`\gamma (x - \mu) / \sqrt{\sigma^2 + 10^{-5}} + \beta`.

    In training the mean and the (biased) variance are those of the global batch, float32 whatever the dtype, and
    the running ones move by :math:`r \leftarrow m r + (1 - m) \mu`; otherwise the running ones are used.

    Args:
        train: batch statistics, not running ones.
        momentum: m, of the running statistics (PyTorch's momentum is 1 - m).
        dtype: of the output.
        axis_name: the device axis under `pmap`.
        affine: with gamma and beta.
        zero: gamma starts at 0, not at 1.

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal
    covariate shift", ICML 2015.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=1e-5,
        dtype=dtype,
        axis_name=axis_name,
        use_scale=affine,
        use_bias=affine,
        scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
    )


def require_images(x: jax.Array, name: str) -> None:
    """ValueError where `x` is no batch of images [B, H, W, C]."""
    if x.ndim != 4:
        raise ValueError(
            f"{name} needs images [B, H, W, C] and got shape {x.shape}; for vectors there is `mlp`"
        )


def patched(x: jax.Array, size: int) -> jax.Array:
    """Pictures `[B, H, W, C]` as rows of patches `[B, H W / size^2, size^2 C]`, row by row.

    Windows of time `[B, W, C]` are rows of so many steps `[B, ceil(W / size), size C]`; what is missing for whole ones
    is their first step, repeated in front.

    Raises:
        ValueError: neither, or patches that do not tile pictures.
    """
    if x.ndim == 3 and 0 < size <= x.shape[1]:
        x = jnp.pad(x, ((0, 0), (-x.shape[1] % size, 0), (0, 0)), mode="edge")
        return x.reshape(len(x), -1, size * x.shape[2])
    if x.ndim == 3:
        raise ValueError(f"patches of {size} steps are none of windows of {x.shape[1]}")
    if x.ndim != 4:
        raise ValueError(
            f"patches are of pictures [B, H, W, C] or of windows [B, W, C], and got shape {x.shape}"
        )
    batch, height, width, channels = x.shape
    if size < 1 or height % size or width % size:
        raise ValueError(f"patches of side {size} do not tile images of {height} x {width}")
    x = x.reshape(batch, height // size, size, width // size, size, channels).swapaxes(2, 3)
    return x.reshape(batch, (height // size) * (width // size), size * size * channels)


def joined(patches: jax.Array, size: int, shape: tuple[int, ...]) -> jax.Array:
    """Pictures `[B, H, W, C]` of the shape (H, W, C) from their patches, or windows: the inverse of `patched`."""
    if len(shape) == 2:
        steps, channels = shape
        return patches.reshape(len(patches), -1, channels)[:, -steps:]
    height, width, channels = shape
    x = patches.reshape(-1, height // size, width // size, size, size, channels)
    return x.swapaxes(2, 3).reshape(-1, *shape)
