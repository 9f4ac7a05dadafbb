"""Opens a data set by its name: one string, whatever it is stored in."""

import functools
import inspect
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from unsupjax.data import tiles, tokenizers
from unsupjax.data.bags import SparseSplit
from unsupjax.data.files import is_remote
from unsupjax.data.kinds import Arrays, Images, Kind, Table, Windows, images
from unsupjax.data.kinds import table as tables
from unsupjax.data.kinds.columns import CATEGORIES, Index
from unsupjax.data.kinds.tokens import LAYOUTS, fit_tokens
from unsupjax.data.members import CHANGED, Members, members, rejoined
from unsupjax.data.pictures import ALPHAS
from unsupjax.data.sources.baskets import as_baskets
from unsupjax.data.sources.bow import open_bow
from unsupjax.data.sources.columnar import open_arrow, open_parquet
from unsupjax.data.sources.csv import open_csv
from unsupjax.data.sources.digits import open_digits
from unsupjax.data.sources.folder import SUFFIXES as PICTURES
from unsupjax.data.sources.folder import open_folder
from unsupjax.data.sources.npz import open_npy, open_npz
from unsupjax.data.sources.photographs import open_photographs
from unsupjax.data.sources.ratings import open_ratings
from unsupjax.data.sources.tar import open_tar
from unsupjax.data.sources.text import TEXTS, open_column
from unsupjax.data.sources.tfds import open_tfds
from unsupjax.data.sources.toy import open_toy
from unsupjax.data.splits import ArraySplit, Parts, Split, labels_at_hand
from unsupjax.data.windowed import (
    CLASSES,
    Windowed,
    check_members,
    cut,
    members_of,
    open_series,
    open_simulated,
    refuse,
)
from unsupjax.data.words import STOP_WORDS
from unsupjax.errors import UserError, choose, nearest

SOURCES = {
    "arrow": open_arrow,
    "bow": open_bow,
    "csv": open_csv,
    "digits": open_digits,
    "folder": open_folder,
    "npy": open_npy,
    "npz": open_npz,
    "parquet": open_parquet,
    "photographs": open_photographs,
    "plant": open_simulated,
    "ratings": open_ratings,
    "series": open_series,
    "tar": open_tar,
    "tfds": open_tfds,
    "toy": open_toy,
} | TEXTS
_NUMBER = re.compile(r"-?\d+")  # the name of a class of whole numbers
ALWAYS_THERE = ("digits", "docstrings", "photographs", "plant")  # which need no path
DOWNLOADS = ("tfds",)  # what may fetch and prepare its data first: one process does, the others wait

SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".arrow": "arrow", ".npy": "npy",
    ".npz": "npz", ".tar": "tar",
}  # fmt: skip


class Source(NamedTuple):
    """A data set, opened.

    Attributes:
        name: the source string.
        kind: what one example is; its `see` gives what a method is trained on.
        train: random access to the training examples: `len(train)`, `train[i] -> (x, label)`, where x is a
            numpy array as `kind` stores it (uint8 `[H, W, C]` for an image, float32 `[D]` for a row) and label an
            index into `label_names`, or None.
        test: the same for the held-out examples.
        label_names: the names of the classes, or None where there are no labels.
        normal: the indices of the normal classes among them, for anomaly detection; None: not said.
        members: `() -> Members`, which example went where; it reads all of an array.
    """

    name: str
    kind: Kind
    train: Split
    test: Split
    label_names: tuple[str, ...] | None
    normal: tuple[int, ...] | None = None
    members: Callable[[], Members] | None = None


