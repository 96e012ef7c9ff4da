"""Reconstruction errors against NumPy, SciPy and Keras."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from aezoo import losses
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
Y = RNG.random((5, 3, 4)).astype("float32")
P = RNG.uniform(0.05, 0.95, (5, 3, 4)).astype("float32")


def test_squared_error():
    expected = ((Y - P) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(losses.SquaredError().call(Y, P), expected, rtol=1e-6)
    assert float(losses.SquaredError()(Y, P)) == pytest.approx(expected.mean(), rel=1e-6)
    assert float(losses.SquaredError(reduction="sum")(Y, P)) == pytest.approx(expected.sum(), rel=1e-6)


def test_cross_entropy():
    expected = -(special.xlogy(Y, P) + special.xlog1py(1 - Y, -P)).sum(axis=(1, 2))
    np.testing.assert_allclose(losses.CrossEntropy().call(Y, P), expected, rtol=1e-5)
    mean = float(keras.losses.BinaryCrossentropy()(Y, P))  # Keras averages over the 12 features
    assert float(losses.CrossEntropy()(Y, P)) == pytest.approx(12 * mean, rel=1e-5)


def test_cross_entropy_is_finite_at_the_ends():
    ends = np.array([[0.0, 1.0]], "float32")
    for p in (ends, 1 - ends):
        p = tf.constant(p)
        with tf.GradientTape() as tape:
            tape.watch(p)
            value = losses.CrossEntropy()(ends, p)
        assert np.isfinite(value)
        assert np.all(np.isfinite(tape.gradient(value, p)))
    assert float(losses.CrossEntropy()(ends, ends)) == pytest.approx(0, abs=1e-6)
    assert float(losses.CrossEntropy()(ends, 1 - ends)) == pytest.approx(-2 * np.log(1e-7), rel=0.01)


@pytest.mark.parametrize("kind", [losses.SquaredError, losses.CrossEntropy])
def test_half_precision_predictions_are_summed_in_single_precision(kind):
    y, p = np.full((1, 70_000), 1, "float32"), np.full((1, 70_000), 0.25, "float16")
    value = kind().call(y, p)  # over 39,000 squares: 0.5625 each; half precision ends at 65,504 and counts by 32 there
    assert value.dtype == "float32"
    each = 0.5625 if kind is losses.SquaredError else np.log(4)
    assert float(value[0]) == pytest.approx(70_000 * each, rel=1e-4)


@pytest.mark.parametrize("kind", [losses.SquaredError, losses.CrossEntropy])
def test_configuration(kind):
    again = kind.from_config(kind(reduction="sum", name="other").get_config())
    assert (again.reduction, again.name) == ("sum", "other")
    serialised = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(kind()))
    assert isinstance(serialised, kind)


def test_bernoulli_kl_is_the_closed_form():
    for target in (0.05, 0.5, 0.9):
        rates = np.linspace(0.01, 0.99, 25)
        expected = [stats.entropy([target, 1 - target], [rate, 1 - rate]) for rate in rates]
        np.testing.assert_allclose(losses.bernoulli_kl(target, rates.astype("float32")), expected, rtol=1e-4, atol=1e-6)
        assert float(losses.bernoulli_kl(target, target)) == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_bernoulli_kl():
    rate = tf.constant(np.linspace(0.02, 0.98, 15), "float32")
    with tf.GradientTape() as tape:
        tape.watch(rate)
        value = losses.bernoulli_kl(0.2, rate)
    r = rate.numpy()
    np.testing.assert_allclose(tape.gradient(value, rate), -0.2 / r + 0.8 / (1 - r), rtol=1e-4, atol=1e-5)


def test_bernoulli_kl_is_finite_at_the_ends():
    assert np.all(np.isfinite(losses.bernoulli_kl(0.1, np.array([0.0, 1.0], "float32"))))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.CrossEntropy(), True),
        ("binary_crossentropy", True),
        ("kld", True),
        (keras.losses.binary_focal_crossentropy, True),
        (keras.losses.BinaryCrossentropy(from_logits=True), True),
        (keras.losses.CategoricalCrossentropy(), True),
        (keras.losses.KLDivergence(), True),
        (functools.partial(keras.losses.binary_crossentropy, label_smoothing=0.1), True),
        (losses.SquaredError(), False),
        ("mse", False),
        (keras.losses.Huber(), False),
        (keras.losses.Poisson(), False),
        (lambda y, p: keras.ops.abs(y - p), False),
        (None, False),
    ],
)
def test_needs_probabilities(loss, expected):
    assert losses.needs_probabilities(loss) is expected


# === per_sample ===


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "mae",
        "binary_crossentropy",
        keras.losses.mean_absolute_error,
        keras.losses.Huber(0.1),
        keras.losses.LogCosh(),
    ],
    ids=lambda loss: getattr(loss, "name", None) or getattr(loss, "__name__", loss),
)
def test_per_sample_of_a_keras_loss_averages_to_it(loss):
    values, reduction = losses.per_sample(loss, Y, P)
    assert values.shape == (5,)
    assert reduction == "mean"
    function = keras.losses.get(loss)
    for i in range(5):
        assert float(values[i]) == pytest.approx(np.mean(function(Y[i : i + 1], P[i : i + 1])), rel=1e-5)


def test_per_sample_of_a_summed_keras_loss():
    values, reduction = losses.per_sample(keras.losses.MeanSquaredError(reduction="sum"), Y, P)
    assert reduction == "sum"
    total = float(keras.losses.MeanSquaredError(reduction="sum")(Y, P))
    assert float(np.sum(values)) == pytest.approx(total, rel=1e-5)


WEIGHT = RNG.random((5, 3, 4)).astype("float32")


@pytest.mark.parametrize(
    ("loss", "error", "reduce"),
    [
        (losses.SquaredError(), lambda y, p: (y - p) ** 2, np.sum),
        (losses.CrossEntropy(), lambda y, p: -y * np.log(p) - (1 - y) * np.log(1 - p), np.sum),
        ("mse", lambda y, p: (y - p) ** 2, np.mean),
        ("mae", lambda y, p: np.abs(y - p), np.mean),
        ("binary_crossentropy", lambda y, p: -y * np.log(p) - (1 - y) * np.log(1 - p), np.mean),
        (keras.losses.Huber(delta=10.0), lambda y, p: (y - p) ** 2 / 2, np.mean),
        # Keras: a mean over the last axis, a sum over the others. Feature by feature nothing is left to average.
        (lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=-1), lambda y, p: np.abs(y - p), np.mean),
    ],
    ids=["squared", "entropy", "mse", "mae", "binary", "huber", "function"],
)
def test_feature_weights(loss, error, reduce):
    values, _ = losses.per_sample(loss, Y, P, WEIGHT)
    np.testing.assert_allclose(values, reduce(WEIGHT * error(Y, P), axis=(1, 2)), rtol=1e-4)
    plain, _ = losses.per_sample(loss, Y, P)
    ones, _ = losses.per_sample(loss, Y, P, np.ones_like(Y))
    np.testing.assert_allclose(ones, plain, rtol=1e-5)


def test_feature_weights_of_one_change_nothing_under_a_summed_loss():
    for loss in (keras.losses.MeanSquaredError(reduction="sum"), losses.SquaredError(reduction="sum")):
        plain, weighted = losses.per_sample(loss, Y, P), losses.per_sample(loss, Y, P, np.ones_like(Y))
        assert plain[1] == weighted[1] == "sum"
        np.testing.assert_allclose(weighted[0], plain[0], rtol=1e-5)


def test_what_is_refused():
    for many in (["mse"], {"output": "mse"}):
        with pytest.raises(ValueError, match="one output: give compile one loss"):
            losses.per_sample(many, Y, P)
    with pytest.raises(ValueError, match=r"reduction=(None|'none') of MeanSquaredError is not supported"):
        losses.per_sample(keras.losses.MeanSquaredError(reduction=None), Y, P)


# === Contributions of features ===


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.SquaredError(), (Y - P) ** 2),
        (losses.CrossEntropy(), -(special.xlogy(Y, P) + special.xlog1py(1 - Y, -P))),
        ("mse", (Y - P) ** 2 / 12),
        (keras.losses.MeanAbsoluteError(), np.abs(Y - P) / 12),
        (keras.losses.MeanSquaredError(reduction="sum"), (Y - P) ** 2 / 4),
    ],
)
def test_contributions_are_the_errors_of_features_and_sum_to_the_loss_of_a_sample(loss, expected):
    parts = losses.per_feature(loss, Y, P)
    np.testing.assert_allclose(parts, expected, rtol=1e-5)
    total = losses.per_sample(loss, Y, P)[0]
    np.testing.assert_allclose(np.sum(parts, axis=(1, 2)), total, rtol=1e-5)
    observed = RNG.random(Y.shape) < 0.7
    parts = losses.per_feature(loss, Y, P, observed)
    assert not np.any(np.asarray(parts)[~observed])
    total = losses.per_sample(loss, Y, P, observed=observed)[0]
    np.testing.assert_allclose(np.sum(parts, axis=(1, 2)), total, rtol=1e-5)


def test_contributions_of_tokens_are_per_step():
    tokens = RNG.integers(0, 4, (5, 3))
    loss = "sparse_categorical_crossentropy"
    parts = losses.per_feature(loss, tokens, P)
    p = np.take_along_axis(P / P.sum(axis=-1, keepdims=True), tokens[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(parts, -np.log(p) / 3, rtol=1e-5)
    np.testing.assert_allclose(np.sum(parts, axis=1), losses.per_sample(loss, tokens, P)[0], rtol=1e-5)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "cosine_similarity", lambda y, p: keras.ops.mean(y - p)])
def test_a_loss_that_combines_features_has_no_contributions(loss):
    with pytest.raises(ValueError, match="not a sum or a mean over features"):
        losses.per_feature(loss, Y, P)


def test_weights_of_features_count_beside_predictions_of_a_known_batch_size():
    """In the loop over data on the device, the batch size of targets is unknown."""
    rng = np.random.default_rng(0)
    y, p, weight = (rng.random((2, 3)).astype("float32") for _ in range(3))
    run = tf.function(
        lambda y: losses.per_sample("mse", y, tf.constant(p), tf.constant(weight), Batch.of(y))[0],
        input_signature=[tf.TensorSpec((None, 3))],
    )
    np.testing.assert_allclose(run(y), np.mean(weight * (y - p) ** 2, axis=1), rtol=1e-6)


def test_a_loss_of_the_whole_batch_refuses_weights_of_steps():
    y = tf.zeros((2, 3, 4))
    with pytest.raises(ValueError, match="one number for the whole batch"):
        losses.per_sample(lambda y, p: tf.reduce_mean(y - p), y, y, tf.ones((2, 3)), Batch.of(y))
