"""Inputs and filters that show what single units of a network respond to."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from aezoo import _validation
from aezoo._numerics import as_float32
from aezoo._typing import Data, Shape, Tensor
from aezoo.layers import networks
from aezoo.layers.batch_normalization import BatchNormalization
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.dense_transpose import SharedDense
from aezoo.training import gate

_L = keras.layers
_NORMALIZATIONS = (_L.BatchNormalization, BatchNormalization, _L.LayerNormalization, _L.GroupNormalization)
_FIRST_STEP = 0.5  # length of the first step of an ascent, in units of the norm


def activations(model: Any, x: Data, layer: int | str | None = None, *, batch_size: int = 256) -> np.ndarray:
    """Return the pre-activations of the units of a layer, the inputs of its activation function.

    Args:
        model: A built model of aezoo, a stack, or a Keras model such as a classifier; its encoder, or the whole network
            of a Keras model, is one chain of layers.
        x: Samples, (n, *input_shape), or a data set of batches of samples, whose targets are ignored.
        layer: The number of a layer with weights, from the input on and from 0, negative from the end; or its name. In
            a stack the layers of all encoders are counted. None takes the last one: the code.
        batch_size: Number of samples of an array that are computed at once; a data set has batches of its own.

    Returns:
        (n, units) float32. A unit of a convolution is a channel, with its largest value over the places of an image.

    Raises:
        ValueError: If the model is not built, has no such layer, or is not a chain of layers; or if there are no
            samples.

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(4, hidden_dims=(16,))
        >>> model.build((None, 8, 8, 1))
        >>> x = np.zeros((5, 8, 8, 1), "float32")
        >>> activations(model, x, layer=0).shape, activations(model, x).shape
        ((5, 16), (5, 4))
    """
    _validation.check_int("batch_size", batch_size, 1)
    function, _ = _pre_activation(model, layer)
    parts = [np.asarray(function(batch)) for batch in _batches(x, batch_size)]
    if not parts:
        raise ValueError("There are no samples whose activations could be computed.")
    return np.concatenate(parts)


def _batches(x: Data, batch_size: int) -> Iterator[np.ndarray]:
    if gate.is_stream(x):
        for element in gate.elements(x):
            samples = keras.utils.unpack_x_y_sample_weight(element)[0]
            yield np.asarray(samples["x"] if gate.is_dict(samples) else samples, "float32")
    else:
        x = np.asarray(x, "float32")
        yield from (x[i : i + batch_size] for i in range(0, len(x), batch_size))


def top_inputs(
    model: Any,
    x: Data,
    units: int | Sequence[int] | None = None,
    n: int = 9,
    layer: int | str | None = None,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Return the samples of a data set that excite a unit most.

    Args:
        model: As in `activations`.
        x: Samples, (m, *input_shape), or a data set as in `activations` that keeps its order.
        units: A unit, several, or None for all units of the layer.
        n: Number of samples per unit; all samples if there are fewer.
        layer: As in `activations`.
        batch_size: Number of samples that are computed at once.

    Returns:
        Indices of samples, (units, n) int, by decreasing pre-activation; equal ones in the order of the samples.

    Raises:
        ValueError: As in `activations`, or if a unit does not exist.

    Example:
        >>> import aezoo
        >>> (x, _), _ = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(4)
        >>> model.build((None, 8, 8, 1))
        >>> top = top_inputs(model, x, units=2, n=20)
        >>> x[top].mean(axis=1).shape  # the mean of the images that excite unit 2 most
        (1, 8, 8, 1)
    """
    _validation.check_int("n", n, 1)
    values = activations(model, x, layer, batch_size=batch_size)
    chosen = _chosen(units, values.shape[1])
    return np.argsort(-values[:, chosen], axis=0, kind="stable")[:n].T


