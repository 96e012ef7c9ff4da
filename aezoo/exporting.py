"""Writing a model as a SavedModel with named signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import warmup as warming
from aezoo import writing
from aezoo.version import __version__

MARKER = Path("assets.extra") / "aezoo.json"
"""Where a SavedModel says that it is ours, and of which files; TensorFlow leaves this folder to others."""


def saved_model(model: Any, path: Any, verbose: bool | None = None, half: bool = False, warmup: Any = True) -> None:
    """Writes the signatures of a model as a SavedModel.

    Args:
        model: A built model with a method `signatures`.
        path: The folder to write; `name/1` for version 1 of the model `name`.
        verbose: Whether Keras prints the endpoints.
        half: Whether kernels are stored in half precision, and cast where they are used.
        warmup: Whether requests go along that a server warms up with, or the samples for them.
    """
    path = writing.check(path, foreign)
    name = path.parent.name if path.name.isdecimal() else path.name
    requests = [] if warmup is False else warming.requests(model, name, None if warmup is True else warmup)
    kernels = [(v, tf.Variable(tf.cast(v.value, "float16"))) for v in model.variables if half and halves(v.numpy())]
    archive = keras.export.ExportArchive()
    # Not `archive.track(model)`: it writes every variable a second time. Those of the endpoints are found without.
    for name, (function, inputs, output) in model.signatures().items():
        archive.add_endpoint(name, _endpoint(function, output, kernels), list(inputs.values()))
    with writing.complete_or_absent(path, foreign) as unfinished:
        with _quiet():
            archive.write_out(str(unfinished), verbose=bool(verbose))
        (unfinished / "assets.extra").mkdir()
        model.write_extra_assets(unfinished)
        if requests:
            warming.write(unfinished / warming.IN_SAVED_MODEL, requests)
        content = {"aezoo": __version__, "files": sorted([*writing.files(unfinished), MARKER.as_posix()])}
        (unfinished / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def foreign(folder: Path) -> list[str]:
    """Return the files in a folder that `saved_model` did not write: all of them where its marker is missing."""
    try:
        ours = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return sorted({*writing.files(folder)} - {*ours})
    except (OSError, ValueError, KeyError, TypeError):
        return writing.files(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow from saying where it writes to, which is not where the file will be."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def halves(values: np.ndarray) -> bool:
    """Whether half precision is used for a variable: for kernels, the float32 arrays of two axes or more.

    Biases, counters and schedules, which take no room, keep theirs, and so do kernels that go out of the range.
    """
    return values.dtype == "float32" and values.ndim >= 2 and bool(np.all(np.abs(values) <= np.finfo("float16").max))


def _endpoint(function: Any, output: str, kernels: list[tuple[Any, Any]]) -> Any:
    """A function that returns a dict: its keys become the names of a signature's outputs."""

    def endpoint(*inputs: Any) -> dict[str, Any]:
        with keras.StatelessScope([(variable, tf.cast(half, "float32")) for variable, half in kernels]):
            return {output: function(*inputs)}

    return endpoint
