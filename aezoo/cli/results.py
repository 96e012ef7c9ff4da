"""Codes, scores and reconstructions of the user's own data, printed or written to files."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aezoo import _files
from aezoo.cli import loading, reading
from aezoo.preprocessing import _reading

if TYPE_CHECKING:
    import aezoo


def run(arguments: argparse.Namespace) -> None:
    """Apply a model to data, and print or write the results.

    Args:
        arguments: The options of the commands, and `verb`.

    Raises:
        OSError: If the data cannot be read, or the results cannot be written.
        ValueError: If the data do not fit the model, or the ending of the file is unknown.
    """
    model, path = loading.load(arguments.model, "aezoo train", arguments.modules)
    data = reading.rows(
        model, Path(arguments.data), arguments.batch_size, arguments.skip_corrupt, loading.class_names(path)
    )
    with reading.readable_errors():
        _apply(arguments, model, data)


def _apply(arguments: argparse.Namespace, model: aezoo.Autoencoder, data: reading.Rows) -> None:
    verb = arguments.verb
    function = {"encode": model.encode, "score": model.score_samples, "reconstruct": model.reconstruct}[verb]
    computed = (np.asarray(function(inputs)) for inputs in data.inputs(model))
    results = reading.progress(computed, data.count, verb, arguments.quiet)
    if arguments.output is None:
        _print(data, results)
        return
    output = Path(arguments.output)
    if output.exists() and not arguments.overwrite:
        raise FileExistsError(f"{output} already exists: choose another --output, or replace it with --overwrite.")
    if verb == "reconstruct" and data.form == "images" and output.suffix.lower() != ".npy":
        _write_images(output, data, results)
    else:
        with _writer(output, data.count) as write:
            first = 0
            for result in results:
                write(_columns(verb, data, result, first), result)
                first += len(result)
    print(f"{output}: {data.count:,} {'images' if output.is_dir() else 'rows'}", file=sys.stderr)


def _columns(verb: str, data: reading.Rows, result: np.ndarray, first: int) -> dict[str, Any]:
    """Return results as columns of a table: the names of the samples, then their numbers."""
    keys = {name: values[first : first + len(result)] for name, values in data.keys.items()}
    if verb == "score":
        return {**keys, "score": result}
    if verb == "encode":
        flat = result.reshape(len(result), -1)
        return {**keys, **{f"code_{i}": flat[:, i] for i in range(flat.shape[1])}}
    fitted = data.preprocessing
    if fitted is not None and fitted.can_invert(result.shape[1:]):
        if data.form == "table":
            table = fitted.restore(result)
            return {name: np.asarray(table[name]) for name in table}
        if data.form == "text":
            return {**keys, "text": fitted.restore(result)}
        result = np.asarray(fitted.restore(result))
    flat = result.reshape(len(result), -1)
    names = _features(data, result)
    return {**keys, **{name: flat[:, i] for i, name in enumerate(names)}}


def _features(data: reading.Rows, result: np.ndarray) -> list[str]:
    """Return the names of the features of reconstructions."""
    if data.form == "series" and result.ndim == 3:
        names = getattr(data.preprocessing, "columns", None) or range(result.shape[2])
        return [f"{name}_{step}" for step in range(result.shape[1]) for name in names]
    return [f"x_{i}" for i in range(int(np.prod(result.shape[1:])))]


# === Files ===


def _print(data: reading.Rows, results: Iterable[np.ndarray]) -> None:
    writer, first = csv.writer(sys.stdout, lineterminator="\n"), 0
    for result in results:
        if not first:
            writer.writerow([*data.keys, "score"])
        writer.writerows(zip(*_columns("score", data, result, first).values(), strict=True))
        first += len(result)


Write = Callable[[Mapping[str, Any], np.ndarray], None]


@contextlib.contextmanager
def _writer(output: Path, count: int) -> Iterator[Write]:
    """Yield a function that appends columns, or their array, to a file, which appears once it is complete."""
    suffix = output.suffix.lower()
    writers = {".npy": _npy, ".csv": _csv, ".txt": _txt, ".parquet": _parquet}
    if suffix not in writers:
        raise ValueError(f"{output} has an ending that no writer takes: choose {', '.join(writers)}.")
    with _files.atomic_write(output) as unfinished, writers[suffix](unfinished, count) as write:
        yield write


@contextlib.contextmanager
def _npy(path: Path, count: int) -> Iterator[Write]:
    array, filled = None, 0

    def write(columns: Mapping[str, Any], result: np.ndarray) -> None:
        nonlocal array, filled
        if array is None:
            # A name with another ending would get a second one.
            array = np.lib.format.open_memmap(path, "w+", result.dtype, (count, *result.shape[1:]))
        array[filled : filled + len(result)] = result
        filled += len(result)

    yield write
    if array is not None:
        array.flush()


@contextlib.contextmanager
def _csv(path: Path, count: int) -> Iterator[Write]:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")

        def write(columns: Mapping[str, Any], result: np.ndarray) -> None:
            if not file.tell():
                writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))

        yield write


@contextlib.contextmanager
def _txt(path: Path, count: int) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8") as file:

        def write(columns: Mapping[str, Any], result: np.ndarray) -> None:
            if "text" not in columns:
                raise ValueError("A .txt file is for reconstructions of text: choose .csv or .npy.")
            file.writelines(f"{line}\n" for line in columns["text"])

        yield write


@contextlib.contextmanager
def _parquet(path: Path, count: int) -> Iterator[Write]:
    try:
        pa = _reading.arrow()
    except ImportError as error:  # the command line prints a ValueError as one line
        raise ValueError(str(error)) from error
    writer: Any = None

    def write(columns: Mapping[str, Any], result: np.ndarray) -> None:
        nonlocal writer
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        if writer is None:
            writer = pa.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _write_images(output: Path, data: Any, results: Iterable[np.ndarray]) -> None:
    """Write reconstructions as PNG files under the names of the images."""
    import tensorflow as tf

    names = [Path(name).with_suffix(".png") for name in data.keys["file"]]
    with _files.atomic_write(output) as folder:
        folder.mkdir()
        first = 0
        for result in results:
            pixels = data.preprocessing.restore(result)
            for name, image in zip(names[first : first + len(pixels)], pixels, strict=True):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(tf.io.encode_png(image).numpy())
            first += len(pixels)
