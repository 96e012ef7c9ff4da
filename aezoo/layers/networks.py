"""Builders of encoders and decoders: multilayer perceptrons, convolutional nets, and the transpose of an encoder."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from aezoo import losses
from aezoo.layers._unit_rows import RowDecoder, RowEncoder
from aezoo.layers.centering import Centering
from aezoo.layers.dense_transpose import DenseTranspose
from aezoo.layers.quantizer import Quantizer
from aezoo.layers.top_k import TopK

Shape = tuple[int, ...]


class _Initializers:
    """Glorot initialisers with a seed of their own for each layer, reproducible from one seed."""

    def __init__(self, seed: int | None):
        self.seed = seed

    def __call__(self) -> keras.initializers.Initializer:
        if self.seed is not None:
            self.seed += 1
        return keras.initializers.GlorotUniform(self.seed)


def _convolution(rank: int, transpose: bool = False) -> type[keras.layers.Layer]:
    if rank not in (1, 2, 3):
        raise ValueError(
            f"A convolutional network needs inputs with 1 to 3 spatial axes and channels last, but there are {rank}: "
            "leave `filters` empty, or give an encoder and a decoder of your own."
        )
    return getattr(keras.layers, f"Conv{rank}D{'Transpose' if transpose else ''}")


def warn_of_axes(input_shape: Shape) -> None:
    """Warns where samples for convolutions look like images whose axis of channels is missing or comes first.

    Images without channels are samples whose axes, two or three, are equally long, 8 or more each, such as (28, 28): a
    convolution would take the columns for channels. A series of as many channels as steps looks the same, one of
    (48, 3), (140, 1) or (128, 64) does not. Channels come first in samples such as (3, 32, 32), of 1, 3 or 4 channels.

    Args:
        input_shape: Shape of a sample, as convolutions take it.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn_of_axes((28, 28))
        >>> "give them as x[..., None]" in str(caught[0].message)
        True
    """
    *spatial, channels = input_shape
    if len(spatial) not in (1, 2) or channels is None or channels < 8:
        return
    if set(spatial) == {channels}:
        advice = "without an axis for channels: if they are, give them as x[..., None]"
    elif len(spatial) == 2 and spatial[0] in (1, 3, 4) and spatial[1] == channels:
        advice = "with their channels first: if they are, give them as np.moveaxis(x, 1, -1)"
    else:
        return
    warnings.warn(
        f"Samples of shape {tuple(input_shape)} look like images {advice}; with `filters` the last axis, here of "
        f"{channels}, is taken for channels.",
        stacklevel=4,
    )


def encoder(
    input_shape: Shape,
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (),
    filters: Sequence[int] = (),
    activation: Any = "relu",
    code_activation: Any = None,
    rows: bool = False,
    centered: bool = False,
    seed: int | None = None,
    dtype: Any = None,
) -> keras.Sequential:
    """Builds z = σ(Wx + b), with convolutions of stride 2 and hidden layers before it where asked for.

    Args:
        input_shape: Shape of one sample; with `filters`, (..., channels) with one to three spatial axes. A warning says
            where samples look like images without channels, or with channels first; see `warn_of_axes`.
        latent_dim: Number of code units.
        hidden_dims: Units of the dense hidden layers, from the input on.
        filters: Channels of the convolutions (kernel 3, stride 2, "same"), from the input on.
        activation: Of convolutions and hidden layers.
        code_activation: Of the code.
        rows: Whether the layer of the code is a `RowEncoder`.
        centered: Whether a `Centering` comes first.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, *input_shape) → (batch, latent_dim).

    Raises:
        ValueError: If filters are given for samples without 1 to 3 spatial axes.

    Example:
        >>> encoder((8, 8, 1), latent_dim=4, hidden_dims=(16,)).output_shape
        (None, 4)
    """
    if filters:
        warn_of_axes(input_shape)
    initializer = _Initializers(seed)
    stack: list[keras.layers.Layer] = [keras.Input(input_shape), *([Centering(dtype=dtype)] if centered else [])]
    for n in filters:
        convolution = _convolution(len(input_shape) - 1)
        stack.append(
            convolution(
                n,
                3,
                strides=2,
                padding="same",
                activation=activation,
                kernel_initializer=initializer(),
                dtype=dtype,
            )
        )
    stack.append(keras.layers.Flatten(dtype=dtype))
    for units in hidden_dims:
        stack.append(keras.layers.Dense(units, activation=activation, kernel_initializer=initializer(), dtype=dtype))
    code = RowEncoder if rows else keras.layers.Dense
    stack.append(
        code(latent_dim, activation=code_activation, kernel_initializer=initializer(), name="code", dtype=dtype)
    )
    return keras.Sequential(stack, name="encoder")


def decoder(
    output_shape: Shape,
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (),
    filters: Sequence[int] = (),
    activation: Any = "relu",
    output_activation: Any = "sigmoid",
    rows: bool = False,
    seed: int | None = None,
    dtype: Any = None,
) -> keras.Sequential:
    """Builds the mirror image of `encoder`: give it the same `hidden_dims` and `filters`.

    The output activation is computed in float32 whatever the policy: half precision saturates a sigmoid.

    Args:
        output_shape: Shape of one reconstruction.
        latent_dim: Number of code units.
        hidden_dims: As given to `encoder`; used from the last to the first.
        filters: As given to `encoder`; used from the last to the first.
        activation: Of convolutions and hidden layers.
        output_activation: Of the reconstruction.
        rows: Whether the first layer is a `RowDecoder`.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, latent_dim) → (batch, *output_shape).

    Raises:
        ValueError: If filters are given for reconstructions without 1 to 3 spatial axes.

    Example:
        >>> decoder((8, 8, 1), latent_dim=4, hidden_dims=(16,)).output_shape
        (None, 8, 8, 1)
    """
    initializer = _Initializers(None if seed is None else seed + 1_000)
    stack: list[keras.layers.Layer] = [keras.Input((latent_dim,))]

    def dense(units: int, activation: Any) -> keras.layers.Layer:
        kind = RowDecoder if rows and len(stack) == 1 else keras.layers.Dense
        return kind(units, activation=activation, kernel_initializer=initializer(), dtype=dtype)

    for units in reversed(hidden_dims):
        stack.append(dense(units, activation))
    if not filters:
        stack += [dense(math.prod(output_shape), None), keras.layers.Reshape(output_shape, dtype=dtype)]
    else:
        *sizes, channels = output_shape
        rank = len(sizes)
        small = [math.ceil(size / 2 ** len(filters)) for size in sizes]
        stack += [
            dense(math.prod(small) * filters[-1], activation),
            keras.layers.Reshape((*small, filters[-1]), dtype=dtype),
        ]
        for n, function in zip(
            [*reversed(filters[:-1]), channels], [*[activation] * (len(filters) - 1), None], strict=True
        ):
            stack.append(
                _convolution(rank, transpose=True)(
                    n,
                    3,
                    strides=2,
                    padding="same",
                    activation=function,
                    kernel_initializer=initializer(),
                    dtype=dtype,
                )
            )
        excess = [s * 2 ** len(filters) - size for s, size in zip(small, sizes, strict=True)]
        if any(excess):
            cropping = getattr(keras.layers, f"Cropping{rank}D")
            crop = [(0, e) for e in excess]
            stack.append(cropping(crop if rank > 1 else crop[0], dtype=dtype))
    stack.append(keras.layers.Activation(output_activation, dtype="float32", name="output"))
    return keras.Sequential(stack, name="decoder")


def spatial(
    channels: int,
    latent_dim: int,
    *,
    rank: int = 2,
    filters: Sequence[int] = (),
    activation: Any = "relu",
    code_activation: Any = None,
    output_activation: Any = "sigmoid",
    seed: int | None = None,
    dtype: Any = None,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Builds an encoder and a decoder of convolutions alone, for images of any size that the stride divides.

    Each convolution (kernel 5, "same") halves the image: those of `filters`, and a last one to `latent_dim` channels.

    Args:
        channels: Of the images.
        latent_dim: Channels of the code.
        rank: Number of spatial axes, 1 to 3.
        filters: Channels of the convolutions before the code, from the input on; the decoder mirrors them.
        activation: Of these.
        code_activation: Of the code.
        output_activation: Of the reconstruction.
        seed: Seed of the initial weights.
        dtype: Keras dtype policy.

    Returns:
        Two built Keras models: (batch, h, w, channels) → (batch, h / s, w / s, latent_dim) and back, where
        s = 2^(len(filters) + 1).
    """
    initializer = _Initializers(seed)
    sizes = (None,) * rank

    def convolution(n: int, activation: Any, transpose: bool = False) -> keras.layers.Layer:
        return _convolution(rank, transpose)(
            n,
            5,
            strides=2,
            padding="same",
            activation=activation,
            kernel_initializer=initializer(),
            dtype=dtype,
        )

    down = [convolution(n, activation) for n in filters] + [convolution(latent_dim, code_activation)]
    up = [convolution(n, activation, transpose=True) for n in reversed(filters)]
    up += [
        convolution(channels, None, transpose=True),
        keras.layers.Activation(output_activation, dtype="float32", name="output"),
    ]
    return (
        keras.Sequential([keras.Input((*sizes, channels)), *down], name="encoder"),
        keras.Sequential([keras.Input((*sizes, latent_dim)), *up], name="decoder"),
    )


