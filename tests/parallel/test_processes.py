"""Several processes on this machine: they train what one trains, share data and evaluation, end together."""

import json
import pathlib
import random
import re
import runpy
import shutil
import signal
import time

import jax
import numpy as np
import optax
import pytest
from launch import outputs, start, start_many, steps, train, wait_for
from test_methods import BATCH, SHAPE, STEPS, assert_same_state, make

from unsupjax import methods, models
from unsupjax.config import experiment
from unsupjax.data.feeds import resident
from unsupjax.data.kinds import Images
from unsupjax.errors import UserError
from unsupjax.parallel import mesh as parallel
from unsupjax.parallel import processes
from unsupjax.parallel.mesh import (
    compile_step,
    gather_for,
    make_mesh,
    place_batch,
    put_everywhere,
    state_sharding,
    without_keys,
)
from unsupjax.run import experiment as experiments
from unsupjax.run.checkpoint import Checkpoints
from unsupjax.run.loop import compile_block
from unsupjax.run.plan import resolve

pytestmark = pytest.mark.thorough

WORKER = pathlib.Path(__file__).parents[1] / "worker.py"
FAMILIES = ["gan", "kmeans", "moco"]  # two optimizers; integers; a queue and shuffled batches
OTHERS = ["autoencoder", "som", "simclr-corrupted", "byol"]
UNJUDGED = ("--config.evaluate.run=()", "--config.evaluate.figures=()")
CONFIG = """
from unsupjax.config import experiment

def get_config():
    return experiment(
        data={"source": "digits", "feed": "streaming", "transform": "binarize"},
        method={"name": "vae", "latent_dim": 4},
        encoder={"name": "mlp", "features": (128,)},
        decoder={"name": "mlp", "features": (128,)},
        optimizer={"name": "sgd", "learning_rate": 1e-3, "momentum": 0.9},
        train={"batch_size": 32, "steps": 90, "steps_per_call": 5, "log_every": 10},
        checkpoint={"every": 10, "seconds": 0.0},
        evaluate={"run": ("reconstruction", "likelihood", "knn"), "likelihood": {"samples": 2},
                  "figures": ("reconstructions",)},
    )
"""


def trained(folder, count, devices, cases, *options):
    """All States that so many processes reach, by case, executor and feed."""
    folder.mkdir()
    settings = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    started = start_many(
        count, *options, str(folder), *cases, cwd=folder, devices=devices, script=WORKER, **settings
    )
    texts = outputs(started, 1200)
    assert all(process.returncode == 0 for process in started), texts
    return {path.stem: dict(np.load(path)) for path in sorted(folder.glob("*.npz"))}


def assert_same(found, expected):
    """Equal to 1e-5 of the largest entry of each array, and of MoCo to 1e-4; whole numbers exactly."""
    assert found.keys() == expected.keys()
    for name, states in expected.items():
        tolerance = (
            1e-4 if name.startswith("moco") else 1e-5
        )  # its batch norm of few examples amplifies round-off
        assert states.keys() == found[name].keys()
        for path, e in states.items():
            a, where = found[name][path], f"{name}{path}"
            if np.issubdtype(e.dtype, np.integer):
                np.testing.assert_array_equal(a, e, err_msg=where)
            else:
                atol = tolerance * max(np.abs(e).max(), 1e-3)
                np.testing.assert_allclose(a, e, rtol=tolerance, atol=atol, err_msg=where)


@pytest.mark.parametrize("families", [FAMILIES, pytest.param(OTHERS, marks=pytest.mark.slow)])
def test_two_processes_train_what_one_trains(families, tmp_path):
    found = trained(tmp_path / "two", 2, 2, families)
    assert len(found) == len(families)
    assert_same(found, trained(tmp_path / "one", 1, 1, families))


