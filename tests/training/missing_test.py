"""Missing values: filled at the input, left out of the error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing
from aezoo.training.trainer import Trainer

RNG = np.random.default_rng(0)
X = RNG.random((12, 5), "float32")
THERE = RNG.random((12, 5)) < 0.7
THERE[0] = True
TABLE = np.where(THERE, X, np.nan).astype("float32")


def fitted(x, make=aezoo.Autoencoder, missing="mask", loss=None, **arguments):
    model = make(3, seed=0, missing=missing, **arguments)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=loss, run_eagerly=True)
    model.fit(x, epochs=2, batch_size=12, shuffle=False, verbose=0)
    return model


def weights(model):
    return [v.numpy() for v in model.trainable_variables]


def test_the_mean_of_what_is_there_stands_in():
    model = fitted(TABLE)
    np.testing.assert_allclose(model.imputation.values, np.nanmean(TABLE, axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        model.encode(TABLE), model.encode(np.where(THERE, X, np.nanmean(TABLE, axis=0)).astype("float32")), rtol=1e-5
    )


@pytest.mark.parametrize("make", [aezoo.Autoencoder, aezoo.SparseAE, aezoo.DenoisingAE, aezoo.VAE])
def test_they_are_as_if_their_weight_were_zero(make):
    mean = np.nanmean(TABLE, axis=0)
    arguments = {"corruption": 0.0} if make is aezoo.DenoisingAE else {}
    model = fitted(TABLE, make, **arguments)
    other = make(3, seed=0, **arguments)
    other.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    filled = np.where(THERE, X, mean).astype("float32")
    other.fit(filled, X, sample_weight=THERE.astype("float32"), epochs=2, batch_size=12, shuffle=False, verbose=0)
    for a, b in zip(weights(other), weights(model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [None, "mse"])
def test_the_score_is_that_of_what_is_there(loss):
    model = fitted(TABLE, loss=loss)
    squares = np.where(THERE, (X - np.asarray(model.reconstruct(TABLE))) ** 2, 0)
    expected = squares.sum(axis=1) / (1 if loss is None else THERE.sum(axis=1))
    np.testing.assert_allclose(model.score_samples(TABLE), expected, rtol=1e-4)


class Smoother(Trainer):
    """A model without an encoder."""

    def build(self, input_shape):
        self.x_shape = self.y_shape = tuple(input_shape[1:])
        self.dense = keras.layers.Dense(self.x_shape[-1], kernel_initializer=keras.initializers.GlorotUniform(0))
        self.dense.build(input_shape)
        self.make_trackers()

    def call(self, x, training=False):
        return self.dense(x if self.missing == "error" else self.complete(x)[0])

    def objective(self, batch, training):
        y_pred = self.dense(batch.x)
        return {"reconstruction": self.reconstruction(batch, y_pred)}, y_pred


@pytest.mark.parametrize("missing", ["mask", "learn"])
def test_a_trainer_without_an_encoder_replaces_them_too(missing):
    model = fitted(TABLE, lambda units, seed, **arguments: Smoother(**arguments), missing)
    kernel, bias = (v.numpy() for v in model.dense.weights)
    filled = np.where(THERE, X, model.imputation.values)
    if missing == "mask":
        np.testing.assert_allclose(model.imputation.values, np.nanmean(TABLE, axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.predict(TABLE, verbose=0), filled @ kernel + bias, rtol=1e-4, atol=1e-6)
    expected = np.mean(np.sum(np.where(THERE, X - (filled @ kernel + bias), 0) ** 2, axis=1))
    assert model.evaluate(TABLE, verbose=0)[0] == pytest.approx(expected, rel=1e-4)


def test_a_value_that_is_learned_starts_at_the_mean_and_moves():
    model = fitted(TABLE, missing="learn")
    moved = np.asarray(model.imputation.values) - np.nanmean(TABLE, axis=0)
    gaps = ~THERE.all(axis=0)
    assert np.all(moved[gaps] != 0) and np.allclose(moved, 0, atol=0.1)


@pytest.mark.slow
def test_forms_files_replicas_and_exports_agree(tmp_path):
    expected = weights(fitted(TABLE))
    streamed = fitted(tf.data.Dataset.from_tensor_slices(TABLE).batch(12))
    with testing.two_replicas().scope():
        shared = fitted(TABLE)
    for model in (streamed, shared):
        for a, b in zip(expected, weights(model), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    model = fitted(TABLE)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.reconstruct(TABLE), model.reconstruct(TABLE))
    model.export(tmp_path / "1", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["score"](x=tf.constant(TABLE))["score"]
    np.testing.assert_allclose(served, model.score_samples(TABLE), rtol=1e-5)
    assert np.isfinite(model.evaluate(TABLE, verbose=0)).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="missing='mask'"):
        fitted(TABLE, missing="error")
    with pytest.raises(ValueError, match="infinite"):
        fitted(np.where(THERE, X, np.inf).astype("float32"))
    with pytest.raises(TypeError, match="missing"):
        aezoo.RBM(3, missing="mask")
    model = aezoo.Autoencoder(3, missing="mask")
    model.compile(optimizer="sgd", metrics=["mse"], run_eagerly=True)
    with pytest.raises(ValueError, match="cannot leave out missing values"):
        model.fit(TABLE, verbose=0)
