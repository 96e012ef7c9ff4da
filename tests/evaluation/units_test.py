"""Inputs that excite single units, against closed forms and brute force."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import evaluation


def built(model, shape):
    model.build((None, *shape))
    return model


def weights(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_the_maximizer_of_a_linear_unit_is_its_weights():
    model = built(aezoo.Autoencoder(5, code_activation="sigmoid"), (3, 4, 1))
    kernel, bias = weights(0, 12, 5), weights(1, 5)
    model.encoder.layers[-1].set_weights([kernel, bias])
    for norm in (1.0, 7.0):
        found = evaluation.activation_maximization(model, norm=norm, total_variation=0)
        expected = norm * (kernel / np.linalg.norm(kernel, axis=0)).T.reshape(5, 3, 4, 1)
        np.testing.assert_allclose(found, expected, atol=2e-5 * norm)
    some = evaluation.activation_maximization(model, units=[3], norm=norm, total_variation=0)
    np.testing.assert_allclose(some, expected[3:4], atol=2e-5 * norm)
    x = weights(2, 6, 3, 4, 1)
    np.testing.assert_allclose(evaluation.activations(model, x), x.reshape(6, 12) @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_maximizer_of_a_deep_unit_is_as_good_as_the_best_of_all_directions(activation):
    model = built(aezoo.Autoencoder(6, hidden_dims=(16,), activation=activation), (2,))
    hidden, code = (layer for layer in model.encoder.layers if isinstance(layer, keras.layers.Dense))
    hidden.set_weights([weights(0, 2, 16), 0.3 * weights(1, 16)])
    code.set_weights([weights(2, 16, 6), weights(3, 6)])
    angles = np.linspace(0, 2 * np.pi, 7200, endpoint=False)
    circle = 1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    best = evaluation.activations(model, circle).max(axis=0)
    found = evaluation.activation_maximization(model, norm=1.5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.5, rtol=1e-5)
    reached = np.diag(evaluation.activations(model, found))
    assert np.all(reached >= best - 2e-3 * np.abs(best))


def test_total_variation_smooths():
    model = built(aezoo.Autoencoder(3, seed=0), (8, 8, 1))
    rough, smooth = (
        evaluation.activation_maximization(model, total_variation=weight, steps=100) for weight in (0, 0.1)
    )
    variation = [np.abs(np.diff(x, axis=1)).sum() + np.abs(np.diff(x, axis=2)).sum() for x in (rough, smooth)]
    assert variation[1] < 0.5 * variation[0]
    np.testing.assert_allclose(np.linalg.norm(smooth.reshape(3, -1), axis=1), 1, rtol=1e-5)


def test_a_seed_gives_the_same_maximizer():
    model = built(aezoo.Autoencoder(3, hidden_dims=(8,), seed=0), (4, 4, 1))
    one, same, other = (evaluation.activation_maximization(model, steps=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.slow
def test_layers_of_a_stack_are_counted_from_the_input():
    stack = aezoo.StackedAE([aezoo.KSparseAE(12, k=3, seed=0), aezoo.KSparseAE(5, k=2, seed=1)])
    x = np.random.default_rng(0).random((40, 4, 4, 1), "float32")
    stack.pretrain(x, epochs=1, verbose=0)
    first, second = stack.stages
    np.testing.assert_allclose(evaluation.activations(stack, x, layer=0), first.features(x), atol=1e-5)
    expected = np.asarray(second.features(first.encode(x)))
    for layer in (1, -1, None):
        np.testing.assert_allclose(evaluation.activations(stack, x, layer), expected, atol=1e-5)
    top = evaluation.top_inputs(stack, x, units=[4, 0], n=3)
    np.testing.assert_array_equal(top, np.argsort(-expected[:, [4, 0]], axis=0)[:3].T)
    assert evaluation.top_inputs(stack, x, units=2, n=100).shape == (1, 40)
    assert evaluation.top_inputs(stack, x[[7, 7, 7]], units=2, n=2).tolist() == [[0, 1]]  # equal ones in their order
    with pytest.raises(ValueError, match="layer=2 does not exist: there are 2 layers"):
        evaluation.activations(stack, x, layer=2)


def test_layers_are_found_by_name_and_activations_stay():
    model = built(aezoo.Autoencoder(3, hidden_dims=(7,), normalization="batch", dropout=0.5), (4,))
    x = weights(0, 5, 4)
    before = np.asarray(model.encode(x))
    code = evaluation.activations(model, x, "code")
    np.testing.assert_allclose(np.maximum(code, 0), before, atol=1e-5)
    # The hidden layer's pre-activation is what the normalization behind it gives.
    dense, normalization = model.encoder.layers[1], model.encoder.layers[2]
    normalization.gamma.assign(-np.arange(1.0, 8.0))
    expected = np.asarray(normalization(dense(x)))
    np.testing.assert_allclose(evaluation.activations(model, x, layer=0), expected, atol=1e-5)
    assert evaluation.activations(model, x, layer=0).min() < 0
    with pytest.raises(ValueError, match="layer='mine' is unknown"):
        evaluation.activations(model, x, "mine")
    data = tf.data.Dataset.from_tensor_slices((x, np.arange(5))).batch(2)
    np.testing.assert_array_equal(
        evaluation.activations(model, data, layer=0), evaluation.activations(model, x, layer=0)
    )
    np.testing.assert_array_equal(evaluation.top_inputs(model, data, n=2), evaluation.top_inputs(model, x, n=2))


def test_a_unit_of_a_convolution_is_a_channel_at_its_best_place():
    model = built(aezoo.Autoencoder(3, filters=(2,), seed=0), (8, 8, 1))
    convolution = model.encoder.layers[0]
    x = weights(0, 4, 8, 8, 1)
    whole = keras.ops.convert_to_numpy(keras.ops.conv(x, convolution.kernel, 2, "same"))
    np.testing.assert_allclose(evaluation.activations(model, x, layer=0), whole.max(axis=(1, 2)), atol=1e-5)
    found = evaluation.activation_maximization(model, layer=0, norm=2.0, total_variation=0)
    kernel = np.asarray(convolution.kernel)
    # The best is the kernel itself, at a place where it fits into the image.
    reached = np.diag(evaluation.activations(model, found, layer=0))
    np.testing.assert_allclose(reached, 2 * np.sqrt(np.sum(kernel**2, axis=(0, 1, 2))), rtol=2e-2)


@pytest.mark.parametrize("tied", [False, True])
def test_combined_filters_are_what_linear_layers_compute(tied):
    model = built(
        aezoo.Autoencoder(3, hidden_dims=(6,), activation="linear", tied=tied, output_activation="linear"), (2, 4)
    )
    x, z = weights(0, 5, 2, 4), weights(1, 5, 3)
    filters = evaluation.combined_filters(model)
    assert filters.shape == (3, 2, 4)
    np.testing.assert_allclose(np.tensordot(x, filters, ((1, 2), (1, 2))), model.encode(x), atol=1e-5)
    upwards = evaluation.combined_filters(model, part="decoder")
    np.testing.assert_allclose(np.tensordot(z, upwards, 1), model.decode(z), atol=1e-5)
    first = evaluation.combined_filters(model, layer=0)
    np.testing.assert_allclose(first.reshape(6, 8).T, model.encoder.layers[1].kernel, atol=1e-6)
    if tied:
        np.testing.assert_allclose(upwards, filters, atol=1e-5)


def test_combined_filters_of_a_stack_and_of_rows():
    stack = aezoo.StackedAE([aezoo.KSparseAE(12, k=3, by_rows=True), aezoo.LinearAE(5)])
    x = np.random.default_rng(0).random((20, 4, 4, 1), "float32")
    stack.pretrain(x, epochs=0, verbose=0)
    below = evaluation.combined_filters(stack.stages[0]).reshape(12, 16)
    above = evaluation.combined_filters(stack.stages[1]).reshape(5, 12)
    np.testing.assert_allclose(evaluation.combined_filters(stack).reshape(5, 16), above @ below, atol=1e-5)
    zero = np.asarray(stack.stages[0].features(0 * x[:1]))
    np.testing.assert_allclose(np.asarray(stack.stages[0].features(x)) - zero, x.reshape(20, 16) @ below.T, atol=1e-4)


def test_what_cannot_be_examined_is_refused():
    with pytest.raises(ValueError, match="no weights yet"):
        evaluation.activations(aezoo.Autoencoder(3), np.zeros((1, 4)))
    conditional = built(aezoo.ConditionalVAE(2), (4,))
    with pytest.raises(ValueError, match="has conditions"):
        evaluation.activations(conditional, np.zeros((1, 4)))
    model = built(aezoo.Autoencoder(3), (4,))
    for units in (3, [-1], [], [0.5]):
        with pytest.raises(ValueError, match="expected numbers of units from 0 to 2"):
            evaluation.activation_maximization(model, units)
    with pytest.raises(ValueError, match="norm must be positive"):
        evaluation.activation_maximization(model, norm=0)
    with pytest.raises(ValueError, match="is not dense"):
        evaluation.combined_filters(built(aezoo.Autoencoder(3, filters=(2,)), (8, 8, 1)))
    with pytest.raises(ValueError, match="not one chain"):
        evaluation.activations(built(aezoo.MaskedAE(8, patch_size=4), (8, 8, 1)), np.zeros((1, 8, 8, 1)))
