"""Builders of encoders and decoders: multilayer perceptrons, convolutional networks and transposed encoders."""

from __future__ import annotations

import functools
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import keras

from aezoo import _keras, losses
from aezoo._typing import Activation, DType, Shape, Tensor
from aezoo.layers._unit_rows import RowDecoder, RowEncoder
from aezoo.layers.centering import Centering
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.dense_transpose import DenseTranspose, SharedDense
from aezoo.layers.dropout import Dropout
from aezoo.layers.gdn import GDN
from aezoo.layers.repeat import Repeat
from aezoo.layers.residual_block import ResidualBlock, convolution, normalization_layer

Normalization = Literal["batch", "layer"]
Upsampling = Literal["transpose", "resize"]


class Initializers:
    """Factory of Glorot initializers, each with its own seed, reproducible from one seed."""

    def __init__(self, seed: int | None):
        self.seed = seed

    def next_seed(self) -> int | None:
        if self.seed is not None:
            self.seed += 1
        return self.seed

    def __call__(self) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(self.next_seed())


class _Hidden:
    """Factory of the hidden layers of a network, each followed by its normalization, activation and dropout."""

    def __init__(
        self,
        activation: Activation | None,
        dropout: float,
        normalization: Normalization | None,
        kernel_size: int,
        residual: int,
        seed: int | None,
        dtype: DType | None,
        gdn: bool = False,
    ):
        self.gdn = gdn
        self.activation = activation
        self.dropout = dropout
        self.normalization = normalization
        self.kernel_size = kernel_size
        self.residual = residual
        self.dtype = dtype
        self.initializer = Initializers(seed)
        self._noise_seed = Initializers(None if seed is None else seed + 10_000)

    def layers(
        self, kind: type[Any], units: int, *then: keras.layers.Layer, **arguments: Any
    ) -> list[keras.layers.Layer]:
        """Create a hidden layer; `then` are layers that reshape its output before the normalization."""
        arguments = {"kernel_initializer": self.initializer(), "dtype": self.dtype, **arguments}
        if self.normalization is None:
            return [kind(units, activation=self.activation, **arguments), *then, *self._noise()]
        if self.normalization == "batch" and not issubclass(kind, SharedDense):
            arguments["use_bias"] = False  # normalization would cancel it
        normalization = normalization_layer(self.normalization, self.dtype)
        activation = keras.layers.Activation(self.activation, dtype=self.dtype)
        return [kind(units, **arguments), *then, normalization, activation, *self._noise()]

    def convolution(self, rank: int, n: int, up: str | None = None) -> list[keras.layers.Layer]:
        """Create a hidden convolution that halves its input or, given `up`, doubles it, and its residual blocks."""
        resized, kind, strides = self._step(rank, up)
        arguments = {"kernel_size": self.kernel_size, "strides": strides, "padding": "same"}
        if self.gdn:
            linear = kind(n, kernel_initializer=self.initializer(), dtype=self.dtype, **arguments)
            return [*resized, linear, GDN(inverse=up is not None, dtype=self.dtype)]
        return [*resized, *self.layers(kind, n, **arguments), *self.blocks()]

    def last(self, rank: int, n: int, activation: Activation | None, up: str | None = None) -> list[keras.layers.Layer]:
        """Create the last convolution of a network, without normalization and dropout."""
        resized, kind, strides = self._step(rank, up)
        convolution = kind(
            n,
            self.kernel_size,
            strides=strides,
            padding="same",
            activation=activation,
            kernel_initializer=self.initializer(),
            dtype=self.dtype,
        )
        return [*resized, convolution]

    def _step(self, rank: int, up: str | None) -> tuple[list[keras.layers.Layer], type[Any], int]:
        if up != "resize":
            return [], convolution(rank, transpose=up is not None), 2
        kind = convolution(rank)  # raises a ValueError for an unsupported rank
        return [Repeat((2,) * rank, dtype=self.dtype)], kind, 1

    def blocks(self) -> list[keras.layers.Layer]:
        """Create the residual blocks of one resolution."""
        stack: list[keras.layers.Layer] = []
        for _ in range(self.residual):
            seed, _ = self.initializer.next_seed(), self.initializer.next_seed()
            block = ResidualBlock(self.kernel_size, self.activation, self.normalization, seed, dtype=self.dtype)
            stack += [block, *self._noise()]
        return stack

    def _noise(self) -> list[keras.layers.Layer]:
        return [Dropout(self.dropout, self._noise_seed.next_seed(), dtype=self.dtype)] if self.dropout else []


