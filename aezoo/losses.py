"""Reconstruction errors as defined in the papers: summed over features, averaged over samples.

Keras' own losses average over features, too, so that a penalty copied from a paper weighs hundreds of times more
relative to them. All losses here compute in float32 (or float64), for predictions of any dtype.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras
from aezoo._numerics import as_float32, gather_from_replicas, interval_of_replica
from aezoo._typing import Loss, Tensor

if TYPE_CHECKING:
    from aezoo.training.batch import Batch

__all__ = [
    "CrossEntropy",
    "GaussianNegativeLogLikelihood",
    "NoScores",
    "NormalizedSquaredError",
    "SquaredError",
    "SummedLoss",
    "bernoulli_kl",
    "class_logits_of",
    "domain",
    "gaussian_kl",
    "gaussian_log_density",
    "kl_decomposition",
    "logits_of",
    "maximum_mean_discrepancy",
    "needs_probabilities",
    "per_feature",
    "per_sample",
    "product",
    "reduction",
    "takes_classes",
    "with_class_logits",
    "with_logits",
]


_TINY = 1e-30  # its logarithm is finite in single precision
_NO_PARTS = (
    "The loss {} is not a sum or a mean over features, so that features have no contributions: give compile a loss "
    "such as 'mse' or 'binary_crossentropy'."
)


class SummedLoss(keras.losses.Loss):
    """Base class of losses that sum over features. A subclass returns the error of each feature in `elementwise`.

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> class AbsoluteError(SummedLoss):
        ...     def elementwise(self, y_true, y_pred):
        ...         return ops.abs(y_true - y_pred)
        >>> float(AbsoluteError("absolute_error")([[0.0, 1.0]], [[2.0, 2.0]]))
        3.0
    """

    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the error of each feature, with the shape of `y_true`."""
        raise NotImplementedError

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the error of each sample, (batch,): the sum over its features."""
        return _over_features(self.elementwise(as_float32(y_true), _prediction(y_pred)), ops.sum)


@keras.saving.register_keras_serializable("aezoo")
class SquaredError(SummedLoss):
    """Squared error Σᵢ (xᵢ - x'ᵢ)² of each sample, averaged over the batch.

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> float(SquaredError()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]))
        1.0
    """

    def __init__(self, name: str = "squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.square(y_true - y_pred)


@keras.saving.register_keras_serializable("aezoo")
class NormalizedSquaredError(SummedLoss):
    """Squared error Σᵢ (xᵢ - x'ᵢ)² / v of each sample, averaged over the batch: the share of the variance that is lost.

    Args:
        variance: v, the mean squared distance of the data from their mean: a number, or a variable.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> float(NormalizedSquaredError(4.0)([[0.0, 1.0]], [[1.0, 0.0]]))
        0.5
    """

    def __init__(self, variance: float | Tensor = 1.0, name: str = "normalized_squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.variance = variance

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.square(y_true - y_pred) / as_float32(self.variance)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "variance": float(self.variance)}


@keras.saving.register_keras_serializable("aezoo")
class CrossEntropy(SummedLoss):
    """Cross-entropy -Σᵢ xᵢ log x'ᵢ + (1 - xᵢ) log(1 - x'ᵢ) of each sample, in nats, averaged over the batch.

    Predictions are probabilities. For predictions of aezoo's models, the loss is computed from the logits of the last
    sigmoid, so that it is exact and its gradient with respect to the logits is x' - x even if x' rounds to 0 or 1.
    Other predictions are clipped to [1e-7, 1 - 1e-7], as in Keras.

    Args:
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> round(float(CrossEntropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)  # 2 log 2
        1.3863
    """

    def __init__(self, name: str = "cross_entropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = logits_of(y_pred)
        if logits is not None:
            return tf.nn.sigmoid_cross_entropy_with_logits(y_true, logits)
        p = ops.clip(y_pred, keras.config.epsilon(), 1.0 - keras.config.epsilon())
        return -(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p))  # log1p(-p) is slower


@keras.saving.register_keras_serializable("aezoo")
class GaussianNegativeLogLikelihood(SummedLoss):
    """Loss -log N(x; x', σ²I) = ½ Σᵢ (xᵢ - x'ᵢ)²/σ² + log 2πσ² of each sample, in nats, averaged over the batch.

    Args:
        log_variance: log σ², a number, or a variable if it is learned.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> round(float(GaussianNegativeLogLikelihood()([[0.0, 1.0]], [[0.0, 0.0]])), 4)  # log 2π + ½
        2.3379
    """

    def __init__(
        self, log_variance: float | Tensor = 0.0, name: str = "gaussian_negative_log_likelihood", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.log_variance = log_variance

    def elementwise(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        log_variance = as_float32(self.log_variance)
        return 0.5 * (ops.square(y_true - y_pred) * ops.exp(-log_variance) + log_variance + math.log(2.0 * math.pi))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "log_variance": float(self.log_variance)}


# Losses of probabilities. With some, Keras silently clips targets to [0, 1]; with the others, it does not check them.
_OF_PROBABILITIES = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.categorical_generalized_cross_entropy,
    keras.losses.kl_divergence,
    keras.losses.dice,
    keras.losses.tversky,
)


def needs_probabilities(loss: Loss | None) -> bool:
    """Return whether a loss is defined only for targets in [0, 1], as a cross-entropy is.

    Args:
        loss: A loss for `compile`: a name, a function, a `keras.losses.Loss`, or None.

    Returns:
        True for `CrossEntropy`, and for the cross-entropies, `kl_divergence`, `dice` and `tversky` of Keras, including
        those that take logits; False for any other loss and for None.

    Raises:
        ValueError: If Keras has no loss of this name.

    Example:
        >>> needs_probabilities("binary_crossentropy"), needs_probabilities(keras.losses.MeanSquaredError())
        (True, False)
    """
    loss = keras.losses.get(loss)
    function = getattr(loss, "fn", loss)  # Keras' classes wrap a function
    return isinstance(loss, CrossEntropy) or getattr(function, "func", function) in _OF_PROBABILITIES  # a partial


def takes_classes(loss: Loss | None) -> bool:
    """Return whether the targets of a loss are classes of the prediction's last axis, such as tokens.

    Args:
        loss: A loss for `compile`: a name, a function, a `keras.losses.Loss`, or None.

    Returns:
        True for the sparse categorical cross-entropy of Keras.

    Example:
        >>> takes_classes("sparse_categorical_crossentropy"), takes_classes("mse")
        (True, False)
    """
    function = getattr(keras.losses.get(loss), "fn", keras.losses.get(loss))
    return getattr(function, "func", function) is keras.losses.sparse_categorical_crossentropy


def domain(loss: Loss | None) -> tuple[float, float] | None:
    """Return the smallest and largest target that a loss is defined for, or None if targets are unbounded.

    Args:
        loss: A loss for `compile`: a name, a function, a `keras.losses.Loss`, or None. Your own loss may declare the
            domain in an attribute `bounds`.

    Returns:
        (0, 1) for losses that `needs_probabilities` accepts, (0, inf) for the likelihood of counts.

    Raises:
        ValueError: If Keras has no loss of this name.

    Example:
        >>> import aezoo
        >>> domain("binary_crossentropy"), domain("mse"), domain(aezoo.likelihoods.Poisson().loss)
        ((0.0, 1.0), None, (0.0, inf))
    """
    return (0.0, 1.0) if needs_probabilities(loss) else getattr(loss, "bounds", None)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the summands j of KL(N(μ, diag σ²)‖N(0, I)) = ½ Σⱼ (μⱼ² + σⱼ² - log σⱼ² - 1), in nats.

    Args:
        mean: μ, a tensor of any shape.
        log_variance: log σ², of the same shape.

    Returns:
        A float32 tensor of the same shape with the contribution of each dimension.

    Example:
        >>> gaussian_kl([0.0, 2.0], [0.0, 0.0]).numpy()
        array([0., 2.], dtype=float32)
    """
    mean, log_variance = as_float32(mean), as_float32(log_variance)
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0)


