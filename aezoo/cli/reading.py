"""Reading of the user's own data for the commands: for a training, and for a trained model."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo import _errors
from aezoo.cli import defaults, loading
from aezoo.cli.own_data import APPLIES, KINDS, MEASURED, OPTIONS, check_applies, kind, option

if TYPE_CHECKING:
    import aezoo
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.preprocessing import Preprocessing

#: Samples that take more bytes than this are read from the files in each epoch.
_IN_MEMORY = 2**28
# Seconds before a progress bar appears.
_DELAY = 1


@dataclasses.dataclass(frozen=True)
class Own:
    """The user's own data for a training.

    Attributes:
        train: Training samples and their labels or None: arrays, or for large data a `tf.data.Dataset` and None.
        test: Test samples and their labels or None.
        preprocessing: The fitted preprocessing, or None.
        summary: Description for people of the data that were read.
        samples: Number of samples of each split, "train" and "test".
        identity: Description that differs for other data, in types of JSON.
        class_names: Names of the classes that the labels number, or None.
    """

    train: tuple[Any, Any]
    test: tuple[Any, Any]
    preprocessing: Preprocessing | None
    summary: str
    samples: Mapping[str, int]
    identity: Mapping[str, Any]
    class_names: tuple[str, ...] | None = None


def read(arguments: argparse.Namespace, batch_size: int) -> Own:
    """Read the data at `arguments.data` for a training.

    Args:
        arguments: The options of `add_reading_options`, and `data`.
        batch_size: Number of samples per batch of data that are not in memory.

    Raises:
        OSError: If the data cannot be read.
        ValueError: If the data cannot be used, or an option does not apply to them.
    """
    path = Path(arguments.data)
    form = kind(path, arguments.window)
    given = _given(arguments, form)
    if form == "array":
        return _arrays(path, batch_size, **given)
    from aezoo import datasets

    readers: dict[str, Any] = {
        "images": datasets.from_folder,
        "table": datasets.from_table,
        "series": datasets.from_series,
        "text": datasets.from_text,
    }
    with readable_errors():
        data = readers[form](path, batch_size=batch_size, **given)
    if not int(data.test.cardinality()):
        raise ValueError(f"{path} has no samples for testing: choose a larger --test-fraction.")
    batches = int(data.train.cardinality())
    identity = {"path": path.name, "batches": batches, "preprocessing": data.preprocessing.state()}
    train, test = (data.train, None), (data.test, None)
    if 4 * batches * batch_size * math.prod(data.preprocessing.sample_shape) <= _IN_MEMORY:
        train, test = ((data.arrays(split), y) for split, y in (("train", data.y_train), ("test", data.y_test)))
    summary = re.sub(r"use from_series\(window=N, time=(.*)\)\.$", r"give --window N --time \1.", data.summary)
    return Own(train, test, data.preprocessing, summary, data.samples, identity, data.class_names)


def _given(arguments: argparse.Namespace, form: str) -> dict[str, Any]:
    """Return the options of the reader that the user gave."""
    given = {name: getattr(arguments, name) for name in APPLIES if getattr(arguments, name, None) is not None}
    for name in given:
        check_applies(name, arguments.data, form)
    if getattr(arguments, "test_fraction", None) is not None:
        given["test_fraction"] = arguments.test_fraction
    if getattr(arguments, "split_seed", None) is not None:
        if form == "series":
            raise ValueError(f"The end of {arguments.data} is for testing, as of any series: leave out --split-seed.")
        given["seed"] = arguments.split_seed
    return given


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Turn errors of readers, and of the pipelines that they return, into ValueErrors that name options."""
    try:
        with _errors.readable_errors():
            yield
    except ImportError as error:  # the command line prints a ValueError as one line
        raise ValueError(str(error)) from error
    except ValueError as error:
        raise ValueError(_as_options(str(error))) from error


def _as_options(message: str) -> str:
    """Replace the arguments of a reader, or of a model, in its message by the options of the command line."""
    start = r"(?<![\w/\\.-])"  # no part of a path, such as data/label=1/x.csv
    message = re.sub(rf"{start}image_size=\((\d+), (\d+)\)", r"--image-size \1,\2", message)
    message = re.sub(rf"{start}skip_corrupt=True\b", "--skip-corrupt", message)
    message = message.replace("give the model missing='mask'", "train the model with --missing mask")
    names = "|".join(OPTIONS)
    message = re.sub(rf"{start}({names})=\[(.*?)\]", lambda found: f"{found[1]}=" + found[2].replace("'", ""), message)
    message = re.sub(rf"{start}({names})=(?=[\s.,;)]|$)", lambda found: option(found[1]), message)  # without a value
    return re.sub(rf"{start}({names})=", lambda found: f"{option(found[1])} ", message)


