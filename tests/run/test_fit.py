"""Whole runs on tiny data: resuming, refusing, diverging, evaluating."""

import functools
import json
import shutil

import jax
import numpy as np
import pytest

from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.methods import METHODS
from unsupjax.run import experiment as experiments
from unsupjax.run import loop, plan
from unsupjax.run.checkpoint import Checkpoints
from unsupjax.run.fit import evaluate, fit, load
from unsupjax.run.plan import resolve


def tiny(steps=20, feed="resident", parallel="jit", **changes):
    sections = {
        "data": {"source": "digits", "feed": feed, "transform": "binarize"},
        "method": {"name": "vae", "latent_dim": 4},
        "encoder": {"name": "mlp", "features": (16,)},
        "decoder": {"name": "mlp", "features": (16,)},
        "train": {"batch_size": 32, "steps": steps, "steps_per_call": 5, "log_every": 10},
        "checkpoint": {"every": 5, "seconds": 0.0, "keep": 2},
        "evaluate": {"run": ("reconstruction", "likelihood"), "likelihood": {"samples": 2}},
        "parallel": parallel,
    }
    return experiment(**sections | changes)


def saved(config, folder):
    """Step and parameters of the newest checkpoint."""
    prepared = experiments.prepare(resolve(config))
    checkpoints = Checkpoints(folder / "checkpoints", config.checkpoint.keep, config.checkpoint.best_metric)
    restored = checkpoints.restore(prepared.abstract, prepared.shardings)
    checkpoints.close()
    return restored.step, jax.tree.map(np.asarray, restored.state.params)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    results = fit(tiny(), folder)
    return folder, results


@pytest.fixture
def stop_after(monkeypatch):
    """Makes the next run end, as on SIGTERM, after that many blocks."""

    def arrange(blocks):
        left = iter([False] * (blocks - 1))
        import contextlib

        @contextlib.contextmanager
        def interruptible():
            yield lambda: next(left, True)

        monkeypatch.setattr(loop, "interruptible", interruptible)

    yield arrange


def test_a_run_leaves_what_it_promises(undisturbed):
    folder, results = undisturbed
    assert {"reconstruction_mse", "elbo", "importance_weighted_nll"} <= set(results)
    assert results == json.loads((folder / "evaluation.json").read_text())
    assert json.loads((folder / "config.json").read_text())["method"]["latent_dim"] == 4
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20]
    assert {"loss", "nll", "kl", "examples_per_second", "peak_share", "host_memory_gib"} <= set(lines[0])
    assert lines[0]["learning_rate"] == pytest.approx(1e-3) and 0 < lines[0]["peak_share"] < 1
    assert list((folder / "tensorboard").glob("events*"))
    assert (folder / "figures" / "learning_curves.png").stat().st_size > 1000
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize(
    "feed, parallel",
    [
        ("streaming", "jit"),
        ("resident", "pmap"),
        pytest.param("resident", "jit", marks=pytest.mark.slow),
        pytest.param("streaming", "pmap", marks=pytest.mark.slow),
    ],
)
def test_stopping_and_going_on_is_the_undisturbed_run_bit_for_bit(
    feed, parallel, undisturbed, tmp_path, stop_after, monkeypatch
):
    config = tiny(feed=feed, parallel=parallel)
    whole = fit(config, tmp_path / "whole")
    stop_after(2)
    assert fit(config, tmp_path / "cut") == {}
    assert saved(config, tmp_path / "cut")[0] == 10
    monkeypatch.undo()
    resumed = fit(config, tmp_path / "cut")
    step, params = saved(config, tmp_path / "cut")
    assert step == 20
    jax.tree.map(np.testing.assert_array_equal, params, saved(config, tmp_path / "whole")[1])
    assert resumed == whole
    for name, value in undisturbed[1].items():  # of the other executor or feed
        np.testing.assert_allclose(whole[name], value, rtol=1e-3, err_msg=name)
    if parallel == "jit":  # both feeds give the same batches: the same program gives the same bits
        jax.tree.map(np.testing.assert_array_equal, params, saved(tiny(), undisturbed[0])[1])
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


