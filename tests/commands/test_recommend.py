"""`recommend`, `similar` and `encode` of a model of users and items, and the same as methods of `Model`."""

import csv

import numpy as np
import pytest

import unsupjax
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.model import Unable
from unsupjax.run.fit import fit

FRUIT, TOOLS = ["apple", "pear", "plum", "fig"], ["saw", "drill", "axe", "file"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained on users of fruit and users of tools; what was rated low does not count."""
    folder, rng = tmp_path_factory.mktemp("items"), np.random.default_rng(0)
    lines = ["user,item,rating"]
    for user in range(60):
        mine, other = (FRUIT, TOOLS) if user % 2 else (TOOLS, FRUIT)
        for i in rng.permutation(4)[:3]:
            lines.append(f"u{user},{mine[i]},5")
        lines.append(f"u{user},{other[rng.integers(4)]},1")
    lines += [f"v{i},apple,5\nv{i},fig,4" for i in range(9)]
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    data = {"source": f"ratings:{folder / 'ratings.csv'}", "threshold": 4.0}
    train = {"batch_size": 16, "steps": 4, "steps_per_call": 2, "log_every": 2}
    method = {"name": "ease", "regularization": 5.0, "latent_dim": 3}
    results = fit(
        experiment(method=method, data=data, train=train, evaluate={"run": ("ranking",)}), folder / "run"
    )
    assert (
        results["ndcg_100"] == pytest.approx(results["ndcg_100_ease"], abs=0.2) and results["recall_20"] == 1
    )
    (folder / "ratings.csv").unlink()
    return folder / "run"


@pytest.fixture
def unsup(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text(
        "item,user,rating\napple,ann,5\npear,ann,4\nsaw,ann,1\ndrill,bob,5\nspoon,eve,5\naxe,kim,2\nspoon,bob,5\n"
    )
    (tmp_path / "items.csv").write_text(
        "item_id,title\n" + "".join(f"{name},A {name.title()} (1999)\n" for name in FRUIT + TOOLS)
    )
    return said


def test_items_in_groups(run, unsup, tmp_path):
    kinds = "".join(
        f"{name},A {name},{'Food Sweet' if name in FRUIT else 'Tool'}\n" for name in FRUIT + TOOLS
    )
    (tmp_path / "kinds.csv").write_text("item,title,kind\n" + kinds)
    said = unsup("groups", run, "--groups=2", "--names=kinds.csv", "--labels=kind", "--out=g.csv", "--top=2")
    lines = said.splitlines()
    assert all("4 items" in line and "100%" in line for line in lines[:2]) and "purity 1.000" in lines[2]
    assert any("Food 100%  A apple, A fig" in line for line in lines[:2])
    rows = list(csv.DictReader((tmp_path / "g.csv").open()))
    of = {r["item"]: r["group"] for r in rows}
    assert {of[name] for name in FRUIT} | {of[name] for name in TOOLS} == {"0", "1"} and of["fig"] != of[
        "saw"
    ]
    assert all(0 < float(r["cosine"]) <= 1.0001 for r in rows)
    for arguments, message in (
        (["--groups=9"], "--groups=9 must be between 2 and the 8 items"),
        (["--labels=kind"], "add --names=FILE"),
        (["--labels=kin", "--names=kinds.csv"], "did you mean 'kind'"),
        (["--out=g.csv"], "is there already"),
        (["--top=0"], "--top=0"),
    ):
        assert message in unsup("groups", run, *arguments)


def test_what_is_recommended(run, unsup, tmp_path):
    said = unsup("recommend", run, "new.csv", "--top=3", "--out=r.csv", "--names=items.csv")
    assert "r.csv: 4 users, 2 of whom have nothing known" in said
    assert "1 items are unknown to the model and count for nothing: 'spoon'" in said
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    of = {u: [r["item"] for r in rows if r["user"] == u] for u in ("ann", "bob", "eve", "kim")}
    assert [len(items) for items in of.values()] == [3] * 4
    assert set(of["ann"][:2]) == {"plum", "fig"} and "saw" not in of["ann"]  # seen, though not liked
    assert set(of["bob"]) == {"saw", "axe", "file"}
    assert of["eve"][:2] == ["apple", "fig"] and "axe" not in of["kim"]  # cold: the most popular
    assert [r["cold"] for r in rows[::3]] == ["False", "False", "True", "True"]
    assert rows[0]["title"] == f"A {rows[0]['item'].title()} (1999)" and [
        r["rank"] for r in rows[:3]
    ] == list("123")
    assert "is there already" in unsup("recommend", run, "new.csv", "--out=r.csv")
    assert "2 users" not in unsup("recommend", run, "new.csv", "--out=r.parquet", "--top=99")
    assert "recommendations are a table" in unsup("recommend", run, "new.csv", "--out=r.npy")
    assert "say where" in unsup("recommend", run, "new.csv")
    assert "--top=0" in unsup("recommend", run, "new.csv", "--top=0", "--out=x.csv")


def test_what_is_similar(run, unsup):
    lines = unsup("similar", run, "saw", "--top=3").splitlines()
    assert {line.split()[1] for line in lines} == set(TOOLS) - {"saw"} and len(lines) == 3
    titled = unsup("similar", run, "a fig (1999)", "--names=items.csv", "--top=1")
    assert titled.split()[1] in FRUIT and "(1999)" in titled
    assert "there is no item 'aple'; did you mean 'apple'" in unsup("similar", run, "aple")
    assert "8 items are called '1999'" in unsup("similar", run, "1999", "--names=items.csv")
    assert "no items are called 'xyzzy'; there are 8 others" in unsup(
        "similar", run, "xyzzy", "--names=items.csv"
    )
    assert "--top=0" in unsup("similar", run, "saw", "--top=0")


def test_codes_of_users(run, unsup, tmp_path):
    assert "z.csv: 4 examples" in unsup("encode", run, "new.csv", "--out=z.csv")
    rows = list(csv.DictReader((tmp_path / "z.csv").open()))
    assert [r["user"] for r in rows] == ["ann", "bob", "eve", "kim"] and "z2" in rows[0]
    assert "a table of users and items" in unsup("encode", run, "digits", "--out=y.csv")


def test_a_model_recommends(run):
    model = unsupjax.load(run)
    assert {"encode", "recommend", "similar"} == set(model.abilities)
    found = model.recommend([["apple", "pear"], [], FRUIT + TOOLS, ["nothing known"]], top=5)
    assert found.items.shape == found.scores.shape == (4, 5) and found.cold.tolist() == [
        False,
        True,
        False,
        True,
    ]
    assert set(found.items[0][:2]) == {"plum", "fig"} and not set(found.items[0]) & {"apple", "pear"}
    assert (found.items[2] == "").all() and (np.diff(found.scores[0]) <= 0).all()
    assert found.items[1].tolist() == found.items[3].tolist() and found.items[1][0] == "apple"
    less = model.recommend([["apple", "pear"]], top=5, seen=[["fig"]])
    assert set(less.items[0]) == set(FRUIT + TOOLS) - {"apple", "pear", "fig"}
    many = model.recommend([["saw"]] * 300 + [["fig"]], top=2)
    assert set(many.items[:300, 0]) <= set(TOOLS) and many.items[300, 0] in FRUIT
    np.testing.assert_allclose(np.linalg.norm(model.embeddings, axis=1), 1, rtol=1e-5)
    names = [name for name, _ in model.similar("apple", top=99)]
    assert len(names) == 7 and set(names[:3]) == set(FRUIT) - {"apple"}
    with pytest.raises(UserError, match="top=0"):
        model.recommend([[]], top=0)
    with pytest.raises(Unable, match="has no `sample`"):
        model.sample(1)