@pytest.mark.slow
def test_every_case_both_executors_both_feeds_1_2_and_4_processes(tmp_path):
    from test_methods import CASES

    expected = trained(tmp_path / "one", 1, 1, CASES, "--all")
    for case in CASES:  # executors and feeds agree
        first, *others = (states for name, states in expected.items() if name.rsplit("-", 2)[0] == case)
        for other in others:
            assert_same({case: other}, {case: first})
    for count, devices in ((2, 2), (4, 1)):
        assert_same(trained(tmp_path / str(count), count, devices, CASES, "--all"), expected)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "vae.py"
    path.write_text(CONFIG)
    return path


def parameters(config, folder):
    """The step and the arrays of the newest checkpoint, read here."""
    restored = newest(config, folder)
    whole = without_keys(restored.state)
    return restored.step, {
        jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree.leaves_with_path(whole)
    }


def newest(config, folder):
    module = runpy.run_path(str(config))["get_config"]()
    prepared = experiments.prepare(resolve(module))
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    restored = checkpoints.restore(prepared.abstract, prepared.shardings)
    checkpoints.close()
    return restored


def results(folder):
    return json.loads((folder / "evaluation.json").read_text())


@pytest.mark.parametrize("several", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_of_several_goes_on_with_one_and_with_two(several, config, tmp_path):
    """SIGTERM reaches one of them, and all stop at one step; State lies divided, whole and divided again."""
    whole = train(f"--config={config}", "--workdir=whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    begun = start_many(several, f"--config={config}", "--workdir=two", "--config.fsdp=2", cwd=tmp_path)
    wait_for(lambda: steps(tmp_path / "two"), begun[0])  # all of them train
    begun[-1].send_signal(signal.SIGTERM)
    texts = outputs(begun)
    assert [process.returncode for process in begun] == [0] * several, texts
    assert texts[1:] == [""] * (several - 1), "one process speaks"
    stopped = int(re.search(r"stopped at step (\d+) of 90", texts[0])[1])
    assert steps(tmp_path / "two")[-1] == stopped < 90
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    one = train(f"--config={config}", "--workdir=one", cwd=tmp_path)
    assert one.returncode == 0 and f"from step {stopped}" in one.stdout, one.stderr
    two = start_many(2, f"--config={config}", "--workdir=two", "--config.fsdp=2", cwd=tmp_path)
    texts = outputs(two)
    assert [process.returncode for process in two] == [0] * 2, texts
    assert "cpu of 2 processes" in texts[0] and f"from step {stopped}" in texts[0]
    step, expected = parameters(config, tmp_path / "whole")
    for name in ("one", "two"):
        reached, found = parameters(config, tmp_path / name)
        assert reached == step == 90
        assert_same({"": found}, {"": expected})
        judged = results(tmp_path / "whole")
        assert results(tmp_path / name) == pytest.approx(judged, rel=1e-4)
        assert (tmp_path / name / "figures" / "reconstructions.png").exists()
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if "loss" in line][-1] == 90


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_one_of_two_dies_the_other_ends_and_the_run_goes_on(victim, config, tmp_path):
    arguments = (f"--config={config}", "--workdir=run", "--config.train.steps=600", *UNJUDGED)
    begun = start_many(2, *arguments, cwd=tmp_path)
    wait_for(lambda: steps(tmp_path / "run"), begun[0])
    begun[victim].kill()
    since = time.monotonic()
    texts = outputs(begun, 150)
    assert time.monotonic() - since < 120
    assert begun[1 - victim].returncode not in (0, None)
    message = f"process {1 - victim} of 2 lost the others|another task died"
    assert re.search(message, texts[1 - victim]), texts[1 - victim]
    saved = steps(tmp_path / "run")[-1]
    again = train(*arguments, "--config.parallel=pmap", cwd=tmp_path)
    assert again.returncode == 0 and f"from step {saved}" in again.stdout, again.stderr
    assert steps(tmp_path / "run")[-1] == 600


def launched_by(launcher, rank, port):
    """What a launcher of two processes leaves in the environment of one."""
    if launcher == "slurm":  # JAX derives the port from the job
        return {
            "SLURM_JOB_ID": str(port - (65535 - 2**12 + 1)),
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_NTASKS": "2",
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank),
        }
    return {
        "OMPI_MCA_orte_hnp_uri": f"{(port - (65535 - 2**12 + 1)) * 2**12}.0;tcp://127.0.0.1:1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
    }


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["slurm", "open mpi"])
def test_processes_find_each_other_by_what_the_launcher_says(launcher, config, tmp_path):
    port = random.randint(65535 - 2**12 + 1, 65534)
    begun = [
        start(
            f"--config={config}",
            "--workdir=run",
            "--config.train.steps=5",
            cwd=tmp_path,
            **launched_by(launcher, rank, port),
        )
        for rank in range(2)
    ]
    texts = outputs(begun)
    assert [process.returncode for process in begun] == [0, 0], texts
    assert "of 2 processes" in texts[0] and texts[1] == ""


