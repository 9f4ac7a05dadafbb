"""The Inception network of the Fréchet inception distance, with weights named as PyTorch names them."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unsupjax.models.layers import require_images

SIZE = 299
FEATURES = 2048

# A block is branches side by side, a branch is steps one after another. A step is a pool by name, a convolution
# (name, features, kernel = 1, stride = 1), or a pair of convolutions side by side.
POOLS = {
    "average": lambda x: nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False),
    "maximum": lambda x: nn.max_pool(x, (3, 3), padding="SAME"),
    "halve": lambda x: nn.max_pool(x, (3, 3), strides=(2, 2)),
}


def _chain(name: str, *layers: tuple) -> tuple:
    return tuple((f"{name}_{i}", *layer) for i, layer in enumerate(layers, 1))


def _split(name: str) -> tuple:
    return ((f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1)))


def _a(pooled: int) -> tuple:
    return (
        (("branch1x1", 64),),
        _chain("branch5x5", (48,), (64, 5)),
        _chain("branch3x3dbl", (64,), (96, 3), (96, 3)),
        ("average", ("branch_pool", pooled)),
    )


def _c(n: int) -> tuple:
    return (
        (("branch1x1", 192),),
        _chain("branch7x7", (n,), (n, (1, 7)), (192, (7, 1))),
        _chain("branch7x7dbl", (n,), (n, (7, 1)), (n, (1, 7)), (n, (7, 1)), (192, (1, 7))),
        ("average", ("branch_pool", 192)),
    )


def _e(pool: str) -> tuple:
    return (
        (("branch1x1", 320),),
        (("branch3x3_1", 384), _split("branch3x3_2")),
        (*_chain("branch3x3dbl", (448,), (384, 3)), _split("branch3x3dbl_3")),
        (pool, ("branch_pool", 192)),
    )


BLOCKS = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": (
        (("branch3x3", 384, 3, 2),),
        _chain("branch3x3dbl", (64,), (96, 3), (96, 3, 2)),
        ("halve",),
    ),
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": (
        _chain("branch3x3", (192,), (320, 3, 2)),
        _chain("branch7x7x3", (192,), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        ("halve",),
    ),
    "Mixed_7b": _e("average"),
    "Mixed_7c": _e("maximum"),  # a slip of the original graph that its weights were judged with ever since
}


class BasicConv(nn.Module):
    """A convolution without bias, batch norm in evaluation mode and a ReLU."""

    features: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    padding: str = ""  # empty: "SAME" with stride 1, "VALID" otherwise

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        padding = self.padding or ("SAME" if self.stride == 1 else "VALID")
        conv = nn.Conv(
            self.features,
            size,
            strides=self.stride,
            padding=padding,
            use_bias=False,
            precision="highest",  # the distance is a small difference of large sums
            name="conv",
        )
        return nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-3, name="bn")(conv(x)))


class Mixed(nn.Module):
    """The channels of every branch, one after another."""

    branches: tuple

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        def apply(step, y):
            if isinstance(step, str):
                return POOLS[step](y)
            name, *arguments = step
            if isinstance(name, str):
                return BasicConv(*arguments, name=name)(y)
            return jnp.concatenate([apply(part, y) for part in step], axis=-1)

        outputs = []
        for branch in self.branches:
            y = x
            for step in branch:
                y = apply(step, y)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


class InceptionV3(nn.Module):
    """The features that the Fréchet inception distance compares: `[B, H, W, 3]` in [0, 1] to float32 `[B, 2048]`.

    Images are resized to 299x299 bilinearly, half-pixel centres, with no low-pass filter where they shrink, and
    scaled to [-1, 1]; the features are the global average of the last block. Average pools do not count their
    padding and the last block pools by maximum, as in the TensorFlow graph of 2015 that defines the distance:
    torchvision's network of the same shapes does neither. Evaluation mode only; all of it is float32.
    `inception_variables` makes the variables.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016; Heusel et al.,
    "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        require_images(x, "Inception")
        x = 2 * resized(x.astype(jnp.float32)) - 1
        x = BasicConv(32, 3, 2, name="Conv2d_1a_3x3")(x)
        x = BasicConv(32, 3, 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = BasicConv(64, 3, name="Conv2d_2b_3x3")(x)
        x = POOLS["halve"](x)
        x = BasicConv(80, name="Conv2d_3b_1x1")(x)
        x = BasicConv(192, 3, 1, "VALID", name="Conv2d_4a_3x3")(x)
        x = POOLS["halve"](x)
        for name, branches in BLOCKS.items():
            x = Mixed(branches, name=name)(x)
        return x.mean(axis=(1, 2))


def resized(x: jax.Array) -> jax.Array:
    """`[B, H, W, C] -> [B, 299, 299, C]`, bilinear without a low-pass filter, as PyTorch's `interpolate` has it."""
    return jax.image.resize(x, (len(x), SIZE, SIZE, x.shape[-1]), "bilinear", antialias=False)


LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
CLASSES = 1008  # of the graph of 2015; torchvision's weights, of other training, have 1000


def inception_variables(weights: Mapping[str, np.ndarray]) -> dict:
    """The variables of `InceptionV3` from a PyTorch state dict of numpy arrays.

    Args:
        weights: by the names of pytorch-fid's `fid_inception_v3`, such as `"Mixed_5b.branch1x1.conv.weight"`; kernels
            are `[out, in, height, width]`. The classifier `fc` is looked at for its 1008 classes alone: other
            networks of the same names, and so distances of another meaning, have 1000.

    Raises:
        ValueError: an entry is missing or has another shape; the message names the first.
    """

    def entry(name, shape):
        if name not in weights:
            raise ValueError(f"the weights lack {name!r}")
        if weights[name].shape != shape:
            raise ValueError(
                f"{name!r} of the weights has shape {weights[name].shape}, and {shape} is needed"
            )
        return np.asarray(weights[name], np.float32)

    def variable(path, like):
        *modules, leaf = (part.key for part in path[1:])
        name = ".".join([*modules, LEAVES[leaf]])
        if like.ndim != 4:
            return entry(name, like.shape)
        height, width, inputs, outputs = like.shape
        return entry(name, (outputs, inputs, height, width)).transpose(2, 3, 1, 0)

    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    expected = jax.eval_shape(InceptionV3().init, jax.random.key(0), image)
    variables = jax.tree_util.tree_map_with_path(variable, expected)
    entry("fc.weight", (CLASSES, FEATURES))
    return variables
