"""The commands about runs: train, evaluate, compare, report, configs, fields."""

import contextlib
import json
import re

import numpy as np
import pytest

from unsupjax.commands import main
from unsupjax.commands.configs import FOLDER, find, load
from unsupjax.commands.fields import documented
from unsupjax.commands.typed import changed
from unsupjax.config import defaults, experiment
from unsupjax.errors import UserError
from unsupjax.methods import METHODS
from unsupjax.parallel import hardware, processes
from unsupjax.run import workdir
from unsupjax.run.fit import fit

NET = {"name": "mlp", "features": (8,)}


def tiny(**changes):
    sections = {
        "data": {"source": "digits"},
        "method": {"name": "autoencoder", "latent_dim": 3},
        "encoder": NET,
        "decoder": NET,
        "train": {"batch_size": 32, "steps": 20, "steps_per_call": 5, "log_every": 5},
        "evaluate": {"run": ("reconstruction",), "figures": ()},
    }
    return experiment(**sections | changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, few_panels):
    """Three seeds of one config, and another width."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        fit(tiny(seed=seed), folder / f"seed{seed}")
    fit(tiny(method={"name": "autoencoder", "latent_dim": 2}), folder / "narrow")
    return folder


@pytest.fixture
def unsup(capsys, monkeypatch, tmp_path):
    """Runs a command in an empty folder; what it printed, or what it ends with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "leave", lambda message: (_ for _ in ()).throw(SystemExit(message)))
    monkeypatch.setattr(hardware, "keep_compiled", lambda: None)

    def run(*arguments):
        try:
            main(list(map(str, arguments)))
        except SystemExit as ended:
            return f"{ended.code} {capsys.readouterr().err}"
        return capsys.readouterr().out

    return run


def test_shipped_configs_are_found_by_name(unsup):
    listed = unsup("configs")
    assert re.search(r"vae_mnist: vae on tfds:mnist\n    Two CPU cores: 53 seconds. Test: ELBO -99.9", listed)
    assert len(re.findall(r"^\w", listed, re.M)) == len(list(FOLDER.glob("*.py")))
    assert "784-500-20-500-784" in unsup("configs", "vae_mnist")
    assert find("configs/vae_mnist.py") == find("vae_mnist") == FOLDER / "vae_mnist.py"
    with pytest.raises(UserError, match="did you mean 'vae_mnist'"):
        find("vae_mnst")


def test_fields_of_everything_are_told(unsup):
    said = unsup("fields", "vae")
    assert (
        "--config.method.latent_dim=20\n      width of the code\n" in said
        and "encoder, decoder, optimizer" in said
    )
    assert "--config.evaluate.knn.k=10" in unsup("fields", "knn")
    assert "--config.encoder.width=64" in unsup("fields", "resnet18")
    assert "--config.optimizer.learning_rate" in unsup("fields", "sgd")
    assert "--config.data.label_column=''" in unsup("fields", "data")
    assert "did you mean 'simclr'" in unsup("fields", "simcl")
    assert "method: autoencoder" in unsup("fields")
    assert "augment (may be left out)" in unsup("fields", "dec")


@pytest.mark.parametrize("name", METHODS)
def test_every_field_of_a_method_has_its_meaning(name):
    told = documented(METHODS[name])
    assert not {field for field in defaults(METHODS[name]) if not told.get(field)}