@pytest.mark.slow
def test_what_one_process_refuses_all_refuse(config, tmp_path):
    """The second run is refused by the primary's lock; its other process must not wait for it."""
    arguments = (f"--config={config}", "--workdir=run", "--config.train.steps=100000")
    first = start(*arguments, cwd=tmp_path)
    wait_for(lambda: steps(tmp_path / "run"), first)
    second = start_many(2, *arguments, cwd=tmp_path)
    texts = outputs(second, 120)
    first.kill()
    first.communicate()
    assert [process.returncode for process in second] == [1, 1]
    assert "error: --workdir=run is in use by process" in texts[0]
    assert "another process refused to go on" in texts[1] or "another task died" in texts[1]


@pytest.mark.slow
@pytest.mark.parametrize("without", [0, 1])
def test_data_that_one_host_lacks(without, config, tmp_path):
    """Each process sees its own folder; one of them holds no data."""
    folders = [tmp_path / "0", tmp_path / "1"]
    for i, folder in enumerate(folders):
        folder.mkdir()
        if i != without:
            np.savez(folder / "x.npz", x=np.random.default_rng(0).random((200, 64), np.float32))
    arguments = (f"--config={config}", f"--workdir={tmp_path / 'run'}", "--config.data.source=npz:x.npz")
    begun = start_many(
        2, *arguments, "--config.data.standardise=False", "--config.data.feed=auto", cwd=folders
    )
    texts = outputs(begun, 120)
    assert [process.returncode for process in begun] == [1, 1]
    assert "error: npz:x.npz: there is no file x.npz" in texts[without]
    assert "error: another process refused to go on" in texts[1 - without]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((None, 2, 0), "need --coordinator=HOST:PORT"),
        (("nowhere", 2, 0), "must be HOST:PORT"),
        (("localhost:1234", None, 0), "needs --num_processes and --process_id"),
        (("localhost:1234", 2, 2), "--process_id=2 must be from 0 to 1"),
    ],
)
def test_flags_that_do_not_fit_together(arguments, message, monkeypatch):
    for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=message):
        processes.start(*arguments)


def test_alone_nothing_is_started_shared_or_waited_for(monkeypatch):
    for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    processes.start()
    assert not jax.distributed.is_initialized()
    assert processes.share() == (0, 1) and processes.is_primary() and not processes.any_process(False)
    with pytest.raises(UserError, match="mine"), processes.together():
        raise UserError("mine")