def _arrays(path: Path, batch_size: int, test_fraction: float = 0.2, seed: int = 0) -> Own:
    """Read samples, and labels if there are any, from a file of NumPy; a large .npy file is read in each epoch."""
    if not 0 < test_fraction < 1:
        raise ValueError(f"--test-fraction must be inside (0, 1), but it is {test_fraction:g}.")
    found = load_arrays(path)
    if {"x_train", "x_test"} <= found.keys():
        train, test = ((found[f"x_{split}"], found.get(f"y_{split}")) for split in ("train", "test"))
        how = "x_train and x_test"
    else:
        x, y = samples_of(path, found), found.get("y")
        if len(x) < 2:
            raise ValueError(f"{path} has {len(x)} samples: give at least 2, for training and testing.")
        held = min(max(1, round(test_fraction * len(x))), len(x) - 1)
        order = np.random.default_rng(seed).permutation(len(x))
        rows = np.sort(order[held:]), np.sort(order[:held])
        how = f"a random split (seed {seed})"
        if isinstance(x, np.memmap) and x.nbytes > _IN_MEMORY:
            return _memory_mapped(path, x, rows, batch_size, how, seed)
        train, test = ((np.asarray(x[part]), None if y is None else y[part]) for part in rows)
    preprocessing = images_of(train[0])
    if preprocessing is not None:
        train, test = ((preprocessing.transform(x), y) for x, y in (train, test))
    samples = {"train": len(train[0]), "test": len(test[0])}
    return Own(train, test, preprocessing, _said(path, samples, how), samples, {"path": path.name})


def _said(path: Path, samples: Mapping[str, int], how: str) -> str:
    return f"{path}: {samples['train']:,} samples for training and {samples['test']:,} for testing, by {how}"


def _memory_mapped(
    path: Path, x: np.memmap, rows: tuple[np.ndarray, np.ndarray], batch_size: int, how: str, seed: int
) -> Own:
    """Return batches that are read from the file when they are needed.

    Args:
        path: The .npy file.
        x: Its samples.
        rows: Numbers of the training and of the test samples.
        batch_size: Number of samples per batch.
        how: How they were split, for people.
        seed: Seed of the order of the training samples.
    """
    import tensorflow as tf

    from aezoo.datasets import order

    preprocessing = images_of(x)
    shape = x.shape[1:] if preprocessing is None else preprocessing.sample_shape

    def load(numbers: np.ndarray) -> np.ndarray:
        batch = x[numbers]
        return np.asarray(batch if preprocessing is None else preprocessing.transform(batch), "float32")

    def batches(numbers: np.ndarray, shuffle: bool) -> tf.data.Dataset:
        drawn = order.drawn(numbers, shuffle, seed).batch(batch_size)
        return drawn.map(lambda i: tf.ensure_shape(tf.numpy_function(load, [i], tf.float32), (None, *shape))).prefetch(
            2
        )

    samples = {"train": len(rows[0]), "test": len(rows[1])}
    train, test = (batches(numbers, shuffle) for numbers, shuffle in zip(rows, (True, False), strict=True))
    identity = {"path": path.name, "samples": [*x.shape]}
    return Own((train, None), (test, None), preprocessing, _said(path, samples, how), samples, identity)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays in a file of NumPy by name, "x" for the array of a .npy file, without running code in it.

    Args:
        path: A .npy or .npz file.

    Raises:
        ValueError: If the file is damaged, or holds Python objects.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix.lower() == ".npy" else None, allow_pickle=False)
        return {"x": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path} is damaged, not a file of NumPy, or holds Python objects, which are not read: {error}"
        ) from error


