"""Differences between an exported model and the model itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aezoo import _validation
from aezoo._typing import Data
from aezoo.saving import conversion

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["litert_error"]


def litert_error(
    model: Autoencoder, path: str | os.PathLike[str], x: Data, preprocessing: bool = True
) -> dict[str, dict[str, float]]:
    """Measure how much the results of a LiteRT file differ from the model, such as after a quantization.

    Args:
        model: The built model that the file was exported from.
        path: The LiteRT file.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions; raw data if the preprocessing of the
            model is part of the file. Take other samples than for `quantize`.
        preprocessing: Whether the model's preprocessing is part of the file, as in `export`.

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
    return conversion.litert_error(model, os.fspath(path), x, preprocessing)