def named_inputs(network: keras.layers.Layer) -> dict[str, Any] | None:
    """Return the inputs of a functional model that takes a dict, by name; None for any other network.

    Args:
        network: A Keras model or layer.

    Example:
        >>> x, label = keras.Input((3,), name="x"), keras.Input((), name="label")
        >>> sorted(named_inputs(keras.Model({"x": x, "label": label}, x)))
        ['label', 'x']
    """
    inputs = getattr(network, "_inputs_struct", None)
    return dict(inputs) if isinstance(inputs, dict) else None


def can_tie(arguments: Mapping[str, Any]) -> bool:
    """Returns whether a model's decoder is the model's own, and dense, so that it can be the encoder's transpose.

    Args:
        arguments: The arguments of `aezoo.Autoencoder` that a user gave, by name.

    Example:
        >>> can_tie({"hidden_dims": (8,)}), can_tie({"filters": (4, 8)})
        (True, False)
    """
    return arguments.get("decoder") is None and not arguments.get("filters")


def transpose(encoder: keras.Model, output_activation: Any = "sigmoid", dtype: Any = None) -> keras.Sequential:
    """Builds the decoder that shares the kernels of an encoder, transposed: W' = Wᵀ.

    Args:
        encoder: A built `keras.Sequential` of `Dense`, `Flatten`, `Reshape`, `Dropout` and `InputLayer`, or with a
            `RowEncoder` at its end.
        output_activation: Of the reconstruction; a hidden layer takes the activation of the layer it mirrors.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, from a code to the encoder's input shape.

    Raises:
        ValueError: If the encoder has a layer that cannot be transposed.

    Example:
        >>> encode = encoder((8, 8, 1), latent_dim=4, hidden_dims=(16,))
        >>> transpose(encode).output_shape
        (None, 8, 8, 1)
    """
    layers = chain(encoder, (keras.layers.Dense, RowEncoder))
    if layers is None:
        raise ValueError(
            f"tied=True shares transposed kernels, but the encoder {encoder.name!r} has layers that cannot be "
            "transposed (only a Sequential of Dense on flat inputs, Flatten, Reshape and Dropout can): set tied=False, "
            "or give a decoder of your own."
        )
    dense = [layer for layer in layers if isinstance(layer, (keras.layers.Dense, RowEncoder))]
    stack: list[keras.layers.Layer] = [keras.Input((dense[-1].units,))]
    for below, layer in zip([None, *dense[:-1]], dense, strict=True):
        activation = None if below is None else below.activation
        by_rows = isinstance(layer, RowEncoder)
        inputs, kind = (layer.kernel.shape[1], RowDecoder) if by_rows else (layer.kernel.shape[0], DenseTranspose)
        stack.insert(1, kind(inputs, activation, tied_to=layer, dtype=dtype))
    stack += [
        keras.layers.Reshape(encoder.input_shape[1:], dtype=dtype),
        keras.layers.Activation(output_activation, dtype="float32", name="output"),
    ]
    return keras.Sequential(stack, name="decoder")