def gaussian_log_density(z: Tensor, mean: Tensor = 0.0, log_variance: Tensor = 0.0) -> Tensor:
    """Return the summands j of log N(z; μ, diag σ²) = -½ Σⱼ ((zⱼ - μⱼ)²/σⱼ² + log σⱼ² + log 2π), in nats.

    Args:
        z: A tensor of any shape.
        mean: μ, of a shape that broadcasts with z.
        log_variance: log σ², likewise.

    Returns:
        A float32 tensor of the common shape with the contribution of each dimension.

    Example:
        >>> gaussian_log_density([0.0, 2.0]).numpy().round(3)
        array([-0.919, -2.919], dtype=float32)
    """
    z = as_float32(z)
    mean, log_variance = ops.cast(mean, z.dtype), ops.cast(log_variance, z.dtype)
    return -0.5 * (ops.square(z - mean) * ops.exp(-log_variance) + log_variance + math.log(2 * math.pi))


def kl_decomposition(
    z: Tensor, mean: Tensor, log_variance: Tensor, weight: Tensor | None = None, dataset_size: int | None = None
) -> tuple[Any, Any, Any]:
    """Estimate the three parts of the mean of KL(q(z|x)‖N(0, I)) over the data, from codes drawn for one batch.

    The parts are I(x; z) + TC(z) + Σⱼ KL(q(zⱼ)‖p(zⱼ)): the mutual information of sample and code, the total correlation
    KL(q(z)‖∏ⱼ q(zⱼ)) of the code units, and the divergence of each unit from the prior. q(z) = mean over x of q(z|x) is
    estimated from the batch for each code zᵢ ~ q(z|xᵢ).

    Without `dataset_size`, q(zᵢ) ≈ mean over j of q(zᵢ|xⱼ), as if the batch were the data: this is minibatch-weighted
    sampling without its factor 1/N, which does not change the gradient. With it, this is minibatch-stratified sampling:
    xᵢ has the weight 1/N, and each other sample of the batch the same part of the rest. The paper gives one other
    sample, chosen arbitrarily, another part; the expectation is the same.

    Args:
        z: Codes zᵢ, (batch, ...): this replica's part.
        mean: μ of q(z|x), of the same shape.
        log_variance: log σ² of q(z|x), of the same shape.
        weight: Weights of the samples, (batch,); None weighs them equally.
        dataset_size: N, the number of training samples, > 1.

    Returns:
        The parts for each code, (batch,) float32 each, in nats. Their means are the estimates.

    Example:
        >>> mean, log_variance = ops.array([[-9.0, 0.0], [9.0, 0.0]]), ops.zeros((2, 2))
        >>> parts = kl_decomposition(mean, mean, log_variance)  # x decides the sign of the first unit: log 2 nats
        >>> [round(abs(float(ops.mean(part))), 2) for part in parts]
        [0.69, 0.0, 39.81]

    Reference:
        Chen, Li, Grosse & Duvenaud, "Isolating sources of disentanglement in variational autoencoders", NeurIPS 2018,
        arXiv:1802.04942.
    """
    z, mean, log_variance = (ops.reshape(as_float32(t), (-1, math.prod(z.shape[1:]))) for t in (z, mean, log_variance))
    weight = ops.ones_like(z[:, 0]) if weight is None else as_float32(weight)
    means, log_variances, weights = (gather_from_replicas(t) for t in (mean, log_variance, weight))
    if dataset_size is None:
        log_weights = (_log(weights) - _log(ops.sum(weights)))[None]  # the same for all codes
    else:
        start = ops.cast(interval_of_replica(ops.sum(ops.ones_like(weight)))[0], "int32")
        own = ops.arange(ops.shape(z)[0])[:, None] + start == ops.arange(ops.shape(means)[0])
        others = ops.where(own, 0.0, weights)
        rest = math.log1p(-1 / dataset_size) - _log(ops.sum(others, axis=1, keepdims=True))
        log_weights = ops.where(own, -math.log(dataset_size), _log(others) + rest)
    log_densities = gaussian_log_density(z[:, None], means, log_variances)  # of zᵢ under q(z|xⱼ), (i, j, unit)
    log_q = ops.logsumexp(log_weights + ops.sum(log_densities, axis=2), axis=1)
    log_q_of_units = ops.sum(ops.logsumexp(log_weights[..., None] + log_densities, axis=1), axis=1)
    log_q_given_x = ops.sum(gaussian_log_density(z, mean, log_variance), axis=1)
    log_p = ops.sum(gaussian_log_density(z), axis=1)
    return log_q_given_x - log_q, log_q - log_q_of_units, log_q_of_units - log_p