@pytest.mark.parametrize(
    "case, tolerance",
    [
        ("autoencoder", 1e-5),
        pytest.param("gan", 1e-5, marks=pytest.mark.slow),
        ("moco", 1e-4),  # batch norm of 16 examples amplifies the round-off of another order of sums
        pytest.param("byol", 1e-5, marks=pytest.mark.slow),
        pytest.param("som", 1e-5, marks=pytest.mark.slow),
        ("next_token", 1e-5),
        pytest.param("masked_patches", 1e-5, marks=pytest.mark.slow),
        ("kmeans", 1e-5),
    ],
)
def test_a_divided_state_is_trained_as_a_whole_one(case, tolerance, digits, monkeypatch):
    monkeypatch.setattr(parallel, "WORTH_SHARDING", 8)
    mesh, method, see = make_mesh(fsdp=4), make(case), Images(SHAPE).see
    digits = digits[: STEPS * BATCH]
    if "tokens" in method.wants.kinds:
        digits = (digits.reshape(-1, 64) * 16).astype(np.int32) + 2
        digits[::3, 50:], digits[:, 0], digits[:, 20] = 0, 1, 1
        see = lambda x: x
    batches = digits.reshape(STEPS, BATCH, *digits.shape[1:])
    abstract = jax.eval_shape(method.init, jax.random.key(1), batches[0])
    shardings = state_sharding(abstract, mesh)
    state = jax.jit(method.init, out_shardings=shardings)(jax.random.key(1), batches[0])
    feed = resident(put_everywhere(digits, mesh), BATCH, 0, 2)
    run = compile_block(method, feed, mesh, "jit", see, shardings=shardings)
    for block in feed.blocks(0, STEPS):
        state, _ = run(state, place_batch(block, mesh, "jit", 1), *feed.shared)
    divided = [x for x in jax.tree.leaves(state) if not x.sharding.is_fully_replicated]
    assert divided and all(x.addressable_shards[0].data.size * 4 == x.size for x in divided)
    step, expected = jax.jit(method.step), jax.jit(method.init)(jax.random.key(1), batches[0])
    for index in feed.blocks(0, STEPS):
        for rows in index:
            expected, _ = step(expected, jax.numpy.asarray(digits[rows]))
    assert_same_state(state, expected, tolerance)


def test_memory_of_a_divided_state_falls_as_one_by_n():
    method = methods.autoencoder(
        models.MLPEncoder((512,)), models.MLPDecoder((784,), (512,)), optax.adam(1e-3), latent_dim=64
    )
    batch = np.zeros((8, 784), np.float32)
    abstract = jax.eval_shape(method.init, jax.random.key(0), batch)
    held = {}
    for n in (1, 2, 8):
        mesh = make_mesh(fsdp=n)
        init = jax.jit(method.init, out_shardings=state_sharding(abstract, mesh))
        state = init(jax.random.key(0), batch)
        held[n] = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(without_keys(state)))
    for n in (2, 8):
        assert held[1] / n <= held[n] < 1.02 * held[1] / n


def test_what_a_step_gathers_is_no_optimizer_state():
    """The compiled program gathers each parameter once and nothing else: no activations, no moments."""
    mesh = make_mesh(fsdp=4)
    method = methods.autoencoder(
        models.MLPEncoder((512,)), models.MLPDecoder((784,), (512,)), optax.adam(1e-3), latent_dim=64
    )
    batch = jax.ShapeDtypeStruct((64, 784), np.float32)
    abstract = jax.eval_shape(method.init, jax.random.key(0), batch)
    shardings = state_sharding(abstract, mesh)
    step = compile_step(gather_for(method.step, shardings, mesh), mesh, state=shardings)
    text = step.lower(abstract, batch).compile().as_text()
    gathered = re.findall(r"= (f32\[[0-9,]*\])\S* all-gather\(", text)
    kernels = [x for x in jax.tree.leaves(abstract.params) if x.size >= parallel.WORTH_SHARDING]
    sizes = lambda shapes: sorted(int(np.prod(shape)) for shape in shapes)
    found = sizes([int(n) for n in shape[4:-1].split(",")] for shape in gathered)
    assert found == sizes(x.shape for x in kernels)
    assert "all-to-all" not in text


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fsdp": 3}, "config.fsdp=3 does not divide the 8 devices"),
        ({"fsdp": 2, "parallel": "pmap"}, "config.fsdp=2 needs config.parallel='jit'"),
        ({"fsdp": 0}, "config.fsdp=0 must be at least 1"),
    ],
)
def test_a_division_that_cannot_be(changes, message):
    config = experiment(data={"source": "digits"}, method={"name": "kmeans", "clusters": 3}, **changes)
    with pytest.raises(UserError, match=message):
        experiments.prepare(resolve(config))
