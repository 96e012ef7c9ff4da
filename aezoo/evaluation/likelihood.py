"""Likelihood of a restricted Boltzmann machine: its partition function, exactly or by annealing."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorflow as tf

from aezoo import _validation
from aezoo._typing import ArrayLike, Tensor
from aezoo.training import gate, inference

if TYPE_CHECKING:
    from aezoo.models.rbm import RBM

__all__ = ["log_likelihood", "log_partition"]

#: The largest number of units of one layer whose states are enumerated: 2²⁰ states take some seconds.
_ENUMERABLE = 20
#: Numbers held at once while enumerating states.
_IN_HAND = 2**21
#: Smallest distance of base rates from 0 and 1, since the chains must be able to turn on a pixel that is never on.
_SMALLEST_RATE = 0.01

# Contribution of a hidden unit with input a to log p(v): the log of the sum (integral) over its states.
_GAIN = {"bernoulli": tf.nn.softplus, "gaussian": lambda a: 0.5 * tf.square(a)}


def log_partition(
    rbm: RBM,
    *,
    method: Literal["auto", "exact", "ais"] = "auto",
    particles: int = 100,
    temperatures: int | ArrayLike = 10_000,
    reverse: bool = False,
    base: ArrayLike | None = None,
    data: ArrayLike | None = None,
    start: ArrayLike | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute log Z of an RBM, such that log p(v) = -F(v) - log Z with the F of `rbm.free_energy`.

    Z is the sum over v (the integral, for Gaussian visibles) of exp(-F(v)). It includes every constant that F leaves
    out, such as the 2π of Gaussian units, so that `log_likelihood` is the log of a probability, or of a density. If σ
    is learned, Z is the normalizer of the machine of v/σ; it does not depend on σ, because F includes Σ log σ.

    - "exact": enumerates the states of the smaller Bernoulli layer (at most 20 units) and sums the other layer in
      closed form. With Gaussian units in both layers there is a closed form for any number of units.
    - "ais": annealed importance sampling. Particles start at an RBM without weights, p₀(v) ∝ exp(aᵀv), and take one
      Gibbs step per temperature along p_β(v) ∝ exp((1-β)aᵀv + βbᵀv) Πⱼ(1 + exp(β(cⱼ + Wⱼᵀv))) to p₁, the RBM.
      E[w] = Z/Z₀, so that an inaccurate log Z is too small, and a likelihood too high. No single base is safe:
      particles run from two, with the visible biases a = b of the RBM and with biases that match the means of `base` or
      `data`, and the larger estimate is used. For Bernoulli visibles the result is at least the exact sum over the
      states where particles end.
    - "ais" with `reverse`: particles start at samples of the RBM and follow the same path back; E[w] = Z₀/Z, so that an
      inaccurate log Z is too large, provided that the starts are samples of the RBM. The starts are the ends of long
      Gibbs runs, with one step per temperature, from `data` or else from random states.

    Give `data`. Forward annealing finds only modes that stay reachable on its path, and reverse annealing only the
    modes in which it starts. If reverse runs that start at the data agree with forward runs, which do not use the data
    as starts, the modes of the data have been found, and log Z is accurate up to modes that neither data nor annealing
    reach. If forward is lower, the chains do not mix: log Z is between the two, and more temperatures bring them
    together. If forward is higher, the long runs stay at the data while the RBM has most of its mass elsewhere: forward
    is right. Without data both can agree and miss a mode that holds nearly all of Z.

    The standard error of the log of the mean weight comes from the delta method, std(w) / (mean(w) √particles). If
    fewer than ten particles carry the weight, it is at least the standard deviation of the log weights. If two
    estimates differ by more than four standard errors, it is at least their difference: forward and reverse annealing
    with `data` or `reverse`, otherwise the two bases. An error above 1 nat warns.

    Args:
        rbm: A built `aezoo.RBM` with hidden units "bernoulli" or "gaussian".
        method: "exact", "ais", or "auto": exact if possible, otherwise AIS.
        particles: Number of particles of AIS, at least 2.
        temperatures: Number of evenly spaced β from 0 to 1, at least 2; or the increasing β themselves, the first 0 and
            the last 1.
        reverse: Whether to return the value of reverse AIS, from the RBM back to the base.
        base: Means of the visible units in the second base, (*input_shape), clipped to [0.01, 0.99] for Bernoulli
            and softmax units; None uses the means of `data`, or without data the means of the RBM's own samples.
        data: Samples that the RBM was trained on, (n, *input_shape): reverse AIS starts with long runs from them.
        start: Samples of the RBM that reverse AIS starts from instead of long runs, (particles, *input_shape).
        seed: Seed of AIS: the same seed gives the same value.

    Returns:
        The value and its standard error, in nats; the error of an exact value is 0.0.

    Raises:
        ValueError: If the RBM is not built, its units have no log Z, "exact" is impossible, or an argument is invalid.

    Example:
        >>> import numpy as np
        >>> from aezoo import RBM
        >>> rbm = RBM(3, kernel_stddev=0.0)
        >>> rbm.build((None, 5))
        >>> value, standard_error = log_partition(rbm)  # without weights, each of the 2⁸ states adds 1
        >>> round(value / float(np.log(2)), 5), standard_error
        (8.0, 0.0)

    Reference:
        Salakhutdinov & Murray, "On the quantitative analysis of deep belief networks", ICML 2008; Neal, "Annealed
        importance sampling", Statistics and Computing 11 (2001); Burda, Grosse & Salakhutdinov, "Accurate and
        conservative estimates of MRF log-likelihood using reverse annealing", AISTATS 2015, arXiv:1412.8566.
    """
    _validation.check_choice("method", method, ("auto", "exact", "ais"))
    _check_machine(rbm)
    _validation.check_int("seed", seed)
    if rbm.hidden not in _GAIN:
        raise ValueError(
            f"hidden={rbm.hidden!r} units have no log Z, because Gibbs sampling does not draw from the distribution of "
            "their free energy: use 'bernoulli' or 'gaussian' hidden units, or pseudo_log_likelihood."
        )
    kernel, hidden_bias, visible_bias = parameters = [np.asarray(p, "float64") for p in rbm.parameters()]
    if not all(np.isfinite(p).all() for p in parameters):
        raise ValueError(
            "The RBM has NaN or infinite weights, so its training diverged: train it with a smaller learning rate."
        )
    if rbm.visible == rbm.hidden == "gaussian":
        closed = _both_gaussian(kernel, hidden_bias, visible_bias)
        if method != "ais":
            return closed, 0.0
    sizes = {"hidden": hidden_bias.size, "visible": visible_bias.size}
    sizes = {layer: size for layer, size in sizes.items() if getattr(rbm, layer) == "bernoulli"}
    enumerated = min(sizes, key=lambda layer: sizes[layer], default="")
    if method != "ais" and sizes and sizes[enumerated] <= _ENUMERABLE:
        if enumerated == "hidden":
            return _over_hidden(rbm, kernel, hidden_bias, visible_bias), 0.0
        return _over_visible(kernel, hidden_bias, visible_bias, rbm.hidden), 0.0
    if method == "exact" and not sizes:
        raise ValueError(
            f"An exact log Z enumerates Bernoulli units, but visible={rbm.visible!r} and hidden={rbm.hidden!r}: use "
            "method='ais'."
        )
    if method == "exact":
        raise ValueError(
            f"An exact log Z enumerates at most {_ENUMERABLE} Bernoulli units, but the smaller such layer "
            f"({enumerated}) has {sizes[enumerated]}: use method='ais'."
        )
    return _anneal_and_check(rbm, inverse_temperatures(temperatures), particles, reverse, base, data, start, seed)