def warn_of_axes(input_shape: Shape) -> None:
    """Warn if samples look like images without an axis of channels, or with channels first.

    Samples look like images without channels if their two or three axes have equal lengths of at least 8, such as
    (28, 28): a convolution would treat columns as channels. A series with as many channels as steps looks the same;
    series of shape (48, 3), (140, 1) or (128, 64) do not. Samples have channels first if their shape is like
    (3, 32, 32), with 1, 3 or 4 channels.

    Args:
        input_shape: Shape of a sample, as passed to convolutions.

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
    activation: Activation | None = "relu",
    code_activation: Activation | None = None,
    dropout: float = 0.0,
    normalization: Normalization | None = None,
    kernel_size: int = 3,
    residual: int = 0,
    rows: bool = False,
    centered: bool = False,
    first: keras.layers.Layer | None = None,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build an encoder z = σ(Wx + b), optionally with convolutions of stride 2 and dense hidden layers before it.

    Each hidden layer is followed by normalization, activation and dropout, in this order.

    Args:
        input_shape: Shape of one sample; with `filters`, (..., channels) with one to three spatial axes. Samples that
            look like images without channels, or with channels first, cause a warning; see `warn_of_axes`.
        latent_dim: Number of code units.
        hidden_dims: Units of the dense hidden layers, from the input to the code.
        filters: Channels of the convolutions (stride 2, "same"), from the input to the code.
        activation: Activation of convolutions and hidden layers.
        code_activation: Activation of the code.
        dropout: Fraction of the units of each hidden layer that a training step sets to 0, in [0, 1).
        normalization: "batch" or "layer" to normalize each hidden layer, or None.
        kernel_size: Size of the kernels of convolutions.
        residual: Number of residual blocks after each convolution; see `ResidualBlock`.
        rows: Whether the layer of the code is a `RowEncoder`.
        centered: Whether the first layer is a `Centering`.
        first: The first layer, which transforms the samples and keeps their shape; None for none.
        seed: Seed of the initial weights and of dropout.
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
    hidden = _Hidden(activation, dropout, normalization, kernel_size, residual, seed, dtype)
    stack: list[keras.layers.Layer] = [keras.Input(input_shape), *([] if first is None else [first])]
    stack += [Centering(dtype=dtype)] if centered else []
    for n in filters:
        stack += hidden.convolution(len(input_shape) - 1, n)
    stack.append(keras.layers.Flatten(dtype=dtype))
    for units in hidden_dims:
        stack += hidden.layers(keras.layers.Dense, units)
    code = RowEncoder if rows else keras.layers.Dense
    stack.append(
        code(latent_dim, activation=code_activation, kernel_initializer=hidden.initializer(), name="code", dtype=dtype)
    )
    return keras.Sequential(stack, name="encoder")


def decoder(
    output_shape: Shape,
    latent_dim: int,
    *,
    hidden_dims: Sequence[int] = (),
    filters: Sequence[int] = (),
    activation: Activation | None = "relu",
    output_activation: Activation = "sigmoid",
    dropout: float = 0.0,
    normalization: Normalization | None = None,
    kernel_size: int = 3,
    upsampling: Upsampling = "transpose",
    residual: int = 0,
    rows: bool = False,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build the decoder that mirrors `encoder` for the same `hidden_dims` and `filters`.

    The output activation is computed in float32 under every dtype policy, because half precision saturates a sigmoid.

    Args:
        output_shape: Shape of one reconstruction.
        latent_dim: Number of code units.
        hidden_dims: As in `encoder`; used from last to first.
        filters: As in `encoder`; used from last to first.
        activation: Activation of convolutions and hidden layers.
        output_activation: Activation of the reconstruction.
        dropout: As in `encoder`.
        normalization: As in `encoder`.
        kernel_size: As in `encoder`.
        upsampling: "transpose" doubles the size of an image with a transposed convolution. "resize" repeats pixels
            before a convolution, which avoids checkerboard artifacts (Odena et al., "Deconvolution and checkerboard
            artifacts", 2016).
        residual: As in `encoder`; the blocks come before the size is doubled.
        rows: Whether the first layer is a `RowDecoder`.
        seed: Seed of the initial weights and of dropout.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, latent_dim) → (batch, *output_shape).

    Raises:
        ValueError: If filters are given for reconstructions without 1 to 3 spatial axes.

    Example:
        >>> decoder((8, 8, 1), latent_dim=4, hidden_dims=(16,)).output_shape
        (None, 8, 8, 1)
    """
    seed = None if seed is None else seed + 1_000
    hidden = _Hidden(activation, dropout, normalization, kernel_size, residual, seed, dtype)
    stack: list[keras.layers.Layer] = [keras.Input((latent_dim,))]

    def dense() -> type[Any]:
        return RowDecoder if rows and len(stack) == 1 else keras.layers.Dense

    for units in reversed(hidden_dims):
        stack += hidden.layers(dense(), units)
    if not filters:
        flat = dense()(math.prod(output_shape), kernel_initializer=hidden.initializer(), dtype=dtype)
        stack += [flat, keras.layers.Reshape(output_shape, dtype=dtype)]
    else:
        *sizes, channels = output_shape
        rank = len(sizes)
        small = [math.ceil(size / 2 ** len(filters)) for size in sizes]
        reshape = keras.layers.Reshape((*small, filters[-1]), dtype=dtype)
        stack += [*hidden.layers(dense(), math.prod(small) * filters[-1], reshape), *hidden.blocks()]
        for n in reversed(filters[:-1]):
            stack += hidden.convolution(rank, n, upsampling)
        stack += hidden.last(rank, channels, None, upsampling)
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
    activation: Activation | None = "relu",
    code_activation: Activation | None = None,
    output_activation: Activation = "sigmoid",
    dropout: float = 0.0,
    normalization: Normalization | None = None,
    kernel_size: int = 5,
    upsampling: Upsampling = "transpose",
    residual: int = 0,
    gdn: bool = False,
    seed: int | None = None,
    dtype: DType | None = None,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Build an encoder and a decoder of convolutions only, for images of any size that is divisible by the stride.

    The encoder has one convolution ("same") per entry of `filters` and a last one with `latent_dim` channels. Each
    halves the image.

    Args:
        channels: Channels of the images.
        latent_dim: Channels of the code.
        rank: Number of spatial axes, 1 to 3.
        filters: Channels of the convolutions before the code, from the input on; the decoder mirrors them.
        activation: Activation of the convolutions of `filters`.
        code_activation: Activation of the code.
        output_activation: Activation of the reconstruction.
        dropout: As in `encoder`.
        normalization: As in `encoder`.
        kernel_size: As in `encoder`.
        upsampling: As in `decoder`.
        residual: As in `encoder`; neither at the resolution of the images nor of the code.
        gdn: Whether each convolution of `filters` is followed by a `GDN`, in the decoder by its inverse, in place of
            activation, dropout, normalization and residual blocks.
        seed: Seed of the initial weights and of dropout.
        dtype: Keras dtype policy.

    Returns:
        Two built Keras models: (batch, h, w, channels) → (batch, h / s, w / s, latent_dim) and back, where
        s = 2^(len(filters) + 1).

    Example:
        >>> encode, decode = spatial(channels=3, latent_dim=8, filters=(16,))
        >>> encode.output_shape, decode.output_shape
        ((None, None, None, 8), (None, None, None, 3))
    """
    hidden = _Hidden(activation, dropout, normalization, kernel_size, residual, seed, dtype, gdn)
    down: list[keras.layers.Layer] = []
    for n in filters:
        down += hidden.convolution(rank, n)
    down += hidden.last(rank, latent_dim, code_activation)
    up: list[keras.layers.Layer] = []
    for n in reversed(filters):
        up += hidden.convolution(rank, n, upsampling)
    up += hidden.last(rank, channels, None, upsampling)
    up.append(keras.layers.Activation(output_activation, dtype="float32", name="output"))
    sizes = (None,) * rank
    return (
        keras.Sequential([keras.Input((*sizes, channels)), *down], name="encoder"),
        keras.Sequential([keras.Input((*sizes, latent_dim)), *up], name="decoder"),
    )


def named_inputs(network: keras.layers.Layer) -> dict[str, Any] | None:
    """Return the inputs, by name, of a functional model that takes a dict, or None for any other network.

    Args:
        network: A Keras model or layer.

    Example:
        >>> x, label = keras.Input((3,), name="x"), keras.Input((1,), name="label")
        >>> sorted(named_inputs(keras.Model({"x": x, "label": label}, x + label)))
        ['label', 'x']
    """
    inputs = _keras.inputs_as_given(network)
    return dict(inputs) if isinstance(inputs, dict) else None


def can_tie(arguments: Mapping[str, Any]) -> bool:
    """Return whether a model builds a dense decoder without normalization, which can be the transposed encoder.

    Args:
        arguments: The user's arguments of `aezoo.Autoencoder`, by name.

    Example:
        >>> can_tie({"hidden_dims": (8,)}), can_tie({"filters": (4, 8)})
        (True, False)
    """
    return not any(arguments.get(name) for name in ("decoder", "filters", "normalization"))


def transpose(
    encoder: keras.Model, output_activation: Activation = "sigmoid", dtype: DType | None = None
) -> keras.Sequential:
    """Build a decoder that shares the transposed kernels of an encoder: W' = Wᵀ.

    Args:
        encoder: A built `keras.Sequential` of `Dense`, `Flatten`, `Reshape`, `Dropout`, `InputLayer` and transposable
            `CodeLayer`s, optionally with a `RowEncoder` at its end.
        output_activation: Activation of the reconstruction; hidden layers use the activations that they mirror.
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


