"""An LSTM layer with recurrent dropout that preserves its memory."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import DType, Shape, Tensor
from aezoo.layers.random_state import RandomState


@keras.saving.register_keras_serializable("aezoo")
class LSTM(keras.layers.Layer):
    """LSTM c ← σ(f)c + σ(i)·d(tanh g), h ← σ(o) tanh c, where d drops units of the update of the memory c.

    The `recurrent_dropout` of `keras.layers.LSTM` drops units of h, which makes the memory forget. This layer also
    exposes single steps, compiles with XLA on every device, and uses half precision only in matrix products.

    Args:
        units: Number of units.
        input_dim: Number of features per element of the sequence.
        recurrent_dropout: Fraction of units that d drops in training, in [0, 1).
        seed: Seed of initial weights and of dropout.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> outputs, (h, c) = LSTM(4, input_dim=3)(keras.ops.ones((2, 5, 3)))
        >>> outputs.shape, h.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 4]))

    Reference:
        Semeniuta et al., "Recurrent dropout without memory loss", 2016, arXiv:1603.05118.
    """

    def __init__(
        self, units: int, input_dim: int, recurrent_dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units = units
        self.input_dim = input_dim
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.random = RandomState(seed)
        self.kernel = self.add_weight(
            shape=(input_dim, 4 * units), initializer=keras.initializers.GlorotUniform(seed), name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(units, 4 * units), initializer=self._orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(4 * units,), initializer=self._forget_nothing, name="bias")
        self.built = True

    def _orthogonal(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        units = shape[0]
        seeds = [None if self.seed is None else self.seed + gate + 1 for gate in range(4)]
        return ops.concatenate([keras.initializers.Orthogonal(seed=s)((units, units), dtype) for s in seeds], axis=1)

    def _forget_nothing(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        """Return a bias of 1 for the forget gates and 0 for the others."""
        bias = [ops.full((shape[0] // 4,), float(gate == 1), dtype) for gate in range(4)]
        return ops.concatenate(bias, axis=0)

    def gates(self, x: Tensor, shared: Tensor = None) -> Tensor:
        """Return the contribution of the inputs to the gates, (..., 4 units).

        Args:
            x: Inputs, (..., input_dim); or the first n features, (batch, steps, n), if `shared` holds the others.
            shared: Features that are constant over the steps, (batch, input_dim - n), multiplied only once.
        """
        x, kernel, bias = (ops.cast(each, self.compute_dtype) for each in (x, self.kernel, self.bias))
        if shared is None:
            return ops.matmul(x, kernel) + bias
        own, others = kernel[: x.shape[-1]], kernel[x.shape[-1] :]
        return ops.matmul(x, own) + (ops.matmul(ops.cast(shared, x.dtype), others) + bias)[:, None]

    def step(self, gates: Tensor, state: tuple[Any, Any], keep: Tensor = None) -> tuple[Any, Any]:
        """Take one step.

        Args:
            gates: Result of `gates`, (batch, 4 units).
            state: h and c, (batch, units) float32.
            keep: d as a factor, (batch, units), or None.

        Returns:
            The new h and c.
        """
        h, c = state
        dtype = self.compute_dtype
        gates = as_float32(gates + ops.matmul(ops.cast(h, dtype), ops.cast(self.recurrent_kernel, dtype)))
        i, f, g, o = ops.split(gates, 4, axis=-1)
        g = ops.tanh(g) if keep is None else ops.tanh(g) * keep
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * g
        return ops.sigmoid(o) * ops.tanh(c), c

    def zero_state(self, x: Tensor) -> tuple[Any, Any]:
        """Return h = c = 0 for a batch x, (batch, ...)."""
        zeros = ops.zeros((ops.shape(x)[0], self.units), "float32")
        return zeros, zeros

    def call(
        self,
        x: Tensor,
        initial_state: tuple[Any, Any] | None = None,
        shared: Tensor = None,
        active: Tensor = None,
        reverse: bool = False,
        training: bool = False,
    ) -> tuple[Any, tuple[Any, Any]]:
        """Process sequences and return all outputs and the last state.

        Args:
            x: Sequences, (batch, steps, input_dim), or only the first features if `shared` holds the others.
            initial_state: h and c, (batch, units); None starts with 0.
            shared: The last features, if they are constant over the steps, (batch, input_dim - n).
            active: Boolean mask, (batch, steps); a step where it is False leaves the state unchanged.
            reverse: Whether to process from the end to the start; outputs keep the order of x.
            training: Whether to drop units.

        Returns:
            All h, (batch, steps, units) float32, and the last h and c.
        """
        steps = x.shape[1]
        sequences = {"gates": ops.transpose(self.gates(x, shared), (1, 0, 2))}  # steps first
        if active is not None:
            sequences["active"] = ops.transpose(ops.cast(active, "int32"))[..., None]
        if training and self.recurrent_dropout:
            keep = self.random.uniform((steps, ops.shape(x)[0], self.units)) >= self.recurrent_dropout
            sequences["keep"] = ops.cast(keep, "float32") / (1.0 - self.recurrent_dropout)
        arrays = {}
        for name, sequence in sequences.items():
            sequence = tf.reverse(sequence, [0]) if reverse else tf.convert_to_tensor(sequence)
            array = tf.TensorArray(sequence.dtype, steps, element_shape=sequence.shape[1:])
            arrays[name] = array.unstack(sequence)
        h, c = self.zero_state(x) if initial_state is None else map(as_float32, initial_state)
        outputs = tf.TensorArray("float32", steps, element_shape=h.shape)

        def body(t: Tensor, h: Tensor, c: Tensor, outputs: Tensor) -> tuple[Any, ...]:
            now = {name: array.read(t) for name, array in arrays.items()}
            new_h, new_c = self.step(now["gates"], (h, c), now.get("keep"))
            if active is not None:
                new_h, new_c = (tf.where(now["active"] > 0, new, old) for new, old in ((new_h, h), (new_c, c)))
            return t + 1, new_h, new_c, outputs.write(t, new_h)

        _, h, c, outputs = tf.while_loop(
            lambda t, *_: t < steps, body, (tf.constant(0), h, c, outputs), maximum_iterations=steps
        )
        outputs = ops.transpose(outputs.stack(), (1, 0, 2))
        return tf.reverse(outputs, [1]) if reverse else outputs, (h, c)

    def get_config(self) -> dict[str, Any]:
        names = ("units", "input_dim", "recurrent_dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
