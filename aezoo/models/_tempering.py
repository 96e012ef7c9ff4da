"""Parallel tempering: persistent chains of an RBM at several temperatures that swap their states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor

if TYPE_CHECKING:
    from aezoo.models.rbm import RBM, Parameters


def step(rbm: RBM, v: Tensor, parameters: Parameters) -> tuple[Any, Any]:
    """Take `gibbs_steps` Gibbs steps at each temperature, then swap states of neighboring temperatures.

    The chain of inverse temperature β draws from the RBM with the weights βW, the hidden biases βc and the visible
    biases b_β = βb + (1 - β)b₀, where b₀ are the biases of units that have the means of the data.

    Args:
        rbm: The machine.
        v: States, (temperatures, chains, visible), from β = 1 to β = 0.
        parameters: W, c and b.

    Returns:
        The new states, and the fraction of proposed swaps that were accepted.
    """
    kernel, hidden_bias, visible_bias = parameters
    beta = tf.constant(np.linspace(1, 0, v.shape[0]), "float32")[:, None, None]
    for _ in range(rbm.gibbs_steps):
        h = rbm.draw_hidden(beta * (ops.matmul(v, kernel) + hidden_bias), shared=True)
        field = ops.matmul(h, ops.transpose(kernel)) + visible_bias
        v = rbm.draw_visible(rbm.visible_mean(beta * field + (1 - beta) * rbm.base_bias), shared=True)
    v, accepted = swap(rbm, v, parameters, first=0)
    if v.shape[0] > 2:
        v, more = swap(rbm, v, parameters, first=1)
        accepted += more
    return v, accepted / ((v.shape[0] - 1) * v.shape[1])


def swap(rbm: RBM, v: Tensor, parameters: Parameters, first: int) -> tuple[Any, Any]:
    """Swap the states of neighboring temperatures, by Metropolis.

    With p_β(v) ∝ exp(b₀ᵀv + R_β(v)), R_β(v) = β(b - b₀)ᵀv + G(βa), where G is the sum of the contributions to -F of
    hidden units with the inputs βa = β(c + Wᵀv), the states v and v' of β and β' swap with the probability
    min(1, exp(R_β(v') + R_β'(v) - R_β(v) - R_β'(v'))), which leaves the product of all p_β invariant.

    Args:
        rbm: The machine.
        v: States, (temperatures, chains, visible), from β = 1 to β = 0.
        parameters: W, c and b.
        first: Temperature from which pairs are formed, 0 or 1.

    Returns:
        The new states, and the number of swaps.
    """
    kernel, hidden_bias, visible_bias = parameters
    own = np.arange(v.shape[0])
    partner = own.copy()
    for i in range(first, v.shape[0] - 1, 2):
        partner[i], partner[i + 1] = i + 1, i
    beta = np.linspace(1, 0, v.shape[0]).astype("float32")[:, None, None]
    a = ops.matmul(v, kernel) + hidden_bias
    rise = ops.sum(rbm.hidden_gain(beta[partner] * a) - rbm.hidden_gain(beta * a), axis=-1)
    rise += (beta[partner] - beta)[..., 0] * tf.linalg.matvec(v, visible_bias - rbm.base_bias)
    log_ratio = rise + tf.gather(rise, partner)
    uniform = tf.gather(rbm.random.uniform(ops.shape(rise), shared=True), np.minimum(own, partner))
    swaps = (ops.log(uniform) < log_ratio) & (partner != own)[:, None]
    return ops.where(swaps[..., None], tf.gather(v, partner), v), ops.sum(ops.cast(swaps, "float32")) / 2.0