def chain(
    encoder: keras.layers.Layer,
    dense: type[keras.layers.Layer] | tuple[type[keras.layers.Layer], ...] = keras.layers.Dense,
) -> list[keras.layers.Layer] | None:
    """Return the layers of an encoder that is a chain of dense layers, or None for any other encoder.

    Dense layers on inputs with several axes are not accepted, since they act on the last axis only.

    Args:
        encoder: A Keras model.
        dense: The accepted classes of dense layers.

    Returns:
        The layers in order, with the layers of nested models in place. At least one is dense; `Flatten`, `Reshape`,
        `Dropout` and any transposable `CodeLayer` may be between them.
    """
    layers = _flat(encoder)
    harmless = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout)
    chained = [isinstance(layer, dense) and _sees_flat_inputs(layer) for layer in layers]
    skipped = [isinstance(layer, harmless) or is_transposable(layer) for layer in layers]
    return layers if any(chained) and all(map(operator.or_, chained, skipped)) else None


def is_transposable(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is a `CodeLayer` that a transposed or mirrored encoder skips.

    Args:
        layer: A Keras layer.

    Example:
        >>> is_transposable(Dropout(0.5)), is_transposable(keras.layers.Flatten())
        (True, False)
    """
    return isinstance(layer, CodeLayer) and layer.transposable


def _sees_flat_inputs(layer: keras.layers.Layer) -> bool:
    return len((layer.get_build_config() or {}).get("input_shape", ())) == 2


def _flat(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    if not isinstance(network, keras.Sequential):
        return [network]
    return [layer for part in network.layers for layer in _flat(part)]


def output_activation(network: keras.layers.Layer) -> Callable[[Tensor], Tensor] | None:
    """Return the activation function of a network's output, or None if it has none.

    Layers that only change the shape are skipped, in nested and functional models, too.

    Args:
        network: A Keras model or layer.

    Returns:
        The function, such as `keras.activations.sigmoid`.

    Example:
        >>> layers = [keras.Input((3,)), keras.layers.Dense(8, "sigmoid"), keras.layers.Reshape((2, 4))]
        >>> output_activation(keras.Sequential(layers)) is keras.activations.sigmoid
        True
    """
    return _activation(next((layer for layer in _backwards(network) if not _only_shapes(layer)), None))


_RANGES = {
    keras.activations.sigmoid: (0.0, 1.0),
    keras.activations.hard_sigmoid: (0.0, 1.0),
    keras.activations.softmax: (0.0, 1.0),
    keras.activations.tanh: (-1.0, 1.0),
}


def output_range(network: keras.layers.Layer) -> tuple[str, tuple[float, float]] | None:
    """Return the range of a network's output at inference, and the activation or layer that determines it.

    Args:
        network: A Keras model or layer.

    Returns:
        The name of the activation or layer, and the smallest and largest value, which are infinite without a bound;
        None if the range is unknown.

    Example:
        >>> output_range(keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), Dropout(0.5)]))
        ('tanh', (-1.0, 1.0))
    """
    for layer in _backwards(network):
        if _only_shapes(layer) or isinstance(layer, keras.layers.Dropout):
            continue
        if not isinstance(layer, CodeLayer):
            activation = _activation(layer)
            return activation and (activation.__name__, _RANGES.get(activation, (-math.inf, math.inf)))
        if layer.bounds is not None:
            return layer.name, layer.bounds
    return None


_SHAPES = tuple(
    getattr(keras.layers, name)
    for name in "Reshape Flatten Permute RepeatVector Cropping1D Cropping2D Cropping3D Identity".split()
)
# Class names of the operations that functions of keras.ops become in a functional model.
_SHAPE_OPERATIONS = {"Reshape", "Squeeze", "ExpandDims", "Transpose"}
_OPERATIONS = {"Sigmoid": keras.activations.sigmoid, "Tanh": keras.activations.tanh}


def _activation(layer: keras.layers.Layer | None) -> Callable[[Tensor], Tensor] | None:
    return getattr(layer, "activation", None) or _OPERATIONS.get(type(layer).__name__)


def _only_shapes(layer: keras.layers.Layer) -> bool:
    """Return whether a layer changes at most the shape of its input, not the values."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, _SHAPES) or type(layer).__name__ in _SHAPE_OPERATIONS


