"""The command line, in processes of its own: errors, signals, kills."""

import json
import signal
import time

import pytest
from launch import LONG, QUICK, start, steps, train, wait_for


def test_the_default_run_with_flags(tmp_path):
    result = train(*QUICK, "--config.method.latent_dim=5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "reconstruction_mse" in result.stdout
    assert result.stderr == "", "a run says what it has to say on stdout"
    folder = tmp_path / "runs" / "autoencoder_digits"
    assert json.loads((folder / "config.json").read_text())["method"]["latent_dim"] == 5
    # A folder alone is enough to judge it again, and gives the same.
    again = train(f"--workdir={folder}", "--evaluate_only", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    value = lambda out: next(line for line in out.splitlines() if "reconstruction_mse" in line)
    assert value(again.stdout) == value(result.stdout)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config.method.latnt_dim=3"], "latent_dim"),
        (["--config.method.latent_dim=many"], "latent_dim"),
        (["--config=configs/nothing.py"], "nothing.py"),
        (["--config.method.name=autoencodr"], "did you mean 'autoencoder'"),
        (["--config.data.source=tfds:no_such_set"], "no_such_set"),
        (["--config.train.batch_size=100000"], "config.train.batch_size=100000 is larger"),
        (["--workdir=/proc/nowhere"], "/proc"),
        (["--evaluate_only"], "no run there"),
        (["extra"], "unexpected arguments"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message, tmp_path):
    result = train(*arguments, cwd=tmp_path, TFDS_DATA_DIR=str(tmp_path / "tfds"))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_eight_devices_do_not_divide_a_batch(tmp_path):
    result = train(
        "--config.train.batch_size=100", cwd=tmp_path, XLA_FLAGS="--xla_force_host_platform_device_count=8"
    )
    assert "config.train.batch_size=100 is not divisible by 8 devices; choose 96" in result.stderr
    assert result.returncode == 1 and "Traceback" not in result.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_cleanly(signum, tmp_path):
    process = start(*LONG, "--workdir=run", cwd=tmp_path)
    wait_for(lambda: steps(tmp_path / "run"), process)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "run the same command to go on" in output
    stopped = int(output.split("stopped at step ")[1].split()[0])
    assert steps(tmp_path / "run")[-1] == stopped < 30000


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0])
def test_ctrl_c_before_the_training_ends_the_program(seconds, tmp_path):
    """While it imports, above all: exceptions that a library catches there are lost."""
    process = start(*LONG, "--workdir=run", cwd=tmp_path)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGINT)
