"""Activations of a layer as data."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import datasets

X = np.random.default_rng(0).random((7, 6, 6, 1), "float32")


@pytest.fixture(scope="module")
def cnn():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, activation="relu", name="first"), keras.layers.Dropout(0.5)],
        name="inner",
    )
    inputs = keras.Input((6, 6, 1))
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(inner(inputs))))


def together(data):
    return np.concatenate([batch.numpy() for batch in data])


def test_activations_are_those_of_the_layer_of_a_nested_model(cnn):
    inner = cnn.get_layer("inner")
    expected = inner.layers[0](X).numpy()
    np.testing.assert_allclose(together(datasets.activations(cnn, "first", X, batch_size=3)), expected, rtol=1e-5)
    np.testing.assert_allclose(together(datasets.activations(cnn, cnn.get_layer("logits"), X)), cnn(X), rtol=1e-5)
    flat = datasets.activations(cnn, "first", X, batch_size=3, flatten=True)
    assert [len(batch) for batch in flat] == [48, 48, 16]
    np.testing.assert_allclose(together(flat), expected.reshape(-1, 3), rtol=1e-5)


def test_activations_of_a_data_set_leave_its_targets_out_and_the_model_unchanged(cnn):
    data = tf.data.Dataset.from_tensor_slices((X, np.arange(7))).batch(4)
    call = cnn.get_layer("logits").call
    np.testing.assert_allclose(together(datasets.activations(cnn, "logits", data)), cnn(X), rtol=1e-5)
    assert cnn.get_layer("logits").call == call


def test_activations_of_a_model_of_the_zoo():
    model = aezoo.Autoencoder(2, hidden_dims=(5,), seed=0)
    model.build(X.shape)
    code = together(datasets.activations(model, "code", X))
    np.testing.assert_allclose(code, model.encode(X), rtol=1e-5)


def test_a_transcoder_trains_on_two_layers(cnn):
    pairs = tf.data.Dataset.zip(
        (datasets.activations(cnn, "first", X, flatten=True), datasets.activations(cnn, "first", X, flatten=True))
    )
    model = aezoo.TopKAE(8, k=2, seed=0)
    model.compile("adam", run_eagerly=True)
    assert np.isfinite(model.fit(pairs, verbose=0).history["loss"][0])


def test_a_wrong_layer_is_an_error(cnn):
    with pytest.raises(ValueError, match="has no layer 'second': give a layer, or one of the names 'input_layer"):
        datasets.activations(cnn, "second", X)
    with pytest.raises(ValueError, match="has not been built"):
        datasets.activations(aezoo.Autoencoder(2), "code", X)