def _log(x: Tensor) -> Tensor:
    return ops.log(ops.maximum(x, _TINY))


def maximum_mean_discrepancy(z: Tensor, weight: Tensor | None = None, bandwidth: float | None = None) -> Tensor:
    """Return the squared maximum mean discrepancy (MMD²) between the codes of a batch and N(0, I), split over codes.

    MMD² = E k(z, z') - 2 E k(z, p) + E k(p, p') for the kernel k(a, b) = exp(-‖a - b‖² / 2h²), where z and z' are drawn
    from the batch, independently and with replacement, and p and p' from N(0, I). The expectations over p are exact:
    they are Gaussian integrals.

    Args:
        z: Codes, (batch, ...): this replica's part.
        weight: Weights of the samples, (batch,); None weighs them equally.
        bandwidth: h² > 0; None takes the number of code units, half the mean squared distance of two draws of N(0, I).

    Returns:
        (batch,) float32, whose weighted mean is MMD² >= 0.

    Example:
        >>> [round(float(maximum_mean_discrepancy(ops.array([[z, 0.0]]))[0]), 2) for z in (0.0, 100.0)]
        [0.17, 1.5]

    Reference:
        Gretton, Borgwardt, Rasch, Schölkopf & Smola, "A kernel two-sample test", JMLR 2012.
    """
    units = math.prod(z.shape[1:])
    h = float(units) if bandwidth is None else bandwidth
    z = ops.reshape(as_float32(z), (-1, units))
    weight = ops.ones_like(z[:, 0]) if weight is None else as_float32(weight)
    codes, weights = gather_from_replicas(z), gather_from_replicas(weight)
    squares, others = ops.sum(ops.square(z), axis=1), ops.sum(ops.square(codes), axis=1)
    distances = ops.maximum(squares[:, None] + others - 2 * ops.matmul(z, ops.transpose(codes)), 0.0)
    with_batch = ops.divide_no_nan(ops.matmul(ops.exp(-distances / (2 * h)), weights[:, None])[:, 0], ops.sum(weights))
    with_prior = (h / (h + 1)) ** (units / 2) * ops.exp(-squares / (2 * (h + 1)))
    return with_batch - 2 * with_prior + (h / (h + 2)) ** (units / 2)


