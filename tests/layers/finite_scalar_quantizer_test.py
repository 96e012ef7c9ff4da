"""Finite scalar quantization: values, indices of every entry, and gradients, against NumPy and autodiff."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo.layers import FiniteScalarQuantizer


def made(levels, groups=1):
    layer = FiniteScalarQuantizer(levels)
    layer.build((None, groups * len(levels)))
    return layer


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2, 3, 4), (7,)])
def test_indices_and_codes_are_one_to_one(levels):
    layer = made(levels)
    assert layer.codebook_size == np.prod(levels)
    indices = np.arange(layer.codebook_size, dtype="int32")[:, None]
    codes = np.asarray(layer.codes(indices))
    # The first unit changes fastest.
    digits = np.array([each[::-1] for each in itertools.product(*(range(n) for n in reversed(levels)))])
    half = np.array(levels) // 2
    np.testing.assert_allclose(codes, (digits - half) / half, rtol=1e-6)
    # A code outside the layer's function: the z in the middle of each level.
    centers = np.array(codes) * half
    inner = (np.array(levels) - 1) * (1 - 1e-3) / 2
    offset = np.where(np.array(levels) % 2 == 0, 0.5, 0.0)
    z = np.arctanh(np.clip((centers + offset) / inner, -0.9999999, 0.9999999)) - np.tan(offset / inner)
    np.testing.assert_array_equal(layer.indices(z.astype("float32")), indices)
    np.testing.assert_allclose(layer(z.astype("float32")), codes, rtol=1e-6)


def test_values_are_bounded_and_rounded():
    z = np.linspace(-4, 4, 801, dtype="float32")[:, None]
    for n in (2, 3, 4, 5, 8):
        q = np.asarray(made((n,))(z))[:, 0] * (n // 2)
        assert set(np.round(q, 4)) == set(np.arange(n) - n // 2), n
        assert np.all(np.diff(q) >= 0)
    inner, offset = 3 * (1 - 1e-3) / 2, 0.5
    expected = np.round(np.tanh(z + np.tan(offset / inner)) * inner - offset) / 2
    np.testing.assert_allclose(made((4,))(z), expected, atol=1e-6)


def test_the_gradient_of_rounding_is_one():
    layer = made((8, 5), groups=2)
    z = tf.constant(np.random.default_rng(0).normal(size=(7, 4)), "float32")
    results = []
    half = np.tile([4, 2], 2).astype("float32")
    for function in (layer, lambda z: tf.reshape(layer.bounded(layer.vectors_of(z)), (7, 4)) / half):
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = tf.reduce_sum(function(z) * np.arange(28, dtype="float32").reshape(7, 4))
        results.append(tape.gradient(loss, z))
    np.testing.assert_allclose(*results, rtol=1e-6)
    assert np.all(np.abs(results[0][0, 1:]) > 0)


@pytest.mark.slow
def test_codes_are_those_of_another_library():
    library, torch = (pytest.importorskip(name) for name in ("vector_quantize_pytorch", "torch"))
    z = np.random.default_rng(0).normal(size=(1, 500, 3)).astype("float32")
    codes, indices = library.FSQ([7, 5, 3])(torch.tensor(z))  # with even levels it centers 0 in another way
    layer = made((7, 5, 3))
    same = np.ravel(layer.indices(z)) == np.ravel(indices.numpy())
    assert same.mean() > 0.99, "its bound is wider by 2 ε, which moves few values across the middle of two levels"
    np.testing.assert_allclose(np.asarray(layer(z))[0, same], codes.detach().numpy()[0, same], atol=1e-6)


def test_a_long_code_has_several_indices():
    layer = made((3, 2), groups=3)
    z = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    assert layer.index_shape == (3,)
    alone = made((3, 2))
    for i in range(3):
        np.testing.assert_array_equal(layer.indices(z)[:, i : i + 1], alone.indices(z[:, 2 * i : 2 * i + 2]))
    np.testing.assert_array_equal(layer.codes(layer.indices(z)), layer(z))


def test_configuration():
    layer = FiniteScalarQuantizer([8, 5])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.levels == (8, 5) and again.codebook_size == 40 and again.bounds == (-1, 1)
