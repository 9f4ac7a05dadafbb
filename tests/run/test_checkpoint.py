import os
import pathlib
import shutil
import threading
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from unsupjax.errors import UserError
from unsupjax.parallel.mesh import make_mesh, state_sharding
from unsupjax.run.checkpoint import Checkpoints, snapshot


class State(NamedTuple):
    step: jax.Array
    key: jax.Array
    weights: dict
    flags: jax.Array


def state_at(step):
    rng = np.random.default_rng(step)
    weights = {
        "w": jnp.asarray(rng.normal(size=(40, 50)), jnp.float32),
        "h": jnp.ones(3, jnp.bfloat16) * step,
    }
    return State(jnp.int32(step), jax.random.key(step), weights, jnp.array([True, False]))


ABSTRACT = jax.eval_shape(lambda: state_at(0))
ONE = jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(jax.devices()[0]), ABSTRACT)


def leaves(state):
    return [np.asarray(x) for x in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]


def assert_is(restored, step):
    assert restored.step == step
    for a, e in zip(leaves(restored.state), leaves(state_at(step)), strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_array_equal(a, e)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with checkpoints 1, 2 and 3; tests copy it."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder, keep=3, best_metric="loss")
    for step in (1, 2, 3):
        checkpoints.save(step, snapshot(state_at(step)), {"position": step}, {"loss": 1.0 / step})
    checkpoints.close()
    return folder


def opened(saved, tmp_path, damage=None):
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    if damage:
        damage(folder)
    return Checkpoints(folder, keep=3, best_metric="loss")


def test_what_was_saved_comes_back(saved, tmp_path):
    checkpoints = opened(saved, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = checkpoints.restore(ABSTRACT, ONE)
    assert_is(restored, 3)
    assert restored.manifest["position"] == 3 == checkpoints.newest_manifest()["position"]
    assert isinstance(restored.state, State)
    assert jax.random.key_impl(restored.state.key) == jax.random.key_impl(jax.random.key(0))
    checkpoints.close()


def test_what_is_written_is_what_was_passed_however_late(tmp_path, monkeypatch):
    write, changed = ocp.JsonCheckpointHandler._save_fn, threading.Event()

    async def late(*args):
        changed.wait(30)
        await write(*args)

    monkeypatch.setattr(ocp.JsonCheckpointHandler, "_save_fn", late)
    checkpoints = Checkpoints(tmp_path)
    metrics, manifest = {"loss": 1.0}, {"position": {"epoch": 1}}
    checkpoints.save(1, snapshot(state_at(1)), manifest, metrics)
    metrics["loss"], manifest["position"]["epoch"] = 2.0, 2  # as a run goes on with its next step
    changed.set()
    checkpoints.close()
    restored = Checkpoints(tmp_path, read_only=True).restore(ABSTRACT, ONE)
    assert_is(restored, 1)
    assert restored.manifest == {"position": {"epoch": 1}}


def test_an_empty_folder_has_none(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.restore(ABSTRACT, ONE) is None and checkpoints.newest_manifest() is None
    checkpoints.close()


def test_restores_onto_other_devices(saved, tmp_path):
    checkpoints = opened(saved, tmp_path)
    restored = checkpoints.restore(ABSTRACT, state_sharding(ABSTRACT, make_mesh()))
    assert_is(restored, 3)
    assert len(restored.state.weights["w"].sharding.device_set) == 8
    checkpoints.close()


def files(folder):
    return sorted(p for p in (folder / "3").rglob("*") if p.is_file() and p.stat().st_size)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, empty, flip_bit, pathlib.Path.unlink])
def test_damage_to_any_file_never_gives_a_wrong_state(saved, tmp_path, damage):
    """Of every file of the newest checkpoint: either it is read back right, or the one before it is, loudly."""
    names = [p.relative_to(saved) for p in files(saved)]
    fell_back = set()
    for i, name in enumerate(names):
        checkpoints = opened(saved, tmp_path / str(i), lambda folder, name=name: damage(folder / name))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            restored = checkpoints.restore(ABSTRACT, ONE)
        assert_is(restored, restored.step)
        if restored.step == 2:
            fell_back.add(name)
            assert any("checkpoint 3 is damaged" in str(w.message) for w in caught)
            assert (tmp_path / str(i) / "damaged" / "3").exists()
            assert checkpoints.steps() == [1, 2]
        checkpoints.close()
    arrays = {n for n in names if str(n).startswith("3/state/weights")}
    assert arrays and any(n in fell_back for n in arrays)


def test_a_bit_flipped_in_an_array_is_noticed(saved, tmp_path, monkeypatch):
    """The checksum is what notices it where the storage layer does not."""
    checkpoints = opened(saved, tmp_path)
    read = checkpoints._manager.restore

    def flipped(step, args):
        result = read(step, args=args)
        if step == 3 and "state" in args:
            w = np.array(result.state.weights["w"])
            w.view(np.uint32)[7, 7] ^= 1 << 30
            result.state.weights["w"] = jnp.asarray(w)
        return result

    monkeypatch.setattr(checkpoints._manager, "restore", flipped)
    with pytest.warns(UserWarning, match="not those that were written"):
        assert_is(checkpoints.restore(ABSTRACT, ONE), 2)
    checkpoints.close()


def test_every_single_bit_changes_the_checksum():
    words = np.arange(5, dtype=np.uint32)
    sums = lambda w: int(snapshot({"w": jnp.asarray(w.view(np.float32))}).checksums[0])
    seen = {sums(words)}
    for i in range(5):
        for bit in range(32):
            changed = words.copy()
            changed[i] ^= np.uint32(1) << np.uint32(bit)
            assert sums(changed) not in {sums(words)}
            seen.add(sums(changed))
    assert len(seen) > 100


def test_when_all_are_damaged_nothing_is_touched(saved, tmp_path):
    def damage(folder):
        for path in folder.rglob("*"):
            if path.is_file():
                empty(path)

    checkpoints = opened(saved, tmp_path, damage)
    with pytest.raises(UserError, match=r"none of the checkpoints \[1, 2, 3\]"):
        checkpoints.restore(ABSTRACT, ONE)
    assert not (tmp_path / "damaged").exists()
    checkpoints.close()


def test_a_partial_save_is_no_checkpoint(saved, tmp_path):
    def partial(folder):
        (folder / "3").rename(folder / "3.orbax-checkpoint-tmp")

    checkpoints = opened(saved, tmp_path, partial)
    assert_is(checkpoints.restore(ABSTRACT, ONE), 2)
    checkpoints.save(3, snapshot(state_at(3)), {}, {})
    checkpoints.close()
    assert checkpoints.steps() == [1, 2, 3]


@pytest.mark.parametrize("mode, best", [("min", 2), ("max", 3)])
def test_keeps_the_last_and_the_best(tmp_path, mode, best):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2, best_metric="loss", best_mode=mode)
    for step, loss in enumerate((3.0, 1.0, 5.0, 2.0, 4.0), 1):
        checkpoints.save(step, snapshot(state_at(step)), {}, {"loss": loss, "other": 0.0})
    checkpoints.close()
    assert checkpoints.steps() == sorted({best, 4, 5})


def test_a_snapshot_outlives_donation_and_tells_what_is_not_finite():
    state = state_at(5)
    copy = snapshot(state)
    jax.jit(lambda s: jax.tree.map(lambda x: x * 0 if x.dtype == jnp.float32 else x, s), donate_argnums=0)(
        state
    )
    np.testing.assert_array_equal(copy.state.weights["w"], state_at(5).weights["w"])
    assert copy.finite
    assert not snapshot(state_at(5)._replace(weights={"w": jnp.array([1.0, jnp.nan])})).finite


def test_the_best_is_still_known_after_reopening(tmp_path):
    for step, loss in enumerate((3.0, 1.0, 5.0, 2.0, 4.0), 1):
        checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1, best_metric="loss")
        checkpoints.save(step, snapshot(state_at(step)), {}, {"loss": loss})
        checkpoints.close()
    assert checkpoints.steps() == [2, 5]
