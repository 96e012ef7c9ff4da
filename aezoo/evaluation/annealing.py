"""Likelihood of a variational autoencoder by annealed importance sampling."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from aezoo import _validation, losses
from aezoo._typing import ArrayLike, Data, Tensor
from aezoo.evaluation.likelihood import inverse_temperatures, log_mean_weight
from aezoo.training import inference

if TYPE_CHECKING:
    from aezoo.models.variational import VAE

__all__ = ["annealed_log_likelihood"]

#: Ends of the part of a sigmoid that spaces β: most temperatures are near 0 and 1.
_ENDS = 4.0
#: Acceptance rate that the step size aims at, first step size, and change of its log per unit of the rate.
_ACCEPTANCE, _FIRST_STEP, _ADAPTATION = 0.65, 0.1, 0.1
#: Largest relative change of a step size at random, so that no unit of a code returns to where it was.
_JITTER = 0.2


def annealed_log_likelihood(
    model: VAE,
    x: Data,
    *,
    temperatures: int | ArrayLike = 1000,
    chains: int = 16,
    leapfrog_steps: int = 5,
    batch_size: int = 100,
    seed: int = 0,
    **conditions: ArrayLike,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate log p(x) under a VAE by annealed importance sampling, which proposes no codes by the encoder.

    Chains start at codes drawn from p(z) and follow p_β(z) ∝ p(z) p(x given z)^β from β = 0 to β = 1, by a step of
    Hamiltonian Monte Carlo per temperature, for a `FlowPrior` or a `LadderVAE` in the coordinates in which p is the
    standard normal distribution. The expected weight of a chain is p(x). The log of the mean over few chains is
    on average too low, like the importance bound of `VAE.log_likelihood`: of two estimates, the higher one is usually
    the more accurate. It becomes more accurate with more temperatures, which also decide how far chains can move.

    The importance bound depends on q(z given x): where the encoder misses a part of the posterior, so does the bound.
    Annealing has no such gap, but takes (chains + 1) · temperatures · `leapfrog_steps` passes through the decoder and
    back per sample.

    The step size follows the acceptance rate of one further chain per sample, which does not count, so that the mean
    weight stays p(x).

    Args:
        model: A built `aezoo.VAE` or a subclass, with codes of a fixed size.
        x: Samples in the domain of the likelihood, (n, *input_shape), or batched data as in `encode`.
        temperatures: Number of β, at least 2, dense near 0 and 1; or the increasing β, the first 0 and the last 1.
        chains: Number of chains per sample, at least 2.
        leapfrog_steps: Number of leapfrog steps of a step of Hamiltonian Monte Carlo.
        batch_size: Maximum number of samples processed at once.
        seed: Seed of the chains: the same seed gives the same values.
        **conditions: Conditions by name, one entry per sample, or one for all.

    Returns:
        The estimates and their standard errors over the chains, (n,) each, in nats.

    Raises:
        ValueError: If the model has no p(x given z) or accepts missing values, its codes vary in size, or an argument
            is out of range.

    Example:
        >>> from aezoo import VAE
        >>> model = VAE(latent_dim=2, seed=0)
        >>> model.build((None, 4))
        >>> values, errors = annealed_log_likelihood(model, np.eye(4, dtype="float32"), temperatures=20, chains=4)
        >>> values.shape, errors.shape
        ((4,), (4,))

    Reference:
        Wu, Burda, Salakhutdinov & Grosse, "On the quantitative analysis of decoder-based generative models", ICLR 2017,
        arXiv:1611.04273; Neal, "Annealed importance sampling", Statistics and Computing 11 (2001).
    """
    betas = _spaced(temperatures)
    for name, value, least in (("chains", chains, 2), ("leapfrog_steps", leapfrog_steps, 1)):
        _validation.check_int(name, value, least)
    _validation.check_int("seed", seed)
    if not hasattr(model, "decode_parameters"):
        raise ValueError(
            f"{type(model).__name__} has no p(z) and p(x given z) to anneal between: give an aezoo.VAE or a subclass."
        )
    if model.missing != "error":
        raise ValueError(
            f"log p(x) cannot be estimated with missing={model.missing!r}: use a model with missing='error'."
        )
    pieces = inference.pieces(model, x, conditions, batch_size=batch_size, compared=True)[1]
    annealed = tf.function(functools.partial(_annealed, model, betas, chains, leapfrog_steps), reduce_retracing=True)
    log_w = [np.zeros((chains, 0))]
    for i, piece in enumerate(pieces):
        if None in model.code_shape:
            raise ValueError(f"Codes of shape {model.code_shape} have no fixed size to draw: log p(x) is not defined.")
        piece = inference.tensors(model, piece)
        if piece.x.shape[0]:
            of_piece = tf.random.experimental.stateless_fold_in(tf.constant([seed, 7], "int64"), i, alg="philox")
            log_w.append(np.asarray(annealed(piece.x, dict(piece.conditions), of_piece)))
    return log_mean_weight(np.concatenate(log_w, axis=1))[:2]