def test_what_changes_nothing_that_is_learnt_may_change_and_a_run_be_made_longer(tmp_path, capsys):
    def config(steps, folder="", **evaluate):
        sections = {
            "data": {"source": f"npz:{folder or tmp_path / 'x.npz'}"},
            "method": {"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"},
            "train": {"batch_size": 16, "steps": steps, "steps_per_call": 5, "log_every": 5 + steps // 2},
            "schedule": {"name": "cosine"},
            "checkpoint": {"every": steps, "seconds": 0.0},
            "evaluate": evaluate or {"run": ("reconstruction",)},
        }
        return tiny() and experiment(**sections, encoder={"name": "mlp"}, decoder={"name": "mlp"})

    x, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    np.savez(tmp_path / "x.npz", X=x, y=y)
    fit(config(10), tmp_path / "run")
    with pytest.raises(UserError, match=r"steps: 10 there, 5 now(?s:.*)made longer, not shorter"):
        fit(config(5), tmp_path / "run")
    monkey = tmp_path / "elsewhere" / ".." / "x.npz"
    monkey.parent.parent.mkdir(exist_ok=True)
    results = fit(config(15, monkey, run=("knn", "reconstruction"), knn={"k": 3}), tmp_path / "run")
    assert {"knn_accuracy_k3", "reconstruction_mse"} <= set(results)
    said = capsys.readouterr().out
    assert "15 steps from step 10" in said and "made longer: 15 steps, where 10 were to be" in said

    np.savez(tmp_path / "x.npz", X=np.concatenate([x, x[:4] + 1]), y=np.r_[y, y[:4]])
    with pytest.raises(UserError, match=r"of 60 examples 0 are gone, and 4 are new"):
        fit(config(20), tmp_path / "run")
    kept = config(20)
    kept.data.changed = "keep"
    fit(kept, tmp_path / "run")
    assert "51 training and 13 test examples" in capsys.readouterr().out


def test_an_evaluator_that_fails_and_a_figure_that_cannot_be_drawn_cost_the_others_nothing(
    undisturbed, tmp_path, monkeypatch, capsys
):
    def broken(subject, *path, examples=2000, colour="labels"):
        raise (ValueError("a library's $words$\nand pages") if path else UserError("no result"))

    for table in (plan.configs.JUDGES, plan.configs.FIGURES):
        name = "rank_me" if "rank_me" in table else "pca"
        monkeypatch.setitem(table, name, table[name]._replace(run=broken))
    named = {"run": ("rank_me", "reconstruction"), "figures": ("pca", "reconstructions")}
    folder = shutil.copytree(undisturbed[0], tmp_path / "run")
    with pytest.raises(UserError, match="1 of the evaluators gave no result: no result"):
        fit(tiny(evaluate=named), folder)
    assert set(json.loads((folder / "evaluation.json").read_text())) == {
        "reconstruction_mse",
        "train_mean_mse",
        "pca_mse",
    }
    assert (folder / "figures" / "reconstructions.png").exists()
    assert "the figure 'pca' is left out: a library's $words$\n" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_profile_of_some_steps_is_written_and_changes_nothing(undisturbed, tmp_path):
    results = fit(tiny(profile_steps="7:9"), tmp_path / "run")
    assert results == undisturbed[1]
    assert list((tmp_path / "run" / "profile").rglob("*.xplane.pb"))
    assert saved(tiny(), tmp_path / "run")[0] == 20
    assert fit(tiny(), tmp_path / "run") == results, "the same run without a profile goes on there"


@pytest.mark.parametrize("steps", ["7", "9:7", "a:b", "-1:5"])
def test_profile_steps_that_are_none(steps, tmp_path):
    with pytest.raises(UserError, match="must be FIRST:LAST, such as '10:15'"):
        fit(tiny(profile_steps=steps), tmp_path / "run")


def test_a_finished_run_is_judged_again_and_not_trained(undisturbed):
    folder, results = undisturbed
    before = (folder / "metrics.jsonl").read_text()
    assert fit(tiny(), folder) == results
    assert evaluate(folder) == results
    assert (folder / "metrics.jsonl").read_text() == before


def test_metrics_after_the_checkpoint_and_a_torn_line_are_forgotten(tmp_path, stop_after, monkeypatch):
    stop_after(2)
    fit(tiny(), tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "loss": 1.0}\n{"step": 20, "lo')
    monkeypatch.undo()
    fit(tiny(), tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


def test_another_config_is_refused_with_the_difference(undisturbed):
    folder, _ = undisturbed
    config = tiny(method={"name": "vae", "latent_dim": 5}, seed=3)
    with pytest.raises(
        UserError, match=r"(?s)config.method.latent_dim: 4 there, 5 now.*config.seed: 0 there, 3 now"
    ):
        fit(config, folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"train": {"batch_size": 4096}},
            "batch_size=4096 is larger than the training split of 1438 .*at most 1432",
        ),
        ({"train": {"batch_size": 36}}, "batch_size=36 is not divisible by 8 devices; choose 32"),
        ({"train": {"steps": 0, "epochs": 0.0}}, "ask for no step"),
        (
            {"checkpoint": {"best_metric": "los"}},
            "best_metric='los' is no metric of training; did you mean 'loss'",
        ),
        ({"data": {"source": "npz:/nowhere.npz"}}, "nowhere.npz"),
        ({"encoder": {"name": "conv", "features": (7,)}}, "does not fit inputs"),
        ({"method": {"name": "contractive"}}, "one layer"),
        ({"method": {"name": "vae", "latent_dim": 0}}, "latent_dim=0 must be at least 1"),
        ({"encoder": {"name": "mlp", "features": (0,)}}, "does not fit inputs"),
        ({"method": {"name": "autoencoder"}}, "'likelihood' needs a method with `log_prob`"),
    ],
)
def test_bad_input_is_one_error_and_leaves_nothing(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        fit(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_labels_what_needs_them_is_left_out_and_said(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32))
    config = tiny(
        data={"source": f"npz:{tmp_path / 'x.npz'}"},
        method={"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"},
        evaluate={"run": ("reconstruction", "knn"), "figures": ("scores", "reconstructions")},
    )
    results = fit(config, tmp_path / "run")
    assert set(results) == {"reconstruction_mse", "train_mean_mse", "pca_mse"}
    assert "has no labels: knn, scores left out" in capsys.readouterr().out
    figures = {p.name for p in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"learning_curves.png", "reconstructions.png"}


def test_a_bernoulli_likelihood_of_a_standardised_table_is_refused(tmp_path):
    """Its loss has no lower bound: it would train, to nonsense."""
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32))
    config = tiny(
        data={"source": f"npz:{tmp_path / 'x.npz'}"},
        method={"name": "autoencoder", "latent_dim": 2},
        evaluate={"run": ("reconstruction",)},
    )
    with pytest.raises(UserError, match=r"needs inputs in .* set it to 'squared_error'"):
        fit(config, tmp_path / "run")