def _backwards(network: keras.layers.Layer) -> Iterator[Any]:
    """Yield the layers and operations of a network from its output backward, as long as they form a chain."""
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
            operation, tensors = _keras.producer(tensors[0])
            if isinstance(operation, keras.layers.InputLayer):
                return
            yield from _backwards(operation)


def path(network: keras.layers.Layer, output: int = 0) -> Iterator[Any]:
    """Yield the layers and operations of a network from an output backward, including nested models' layers.

    Models without a graph or with several inputs are yielded as a whole. The path ends at an operation with several
    inputs.

    Args:
        network: A Keras model or layer.
        output: Index of the output, if a functional model has several.

    Example:
        >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.ReLU()])
        >>> [type(layer).__name__ for layer in path(network)]
        ['ReLU', 'Dense']
    """
    if isinstance(network, keras.Sequential):
        for layer in reversed(network.layers):
            yield from path(layer)
    elif not isinstance(network, keras.Model) or len(getattr(network, "inputs", None) or ()) != 1:
        yield network
    else:
        tensors = [network.outputs[output]]
        while len(tensors) == 1:
            index = _keras.output_index(tensors[0])
            operation, tensors = _keras.producer(tensors[0])
            if isinstance(operation, keras.layers.InputLayer):
                return
            yield from path(operation, index)


