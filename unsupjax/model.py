"""A trained model, to be used: `unsupjax.load(folder)`. Raw input in, raw output out; no training data is needed."""

import functools
import html
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from unsupjax import arrays
from unsupjax.data.kinds import Images, Kind, Table, Windows
from unsupjax.data.kinds.columns import CATEGORIES
from unsupjax.errors import UserError, choose, closest, nearest
from unsupjax.evaluate import CALIBRATION, FIGURES, Subject, learning_curves
from unsupjax.evaluate.drift import drift
from unsupjax.evaluate.fidelity.completion import filling
from unsupjax.evaluate.fidelity.reconstruction import squared_error, summed
from unsupjax.evaluate.series.detector import Detected, detect
from unsupjax.evaluate.series.online import Online
from unsupjax.evaluate.subject import coding, lasting
from unsupjax.methods import Method
from unsupjax.methods.parts.bags import dense
from unsupjax.methods.parts.tiled import restored
from unsupjax.parallel.mesh import AXIS, make_mesh, replicated
from unsupjax.run.experiment import finished, seeing
from unsupjax.run.plan import Plan
from unsupjax.run.stored import restore

_HELD = 2**22  # numbers of the inputs that go through a model at once, by default
_PIECE = 16  # tokens that are drawn between two looks
_FEWEST, _MOST = 8, 1024  # examples at once

# What a model can do, by the functions of its method that it takes.
ABILITIES = {
    "encode": ("encode",),
    "decode": ("decode",),
    "reconstruct": ("encode", "decode"),
    "denoise": ("denoise",),
    "compress": ("codec",),
    "decompress": ("codec",),
    "fill": ("fill",),
    "score": ("encode", "decode"),
    "assign": ("assign",),
    "sample": ("sample",),
    "interpolate": ("interpolate",),
    "log_prob": ("log_prob",),
    "prototypes": ("prototypes",),
    "map": ("map", "assign"),
    "generate": ("generate",),
    "recommend": ("recommend",),
    "similar": ("items",),
    "topics": ("topics",),
    "explain": ("surprise", "impute"),
    "detect": ("surprise",),
    "stream": ("surprise",),
}
RECONSTRUCT = ("encode", "decode")  # what a surprise is made of where a method has none
OF_SERIES = ("detect", "stream")


class Recommended(NamedTuple):
    """What is recommended to each of N users, best first.

    Attributes:
        items: names, `[N, top]`; "" where all items are taken already.
        scores: float32 `[N, top]`, of the method's own scale; of users without a known item how many users have it.
        cold: whether there was nothing known of the user, bool `[N]`: what is popular is recommended.
    """

    items: np.ndarray
    scores: np.ndarray
    cold: np.ndarray


class Cell(NamedTuple):
    """A cell of a row.

    Attributes:
        column: its name.
        value: what it holds.
        expected: what the other columns, less those that are as surprising, let expect.
        surprise: in the units of the model's `surprise`.
    """

    column: str
    value: Any
    expected: Any
    surprise: float


class Unable(UserError, AttributeError):
    """A model was asked for what its method cannot do."""


def load(folder: str | pathlib.Path, step: str | int = "newest") -> "Model":
    """The trained model of a run.

    Neither the data that it was trained on is needed nor the devices: a run of many serves on one, and the reverse.

    Args:
        folder: of the run, `--workdir` of `train.py`.
        step: "newest", "best" (by the run's `checkpoint.best_metric`), or the number of a checkpoint's step.

    Raises:
        UserError: no run in the folder, half of one, no whole checkpoint, or none of that step.
    """
    folder = pathlib.Path(folder)
    plan, kind, class_names, method, state, found = restore(folder, step)
    method = seeing(method, kind.see)
    return Model(folder, plan, kind, class_names, method, finished(method, state), found)