def log_likelihood(rbm: RBM, x: ArrayLike, log_z: float | tuple[float, float] | None = None) -> np.ndarray:
    """Compute log p(x) of each sample under an RBM.

    Args:
        rbm: A built `aezoo.RBM`.
        x: Samples, (n, *input_shape), or data that come batch by batch; 0 or 1 for Bernoulli visibles. Values in
            between have no probability: the result for them, -F(x) - log Z, is what papers report for gray pixels.
        log_z: The result of `log_partition`, or its first number; None computes `log_partition(rbm, data=x)`.

    Returns:
        (n,) in nats: the log of a probability, or of a density for Gaussian visibles.

    Raises:
        ValueError: If the RBM has no log Z, or x does not fit it.

    Example:
        >>> import numpy as np
        >>> from aezoo import RBM
        >>> rbm = RBM(3, kernel_stddev=0.0)
        >>> rbm.build((None, 2))
        >>> log_likelihood(rbm, np.array([[0.0, 1.0]], "float32")).round(4)  # -2 log 2
        array([-1.3863])
    """
    _check_machine(rbm)
    _, pieces = inference.pieces(rbm, x, compared=True)  # checked before minutes of annealing
    if log_z is None:
        x = np.concatenate([np.asarray(piece.x) for piece in pieces])
        log_z = log_partition(rbm, data=x if len(x) else None)
        _, pieces = inference.pieces(rbm, x, compared=True)
    log_z = log_z[0] if isinstance(log_z, tuple) else log_z
    return -np.concatenate([np.asarray(rbm.free_energy(piece.x), "float64") for piece in pieces]) - log_z