def carry_logits(network: keras.layers.Layer) -> None:
    """Make the layers of a network attach logits to the output of a sigmoid and keep them through changes of shape.

    `aezoo.losses.logits_of` returns these logits. Keras attaches them to the output of the sigmoid only, so that
    `Reshape` loses them. For `aezoo.losses.class_logits_of`, the output of a softmax has its logits attached as well,
    but changes of shape lose them.

    Args:
        network: A Keras model or layer. Its configuration and its results do not change.

    Example:
        >>> network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "sigmoid"), keras.layers.Flatten()])
        >>> carry_logits(network)
        >>> losses.logits_of(network(keras.ops.ones((5, 3)))).shape
        TensorShape([5, 8])
    """
    for layer in {id(layer): layer for part in _parts(network) for layer in part}.values():
        if _only_shapes(layer) or _activation(layer) in (keras.activations.sigmoid, keras.activations.softmax):
            _carry(layer)


def _parts(network: keras.layers.Layer) -> Iterator[list[Any]]:
    for layer in _keras.all_layers(network):
        yield [layer, *getattr(layer, "operations", ())]


def _carry(layer: keras.layers.Layer) -> None:
    call = layer.call
    if hasattr(call, "carries_logits"):
        return

    @functools.wraps(call)
    def carrying(*args: Any, **kwargs: Any) -> Tensor:
        y = call(*args, **kwargs)
        x = args[0] if args else None
        if y is x:
            return y
        if not _only_shapes(layer):  # a sigmoid or a softmax, to whose output Keras attaches logits
            logits = _keras.keras_logits(y)
            if _activation(layer) is keras.activations.sigmoid:
                return losses.with_logits(y, logits)
            return losses.with_class_logits(y, logits)
        logits = losses.logits_of(x)
        return y if logits is None else losses.with_logits(y, call(logits))

    carrying.carries_logits = True  # type: ignore[attr-defined]
    _keras.replace_call(layer, carrying)
