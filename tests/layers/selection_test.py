"""Encoding and decoding by the rows of a few units, against the same through the whole code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.layers import RowDecoder, RowEncoder
from aezoo.plots.features import kernel_pictures
from aezoo.training.batch import Batch

X = np.random.default_rng(0).normal(size=(16, 9)).astype("float32")


def pair(**kwargs):
    """The same machine twice, by products with all units and by rows."""
    models = []
    for by_rows in (False, True):
        model = aezoo.KSparseAE(20, k=3, by_rows=by_rows, seed=0, **kwargs)
        model.build((None, 9))
        models.append(model)
    dense, rows = models
    for a, b in zip(dense.trainable_variables, rows.trainable_variables, strict=True):
        value = np.random.default_rng(a.shape[0]).normal(0, 0.5, a.shape).astype("float32")
        a.assign(value)
        b.assign(value if value.shape == tuple(b.shape) else value.T)
    return dense, rows


def gradients(model, training=True):
    with tf.GradientTape() as tape:
        reported, y_pred = model.objective(Batch.of(tf.constant(X)), training)
        loss = sum(reported[name] for name in model.term_names)
    return reported, y_pred, tape.gradient(loss, [v.value for v in model.trainable_variables])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"hidden_dims": (7,)}, {"code_activation": "relu", "alpha": 2.0}],
)
@pytest.mark.parametrize("aux", [{}, {"aux_weight": 0.3, "aux_k": 6, "dead_after": 10}])
@pytest.mark.parametrize("training", [True, False])
def test_terms_reconstructions_and_gradients_are_those_of_the_whole_code(tied, options, aux, training):
    dense, rows = pair(tied=tied, **options, **aux)
    if aux:
        for model in (dense, rows):  # 4 dead units, fewer than aux_k
            model.samples_since_active.assign([11.0] * 4 + [0.0] * 16)
    expected, y_expected, a = gradients(dense, training)
    got, y_got, b = gradients(rows, training)
    for name, value in expected.items():
        assert float(value) == pytest.approx(float(got[name]), rel=1e-5), name
    np.testing.assert_allclose(y_expected, y_got, rtol=1e-4, atol=1e-5)
    assert any(isinstance(gradient, tf.IndexedSlices) for gradient in b)
    for g, h in zip(a, b, strict=True):
        g, h = tf.convert_to_tensor(g).numpy(), tf.convert_to_tensor(h).numpy()
        np.testing.assert_allclose(g, h if h.shape == g.shape else h.T, rtol=1e-4, atol=1e-5)
    if aux:
        np.testing.assert_array_equal(dense.samples_since_active, rows.samples_since_active)
        if training:
            assert float(expected["auxiliary"]) > 0


def test_inference_is_that_of_the_whole_code():
    dense, rows = pair(tied=False)
    np.testing.assert_allclose(dense.encode(X), rows.encode(X), atol=1e-5)
    np.testing.assert_allclose(dense(X), rows(X), atol=1e-5)


def test_only_the_rows_of_active_units_have_a_gradient():
    rows = pair(tied=False)[1]
    active = np.any(rows.encode(X).numpy() != 0, axis=0)
    assert 0 < active.sum() < 20
    for gradient in gradients(rows)[2][:3]:  # W, b and W' of the decoder
        touched = np.any(tf.convert_to_tensor(gradient).numpy().reshape(20, -1) != 0, axis=1)
        np.testing.assert_array_equal(touched, active)


def test_large_sparse_codes_go_by_rows_unless_told_otherwise():
    assert aezoo.KSparseAE(4096, k=16).by_rows
    assert not aezoo.KSparseAE(4096, k=17).by_rows
    assert not aezoo.KSparseAE(4096, k=10, alpha=2).by_rows
    assert not aezoo.KSparseAE(4095, k=10).by_rows
    assert not aezoo.KSparseAE(4096, k=10, by_rows=False).by_rows
    assert not aezoo.KSparseAE(4096, k=10, k_schedule=aezoo.schedules.Linear(100, 10, 3)).by_rows
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    with pytest.raises(ValueError, match="leave out encoder and decoder"):
        aezoo.KSparseAE(encoder=network, latent_dim=None, k=2, by_rows=True)


@pytest.mark.parametrize("make", [lambda: RowEncoder(4, "relu"), lambda: RowDecoder(4, "relu")])
def test_a_layer_is_a_dense_layer_and_is_made_again_from_its_configuration(make):
    layer = make()
    y = layer(X)
    kernel = layer.kernel.numpy()
    kernel = kernel.T if isinstance(layer, RowEncoder) else kernel
    np.testing.assert_allclose(y, np.maximum(X @ kernel, 0), rtol=1e-4, atol=1e-5)
    again = type(layer).from_config(layer.get_config())
    again.build(X.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(X), y)


@pytest.mark.slow
def test_a_stack_of_it_unrolls():
    stack = aezoo.StackedAE([aezoo.KSparseAE(20, k=3, by_rows=True), aezoo.Autoencoder(4, output_activation="linear")])
    stack.pretrain(X, epochs=1, verbose=0)
    np.testing.assert_allclose(stack.unroll()(X), stack.reconstruct(X), atol=1e-6)


def test_filters_are_the_rows():
    model = aezoo.KSparseAE(5, k=3, by_rows=True)
    model.build((None, 3, 3, 1))
    kernel = model.encoder.layers[0].layers[-1].kernel.numpy()
    pictures = kernel.reshape(5, 3, 3, 1)
    for part in ("encoder", "decoder"):  # which is tied
        np.testing.assert_array_equal(kernel_pictures(model, part), pictures)