def _spaced(temperatures: Any) -> np.ndarray:
    betas = inverse_temperatures(temperatures)
    if np.ndim(temperatures):
        return betas
    at = 1 / (1 + np.exp(_ENDS * (1 - 2 * betas.astype("float64"))))
    return ((at - at[0]) / (at[-1] - at[0])).astype("float32")


class _State(NamedTuple):
    """Coordinates u of all chains, (rows, *code_shape), with log p(u), log p(x|z(u)) and the gradients of both."""

    u: Any
    log_prior: Any
    log_given: Any
    slope_of_prior: Any
    slope_of_given: Any

    def log_density(self, beta: Tensor) -> Any:
        return self.log_prior + beta * self.log_given

    def slope(self, beta: Tensor) -> Any:
        return self.slope_of_prior + beta * self.slope_of_given


class _Target:
    """The distributions p(u) p(x|z(u))^β for several chains per sample.

    Where the prior makes z from standard normal numbers, u are these numbers: in these coordinates all units are alike
    at β = 0. Otherwise u = z.
    """

    def __init__(self, model: VAE, x: Tensor, conditions: Mapping[str, Tensor], chains: int):
        self.model = model
        self.x = _tiled(x, chains)
        self.conditions = {name: _tiled(values, chains) for name, values in conditions.items()}
        self.prior = model.prior
        self.log_prior: Callable[[Tensor], Any] = _standard
        if self.prior is not None and not self.prior.transports:
            self.log_prior = self.prior.density(model)

    def draw(self, n: Tensor, seed: Tensor) -> Tensor:
        """Draw n values of u from p(u)."""
        if self.prior is not None and not self.prior.transports:
            return self.prior.draw(n, seed, self.model)
        return tf.random.stateless_normal((n, *self.model.code_shape), seed, alg="philox")

    def at(self, u: Tensor) -> _State:
        """Return the state of chains at u."""
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(u)
            log_prior = self.log_prior(u)
            z = self.prior.transport(u, self.model) if self.prior is not None and self.prior.transports else u
            y_pred = self.model.decode_parameters(z, self.conditions)
            log_given = -losses.per_sample(self.model.default_loss, self.x, y_pred)[0]
        slopes = (tape.gradient(log_p, u, unconnected_gradients="zero") for log_p in (log_prior, log_given))
        return _State(u, log_prior, log_given, *slopes)

    def move(
        self, state: _State, beta: Tensor, step_size: Tensor, leapfrog_steps: int, seed: Tensor
    ) -> tuple[_State, Any]:
        """Take a step of Hamiltonian Monte Carlo, and return the new state and the probabilities of acceptance."""
        of_momentum, of_jitter, of_acceptance = tf.unstack(
            tf.random.experimental.stateless_split(seed, 3, alg="philox"), num=3
        )
        momentum = tf.random.stateless_normal(tf.shape(state.u), of_momentum, alg="philox")
        n = tf.shape(state.u)[:1]
        step_size *= 1 + _JITTER * (2 * tf.random.stateless_uniform(n, of_jitter, alg="philox") - 1)
        step_size = _over(step_size, state.u)

        def leap(i: Tensor, at: _State, momentum: Tensor) -> tuple[Any, _State, Any]:
            momentum += 0.5 * step_size * at.slope(beta)
            at = self.at(at.u + step_size * momentum)
            return i + 1, at, momentum + 0.5 * step_size * at.slope(beta)

        start = tf.constant(0), state, momentum
        _, proposed, last = tf.while_loop(lambda i, *_: i < leapfrog_steps, leap, start)
        log_ratio = proposed.log_density(beta) - state.log_density(beta) + _kinetic(momentum) - _kinetic(last)
        probability = tf.exp(tf.minimum(log_ratio, 0.0))
        probability = tf.where(tf.math.is_finite(log_ratio), probability, 0.0)
        accepted = tf.random.stateless_uniform(n, of_acceptance, alg="philox") < probability
        new = (tf.where(_over(accepted, b), b, a) for a, b in zip(state, proposed, strict=True))
        return _State(*new), probability


