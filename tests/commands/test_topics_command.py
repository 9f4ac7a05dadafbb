"""`topics`, `assign` and `similar` of a model of texts, its judge, and the page."""

import csv
import re

import numpy as np
import pytest

import unsupjax
from unsupjax.commands.topic_page import place, topic_page
from unsupjax.commands.topic_times import periods
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.run.fit import fit

WORDS = {
    "sea": ["ship", "sail", "harbour", "wave", "anchor", "captain"],
    "kitchen": ["bread", "oven", "flour", "butter", "salt", "cook"],
}


def texts(n, seed):
    rng = np.random.default_rng(seed)
    kinds = [list(WORDS)[i % 2] for i in range(n)]
    return [(" ".join(["the", *rng.choice(WORDS[kind], 8)]), kind) for kind in kinds]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    with (folder / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "kind"), *texts(60, 0)])
    data = {"source": f"bow:{folder / 'texts.csv'}", "text_column": "text", "label_column": "kind"}
    data |= {"in_order": True, "stop_words": "english"}
    method = {"name": "topic_clusters", "topics": 2, "words": 4, "candidates": 6, "dimensions": 6}
    train = {"batch_size": 24, "steps": 6, "steps_per_call": 2, "log_every": 2}
    judge = {"run": ("topics",), "topics": {"words": 4}}
    results = fit(experiment(method=method, data=data, train=train, evaluate=judge), folder / "run")
    assert results["purity"] == results["nmi"] == results["diversity"] == results["purity_train"] == 1
    assert results["npmi_documents"] > 0 and results["npmi"] > 0 and results["topics_used"] == 2
    assert {"npmi_nmf", "npmi_documents_nmf", "purity_nmf", "diversity_nmf"} <= set(results)
    return folder / "run"


@pytest.fixture
def unsup(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return said


def test_topics_are_printed_with_their_words_and_documents(unsup, run):
    said = unsup("topics", run, "--words=4", "--documents=2")
    heads = re.findall(r"^topic \d \(30 documents, 50.0%\): (.*)$", said, re.M)
    assert len(heads) == 2 and said.count("\n    ") == 4
    for head in heads:
        assert any(set(head.split(", ")) <= set(words) for words in WORDS.values())


def test_new_texts_have_topics_and_unknown_words_are_said(unsup, run, tmp_path):
    rows = [("body",), ("ship and captain",), ("bread from the oven",), ("quantum",), ("sail the wave",)]
    with (tmp_path / "new.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert "4 examples" in unsup("assign", run, "new.csv", "--text_column=body", "--out=out.csv")
    with (tmp_path / "out.csv").open() as file:
        found = [int(row["cluster"]) for row in csv.DictReader(file)]
    assert found[0] == found[3] != found[1] and min(found) >= 0
    assert "1 documents have no word that the model knows" in unsup(
        "topics", run, "new.csv", "--text_column=body"
    )
    model = unsupjax.load(run)
    np.testing.assert_array_equal(model.assign(["ship and captain", "oven"]), found[:2])
    assert len(model.topics(3)) == 2 and all(len(row) == 3 for row in model.topics(3))
    assert re.match(r"[\d.]+  (sail|harbour|wave|anchor|captain)", unsup("similar", run, "ship", "--top=1"))
    with pytest.raises(UserError, match="words=0"):
        model.topics(0)


def test_the_page_holds_all_that_it_needs(unsup, run, tmp_path):
    assert "2 topics of 60 documents" in unsup("topics", run, "--html=page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<circle") == 60 and not re.search(r"(src|href)=", page)
    assert "is there already" in unsup("topics", run, "--html=page.html")
    assert "2 topics" in unsup("topics", run, "--html=page.html", "--overwrite")


def test_no_text_ends_the_script_of_a_page():
    text = "</script><b>&"
    page = topic_page(
        "lead", [["<i>"]], np.array([2]), [[text]], np.array([0, -1]), np.ones((2, 1)), [text, text]
    )
    assert text not in page and page.count("</script>") == 2 and "&lt;i&gt;" in page


def test_few_documents_have_places():
    for n, k in ((1, 1), (2, 3), (5, 2), (30, 4)):
        xy = place(np.random.default_rng(0).dirichlet(np.ones(k), n))
        assert xy.shape == (n, 2) and xy.min() >= 0 and xy.max() <= 1


def test_what_makes_no_sense_is_refused(unsup, run):
    assert "--words=0 must" in unsup("topics", run, "--words=0")
    assert "--overwrite is for what --html names" in unsup("topics", run, "--overwrite")


def test_texts_like_one_and_words_that_are_none(tmp_path, unsup):
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "kind"), *texts(40, 0)])
    data = {
        "source": f"bow:{tmp_path / 'texts.csv'}",
        "text_column": "text",
        "label_column": "kind",
        "in_order": True,
    }
    method = {"name": "word_means", "vectors": "spelling", "dimensions": 8}
    train = {"batch_size": 8, "steps": 1}
    fit(experiment(method=method, data=data, train=train, evaluate={"run": ()}), tmp_path / "run")
    assert unsup("similar", "run", "sail", "--top=1").split()[-1] in WORDS["sea"] + WORDS["kitchen"]  # a word
    said = unsup("similar", "run", "bread and butter from the oven", "--top=3").splitlines()
    assert len(said) == 3 and all(sum(word in line for word in WORDS["kitchen"]) >= 2 for line in said)
    assert (
        said
        == unsup(
            *("similar", "run", "bread and butter from the oven", "--top=3"),
            *(f"--among={tmp_path / 'texts.csv'}", "--text_column=text"),
        ).splitlines()
    )
    assert "'quarks' has no word that the model knows; " in unsup("similar", "run", "quarks")


def test_topics_over_time(unsup, run, tmp_path):
    rows = [(text, f"2024-{1 + i // 20:02}-{1 + i % 20:02}") for i, (text, _) in enumerate(texts(60, 3))]
    # Of January both subjects, later the second alone.
    kept = [row for i, row in enumerate(rows) if i < 20 or i % 2]
    with (tmp_path / "dated.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("body", "day"), *kept])
    arguments = ("topics", run, "dated.csv", "--text_column=body", "--documents=0", "--time_column=day")
    said = unsup(*arguments, "--html=dated.html")
    weeks = re.findall(r"\S+/\S+ ([\d.]+)%", said.splitlines()[1])  # of the topic that has more
    assert weeks[0] == "42.9" and weeks[-1] == "100.0"  # three of seven days
    page = (tmp_path / "dated.html").read_text()
    assert page.count('class="bars"') == 2 and "100.0%</title>" in page
    with (tmp_path / "dated.csv").open("a") as file:
        file.write("ship,\n")
    assert "row 40 (from 0) has no time" in unsup(*arguments)
    assert "--time_column='when' is no column" in unsup(*arguments[:-1], "--time_column=when")


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (["2001-05-03", "2019-01-01"], [str(y) for y in range(2001, 2020)]),
        (
            ["2024-01-31T23:30", "2024-02-01T01:10"],
            ["2024-01-31 23:00", "2024-02-01 00:00", "2024-02-01 01:00"],
        ),
        (["1999", "2003", "1999"], ["1999", "2003"]),
    ],
)
def test_periods(raw, names):
    times = periods("here", raw)
    assert list(times.names) == names
    shares = times.shares(np.zeros(len(raw), int), 1)
    assert shares[0] == shares[-1] == 1 and np.isnan(shares[1:-1]).all()


def test_many_numbers_are_put_together():
    times = periods("here", [str(i) for i in range(1000)])
    assert len(times.names) == 24 and np.bincount(times.period).max() <= 42
