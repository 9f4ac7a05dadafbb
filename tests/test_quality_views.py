"""One small real run of each method that learns from views, with a bar that an untrained and a broken one fail."""

import jax
import numpy as np
import optax
import pytest

from unsupjax import augment, losses, methods, models

pytestmark = pytest.mark.thorough

SHAPE, STEPS, BATCH = (8, 8, 1), 300, 64
ORDER = np.random.default_rng(0).permutation(1797)  # neighbours in the file share a writer
VIEWS = augment.glyphs(SHAPE, area=(1.0, 1.0), noise=0.05)
HEAD = models.ProjectionHead((64, 32))
RUNS = {  # method, its modules after the encoder, its arguments
    "simclr": (methods.simclr, (HEAD,), {"temperature": 0.5}),
    "moco": (methods.moco, (HEAD,), {"queue_size": 512, "momentum": 0.95, "temperature": 0.3}),
    "moco_v3": (methods.moco_v3, (HEAD, HEAD), {"total_steps": STEPS, "momentum": 0.95}),
    "byol": (methods.byol, (HEAD, HEAD), {"total_steps": STEPS, "momentum": 0.95}),
    "dino": (methods.dino, (HEAD,), {"total_steps": STEPS, "momentum": 0.95, "prototypes": 128}),
    "simsiam": (methods.simsiam, (models.ProjectionHead((64, 32), last_norm=True), HEAD), {}),
    "barlow_twins": (methods.barlow_twins, (HEAD,), {"weight": 0.02}),
    "vicreg": (methods.vicreg, (HEAD,), {}),
}


def retrieval(digits, name, two_views=VIEWS, steps=STEPS):
    """How often a held-out digit's view is most like the other view of the same digit, of 397, by the encoder."""
    factory, heads, arguments = RUNS[name]
    train, test = np.split(digits[ORDER], [1400])
    method = factory(models.MLPEncoder((256, 128)), *heads, optax.adam(2e-3), augment=two_views, **arguments)
    index = np.random.default_rng(0).integers(0, len(train), (steps, BATCH))

    @jax.jit
    def judged(key, train, test):
        state = method.init(key, train[:BATCH])
        if steps:
            state, _ = jax.lax.scan(lambda state, i: method.step(state, train[i]), state, index)
        views = jax.vmap(VIEWS)(jax.random.split(key, len(test)), test)
        return losses.contrastive_accuracy(*(method.encode(state, view) for view in views)).mean()

    return float(judged(jax.random.key(0), train, test))


@pytest.mark.parametrize("name", RUNS)
def test_views_of_one_digit_become_alike_and_those_of_others_do_not(name, digits):
    assert retrieval(digits, name) > 0.28


def test_an_untrained_encoder_does_not_reach_that(digits):
    assert retrieval(digits, "simclr", steps=0) < 0.25


def test_views_of_different_digits_teach_nothing(digits):
    pair = lambda key, x, batch: (VIEWS(key, x)[0], batch[jax.random.randint(key, (), 0, BATCH)])
    assert retrieval(digits, "simclr", augment.InBatch(pair)) < 0.25


def test_without_the_stopped_gradient_simsiam_learns_nothing(digits, monkeypatch):
    cosine = lambda p, z: (losses.normalize(p) * losses.normalize(z)).sum(axis=1)
    both = lambda p1, z2, p2, z1: -(cosine(p1, z2) + cosine(p2, z1)) / 2
    monkeypatch.setattr(losses, "simsiam", both)
    assert retrieval(digits, "simsiam") < 0.25