def _check_machine(rbm: RBM) -> None:
    if not hasattr(rbm, "free_energy"):
        raise ValueError(
            f"{type(rbm).__name__} has no partition function: give an aezoo.RBM, or for a DBN its top RBM, "
            "dbn.rbms[-1]."
        )
    _validation.check_built(rbm)


# === Exact values ===


def _both_gaussian(kernel: np.ndarray, hidden_bias: np.ndarray, visible_bias: np.ndarray) -> float:
    """Compute log Z from F = ½‖v - b‖² - ½‖c + Wᵀv‖², a quadratic form with the matrix 1 - WWᵀ."""
    if np.linalg.norm(kernel, 2) >= 1:
        raise ValueError(
            "With Gaussian units in both layers, Z is finite only if every singular value of W is below 1, but the "
            f"largest is {np.linalg.norm(kernel, 2):.3g}: train with a smaller learning rate or with weight decay."
        )
    matrix = np.eye(len(kernel)) - kernel @ kernel.T
    slope = kernel @ (hidden_bias + kernel.T @ visible_bias)  # of -F at v = b
    height = 0.5 * np.sum((hidden_bias + kernel.T @ visible_bias) ** 2) + 0.5 * slope @ np.linalg.solve(matrix, slope)
    return float(height + 0.5 * len(kernel) * math.log(2 * math.pi) - 0.5 * np.linalg.slogdet(matrix)[1])


def _over_hidden(rbm: RBM, kernel: np.ndarray, hidden_bias: np.ndarray, visible_bias: np.ndarray) -> float:
    if rbm.visible != "gaussian":
        return _enumerate(kernel.T, hidden_bias, visible_bias, _visible_gain(rbm))
    # ∫ exp(-½‖v - b‖² + vᵀWh) dv = √(2π)ⁿ exp(½‖b + Wh‖² - ½‖b‖²)
    constant = 0.5 * visible_bias.size * math.log(2 * math.pi) - 0.5 * np.sum(visible_bias**2)
    return constant + _enumerate(kernel.T, hidden_bias, visible_bias, _GAIN["gaussian"])


def _visible_gain(rbm: RBM) -> Callable[[Any], Any]:
    """Return the log of the sum over the states of Bernoulli or softmax visible units, as a function of their inputs.

    Summed over the last axis, it is the log of the sum over the states of all units.
    """
    if rbm.visible == "bernoulli":
        return tf.nn.softplus
    return lambda a: tf.reduce_logsumexp(rbm._groups(a), axis=-1)


def _over_visible(kernel: np.ndarray, hidden_bias: np.ndarray, visible_bias: np.ndarray, hidden: str) -> float:
    return _enumerate(kernel, visible_bias, hidden_bias, _GAIN[hidden])