def bernoulli_kl(target: float, rate: Tensor, complement: Tensor | None = None) -> Tensor:
    """Return KL(ρ‖ρ̂) = ρ log(ρ/ρ̂) + (1-ρ) log((1-ρ)/(1-ρ̂)) between two Bernoulli distributions, in nats.

    Args:
        target: ρ in (0, 1).
        rate: ρ̂, a tensor of any shape with values in [0, 1].
        complement: 1 - ρ̂, if you can compute it more precisely than by subtraction. For means of sigmoids, it is the
            mean of sigmoids of the negated logits; subtraction returns 0 if all logits are 17 or more. With it,
            gradients pull even such units to ρ; without it, ρ̂ is clipped to at most 1 - 1e-7.

    Returns:
        A tensor with the shape of `rate`.

    Example:
        >>> [round(float(kl), 4) for kl in bernoulli_kl(0.5, [0.5, 0.25])]  # 0 and ½ log(4/3)
        [0.0, 0.1438]
    """
    rate = as_float32(rate)
    if complement is None:
        complement = 1.0 - ops.minimum(rate, 1.0 - keras.config.epsilon())
    off = ops.log(ops.maximum(as_float32(complement), _TINY))
    return target * (ops.log(target) - ops.log(ops.maximum(rate, _TINY))) + (1.0 - target) * (
        ops.log(1.0 - target) - off
    )


