"""The networks of a model for the browser, as ONNX models that share one file of weights."""

from __future__ import annotations

import importlib.util
from typing import Any

from aezoo.saving import conversion

#: Name by which the ONNX models refer to their shared file of weights.
WEIGHTS = "weights"
# Constants of fewer bytes, mostly shapes, stay in the network: ONNX Runtime reads them before it has the weights.
_SMALL = 1024


def networks(model: Any) -> tuple[dict[str, dict[str, Any]], dict[str, bytes], bytes]:
    """Return the networks of a model as ONNX.

    Args:
        model: A built model.

    Returns:
        The dtypes of the inputs of each network, by name; the ONNX models, by name; and the weights that these share.
        The networks are "encode", "decode" and, if the model has scores, "score". A model that draws step by step has
        "start" and "step" in place of "decode". "encode" and "decode" return and take `to_controls` of codes.

    Raises:
        ImportError: If the converter is not installed.
        ValueError: If ONNX has no operation for a part of the model.
    """
    if not all(map(importlib.util.find_spec, ("onnx", "tf2onnx"))):
        raise ImportError("The explorer needs onnx and tf2onnx: pip install 'aezoo[onnx]'")
    steps = model.step_signatures()
    names = [name for name in ("encode", "decode", "score") if name in model.signatures()]
    signatures = conversion.chosen_signatures(model, [name for name in names if not steps or name != "decode"])
    signatures |= {name: _of_controls(model, *signatures[name]) for name in ("encode", "decode") if name in signatures}
    described, converted = {}, {}
    for name, (function, specs) in {**signatures, **steps}.items():
        converted[name] = conversion.as_onnx(name, (function, specs))
        described[name] = {"inputs": {spec.name: spec.dtype.name for spec in specs}}
    pooled, weights = _pooled(converted)
    return described, pooled, weights


def _of_controls(model: Any, function: Any, specs: list[Any]) -> tuple[Any, list[Any]]:
    """Return a signature that takes and returns `to_controls` of codes in place of codes."""

    def converted(*values: Any) -> dict[str, Any]:
        given = [model.from_controls(v) if spec.name == "z" else v for v, spec in zip(values, specs, strict=True)]
        return {name: model.to_controls(v) if name == "code" else v for name, v in function(*given).items()}

    return converted, specs


def _pooled(models: dict[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """Move the weights of ONNX models into one file, and store equal arrays once."""
    import onnx
    from onnx import external_data_helper, numpy_helper

    offsets: dict[bytes, int] = {}
    weights = bytearray()
    written = {}
    for name, content in models.items():
        made = onnx.load_from_string(content)
        for tensor in made.graph.initializer:
            raw = numpy_helper.to_array(tensor).tobytes()
            if len(raw) < _SMALL:
                continue
            if raw not in offsets:
                offsets[raw] = len(weights)
                weights += raw
            tensor.ClearField("float_data")
            tensor.raw_data = raw
            external_data_helper.set_external_data(tensor, WEIGHTS, offset=offsets[raw], length=len(raw))
            tensor.ClearField("raw_data")
        written[name] = made.SerializeToString()
    return written, bytes(weights)
