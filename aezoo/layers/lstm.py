"""An LSTM layer with recurrent dropout that preserves its memory."""

from __future__ import annotations

import keras
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import DType, Shape, Tensor
from aezoo.layers.recurrence import Recurrence, State


@keras.saving.register_keras_serializable("aezoo")
class LSTM(Recurrence):
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

    gate_count = 4
    state_count = 2

    def initial_bias(self, shape: Shape, dtype: DType | None = None) -> Tensor:
        """Return a bias of 1 for the forget gates and 0 for the others."""
        bias = [ops.full((shape[0] // 4,), float(gate == 1), dtype) for gate in range(4)]
        return ops.concatenate(bias, axis=0)

    def step(self, gates: Tensor, state: State, keep: Tensor = None) -> State:
        """Take one step.

        Args:
            gates: Result of `gates`, (batch, 4 units).
            state: h and c, (batch, units) float32.
            keep: d as a factor, (batch, units), or None.

        Returns:
            The new h and c.
        """
        h, c = state
        gates = as_float32(gates + self._recurrent(h))
        i, f, g, o = ops.split(gates, 4, axis=-1)
        g = ops.tanh(g) if keep is None else ops.tanh(g) * keep
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * g
        return ops.sigmoid(o) * ops.tanh(c), c
