"""Figures of learned features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import keras
import matplotlib.figure
import numpy as np

from aezoo import _validation
from aezoo._typing import Array, ArrayLike
from aezoo.evaluation import noise_units
from aezoo.plots import tiles

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder


#: Units whose norm is below this share of the largest norm are dead; this share of the weights on one scale is clipped.
DEAD, CLIPPED = 1e-3, 1e-3


def filters(
    model: Autoencoder | ArrayLike | Mapping[str, Autoencoder | ArrayLike],
    n: int = 36,
    *,
    order: Literal["features", "norm", "index"] = "features",
    part: Literal["encoder", "decoder"] = "encoder",
    scale: Literal["shared", "each"] = "shared",
    tile: int = 40,
) -> matplotlib.figure.Figure:
    """Show learned features as pictures, one tile per unit.

    Mid-gray is 0, white a large positive weight and black a large negative one. The tiles of a model share one scale,
    so that a weak unit looks weak. The largest 0.1 % of the weights shown are clipped, so that a single large weight
    does not dim all others.

    Args:
        model: A model with `encoder` and `decoder`, or the pictures to show, an array of shape (units, height, width),
            (units, height, width, channels) or (units, height * width) with height = width. The first dense or 2-D
            convolution kernel of an encoder is shown, or the last one of a decoder. One or three channels are shown as
            gray or color, any other number as their mean. To compare models, pass {title: model}: they are shown side
            by side, at most four per row.
        n: Maximum number of tiles per model, at least 1.
        order: "features" sorts by falling Euclidean norm, with noise units (see `aezoo.evaluation.noise_units`) after
            all others and dead units, with a norm below 0.1 % of the largest, last. "norm" is the same without the
            search for noise units. "index" keeps the model's order.
        part: Network whose weights are shown, "encoder" or "decoder". Ignored for arrays.
        scale: "shared" uses one scale for all tiles of a model; "each" divides a tile by its own largest absolute
            weight, so that weak units, including noise, look as strong as all others.
        tile: Minimum width and height of a tile in pixels. Larger tiles leave room for fewer models per row.

    Returns:
        The figure, with one axes per model. Each axes has one image: the tiles, row by row.

    Raises:
        ValueError: If an argument is out of range, or if the network is not built, has no such kernel, or has a kernel
            that is not connected to whole images or has values that are not finite.

    Example:
        ```python
        figure = aezoo.plots.filters(model, n=64)
        figure.savefig("filters.png")
        aezoo.plots.filters({f"k = {model.top_k.k}": model for model in models})
        ```
    """
    _validation.check_choice("order", order, ("features", "norm", "index"))
    _validation.check_choice("part", part, ("encoder", "decoder"))
    _validation.check_choice("scale", scale, ("shared", "each"))
    _validation.check_int("n", n, 1)
    _validation.check_int("tile", tile, 1)
    if not isinstance(model, Mapping):
        name = f"{part} filters" if hasattr(model, "encoder") else "filters"
        shown, total = _feature_tiles(model, n, order, part, scale, name)
        count = f"{total:,}" if len(shown) == total else f"{len(shown):,} of {total:,}"
        panels = {f"{name} ({count}{'' if order == 'index' else ', by norm'})": shown}
    elif model:
        panels = {title: _feature_tiles(one, n, order, part, scale, title)[0] for title, one in model.items()}
    else:
        raise ValueError("plots.filters got no model: pass {title: model}.")
    columns = math.ceil(math.sqrt(max(map(len, panels.values()))))
    return tiles.tile_figure(panels, columns=columns, across=4, tile=tile)


def _feature_tiles(
    model: Autoencoder | Array, n: int, order: str, part: str, scale: str, name: str
) -> tuple[np.ndarray, int]:
    """Return at most n features as tiles in [0, 1], and the number of all features."""
    weights = kernel_pictures(model, part) if hasattr(model, "encoder") else np.asarray(model)  # type: ignore[arg-type]
    if weights.ndim not in (2, 3, 4) or weights.size == 0:
        raise ValueError(
            f"plots.filters got an array of shape {weights.shape}: pass a model with an `encoder`, or "
            "pictures of shape (units, height, width) or (units, height, width, channels)."
        )
    weights = weights.astype("float32")
    if not np.isfinite(weights).all():
        raise ValueError(f"The {name} have values that are not finite (NaN or inf): the training diverged.")
    pictures = tiles.as_pictures(weights)
    if pictures is None:
        raise ValueError(
            f"Each of the {name} has {weights.shape[1]} weights, which is not a square picture: pass them as "
            "pictures, plots.filters(weights.reshape(units, height, width))."
        )
    if order != "index":
        norms = np.linalg.norm(weights.reshape(len(weights), -1), axis=1)
        dead = norms < DEAD * norms.max()
        noise = noise_units(pictures) if order == "features" else np.zeros_like(dead)
        pictures = pictures[np.lexsort((-norms, noise, dead))]
    return signed_tiles(pictures[:n], scale), len(weights)


def signed_tiles(pictures: np.ndarray, scale: str = "each") -> np.ndarray:
    """Return pictures of weights as tiles in [0, 1], with 0 as mid-gray: on one scale, or each on its own."""
    sizes = np.abs(pictures)
    largest = sizes.reshape(len(pictures), -1).max(axis=1)
    if scale == "shared":
        largest[:] = np.quantile(sizes, 1 - CLIPPED, method="higher")
    largest[largest == 0] = 1  # a dead unit stays mid-gray
    shown = pictures / largest.reshape(-1, *[1] * (pictures.ndim - 1))
    return 0.5 + 0.5 * np.clip(shown, -1, 1)


def kernel_pictures(model: Autoencoder, part: str) -> np.ndarray:
    """Return the weights of a network next to the image, one picture per unit.

    Args:
        model: A built model.
        part: "encoder" or "decoder".

    Returns:
        (units, *image_shape) for a dense layer, (units, height, width, channels) for a convolution.

    Raises:
        ValueError: If there is no such layer, or the layer is not connected to whole images.
    """
    network = getattr(model, part)
    layers = list(layers_with_kernel(network))
    layer = layers[0 if part == "encoder" else -1] if layers else None
    if layer is None or len(layer.kernel.shape) not in (2, 4):
        raise ValueError(
            f"model.{part} has no built Dense or Conv2D layer next to the image: call the model on a batch first, or "
            "pass the pictures as an array, plots.filters(weights.reshape(units, height, width))."
        )
    classes = {cls.__name__ for cls in type(layer).__mro__}
    kernel = np.asarray(layer.kernel)
    if kernel.ndim == 4:
        # Keras stores (height, width, in, out) for Conv2D and (height, width, out, in) for Conv2DTranspose. The units
        # are on the side of the code: `out` in an encoder, `in` in a decoder.
        unit_axis = 3 if (part == "encoder") != ("Conv2DTranspose" in classes) else 2
        return np.moveaxis(kernel, unit_axis, 0)
    # A tied decoder holds the encoder's kernel, (features, units), and multiplies by its transpose.
    if (part == "encoder" or "DenseTranspose" in classes) and "RowEncoder" not in classes:
        kernel = kernel.T
    shape = network.input_shape if part == "encoder" else network.output_shape
    shape = tuple(shape[1:]) if isinstance(shape, tuple) else ()
    if None in shape or math.prod(shape) != kernel.shape[1]:
        raise ValueError(
            f"Layer {layer.name!r} of model.{part} has {kernel.shape[1]} weights per unit, which is not the "
            f"number of values in an image of shape {shape}: pass the pictures as an array instead."
        )
    return kernel.reshape(len(kernel), *shape)


def layers_with_kernel(layer: keras.layers.Layer) -> Iterator[Any]:
    """Yield the layers of a network that have a kernel, in order, including layers of nested models."""
    inner = getattr(layer, "layers", None)
    if inner is not None:
        for child in inner:
            yield from layers_with_kernel(child)
    elif getattr(layer, "built", False) and hasattr(layer, "kernel"):
        yield layer