def _enumerate(kernel: np.ndarray, bias: np.ndarray, other_bias: np.ndarray, gain: Callable[[Tensor], Tensor]) -> float:
    """Compute log Σ_s exp(bias·s + Σ gain(other_bias + s·kernel)) over all binary s, in pieces."""
    units = bias.size
    # The low bits of the states are the same in each piece: only the high bits change the inputs between pieces.
    low = min(units, int(math.log2(max(1, _IN_HAND // other_bias.size))))
    states = np.arange(2**low)[:, None] >> np.arange(low) & 1
    energy, inputs = tf.constant(states @ bias[:low]), tf.constant(states @ kernel[:low] + other_bias)
    total = -np.inf
    for high in range(2 ** (units - low)):
        bits = high >> np.arange(units - low) & 1
        logs = energy + tf.reduce_sum(gain(inputs + bits @ kernel[low:]), axis=1)
        total = np.logaddexp(total, tf.reduce_logsumexp(logs).numpy() + bits @ bias[low:])
    return float(total)


# === Annealed importance sampling ===


def inverse_temperatures(temperatures: Any) -> np.ndarray:
    """Return increasing β from 0 to 1, float32: `temperatures` evenly spaced ones, or the given ones after a check."""
    if np.ndim(temperatures) == 0:
        _validation.check_at_least("temperatures", temperatures, 2)
        return np.linspace(0, 1, int(temperatures), dtype="float32")
    betas = np.asarray(temperatures, "float32")
    if betas.ndim != 1 or betas.size < 2 or betas[0] != 0 or betas[-1] != 1 or np.any(np.diff(betas) <= 0):
        raise ValueError(
            "temperatures must be a number, or β that increase from 0 to 1, both included, but they have shape "
            f"{betas.shape} and do not."
        )
    return betas


def _base_bias(rbm: RBM, means: np.ndarray) -> np.ndarray:
    """Return the visible biases of an RBM without weights that has these means."""
    means = means.reshape(-1)
    if rbm.visible == "gaussian":
        return means
    rates = np.clip(means, _SMALLEST_RATE, 1 - _SMALLEST_RATE)
    return np.log(rates) - (np.log1p(-rates) if rbm.visible == "bernoulli" else 0.0)


def _checked_base(rbm: RBM, base: ArrayLike) -> np.ndarray:
    base = np.asarray(base, "float64")
    if base.shape != rbm.x_shape:
        raise ValueError(f"base must be the mean of the data, of shape {rbm.x_shape}, but it has shape {base.shape}.")
    if rbm.visible != "gaussian" and not (base.min() >= 0 and base.max() <= 1):
        raise ValueError(f"base must be the mean of {rbm.visible.capitalize()} data, but it has values outside [0, 1].")
    return base.reshape(-1) / np.exp(np.asarray(rbm.log_stddev, "float64"))


def _anneal_and_check(
    rbm: RBM,
    betas: np.ndarray,
    particles: int,
    reverse: bool,
    base: ArrayLike | None,
    data: ArrayLike | None,
    start: ArrayLike | None,
    seed: int,
) -> tuple[float, float]:
    """Compute log Z by forward runs from two bases, or by a reverse run, with an error that compares the runs."""
    _validation.check_at_least("particles", particles, 2)
    if start is not None and not reverse:
        raise ValueError("start is where reverse AIS begins: set reverse=True with it.")
    if start is not None and np.shape(start) != (particles, *rbm.x_shape):
        raise ValueError(
            f"start must have shape {(particles, *rbm.x_shape)}, one sample per particle, but it has shape "
            f"{np.shape(start)}."
        )
    if data is not None:
        data = gate.samples(rbm, data, compared=True)
        if not len(data):
            raise ValueError("data is empty: give at least one sample to start from, or data=None.")
    means = None if base is None else _checked_base(rbm, base)
    own = _Path(rbm, np.asarray(rbm.parameters()[2], "float64"))
    samples = None
    if start is not None:
        samples = rbm._flat(tf.cast(start, "float32"))
    elif reverse or data is not None or means is None:
        samples = own.long_run(len(betas), particles, data, seed)
    if means is None:
        means = np.mean(np.asarray(samples if data is None else rbm._flat(data)), axis=0, dtype="float64")
    paths = [own, _Path(rbm, _base_bias(rbm, means))]
    runs = [path.forward(betas, particles, seed, stage) for path, stage in zip(paths, (0, 5), strict=True)]
    best = max(
        range(2), key=lambda i: runs[i].log_z - min(runs[i].error, 1.0)
    )  # among similar estimates, the one with the smaller error
    run, other = runs[best], runs[1 - best]
    if rbm.visible != "gaussian":
        seen = np.concatenate([*(r.ends for r in runs), *([] if samples is None else [np.asarray(samples)])])
        run = run.at_least(_sum_over(rbm, seen))
    told = "the two bases"
    if reverse or data is not None:
        told, other = "forward and reverse annealing", paths[best].reverse(samples, betas, seed)
    result, difference = other if reverse else run, abs(run.log_z - other.log_z)
    error = result.error
    if difference > 4 * math.hypot(*(r.error for r in (run, other) if not r.collapsed)):
        error = max(error, difference)
    if error > 1:
        few = f", and {result.effective:.3g} of {particles} particles carry the weight" if result.collapsed else ""
        more = "more temperatures" if data is not None or start is not None else "more temperatures, and give data"
        warnings.warn(
            f"log Z is uncertain by {error:.3g} nats: {told} give {run.log_z:.6g} and {other.log_z:.6g}{few}; use "
            f"{more}.",
            stacklevel=3,
        )
    return result.log_z, error


def _sum_over(rbm: RBM, states: np.ndarray) -> float:
    """Compute log Σ exp(-F) over distinct binary states, which is a lower bound of log Z."""
    kernel, hidden_bias, visible_bias = (np.asarray(p, "float64") for p in rbm.parameters())
    states = np.unique(states[np.all((states == 0) | (states == 1), axis=1)], axis=0)
    if not len(states):
        return -math.inf
    gain = np.sum(np.asarray(_GAIN[rbm.hidden](states @ kernel + hidden_bias)), axis=1)
    return float(np.logaddexp.reduce(states @ visible_bias + gain))


@dataclasses.dataclass(frozen=True)
class _Run:
    """Estimate of log Z by a run of particles."""

    log_z: float
    error: float
    effective: float
    """Number of particles that carry the weight, (Σw)² / Σw²."""
    collapsed: bool
    ends: np.ndarray

    @classmethod
    def of(cls, log_w: np.ndarray, log_z_of_base: float, sign: int, ends: Tensor) -> _Run:
        log_mean, error, effective = log_mean_weight(log_w)
        log_z = log_z_of_base + sign * log_mean
        return cls(float(log_z), float(error), float(effective), bool(effective < _few(log_w)), np.asarray(ends))

    def at_least(self, bound: float) -> _Run:
        """Return the run with log Z raised to a lower bound, and the error widened accordingly."""
        if self.log_z >= bound:
            return self
        return dataclasses.replace(self, log_z=bound, error=max(self.error, bound - self.log_z))


def log_mean_weight(log_w: np.ndarray) -> tuple[Any, Any, Any]:
    """Return the log of a mean weight, its standard error, and the number of particles that carry the weight.

    The error comes from the delta method, std(w) / (mean(w) √particles). If fewer than ten particles, and fewer than
    half of them, carry the weight, it is at least the standard deviation of the log weights.

    Args:
        log_w: Logs of weights, (particles, ...).

    Returns:
        Three arrays, (...); the last is (Σw)² / Σw².
    """
    peak = log_w.max(axis=0)
    w = np.exp(log_w - peak)
    effective = w.sum(axis=0) ** 2 / np.sum(w**2, axis=0)
    error = w.std(axis=0, ddof=1) / (w.mean(axis=0) * math.sqrt(len(log_w)))
    error = np.where(effective < _few(log_w), np.maximum(error, log_w.std(axis=0, ddof=1)), error)
    return peak + np.log(w.mean(axis=0)), error, effective


def _few(log_w: np.ndarray) -> float:
    return min(10, len(log_w) / 2)


class _Path:
    """Path of distributions p_β from an RBM without weights (β = 0) to an RBM (β = 1).

    Both ends are written as exp(biasᵀv), times exp(-½‖v‖²) for Gaussian visibles. Along the path the visible units are
    therefore of the same kind, and only their biases change.
    """

    def __init__(self, rbm: RBM, base_bias: np.ndarray):
        self.rbm = rbm
        self.base_bias = base_bias
        self.parameters = [tf.convert_to_tensor(p) for p in rbm.parameters()]
        self.visible = rbm.x_shape[-1] if rbm.visible == "softmax" else rbm.visible

    def forward(self, betas: np.ndarray, particles: int, seed: int, stage: int) -> _Run:
        """Run particles from the base to the RBM."""
        field = tf.broadcast_to(tf.cast(self.base_bias, "float32"), (particles, self.base_bias.size))
        v = _draw(self.visible, field, _seeds(seed, stage))
        log_w, ends = self._anneal(v, betas, _seeds(seed, stage + 1))
        return _Run.of(log_w.numpy(), self._log_z_of_base(), 1, ends)

    def reverse(self, v: Tensor, betas: np.ndarray, seed: int) -> _Run:
        """Run particles from samples of the RBM to the base."""
        log_w, ends = self._anneal(v, betas[::-1], _seeds(seed, 2))
        return _Run.of(log_w.numpy(), self._log_z_of_base(), -1, ends)

    def long_run(self, steps: int, particles: int, data: ArrayLike | None, seed: int) -> Tensor:
        """Return the ends of Gibbs chains that start at evenly spaced samples of the data, or at random states."""
        units = self.base_bias.size
        if data is not None:
            rows = np.asarray(data)
            starts = rows[np.arange(particles) * len(rows) // particles]
            v = self.rbm._flat(starts)
        else:
            v = _draw(self.visible, tf.zeros((particles, units)), _seeds(seed, 3))
        return self._anneal(v, np.ones(steps + 1, "float32"), _seeds(seed, 4))[1]

    def _anneal(self, v: Tensor, betas: np.ndarray, seed: Tensor) -> tuple[Any, Any]:
        base_bias = tf.cast(self.base_bias, "float32")
        return _anneal(v, tf.constant(betas), seed, base_bias, *self.parameters, self.visible, self.rbm.hidden)

    def _log_z_of_base(self) -> float:
        """Compute log Z at β = 0; for Gaussian visibles less ½‖b‖², which F of the RBM (β = 1) has beside exp(bᵀv)."""
        a, (_, hidden_bias, visible_bias) = self.base_bias, (np.asarray(p, "float64") for p in self.parameters)
        hidden = hidden_bias.size * float(_GAIN[self.rbm.hidden](0.0))
        if self.rbm.visible == "bernoulli":
            return hidden + float(np.sum(np.logaddexp(0, a)))
        if self.rbm.visible == "softmax":
            return hidden + float(tf.reduce_sum(_visible_gain(self.rbm)(a)))
        return hidden + 0.5 * a.size * math.log(2 * math.pi) + 0.5 * float(np.sum(a**2) - np.sum(visible_bias**2))


def _seeds(seed: int, stage: int) -> Tensor:
    return tf.constant([seed, stage], "int64")


def _draw(units: str | int, field: Tensor, seed: Tensor) -> Tensor:
    """Draw the states of units of a kind, given their inputs; a number is the number of categories of softmax units."""
    if isinstance(units, int):
        rows = tf.reshape(field, (-1, units))
        uniform = tf.random.stateless_uniform(tf.shape(rows), seed, alg="philox")
        category = tf.argmax(rows - tf.math.log(-tf.math.log(uniform)), axis=1)  # with Gumbel noise
        return tf.reshape(tf.one_hot(category, units, dtype=field.dtype), tf.shape(field))
    if units == "bernoulli":
        uniform = tf.random.stateless_uniform(tf.shape(field), seed, alg="philox")
        return tf.cast(uniform < tf.sigmoid(field), field.dtype)
    return field + tf.random.stateless_normal(tf.shape(field), seed, alg="philox")


@tf.function(reduce_retracing=True)
def _anneal(
    v: Tensor,
    betas: Tensor,
    seed: Tensor,
    base_bias: Tensor,
    kernel: Tensor,
    hidden_bias: Tensor,
    visible_bias: Tensor,
    visible: str | int,
    hidden: str,
) -> tuple[Any, Any]:
    """Anneal samples v of p at betas[0] along betas; return the logs of their weights, and their final states."""
    gain = _GAIN[hidden]
    bias_step = visible_bias - base_bias
    a = tf.matmul(v, kernel) + hidden_bias
    log_w = tf.zeros(tf.shape(v)[0], "float64")  # the sum of up to 10,000 small steps
    for k in tf.range(1, tf.size(betas)):
        before, beta = betas[k - 1], betas[k]
        rise = tf.reduce_sum(gain(beta * a) - gain(before * a), axis=1)
        log_w += tf.cast(rise + (beta - before) * tf.linalg.matvec(v, bias_step), "float64")
        seeds = tf.random.experimental.stateless_split(
            tf.random.experimental.stateless_fold_in(seed, tf.cast(k, "int64"), alg="philox"), 2, alg="philox"
        )
        h = _draw(hidden, beta * a, seeds[0])
        field = beta * tf.matmul(h, kernel, transpose_b=True) + base_bias + beta * bias_step
        v = _draw(visible, field, seeds[1])
        a = tf.matmul(v, kernel) + hidden_bias
    return log_w, v
