"""What goes wrong in long runs, done for real: kills, faults, full disks, damage, two runs in one folder."""

import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from launch import QUICK, ROOT, environment, start, steps, train, wait_for

pytestmark = pytest.mark.thorough

TESTS = pathlib.Path(__file__).parents[1]


def run_of(total, *more):
    """Arguments of a run with many checkpoints."""
    return (
        "--workdir=run",
        f"--config.train.steps={total}",
        "--config.checkpoint.every=200",
        "--config.checkpoint.seconds=0",
        *QUICK[1:],
        *more,
    )


def arrays(folder):
    """Every array of the newest checkpoint, as orbax reads it with no idea of what it is."""
    restored = ocp.StandardCheckpointer().restore(folder / "checkpoints" / str(steps(folder)[-1]) / "state")
    return [np.asarray(x) for x in jax.tree.leaves(restored)]


def assert_bit_for_bit(folder, expected):
    assert steps(folder)[-1] == steps(expected)[-1]
    for a, e in zip(arrays(folder), arrays(expected), strict=True):
        assert a.dtype == e.dtype
        assert a.tobytes() == e.tobytes()


def undisturbed(folder, *arguments):
    folder.mkdir()
    result = train(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def saving(folder):
    """Whether a checkpoint is being written."""
    return any((folder / "checkpoints").glob("*tmp*"))


def disturb(process, folder, dice):
    """Sends a signal at a random instant of the start, the training or the saving; what was sent when."""
    signum = dice.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    moment = dice.choice(["any time", "training", "saving", "its last save"])
    before = steps(folder)
    if moment == "any time":
        time.sleep(dice.uniform(0, 5))
    else:
        while steps(folder) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.4))
        while moment == "saving" and not saving(folder) and process.poll() is None:
            time.sleep(0.0005)
    process.send_signal(signum)
    if moment == "its last save":
        time.sleep(dice.uniform(0, 0.1))
        process.kill()
    process.communicate(timeout=60)  # a signal that is lost lets the run go on
    return signum.name, moment, process.returncode


def survive(kills, arguments, tmp_path, seed):
    """Ends a run that many times and lets it finish; the story of it."""
    expected = undisturbed(tmp_path / "undisturbed", *arguments)
    dice, folder, story = random.Random(seed), tmp_path / "run", []
    while len(story) < kills:
        process = start(*arguments, cwd=tmp_path)
        story.append((*disturb(process, folder, dice), steps(folder)[-1:]))
    finished = train(*arguments, cwd=tmp_path)
    print(*story, sep="\n")
    assert finished.returncode == 0 and "damaged" not in finished.stderr + finished.stdout, finished.stderr
    assert_bit_for_bit(folder, expected)
    return story


def test_kills_at_random_instants_change_nothing(tmp_path):
    survive(2, run_of(3000), tmp_path, seed=0)


@pytest.mark.slow
def test_fifty_kills_change_nothing(tmp_path):
    story = survive(50, run_of(100_000), tmp_path, seed=1)
    assert story[-1][-1] != [100_000], "it was over before the last kill"


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["jit", "pmap"])
def test_kills_of_a_streamed_vae(executor, tmp_path):
    more = (
        "--config.data.feed=streaming",
        "--config.data.transform=binarize",
        f"--config.parallel={executor}",
    )
    survive(5, run_of(20_000, *more), tmp_path, seed=2)


@pytest.mark.slow
def test_a_nan_is_named_and_the_run_goes_on_from_before_it(tmp_path):
    arguments = run_of(2000)
    expected = undisturbed(tmp_path / "undisturbed", *arguments)
    broken = start(*arguments, cwd=tmp_path, script=TESTS / "faulty.py", FAULT="1234")
    output, _ = broken.communicate(timeout=120)
    assert broken.returncode == 1 and "Traceback" not in output
    assert "error: the loss is nan at step 1234; the last good checkpoint is that of step 1200" in output
    again = train(*arguments, cwd=tmp_path)
    assert again.returncode == 0 and "steps from step 1200" in again.stdout, again.stderr
    assert_bit_for_bit(tmp_path / "run", expected)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow  # test_checkpoint.py damages every file, in one process