def logits_of(probability: Tensor) -> Tensor | None:
    """Return the logits of a tensor that is the output of a sigmoid, or None if they are unknown.

    Keras attaches logits to the outputs of sigmoids and softmaxes alike. The networks of aezoo attach logits of
    sigmoids, which this function returns.

    Args:
        probability: A tensor.

    Returns:
        A tensor of the same shape, or None.

    Example:
        >>> logits_of(ops.sigmoid(ops.ones(2))) is None  # not the output of a layer
        True
    """
    return _keras.sigmoid_logits(probability)


def class_logits_of(probabilities: Tensor) -> Tensor:
    """Return the logits of a tensor that is the output of a softmax, or None if they are unknown; see `logits_of`.

    Args:
        probabilities: A tensor, (..., classes).

    Returns:
        A tensor of the same shape, or None.

    Example:
        >>> class_logits_of(ops.softmax(ops.ones((1, 2)))) is None  # not the output of a layer
        True
    """
    return _keras.class_logits(probabilities)


def with_class_logits(probabilities: Tensor, logits: Tensor) -> Tensor:
    """Attach logits to their softmax, for `class_logits_of`.

    Args:
        probabilities: A tensor.
        logits: A tensor of the same shape, or None to attach nothing.

    Returns:
        The tensor `probabilities`.

    Example:
        >>> logits = ops.convert_to_tensor([[1.0, 2.0]])
        >>> class_logits_of(with_class_logits(ops.softmax(logits), logits)) is logits
        True
    """
    if logits is not None:
        _keras.mark_class_logits(probabilities, logits)
    return probabilities


def with_logits(probability: Tensor, logits: Tensor) -> Tensor:
    """Attach logits to their sigmoid, for `CrossEntropy` and Keras' own cross-entropy.

    Args:
        probability: A tensor.
        logits: A tensor of the same shape, or None to attach nothing.

    Returns:
        The tensor `probability`.

    Example:
        >>> logits = ops.convert_to_tensor([[17.0]])
        >>> float(CrossEntropy()([[0.0]], with_logits(ops.sigmoid(logits), logits)))
        17.0
    """
    if logits is not None:
        _keras.mark_logits(probability, logits)
    return probability


class NoScores(ValueError):
    """Exception for losses that return one number per batch although one per sample is needed.

    Example:
        >>> try:
        ...     per_sample(lambda y, p: ops.mean(y - p), ops.ones((4, 3)), ops.ones((4, 3)))
        ... except NoScores as error:
        ...     print(str(error)[:58])
        The loss '<lambda>' returns one number for the whole batch
    """