def _annealed(
    model: VAE,
    betas: np.ndarray,
    chains: int,
    leapfrog_steps: int,
    x: Tensor,
    conditions: Mapping[str, Tensor],
    seed: Tensor,
) -> Tensor:
    """Return the log weights of the chains of each sample, (chains, batch) float64."""
    rows = (chains + 1) * tf.shape(x)[0]  # the first chain of each sample sets the step size of the others
    target = _Target(model, x, conditions, chains + 1)
    seeds = tf.random.experimental.stateless_split(seed, 2, alg="philox")
    beta, last = tf.constant(betas), len(betas) - 1

    def anneal(i: Tensor, state: _State, log_w: Tensor, log_step: Tensor) -> tuple[Any, _State, Any, Any]:
        log_w += tf.cast((beta[i] - beta[i - 1]) * state.log_given, "float64")  # a sum of many small numbers
        step_size = _tiled(tf.exp(log_step), chains + 1)
        of_step = tf.random.experimental.stateless_fold_in(seeds[1], tf.cast(i, "int64"), alg="philox")
        state, probability = target.move(state, beta[i], step_size, leapfrog_steps, of_step)
        log_step += _ADAPTATION * (probability[: tf.size(log_step)] - _ACCEPTANCE)
        return i + 1, state, log_w, log_step

    start = (
        tf.constant(1),
        target.at(target.draw(rows, seeds[0])),
        tf.zeros((rows,), "float64"),
        tf.fill(tf.shape(x)[:1], math.log(_FIRST_STEP)),
    )
    _, state, log_w, _ = tf.while_loop(lambda i, *_: i < last, anneal, start)
    log_w += tf.cast((beta[last] - beta[last - 1]) * state.log_given, "float64")
    return tf.reshape(log_w, (chains + 1, -1))[1:]


def _tiled(values: Tensor, k: int) -> Tensor:
    """Repeat a batch k times: k copies of it, one after the other."""
    return tf.tile(values, tf.concat([[k], tf.ones(len(values.shape) - 1, "int32")], 0))


def _over(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per row with as many axes as `like` has."""
    return tf.reshape(values, tf.concat([tf.shape(values), tf.ones(len(like.shape) - 1, "int32")], 0))


def _standard(u: Tensor) -> Tensor:
    """Return log N(u; 0, I) up to a constant, which no step depends on."""
    return -_kinetic(u)


def _kinetic(momentum: Tensor) -> Tensor:
    return 0.5 * tf.reduce_sum(tf.square(momentum), axis=tuple(range(1, len(momentum.shape))))
