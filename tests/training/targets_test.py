"""Targets of another shape than the samples, and tokens."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo

RNG = np.random.default_rng(0)
GRAY = RNG.random((8, 4, 4, 1), "float32")
COLOR = RNG.random((8, 4, 4, 3), "float32")
TOKENS = RNG.integers(0, 7, (8, 5)).astype("int32")


@pytest.mark.parametrize("filters", [(), pytest.param((2,), marks=pytest.mark.slow)], ids=["dense", "convolutional"])
def test_colors_of_gray_images(filters, tmp_path):
    model = aezoo.Autoencoder(3, filters=filters, seed=0)
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    history = model.fit(GRAY, COLOR, epochs=2, batch_size=8, verbose=0, validation_data=(GRAY, COLOR)).history
    assert model.y_shape == (4, 4, 3) and model.x_shape == (4, 4, 1)
    y_pred = np.asarray(model.reconstruct(GRAY))
    assert history["val_loss"][-1] == pytest.approx(np.mean(np.sum((COLOR - y_pred) ** 2, axis=(1, 2, 3))), rel=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(GRAY, verbose=0), model.predict(GRAY, verbose=0))
    assert "score" not in model.signatures()


def test_samples_alone_are_no_targets():
    model = aezoo.Autoencoder(3)
    model.compile(optimizer="sgd")
    model.fit(GRAY, COLOR, verbose=0)
    with pytest.raises(ValueError, match="no score of samples alone"):
        model.score_samples(GRAY)
    with pytest.raises(ValueError, match=r"or give targets, fit\(x, y\)"):
        model.fit(GRAY, verbose=0)


@pytest.mark.parametrize(
    "labels", [np.arange(8), np.eye(8, dtype="float32"), np.arange(8)[:, None]], ids=["integers", "one-hot", "column"]
)
def test_labels_are_no_targets(labels):
    model = aezoo.Autoencoder(3)
    model.compile(optimizer="sgd")
    with pytest.raises(ValueError, match="if they are labels, leave them out"):
        model.fit(GRAY.reshape(8, 16), labels, verbose=0)
    assert not model.built


@pytest.mark.parametrize("batch_size", [8, 7], ids=["whole", "last of one sample"])
def test_one_hot_labels_of_a_data_set_are_no_targets(batch_size):
    model = aezoo.Autoencoder(3)
    model.compile(optimizer="sgd")
    x, labels = GRAY.reshape(8, 16), np.eye(8, dtype="float32")
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(batch_size)
    with pytest.raises(ValueError, match=r"if they are labels, leave them out: aezoo\.datasets\.without_labels"):
        model.fit(data, verbose=0)


def test_binary_targets_of_a_data_set_are_no_labels():
    y = np.eye(8, 5, dtype="float32")
    y[0] = 1  # as no label is; the row of the last batch looks like one
    model = aezoo.Autoencoder(3)
    model.compile(optimizer="sgd")
    data = tf.data.Dataset.from_tensor_slices((GRAY.reshape(8, 16)[:4], y[[0, 1, 2, 4]]))
    model.fit(data.batch(3), verbose=0)
    assert model.y_shape == (5,)


def test_tokens_are_compared_as_by_keras():
    layers = keras.layers
    encoder = [keras.Input((5,), dtype="int32"), layers.Embedding(7, 4), layers.Flatten(), layers.Dense(3)]
    decoder = [keras.Input((3,)), layers.Dense(35), layers.Reshape((5, 7)), layers.Softmax()]
    model = aezoo.Autoencoder(encoder=keras.Sequential(encoder), decoder=keras.Sequential(decoder))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", run_eagerly=True)
    model.fit(TOKENS, verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy()
    y_pred = model.reconstruct(TOKENS)
    assert y_pred.shape == (8, 5, 7)
    assert model.evaluate(TOKENS, verbose=0)[0] == pytest.approx(float(loss(TOKENS, y_pred)), rel=1e-5)
    weight = RNG.random((8, 5)).astype("float32")
    expected = float(loss(TOKENS, y_pred, sample_weight=weight))
    assert model.evaluate(TOKENS, sample_weight=weight, verbose=0)[0] == pytest.approx(expected, rel=1e-5)
    assert np.mean(model.score_samples(TOKENS)) == pytest.approx(float(loss(TOKENS, y_pred)), rel=1e-5)
    assert model.signatures()["encode"][1]["x"].dtype == "int32"
    with pytest.raises(ValueError, match="floating-point"):
        aezoo.Autoencoder(3).encode(TOKENS)
