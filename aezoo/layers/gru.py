"""A GRU layer with single steps."""

from __future__ import annotations

import keras
from keras import ops

from aezoo._numerics import as_float32
from aezoo._typing import Tensor
from aezoo.layers.recurrence import Recurrence, State


@keras.saving.register_keras_serializable("aezoo")
class GRU(Recurrence):
    """GRU h ← u·h + (1 - u)·d(tanh(g + r·Uh)) with update gate u and reset gate r; d drops units of the change of h.

    It has three quarters of the weights of an `LSTM` of as many units and no separate memory. It exposes single steps,
    compiles with XLA on every device, and uses half precision only in matrix products.

    Args:
        units: Number of units.
        input_dim: Number of features per element of the sequence.
        recurrent_dropout: Fraction of units that d drops in training, in [0, 1).
        seed: Seed of initial weights and of dropout.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> outputs, (h,) = GRU(4, input_dim=3)(keras.ops.ones((2, 5, 3)))
        >>> outputs.shape, h.shape
        (TensorShape([2, 5, 4]), TensorShape([2, 4]))

    Reference:
        Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        EMNLP 2014, arXiv:1406.1078; r multiplies after the matrix product, as in cuDNN and Keras.
    """

    gate_count = 3
    state_count = 1

    def step(self, gates: Tensor, state: State, keep: Tensor = None) -> State:
        """Take one step.

        Args:
            gates: Result of `gates`, (batch, 3 units).
            state: h, (batch, units) float32, in a tuple.
            keep: d as a factor, (batch, units), or None.

        Returns:
            The new h, in a tuple.
        """
        (h,) = state
        update, reset, new = ops.split(as_float32(gates), 3, axis=-1)
        of_update, of_reset, of_new = ops.split(as_float32(self._recurrent(h)), 3, axis=-1)
        update = ops.sigmoid(update + of_update)
        new = ops.tanh(new + ops.sigmoid(reset + of_reset) * of_new)
        change = (1.0 - update) * (new - h)
        return (h + (change if keep is None else change * keep),)
