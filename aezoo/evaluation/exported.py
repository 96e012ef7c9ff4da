"""Differences between an exported model and the model itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from aezoo import _validation
from aezoo._typing import Data
from aezoo.saving import conversion, warmup

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["litert_error"]


def litert_error(model: Autoencoder, path: str | os.PathLike[str], x: Data) -> dict[str, dict[str, float]]:
    """Measure how much the results of a LiteRT file differ from the model, such as after a quantization.

    Args:
        model: The built model that the file was exported from.
        path: The LiteRT file.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions; raw data if the preprocessing of the
            model is part of the file. Take other samples than for `quantize`.

    Returns:
        For each signature of the file the mean absolute difference "mean", the largest one "max", and for comparison
        the standard deviation of the model's results, "std". Columns of a table are named "reconstruct/COLUMN".

    Raises:
        ValueError: If the samples do not fit the model.

    Example:
        >>> import tempfile, aezoo
        >>> (x_train, _), (x_test, _) = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(16, seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x_train, epochs=5, verbose=0)
        >>> path = tempfile.mkdtemp() + "/model.tflite"
        >>> model.export(path, format="litert", signatures=("encode", "reconstruct"), quantize=x_train[:200])
        >>> error = aezoo.evaluation.litert_error(model, path, x_test)
        >>> error["encode"]["mean"] < 0.05 * error["encode"]["std"]
        True
    """
    _validation.check_built(model)
    interpreter = tf.lite.Interpreter(str(path))
    signatures = interpreter.get_signature_list()
    own = model.preprocessing
    if own is not None and not any(own.raw_specs.keys() & each["inputs"] for each in signatures.values()):
        own = None
    functions = conversion.chosen_signatures(model, list(signatures), own)
    requests = warmup.requests(model, "", x, preprocessing=own, argument="x")
    found = {}
    for name, inputs in {name: inputs for _, name, inputs in requests if name in functions}.items():
        function, specs = functions[name]
        expected = function(*(inputs[spec.name] for spec in specs))
        for output, got in _run(interpreter.get_signature_runner(name), inputs).items():
            wanted = np.asarray(expected[output])
            difference = np.abs(got - wanted)
            label = "reconstruct" if name == "serving_default" else name
            found[label if len(expected) == 1 else f"{label}/{output}"] = {
                "mean": float(difference.mean()),
                "max": float(difference.max()),
                "std": float(wanted.std()),
            }
    return found


def _run(runner: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a signature, also if its inputs and outputs are integers (`inference_input_type`)."""
    given = {}
    for name, detail in runner.get_input_details().items():
        scale, zero = detail["quantization"]
        value = inputs[name]
        if scale and np.issubdtype(detail["dtype"], np.integer):
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        given[name] = np.asarray(value, detail["dtype"])
    results = {}
    for name, value in runner(**given).items():
        scale, zero = runner.get_output_details()[name]["quantization"]
        results[name] = (value.astype("float32") - zero) * scale if scale and value.dtype.kind in "iu" else value
    return results
