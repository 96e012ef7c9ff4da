"""A lower bound of the likelihood of a deep belief network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from aezoo import _validation
from aezoo._numerics import log_bernoulli
from aezoo._typing import ArrayLike, Tensor
from aezoo.evaluation.likelihood import log_likelihood, log_partition
from aezoo.training import inference

if TYPE_CHECKING:
    from aezoo.pretraining.dbn import DBN

__all__ = ["log_likelihood_bound"]

#: Numbers of a layer that are drawn at once.
_IN_HAND = 2**23


def log_likelihood_bound(
    dbn: DBN,
    x: ArrayLike,
    log_z: float | tuple[float, float] | None = None,
    *,
    samples: int = 100,
    importance: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """Estimate the variational lower bound of log p(x) of each sample under a deep belief network.

    In a DBN of L machines, the top machine is the distribution of its visible units h_{L-1}, exp(-F) / Z, and each
    machine below it generates its visible units from its hidden ones. With h drawn upward from the factorial
    distributions q of the encoders, the bound is

        log p(x) ≥ E_q[Σₗ log p(hₗ₋₁ | hₗ) - F(h_{L-1}) - Σₗ log q(hₗ | hₗ₋₁)] - log Z,  h₀ = x, l = 1 … L-1.

    It is tight if q is the posterior, as for a top machine with the transposed weights of the one below it. For a
    single machine it is log p(x) itself.

    The bound holds for the exact log Z. Where log Z is annealed, an error of log Z is an error of the bound: annealing
    that misses modes makes the bound too high.

    Args:
        dbn: A trained `aezoo.DBN`. The units between its layers are Bernoulli; the visible units of the first machine
            and the hidden units of the last may be others.
        x: Samples, (n, *input_shape), or data that come batch by batch; 0 or 1 for Bernoulli visibles, as in
            `log_likelihood`.
        log_z: The result of `log_partition(dbn.rbms[-1])`, or its first number; None computes it, with samples of
            q(h_{L-1} | x) as `data`.
        samples: Number of draws from q per sample. The bound is the mean over them.
        importance: Whether to return the log of the mean weight, log ⅟ₛ Σ p(x, h) / q(h | x), in place of the mean of
            the logs: its expectation is a lower bound, too, and tighter with more samples.
        seed: Seed of the draws and of annealing: the same seed gives the same values.

    Returns:
        (n,) in nats.

    Raises:
        ValueError: If the network is not trained, its units have no bound, or x does not fit it.

    Example:
        >>> import numpy as np
        >>> from aezoo import DBN, RBM
        >>> dbn = DBN([RBM(3, kernel_stddev=0.0), RBM(2, kernel_stddev=0.0)])
        >>> for rbm, units in zip(dbn.rbms, (4, 3)):
        ...     rbm.build((None, units))
        >>> log_likelihood_bound(dbn, np.array([[0.0, 1.0, 1.0, 0.0]], "float32")).round(4)  # -4 log 2
        array([-2.7726])

    Reference:
        Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks", ICML 2008; Murray &
        Salakhutdinov, "Evaluating probabilities under high-dimensional latent variable models", NeurIPS 2008. For
        `importance`: Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016.
    """
    _validation.check_int("samples", samples, 1)
    _validation.check_int("seed", seed)
    first, top = dbn.stages[0], dbn.stages[-1]
    for stage in dbn.stages:
        _validation.check_built(stage)
    _check_units(dbn)
    pieces = [piece.x for piece in inference.pieces(first, x, compared=True)[1]]
    if not any(len(piece) for piece in pieces):
        return np.zeros(0)
    if top is first:
        x = np.concatenate(pieces)
        return log_likelihood(top, x, log_partition(top, data=x, seed=seed) if log_z is None else log_z)
    widest = max(math.prod(stage.x_shape) for stage in dbn.stages)
    layers = [dbn.layer_weights(i) for i in range(len(dbn.stages) - 1)]
    seeds = tf.random.experimental.stateless_split(tf.constant([seed, 6], "int64"), 2, alg="philox")
    if log_z is None:
        tops = [_upward(first, layers, piece, seeds[0])[0] for piece in map(tf.convert_to_tensor, pieces)]
        log_z = log_partition(top, data=np.concatenate(tops), seed=seed)
    log_z = log_z[0] if isinstance(log_z, tuple) else log_z

    bounds = [np.zeros(0)]
    for i, piece in enumerate(pieces):
        x = tf.convert_to_tensor(piece)
        at_once = min(samples, max(1, _IN_HAND // max(1, len(piece) * widest)))
        logs = np.full(len(piece), -math.inf if importance else 0.0)
        for start in range(0, samples, at_once):
            draws = min(at_once, samples - start)
            seed_of_draws = tf.random.experimental.stateless_fold_in(seeds[1], i * samples + start, alg="philox")
            h, log_ratio = _upward(first, layers, tf.repeat(x, draws, axis=0), seed_of_draws)
            drawn = np.asarray(log_ratio - top._free_energies(h), "float64").reshape(-1, draws)
            logs = np.logaddexp(logs, np.logaddexp.reduce(drawn, axis=1)) if importance else logs + drawn.sum(axis=1)
        bounds.append(logs - math.log(samples) if importance else logs / samples)
    return np.concatenate(bounds) - log_z


def _check_units(dbn: DBN) -> None:
    for i, (below, above) in enumerate(zip(dbn.stages[:-1], dbn.stages[1:], strict=True), 1):
        kinds = getattr(below, "hidden", "bernoulli"), getattr(above, "visible", "bernoulli")
        if kinds != ("bernoulli", "bernoulli"):
            raise ValueError(
                f"The bound sums over binary units between the layers of a DBN, but layer {i} has hidden={kinds[0]!r} "
                f"and layer {i + 1} visible={kinds[1]!r}: use 'bernoulli' for both."
            )


def _upward(first: Any, layers: list[Any], x: Tensor, seed: Tensor) -> tuple[Any, Any]:
    """Draw h upward from q, and return h_{L-1} and Σₗ log p(hₗ₋₁ | hₗ) - log q(hₗ | hₗ₋₁), (batch,)."""
    machine = hasattr(first, "gibbs")
    below = first._flat(x) if machine else tf.reshape(tf.cast(x, "float32"), (-1, math.prod(first.x_shape)))
    total = tf.zeros(tf.shape(below)[0])
    for i, (recognition, hidden_bias, generation, visible_bias) in enumerate(layers):
        field = tf.matmul(below, recognition) + hidden_bias
        seed_of_layer = tf.random.experimental.stateless_fold_in(seed, i, alg="philox")
        uniform = tf.random.stateless_uniform(tf.shape(field), seed_of_layer, alg="philox")
        h = tf.cast(uniform < tf.sigmoid(field), "float32")
        down = tf.matmul(h, generation) + visible_bias
        log_p = log_bernoulli(below, down) if i or not machine else first.log_visible(below, down)
        total += log_p - log_bernoulli(h, field)
        below = h
    return below, total
