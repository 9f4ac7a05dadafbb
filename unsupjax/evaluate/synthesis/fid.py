"""The Fréchet inception distance, for those who have its weights."""

import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unsupjax import generation as measures
from unsupjax.errors import UserError
from unsupjax.evaluate import require
from unsupjax.evaluate.judge import Facts
from unsupjax.evaluate.subject import Subject, map_batches, random_subset
from unsupjax.evaluate.synthesis.generation import drawn

FIELD = "config.evaluate.fid.weights"
HOW = """the distance is defined by one set of Inception weights, which is not part of this package. Download
  https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth
convert it where there is PyTorch with
  state = torch.load("pt_inception-2015-12-05-6726825d.pth", map_location="cpu")
  numpy.savez("inception.npz", **{k: v.numpy() for k, v in state.items()})
and give the path of the .npz file; or take 'generation', whose encoders are in the package"""


def fid(subject: Subject, *, weights: str = "", n: int = 10_000, batch_size: int = 64) -> dict[str, float]:
    """Fréchet inception distance of samples to test images, beside that of training images to them.

    Samples, training images and test images are n each, rounded to 8 bits as if read from files; grey ones become
    three equal channels. They pass through `models.inception.InceptionV3`, and
    `unsupjax.generation.frechet_distance` compares the features. The distance falls as n grows, and published
    numbers mostly have 50,000 samples against the training images: compare with `fid_real`, the floor at this n, and
    not with those. With n <= 2048 the covariances are singular and the floor is high. The network costs some
    11 GFLOP an image: for more than a few hundred, use an accelerator.

    Args:
        subject: what is judged.
        weights: path of an `.npz` file of the network's weights under their PyTorch names.
        n: samples, and images of each split; at most as many as the smaller split has.
        batch_size: images in the network at once, which bounds memory.

    Returns:
        `fid`; `fid_real`, of training images; `fid_examples`, n.

    Raises:
        UserError: no weights, or a file that is not of them; inputs that are not images of 1 or 3 channels in [0, 1];
            the method cannot sample; samples are not finite; n below 2.

    Source: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
    NeurIPS 2017.
    """
    n = min(n, len(subject.x_train), len(subject.x_test))
    if n < 2 or batch_size < 1:
        raise UserError(f"fid: {n=} images of each split must be at least 2, and {batch_size=} at least 1")
    require.images(subject.x_test, "fid")
    splits = (subject.x_train, subject.x_test)
    if any(x.min() < 0 or x.max() > 1 for x in splits):
        raise require.missing("fid", "images in [0, 1], and these leave it", "scale the data")
    variables = jax.device_put(load(weights))
    keys = jax.random.split(subject.key, len(splits))
    train, test = (x[random_subset(key, len(x), n)] for key, x in zip(keys, splits, strict=True))
    sets = (drawn(subject, n, "fid"), train, test)
    fake, real, target = (map_batches(features, x, batch_size, variables) for x in sets)
    return {
        "fid": measures.frechet_distance(fake, target),
        "fid_real": measures.frechet_distance(real, target),
        "fid_examples": float(n),
    }


def features(variables: dict, x: jax.Array) -> jax.Array:
    """`[B, H, W, 1 or 3]` to `[B, 2048]`, float32, of images as an 8-bit file holds them."""
    from unsupjax.models.inception import InceptionV3

    x = jnp.round(255 * jnp.clip(x, 0, 1)) / 255
    return InceptionV3().apply(variables, jnp.broadcast_to(x, (*x.shape[:3], 3)))


def check(arguments: Mapping[str, Any], facts: Facts) -> None:
    """Refuses, at the start of a run, what `fid` would at its end: missing weights, inputs that are no images."""
    if not pathlib.Path(arguments["weights"] or "/").is_file():
        raise UserError(f"{FIELD}={arguments['weights']!r} is no file: {HOW}")
    if len(facts.kind.shape) != 3:
        raise require.missing(
            "fid", f"images, and inputs have the shape {facts.kind.shape}", "take 'generation'"
        )


def load(path: str) -> dict:
    """The variables of `InceptionV3` from an `.npz` file of a PyTorch state dict.

    Raises:
        UserError: no path, no file, or one that lacks an entry or has another shape for it, with its name.
    """
    from unsupjax.models.inception import inception_variables

    if not path:
        raise UserError(f"{FIELD} is empty: {HOW}")
    try:
        with np.load(path, allow_pickle=False) as file:
            return inception_variables({name: file[name] for name in file.files})
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{FIELD}={path!r} does not hold the weights ({error}): {HOW}") from error