def reduction(loss: Loss | None) -> str:
    """Return how a loss reduces over the batch.

    Args:
        loss: A loss for `compile`: a name, a function, a `keras.losses.Loss`, or None.

    Returns:
        "sum", "mean_with_sample_weight", or "mean" for any other reduction.

    Raises:
        ValueError: If `loss` is a list or a dict, or has no reduction.

    Example:
        >>> reduction("mse"), reduction(SquaredError(reduction="sum"))
        ('mean', 'sum')
    """
    if isinstance(loss, (list, tuple, dict)):
        raise ValueError(f"An autoencoder has one output: give compile one loss, not {loss!r}.")
    loss = keras.losses.get(loss)
    if not isinstance(loss, keras.losses.Loss) or loss.reduction in ("sum_over_batch_size", "mean"):
        return "mean"
    if loss.reduction not in ("sum", "mean_with_sample_weight"):
        raise ValueError(
            f"reduction={loss.reduction!r} of {type(loss).__name__} is not supported: "
            "use 'sum_over_batch_size' or 'sum'."
        )
    return loss.reduction


def per_sample(
    loss: Loss | None,
    y_true: Tensor,
    y_pred: Tensor,
    feature_weight: Tensor | None = None,
    batch: Batch | None = None,
    observed: Tensor | None = None,
) -> tuple[Any, str]:
    """Evaluate any Keras loss sample by sample.

    Steps that the Keras mask of `y_pred` excludes do not count, nor do targets that are not `observed`. A loss that
    averages takes the mean over the counted entries of each sample. With `batch`, it divides by the mean number of
    counted entries instead, so that the mean over the batch equals the mean over all its entries, as in Keras.

    Args:
        loss: A loss that `compile` accepts for a model with one output: a name, a function or a `keras.losses.Loss`.
        y_true: Targets, (batch, ...).
        y_pred: Predictions, (batch, ...).
        feature_weight: Weights of the errors of steps or features, with the leading axes of `y_true`, or None.
        batch: The batch, if only the mean over it is needed and not the scores of samples. A loss that returns one
            number for all samples is then used unchanged, unless samples have weights.
        observed: Boolean mask of the targets that count, with the leading axes of `y_true`; None if all count.

    Returns:
        The loss of each sample, (batch,), and its reduction over the batch; see `reduction`.

    Raises:
        ValueError: If `loss` is a list or a dict or has no reduction; if it returns no number per sample although they
            are needed; if it combines features or steps that have individual weights or a mask.

    Example:
        >>> values, how = per_sample("mse", [[0.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]])
        >>> values.numpy(), how
        (array([0.5, 2. ], dtype=float32), 'mean')
    """
    how = reduction(loss)
    loss = keras.losses.get(loss)
    mask = _both(_keras.mask_of(y_pred), observed)
    y_true, y_pred = as_float32(y_true), _prediction(y_pred)
    if isinstance(loss, SummedLoss):
        values = loss.elementwise(y_true, y_pred)
        values = values if feature_weight is None else values * _trailing(feature_weight, values)
        if mask is not None:
            values *= _broadcast_mask(mask, values, loss)
        return _over_features(values, ops.sum), how
    function: Any = loss.call if isinstance(loss, keras.losses.Loss) else loss
    rank = len(y_pred.shape)
    by_feature = any(w is not None and len(w.shape) == rank for w in (feature_weight, observed))
    if by_feature:
        _check_elementwise(loss, function, y_true)
        values = _feature_by_feature(function, y_true, y_pred)
    else:
        values = as_float32(function(y_true, y_pred))
    size = y_pred.shape[0] if y_true.shape[0] is None else y_true.shape[0]
    if not _is_per_sample(function, values, y_true, size):
        if batch is None or batch.weight is not None or feature_weight is not None or mask is not None:
            raise NoScores(
                f"The loss {_name(loss)} returns one number for the whole batch, but scores and sample weights need "
                "one per sample: give compile a loss of shape (batch,), such as one that averages over the last axis "
                "only."
            )
        return ops.broadcast_to(ops.mean(values), ops.shape(y_true)[:1]), how
    if feature_weight is not None:
        if len(feature_weight.shape) > len(values.shape):
            raise ValueError(
                f"The loss {_name(loss)} averages over the steps of a sample, so that steps cannot have weights of "
                "their own: give compile a loss that averages over the last axis only."
            )
        values = values * _trailing(feature_weight, values)
    if by_feature and mask is None:
        values = ops.mean(values, axis=-1)
    if mask is None:
        return _over_features(values, ops.sum if how == "sum" else ops.mean), how
    mask = _broadcast_mask(mask, values, loss)
    total = _over_features(values * mask, ops.sum)
    if how == "sum":
        return total / (values.shape[-1] if by_feature else 1), how
    steps = _over_features(mask, ops.sum)
    return ops.divide_no_nan(total, steps if batch is None else batch.global_mean(steps)), how