def test_a_workdir_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; choose another folder"):
        fit(tiny(), tmp_path / "file" / "run")


def test_evaluating_nothing(tmp_path):
    with pytest.raises(UserError, match="no run there"):
        evaluate(tmp_path)


def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    config = tiny(
        steps=50,
        optimizer={"name": "sgd", "learning_rate": 3.0},
        method={"name": "autoencoder", "latent_dim": 4, "likelihood": "squared_error"},
        evaluate={"run": ()},
    )
    with pytest.raises(loop.Diverged, match=r"at step \d+|after step \d+"):
        fit(config, tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    prepared = experiments.prepare(resolve(config))
    restored = checkpoints.restore(prepared.abstract, prepared.shardings)
    checkpoints.close()
    if restored is not None:
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(restored.state.params))


def test_parameters_that_are_not_finite_are_never_saved(tmp_path, monkeypatch):
    """At step 10, whose loss was still finite."""
    factory = METHODS["vae"]

    @functools.wraps(factory)
    def faulty(*args, **kwargs):
        method = factory(*args, **kwargs)

        def step(state, x):
            after, metrics = method.step(state, x)
            spoilt = jax.tree.map(lambda a: jax.numpy.where(after.step == 10, jax.numpy.inf, a), after.params)
            return after._replace(params=spoilt), metrics

        return method._replace(step=step)

    monkeypatch.setitem(METHODS, "vae", faulty)
    with pytest.raises(
        loop.Diverged, match="not finite after step 10; the last good checkpoint is that of step 5"
    ):
        fit(tiny(), tmp_path / "run")
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", read_only=True)
    assert checkpoints.steps() == [5]
    checkpoints.close()