def test_another_factory_has_its_own_defaults():
    config = load(find("autoencoder_digits"))
    sgd = changed(config, ["--config.optimizer.name=sgd", "--config.optimizer.momentum=0.5"])
    assert sgd.optimizer.name == "sgd" and sgd.optimizer.momentum == 0.5 and "b1" not in sgd.optimizer
    conv = changed(config, ["--config.encoder.name", "conv"])
    assert conv.encoder.name == "conv" and conv.encoder.features != config.encoder.features
    vae = changed(config, ["--config.method.name=vae", "--config.method.beta=2.0", "--config.train.steps=7"])
    assert vae.method.to_dict() == {"name": "vae"} | defaults(METHODS["vae"]) | {"beta": 2.0}
    assert vae.encoder == config.encoder and vae.train.steps == 7
    kmeans = changed(
        config,
        [
            "--config.method.name=kmeans",
            "--config.evaluate.run=('clusters',)",
            "--config.evaluate.figures=()",
        ],
    )
    assert "encoder" not in kmeans and "optimizer" not in kmeans and kmeans.method.name == "kmeans"
    judged = ["--config.evaluate.run=('knn',)", "--config.evaluate.figures=()"]
    named = ["--config.method.name=simclr", "--config.projector.name=mlp", "--config.augment.name=glyphs"]
    simclr = changed(config, [*named, *judged])
    assert simclr.projector.name == "mlp" and simclr.augment.name == "glyphs" and "decoder" not in simclr
    assert changed(config, ["--config.method.name=autoencoder"]) == changed(config, [])
    with pytest.raises(UserError, match=r"config.projector is missing, and the method 'simclr' needs one"):
        changed(config, ["--config.method.name=simclr"])
    with pytest.raises(UserError, match="did you mean 'sgd'"):
        changed(config, ["--config.optimizer.name=sdg"])


def test_epochs_count_where_they_are_typed():
    config = load(find("autoencoder_digits"))
    assert config.train.steps == 2000
    assert changed(config, ["--config.train.epochs=3"]).train.to_dict()["steps"] == 0
    assert changed(config, ["--config.train.steps=3"]).train.steps == 3
    with pytest.raises(UserError, match="both say how long a run is; give one"):
        changed(config, ["--config.train.epochs=3", "--config.train.steps=3"])


def test_a_finished_run_goes_on_where_more_epochs_are_asked_for(unsup, few_panels):
    flags = [
        "train", "--workdir=run", "--config.method.latent_dim=3", "--config.encoder.features=(8,)",
        "--config.decoder.features=(8,)", "--config.train.batch_size=128", "--config.evaluate.figures=()",
        "--config.evaluate.run=('reconstruction',)", "--config.train.log_every=10",
    ]  # fmt: skip
    assert "20 steps from the beginning" in unsup(*flags, "--config.train.steps=20")
    said = unsup(*flags, "--config.train.epochs=2")  # of 11.2 steps
    assert "made longer: 23 steps, where 20 were to be" in said and "23 steps from step 20" in said
    assert "a run may be made longer, not shorter" in unsup(*flags, "--config.train.epochs=1")


@pytest.mark.parametrize(
    ("there", "here", "longer"),
    [
        ((0, 10.0), (0, 5.0), False),
        ((0, 10.0), (0, 11.0), True),
        ((100, 10.0), (0, 20.0), False),
        ((100, 10.0), (200, 10.0), True),
    ],
)
def test_a_run_that_does_not_know_its_data_grows_in_its_own_unit(tmp_path, there, here, longer):
    config = lambda steps, epochs: {"train": {"steps": steps, "epochs": epochs, "batch_size": 128}}
    refused = pytest.raises(UserError, match="made longer, not shorter")
    with contextlib.nullcontext() if longer else refused:
        workdir.check_config(tmp_path, config(*there), config(*here))


def test_a_run_is_judged_again_by_others_and_on_other_data(runs, unsup, tmp_path):
    run = runs / "seed0"
    before = json.loads((run / "evaluation.json").read_text())
    said = unsup("evaluate", run, "--run=knn,rank_me", "--config.evaluate.knn.k=3")
    assert "knn_accuracy_k3" in said and "reconstruction_mse" not in said
    after = json.loads((run / "evaluation.json").read_text())
    assert after.items() >= before.items() and after.keys() > before.keys() and "knn_accuracy_k3" in after
    x = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "noise.npz", x_train=x, x_test=x)
    said = unsup("evaluate", run, f"--source=npz:{tmp_path / 'noise.npz'}")
    assert "reconstruction_mse" in said
    other = json.loads(next((run / "evaluations").glob("*/evaluation.json")).read_text())
    assert abs(other["reconstruction_mse"] - before["reconstruction_mse"]) > 0.02
    assert json.loads((run / "evaluation.json").read_text()) == after
    again = unsup("train", f"--workdir={run}", "--evaluate_only", "--config.evaluate.run=('reconstruction',)")
    assert f"{before['reconstruction_mse']:.5g}" in again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.method.latent_dim=9"], "latent_dim=9 changes nothing in how a finished run is judged"),
        (["--config.train.epochs=9"], "--config.train.epochs=9.0 changes nothing"),
        (["--config.data.feed=streaming"], "changes nothing"),
        (["--run=likelihood"], "'likelihood' needs a method with `log_prob`"),
        (["--run=knnn"], "did you mean 'knn'"),
        (["--source=csv:nowhere.csv"], "cannot open"),
        (["--metric=3"], "Unknown command line flag 'metric'"),
    ],
)  # fmt: skip
def test_nothing_that_is_typed_is_ignored(runs, unsup, arguments, message):
    assert message in unsup("evaluate", runs / "seed1", *arguments)