def test_damaged_checkpoints_are_set_aside_and_cost_their_steps_alone(tmp_path):
    arguments = run_of(2000)
    expected = undisturbed(tmp_path / "undisturbed", *arguments)
    shutil.copytree(expected, tmp_path / "run")
    first, second = steps(expected)[-1], steps(expected)[-2]
    flip_bit(largest_file(tmp_path / "run" / "checkpoints" / str(first)))
    truncate(largest_file(tmp_path / "run" / "checkpoints" / str(second)))
    again = train(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    for step in (first, second):
        assert f"checkpoint {step} is damaged" in again.stderr
        assert (tmp_path / "run" / "damaged" / str(step)).exists()
    assert_bit_for_bit(tmp_path / "run", expected)


def test_a_second_run_is_refused_and_a_stale_lock_taken_over(tmp_path):
    arguments = run_of(1_000_000)
    first = start(*arguments, cwd=tmp_path)
    wait_for(lambda: steps(tmp_path / "run"), first)
    first.send_signal(signal.SIGSTOP)  # it would only take the others' time
    second = train(*arguments, cwd=tmp_path)
    assert second.returncode == 1 and "Traceback" not in second.stderr
    assert f"error: --workdir=run is in use by process {first.pid} on " in second.stderr
    judged = train("--workdir=run", "--evaluate_only", cwd=tmp_path)  # reads alone
    assert judged.returncode == 0, judged.stderr
    newest = steps(tmp_path / "run")[-1]
    first.send_signal(signal.SIGCONT)
    wait_for(lambda: steps(tmp_path / "run")[-1] > newest, first)
    first.kill()
    first.communicate()
    assert (tmp_path / "run" / "run.lock").exists()
    third = start(*arguments, cwd=tmp_path)
    newest = steps(tmp_path / "run")[-1]
    wait_for(lambda: steps(tmp_path / "run")[-1] > newest, third)
    third.send_signal(signal.SIGTERM)
    output, _ = third.communicate(timeout=60)
    assert third.returncode == 0 and "in use" not in output


def mounted(script, cwd):
    """Runs a shell script where it may mount, or skips."""
    can = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    if can.returncode:
        pytest.skip("no right to mount a small disk here")
    command = ["unshare", "-rm", "bash", "-c", script]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)


def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(tmp_path):
    (tmp_path / "disk").mkdir()
    wide = ("--config.encoder.features=(256,128)", "--config.decoder.features=(128,256)")
    arguments = run_of(1400, "--config.checkpoint.keep=100", *wide)
    run = shlex.join([sys.executable, str(ROOT / "train.py"), *arguments])
    result = mounted(
        f"mount -t tmpfs -o size=6m tmpfs disk && cd disk && {run} > first; echo first $?; {run} > second; "
        f"echo second $?; mount -o remount,size=60m ../disk; {run}; echo third $?; ls run/checkpoints",
        tmp_path,
    )
    message = "error: a checkpoint cannot be written to .*No space left on device.* go on from checkpoint"
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and all(re.match(message, line) for line in lines), result.stderr
    assert "first 1\nsecond 1\n" in result.stdout and "third 0\n" in result.stdout, result.stdout
    assert "1400 steps from step" in result.stdout and "1400" in result.stdout.split("third 0")[1]


def test_a_read_only_disk_is_refused_at_once(tmp_path):
    (tmp_path / "disk").mkdir()
    run = shlex.join([sys.executable, str(ROOT / "train.py"), "--workdir=disk/run"])
    result = mounted(f"mount -t tmpfs -o ro tmpfs disk && {run}", tmp_path)
    assert result.returncode == 1
    refused = f"error: --workdir=disk/run: {tmp_path}/disk is not writable; choose another folder\n"
    assert result.stderr == refused