def test_standardisation_is_that_of_the_training_run(tmp_path):
    """A table that changed after training is refused, or judged with the statistics of the training."""
    rng = np.random.default_rng(0)
    path = tmp_path / "table.npz"
    np.savez(path, x=rng.normal(5, 2, (200, 6)).astype(np.float32))
    config = tiny(
        data={"source": f"npz:{path}"},
        method={"name": "autoencoder", "latent_dim": 2, "likelihood": "squared_error"},
        evaluate={"run": ("reconstruction",)},
    )
    before = fit(config, tmp_path / "run")
    np.savez(path, x=rng.normal(500, 2, (200, 6)).astype(np.float32))
    with pytest.raises(UserError, match="of 200 examples 200 are gone, and 200 are new"):
        evaluate(tmp_path / "run")
    config.data.changed = "keep"
    after = fit(config, tmp_path / "run")
    assert after["reconstruction_mse"] > 100 * before["reconstruction_mse"]


def test_periodic_evaluation_can_choose_the_best(tmp_path):
    """It comes with the first block of 5 steps that ends at or after its multiple of 8."""
    config = tiny(
        train={"batch_size": 32, "steps": 20, "steps_per_call": 5, "log_every": 10, "evaluate_every": 8},
        checkpoint={"every": 20, "best_metric": "elbo", "best_mode": "max"},
    )
    fit(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "elbo" in line] == [10, 20]


def test_a_run_that_converges_is_done(tmp_path, capsys):
    """k-means: no networks, no optimizer; ends early, is judged, and the same command only judges it again."""
    config = experiment(
        data={"source": "digits"},
        method={"name": "kmeans", "clusters": 4, "tolerance": 1e-2},
        train={"batch_size": 1432, "epochs": 200.0, "steps_per_call": 4, "log_every": 8},
        evaluate={"run": ("clusters",)},
    )
    results = fit(config, tmp_path / "run")
    out = capsys.readouterr().out
    assert "converged: nothing changes after step" in out and "stopped" not in out
    assert results["clusters_used"] == 4 and results["clusters_purity"] > 0.25
    assert fit(config, tmp_path / "run") == results
    assert (tmp_path / "run" / "evaluation.json").exists()


def test_missing_entries_need_a_method_that_leaves_them_out(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    np.save(tmp_path / "gaps.npy", np.where(rng.random(x.shape) < 0.2, np.nan, x))
    data = {"source": f"npy:{tmp_path / 'gaps.npy'}", "missing": True}
    with pytest.raises(UserError, match="the method 'kmeans' takes every entry for observed"):
        fit(experiment(data=data, method={"name": "kmeans"}, train={"batch_size": 32}), tmp_path / "refused")
    config = experiment(
        data=data,
        method={"name": "som", "height": 4, "width": 5, "missing": True},
        train={"batch_size": 32, "epochs": 5.0},
        evaluate={"run": ("som", "clusters", "reconstruction"), "figures": ("hits", "component_planes")},
    )
    results = fit(config, tmp_path / "run")
    assert all(np.isfinite(value) for value in results.values())
    assert results["reconstruction_mse"] < 0.7 * results["train_mean_mse"]
    assert "som_trustworthiness" not in results and "clusters_silhouette" not in results


def test_a_run_without_fields_that_came_later_is_judged_with_their_defaults(undisturbed, tmp_path):
    import shutil

    folder, results = undisturbed
    shutil.copytree(folder, tmp_path / "old")
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["data"]["missing"], config["train"]["evaluate_every"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    assert evaluate(tmp_path / "old") == results


def test_a_finished_run_can_be_loaded_and_used(undisturbed):
    folder, _ = undisturbed
    prepared, state = load(folder)
    x = np.zeros((3, 8, 8, 1), np.float32)
    assert state.step == 20 and prepared.method.encode(state, x).shape == (3, 4)