def activation_maximization(
    model: Any,
    units: int | Sequence[int] | None = None,
    layer: int | str | None = None,
    *,
    norm: float = 1.0,
    total_variation: float = 0.01,
    steps: int = 200,
    starts: int = 8,
    seed: int = 0,
) -> np.ndarray:
    """Return the input of a given norm that excites a unit most, found by gradient ascent.

    Maximizes a(x) - λ TV(x) subject to ‖x‖ = norm, where a is the pre-activation and TV the sum of the absolute
    differences of neighboring pixels. For a linear unit a = wᵀx + b without TV, the maximizer is norm · w/‖w‖. For
    deeper units the ascent finds a local maximum; it starts at several random points and returns the best result.

    Args:
        model: As in `activations`.
        units: A unit, several, or None for all units of the layer.
        layer: As in `activations`.
        norm: ‖x‖, such as the mean norm of the data. It matters for units that are not linear.
        total_variation: λ >= 0, for images (h, w) or (h, w, channels); ignored for other samples.
        steps: Number of steps, whose length falls to 0.
        starts: Number of random starts per unit.
        seed: Seed of the starts.

    Returns:
        (units, *input_shape) float32. Values may be negative: show them as weights, not as images in [0, 1].

    Raises:
        ValueError: As in `activations`, or if a unit does not exist, an argument is out of range, or the input has no
            fixed shape.

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(4, hidden_dims=(16,))
        >>> model.build((None, 8, 8, 1))
        >>> best = activation_maximization(model, units=[0, 3], steps=20)
        >>> best.shape, np.linalg.norm(best.reshape(2, -1), axis=1).round(3).tolist()
        ((2, 8, 8, 1), [1.0, 1.0])

    Reference:
        Erhan, Bengio, Courville & Vincent, "Visualizing higher-layer features of a deep network", University of
        Montreal TR 1341, 2009; Mahendran & Vedaldi, "Understanding deep image representations by inverting them", CVPR
        2015, for the total variation.
    """
    _validation.check_at_least("total_variation", total_variation, 0)
    _validation.check_int("steps", steps, 1)
    _validation.check_int("starts", starts, 1)
    if not norm > 0:
        raise ValueError(f"norm must be positive, not {norm!r}.")
    function, shape = _pre_activation(model, layer)
    _validation.check_known_shape(shape)
    chosen = _chosen(units, int(function(tf.zeros((1, *shape))).shape[1]))
    rng = np.random.default_rng(seed)
    unit = tf.repeat(tf.constant(chosen, "int32"), starts)
    axes = tuple(range(1, len(shape) + 1))

    def scaled(x: Tensor, length: float | Tensor) -> Tensor:
        size = tf.sqrt(tf.reduce_sum(tf.square(x), axis=axes, keepdims=True))
        return x * tf.math.divide_no_nan(length, size)

    def objective(x: Tensor) -> Tensor:
        value = tf.gather(function(x), unit, batch_dims=1)
        return value - total_variation * _total_variation(x) if total_variation else value

    @tf.function(autograph=False)  # several times as fast as eager steps
    def step(x: Tensor, length: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = objective(x)
        return scaled(x + scaled(tape.gradient(value, x), length), norm)

    x = scaled(tf.constant(rng.normal(size=(len(unit), *shape)), "float32"), norm)
    for i in range(steps):
        x = step(x, tf.constant(_FIRST_STEP * (1 - i / steps) * norm, "float32"))
    values = np.asarray(objective(x)).reshape(len(chosen), starts)
    found = np.asarray(x).reshape(len(chosen), starts, *shape)
    return found[np.arange(len(chosen)), values.argmax(axis=1)]


def combined_filters(
    model: Any, layer: int | None = None, part: Literal["encoder", "decoder"] = "encoder"
) -> np.ndarray:
    """Return units of a deeper dense layer as weighted sums of the filters of the layer below, down to the input.

    The filters of layer l are the rows of (W₁ W₂ ⋯ W_l)ᵀ, which is what the layer would compute if all layers were
    linear. The picture is faithful if the layers below are nearly linear, as in Lee et al.; otherwise compare it with
    `activation_maximization` and `top_inputs`.

    Args:
        model: A built model of aezoo or a stack with dense layers.
        layer: The number of the layer, from 0 for the layer next to the samples; negative from the code. None takes the
            code.
        part: "encoder" for the weights from the input to the unit; "decoder" for the weights from the unit to the
            reconstruction, which show its contribution.

    Returns:
        (units, *input_shape) float32.

    Raises:
        ValueError: If the model is not built, a layer below is not dense, or there is no such layer.

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(4, hidden_dims=(16,))
        >>> model.build((None, 8, 8, 1))
        >>> combined_filters(model).shape, combined_filters(model, layer=0).shape
        ((4, 8, 8, 1), (16, 8, 8, 1))

    Reference:
        Lee, Ekanadham & Ng, "Sparse deep belief net model for visual area V2", NeurIPS 2008.
    """
    _validation.check_choice("part", part, ("encoder", "decoder"))
    stages = _stages(model)
    shape = tuple(stages[0].x_shape if part == "encoder" else stages[0].y_shape)
    matrices = []
    for stage in stages:
        layers = [one for one in networks.path(getattr(stage, part)) if getattr(one, "weights", ())]
        for one in layers[::-1] if part == "encoder" else layers:
            if isinstance(one, CodeLayer):
                continue
            if not isinstance(one, (_L.Dense, SharedDense)):
                raise ValueError(
                    f"The layer {one.name!r} ({type(one).__name__}) is not dense: name a layer with only dense ones "
                    "below."
                )
            kernel = np.asarray(as_float32(one.kernel))
            is_transposed = getattr(one, "transposed", False) != (part == "decoder")
            matrices.append(kernel.T if is_transposed else kernel)
    last = _index(len(matrices) - 1 if layer is None else layer, len(matrices))
    product = matrices[0]
    for matrix in matrices[1 : last + 1]:
        product = product @ matrix
    if product.shape[0] != math.prod(shape):
        raise ValueError(
            f"The first layer has {product.shape[0]} weights per unit, but samples have shape {shape}: give a model "
            "whose first dense layer sees whole samples."
        )
    return product.T.reshape(-1, *shape)


# === Layers ===


def _stages(model: Any) -> list[Any]:
    stages = list(getattr(model, "stages", [model]))
    for stage in stages:
        _validation.check_built(stage)
    return stages


def _pre_activation(model: Any, layer: int | str | None) -> tuple[Callable[[Tensor], Tensor], Shape]:
    """Return a function from samples to pre-activations, (batch, units), and the shape of a sample."""
    stages = _stages(model)
    if getattr(model, "condition_names", ()):
        raise ValueError(
            f"{model.name!r} has conditions, so its encoder is not a chain of layers: give a model without conditions."
        )
    first = stages[0]
    shape = tuple(first.x_shape) if hasattr(first, "x_shape") else tuple(first.input_shape[1:])
    chain = [one for stage in stages for one in [*networks.path(getattr(stage, "encoder", stage))][::-1]]
    _check_chain(stages, chain, shape)
    places = [
        i
        for i, one in enumerate(chain)
        if getattr(one, "weights", ()) and not isinstance(one, (*_NORMALIZATIONS, CodeLayer))
    ]
    if not places:
        raise ValueError(f"{getattr(model, 'name', 'The stack')!r} has no layer with weights.")
    if isinstance(layer, str):
        names = [chain[i].name for i in places]
        _validation.check_choice("layer", layer, names)
        at = places[names.index(layer)]
    else:
        at = places[_index(len(places) - 1 if layer is None else layer, len(places))]
    end = at + 1
    while end < len(chain) and isinstance(chain[end], _NORMALIZATIONS):  # normalization precedes the activation
        end += 1

    def function(x: Tensor) -> Tensor:
        with _without_activation(chain[at]):
            for one in chain[:end]:
                x = one(x)
        x = as_float32(x)
        return x if len(x.shape) == 2 else tf.reduce_max(x, axis=tuple(range(1, len(x.shape) - 1)))

    return function, shape


@contextlib.contextmanager
def _without_activation(layer: Any) -> Iterator[None]:
    activation = getattr(layer, "activation", None)
    if activation is None:
        yield
        return
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


def _check_chain(stages: Sequence[Any], chain: Sequence[Any], shape: Shape) -> None:
    """Check that layers in sequence compute the same as the networks, which fails for networks with branches."""
    x = np.random.default_rng(0).random((2, *(size or 32 for size in shape)), "float32")
    try:
        code = made = tf.constant(x)
        for stage in stages:
            code = getattr(stage, "encoder", stage)(code)
        for one in chain:
            made = one(made)
        is_chain = bool(np.allclose(as_float32(made), as_float32(code), rtol=1e-3, atol=1e-4))
    except Exception:  # a layer may refuse the inputs of another
        is_chain = False
    if not is_chain:
        name = getattr(stages[-1], "name", "")
        raise ValueError(
            f"The layers of {name!r} are not one chain from one input to one output: give a model without branches."
        )


def _index(index: int, count: int) -> int:
    index = _validation.check_int("layer", index)
    if not -count <= index < count:
        raise ValueError(f"layer={index} does not exist: there are {count} layers with weights, 0 to {count - 1}.")
    return index % count


def _chosen(units: int | Sequence[int] | None, count: int) -> np.ndarray:
    chosen = np.arange(count) if units is None else np.atleast_1d(np.asarray(units))
    if chosen.dtype.kind not in "iu" or not chosen.size or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"units={units!r}: expected numbers of units from 0 to {count - 1}.")
    return chosen


def _total_variation(x: Tensor) -> Tensor:
    if len(x.shape) == 3:
        x = x[..., None]
    return tf.image.total_variation(x) if len(x.shape) == 4 else 0.0
