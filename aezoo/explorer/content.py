"""Content of a page: the networks of a model, samples and their codes, and pictures and statistics of its units."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from aezoo import _docstrings, _validation, sketches
from aezoo.evaluation import activity_threshold
from aezoo.explorer import networks, sprites
from aezoo.plots import features, tiles
from aezoo.training import inference
from aezoo.version import __version__

# Maximum number of units with pictures and statistics: in larger codes, the units that vary most.
_MOST_UNITS = 1024
_BINS, _TOP, _NEAREST = 24, 8, 6
# Maximum number of values of a condition, which the page offers as a list.
_MOST_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Content:
    """Content of a page.

    Attributes:
        manifest: Everything except arrays and files, ready for JSON.
        blobs: Bytes of arrays and files, by name.
    """

    manifest: dict[str, Any]
    blobs: dict[str, bytes]


def gather(model: Any, data: Any, *, title: str | None, name: str, note: str, samples: int) -> Content:
    """Collect the content of a page.

    Args:
        model: A built model.
        data: Samples, or a pair of samples and labels; see `aezoo.explorer.page`.
        title: Title of the page; None names the class and the size of the code.
        name: Name of the data.
        note: A sentence about the limits of the model, or "".
        samples: Maximum number of samples to show, at least 2.

    Raises:
        ValueError: If the model is not built, or a page cannot show the model or the data.
    """
    _validation.check_built(model)
    _validation.check_int("samples", samples, 2)
    x, conditions, labels = _samples(model, data, samples)
    offered = [_condition(model, each) for each in conditions]
    blobs: dict[str, bytes] = {}
    described, x = _pictured(model, x, blobs)
    code = np.asarray(model.to_controls(model.encode(x, **conditions)))
    code_shape = code.shape[1:]
    code = code.reshape(len(code), -1)
    described_networks, graphs, weights = networks.networks(model)
    blobs.update({f"network-{each}": graph for each, graph in graphs.items()}, weights=weights)
    size = code.shape[1]
    manifest: dict[str, Any] = {
        "title": title or f"{type(model).__name__} with a code of {' × '.join(map(str, code_shape))}",
        "class": type(model).__name__,
        "summary": _docstrings.summary(type(model).__doc__ or ""),
        "reference": _docstrings.reference(type(model).__doc__ or ""),
        "note": note,
        "parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
        "version": __version__,
        "data": {**described, "name": name, "count": len(x)},
        "code": {"shape": code_shape, "size": size, "integers": model.compresses, "note": model.controls_note},
        "output": _output(model, x, code.reshape(-1, *code_shape)[:1], conditions),
        "conditions": offered,
        "interpolation": model.interpolation,
        "networks": described_networks,
    }
    _add(blobs, "unit-low", code.min(axis=0), "float32")
    _add(blobs, "unit-high", code.max(axis=0), "float32")
    _add(blobs, "unit-mean", code.mean(axis=0), "float32")
    if labels is not None:
        names, indices = np.unique(labels, return_inverse=True)
        manifest["data"]["classes"] = [str(each) for each in names]
        _add(blobs, "labels", indices, "uint16")
    for each, values in conditions.items():
        _add(blobs, f"condition-{each}", values, "int32")
    if size >= 2:
        manifest["map"] = _map(code, blobs)
    manifest["units"] = _units(model, code, code_shape, conditions, manifest["output"], blobs)
    if "score" in described_networks:
        _add(blobs, "scores", model.score_samples(x, **conditions), "float32")
    if model.compresses and model.separable_bits:
        manifest["compression"] = _compression(model, x, code.reshape(-1, *code_shape), blobs)
    return Content(manifest, blobs)


def _add(blobs: dict[str, bytes], name: str, values: Any, dtype: str) -> None:
    blobs[name] = np.ascontiguousarray(values).astype(dtype).tobytes()


# === Samples ===


def _samples(model: Any, data: Any, most: int) -> tuple[np.ndarray, dict[str, np.ndarray], Any]:
    """Return at most `most` samples, in equal steps through the data, their conditions, and their labels or None."""
    x, y = data if isinstance(data, (tuple, list)) and len(data) == 2 else (data, None)
    if y is not None and not isinstance(x, Mapping) and len(model.condition_names) == 1:
        x = {"x": x, model.condition_names[0]: y}
    x, conditions = inference.collected(model, x)
    if y is not None and np.shape(y) != (len(x),):
        raise ValueError(f"There are {len(x)} samples and labels of shape {np.shape(y)}: give one label per sample.")
    if len(x) < 2:
        raise ValueError(f"The explorer needs at least 2 samples, but there are {len(x)}: pass more.")
    if x.dtype.kind != "f" or not np.isfinite(x).all():
        raise ValueError("The explorer shows finite floating-point samples: convert them, and remove NaN and infinity.")
    chosen = np.unique(np.linspace(0, len(x) - 1, min(most, len(x))).round().astype("int64"))
    chosen_y = None if y is None else np.asarray(y)[chosen]
    return x[chosen].astype("float32"), {name: np.asarray(v)[chosen] for name, v in conditions.items()}, chosen_y


def _condition(model: Any, name: str) -> dict[str, Any]:
    """Describe a condition whose values fit into a list."""
    spec, bounds = model.condition_specs[name], model.condition_bounds(name)
    if spec.shape or "int" not in spec.dtype or bounds is None or bounds[1] - bounds[0] >= _MOST_CLASSES:
        raise ValueError(
            f"The explorer offers conditions that are one of at most {_MOST_CLASSES:,} whole numbers; {name!r} is not. "
            "Give a model without this condition."
        )
    return {"name": name, "low": int(bounds[0]), "high": int(bounds[1])}


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return the shape (height, width, channels) in which a sample is drawn; None if it is not a picture."""
    shown = tiles.as_pictures(np.zeros((1, *shape), "float32"))
    if shown is None or shown.ndim not in (3, 4) or (len(shape) == 3 and shape[-1] not in (1, 3)):
        return None
    height, width, *channels = shown.shape[1:]
    return (height, width, *channels) if channels else (height, width, 1)


