"""Training that diverges stops at the first loss or gradient that is not finite, and keeps the last finite weights."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import aezoo
from aezoo import testing

X = np.random.default_rng(0).random((32, 4), "float32")
WHERE = r"Training diverged: in epoch {} {} was not finite; the weights are as before that step"


def linear(**kwargs):
    return aezoo.Autoencoder(2, output_activation="linear", seed=0, **kwargs)


@tf.custom_gradient
def steep(weight, bad):
    """0, of which the slope is infinite where a batch is bad, as that of a root at 0 is."""
    return 0.0 * weight, lambda g: (ops.where(bad > 0, np.inf, 0.0), None)


@keras.saving.register_keras_serializable("divergence_test")
class Faulty(aezoo.Autoencoder):
    """Has a term that is not finite where a batch holds a 7, in its value or in its gradient alone."""

    term_names = ("reconstruction", "fault")

    def __init__(self, *args, gradient=False, **kwargs):
        super().__init__(*args, output_activation="linear", **kwargs)
        self.gradient = gradient
        self.normalize = keras.layers.BatchNormalization(center=False, scale=False)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def build(self, input_shape):
        self.normalize.build(input_shape)
        super().build(input_shape)

    def penalties(self, batch, forward):
        bad = ops.cast(ops.any(batch.x == 7.0), "float32")
        self.normalize(batch.x, training=forward.training)
        if forward.training:
            self.count.assign_add(1.0 + bad * np.inf)
        weight = ops.sum(self.trainable_variables[0] ** 2)
        fault = steep(weight, bad) if self.gradient else ops.where(bad > 0, np.inf, 0.0)
        return {"fault": batch.per_replica(fault)}

    def get_config(self):
        return {**super().get_config(), "gradient": self.gradient}


def with_a_seven_in_batch(number):
    x = X.copy()
    x[8 * number] = 7.0
    return x


HOW = {
    "eagerly": {"run_eagerly": True},
    "a graph": {},
    "XLA": {"jit_compile": True},
    "steps together": {"steps_per_execution": 3},
}
# XLA takes seconds to compile; `aezoo.testing.execution` has it in the gate. Each way of a step stays with one fault.
SLOW = ("XLA-loss", "XLA-gradient", "a graph-loss", "steps together-gradient")
slow_xla = pytest.mark.parametrize("how", [pytest.param(h, marks=pytest.mark.slow if h == "XLA" else ()) for h in HOW])


def fitted(model, x, **kwargs):
    model.fit(x, batch_size=8, shuffle=False, verbose=0, **kwargs)
    return model


def state(model):
    return [v.numpy() for v in model.variables if "float" in v.dtype]


@pytest.mark.slow_cases("eagerly-loss", "a graph-gradient")
@pytest.mark.parametrize(
    ("how", "gradient"),
    [
        pytest.param(how, name == "gradient", marks=pytest.mark.slow if id in SLOW else (), id=id)
        for name in ("loss", "gradient")
        for how in HOW
        for id in [f"{how}-{name}"]
    ],
)
def test_the_weights_are_those_before_the_step(how, gradient):
    """The third batch has the fault: what remains are the weights, and the state, of a training on the first two."""
    expected, got = Faulty(2, seed=0), Faulty(2, gradient=gradient, seed=0)
    for model in (expected, got):
        model.compile(keras.optimizers.Adam(0.01), **HOW[how])
    fitted(expected, X[:16])
    name = "the gradient of 'faulty.*'" if gradient else "the term 'fault' of 'faulty.*'"
    with pytest.raises(ValueError, match=WHERE.format(1, name)) as error:
        fitted(got, with_a_seven_in_batch(2), epochs=2)
    assert "\n" not in str(error.value)
    for a, b in zip(state(expected), state(got), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)
    assert int(got.optimizer.iterations.numpy()) == 2
    fitted(got, X)  # the next training is a new one


@pytest.mark.slow
def test_the_epoch_is_named():
    model = Faulty(2, seed=0)
    model.compile("adam")
    fitted(model, X, epochs=2)
    with pytest.raises(ValueError, match="in epoch 3 the term 'fault'"):
        fitted(model, with_a_seven_in_batch(3))


@pytest.mark.slow
def test_two_replicas_stop_together():
    expected = Faulty(2, seed=0)
    with testing.two_replicas().scope():
        got = Faulty(2, seed=0)
        got.compile(keras.optimizers.Adam(0.01))
    expected.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    fitted(expected, X[:16])
    with pytest.raises(ValueError, match=WHERE.format(1, "the term 'fault' of 'faulty.*'")):
        fitted(got, with_a_seven_in_batch(2))  # on the first replica alone
    for a, b in zip(expected.trainable_variables, got.trainable_variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["data set", "generator"])
def test_streams_stop_too(form):
    x = with_a_seven_in_batch(1)
    model = Faulty(2, seed=0)
    model.compile("adam")
    data = tf.data.Dataset.from_tensor_slices(x).batch(8)
    with pytest.raises(ValueError, match="Training diverged: in epoch 1"):
        model.fit(data if form == "data set" else iter([*data]), verbose=0)


def test_warn_skips_the_step_and_goes_on():
    """As a training on the other batches, but that Adam counts its steps: the same three gradients."""
    x = with_a_seven_in_batch(2)
    expected, got = Faulty(2, seed=0), Faulty(2, seed=0, on_divergence="warn")
    for model in (expected, got):
        model.compile(keras.optimizers.Adam(0.01))
    fitted(expected, np.delete(x, range(16, 24), axis=0))
    with pytest.warns(UserWarning, match=r"in epoch 1 the term 'fault' .* this step and further ones like it are skip"):
        fitted(got, x)
    for a, b in zip(state(expected), state(got), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_a_rate_that_is_too_large():
    for make in (linear, lambda: aezoo.VAE(2, likelihood="gaussian", seed=0), lambda: aezoo.RBM(3, visible="gaussian")):
        model = make()
        model.compile(keras.optimizers.SGD(1e6), run_eagerly=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the scale
            with pytest.raises(ValueError, match="Training diverged: in epoch"):
                model.fit(X, epochs=30, batch_size=8, verbose=0)
        assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)


def test_on_one_batch():
    model = Faulty(2, seed=0)
    model.compile("adam", run_eagerly=True)
    model.train_on_batch(X)
    before = state(model)
    with pytest.raises(ValueError, match="Training diverged"):
        model.train_on_batch(with_a_seven_in_batch(0))
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_that_loss_scaling_skips_are_no_divergence():
    """A scale that overflows at first is halved until it fits, as Keras does."""
    model = linear(dtype="mixed_float16")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2.0**24))
    fitted(model, X, epochs=8)
    assert float(model.optimizer.dynamic_scale.numpy()) < 2**24
    assert 0 < int(model.optimizer.iterations.numpy()) < 32


def test_the_choice_is_saved(tmp_path):
    model = linear(on_divergence="warn")
    model.compile("sgd")
    model.train_on_batch(X)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").on_divergence == "warn"
    assert aezoo.RBM(3, on_divergence="warn").get_config()["on_divergence"] == "warn"
    with pytest.raises(ValueError, match="on_divergence='stop' is unknown: choose one of 'raise', 'warn'"):
        linear(on_divergence="stop")


# === Batches in which no sample counts ===


@pytest.mark.slow_cases("a graph")
@slow_xla
def test_a_batch_without_weight_changes_nothing(how):
    """Not even what Adam's moments would: all is as after the batches that count."""
    expected, got = Faulty(2, seed=0), Faulty(2, seed=0)
    for model in (expected, got):
        model.compile(keras.optimizers.Adam(0.01), **HOW[how])
    weight = np.repeat([1.0, 0.0, 2.0, 0.0], 8).astype("float32")
    fitted(expected, X[weight > 0], sample_weight=weight[weight > 0])
    fitted(got, X, sample_weight=weight)
    for a, b in zip(state(expected), state(got), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)
    assert int(got.optimizer.iterations.numpy()) == 2


@pytest.mark.slow
def test_two_replicas_skip_a_batch_without_weight_together():
    with testing.two_replicas().scope():
        model = Faulty(2, seed=0)
        model.compile(keras.optimizers.Adam(0.01))
    weight = np.repeat([1.0, 0.0, 0.0, 0.0], 8).astype("float32")
    fitted(model, X[:8], sample_weight=weight[:8])
    before = state(model)
    fitted(model, X, sample_weight=0 * weight)
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)
