"""Dense layers that may use the kernel of another layer: a decoder that shares the weights of its encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import Activation, Shape, Tensor


class SharedDense(keras.layers.Layer):
    """σ(Kx + b), where the kernel K is the layer's own or that of another layer: what the next three are made of.

    Args:
        units: Number of outputs.
        activation: σ, a Keras activation.
        kernel_initializer: Of K, where it is the layer's own.
        tied_to: The built layer whose `kernel` is used. A configuration cannot hold it: an `aezoo.Autoencoder` ties the
            layers of its networks again when it is loaded or copied; without one, as when a decoder was saved by
            itself, K is the layer's own.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: Once it is built, if the kernel of `tied_to` is not there yet, or of another shape.

    Example:
        >>> first = SharedDense(2)
        >>> z = first(keras.ops.ones((5, 8)))
        >>> second = SharedDense(2, activation="relu", tied_to=first)
        >>> z = second(keras.ops.ones((5, 8)))
        >>> second.kernel is first.kernel
        True
    """

    transposed: bool = False
    """Whether the kernel is stored as (units, inputs), in place of (inputs, units) as in `keras.layers.Dense`."""

    def __init__(
        self,
        units: int,
        activation: Activation | None = None,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        tied_to: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        # Hidden from Keras: no part of this layer.
        self._source: Callable[[], Any] | None = None if tied_to is None else lambda: tied_to

    def build(self, input_shape: Shape) -> None:
        """Takes or makes the kernel, and makes the bias, (units,)."""
        shape = (input_shape[-1], self.units)
        shape = shape[::-1] if self.transposed else shape
        if self._source is None:
            self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel")
        else:
            self._share(shape)
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def _share(self, shape: Shape) -> None:
        source: Any = self.tied_to
        found = tuple(source.kernel.shape) if hasattr(source, "kernel") else None
        if found != shape:
            has = "has no kernel yet" if found is None else f"has a kernel of shape {found}"
            raise ValueError(
                f"{self.name!r} shares a kernel of shape {shape}, but {source.name!r} {has}: tie it to a built layer "
                "of that shape."
            )
        self.kernel = source.kernel

    @property
    def tied_to(self) -> keras.layers.Layer | None:
        """The layer whose kernel is used, or None."""
        return None if self._source is None else self._source()

    def tie(self, source: keras.layers.Layer) -> None:
        """Uses the kernel of another layer from now on, in place of its own."""
        self._source = lambda: source
        if not self.built:
            return
        kernel, bias = self.kernel, self.bias
        with _keras.variables_replaced(self, kernel, bias):
            self._share(tuple(kernel.shape))
            self.bias = bias  # behind the kernel, as it is in files

    def call(self, x: Tensor) -> Tensor:
        return self.activation(tf.matmul(x, self.kernel, transpose_b=self.transposed) + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable("aezoo")
class DenseTranspose(SharedDense):
    """x' = σ'(Wᵀz + b') with the kernel W (units, inputs) of the `keras.layers.Dense` that encodes: W' = Wᵀ.

    It takes the arguments of `aezoo.layers.SharedDense`.

    Example:
        >>> encode = keras.layers.Dense(2)
        >>> z = encode(keras.ops.ones((5, 8)))
        >>> DenseTranspose(8, tied_to=encode)(z).shape
        TensorShape([5, 8])
    """

    transposed = True


def ties(*networks: keras.layers.Layer | None) -> list[tuple[int, int]]:
    """Finds out which layers of some networks share a kernel.

    Args:
        *networks: Keras models or layers; None stands for one that has no layers.

    Returns:
        For each `SharedDense` that is tied, its place among all layers of the networks, and the place of the layer it
        is tied to.

    Raises:
        ValueError: If a layer is tied to one that is in none of the networks.

    Example:
        >>> encode = keras.layers.Dense(2)
        >>> z = encode(keras.ops.ones((5, 8)))
        >>> ties(encode, keras.Sequential([DenseTranspose(8, tied_to=encode)]))
        [(1, 0)]
    """
    layers = _layers(networks)
    places = {id(layer): place for place, layer in enumerate(layers)}
    found = []
    for place, layer in enumerate(layers):
        source = layer.tied_to if isinstance(layer, SharedDense) else None
        if source is not None and id(source) not in places:
            raise ValueError(
                f"{layer.name!r} is tied to {source.name!r}, which is no layer of the encoder or the decoder, so that "
                "they cannot be saved together: tie it to a layer of these."
            )
        if source is not None:
            found.append((place, places[id(source)]))
    return found


def tie_again(found: list[tuple[int, int]], *networks: keras.layers.Layer | None) -> None:
    """Ties the layers of copies of some networks as `ties` found them.

    Args:
        found: What `ties` returned.
        *networks: The copies, in the same order.

    Example:
        >>> encode = keras.layers.Dense(2)
        >>> z = encode(keras.ops.ones((5, 8)))
        >>> decode = DenseTranspose(8)
        >>> tie_again([(1, 0)], encode, decode)
        >>> decode.tied_to is encode
        True
    """
    layers = _layers(networks)
    for place, source in found:
        layers[place].tie(layers[source])


def _layers(networks: tuple[keras.layers.Layer | None, ...]) -> list[keras.layers.Layer]:
    return [layer for network in networks if network is not None for layer in _leaves(network)]


def _leaves(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    inner = getattr(layer, "layers", None)
    if inner is None:
        yield layer
    else:
        for child in inner:
            yield from _leaves(child)
