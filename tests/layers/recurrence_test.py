"""Recurrent layers and dilated convolutions against NumPy and against Keras' own layers."""

import keras
import numpy as np
import pytest

from aezoo.layers import GRU, LSTM, _sequence_networks

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 6, 2)).astype("float32")
ACTIVE = np.arange(6) < np.array([6, 4, 1])[:, None]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, h, c, kernel, recurrent, bias):
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_one_step_of_an_lstm_in_numpy():
    layer = LSTM(4, 2, seed=0)
    h, c = (RANDOM.normal(size=(3, 4)).astype("float32") for _ in range(2))
    weights = [each.numpy() for each in (layer.kernel, layer.recurrent_kernel, layer.bias)]
    expected = lstm_step(X[:, 0], h, c, *weights)
    got = layer.step(layer.gates(X[:, 0]), (h, c))
    for a, b in zip(expected, got, strict=True):
        assert np.allclose(a, b, atol=1e-6)


def of_keras(layer):
    """Return the layer of Keras with the same weights."""
    if isinstance(layer, LSTM):
        other = keras.layers.LSTM(layer.units, return_sequences=True)
        other.build((None, None, layer.input_dim))
        other.set_weights([layer.kernel, layer.recurrent_kernel, layer.bias])
    else:
        other = keras.layers.GRU(layer.units, return_sequences=True, reset_after=True)
        other.build((None, None, layer.input_dim))
        bias = np.stack([layer.bias.numpy(), np.zeros(3 * layer.units, "float32")])
        other.set_weights([layer.kernel, layer.recurrent_kernel, bias])
    return other


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_sequences_are_processed_as_by_keras(kind):
    layer = kind(4, 2, seed=0)
    layer.bias.assign(RANDOM.normal(size=layer.bias.shape))
    assert np.allclose(layer(X)[0], of_keras(layer)(X), atol=1e-5)
    outputs, state = layer(X, active=ACTIVE)
    assert np.allclose(outputs, of_keras(layer)(X, mask=ACTIVE), atol=1e-5)
    assert np.allclose(state[0], outputs[:, -1])  # a step that is not active leaves the state unchanged
    backwards, state = layer(X, active=ACTIVE, reverse=True)
    assert np.allclose(state[0][1], layer(X[1:2, :4][:, ::-1])[1][0][0], atol=1e-6)
    assert np.allclose(backwards[1, 0], state[0][1])


def test_dropout_of_a_gru_keeps_the_state():
    layer = GRU(4, 2, recurrent_dropout=0.999999, seed=0)
    assert not np.any(layer(X, training=True)[0])
    assert np.any(layer(X)[0])


@pytest.mark.parametrize("causal", [True, False])
def test_dilated_convolutions_agree_with_keras(causal):
    layer = _sequence_networks.DilatedConvolution(4, 2, dilation=2, causal=causal, seed=0)
    layer.bias.assign(RANDOM.normal(size=4))
    padding = "causal" if causal else "same"
    other = keras.layers.Conv1D(4, 3, padding=padding, dilation_rate=2, activation="relu")
    other.build((None, 6, 2))
    other.set_weights([layer.kernel.numpy().reshape(3, 2, 4), layer.bias])
    assert np.allclose(layer(X), other(X), atol=1e-5)
    short = np.asarray(layer(X[2:, :1]))  # what follows the end, here the second step, counts as 0
    assert np.allclose(layer(X, active=ACTIVE)[2, 0], short[0, 0], atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "convolution"])
def test_single_steps_agree_with_whole_sequences(cell):
    stack = _sequence_networks.Stack(cell, (4, 4), 2, 3, both_ways=False, seed=0)
    shared = RANDOM.normal(size=(3, 3)).astype("float32")
    whole = np.asarray(stack(X, shared=shared)[0])
    states = stack.first_state(shared)
    for t in range(6):
        output, states = stack.step(X[:, t], shared, states)
        assert np.allclose(output, whole[:, t], atol=1e-5)