def per_feature(loss: Loss | None, y_true: Tensor, y_pred: Tensor, observed: Tensor | None = None) -> Any:
    """Split the loss of each sample into the contributions of its features, whose sum is the value of `per_sample`.

    Args:
        loss: A loss that `compile` accepts for a model with one output: a name, a function or a `keras.losses.Loss`.
        y_true: Targets, (batch, ...).
        y_pred: Predictions, (batch, ...).
        observed: Boolean mask of the targets that count, with the leading axes of `y_true`; None if all count. Others
            contribute 0.

    Returns:
        The contributions, float32, with the shape of `y_true`.

    Raises:
        ValueError: If the loss is not a sum or a mean over features.

    Example:
        >>> per_feature("mse", [[0.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]]).numpy()
        array([[0. , 0.5],
               [0. , 2. ]], dtype=float32)
    """
    how = reduction(loss)
    loss = keras.losses.get(loss)
    mask = _both(_keras.mask_of(y_pred), observed)
    y_true, y_pred = as_float32(y_true), _prediction(y_pred)
    if isinstance(loss, SummedLoss):
        values = loss.elementwise(y_true, y_pred)
        divisor: Any = 1
    else:
        function: Any = loss.call if isinstance(loss, keras.losses.Loss) else loss
        classes = takes_classes(loss)
        if not classes and not _is_elementwise(function, (2, *(size or 3 for size in y_true.shape[1:]))):
            raise ValueError(_NO_PARTS.format(_name(loss)))
        values = as_float32(function(y_true, y_pred)) if classes else _feature_by_feature(function, y_true, y_pred)
        if how == "sum":
            divisor = 1 if classes else values.shape[-1]
        else:
            divisor = math.prod(values.shape[1:]) if None not in values.shape[1:] else ops.size(values[0])
    if len(values.shape) != len(y_true.shape):
        raise ValueError(_NO_PARTS.format(_name(loss)))
    if mask is None:
        return values / ops.cast(divisor, "float32")
    mask = _broadcast_mask(mask, values, loss)
    if isinstance(loss, SummedLoss) or how == "sum":
        return values * mask / ops.cast(divisor, "float32")
    counted = ops.sum(mask, axis=tuple(range(1, len(mask.shape))), keepdims=True)
    return ops.divide_no_nan(values * mask, counted)


