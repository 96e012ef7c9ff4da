"""Reconstruction errors as the papers write them: summed over features, averaged over samples.

Keras' own losses average over features too, so that a penalty copied from a paper is worth hundreds of times more
beside them. All of these compute in float32 (or float64), whatever the dtype of the prediction.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def in_float32(x: Any) -> Any:
    """Returns `x` as a tensor of at least single precision: half-precision sums and logarithms lose too much.

    Args:
        x: A tensor, or what becomes one, of any shape and dtype.

    Returns:
        Float32, or float64 where x is; with the shape of x.

    Example:
        >>> in_float32(ops.ones(2, "float16")).dtype
        tf.float32
    """
    x = ops.convert_to_tensor(x)
    return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")


class _SummedLoss(keras.losses.Loss):
    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the error of each feature, with the shape of `y_true`."""
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the error of each sample, (batch,): the sum over its features."""
        error = self.elementwise(in_float32(y_true), in_float32(y_pred))
        return ops.sum(error, axis=tuple(range(1, len(error.shape))))


@keras.saving.register_keras_serializable("aezoo")
class SquaredError(_SummedLoss):
    """Σᵢ (xᵢ - x'ᵢ)² of each sample, averaged over the batch.

    Args:
        name: As of `keras.losses.Loss`.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> float(SquaredError()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]))
        1.0
    """

    def __init__(self, name: str = "squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Any, y_pred: Any) -> Any:
        return ops.square(y_true - y_pred)


@keras.saving.register_keras_serializable("aezoo")
class CrossEntropy(_SummedLoss):
    """-Σᵢ xᵢ log x'ᵢ + (1 - xᵢ) log(1 - x'ᵢ) of each sample, in nats, averaged over the batch.

    The prediction is a probability: the output of a sigmoid, kept 1e-7 away from 0 and 1 as Keras does.

    Args:
        name: As of `keras.losses.Loss`.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> round(float(CrossEntropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)  # 2 log 2
        1.3863
    """

    def __init__(self, name: str = "cross_entropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)

    def elementwise(self, y_true: Any, y_pred: Any) -> Any:
        p = ops.clip(y_pred, keras.config.epsilon(), 1.0 - keras.config.epsilon())
        return -(y_true * ops.log(p) + (1.0 - y_true) * ops.log(1.0 - p))  # log1p(-p) is slower


@keras.saving.register_keras_serializable("aezoo")
class GaussianNegativeLogLikelihood(_SummedLoss):
    """-log N(x; x', σ²I) = ½ Σᵢ (xᵢ - x'ᵢ)²/σ² + log 2πσ² of each sample, in nats, averaged over the batch.

    Args:
        log_variance: log σ², a number, or a variable where it is learned.
        name: As of `keras.losses.Loss`.
        **kwargs: `reduction` and `dtype` of `keras.losses.Loss`.

    Example:
        >>> round(float(GaussianNegativeLogLikelihood()([[0.0, 1.0]], [[0.0, 0.0]])), 4)  # log 2π + ½
        2.3379
    """

    def __init__(self, log_variance: Any = 0.0, name: str = "gaussian_negative_log_likelihood", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.log_variance = log_variance

    def elementwise(self, y_true: Any, y_pred: Any) -> Any:
        log_variance = in_float32(self.log_variance)
        return 0.5 * (ops.square(y_true - y_pred) * ops.exp(-log_variance) + log_variance + math.log(2.0 * math.pi))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "log_variance": float(self.log_variance)}


# Keras clips some of these targets to [0, 1] without a word, and computes with others as they are.
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


def needs_probabilities(loss: Any) -> bool:
    """Return whether a loss is defined only for targets in [0, 1], as a cross-entropy is.

    Args:
        loss: A loss for `compile`: a name, a function, a `keras.losses.Loss`, or None.

    Returns:
        True for `CrossEntropy`, and for the cross-entropies, `kl_divergence`, `dice` and `tversky` of Keras, also
        where they take logits; False for any other loss, and for None.

    Raises:
        ValueError: If Keras knows no loss of this name.

    Example:
        >>> needs_probabilities("binary_crossentropy"), needs_probabilities(keras.losses.MeanSquaredError())
        (True, False)
    """
    loss = keras.losses.get(loss)
    function = getattr(loss, "fn", loss)  # Keras' classes wrap a function
    return isinstance(loss, CrossEntropy) or getattr(function, "func", function) in _OF_PROBABILITIES  # of a partial


def gaussian_kl(mean: Any, log_variance: Any) -> Any:
    """KL(N(μ, diag σ²)‖N(0, I)) = ½ Σⱼ (μⱼ² + σⱼ² - log σⱼ² - 1), in nats, not yet summed over the dimensions j.

    Args:
        mean: μ, a tensor of any shape.
        log_variance: log σ², of the same shape.

    Returns:
        A float32 tensor of the same shape: what each dimension adds.

    Example:
        >>> gaussian_kl([0.0, 2.0], [0.0, 0.0]).numpy()
        array([0., 2.], dtype=float32)
    """
    mean, log_variance = in_float32(mean), in_float32(log_variance)
    return 0.5 * (ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0)


def bernoulli_kl(target: float, rate: Any) -> Any:
    """KL(ρ‖ρ̂) = ρ log(ρ/ρ̂) + (1-ρ) log((1-ρ)/(1-ρ̂)) between two Bernoulli distributions, in nats.

    Args:
        target: ρ, inside (0, 1).
        rate: ρ̂, a tensor of any shape with values in [0, 1]; kept 1e-7 away from both ends.

    Returns:
        A tensor with the shape of `rate`.

    Example:
        >>> [round(float(kl), 4) for kl in bernoulli_kl(0.5, [0.5, 0.25])]  # 0 and ½ log(4/3)
        [0.0, 0.1438]
    """
    rate = ops.clip(in_float32(rate), keras.config.epsilon(), 1.0 - keras.config.epsilon())
    return target * (ops.log(target) - ops.log(rate)) + (1.0 - target) * (ops.log(1.0 - target) - ops.log(1.0 - rate))


def per_sample(loss: Any, y_true: Any, y_pred: Any, feature_weight: Any = None) -> tuple[Any, str]:
    """Evaluates any Keras loss sample by sample.

    Args:
        loss: What `compile` accepts for a model with one output: a name, a function or a `keras.losses.Loss`.
        y_true: Targets, (batch, ...).
        y_pred: Predictions, (batch, ...).
        feature_weight: Weights of the errors of single features, (batch, ...), or None.

    Returns:
        The loss of each sample, (batch,), and how Keras reduces it over the batch: "mean" or "sum".

    Raises:
        ValueError: If `loss` is a list or a dict, or reduces in another way.

    Example:
        >>> values, reduction = per_sample("mse", [[0.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [0.0, 0.0]])
        >>> values.numpy(), reduction
        (array([0.5, 2. ], dtype=float32), 'mean')
    """
    if isinstance(loss, (list, tuple, dict)):
        raise ValueError(f"An autoencoder has one output: give compile one loss, not {loss!r}.")
    loss = keras.losses.get(loss)
    reduction = "mean"
    function = loss
    if isinstance(loss, keras.losses.Loss):
        function = loss.call
        if loss.reduction == "sum":
            reduction = "sum"
        elif loss.reduction not in ("sum_over_batch_size", "mean"):
            raise ValueError(
                f"reduction={loss.reduction!r} of {type(loss).__name__} is not supported: "
                "use 'sum_over_batch_size' or 'sum'."
            )
    y_true, y_pred = in_float32(y_true), in_float32(y_pred)
    if isinstance(loss, _SummedLoss):
        values = loss.elementwise(y_true, y_pred)
        values = values if feature_weight is None else values * feature_weight
        return ops.sum(values, axis=tuple(range(1, len(values.shape)))), reduction
    if feature_weight is None:
        values = in_float32(function(y_true, y_pred))
    else:
        # Keras' losses average over the last axis: over one of length 1 they leave each feature to itself.
        values = ops.mean(in_float32(function(y_true[..., None], y_pred[..., None])) * feature_weight, axis=-1)
    if len(values.shape) == 0:  # a function that averages by itself: its number stands for each sample
        values = ops.broadcast_to(values, ops.shape(y_true)[:1])
    rest = tuple(range(1, len(values.shape)))
    if rest:
        values = ops.sum(values, axis=rest) if reduction == "sum" else ops.mean(values, axis=rest)
    return values, reduction