def samples_of(path: Path, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the samples among the arrays of a file: the array "x", or the only array.

    Args:
        path: The file, for messages.
        found: Its arrays by name.

    Raises:
        ValueError: If no array is "x", and there are several.
    """
    others = [name for name in found if name != "y"]
    if "x" not in found and len(others) != 1:
        raise ValueError(
            f"{path} has the arrays {', '.join(map(repr, found)) or 'none'}: name the samples 'x', or 'x_train' and "
            "'x_test'."
        )
    return found["x"] if "x" in found else found[others[0]]


def images_of(x: np.ndarray) -> Preprocessing | None:
    """Return the preprocessing of an array of images in bytes, and None for any other array."""
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        return None
    from aezoo.preprocessing import ImagePreprocessing

    return ImagePreprocessing((int(x.shape[1]), int(x.shape[2])), 1 if x.ndim == 3 else int(x.shape[3]))


def suitable_arguments(
    cls: type[Autoencoder], own: Own, x: np.ndarray, taken: Iterable[str], training: defaults.Training
) -> dict[str, Any]:
    """Return constructor arguments that suit the data: its range, missing values, vocabulary and number of classes.

    A code that is meant to be smaller than the samples gets a third of the units of a table's features if its default
    is not smaller.

    Args:
        cls: Class of the model.
        own: The data.
        x: Training samples, a part of them for large data.
        taken: Names of the arguments that the class takes.
        training: Defaults of the training, and the arguments that the user gave.

    Raises:
        ValueError: If the model does not learn from data of this kind, or the labels do not number its classes.
    """
    taken = set(taken)
    if np.issubdtype(x.dtype, np.integer):
        if "tokens" not in taken:
            raise ValueError(f"{cls.__name__} learns from numbers, not from text: train 'sequence'.")
        return {"tokens": len(own.preprocessing.vocabulary)}  # type: ignore[union-attr]  # it is of text
    suitable: dict[str, Any] = {}
    with np.errstate(invalid="ignore"):
        bounded = np.nanmin(x) >= 0 and np.nanmax(x) <= 1
    if not bounded:
        if not taken & {"latent_dim", "hidden_units"}:  # the layers of a stack
            raise ValueError(
                f"On the command line, this model learns from data in [0, 1], but the values are from {np.nanmin(x):g} "
                f"to {np.nanmax(x):g}: use it in Python; the first layer of a stack then has a linear output."
            )
        if "likelihood" in taken:
            suitable["likelihood"] = "gaussian"
        elif "visible" in taken:
            suitable["visible"] = "gaussian"
        elif "output_activation" in taken:
            suitable["output_activation"] = "linear"
    if "missing" in taken and np.isnan(x).any():
        suitable["missing"] = "mask"
    labels = [y for _, y in (own.train, own.test) if y is not None]
    if "num_classes" in taken and labels:
        suitable["num_classes"] = _count_classes(own, np.concatenate(labels), "num_classes" in training.given)
    units, features = cls.cli_defaults(training).get("latent_dim"), math.prod(x.shape[1:])
    of_table = own.preprocessing is not None and own.preprocessing.groups
    if of_table and "latent_dim" in taken and units not in (None, training.latent_dim) and units >= features:
        suitable["latent_dim"] = max(1, features // 3)
    return suitable


def _count_classes(own: Own, labels: np.ndarray, known: bool) -> int:
    """Return the number of classes, after checking that the labels number them.

    Args:
        own: The data, for the message.
        labels: All labels, (n,).
        known: Whether the user gave the number of classes, so that some may have no samples.
    """
    whole = labels.dtype.kind in "iuf" and bool(np.all(np.isfinite(labels) & (labels == np.trunc(labels))))
    found = np.unique(labels.astype("int64")).tolist() if whole else list(dict.fromkeys(map(str, labels.ravel())))
    if not whole or not (known or found == list(range(len(found)))):
        column = getattr(own.preprocessing, "label", None)
        place = "y" if column is None else f"--label {column}"
        advice = ", or give --num-classes" if whole else ""
        raise ValueError(
            f"The labels of {place} are {_errors.listed(map(str, found), 10)}: number them from 0{advice}."
        )
    return len(found)


def in_memory(x: Any, most: int = MEASURED) -> np.ndarray:
    """Return samples as an array; of batches, the first samples.

    Args:
        x: An array, or an iterable of batches of samples, such as a `tf.data.Dataset`.
        most: The most samples to read of batches.
    """
    if hasattr(x, "shape"):
        return np.asarray(x)
    read: list[np.ndarray] = []
    for batch in x:
        read.append(np.asarray(batch))
        if sum(map(len, read)) >= most:
            break
    return np.concatenate(read)[:most]


def progress(batches: Iterable[Any], count: int, title: str, quiet: bool) -> Iterator[Any]:
    """Yield batches, and show on a terminal how many samples are done.

    Args:
        batches: Batches of samples or of results.
        count: Number of samples of all batches.
        title: Text beside the bar.
        quiet: Whether to show nothing.
    """
    import tqdm

    with tqdm.tqdm(total=count, desc=title, unit=" samples", delay=_DELAY, disable=quiet or None) as bar:
        for batch in batches:
            bar.update(min(len(batch), count - bar.n))  # first, since the caller may stop after this batch
            yield batch


# === Data for a trained model ===


@dataclasses.dataclass(frozen=True)
class Rows:
    """Samples for a trained model, in the order of the data.

    Attributes:
        batches: Batches of samples, (batch, *input_shape).
        count: Number of samples.
        keys: Names of the samples, by the name of a column of results: their files, their rows from 0, their times, or
            their lines from 1.
        form: Kind of the data, as `kind` returns it.
        preprocessing: The preprocessing that they went through, or None.
        labels: Labels of the samples, or None.
    """

    batches: Iterable[Any]
    count: int
    keys: Mapping[str, Sequence[Any]]
    form: str
    preprocessing: Preprocessing | None
    labels: np.ndarray | None = None

    def inputs(self, model: aezoo.Autoencoder) -> Iterator[Any]:
        """Yield the batches as inputs of a model, with their labels if it has a condition."""
        first = 0
        for batch in self.batches:
            labels = None if self.labels is None else self.labels[first : first + len(batch)]
            yield loading.with_conditions(model, batch, labels)[0]
            first += len(batch)


def rows(
    model: aezoo.Autoencoder,
    path: Path,
    batch_size: int,
    skip_corrupt: bool = False,
    classes: Sequence[str] | None = None,
) -> Rows:
    """Read data for a trained model, through the preprocessing that was saved with it.

    Args:
        model: The model.
        path: A file or folder of the kind that the model was trained on; or samples as a file of NumPy.
        batch_size: Number of samples per batch.
        skip_corrupt: Whether to leave out images that cannot be decoded.
        classes: Names of the subfolders of images in training, for a model whose condition is their number.

    Raises:
        OSError: If the data cannot be read.
        ValueError: If the data do not fit the model or have no labels for its condition, or if `skip_corrupt` is True
            and they are not images.
    """
    with readable_errors():
        data = _rows(model, path, batch_size, skip_corrupt, classes)
        if not data.count:
            raise ValueError(f"{path} has no samples: give at least one.")
        loading.check_labels(model, data.labels)
        return data


def _rows(
    model: aezoo.Autoencoder, path: Path, batch_size: int, skip_corrupt: bool, classes: Sequence[str] | None
) -> Rows:
    from aezoo import preprocessing as kinds
    from aezoo.datasets import tables

    fitted = model.preprocessing
    form = kind(path, 1 if isinstance(fitted, kinds.SeriesPreprocessing) else None)
    if form == "images":
        return _images(model, path, batch_size, skip_corrupt, classes)
    if skip_corrupt:
        check_applies("skip_corrupt", path, form)
    if form == "array":
        return _array(model, path, batch_size)
    if form == "series":
        return _series(fitted, path, batch_size)
    if form == "text" and isinstance(fitted, kinds.TextPreprocessing):
        return _lines(fitted, path, batch_size)
    if form == "table" and isinstance(fitted, kinds.TablePreprocessing):
        data = fitted.stream(path, batch_size)
        count = fitted.source(path).rows()
        labels = tables.labels_of(path, fitted.label) if model.condition_names and fitted.label else None
        return Rows(data, count, {"row": range(count)}, form, fitted, labels)
    raise ValueError(f"{path} is {KINDS[form]}, on which this model was not trained: give data of the same kind.")


def _images(
    model: aezoo.Autoencoder, path: Path, batch_size: int, skip_corrupt: bool, classes: Sequence[str] | None
) -> Rows:
    import tensorflow as tf

    from aezoo import datasets
    from aezoo.preprocessing import ImagePreprocessing

    fitted = model.preprocessing
    shape = model.x_shape if fitted is None else fitted.sample_shape
    if len(shape) != 3 or shape[2] not in (1, 3) or not isinstance(fitted, (ImagePreprocessing, type(None))):
        raise ValueError(f"{path} is a folder of images, but the model takes samples of shape {shape}.")
    size, gray = (shape[0] or 64, shape[1] or 64), shape[2] == 1
    data = datasets.from_folder(
        path, size, grayscale=gray, skip_corrupt=skip_corrupt, batch_size=batch_size, test_fraction=0.0, shuffle=False
    )
    files = (*data.train_files, *data.test_files)
    labels = None if data.y_train is None else np.concatenate([data.y_train, data.y_test])
    if model.condition_names and classes is not None:
        labels = _numbered(path, files, classes)
    elif model.condition_names and labels is not None:
        _check_all_classes(model, path, data.class_names or ())
    batches, prepared = data.in_order("train"), data.preprocessing
    if data.test_files:
        batches = batches.concatenate(data.in_order("test"))
    if prepared.sample_shape[2] == 1 and not gray:  # all images are gray, and the model takes color
        batches = batches.map(lambda x: tf.repeat(x, 3, axis=-1))
        prepared = ImagePreprocessing(size, 3)
    return Rows(batches, len(files), {"file": files}, "images", prepared, labels)


def _numbered(path: Path, files: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Return the number of the class in whose subfolder each image is, in the order of the classes in training.

    The subfolder is found as in training. If all images are of one class, it is the innermost of their shared folders
    that names a class.
    """
    from aezoo.datasets.folder import below_shared

    number = {name: i for i, name in enumerate(classes)}
    shared, inner = below_shared(files)
    folders = [top if below else None for top, _, below in (each.partition("/") for each in inner)]
    if number.keys().isdisjoint(folders):
        folders = [next((name for name in reversed(shared) if name in number), None)] * len(files)
    labels = [None if name is None else number.get(name) for name in folders]
    if None in labels:
        raise ValueError(
            f"{path / files[labels.index(None)]} is in no subfolder that names its class: put each image into one of "
            f"{_errors.listed(classes, 20)}, the classes of the training."
        )
    return np.array(labels, "int64")


def _check_all_classes(model: aezoo.Autoencoder, path: Path, found: Sequence[str]) -> None:
    """Check that the subfolders are all of the model's classes, since nothing else says which ones they are."""
    name = model.condition_names[0]
    bounds = model.condition_bounds(name)
    if bounds is not None and len(found) != bounds[1] + 1:
        raise ValueError(
            f"{path} has {len(found)} subfolders, but {name!r} of the model has {bounds[1] + 1:g} classes, and no "
            "metrics.json of aezoo train beside the model names them: give a subfolder for each class, or a .npz file "
            "with labels 'y'."
        )


def _array(model: aezoo.Autoencoder, path: Path, batch_size: int) -> Rows:
    found = load_arrays(path)
    split = "x_test" in found and "x" not in found
    x = found["x_test"] if split else samples_of(path, found)
    fitted = model.preprocessing or images_of(x)

    def batches() -> Iterable[Any]:
        for start in range(0, len(x), batch_size):
            part = np.asarray(x[start : start + batch_size])
            yield fitted.transform(part) if fitted is not None and fitted.is_raw(part) else part

    return Rows(batches(), len(x), {"row": range(len(x))}, "array", fitted, found.get("y_test" if split else "y"))


def _series(fitted: Any, path: Path, batch_size: int) -> Rows:
    steps = fitted.steps(path)
    starts = fitted.starts(steps)
    if not len(starts):
        raise ValueError(fitted.too_short(steps, str(path)))
    offsets = np.arange(fitted.window)

    def batches() -> Iterable[Any]:
        for i in range(0, len(starts), batch_size):
            windows = steps.values[starts[i : i + batch_size, None] + offsets]
            yield np.asarray(fitted.standardize(windows), "float32")

    keys = {"start": steps.times[starts], "end": steps.times[starts + fitted.window - 1]}
    return Rows(batches(), len(starts), keys, "series", fitted)


def _lines(fitted: Any, path: Path, batch_size: int) -> Rows:
    texts = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise ValueError(f"{path}, line {number}, is not UTF-8: convert the text to UTF-8 first.") from None
            if text:
                texts.append((number, text))
    if not texts:
        raise ValueError(f"{path} has no text: all of its lines are empty.")
    numbers, found = zip(*texts, strict=True)

    def batches() -> Iterable[Any]:
        for i in range(0, len(found), batch_size):
            yield fitted.transform(list(found[i : i + batch_size]))

    return Rows(batches(), len(found), {"line": numbers}, "text", fitted)


def shown(path: str | os.PathLike[str]) -> str:
    """Return a short name of the data, for the name of a run."""
    name = Path(path).resolve()
    return name.name if name.is_dir() else name.stem