def _pictured(model: Any, x: np.ndarray, blobs: dict[str, bytes]) -> tuple[dict[str, Any], np.ndarray]:
    """Add samples to the page; return their description and their values, rounded as in the page."""
    shape = x.shape[1:]
    if model.data == "sketches":
        strokes = sketches.stroke3(x)
        _add(blobs, "lengths", [len(sketch) for sketch in strokes], "uint16")
        _add(blobs, "strokes", np.concatenate(strokes), "float32")
        return {"kind": "sketch", "shape": shape}, x
    picture = _picture_shape(shape)
    if picture is None:
        _add(blobs, "samples", x, "float32")
        low, high = float(x.min()), float(x.max())
        return {"kind": "vector", "shape": shape, "low": low, "high": max(high, low + 1e-6)}, x
    pixels, levels = sprites.quantized(x)
    blobs["samples.png"] = sprites.png(pixels.reshape(-1, *picture))
    described = {"kind": "image", "shape": shape, "picture": picture, **dataclasses.asdict(levels)}
    return described, levels.values(pixels)


def _output(model: Any, x: np.ndarray, code: np.ndarray, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the output of the decoder."""
    if model.data == "sketches":
        return {"kind": "sketch", "shape": x.shape[1:]}
    shape = np.asarray(
        model.decode(model.from_controls(code), **{name: values[:1] for name, values in conditions.items()})
    ).shape[1:]
    picture = _picture_shape(shape)
    same = shape == x.shape[1:]
    low, high = model.output_bounds or (min(0.0, float(x.min())), max(1.0, float(x.max())))
    kind = "vector" if picture is None else "image"
    return {"kind": kind, "shape": shape, "picture": picture, "low": low, "high": high, "comparable": same}


# === Codes ===


def _map(code: np.ndarray, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Add the plane of codes to the page: the code itself if it has two units, else its principal components."""
    mean, axes = np.zeros(code.shape[1]), np.eye(2)
    explained = None
    if code.shape[1] > 2:
        mean = code.mean(axis=0, dtype="float64")
        _, singular, components = np.linalg.svd(code - mean, full_matrices=False)
        axes = components[:2] * np.sign(components[:2].sum(axis=1, keepdims=True) + 1e-12)
        total = float((singular**2).sum())
        explained = [float(each) / total if total else 0.0 for each in singular[:2] ** 2]
        if len(axes) < 2:
            axes, explained = np.concatenate([axes, np.zeros_like(axes)]), [*explained, 0.0]
    _add(blobs, "map-mean", mean, "float32")
    _add(blobs, "map-axes", axes, "float32")
    _add(blobs, "map-positions", (code - mean) @ axes.T, "float32")
    return {"explained": explained}


def _units(
    model: Any,
    code: np.ndarray,
    code_shape: tuple[int, ...],
    conditions: Mapping[str, np.ndarray],
    output: Mapping[str, Any],
    blobs: dict[str, bytes],
) -> dict[str, Any]:
    """Add pictures and statistics of single units to the page."""
    deviation = code.std(axis=0)
    units = np.sort(np.argsort(-deviation, kind="stable")[:_MOST_UNITS])
    of_units = code[:, units].astype("float64")
    threshold = activity_threshold(model)
    low, high = of_units.min(axis=0), of_units.max(axis=0)
    width = np.where(high > low, high - low, 1)
    bins = np.minimum((_BINS * (of_units - low) / width).astype("int64"), _BINS - 1)
    counts = np.stack([np.bincount(column, minlength=_BINS) for column in bins.T])
    standard = (of_units - of_units.mean(axis=0)) / np.where(deviation[units] > 0, deviation[units], 1)
    correlation = standard.T @ standard / len(code)
    np.fill_diagonal(correlation, -np.inf)
    nearest = np.argsort(-correlation, axis=1, kind="stable")[:, : min(_NEAREST, len(units) - 1)]
    _add(blobs, "units", units, "uint32")
    _add(blobs, "unit-rate", (np.abs(of_units) > threshold).mean(axis=0), "float32")
    _add(blobs, "unit-deviation", deviation[units], "float32")
    _add(blobs, "unit-histogram", counts, "uint32")
    top = np.argsort(-of_units, axis=0, kind="stable")[:_TOP].T
    _add(blobs, "unit-top", top, "uint32")
    _add(blobs, "unit-nearest", units[nearest], "uint32")
    _add(blobs, "unit-similarity", np.take_along_axis(correlation, nearest, axis=1), "float32")
    described = {
        "count": len(units),
        "bins": _BINS,
        "top": top.shape[1],
        "nearest": nearest.shape[1],
        "threshold": threshold,
        "pictures": None,
    }
    if output["kind"] != "image" or not units.size:
        return described
    pictures = _filters(model, code_shape)
    described["pictures"] = "filters"
    if pictures is None:
        pictures = _effects(model, code, code_shape, units, conditions).reshape(-1, *output["picture"])
        described["pictures"] = "effects"
    else:
        pictures = pictures[units]
    described["picture"] = pictures.shape[1:]
    blobs["units.png"] = sprites.png(np.rint(255 * features.signed_tiles(pictures)).astype("uint8"))
    return described


def _filters(model: Any, code_shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the weights of each unit as pictures; None unless the code is a single dense layer of an image."""
    if len(code_shape) != 1 or len(list(features.layers_with_kernel(model.encoder))) != 1:
        return None
    try:
        kernels = features.kernel_pictures(model, "encoder")
    except ValueError:
        return None
    picture = _picture_shape(kernels.shape[1:])
    return None if picture is None or len(kernels) != code_shape[0] else kernels.reshape(-1, *picture)


def _effects(
    model: Any, code: np.ndarray, code_shape: tuple[int, ...], units: np.ndarray, conditions: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the change in the decoded mean code as each unit rises by its standard deviation."""
    given = {name: values[0] for name, values in conditions.items()}
    mean = code.mean(axis=0)
    step = code.std(axis=0)[units]
    if model.compresses:
        mean, step = np.rint(mean), np.maximum(1, np.rint(step))
    codes = np.repeat(mean[None], 1 + len(units), axis=0).astype("float32")
    codes[1 + np.arange(len(units)), units] += step
    decoded = np.asarray(model.decode(model.from_controls(codes.reshape(-1, *code_shape)), **given))
    return decoded[1:] - decoded[:1]


def _compression(model: Any, x: np.ndarray, code: np.ndarray, blobs: dict[str, bytes]) -> dict[str, Any]:
    """Add the bits of each whole number in each channel to the page, and the rate and error of each sample."""
    margin = 4
    low, high = int(code.min()) - margin, int(code.max()) + margin
    channels = code.shape[-1]
    numbers = np.repeat(np.arange(low, high + 1, dtype="float32")[:, None], channels, axis=1)
    table = np.asarray(model.bits(numbers)).T
    error = np.square(np.asarray(model.decode(code)) - x).reshape(len(x), -1).mean(axis=1)
    _add(blobs, "bits", table, "float32")
    _add(blobs, "rates", model.rate(code.astype("float32")), "float32")
    _add(blobs, "errors", error, "float32")
    return {"low": low, "count": high - low + 1, "channels": channels, "pixels": _pixels(x.shape[1:])}


def _pixels(shape: tuple[int, ...]) -> int:
    picture = _picture_shape(shape)
    return math.prod(shape) if picture is None else picture[0] * picture[1]