def product(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """Return the product of two weights, aligned at their first axes. Either may be None.

    Example:
        >>> product([1.0, 2.0], [[1.0, 2.0], [3.0, 4.0]]).numpy().tolist(), product(None, 2.0)
        ([[1.0, 2.0], [6.0, 8.0]], 2.0)
    """
    if a is None or b is None:
        return b if a is None else a
    a, b = as_float32(a), as_float32(b)
    rank = max(len(a.shape), len(b.shape))
    return _expanded(a, rank) * _expanded(b, rank)


def _both(mask: Tensor | None, observed: Tensor | None) -> Tensor | None:
    """Combine two masks, aligned at their first axes. Either may be None."""
    if mask is None or observed is None:
        return observed if mask is None else mask
    rank = max(len(mask.shape), len(observed.shape))
    return ops.logical_and(*(_expanded(ops.cast(part, "bool"), rank) for part in (mask, observed)))


def _expanded(x: Tensor, rank: int) -> Tensor:
    """Append axes of length 1 until x has the given rank."""
    return ops.reshape(x, (*ops.shape(x), *(1,) * (rank - len(x.shape))))


def _trailing(weight: Tensor, values: Tensor) -> Tensor:
    return _expanded(as_float32(weight), len(values.shape))


def _over_features(values: Tensor, reduce: Callable[..., Tensor]) -> Tensor:
    """Reduce (batch, ...) to (batch,)."""
    rest = tuple(range(1, len(values.shape)))
    return reduce(values, axis=rest) if rest else values


def _prediction(y_pred: Tensor) -> Tensor:
    single = as_float32(y_pred)
    logits = logits_of(y_pred)
    return single if logits is None else with_logits(single, as_float32(logits))


def _name(loss: Loss | None) -> str:
    return repr(getattr(loss, "__name__", None) or type(loss).__name__)


def _is_per_sample(
    function: Callable[[Tensor, Tensor], Tensor], values: Tensor, y_true: Tensor, wanted: int | None
) -> bool:
    """Return whether the first axis of a loss's result is the batch axis, of `wanted` samples if that is known."""
    if not len(values.shape):
        return False
    got = values.shape[0]
    if got is not None:
        return got == wanted
    if wanted is None and not getattr(function, "__module__", "").startswith("keras."):
        # In a graph, an axis of unknown size need not be the batch axis.
        tf.debugging.assert_equal(
            tf.shape(values)[0], tf.shape(y_true)[0], "The loss does not return one number per sample, (batch,)."
        )
    return True


def _broadcast_mask(mask: Tensor, values: Tensor, loss: Loss | None) -> Tensor:
    """Expand a mask (batch, steps) to the shape of values (batch, steps, ...), with 1.0 where they count."""
    rank = len(values.shape)
    if len(mask.shape) > rank:
        raise ValueError(
            f"The loss {_name(loss)} averages over the steps of a sample, including steps that the model's mask "
            "excludes: give compile a loss that averages over the last axis only."
        )
    return ops.broadcast_to(ops.cast(_expanded(mask, rank), values.dtype), ops.shape(values))


def _feature_by_feature(function: Callable[[Tensor, Tensor], Tensor], y_true: Tensor, y_pred: Tensor) -> Tensor:
    # Keras' losses average over the last axis. If that has length 1, each feature keeps its own error.
    logits = logits_of(y_pred)
    y_pred = with_logits(y_pred[..., None], None if logits is None else logits[..., None])
    return as_float32(function(y_true[..., None], y_pred))


@functools.lru_cache(maxsize=32)
def _is_elementwise(function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> bool:
    """Return whether a loss is the mean of single features' errors over the last axis, determined by an experiment."""
    random = np.random.default_rng(0)
    with tf.init_scope():  # eagerly, even while a graph is traced
        y, p = (tf.constant(random.uniform(0.1, 0.9, shape), "float32") for _ in range(2))
        try:
            alone = ops.mean(_feature_by_feature(function, y, p), axis=-1)
            together = as_float32(function(y, p))
            return alone.shape == together.shape and bool(np.allclose(alone, together, rtol=1e-4, atol=1e-6))
        except Exception:
            return False  # the loss does not accept single features


def _check_elementwise(loss: Loss | None, function: Callable[[Tensor, Tensor], Tensor], y_true: Tensor) -> None:
    shape = (2, *(size or 3 for size in y_true.shape[1:]))
    if not _is_elementwise(function, shape):
        raise ValueError(
            f"The loss {_name(loss)} is not a mean of single features' errors, so that features cannot have weights "
            "of their own: leave out emphasis, or choose a loss such as 'mse' or 'binary_crossentropy'."
        )


def __getattr__(name: str) -> object:
    if name == "in_float32":
        warnings.warn("aezoo.losses.in_float32 is now as_float32.", DeprecationWarning, stacklevel=2)
        return as_float32
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