def open_source(
    source: str,
    *,
    holdout: float = 0.2,
    split_seed: int = 0,
    stratified: bool = True,
    changed: str = "refuse",
    standardise: bool = True,
    label_column: str = "",
    leave_out: tuple = (),
    header: str = "auto",
    delimiter: str = "",
    normal_label: tuple = (),
    contaminated: bool = False,
    image_size: int = 0,
    tile: int = 0,
    grey: bool = False,
    data_dir: str = "",
    missing: bool = False,
    columns: str = "numbers",
    categories: tuple = (),
    strange: bool = False,
    embedded: int = 0,
    numbers: str = "standardised",
    examples: int = 0,
    unreadable: float = 0.01,
    alpha: str = "white",
    value_range: tuple = (),
    channels_first: bool = False,
    as_arrays: bool = False,
    text_column: str = "",
    split_column: str = "",
    tokenizer: str = "chars",
    vocabulary: int = 0,
    context: int = 128,
    layout: str = "documents",
    ngrams: int = 1,
    stop_words: str = "",
    min_df: int = 2,
    max_df: float = 1.0,
    in_order: bool = False,
    user_column: str = "",
    item_column: str = "",
    rating_column: str = "",
    time_column: str = "",
    threshold: float = 0.0,
    min_items: int = 1,
    min_users: int = 1,
    leave_last: bool = False,
    longest: int = 0,
    window: int = 0,
    stride: int = 1,
    train_end: str = "0.3",
    resample: str = "",
    gap: int = 5,
    timezone: str = "",
    intervals: str = "",
    kind: Kind | None = None,
    known: Members | None = None,
) -> Source:
    """Opens a data set.

    Args:
        source: one of
            `digits` (scikit-learn's 8x8 digits);
            `photographs` (scikit-learn's two, cut into tiles);
            `tfds:NAME[/CONFIG][:VERSION]` (TensorFlow Datasets: array_record or TFRecord directories);
            `npz:PATH` (arrays x_train, y_train, x_test, y_test; or X (or x) and y; labels are optional);
            `npy:PATH` (inputs only);
            `toy:ring8`, `toy:grid25` (Gaussians in the plane, for generative models);
            `folder:PATH` (images in class folders or flat, or below train and test or val);
            `tar:PATH` (shards of images as webdataset writes them: a file, a folder, `shards-{000..012}.tar`);
            `parquet:PATH` (a file or a folder), `arrow:PATH` (what Hugging Face's `save_to_disk` wrote): numbers, texts
            and dates, or vectors, or images;
            `csv:PATH` (columns of numbers, or of any type where `columns` says so; with a header line or without);
            `text:PATH` (a text, a folder of them, or `*.txt`), `lines:PATH` (a text a line), `docstrings` (of SciPy);
            `bow:` in front of any of texts, or of a table with its `text_column`: how often each text has each word;
            `bow:PATH.npz` (what `scipy.sparse.save_npz` wrote, beside it `vocab.txt`, a word a line; beside
            `train_bow.npz` also `train_labels.txt`, `test_bow.npz` and `test_labels.txt`);
            `ratings:PATH` (csv or parquet: who took what, a pair a row);
            `series:PATH` (time series: csv, parquet or npy, a column a channel; of a folder, a series a file), `plant`
            (a simulated one with faults).
        holdout: the fraction of the examples that becomes the test split where the source has none itself.
        split_seed: seeds the choice of the held-out examples.
        stratified: hold out the same share of every class, as far as it goes. (Where labels are known without reading
            the records, which those of tfds are not.)
        changed: of a data set that is not what a run began with: "refuse" it, or "keep" all examples that the run knows
            in their split, and divide new ones by `holdout`.
        standardise: whether tables are shifted and scaled to mean 0 and standard deviation 1 of each feature
            of the training split (constant features are only shifted). Never applies to images.
        label_column: of a table in a file, the name or the index (from 0; negative from the end) of the label column.
        leave_out: names of columns that are not read.
        header: of a csv, whether its first line names the columns: "yes", "no", or "auto".
        delimiter: of a csv, what stands between fields; "": a tab, semicolon, bar or comma, as it divides all lines.
        normal_label: for anomaly detection: the class or classes of normal examples, as they are written there, a
            text or a number. One-class learning: train only on examples of these, and test on the held-out ones of
            them and all others. A source with a test split of its own keeps that one whole as the test.
        contaminated: train on anomalies as well, as where nobody knows which examples they are.
        image_size: of folder and tfds images, their height and width in pixels: the shorter side is resized
            (bilinear, antialiased) and the centre cropped. 0 leaves them as they are stored.
        tile: of folders of pictures, which may be of any size, and of photographs: an example is a square tile of so
            many pixels, cut out of a picture; those of a picture are all in one split, and those of a single picture
            in both. 0: an example is a picture.
        grey: of these, leave colours out.
        data_dir: where tfds data sets are; "" means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets.
        missing: allow NaN (in a csv also empty fields, "NA" and "?"): entries of a table that were not observed, for
            methods with an argument of this name.
        columns: of a csv, "numbers", or "mixed": columns of texts are categories or dates (2024-12-31, with or without
            hours, or 31.12.2024), and numbers without fractions that take at most 10 values are categories as well.
        strange: of a table with categories, those of the training split alone are known, and another one is none of
            them, for methods that say how strange that is; False: it is refused.
        embedded: of a table, categories of more values than this, up to 100,000, are stored by their places among
            these, for methods that embed them (`mixed_rows`); 0: all have an entry a value, of which there may be
            1,000.
        numbers: of a table, "standardised", as `standardise` says, or by their "modes", for methods that ask for them
            (`unsupjax.data.kinds.Modes`): a missing number is a mode of its own.
        categories: names of the columns of a table whose values are categories, whatever they look like.
        examples: keep at most this many training examples, drawn at random by `split_seed`; 0: all.
        unreadable: of folder and tfds images: the greatest fraction of a split, as it is stored, that may be
            unreadable. Each such image is skipped with a warning that names it; one that has a sound header is found
            out when it is decoded, and the next readable example of its split stands in its place, so that batches
            keep their shape and every feed sees the same examples. More are refused.
        alpha: of folders of images, what becomes of transparency: the picture is put on "white" or "black", or with
            "keep" all have a fourth channel.
        value_range: of arrays of pictures that are not uint8, the values of black and of white, such as (0, 65535) or
            (-1.0, 1.0): they are scaled to [0, 1]. (): floating ones must lie in [0, 1] already.
        channels_first: arrays of pictures are `[N, C, H, W]`.
        as_arrays: floating arrays of the shape of pictures are none: they are taken as they are.
        text_column: of a table in a file, the column of the texts that are learnt from, and no other but the labels.
        split_column: of such a table, and of ratings, the column that says train or test; "": some are held out. (Rows
            that say something else are left out, such as the users for validation; a user is in one split.)
        tokenizer: of texts: "chars", "bytes", "bpe" or "wordpiece", which learn from the training texts, or the path of
            a `tokenizer.json`.
        vocabulary: of texts, the most tokens that there may be; 0: all characters, 4,096 of "bpe" and "wordpiece". Of
            `bow`, the most words, those that are counted most; 0: all.
        context: of texts, tokens of an example, beside the one that it starts with.
        layout: of texts: "documents", an example for each, its first tokens; or "packed": all of them behind each
            other, cut into examples (without labels).
        ngrams: of `bow`: 1 to so many words behind each other are counted.
        stop_words: of `bow`: "english", words that are not counted (scikit-learn's list); "": all are.
        min_df: of `bow`: in how many training texts a word is at least, if it is counted.
        max_df: of `bow`: in which fraction of them it is at most.
        in_order: of `bow:` of texts: an example is its words in reading order, as what looks at neighbours needs it.
        user_column: of ratings, the column of users; "": one with a usual name, such as user, user_id or userId. Where
            no line names the columns, these are users, items, ratings and times.
        item_column: of ratings, the column of items, likewise (item, item_id, movieId, product_id).
        rating_column: of ratings, the column of ratings, likewise (rating, score), if there is any.
        time_column: of ratings, the column of times, numbers or dates, likewise (timestamp, date), if there is any. A
            basket is in the order of time; of pairs that repeat a user and an item, the last one counts. Of series
            likewise: rows are sorted by time, of rows of one time the mean counts; without times rows are in order.
        threshold: of ratings: pairs with a lower one are left out; 0: none.
        min_items: of ratings: users of fewer items are left out, and with
        min_users: items of fewer users, again and again until all that are left have enough.
        leave_last: of ratings with times: no user is held out; every user's last item is. Test examples are baskets in
            order, the last item behind all others.
        longest: of `bow` and ratings, the most items of an example: the most frequent in it, or the last ones (of texts
            `in_order` the first); 0: all.
        window: of series, W, the steps of an example; 0: two periods of the first channel that has one.
        stride: of series, steps between two training examples; all of them are tested, at every step.
        train_end: of series, where the training part ends, the first of time: a fraction of the steps (with a point), a
            number of steps, or a date. Windows of training lie before it; scaling is fitted there.
        resample: of series, the grid that rows are brought to, "5min", seconds, or "auto", the median step: the mean of
            the rows of a step, and missing without any. "": a row is a step, whenever it was.
        gap: of series, how many missing steps behind each other are interpolated; no window reaches over more.
        timezone: of series, that of times without an offset from UTC, such as "Europe/Berlin".
        intervals: of series, a JSON file of the anomalous intervals, both ends inclusive: `[[start, end], ...]` or
            `{"FILE.csv": [[start, end], ...]}`. Without it a column named label, is_anomaly or anomaly has labels,
            1 where a step is anomalous.
        kind: what an example is, in place of what the training split says: that of the `Source` that a model was
            trained on. Passed by programs, not by users.
        known: the members of the data set that an earlier run found, likewise.

    Returns:
        The `Source`; the same arguments always give the same splits.

    Raises:
        UserError: a source that does not exist, cannot be read or does not suit the arguments.
    """
    form, path = form_of(source_of(source))
    if not 0 <= holdout < 1:
        raise UserError(f"config.data.holdout={holdout} must be a fraction: at least 0 and less than 1")
    if not 0 <= unreadable < 1:
        raise UserError(f"config.data.unreadable={unreadable} must be a fraction: at least 0 and less than 1")
    if examples < 0:
        raise UserError(f"config.data.examples={examples} must be 0 (all) or more")
    if image_size < 0:
        raise UserError(f"config.data.image_size={image_size} must be 0 (as they are) or more")
    tiles.check_tile(tile)
    if tile and image_size:
        raise UserError(f"config.data.tile={tile} and config.data.image_size={image_size}: leave one out")
    if longest < 0:
        raise UserError(f"config.data.longest={longest} must be 0 (all) or more")
    choose("config.data.stop_words", stop_words, dict.fromkeys(STOP_WORDS))
    choose("config.data.columns", columns, dict.fromkeys(("numbers", "mixed")))
    choose("config.data.numbers", numbers, dict.fromkeys(("standardised", "modes")))
    choose("config.data.changed", changed, dict.fromkeys(CHANGED))
    choose("config.data.alpha", alpha, dict.fromkeys(ALPHAS))
    given = {
        "image_size": image_size,
        "tile": tile,
        "grey": grey,
        "label_column": label_column,
        "leave_out": tuple(leave_out),
        "header": header,
        "delimiter": delimiter,
        "data_dir": data_dir,
        "missing": missing,
        "unreadable": unreadable,
        "alpha": alpha,
        "columns": columns,
        "user_column": user_column,
        "item_column": item_column,
        "rating_column": rating_column,
        "time_column": time_column,
        "threshold": threshold,
        "min_items": min_items,
        "min_users": min_users,
        "leave_last": leave_last,
        "window": window,
        "stride": stride,
        "train_end": train_end,
        "resample": resample,
        "gap": gap,
        "timezone": timezone,
        "intervals": intervals,
    }
    if text_column:  # of a table, whatever its other columns are
        given = _of_text_column(given)
    taken = options_of(form, given)
    # Where they are numbers already, they are told to the kind alone.
    if "categories" in inspect.signature(SOURCES[form]).parameters:
        taken["categories"] = tuple(categories)
    asked = inspect.signature(SOURCES[form]).parameters
    taken |= {k: v for k, v in (("text_column", text_column), ("split_column", split_column)) if k in asked}
    if text_column and form not in ("arrow", "bow", "csv", "parquet"):
        raise UserError(
            f"config.data.text_column={text_column!r} is for tables in files, not {source!r}; leave it out"
        )
    if text_column and "text_column" not in asked:
        parts = open_column(source, form, path, text_column, label_column, split_column, header, delimiter)
    else:
        parts = SOURCES[form](source, path, **taken)
    if isinstance(parts, Windowed):
        beside = {"holdout": holdout, "examples": examples, "contaminated": contaminated, "missing": missing}
        refuse(
            source, beside, {name: inspect.signature(open_source).parameters[name].default for name in beside}
        )
        return _of_series(source, parts, kind, known, changed, standardise)
    texts = {
        "split_column": split_column,
        "tokenizer": tokenizer,
        "vocabulary": vocabulary,
        "context": context,
    }
    texts |= {"layout": layout}
    words = {"ngrams": ngrams, "stop_words": stop_words, "min_df": min_df, "max_df": max_df}
    bags = form == "bow" or isinstance(parts.train, SparseSplit)
    takes = {"vocabulary": form == "bow", "split_column": "split_column" in asked}
    _check_texts(source, parts, {k: v for k, v in texts.items() if not takes.get(k)}, bags)
    _check_bags(source, form, bags, words | {"longest": longest, "in_order": in_order})
    as_arrays = as_arrays or isinstance(kind, Arrays)
    parts = _channels_last(source, parts, channels_first, as_arrays)
    normal = _normal(source, parts.label_names, normal_label)
    if contaminated and normal is None:
        raise UserError(
            "config.data.contaminated=True needs to know what is normal: set config.data.normal_label"
        )
    labels = parts.train.labels() if normal and not contaminated else labels_at_hand(parts.train)
    kept = np.isin(labels, normal) if normal and not contaminated else np.ones(len(parts.train), bool)
    share = holdout if parts.test is None else 0.0
    divide = lambda rows, rng: _divided(rows, kept, labels if stratified else None, share, rng)
    train_rows, test_rows, new = _rows(source, parts, divide, split_seed, examples, known, changed)
    if tile and len(parts.train) == 1 and parts.test is None:
        train_rows = test_rows = np.zeros(1, np.int64)
    train = parts.train if len(train_rows) == len(parts.train) else parts.train.select(train_rows)
    test = parts.train.select(test_rows) if parts.test is None else parts.test
    for name, split in (("training", train), ("test", test)):
        if not len(split):
            alone = len(parts.train) == 1 and parts.test is None
            mend = "it holds one example, and needs two" if alone else f"change config.data.holdout={holdout}"
            raise UserError(f"{source}: the {name} split is empty; {mend}")
    if tile:
        train, test = (tiles.cut(source, split, tile) for split in (train, test))
    # A kind that is given replaces the one found: modes, which take long, are not looked for.
    options = {
        "categories": tuple(categories),
        "numbers": "standardised" if kind else numbers,
        "standardise": standardise,
        "missing": missing,
        "strange": strange,
        "embedded": embedded,
        "value_range": tuple(value_range),
        "as_arrays": as_arrays,
    }
    if bags:
        baskets, *splits = as_baskets(
            source, train, test, kind, longest, words | {"vocabulary": vocabulary}, in_order
        )
        baskets = baskets._replace(leave_last=leave_last)
        tested = test_rows if parts.test is None else None
        found = functools.partial(members, parts, train_rows, tested) if new else lambda: known
        return Source(source, baskets, *splits, parts.label_names, normal, found)
    if _is_text(parts):
        return _of_texts(source, parts, train, test, train_rows, test_rows, new, known, kind, normal, texts)
    found = _kind_of(source, parts, train, options)
    if kind is not None:
        _check_kind(source, kind, found)
    else:
        _check_names(source, found, len(train))
    kind = kind or found
    tested = test_rows if parts.test is None else None
    found = functools.partial(members, parts, train_rows, tested) if new else lambda: known
    return Source(source, kind, _stored(kind, train), _stored(kind, test), parts.label_names, normal, found)


