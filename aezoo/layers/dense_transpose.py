"""Dense layers that can share the kernel of another layer, for decoders tied to their encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import Activation, Shape, Tensor


class SharedDense(keras.layers.Layer):
    """Dense layer σ(Kx + b) whose kernel K is its own or shared with another layer.

    It is the base class of `DenseTranspose`, `RowEncoder` and `RowDecoder`.

    Args:
        units: Number of outputs.
        activation: σ, a Keras activation.
        kernel_initializer: Initializer of K, if K is the layer's own.
        tied_to: A built layer whose `kernel` is shared. The layer's configuration does not contain it: an
            `aezoo.Autoencoder` ties the layers of its networks again when it is loaded or copied. A decoder that is
            saved alone is loaded with a kernel of its own.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: On build, if `tied_to` has no kernel yet or a kernel of another shape.

    Example:
        >>> first = SharedDense(2)
        >>> z = first(keras.ops.ones((5, 8)))
        >>> second = SharedDense(2, activation="relu", tied_to=first)
        >>> z = second(keras.ops.ones((5, 8)))
        >>> second.kernel is first.kernel
        True
    """

    transposed: bool = False
    """True if the kernel is stored as (units, inputs), not (inputs, units) as in `keras.layers.Dense`."""
    kernel_constraint: keras.constraints.Constraint | None = None
    """A constraint that optimizers apply to the layer's own kernel after each update."""

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
        # In a function, so that Keras does not track the other layer as a part of this one.
        self._source: Callable[[], Any] | None = None if tied_to is None else lambda: tied_to

    def build(self, input_shape: Shape) -> None:
        """Create the bias, (units,), and create or share the kernel."""
        shape = (input_shape[-1], self.units)
        shape = shape[::-1] if self.transposed else shape
        if self._source is None:
            self.kernel = self.add_weight(
                shape=shape, initializer=self.kernel_initializer, constraint=self.kernel_constraint, name="kernel"
            )
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
        """The layer whose kernel is shared, or None."""
        return None if self._source is None else self._source()

    def tie(self, source: keras.layers.Layer) -> None:
        """Replace the layer's own kernel with the kernel of another layer."""
        self._source = lambda: source
        if not self.built:
            return
        kernel, bias = self.kernel, self.bias
        with _keras.variables_replaced(self, kernel, bias):
            self._share(tuple(kernel.shape))
            self.bias = bias  # after the kernel, as in saved files

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
    """Dense layer x' = σ'(Wᵀz + b') with the transposed kernel W (units, inputs) of the encoding `keras.layers.Dense`.

    The arguments are those documented in `aezoo.layers.SharedDense`.

    Example:
        >>> encode = keras.layers.Dense(2)
        >>> z = encode(keras.ops.ones((5, 8)))
        >>> DenseTranspose(8, tied_to=encode)(z).shape
        TensorShape([5, 8])
    """

    transposed = True


def ties(*networks: keras.layers.Layer | None) -> list[tuple[int, int]]:
    """Return which layers of some networks share a kernel.

    Args:
        *networks: Keras models or layers; None stands for a network without layers.

    Returns:
        For each tied `SharedDense`, its index among all layers of the networks and the index of the layer that it is
        tied to.

    Raises:
        ValueError: If a layer is tied to a layer outside the networks.

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
                f"{layer.name!r} is tied to {source.name!r}, which is not a layer of the encoder or the decoder and "
                "cannot be saved with them: tie it to one of their layers."
            )
        if source is not None:
            found.append((place, places[id(source)]))
    return found


def tie_again(found: list[tuple[int, int]], *networks: keras.layers.Layer | None) -> None:
    """Tie the layers of copied networks in the same way as in the originals.

    Args:
        found: The result of `ties` for the originals.
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
