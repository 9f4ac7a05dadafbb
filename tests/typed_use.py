"""What users write, as a type checker sees it: `mypy`. Nothing here is run."""

import flax.linen as nn
import jax
import numpy as np
import optax
from ml_collections import ConfigDict

import unsupjax
from unsupjax import cluster, estimators, losses, methods, models, som
from unsupjax.methods.base import Method
from unsupjax.model import Model
from unsupjax.run.fit import fit


def a_loss_of_ones_own(x: jax.Array, y: jax.Array) -> jax.Array:
    value = losses.info_nce(x, y, temperature=0.2).mean()
    losses.info_nce(x, y, temprature=0.2)  # type: ignore[call-arg]
    return value


def a_method(encoder: nn.Module, decoder: nn.Module) -> Method:
    made = methods.autoencoder(encoder, decoder, optax.adam(1e-3), latent_dim=8)
    methods.autoencoder(encoder, decoder, optax.adam(1e-3), latent=8)  # type: ignore[call-arg]
    return made


def a_trained_folder() -> Model:
    return unsupjax.load("runs/autoencoder_digits")


def codes(x: np.ndarray) -> np.ndarray:
    return a_trained_folder().encode(x)


def near() -> list[tuple[str, float]]:
    return a_trained_folder().similar("word", top=3)


def of_another_type() -> float:
    return a_trained_folder().similar("word", top=3)  # type: ignore[return-value]


def a_run(config: ConfigDict) -> dict[str, float]:
    return fit(config, "runs/mine")


def networks() -> list[nn.Module]:
    return [models.MLPEncoder((256, 128)), models.MLPDecoder((784,), (128, 256))]


def clusters(x: np.ndarray) -> tuple[jax.Array, np.ndarray]:
    found = cluster.kmeans.fit(jax.random.key(0), x, 10)
    return found.centers, estimators.KMeans(n_clusters=10).fit_predict(x)


def a_map(x: np.ndarray) -> float:
    found = som.fit(jax.random.key(0), x, som.Grid(6, 6))
    return som.quantization_error(found.map, x)