def chain(encoder: keras.layers.Layer, dense: Any = keras.layers.Dense) -> list[keras.layers.Layer] | None:
    """Returns the layers of an encoder that is a chain of dense layers, or None if it is something else.

    A dense layer on inputs of several axes works along the last alone: its kernel is that of no chain.

    Args:
        encoder: A Keras model.
        dense: The kinds of dense layers that may be in it.

    Returns:
        Its layers in order, those of nested models in their place, at least one of them dense; `Flatten`, `Reshape`,
        `Dropout`, `Centering`, `Quantizer` and `TopK` may stand between.
    """
    layers = _flat(encoder)
    harmless = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout, Centering, Quantizer, TopK)
    is_dense = [isinstance(layer, dense) and _sees_flat_inputs(layer) for layer in layers]
    known = all(d or isinstance(layer, harmless) for d, layer in zip(is_dense, layers, strict=True))
    return layers if known and any(is_dense) else None


def _sees_flat_inputs(layer: keras.layers.Layer) -> bool:
    return len((layer.get_build_config() or {}).get("input_shape", ())) == 2


def _flat(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    if not isinstance(network, keras.Sequential):
        return [network]
    return [layer for part in network.layers for layer in _flat(part)]


def output_activation(network: keras.layers.Layer, through: Any = ()) -> Any:
    """Return the activation function of a network's output, or None where it has none.

    Layers that only change the shape are looked through, those of nested and functional models too.

    Args:
        network: A Keras model or layer.
        through: Further kinds of layers to look through.

    Returns:
        The function, as `keras.activations.sigmoid`.

    Example:
        >>> layers = [keras.Input((3,)), keras.layers.Dense(8, "sigmoid"), keras.layers.Reshape((2, 4))]
        >>> output_activation(keras.Sequential(layers)) is keras.activations.sigmoid
        True
    """
    last = next((layer for layer in _backwards(network) if not (_only_shapes(layer) or isinstance(layer, through))), 0)
    return _activation(last)


_SHAPES = tuple(
    getattr(keras.layers, name)
    for name in "Reshape Flatten Permute RepeatVector Cropping1D Cropping2D Cropping3D Identity".split()
)
# What functions of keras.ops are in a functional model, by the name of the class.
_SHAPE_OPERATIONS = {"Reshape", "Squeeze", "ExpandDims", "Transpose"}
_OPERATIONS = {"Sigmoid": keras.activations.sigmoid, "Tanh": keras.activations.tanh}


def _activation(layer: Any) -> Any:
    return getattr(layer, "activation", None) or _OPERATIONS.get(type(layer).__name__)


def _only_shapes(layer: Any) -> bool:
    """Whether a layer gives the values that it is given, in another shape."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, _SHAPES) or type(layer).__name__ in _SHAPE_OPERATIONS


def _backwards(network: Any) -> Iterator[Any]:
    """Yields the layers and operations of a network from its output on back, as far as they are one chain."""
    if isinstance(network, keras.layers.TimeDistributed):
        yield from _backwards(network.layer)
    elif not getattr(network, "layers", None):
        yield network
    elif isinstance(network, keras.Sequential) or not getattr(network, "outputs", None):
        for layer in reversed(network.layers):
            yield from _backwards(layer)
    else:
        tensors = network.outputs
        while len(tensors) == 1:
            operation, node, _ = tensors[0]._keras_history
            if isinstance(operation, keras.layers.InputLayer):
                return
            yield from _backwards(operation)
            tensors = operation._inbound_nodes[node].input_tensors


def carry_logits(network: keras.layers.Layer) -> None:
    """Make the layers of a network mark what a sigmoid gives with its logits, also behind a change of shape.

    `aezoo.losses.logits_of` finds them. Keras marks the output of a sigmoid alone, so that `Reshape` loses the mark.

    Args:
        network: A Keras model or layer. Neither its configuration nor what it computes changes.

    Example:
        >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "sigmoid"), keras.layers.Flatten()])
        >>> carry_logits(network)
        >>> losses.logits_of(network(keras.ops.ones((5, 3)))).shape
        TensorShape([5, 8])
    """
    for layer in {id(layer): layer for part in _parts(network) for layer in part}.values():
        if _only_shapes(layer) or _activation(layer) is keras.activations.sigmoid:
            _carry(layer)


def _parts(network: Any) -> Iterator[list[Any]]:
    for layer in network._flatten_layers():
        yield [layer, *getattr(layer, "operations", ())]


def _carry(layer: Any) -> None:
    call = layer.call
    if hasattr(call, "carries_logits"):
        return

    @functools.wraps(call)
    def carrying(*args: Any, **kwargs: Any) -> Any:
        y = call(*args, **kwargs)
        x = args[0] if args else None
        if y is x:
            return y
        if not _only_shapes(layer):  # a sigmoid, of which Keras marks the output
            return losses.with_logits(y, getattr(y, "_keras_logits", None))
        logits = losses.logits_of(x)
        return y if logits is None else losses.with_logits(y, call(logits))

    carrying.carries_logits = True
    layer.call = carrying
