"""The base class of recurrent layers with single steps."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import DType, Shape, Tensor
from aezoo.layers.random_state import RandomState

State = tuple[Any, ...]
"""State of a layer between two steps, (batch, units) float32 each; the first is h, the output of the last step."""


class Recurrence(keras.layers.Layer):
    """Base class of recurrent layers that expose single steps and compile with XLA on every device.

    A subclass has `gate_count`, `state_count` and `step`. Products of matrices are in the layer's precision, everything
    else in single precision.

    Args:
        units: Number of units.
        input_dim: Number of features per element of the sequence.
        recurrent_dropout: Fraction of units that do not change the memory in a training step, in [0, 1).
        seed: Seed of initial weights and of dropout.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.
    """

    gate_count: int
    """Number of gates, each of `units` units."""
    state_count: int
    """Number of tensors in the state."""

    def __init__(
        self, units: int, input_dim: int, recurrent_dropout: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units = units
        self.input_dim = input_dim
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.random = RandomState(seed)
        gates = self.gate_count * units
        self.kernel = self.add_weight(
            shape=(input_dim, gates), initializer=keras.initializers.GlorotUniform(seed), name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(units, gates), initializer=self._orthogonal, name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(gates,), initializer=self.initial_bias, name="bias")
        self.built = True

    def _orthogonal(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        units = shape[0]
        seeds = [None if self.seed is None else self.seed + gate + 1 for gate in range(self.gate_count)]
        return ops.concatenate([keras.initializers.Orthogonal(seed=s)((units, units), dtype) for s in seeds], axis=1)

    def initial_bias(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        """Return the initial bias of the gates, by default 0."""
        return ops.zeros(shape, dtype)

    def gates(self, x: Tensor, shared: Tensor = None) -> Tensor:
        """Return the contribution of the inputs to the gates, (..., gate_count · units).

        Args:
            x: Inputs, (..., input_dim); or the first n features, (batch, steps, n), if `shared` holds the others.
            shared: Features that are constant over the steps, (batch, input_dim - n), multiplied only once.
        """
        x, kernel, bias = (ops.cast(each, self.compute_dtype) for each in (x, self.kernel, self.bias))
        if shared is None:
            return ops.matmul(x, kernel) + bias
        own, others = kernel[: x.shape[-1]], kernel[x.shape[-1] :]
        return ops.matmul(x, own) + (ops.matmul(ops.cast(shared, x.dtype), others) + bias)[:, None]

    def step(self, gates: Tensor, state: State, keep: Tensor = None) -> State:
        """Take one step and return the new state.

        Args:
            gates: Result of `gates`, (batch, gate_count · units).
            state: The state before, `state_count` tensors of shape (batch, units) float32.
            keep: Dropout of the change of the memory as a factor, (batch, units), or None.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement step(gates, state, keep).")

    def _recurrent(self, h: Tensor) -> Tensor:
        """Return the contribution of h to the gates, (batch, gate_count · units)."""
        return ops.matmul(*(ops.cast(each, self.compute_dtype) for each in (h, self.recurrent_kernel)))

    def zero_state(self, x: Tensor) -> State:
        """Return the state 0 for a batch x, (batch, ...)."""
        return (ops.zeros((ops.shape(x)[0], self.units), "float32"),) * self.state_count

    def call(
        self,
        x: Tensor,
        initial_state: State | None = None,
        shared: Tensor = None,
        active: Tensor = None,
        reverse: bool = False,
        training: bool = False,
    ) -> tuple[Any, State]:
        """Process sequences and return all outputs and the last state.

        Args:
            x: Sequences, (batch, steps, input_dim), or only the first features if `shared` holds the others.
            initial_state: The state before the first step; None starts with 0.
            shared: The last features, if they are constant over the steps, (batch, input_dim - n).
            active: Boolean mask, (batch, steps); a step where it is False leaves the state unchanged.
            reverse: Whether to process from the end to the start; outputs keep the order of x.
            training: Whether to drop units.

        Returns:
            All h, (batch, steps, units) float32, and the last state.
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
        state = self.zero_state(x) if initial_state is None else tuple(map(as_float32, initial_state))
        outputs = tf.TensorArray("float32", steps, element_shape=state[0].shape)

        def body(t: Tensor, state: State, outputs: Tensor) -> tuple[Any, ...]:
            now = {name: array.read(t) for name, array in arrays.items()}
            new = self.step(now["gates"], state, now.get("keep"))
            if active is not None:
                new = tuple(
                    tf.where(now["active"] > 0, after, before) for after, before in zip(new, state, strict=True)
                )
            return t + 1, new, outputs.write(t, new[0])

        _, state, outputs = tf.while_loop(
            lambda t, *_: t < steps, body, (tf.constant(0), state, outputs), maximum_iterations=steps
        )
        outputs = ops.transpose(outputs.stack(), (1, 0, 2))
        return tf.reverse(outputs, [1]) if reverse else outputs, state

    def get_config(self) -> dict[str, Any]:
        names = ("units", "input_dim", "recurrent_dropout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
