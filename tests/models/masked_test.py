"""The masked autoencoder: what its encoder sees, its error, and its transformer, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import Batch

X = np.random.default_rng(0).random((5, 6, 6, 1), "float32")


def made(**arguments):
    model = aezoo.MaskedAE(8, **{"patch_size": 3, "depth": 1, "heads": 2, "seed": 0, **arguments})
    model.build(X.shape)
    return model


def patches(x):
    """The four patches of images 6 x 6 in rows, (batch, 4, 9)."""
    return np.stack([x[:, i : i + 3, j : j + 3, 0].reshape(len(x), 9) for i in (0, 3) for j in (0, 3)], axis=1)


def test_the_encoder_does_not_see_masked_patches():
    model = made(mask_ratio=0.5)
    order, visible = model.draw_order(5)
    order = np.asarray(order)
    assert visible == 2 and np.array_equal(np.sort(order, axis=1), np.tile(np.arange(4), (5, 1)))
    other = X.copy()
    for image, places in zip(other, order[:, visible:], strict=True):
        for place in places:
            i, j = 3 * (place // 2), 3 * (place % 2)
            image[i : i + 3, j : j + 3] = 0.9
    code, unseen = (model.encode_visible(x, order, visible) for x in (X, other))
    np.testing.assert_array_equal(code, unseen)
    assert code.shape == (5, 2, 8)
    assert not np.allclose(model.encode(X), model.encode(other))


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_error_is_the_mean_over_the_pixels_of_masked_patches(weight):
    model = made(mask_ratio=0.75, visible_weight=weight)
    order = np.asarray(model.draw_order(5)[0])
    model.draw_order = lambda n: (tf.constant(order), 1)
    reported, y_pred = model.objective(Batch.of(X), training=True)
    errors = np.mean((patches(X) - patches(np.asarray(y_pred))) ** 2, axis=2)
    counts = np.where(np.argsort(order, axis=1) < 1, weight, 1.0)
    expected = np.mean(np.sum(errors * counts, axis=1) / np.sum(counts, axis=1))
    assert float(reported["reconstruction"]) == pytest.approx(expected, rel=1e-5)


def test_each_step_draws_other_patches_of_about_the_share():
    model = made(mask_ratio=0.5)
    orders = [np.asarray(model.draw_order(200)[0]) for _ in range(2)]
    assert not np.array_equal(*orders)
    first = np.bincount(orders[0][:, :2].ravel(), minlength=4) / 400
    np.testing.assert_allclose(first, 0.25, atol=0.07)


def test_the_transformer_is_that_of_numpy():
    model = made()
    embedding, transformer = model.encoder.layers
    rng = np.random.default_rng(1)
    for variable in transformer.trainable_variables:  # biases and scales too
        variable.assign(variable + 0.3 * rng.normal(size=variable.shape))
    x = np.asarray(embedding(X), "float64")
    norms = [layer for layer in transformer.layers if isinstance(layer, keras.layers.LayerNormalization)]
    (attention,) = [layer for layer in transformer.layers if isinstance(layer, keras.layers.MultiHeadAttention)]
    dense = [layer for layer in transformer.layers if isinstance(layer, keras.layers.Dense)]

    def normalized(x, layer):
        centered = x - x.mean(-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * layer.gamma.numpy() + layer.beta.numpy()

    def attended(h):
        q, k, v = (
            np.einsum("bpw,whd->bhpd", h, part.kernel.numpy()) + part.bias.numpy()[:, None]
            for part in (attention.query_dense, attention.key_dense, attention.value_dense)
        )
        logits = np.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
        share = np.exp(logits - logits.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = np.einsum("bhqk,bhkd->bqhd", share, v)
        out = attention.output_dense
        return np.einsum("bqhd,hdw->bqw", mixed, out.kernel.numpy()) + out.bias.numpy()

    def gelu(x):
        return np.asarray(keras.activations.gelu(x.astype("float32")), "float64")

    x = x + attended(normalized(x, norms[0]))
    h = gelu(normalized(x, norms[1]) @ dense[0].kernel.numpy() + dense[0].bias.numpy())
    x = x + h @ dense[1].kernel.numpy() + dense[1].bias.numpy()
    np.testing.assert_allclose(model.encode(X), normalized(x, norms[2]), rtol=1e-3, atol=1e-4)


def test_wrong_arguments_are_errors():
    for arguments, message in (
        ({"mask_ratio": 1.0}, "mask_ratio"),
        ({"patch_size": 0}, "patch_size"),
        ({"pooling": "max"}, "pooling"),
        ({"hidden_dims": (3,)}, "leave out hidden_dims"),
    ):
        with pytest.raises(ValueError, match=message):
            aezoo.MaskedAE(8, **arguments)
    with pytest.raises(ValueError, match="divides every side"):
        aezoo.MaskedAE(8, patch_size=4).build((None, 6, 6, 1))