class Model:
    """A trained method with what it knows of its data.

    It has those of `encode`, `decode`, `reconstruct`, `denoise`, `compress`, `decompress`, `fill`, `score`, `assign`,
    `sample`, `interpolate`, `log_prob`, `prototypes`, `map`, `generate`, `recommend`, `similar`, `topics`, `explain`,
    `detect` and `stream` that its method has (`abilities`), and refuses the others. They take what a user has: pictures
    as they are in files (uint8 `[N, H, W, C]`), a DataFrame or a dict of columns by their names, arrays, texts, lists
    of items; any number of them. Inputs go through in batches of one size, the last one filled up: each function is
    compiled once. Results are numpy arrays, and tables are DataFrames where DataFrames came in, else dicts of columns.

    Attributes:
        folder: of the run.
        config: the run's, complete.
        kind: what one example is, of `unsupjax.data.kinds`.
        class_names: of its data; None where these had no labels.
        step: of the checkpoint.
        functions: the pure `Method`, for your own JAX code.
        state: its trained State.
        batch_size: examples that go through at once.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        plan: Plan,
        kind: Kind,
        class_names: tuple[str, ...] | None,
        method: Method,
        state: Any,
        step: int,
    ):
        """As `load` makes it."""
        self.folder, self._plan, self.kind, self.class_names = folder, plan, kind, class_names
        self.functions, self.step = method, step
        self._mesh = make_mesh(jax.local_devices())
        self.state = jax.device_put(state, replicated(self._mesh))
        devices = self._mesh.size
        shape = getattr(kind, "wide", kind.example().shape)  # dense, as it is in a batch
        most = _HELD // int(np.prod(shape))
        self.batch_size = max(min(1 << most.bit_length() - 1 if most else 0, _MOST), _FEWEST, devices)

    @functools.cached_property
    def config(self) -> ml_collections.ConfigDict:
        """The run's config."""
        return ml_collections.ConfigDict(self._plan.record)

    @property
    def name(self) -> str:
        """The method's."""
        return self._plan.method

    @property
    def source(self) -> str:
        """What it was trained on."""
        return self._plan.source

    @property
    def options(self) -> Mapping[str, Any]:
        """How that was read: keyword arguments of `unsupjax.data.open_source`."""
        return self._plan.options

    @property
    def network(self) -> Mapping[str, Any]:
        """The name of its encoder's network and the arguments; empty where it has none."""
        return self._plan.network

    @property
    def params(self) -> Any:
        """The parameters of State; those of a GAN's average generator; None where it has none of either name."""
        return getattr(self.state, "params", getattr(self.state, "average", None))

    @property
    def abilities(self) -> tuple[str, ...]:
        """What it can do."""
        has = lambda functions: all(getattr(self.functions, f) is not None for f in functions)
        series = isinstance(self.kind, Windows)

        def able(name):
            if name in OF_SERIES and not series:
                return False
            either = (("surprise",), RECONSTRUCT) if name in ("score", *OF_SERIES) else (ABILITIES[name],)
            return any(map(has, either))

        return tuple(filter(able, ABILITIES))

    def __getattribute__(self, name: str) -> Any:
        if name in ABILITIES and name not in (able := object.__getattribute__(self, "abilities")):
            method = object.__getattribute__(self, "name")
            raise Unable(f"a model of the method {method!r} has no `{name}`; it has {', '.join(able)}")
        return object.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name not in ABILITIES or name in self.abilities]

    def encode(self, x: Any) -> np.ndarray:
        """The representation of each example, float32 `[N, D]`."""
        return self._map(coding(self.functions.encode), self._prepared(x))

    def decode(self, codes: np.ndarray) -> Any:
        """What the codes `[N, D]` stand for, in the user's units."""
        codes = np.asarray(codes)
        width = self.width
        if codes.ndim != 2 or codes.shape[1] != width or codes.dtype.kind not in "biuf":
            raise UserError(
                f"codes are {codes.dtype} of shape {codes.shape}, where numbers [N, {width}] belong"
            )
        return self.restored(self._map(self.functions.decode, codes.astype(np.float32)))

    def reconstruct(self, x: Any) -> Any:
        """What is left of each example after `decode(encode(x))`, in the user's units."""
        return self.restored(self._map(_reconstructing(*self._coder), self._prepared(x)), like=x)

    def denoise(self, x: Any) -> Any:
        """Each example without its noise, in the user's units.

        Methods that restore pictures of any size take arrays `[N, H, W, C]`, or lists of pictures `[H, W, C]`, uint8,
        uint16 or floating in [0, 1], and give the same; of colours, each alone where the model knows grey ones.
        """
        if self.functions.restore is not None:
            made = [restored(self.functions.restore, self.state, one, self.kind.shape[-1]) for one in x]
            return made if isinstance(x, list | tuple) else np.stack(made) if made else np.asarray(x)
        return self.restored(self._map(self.functions.denoise, self._prepared(x)), like=x)

    def compress(self, picture: np.ndarray, quality: int = 32) -> bytes:
        """A file of a picture, uint8 `[H, W, C]` of any size; quality from 0 (small) to 64 (good)."""
        return self.codec.compress(picture, quality)

    def decompress(self, content: bytes) -> np.ndarray:
        """The picture, uint8 `[H, W, C]`, of what `compress` of the same model gave; the same on every machine."""
        return self.codec.decompress(content)

    @functools.cached_property
    def codec(self) -> Any:
        """The `unsupjax.codec.files.Codec` of the model."""
        self.compress  # noqa: B018  refuses
        return self.functions.codec(self.state)

    def fill(self, x: Any, seed: int = 0) -> Any:
        """Each example with a random part of it predicted from the rest, in the user's units.

        Which part that is of example i depends on i and the seed alone.
        """
        x = self._prepared(x)
        examples = np.arange(len(x), dtype=np.int32), x
        return self.restored(self._map(_filling(self.functions.fill), examples, jax.random.key(seed)))

    def score(self, x: Any) -> np.ndarray:
        """How strange each example is, float32 `[N]`, higher is stranger: the sum of the method's `surprise`, or the
        squared error of its reconstruction.

        Of a series, as `detect` takes it, how strange each step is, float64 `[T]`.
        """
        if isinstance(self.kind, Windows):
            return self.detect(x).scores
        surprise = self.functions.surprise
        function = _scoring(*self._coder, self.kind.see) if surprise is None else summed(surprise)
        return self._map(function, self._prepared(x))

    def explain(self, x: Any, top: int = 3) -> list[list[Cell]]:
        """The most surprising cells of each row, the greatest surprise first, and what would be expected there.

        That is predicted from the row's less surprising cells.

        Args:
            x: rows of a table.
            top: cells a row.
        """
        if top < 1:
            raise UserError(f"top={top} must be at least 1")
        stored = self._prepared(x)
        parts = self._map(self.functions.surprise, stored)
        order = np.argsort(-parts, axis=1, kind="stable")[:, :top]
        away, expected = np.zeros(parts.shape, np.float32), []
        for rank in range(order.shape[1]):
            np.put_along_axis(away, order[:, rank : rank + 1], 1.0, axis=1)
            guess = self._map(_imputing(self.functions.impute), (stored, away))
            expected.append(list(self.kind.restore(guess).values()))
        there = list(self.kind.restore(stored).values())
        given = self.kind.read(x) if self.kind.strange else there  # a category that is none of the known ones
        cell = lambda i, rank, j: Cell(
            self.kind.names[j],
            (given if isinstance(self.kind.columns[j], CATEGORIES) else there)[j][i],
            expected[rank][j][i],
            float(parts[i, j]),
        )
        return [[cell(i, rank, j) for rank, j in enumerate(row)] for i, row in enumerate(order.tolist())]

    def drift(self, x: Any) -> dict[str, float]:
        """How far each column of new rows of a table has moved from training: the population stability index."""
        if not isinstance(self.kind, Table):
            raise UserError(f"drift is of the columns of tables, and the model takes {self.kind.name}")
        return drift(self.kind, self.usual, self._prepared(x))

    def detect(self, x: Any, causal: bool = False) -> Detected:
        """How strange each step of a series is, and which channels say so.

        Args:
            x: numbers `[T]` or `[T, C]`, a DataFrame with the channels' names, or an `unsupjax.data.series.Series`.
            causal: as each step was known when it came, and not averaged over later windows that hold it.
        """
        return detect(self.functions, self.state, self.kind, self.usual, x, causal=causal)

    def stream(self) -> Online:
        """What scores rows as they come: `stream = model.stream(); scores, parts = stream(rows)`; the scores are those
        of `detect(..., causal=True)`."""
        return Online(self.functions, self.state, self.kind, self.usual)

    @functools.cached_property
    def usual(self) -> dict[str, np.ndarray]:
        """What scores are measured by: of the training part, as `unsupjax.evaluate.calibration` makes it."""
        path = self.folder / CALIBRATION
        if not path.is_file():
            raise UserError(
                f"{path} is missing, which the end of a run writes: unsupjax evaluate {self.folder}"
            )
        return arrays.load(path)[0]

    def assign(self, x: Any) -> np.ndarray:
        """The cluster or unit of each example, int32 `[N]`."""
        return self._map(self.functions.assign, self._prepared(x))

    def map(self, x: Any) -> np.ndarray:
        """Where each example lies on the map, int32 `[N, 2]`: row and column of its best matching unit."""
        unit = self.assign(x)
        width = self.functions.map(self.state, self._blank(1))[0].grid.width
        return np.stack(np.divmod(unit, width), axis=1)

    def log_prob(self, x: Any, samples: int = 50, seed: int = 0) -> np.ndarray:
        """A lower bound on log p of each example in nats from so many latent samples, float32 `[N]`."""
        if samples < 1:
            raise UserError(f"samples={samples} must be at least 1")
        x, bound = self._prepared(x), _bounding(self.functions.log_prob, samples)
        return self._map(bound, (np.arange(len(x), dtype=np.int32), x), jax.random.key(seed))

    def sample(self, n: int, seed: int = 0) -> Any:
        """n new examples, in the user's units; the first of more are those of fewer. A conditional model's classes take
        turns: that of example i is i modulo their number."""
        if n < 0:
            raise UserError(f"n={n} must be at least 0")
        return self.restored(np.concatenate([x for _, x in self.samples(n, seed)] or [self._blank(0)]))

    def samples(self, n: int, seed: int = 0):
        """What `sample` gives as the method sees it, some at a time: pairs of the first number and the examples."""
        return self._samples(self._sampler, n, seed)

    @property
    def _sampler(self) -> Callable:
        """Refuses where there is none."""
        self.sample  # noqa: B018
        return self.functions.sample

    def _samples(self, sample: Callable, n: int, seed: int):
        labels = self.functions.wants.labels or 1
        size = -(-self.batch_size // labels) * labels
        draw = _sampling(sample, size)
        for start in range(0, n, size):
            key = jax.random.fold_in(jax.random.key(seed), start)
            yield start, np.asarray(draw(self.state, key))[: n - start]

    def generate(
        self,
        prompt: str = "",
        tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[str]:
        """How a text goes on, piece by piece; `"".join` makes it one.

        Past the model's context, the second half of what it sees is its new beginning.

        Args:
            prompt: what stands before it, which is not given back; "": it begins.
            tokens: how many are added.
            temperature: of the draws; 0: always the likeliest token.
            top_k: only so many likeliest tokens are drawn from; 0: all.
            top_p: only the fewest likeliest tokens that together have this probability; 1: all.
            seed: of the draws.

        Raises:
            UserError: a prompt that the tokenizer has no form for, or an argument out of its range.
        """
        drawn = _drawing(tokens, temperature, top_k, top_p)
        return self._pieces(self.kind.stream([prompt]).astype(np.int32), tokens, drawn, seed)

    def generate_each(
        self,
        prompts: Sequence[str],
        tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """How each of several texts goes on, whole; they go through together, whatever their lengths.

        While the longest and what is added to it fit the model's context, likeliest tokens are those of each alone.

        Args:
            prompts: what stands before each, which is not given back.
            tokens, temperature, top_k, top_p, seed: as of `generate`; past the model's context, the second half of what
                it sees of the longest is the new beginning of all.

        Raises:
            UserError: as `generate`; one text in place of a list of them.
        """
        self.generate  # noqa: B018  refuses
        drawn, made = _drawing(tokens, temperature, top_k, top_p), []
        if isinstance(prompts, str):
            raise UserError("one text; give a list of texts: [text]")
        rows = [self.kind.stream([prompt]).astype(np.int32) for prompt in prompts]
        for start in range(0, len(rows), self.batch_size):
            given = rows[start : start + self.batch_size]
            *_, grown = self._growing(given, tokens, drawn, seed + start)
            for row, more in zip(given, grown, strict=True):
                made.append(self.kind.restore(more[None, len(row) :])[0])
        return made

    def _pieces(self, seen: np.ndarray, tokens: int, drawn: tuple, seed: int) -> Iterator[str]:
        given, told = len(seen), 0
        for [row] in self._growing([seen], tokens, drawn, seed):
            text = self.kind.restore(row[None, given:])[0]
            if text[told:] and not text.endswith("\ufffd"):  # a character that is not whole yet
                yield text[told:]
                told = len(text)

    def _growing(
        self, rows: list[np.ndarray], left: int, drawn: tuple, seed: int
    ) -> Iterator[list[np.ndarray]]:
        """The tokens of each text, and those that were added to it, some more each time."""
        made = self.functions.generate
        prefill, extend = _compiled(made.prefill), _extending(made.extend, *drawn)
        key, cache, held = jax.random.key(seed), None, made.length
        while left > 0:
            longest = max(map(len, rows))
            if held + _PIECE > made.length:  # of what comes next, no more fits
                most = max(made.length - 1 if cache is None else made.length // 2, 1)
                held = min(longest, most)
                lengths = np.array([min(len(row), held) for row in rows], np.int32)
                tokens = np.stack([np.pad(row[-held:], (max(held - len(row), 0), 0)) for row in rows])
                cache = prefill(self.state, tokens, lengths)
            n = min(_PIECE, max(made.length - held, 1))
            cache, fresh = extend(self.state, cache, jax.random.fold_in(key, longest), n)
            rows = [
                np.concatenate([row, more[:left]]) for row, more in zip(rows, np.asarray(fresh), strict=True)
            ]
            held, left = held + n, left - n
            yield rows

    def recommend(self, x: Any, top: int = 20, seen: Any = None) -> Recommended:
        """What fits each user best, without what they have already.

        Args:
            x: the items of each user, as `kind.rows` takes them: lists of names.
            top: how many items.
            seen: what is to be left out beside, such as items that a user did not like; None: x alone.
        """
        if top < 1:
            raise UserError(f"top={top} must be at least 1")
        top, rows = min(top, self.kind.size), self.kind.rows(x)
        known = [rows] if seen is None else [rows, self.kind.rows(seen)]
        widths = [1 << int(r.lengths.max(initial=1) - 1).bit_length() for r in known]  # few are compiled
        taken = np.concatenate([r.padded(w, False) for r, w in zip(known, widths, strict=True)], axis=1)
        told = rows.shortened(self.kind.length).padded(self.kind.length, self.kind.counted)
        popular = np.asarray(self.kind.frequency, np.float32)
        found = self._map(
            _recommending(self.functions.recommend, self.kind.size, top), (told, taken), popular
        )
        scores, at = found[:, :top], found[:, top:].astype(int)
        names = np.array([*self.kind.names, ""], object)
        return Recommended(names[np.where(np.isfinite(scores), at, -1)], scores, rows.lengths == 0)

    def similar(self, what: str, top: int = 10) -> list[tuple[str, float]]:
        """The items nearest to one, best first, with the cosines between their embeddings.

        Raises:
            UserError: no such item.
        """
        names = self.kind.names
        if what not in names:
            raise UserError(f"there is no item {what!r}; {closest(what, names)}")
        e = self.embeddings
        cosines = e @ e[names.index(what)]
        cosines[names.index(what)] = -np.inf
        return [
            (names[i], float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[: min(top, len(e) - 1)]
        ]

    def topics(self, words: int = 10) -> list[list[tuple[str, float]]]:
        """The words of each topic with their weights, the heaviest first; those that weigh nothing are left out.

        Raises:
            UserError: fewer words than one.
        """
        if words < 1:
            raise UserError(f"{words=} must be at least 1")
        found = np.asarray(_compiled(self.functions.topics)(self.state))
        order = np.argsort(-found, axis=1, kind="stable")[:, :words]
        return [
            [(self.kind.names[i], float(row[i])) for i in at if row[i] > 0]
            for at, row in zip(order, found, strict=True)
        ]

    @functools.cached_property
    def embeddings(self) -> np.ndarray:
        """Of all items, less their mean (which all that is popular shares) and of length 1, float32 `[V, D]`."""
        self.similar  # noqa: B018  refuses
        found = np.asarray(_compiled(self.functions.items)(self.state))
        found = found - found.mean(axis=0)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    def interpolate(self, n: int, steps: int = 10, seed: int = 0) -> Any:
        """What lies between n pairs of samples, `[n, steps, ...]` in the user's units; of tables rows in that order."""
        if n < 1 or steps < 2:
            raise UserError(f"n={n} must be at least 1 and steps={steps} at least 2")
        draw = _interpolating(self.functions.interpolate, n, steps)
        x = np.asarray(draw(self.state, jax.random.key(seed)))
        made = self.restored(x.reshape(n * steps, *x.shape[2:]))
        return made.reshape(x.shape[:2] + made.shape[1:]) if isinstance(made, np.ndarray) else made

    def prototypes(self) -> Any:
        """What stands for each cluster or unit, `[K, ...]` in the user's units."""
        return self.restored(np.asarray(self.functions.prototypes(self.state)))

    def figure(self, name: str, x: Any = None, labels: Any = None, **arguments: Any):
        """A figure, as a run draws them, of data.

        Args:
            name: of `unsupjax.evaluate.FIGURES`, or "learning_curves".
            x: the examples that are shown; not for "learning_curves", and of no use to figures of samples.
            labels: the class of each, names or indices of `class_names`, for figures that show them.
            **arguments: of the figure.

        Returns:
            A matplotlib Figure.
        """
        drawn: list = []
        if name == "learning_curves":
            learning_curves(self.folder / "metrics.jsonl", drawn.append)
            return drawn[0]
        judge = choose("figure", name, FIGURES)
        subject = self._subject(x, labels)
        for need in judge.needs:
            if need in ("labels", "train labels") and labels is None:
                raise UserError(f"the figure {name!r} shows classes: give labels")
        judge.run(subject, drawn.append, **arguments)
        return drawn[0]

    def _subject(self, x: Any, labels: Any) -> Subject:
        """The examples as what evaluators judge."""
        x = self._blank(1) if x is None else np.asarray(_seer(self.kind.see)(self._prepared(x)))
        codes = self._map(coding(self.functions.encode), x)
        y, names = self._labels(labels, len(x))
        key = jax.random.key(self._plan.seed)
        return Subject(self.functions, self.state, key, x, y, x, y, codes, codes, names, kind=self.kind)

    def _labels(self, labels: Any, n: int) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
        if labels is None:
            return None, self.class_names
        y = np.asarray(labels)
        if y.shape != (n,):
            raise UserError(f"labels are of shape {y.shape}, and there are {n} examples")
        if y.dtype.kind in "iu":
            return y.astype(np.int32), self.class_names if y.max() < len(self.class_names or ()) else None
        names = self.class_names or tuple(sorted(set(map(str, y))))
        for label in set(map(str, y)) - set(names):
            raise UserError(f"label {label!r} is no class; {nearest(label, names)}")
        return np.array([names.index(str(label)) for label in y], np.int32), names

    @property
    def _coder(self) -> tuple[Callable, Callable | None]:
        return self.functions.encode, self.functions.decode

    @functools.cached_property
    def width(self) -> int:
        """Of a code."""
        return jax.eval_shape(self.functions.encode, self.state, self._blank(1)).shape[1]

    def _blank(self, n: int) -> np.ndarray:
        """n seen examples of zeros."""
        example = self.kind.example()
        return np.zeros((n, *example.shape), example.dtype)

    def _prepared(self, x: Any) -> np.ndarray:
        """As it is stored: what every function of the method takes."""
        if isinstance(self.kind, Images):
            x = np.asarray(x)
            if x.shape == self.kind.shape:
                raise UserError(f"one picture of shape {x.shape}; pictures are [N, H, W, C]: give x[None]")
        return self.kind.prepare(x)

    def restored(self, seen: np.ndarray, like: Any = None) -> Any:
        """What functions of the method gave, in the user's units, and in the form that came in."""
        made = self.kind.restore(seen)
        if not isinstance(self.kind, Table):
            return made
        if hasattr(like, "iloc"):
            return type(like)({name: made[str(name)] for name in like}, index=like.index)
        if (
            self.kind.numbers_alone
            and not isinstance(like, Mapping)
            and (like is not None or not self.kind.named)
        ):
            return np.stack(list(made.values()), axis=1)
        return made

    def _map(self, fn: Callable, x: Any, *args: Any) -> np.ndarray:
        """`fn(state, *args, batch)` over batches of one size, divided over the devices."""
        n, size = len(jax.tree.leaves(x)[0]), self.batch_size
        divided = NamedSharding(self._mesh, PartitionSpec(AXIS if size % self._mesh.size == 0 else None))
        apply, made = _compiled(fn), []
        for start in range(0, max(n, 1), size):
            part = jax.tree.map(functools.partial(_part, start=start, size=size), x)
            made.append(apply(self.state, *args, jax.device_put(part, divided)))
            if len(made) > 1:  # the next is computed while one is fetched
                made[-2] = np.asarray(made[-2])
        return np.concatenate([np.asarray(rows) for rows in made])[:n]

    def __repr__(self) -> str:
        kind = f"{self.kind.name} of shape {self.kind.shape}"
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        return (
            f"<{self.name} of {kind}{classes}, step {self.step}, {self.folder}: {', '.join(self.abilities)}>"
        )

    def _repr_html_(self) -> str:
        rows = {
            "method": self.name,
            "data": f"{self.source}: {self.kind.name} of shape {self.kind.shape}",
            "classes": ", ".join(self.class_names or ()) or "none",
            "step": str(self.step),
            "folder": str(self.folder),
            "can": ", ".join(self.abilities),
        }
        cells = "".join(f"<tr><th>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"


def _part(x: np.ndarray, start: int, size: int) -> np.ndarray:
    """`size` examples from `start` on, the last ones filled up with the first; of none at all zeros."""
    part = x[start : start + size]
    if len(part) == size:
        return part
    filled = np.zeros((size, *x.shape[1:]), x.dtype)
    filled[: len(part)], filled[len(part) :] = part, part[0] if len(part) else 0
    return filled


@functools.lru_cache(maxsize=64)
def _compiled(fn: Callable) -> Callable:
    return jax.jit(fn)


@functools.lru_cache(maxsize=8)
def _seer(see: Callable) -> Callable:
    return jax.jit(see)


@lasting
def _reconstructing(encode: Callable, decode: Callable) -> Callable:
    return lambda state, x: decode(state, encode(state, x))


@lasting
def _filling(fill: Callable) -> Callable:
    return lambda state, key, examples: filling(fill)(state, key, examples).x


@lasting
def _scoring(encode: Callable, decode: Callable, see: Callable) -> Callable:
    error = squared_error(encode, decode)
    return lambda state, x: error(state, see(x))


@lasting
def _imputing(impute: Callable) -> Callable:
    return lambda state, rows: impute(state, *rows)


@lasting
def _bounding(log_prob: Callable, samples: int) -> Callable:
    def bound(state, key, batch):
        index, x = batch
        one = lambda i, x: log_prob(state, jax.random.fold_in(key, i), x[None], samples)[0]
        return jax.vmap(one)(index, x)

    return bound


@lasting
def _recommending(recommend: Callable, size: int, top: int) -> Callable:
    """`(state, popularity, (told, taken)) -> [B, 2 top]`: the best scores, and behind them the numbers of the items."""

    def best(state, popular, rows):
        told, taken = rows
        cold = dense(told, size).sum(axis=1, keepdims=True) == 0
        scores = jnp.where(cold, popular[None], recommend(state, told))
        scores, at = jax.lax.top_k(jnp.where(dense(taken, size) > 0, -jnp.inf, scores), top)
        return jnp.concatenate([scores, at.astype(jnp.float32)], axis=1)

    return best


def _drawing(tokens: int, temperature: float, top_k: int, top_p: float) -> tuple[float, int, float]:
    """How tokens are drawn; UserError for a number out of its range."""
    if tokens < 1 or temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise UserError(
            f"{tokens=} must be at least 1, {temperature=} and {top_k=} at least 0, and {top_p=} in (0, 1]"
        )
    return float(temperature), top_k, float(top_p)


@lasting
def _extending(extend: Callable, *drawn: Any) -> Callable:
    return jax.jit(lambda state, cache, key, n: extend(state, cache, key, n, *drawn), static_argnums=3)


@lasting
def _sampling(sample: Callable, n: int) -> Callable:
    return jax.jit(lambda state, key: sample(state, key, n))


@lasting
def _interpolating(interpolate: Callable, n: int, steps: int) -> Callable:
    return jax.jit(lambda state, key: interpolate(state, key, n, steps))
