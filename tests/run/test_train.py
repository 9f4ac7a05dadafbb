"""The command line: errors in this process; results, signals and kills in processes of their own."""

import json
import signal
import sys
import time

import pytest
from launch import LONG, QUICK, start, steps, train, wait_for

from unsupjax.commands import configs, main
from unsupjax.commands.train import parse
from unsupjax.parallel import hardware, processes


@pytest.mark.thorough
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


@pytest.fixture
def refused(monkeypatch, tmp_path):
    """What `train.py` with these arguments ends with, in this process and not in one that imports everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(processes, "leave", sys.exit)
    monkeypatch.setattr(hardware, "keep_compiled", lambda: None)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["train", *arguments])
        assert not (tmp_path / "runs").exists()
        return caught.value.code

    return run


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--config.method.latnt_dim=3"], "latent_dim"),
        (["--config.method.latent_dim=many"], "latent_dim"),
        (
            ["--config=configs/nothing.py"],
            "nothing.py: there is no such file or config; choices: 'anomaly', 'autoencoder_digits'",
        ),
        (["--config.method.name=autoencodr"], "did you mean 'autoencoder'"),
        (["--config.data.source=tfds:no_such_set"], "no_such_set"),
        (["--config.train.batch_size=100000"], "config.train.batch_size=100000 is larger"),
        (["--config.train.batch_size=1000000000000"], "is larger than the training split of 1438"),
        (["--config.train.batch_size=100"], "=100 is not divisible by 8 devices; choose 96"),
        (["--workdir=/proc/nowhere"], "/proc"),
        (["--evaluate_only", "--workdir=nowhere"], "no run there"),
        (["--evaluate_only"], "name that folder"),
        (["--evaluate_only", "--workdir=nowhere", "--config=anomaly"], "leave --config out"),
        (["extra"], "unexpected arguments"),
        (["--workdr=run"], "Unknown command line flag 'workdr'"),
        (
            ["--config.evaluate.modes.n=3"],
            "--config.evaluate.modes.n: no list of config.evaluate names 'modes'; add it",
        ),
        (["--config.evaluate.tsne.perplexty=3", "--config.evaluate.figures=('tsne',)"], "perplexity"),
        (
            ["--config.data.label_column=y"],
            "config.data.label_column='y' is for arrow and bow and csv and parquet and series sources, not 'digits'",
        ),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message, refused):
    said = refused(*arguments)
    assert said.startswith("error: ") and message in said and "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "wrong.py: invalid syntax"),
        ("x = 1", "it has no function get_config()"),
    ],
)
def test_files_that_hold_no_config(text, message, refused, tmp_path):
    (tmp_path / "wrong.py").write_text(text)
    assert message in refused("--config=wrong.py")


def test_a_refusal_is_one_line_and_status_1(tmp_path):
    result = train("--config.train.batch_size=0", cwd=tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr == "error: config.train.batch_size=0 must be at least 1\n"


def test_a_fault_in_the_code_of_a_config_is_told_as_it_is(tmp_path):
    (tmp_path / "wrong.py").write_text("def get_config():\n    return {}['missing']")
    with pytest.raises(KeyError, match="missing"):
        configs.load(tmp_path / "wrong.py")


def test_arguments_of_any_judge_are_flags_once_it_is_named():
    flags = [
        "--config.evaluate.figures=('tsne',)",
        "--config.evaluate.tsne.examples=100",
        "--workdir",
        "here",
    ]
    options, config = parse(flags)
    assert options.workdir == "here" and not options.evaluate_only
    assert config.evaluate.tsne.examples == 100 and "reconstructions" not in config.evaluate
    assert parse([])[0].workdir == "runs/autoencoder_digits"


@pytest.mark.thorough
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


@pytest.mark.parametrize(
    "seconds", [pytest.param(0.3, marks=pytest.mark.slow), 1.0, pytest.param(2.0, marks=pytest.mark.slow)]
)
def test_ctrl_c_before_the_training_ends_the_program(seconds, tmp_path):
    """While it imports, above all: exceptions that a library catches there are lost."""
    process = start(*LONG, "--workdir=run", cwd=tmp_path)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGINT)
