"""Export of models as SavedModels with named signatures."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _files, _keras
from aezoo._typing import Data, Tensor
from aezoo.saving import raw
from aezoo.saving import warmup as warming
from aezoo.version import __version__

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

MARKER = Path("assets.extra") / "aezoo.json"
"""File that marks a SavedModel as aezoo's and lists its files; TensorFlow leaves this folder to other programs."""


def saved_model(
    model: Autoencoder,
    path: str | os.PathLike[str],
    verbose: bool | None = None,
    half: bool = False,
    warmup: bool | Data = True,
    preprocessing: bool = True,
    signatures: Mapping[str, tuple[Any, dict[str, tf.TensorSpec], str]] | None = None,
) -> None:
    """Write the signatures of a model as a SavedModel.

    Args:
        model: A built model with a method `signatures`.
        path: The folder to write: `name/1` for version 1 of the model `name`.
        verbose: Whether Keras prints the endpoints.
        half: Whether to store kernels in half precision; they are cast to float32 where they are used.
        warmup: Whether to add warm-up requests for TensorFlow Serving, or the samples to make them from; True makes
            them from dummy samples.
        preprocessing: Whether the signatures of a model with preprocessing take and return raw values.
        signatures: Signatures as `model.signatures()` returns them; None takes these. A function may return a dict of
            several outputs by name.
    """
    path = _files.check(path, foreign)
    name = path.parent.name if path.name.isdecimal() else path.name
    own = model.preprocessing if preprocessing else None
    signatures = model.signatures() if signatures is None else signatures
    samples = None if warmup is True else warmup
    requests = [] if warmup is False else warming.requests(model, name, samples, own, signatures)
    kernels = [(v, tf.Variable(tf.cast(v.value, "float16"))) for v in model.variables if half and halves(v.numpy())]
    endpoints = {}
    bounds = {name: model.condition_bounds(name) for name in model.condition_names}
    missing = model.missing != "error"
    for name, (function, inputs, output) in signatures.items():
        endpoint = _endpoint(function, list(inputs.values()), output, kernels, missing, bounds)
        endpoint, inputs = raw.signature(model, own, endpoint, inputs, lambda value, spec: _valid(value, spec, missing))
        endpoints[name] = (endpoint, list(inputs.values()))
    archive = _keras.export_archive(endpoints, own)
    with _files.atomic_write(path, foreign) as unfinished:
        with _quiet():
            archive.write_out(str(unfinished), verbose=bool(verbose))
        (unfinished / "assets.extra").mkdir()
        model.write_extra_assets(unfinished)
        if requests:
            warming.write(unfinished / warming.IN_SAVED_MODEL, requests)
        content = {"aezoo": __version__, "files": sorted([*_files.files(unfinished), MARKER.as_posix()])}
        (unfinished / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def foreign(folder: Path) -> list[str]:
    """Return the files in a folder that `saved_model` did not write: all files if its marker is missing."""
    try:
        ours = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return sorted({*_files.files(folder)} - {*ours})
    except (OSError, ValueError, KeyError, TypeError):
        return _files.files(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence TensorFlow's log of the path it writes to, which is a temporary one."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def halves(values: np.ndarray) -> bool:
    """Return whether to store a variable in half precision: kernels only, float32 arrays of two axes or more.

    Biases, counters and schedules take little room and keep their precision, as do kernels with values outside the
    range of float16.
    """
    return values.dtype == "float32" and values.ndim >= 2 and bool(np.all(np.abs(values) <= np.finfo("float16").max))


#: The most samples that a signature draws, and the most values that these samples have together.
_MOST_SAMPLES, _MOST_VALUES = 10_000, 2**25


def most_samples(x_shape: Sequence[int]) -> int:
    """Return the most samples of a shape that a signature draws, so that a small request cannot get a huge reply."""
    return max(1, min(_MOST_SAMPLES, _MOST_VALUES // math.prod(x_shape)))


def sample_signature(
    x_shape: Sequence[int], draw: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> tuple[Any, dict[str, tf.TensorSpec]]:
    """Return the function and the inputs n, temperature and seed of a signature that draws samples.

    Args:
        x_shape: Shape of a sample.
        draw: Function from checked inputs to samples, (n, *x_shape).
    """
    inputs = {
        "n": tf.TensorSpec((), "int32", name="n"),
        "temperature": tf.TensorSpec((), "float32", name="temperature"),
        "seed": tf.TensorSpec((), "int64", name="seed"),
    }

    def sample(n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
        n = inside("n", n, 1, most_samples(x_shape))
        return draw(n, inside("temperature", temperature, 0.0, math.inf), seed)

    return sample, inputs


def inside(name: str, value: Tensor, low: float, high: float) -> Tensor:
    """Return an input of a signature, checked: a call with any value outside [low, high] fails.

    Args:
        name: Name of the input, for the error message.
        value: A tensor.
        low: The smallest value allowed.
        high: The largest value allowed; may be infinite.
    """
    message = f"{name} must be in [{low:,}, {high:,}]" if high < math.inf else f"{name} must be at least {low:g}"
    return _asserted(tf.reduce_all((value >= low) & (value <= high)), message, value)


def _asserted(condition: Tensor, message: str, value: Tensor) -> Tensor:
    """Return the value behind an assertion, so that nothing is computed from a value that fails it."""
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(value)


def _valid(value: Tensor, spec: tf.TensorSpec, missing: bool, bounds: tuple[float, float] | None = None) -> Tensor:
    """Return an input checked for its shape (TensorFlow does not check it), for finite values and for its bounds."""
    value = tf.ensure_shape(value, spec.shape)
    if bounds is not None:
        low, high = bounds
        inside = tf.reduce_all((value >= tf.cast(low, value.dtype)) & (value <= tf.cast(high, value.dtype)))
        return _asserted(inside, f"{spec.name} must be in [{low:g}, {high:g}]", value)
    if not value.dtype.is_floating:
        return value
    if missing:
        return _asserted(~tf.reduce_any(tf.math.is_inf(value)), f"{spec.name} has infinite values", value)
    return _asserted(tf.reduce_all(tf.math.is_finite(value)), f"{spec.name} has NaN or infinite values", value)


def _endpoint(
    function: Callable[..., Tensor],
    specs: list[tf.TensorSpec],
    output: str,
    kernels: list[tuple[Any, Any]],
    missing: bool,
    bounds: Mapping[str, tuple[float, float] | None],
) -> Callable[..., dict[str, Tensor]]:
    """Return a function that returns a dict, whose keys become the names of a signature's outputs."""

    def endpoint(*inputs: Any) -> dict[str, Any]:
        valid = [
            _valid(v, spec, missing and spec.name == "x", bounds.get(spec.name))
            for v, spec in zip(inputs, specs, strict=True)
        ]
        with keras.StatelessScope([(variable, tf.cast(half, "float32")) for variable, half in kernels]):
            result = function(*valid)
            return result if isinstance(result, dict) else {output: result}

    return endpoint