def source_of(text: str) -> str:
    """A source string: as it is, or of a plain path by its suffix and by what a folder holds.

    Raises:
        UserError: a file of no known form.
    """
    form, _, _ = text.partition(":")
    if form in SOURCES:  # "digits" too, whatever folder may have that name
        return text
    path = os.path.expanduser(text)
    suffix = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    if os.path.isdir(path):
        return f"{_form_of_folder(path)}:{path}"
    if suffix in SUFFIXES and (is_remote(path) or os.path.exists(path)):
        return f"{SUFFIXES[suffix]}:{path}"
    if suffix in PICTURES and os.path.isfile(path):
        return f"folder:{path}"
    if not os.path.exists(path):
        return text
    raise UserError(
        f"{text} has no suffix that says what it holds; {nearest(suffix, SUFFIXES)}, pictures, or say it: csv:{text}"
    )


def _of_text_column(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that a column of texts takes; any other must have its default."""
    usual = inspect.signature(open_source).parameters
    taken = ("label_column", "header", "delimiter")
    for name, value in given.items():
        if name not in taken and value != usual[name].default:
            raise UserError(
                f"config.data.{name}={value!r} says nothing of a column of texts, which config.data.text_column names; "
                "leave one out"
            )
    return {name: value for name, value in given.items() if name in taken}


def _is_text(parts: Parts) -> bool:
    return isinstance(parts.train, ArraySplit) and parts.train.x.dtype == object


def _check_texts(source: str, parts: Parts, given: dict[str, Any], bags: bool) -> None:
    usual = inspect.signature(open_source).parameters
    choose("config.data.layout", given["layout"], dict.fromkeys(LAYOUTS))
    for name, value in given.items():
        if bags and value != usual[name].default:
            raise UserError(
                f"config.data.{name}={value!r} is for texts as tokens, not {source!r}; leave it out"
            )
        if not _is_text(parts) and value != usual[name].default:
            raise UserError(
                f"config.data.{name}={value!r} is for texts, and {source!r} holds none; leave it out, or name a "
                "config.data.text_column"
            )
    if given["context"] < 1:
        raise UserError(f"config.data.context={given['context']} must be at least 1")


def _check_bags(source: str, form: str, bags: bool, given: dict[str, Any]) -> None:
    usual = inspect.signature(open_source).parameters
    for name, value in given.items():
        if value != usual[name].default and not (form == "bow" or (bags and name == "longest")):
            what = "bow: and ratings: sources" if name == "longest" else "bow: sources"
            raise UserError(f"config.data.{name}={value!r} is for {what}, not {source!r}; leave it out")


def _check_length(source: str, texts, options: dict[str, Any]) -> None:
    """Refuses packed texts that do not fill one example."""
    size = sum(len(text.encode(errors="surrogateescape")) + 1 for text in texts)
    if options["layout"] == "packed" and size < options["context"] + 1:
        raise UserError(
            f"{source}: the training texts have {size - len(texts)} bytes, fewer than an example holds tokens; choose "
            f"a smaller config.data.context={options['context']}, or more text"
        )


def _of_texts(
    source: str, parts: Parts, train, test, train_rows, test_rows, new, known, kind, normal, options
) -> Source:
    """Texts as tokens: documents with their labels, or packed."""
    if kind is None:
        _check_length(source, train.x, options)
        if options["tokenizer"] != "bytes":
            tokenizers.check_unicode(train.x, source)
        learnt = tokenizers.fit(options["tokenizer"], list(train.x), options["vocabulary"])
        kind = fit_tokens(options["context"] + 1, learnt, options["layout"])
    packed = kind.layout == "packed"
    made = [
        ArraySplit(kind.packed(s.x), None) if packed else ArraySplit(kind.prepare(s.x), s.y)
        for s in (train, test)
    ]
    tested = test_rows if parts.test is None else None
    found = functools.partial(members, parts, train_rows, tested) if new else lambda: known
    return Source(source, kind, *made, None if packed else parts.label_names, normal, found)


def _of_series(
    source: str, found: Windowed, kind: Kind | None, known: Members | None, changed: str, standardise: bool
) -> Source:
    """Windows: those of the training part, and all of them."""
    if kind is not None and not isinstance(kind, Windows):
        raise UserError(
            f"{source} holds series, and the model was trained on {kind.name} of shape {kind.shape}"
        )
    kind, train, test = cut(source, found, kind, standardise)
    made = members_of(test)
    if known is not None:
        check_members(source, known, made, changed)
    names = None if train.timeline.labels is None else CLASSES
    return Source(source, kind, train, test, names, names and (0,), lambda: made)


def _form_of_folder(path: str) -> str:
    for _, _, names in os.walk(path):
        for suffix in (".parquet", ".arrow", ".tar"):
            if any(name.endswith(suffix) for name in names):
                return SUFFIXES[suffix]
    return "folder"


def downloads(source: str) -> bool:
    """Whether opening it may fetch data first."""
    return source.partition(":")[0] in DOWNLOADS


def form_of(source: str) -> tuple[str, str]:
    """The form of a source and its path."""
    form, _, path = source.partition(":")
    if form not in SOURCES:
        raise UserError(
            f"config.data.source={source!r}: there is no such file or folder, and no kind {form!r}; "
            f"{nearest(form, SOURCES)}; a source is a path, 'digits' or KIND:PATH, for example 'tfds:mnist'"
        )
    if bool(path) == (form in ALWAYS_THERE):
        usual = (
            repr(form)
            if form in ALWAYS_THERE
            else f"'{form}:{'NAME' if form in ('tfds', 'toy') else 'PATH'}'"
        )
        raise UserError(f"config.data.source={source!r} should have the form {usual}")
    return form, path if form == "tfds" else os.path.expanduser(path)


def options_of(form: str, given: Mapping[str, Any], strict: bool = True) -> dict[str, Any]:
    """Those of the settings that sources of this form take; where it is strict, any other must have its default."""
    taken = {f: inspect.signature(opener).parameters for f, opener in SOURCES.items()}
    usual = inspect.signature(open_source).parameters
    for name, value in given.items():
        if strict and name not in taken[form] and value != usual[name].default:
            forms = " and ".join(f for f, names in taken.items() if name in names)
            raise UserError(
                f"config.data.{name}={value!r} is for {forms} sources, not {form!r}; leave it out"
            )
    return {name: value for name, value in given.items() if name in taken[form]}


def _rows(
    source: str, parts: Parts, divide: Callable, seed: int, examples: int, known: Members | None, changed: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Positions of training and of held-out examples, and whether some were not `known`."""
    rng = np.random.default_rng(seed)
    if known is None:
        train, test = divide(np.arange(len(parts.train)), rng)
        if 0 < examples < len(train):
            train = train[np.sort(rng.permutation(len(train))[:examples])]
        return train, test, True
    old_train, old_test, fresh = rejoined(source, known, parts, changed)
    train, test = divide(fresh, rng)
    train = train[:0] if examples else train
    return np.union1d(old_train, train), np.union1d(old_test, test), bool(len(fresh))


def _divided(
    rows: np.ndarray, kept: np.ndarray, labels: np.ndarray | None, holdout: float, rng
) -> tuple[np.ndarray, np.ndarray]:
    """Train and test, positions in order: a random part of those `rows` that are `kept` is tested, beside all others.

    With labels, every class gives the same share.
    """
    order, others = rng.permutation(rows[kept[rows]]), rows[~kept[rows]]
    if labels is not None:
        # Each at its place in its own class, from 0 to 1: the first of all of these are held out.
        classes = np.argsort(labels[order], kind="stable")
        sizes = np.bincount(labels[order])
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        place = np.empty(len(order))
        place[classes] = (np.arange(len(order)) - starts + 0.5) / np.repeat(sizes, sizes)
        order = order[np.argsort(place, kind="stable")]
    n_test = round(len(order) * holdout)
    return np.sort(order[n_test:]), np.sort(np.concatenate([order[:n_test], others]))


def _normal(source: str, names: tuple[str, ...] | None, labels: Any) -> tuple[int, ...] | None:
    """The indices of the classes that a user calls normal; None where nothing is said."""
    labels = labels if isinstance(labels, tuple | list) else (labels,)
    if not labels:
        return None
    if names is None:
        raise UserError(f"config.data.normal_label={_shown(labels)} needs labels, and {source!r} has none")
    normal = tuple(dict.fromkeys(_class_index(names, label) for label in labels))
    if len(normal) == len(names):
        raise UserError(
            f"config.data.normal_label={_shown(labels)} names all classes of {source!r}; leave at least one out"
        )
    return normal


def _class_index(names: tuple[str, ...], label: Any) -> int:
    """Of a class as a user writes it: its name, or a number that is equal to it."""
    if str(label) in names:
        return names.index(str(label))
    if isinstance(label, bool | int | float):
        for i, name in enumerate(names):
            if _NUMBER.fullmatch(name) and float(name) == label:
                return i
    shown = [repr(name) if not _NUMBER.fullmatch(name) else name for name in names[:20]]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    raise UserError(
        f"config.data.normal_label={_shown((label,))} is no label; choices: {', '.join(shown)}{more}"
    )


def _shown(labels: tuple) -> str:
    return repr(labels[0] if len(labels) == 1 else tuple(labels))


def _channels_last(source: str, parts: Parts, channels_first: bool, as_arrays: bool) -> Parts:
    """Arrays of pictures with their channels last; refuses those that look like channels first."""
    shape = parts.train.x.shape if isinstance(parts.train, ArraySplit) else ()
    if channels_first:
        if len(shape) != 4 or shape[1] not in images.CHANNELS:
            raise UserError(
                f"config.data.channels_first=True is for arrays [N, C, H, W] with 1 to 4 channels; leave it out for "
                f"{source!r}"
            )
        turn = lambda split: split and ArraySplit(np.ascontiguousarray(np.moveaxis(split.x, 1, -1)), split.y)
        return parts._replace(train=turn(parts.train), test=turn(parts.test))
    if not as_arrays and images.is_channels_first(shape):
        raise UserError(
            f"{source}: arrays of shape {shape} look like pictures with their channels first; set "
            "config.data.channels_first=True, or config.data.as_arrays=True if they are no pictures"
        )
    return parts


def _kind_of(source: str, parts: Parts, train: Split, options: dict) -> Kind:
    """What an example of the training split is: pictures by their shape, rows by their single axis."""
    x = train.x if isinstance(train, ArraySplit) else None
    table = x is not None and bool(x.dtype.names or x.ndim == 2)
    deep = not table and x is not None and x.dtype != np.uint8  # arrays, of pictures or not
    for names, takes, what in (
        (("categories", "numbers", "strange", "embedded"), table, "tables"),
        (("value_range", "as_arrays"), deep, "arrays of pictures that are not uint8"),
    ):
        for name in names:
            if options[name] != inspect.signature(open_source).parameters[name].default and not takes:
                raise UserError(f"config.data.{name}={options[name]!r} is for {what}, and {source!r} is none")
    if x is None:
        return Images(parts.shape)
    if table:
        return _table_of(parts, train, options)
    if not deep:
        return Images(tuple(x.shape[1:]))
    if options["as_arrays"] or not (options["value_range"] or images.is_of_pictures(x.shape)):
        return Arrays(tuple(x.shape[1:]))
    return images.fit(source, x, options["value_range"])


def _table_of(parts: Parts, train: ArraySplit, options: dict) -> Table:
    x, categories, numbers = train.x, options["categories"], options["numbers"]
    whole = None  # whose categories count: those of the test split as well
    if (categories or x.dtype.names or numbers == "modes") and not options["strange"]:
        whole = parts.train.x if parts.test is None else np.concatenate([parts.train.x, parts.test.x])
    fitted = {name: options[name] for name in ("standardise", "missing", "numbers", "categories", "embedded")}
    return tables.fit(x, parts.columns, whole=whole, **fitted)._replace(strange=options["strange"])


def _check_names(source: str, found: Kind, rows: int) -> None:
    """Refuses a column whose categories are as good as names of rows: of such nothing is learnt."""
    columns = found.columns if isinstance(found, Table) else ()
    for column in columns:
        if isinstance(column, Index) and column.size > rows // 2:
            raise UserError(
                f"{source}: column {column.name!r} has {column.size} categories in {rows} training rows and seems to "
                f"name them; name it in config.data.leave_out, or group its values"
            )


def _check_kind(source: str, kind: Kind, found: Kind) -> None:
    """Refuses data of another kind or shape than a model was trained on, and columns of other names, order or type.

    Categories may be others than those of the model: a row that has one is refused where it is prepared.
    """
    if isinstance(kind, Table) and isinstance(found, Table):
        if len(kind.columns) == len(found.columns):
            return _check_columns(source, kind, found)
        shapes = [(len(found.columns),), (len(kind.columns),)]
    else:
        shapes = [found.shape, kind.shape]
    if kind.name != found.name or shapes[0] != shapes[1]:
        raise UserError(
            f"{source} holds {found.name} of shape {shapes[0]}, and the model was trained on {kind.name} of shape "
            f"{shapes[1]}"
        )


def _check_columns(source: str, kind: Table, found: Table) -> None:
    for i, (a, b) in enumerate(zip(found.columns, kind.columns, strict=True)):
        if kind.named and found.named and a.name != b.name:
            raise UserError(
                f"{source}: feature {i} (from 0) is {a.name!r}, and the model was trained on {b.name!r} there; name "
                "and order the columns as they were"
            )
        if isinstance(a, CATEGORIES) != isinstance(b, CATEGORIES):
            raise UserError(
                f"{source}: column {a.name!r} holds a {a.type}, and the model was trained on a {b.type} there"
            )


def _stored(kind: Kind, split: Split) -> Split:
    return ArraySplit(kind.prepare(split.x), split.y) if isinstance(split, ArraySplit) else split
