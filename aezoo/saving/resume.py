"""What makes a training the same one, so that a run that is resumed is the same run or says what differs."""

from __future__ import annotations

import inspect
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_HASHED = 2**30  # bytes of an array that are read


def data(x: Any) -> dict[str, Any]:
    """Describe training data cheaply: arrays by shape, dtype and a checksum, data sets by their elements.

    Of an array of more than a gigabyte the checksum is that of rows at equal distances.
    """
    if isinstance(x, Mapping):  # samples and conditions
        return {name: data(values) for name, values in x.items()}
    if isinstance(x, tf.data.Dataset):
        return {"elements": repr(x.element_spec), "batches": int(x.cardinality())}
    if isinstance(x, keras.utils.PyDataset):
        return {"type": type(x).__name__, "batches": len(x)}
    if not hasattr(x, "shape"):
        return {"type": type(x).__name__}
    rows = np.asarray(x.data if hasattr(x, "nnz") else x)  # of a sparse matrix what it stores
    sample = rows[:: 1 + rows.nbytes // _HASHED]
    return {"shape": list(x.shape), "dtype": rows.dtype.name, "checksum": zlib.crc32(np.ascontiguousarray(sample))}


def compilation(model: keras.Model) -> dict[str, Any]:
    """Describe how a model was compiled: its optimizer with all arguments, and its loss."""
    loss = model.reconstruction_loss if hasattr(model, "reconstruction_loss") else model.loss
    return {"optimizer": plain(model.optimizer), "loss": plain(loss)}


def architecture(model: keras.Model) -> dict[str, Any]:
    """Describe what a model was made of."""
    return _without_names({"model": type(model).__name__, **plain(model.get_config()), "name": None})


def plain(value: Any) -> Any:
    """Describe a value in terms of JSON, equally in every process: no addresses, no names that Keras counts up."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if inspect.isclass(value) or inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "get_config"):
        config = value.get_config()
        config.pop("name", None)
        return {"class": type(value).__name__, **plain(config)}
    return type(value).__name__


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Name what differs between two descriptions, with both values: "optimizer learning_rate (0.001, not 1e-05)"."""
    return [f"{name} ({_short(a)}, not {_short(b)})" for name, a, b in _differing(before, now, name)]


def sentence(differing: list[str]) -> str:
    """Join differences, the first three of them."""
    return " and ".join(differing[:3]) + (" and more" if len(differing) > 3 else "")


def _differing(before: Any, now: Any, name: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict) and before.get("class") == now.get("class"):
        for key in [*before, *(key for key in now if key not in before)]:
            yield from _differing(before.get(key), now.get(key), f"{name} {key}".strip())
    elif before != now:
        yield name, before, now


def _short(value: Any) -> str:
    if isinstance(value, dict) and "class" in value:
        return value["class"]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_names(architecture: Any) -> Any:
    """Numbers the names of layers, which Keras counts up with every model that is made, in their order."""
    names: dict[str, str] = {}

    def collect(config: dict[str, Any]) -> dict[str, Any]:
        if len(config) > 1 and isinstance(config.get("name"), str):  # a dtype policy has a name and nothing else
            names.setdefault(config["name"], f"layer {len(names)}")
        return config

    def number(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: number(part) for key, part in value.items()}
        if isinstance(value, list):
            return [number(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    text = json.dumps(architecture)
    json.loads(text, object_hook=collect)
    return number(json.loads(text))