def test_runs_side_by_side(runs, unsup, tmp_path):
    names = [runs / f"seed{i}" for i in (1, 2)] + [runs / "narrow"]
    found = {n: json.loads((n / "evaluation.json").read_text())["reconstruction_mse"] for n in names}
    said = unsup(
        "compare", *names, "--sort=-reconstruction_mse", "--csv=c.csv", "--parquet=c.parquet", "--html=c.html"
    )
    lines = said.splitlines()
    assert lines[0].split() == [
        "run",
        "method.latent_dim",
        "seed",
        "reconstruction_mse",
        "train_mean_mse",
        "pca_mse",
    ]
    assert [line.split()[0] for line in lines[1:4]] == [str(n) for n in sorted(names, key=found.get)]
    assert re.search(r"^3 +2 +0\.\d+ ± 0\.\d+", said, re.M)  # two seeds of width 3
    rows = [line.split(",") for line in (tmp_path / "c.csv").read_text().splitlines()]
    assert rows[0][:3] == ["run", "config.method.latent_dim", "config.seed"] and rows[1][2] in "012"
    page = (tmp_path / "c.html").read_text()
    assert "http" not in page and "<script" not in page and all(n.name in page for n in names)
    assert "is there already" in unsup("compare", *names, "--csv=c.csv")
    assert "no run has it; did you mean 'reconstruction_mse'" in unsup(
        "compare", *names, "--sort=reconstruction"
    )
    assert "no run there" in unsup("compare", tmp_path)
    assert len(unsup("compare", names[0]).splitlines()) == 2


def test_a_page_of_a_run_needs_no_network(runs, unsup, tmp_path):
    assert unsup("report", runs / "seed2", "--html=r.html") == "r.html: 3 results, 0 figures\n"
    page = (tmp_path / "r.html").read_text()
    assert "http" not in page and "<script" not in page and page.count("<svg") >= 2
    for told in ("reconstruction_mse", "loss", "config.method.latent_dim", "autoencoder on digits", "jax"):
        assert told in page
    assert "is there already" in unsup("report", runs / "seed2", "--html=r.html")
    assert "no run there" in unsup("report", tmp_path, "--html=x.html")
    assert "name a file in a folder that is there" in unsup("report", runs / "seed2", "--html=no/x.html")


def test_names_are_no_html(runs, unsup, tmp_path):
    folder = tmp_path / "<b>run"
    fit(tiny(), folder)
    unsup("report", folder, "--html=r.html")
    assert "<b>run" not in (tmp_path / "r.html").read_text()


def test_metrics_are_told_and_may_stop_a_run(tmp_path, few_panels):
    told = []
    config = tiny(
        train={"batch_size": 32, "steps": 400, "steps_per_call": 5, "log_every": 5, "evaluate_every": 5}
    )
    ended = fit(config, tmp_path / "run", lambda step, metrics: told.append((step, metrics)) or step >= 10)
    assert ended == {} and told[0][0] == 5 and "loss" in told[0][1]
    assert any("reconstruction_mse" in metrics for _, metrics in told)
    assert 10 <= told[-1][0] < 400
    results = fit(tiny(), tmp_path / "whole", lambda step, metrics: told.append((step, metrics)))
    assert told[-1] == (20, results) and "<td>" in results._repr_html_()
