"""The loss of the next token against a loop, documents that do not see each other, and texts that go on."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import unsupjax
from unsupjax import methods, models
from unsupjax.commands import main
from unsupjax.config import experiment
from unsupjax.errors import UserError
from unsupjax.run.fit import fit

NETWORK = models.Transformer(9, 8, 16, 1, 2, zero_init=False)
ROWS = jnp.array([[1, 2, 3, 4, 5, 1, 6, 7], [1, 8, 8, 2, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def trained():
    method = methods.next_token(NETWORK, optax.sgd(0.1))
    return method, jax.jit(method.init)(jax.random.key(0), ROWS)


def test_the_loss_is_that_of_each_document_alone(trained):
    method, state = trained
    _, metrics = jax.jit(method.step)(state, ROWS)
    whole = jax.jit(lambda tokens: NETWORK.apply({"params": state.params}, tokens, method="both"))
    padded = lambda tokens: jnp.array([tokens + [0] * (7 - len(tokens))])  # what comes after, no token sees
    logits = lambda tokens: whole(padded(tokens))[0]
    log_p = jax.nn.log_softmax
    first, second, third = log_p(logits([1, 2, 3, 4, 5])), log_p(logits([1, 6])), log_p(logits([1, 8, 8]))
    each = [
        first[i, t] for i, t in enumerate([2, 3, 4, 5, 1])
    ]  # the last one predicts that the document ends
    each += [second[i, t] for i, t in enumerate([6, 7])] + [third[i, t] for i, t in enumerate([8, 8, 2])]
    np.testing.assert_allclose(metrics["loss"], -np.mean(each), rtol=1e-5)
    found, real = jax.jit(method.token_log_prob)(state, ROWS)
    np.testing.assert_array_equal(real.sum(1), [7, 3])
    np.testing.assert_allclose(jnp.where(real, found, 0).sum(), sum(each), rtol=1e-5)
    np.testing.assert_allclose(
        method.log_prob(state, None, ROWS, 1), jnp.where(real, found, 0).sum(1), rtol=1e-6
    )


def test_padding_changes_nothing_and_codes_are_means_of_real_tokens(trained):
    method, state = trained
    encode = jax.jit(method.encode)
    codes = encode(state, ROWS)
    hidden = jax.jit(lambda x: NETWORK.apply({"params": state.params}, x))(ROWS[1:, :4])
    np.testing.assert_allclose(codes[1], hidden.mean(1)[0], rtol=1e-5, atol=1e-6)
    empty = jnp.zeros((2, 8), jnp.int32)
    assert np.isfinite(encode(state, empty)).all()
    _, metrics = jax.jit(method.step)(state, empty.at[:, 0].set(1))
    assert np.isfinite(metrics["loss"])


def test_what_is_drawn_has_the_probabilities_of_the_network(trained):
    method, state = trained
    prompt = jnp.tile(jnp.array([[1, 4, 4]]), (3000, 1))
    cache = method.generate.prefill(state, prompt)
    _, tokens = jax.jit(method.generate.extend, static_argnums=(3, 4, 5, 6))(
        state, cache, jax.random.key(1), 1
    )
    logits = NETWORK.apply({"params": state.params}, prompt[:1], method="both")[0, -1].at[:2].set(-jnp.inf)
    share = np.bincount(tokens[:, 0], minlength=9) / 3000
    np.testing.assert_allclose(share, jax.nn.softmax(logits), atol=0.04)
    assert share[:2].sum() == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory, few_panels):
    folder = tmp_path_factory.mktemp("text")
    (folder / "t.txt").write_text("the cat sat on the mat. " * 60)
    config = experiment(
        method={"name": "next_token"},
        data={"source": f"text:{folder / 't.txt'}", "layout": "packed", "context": 16},
        network={"name": "transformer", "width": 32, "depth": 1, "heads": 2},
        optimizer={"name": "adam", "learning_rate": 1e-2},
        train={"batch_size": 16, "steps": 150, "steps_per_call": 50, "log_every": 50},
        evaluate={"run": ("next_token",)},
    )
    results = fit(config, folder / "run")
    (folder / "t.txt").unlink()
    return folder / "run", results


def test_a_text_is_learnt_and_goes_on(run, capsys, monkeypatch, tmp_path):
    folder, results = run
    assert results["bits_per_byte"] < 0.5 < results["bits_per_byte_1gram"]
    model = unsupjax.load(folder)
    assert set(model.abilities) == {"encode", "sample", "log_prob", "generate"}
    pieces = list(model.generate("the cat", 60, temperature=0))
    assert len(pieces) > 2 and "".join(pieces).startswith(" sat on the mat. ")
    assert len("".join(pieces)) == 60
    assert "".join(model.generate("the", 9, seed=3)) == "".join(
        itertools.chain(model.generate("the", 9, seed=3))
    )
    prompts = ["the cat", "", "on the"]
    together = model.generate_each(prompts, 9, temperature=0)
    assert together == ["".join(model.generate(prompt, 9, temperature=0)) for prompt in prompts]
    assert together[0] == " sat on t"
    # Beyond the context of 16 all begin anew where the longest does.
    assert [len(text) for text in model.generate_each([*prompts, "the cat sat on the mat. "], 40)] == [40] * 4
    assert model.generate_each([], 5) == []
    assert (
        model.log_prob(["the cat sat", "tac eht tas"])[0]
        > model.log_prob(["the cat sat", "tac eht tas"])[1] + 5
    )
    assert model.encode(["the cat", "on", ""]).shape == (3, 32) and isinstance(model.sample(2)[0], str)
    monkeypatch.chdir(tmp_path)
    main(["sample", str(folder), "--prompt=the cat", "--tokens=17", "--temperature=0"])
    assert capsys.readouterr().out == "the cat sat on the mat. \n"
    (tmp_path / "new.txt").write_text("the mat.\nthe cat\n")
    main(["encode", str(folder), "lines:new.txt", "--out=z.npy"])
    np.testing.assert_allclose(np.load("z.npy"), model.encode(["the mat.", "the cat"]), rtol=1e-4, atol=1e-5)
    (tmp_path / "new.csv").write_text(
        "id,said\n7,the mat.\n5,\n8,the cat\n"
    )  # a row without a text keeps its place
    main(["encode", str(folder), "new.csv", "--text_column=said", "--out=t.npy"])
    np.testing.assert_array_equal(np.load("t.npy")[[0, 2]], np.load("z.npy"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": "THE"}, "character 0 is 'T', which is in no text"),
        ({"tokens": 0}, "must be at least 1"),
        ({"temperature": -1.0}, "at least 0"),
        ({"top_p": 0.0}, r"in \(0, 1\]"),
    ],
)
def test_what_cannot_go_on(run, arguments, message):
    model, prompt = unsupjax.load(run[0]), arguments.get("prompt", "")
    with pytest.raises(UserError, match=message):
        model.generate_each([prompt], **{"tokens": 3} | {k: v for k, v in arguments.items() if k != "prompt"})
    with pytest.raises(UserError, match="give a list of texts"):
        model.generate_each("the cat")
    with pytest.raises(UserError, match=message):
        list(unsupjax.load(run[0]).generate(**{"tokens": 3} | arguments))


def test_texts_that_are_near(run, capsys, tmp_path):
    folder, _ = run
    among = tmp_path / "more.txt"
    among.write_text("the cat sat\n\nthe mat sat on the cat " + "on the mat " * 20 + "\ncat\n")
    main(["similar", str(folder), "the cat sat", f"--among=lines:{among}", "--top=2"])
    first, second = capsys.readouterr().out.splitlines()
    assert first == "1.000  the cat sat" and (second.endswith("...") or second.endswith("  cat"))
    for argv, message in (
        (["--names=x.csv"], "cannot open"),
        (["--top=0"], "--top=0 must be at least 1"),
        ([f"--among=lines:{tmp_path / 'none.txt'}"], "cannot open"),
    ):
        with pytest.raises(SystemExit):
            main(["similar", str(folder), "the", *argv])
        assert message in capsys.readouterr().err
