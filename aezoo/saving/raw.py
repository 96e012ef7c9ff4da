"""Signatures that take and return raw values, of a model with preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from aezoo._typing import Tensor
from aezoo.preprocessing.base import Preprocessing

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

Function = Callable[..., dict[str, Any]]
Specs = Mapping[str, tf.TensorSpec]

SAMPLES = ("reconstruction", "sample", "imputed")
"""Names of the outputs of signatures in the units of samples."""


def specs(preprocessing: Preprocessing | None, inputs: Specs) -> dict[str, tf.TensorSpec]:
    """Return the inputs of a signature by name, with the raw inputs in place of "x".

    Args:
        preprocessing: The preprocessing of the model; None changes nothing.
        inputs: Inputs of a signature of the model.

    Raises:
        ValueError: If a raw input has the name of another input.
    """
    if preprocessing is None or "x" not in inputs:
        return dict(inputs)
    rest = {name: spec for name, spec in inputs.items() if name != "x"}
    if taken := sorted(rest.keys() & preprocessing.raw_specs.keys()):
        raise ValueError(
            f"The raw data and the model both have an input {taken[0]!r}: rename the column of the data, or export "
            "with preprocessing=False."
        )
    return {**preprocessing.raw_specs, **rest}


def signature(
    model: Autoencoder,
    preprocessing: Preprocessing | None,
    function: Function,
    inputs: Specs,
    valid: Callable[[Tensor, tf.TensorSpec], Tensor] | None = None,
) -> tuple[Function, dict[str, tf.TensorSpec]]:
    """Return a signature with preprocessing in front of samples, and its inverse behind reconstructions.

    Args:
        model: A built model.
        preprocessing: The preprocessing; None changes nothing.
        function: Function from the inputs of a signature to its outputs by name.
        inputs: Inputs of the signature.
        valid: Function that returns a raw input, checked; None checks nothing.

    Returns:
        The function and the inputs of the new signature.
    """
    taken = specs(preprocessing, inputs)
    if preprocessing is None:
        return function, taken
    own = preprocessing.raw_specs
    invertible = preprocessing.can_invert(model.y_shape)

    def of_raw(*values: Any) -> dict[str, Any]:
        given = dict(zip(taken, values, strict=True))
        if "x" in inputs:
            raw = {name: given.pop(name) for name in own}
            raw = {name: value if valid is None else valid(value, own[name]) for name, value in raw.items()}
            given["x"] = preprocessing.call(raw)
        outputs = {}
        for name, value in function(*(given[key] for key in inputs)).items():
            if name not in SAMPLES or not invertible:
                outputs[name] = value
                continue
            restored = preprocessing.invert(value)
            outputs |= {name: restored["x"]} if set(restored) == {"x"} else restored
        return outputs

    return of_raw, taken
