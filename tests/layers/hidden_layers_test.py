"""Dropout, normalization and residual blocks of the default networks, against NumPy and stock Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import _keras
from aezoo.layers import BatchNormalization, Dropout, ResidualBlock, networks
from aezoo.layers.batch_normalization import weighted

RNG = np.random.default_rng(0)
L = keras.layers


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


# === The defaults are what they were ===


def test_the_defaults_are_stock_layers_with_seeds_of_their_own():
    def glorot(seed):
        return {"kernel_initializer": keras.initializers.GlorotUniform(seed)}

    same = {"strides": 2, "padding": "same"}
    encoder = keras.Sequential(
        [
            keras.Input((9, 7, 2)),
            L.Conv2D(3, 3, activation="relu", **same, **glorot(6)),
            L.Conv2D(4, 3, activation="relu", **same, **glorot(7)),
            L.Flatten(),
            L.Dense(8, activation="relu", **glorot(8)),
            L.Dense(5, activation="tanh", name="code", **glorot(9)),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((5,)),
            L.Dense(8, activation="relu", **glorot(1006)),
            L.Dense(3 * 2 * 4, activation="relu", **glorot(1007)),
            L.Reshape((3, 2, 4)),
            L.Conv2DTranspose(3, 3, activation="relu", **same, **glorot(1008)),
            L.Conv2DTranspose(2, 3, **same, **glorot(1009)),
            L.Cropping2D(((0, 3), (0, 1))),
            L.Activation("sigmoid", dtype="float32", name="output"),
        ]
    )
    arguments = {"hidden_dims": (8,), "filters": (3, 4), "seed": 5}
    z = RNG.normal(size=(2, 5)).astype("float32")
    for expected, got in (
        (encoder, networks.encoder((9, 7, 2), 5, code_activation="tanh", **arguments)),
        (decoder, networks.decoder((9, 7, 2), 5, **arguments)),
    ):
        assert kinds(got) == kinds(expected) and got.layers[-1].name == expected.layers[-1].name
        for a, b in zip(expected.get_weights(), got.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(got(z), decoder(z))


def test_the_defaults_of_spatial_networks():
    networks_ = networks.spatial(3, 5, filters=(4,), seed=0)
    found = [[(type(layer).__name__, getattr(layer, "kernel_size", 0)) for layer in n.layers] for n in networks_]
    both = ((5, 5), (5, 5))
    assert found[0] == list(zip(("Conv2D", "Conv2D"), both, strict=True))
    assert found[1] == [*zip(("Conv2DTranspose",) * 2, both, strict=True), ("Activation", 0)]
    seeds = [layer.kernel_initializer.seed for n in networks_ for layer in n.layers[:2]]
    assert seeds == [1, 2, 3, 4]


# === What may be asked for ===


def test_hidden_layers_have_all_that_is_asked_for_and_code_and_output_nothing():
    arguments = {"hidden_dims": (8,), "filters": (3, 4), "dropout": 0.2, "normalization": "batch"}
    arguments |= {"residual": 1, "kernel_size": 5, "seed": 0}
    hidden, block = ["BatchNormalization", "Activation", "Dropout"], ["ResidualBlock", "Dropout"]
    encoder = networks.encoder((8, 8, 1), 5, **arguments)
    assert kinds(encoder) == [*["Conv2D", *hidden, *block] * 2, "Flatten", "Dense", *hidden, "Dense"]
    decoder = networks.decoder((8, 8, 1), 5, upsampling="resize", **arguments)
    up = ["Repeat", "Conv2D"]
    assert kinds(decoder) == [
        "Dense",
        *hidden,
        "Dense",
        "Reshape",
        *hidden,
        *block,
        *up,
        *hidden,
        *block,
        *up,
        *kinds(decoder)[-1:],
    ]
    assert decoder.layers[-1].name == "output"
    assert {layer.kernel_size for layer in encoder.layers if isinstance(layer, L.Conv2D)} == {(5, 5)}
    assert not any(
        layer.use_bias for layer in encoder.layers if isinstance(layer, (L.Conv2D, L.Dense)) and layer.name != "code"
    )
    seeds = [layer.seed for network in (encoder, decoder) for layer in network.layers if isinstance(layer, Dropout)]
    assert len(set(seeds)) == len(seeds) == 10
    x = RNG.random((3, 8, 8, 1), "float32")
    assert decoder(encoder(x)).shape == x.shape
    layers = networks.encoder((8,), 5, hidden_dims=(4,), normalization="layer").layers
    assert [type(layer).__name__ for layer in layers] == [
        "Flatten",
        "Dense",
        "LayerNormalization",
        "Activation",
        "Dense",
    ]
    assert layers[1].use_bias


@pytest.mark.parametrize(("rank", "size"), [(1, (12,)), (2, (7, 9)), (3, (4, 5, 4))])
def test_resizing_gives_back_the_size_without_a_checkerboard(rank, size):
    shape = (*size, 2)
    decoder = networks.decoder(shape, 3, filters=(2, 3), upsampling="resize", residual=1, output_activation="linear")
    assert decoder.output_shape == (None, *shape)
    encoder, decoder = networks.spatial(2, 3, rank=rank, filters=(2,), upsampling="resize", normalization="layer")
    x = np.zeros((1, *[8] * rank, 2), "float32")
    assert decoder(encoder(x)).shape == x.shape


def test_of_a_constant_code_resizing_makes_a_constant_image_and_a_transposed_convolution_does_not():
    z = np.ones((1, 8, 8, 3), "float32")
    for upsampling, constant in (("resize", True), ("transpose", False)):
        decoder = networks.spatial(1, 3, upsampling=upsampling, output_activation="linear", seed=0)[1]
        inside = np.asarray(decoder(z))[0, 4:-4, 4:-4]
        assert np.allclose(inside, inside[0, 0], atol=1e-6) == constant


def test_a_residual_block_is_x_plus_two_convolutions():
    x = RNG.normal(size=(2, 6, 5, 3)).astype("float32")
    block = ResidualBlock(3, "relu", seed=1)
    y = np.asarray(block(x))
    first, second = (layer for layer in block.parts if isinstance(layer, L.Conv2D))
    f = np.maximum(tf.nn.conv2d(x, first.kernel, 1, "SAME") + first.bias, 0)
    f = tf.nn.conv2d(f, second.kernel, 1, "SAME") + second.bias
    np.testing.assert_allclose(y, np.maximum(x + f, 0), rtol=1e-4, atol=1e-5)
    assert not np.allclose(first.kernel, second.kernel)
    again = ResidualBlock.from_config(ResidualBlock(5, "tanh", "batch", seed=2).get_config())
    again(x)
    convolution = ["Conv2D", "BatchNormalization"]
    assert [type(layer).__name__ for layer in again.parts] == [*convolution, "Activation", *convolution]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dropout": 1.0}, "dropout must be less than 1"),
        ({"dropout": -0.1}, "dropout must be at least 0"),
        ({"dropout": 0.1}, "dropout=0.1 applies to hidden layers, but the model has none: give hidden_dims or filters"),
        (
            {"normalization": "group", "filters": (2,)},
            "'group' is unknown: choose one of 'batch', 'layer'",
        ),
        ({"normalization": "batch"}, "applies to hidden layers, but the model has none"),
        ({"normalization": "batch", "hidden_dims": (3,), "tied": True}, "tied=True transposes only kernels"),
        ({"residual": 1, "hidden_dims": (3,)}, "residual=1 applies to hidden layers, .* give filters"),
        ({"residual": -1}, "residual must be at least 0"),
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"upsampling": "bilinear"}, "upsampling='bilinear' is unknown"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.Autoencoder(4, **arguments)


def test_an_encoder_of_the_users_own_has_its_own_layers():
    encoder = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    with pytest.raises(ValueError, match="put the layers of dropout and residual into it"):
        aezoo.Autoencoder(encoder=encoder, dropout=0.1, residual=1)


def test_every_variant_passes_them_on():
    arguments = {"filters": (3,), "normalization": "layer", "dropout": 0.1, "residual": 1, "upsampling": "resize"}
    for model in (
        aezoo.SparseAE(4, **arguments),
        aezoo.VAE(4, **arguments),
        aezoo.KSparseAE(6, k=2, **arguments),
        aezoo.CompressiveAE(4, spatial=True, **arguments),
    ):
        model.build((None, 8, 8, 1))
        layers = [layer for network in (model.encoder, model.decoder) for layer in _keras.all_layers(network)]
        found = {type(layer).__name__ for layer in layers}
        assert {"ResidualBlock", "LayerNormalization", "Dropout", "Repeat"} <= found
        again = type(model).from_config(model.get_config())
        assert again.get_config() == model.get_config()


def test_rows_of_a_k_sparse_code_train_behind_dropout_and_normalization():
    model = aezoo.KSparseAE(12, k=3, by_rows=True, hidden_dims=(8,), dropout=0.5, normalization="batch", seed=0)
    model.compile("adam", run_eagerly=True)
    x = RNG.random((20, 6), "float32")
    model.build(x.shape)
    moving = model.encoder.layers[0].layers[-4].moving_mean
    model.fit(x, verbose=0)
    assert np.any(moving.numpy()), "the statistics of training were not taken"


# === Dropout ===


def test_dropout_is_that_of_keras():
    x = RNG.random((300, 200), "float32") + 0.5
    layer = Dropout(0.3, seed=1)
    y = np.asarray(layer(x, training=True))
    share = np.mean(y == 0)
    assert share == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / x.size))
    np.testing.assert_allclose(y[y != 0], (x / 0.7)[y != 0], rtol=1e-6)
    assert not np.array_equal(y, layer(x, training=True))
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(y, Dropout.from_config(layer.get_config())(x, training=True))
    with pytest.raises(ValueError, match="less than 1, but it is 1"):
        Dropout(1)


# === Batch normalization ===


def test_batch_normalization_is_that_of_keras_without_weights():
    x = RNG.normal(3.0, 2.0, (16, 4, 5)).astype("float32")
    layers = BatchNormalization(momentum=0.9), L.BatchNormalization(momentum=0.9)
    for training in (True, False):
        a, b = (np.asarray(layer(x, training=training)) for layer in layers)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_weight_counts_as_often_as_it_says():
    x = RNG.normal(size=(4, 3, 2)).astype("float32")
    once, repeated = BatchNormalization(), BatchNormalization()
    with weighted(np.array([0, 2, 1, 1], "float32")):
        y = np.asarray(once(x, training=True))
    expected = np.asarray(repeated(x[[1, 1, 2, 3]], training=True))
    np.testing.assert_allclose(y[1:], expected[1:], rtol=1e-4, atol=1e-5)
    for a, b in zip(once.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_several_draws_of_a_sample_have_its_weight():
    x = RNG.normal(size=(6, 2)).astype("float32")  # two draws of three samples
    layer = BatchNormalization(center=False, scale=False, epsilon=0.0)
    with weighted(np.array([1, 0, 3], "float32")):
        y = np.asarray(layer(x, training=True))
    weight = np.array([1, 0, 3] * 2)
    mean = np.average(x, axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(y, (x - mean) / deviation, rtol=1e-4)


def test_a_batch_without_weight_is_finite_and_half_precision_sums_in_single():
    x = RNG.normal(size=(5, 2)).astype("float32")
    with weighted(np.zeros(5, "float32")):
        assert np.isfinite(BatchNormalization()(x, training=True)).all()
    y = BatchNormalization(dtype="mixed_float16")(1000 * x.astype("float16"), training=True)
    assert y.dtype == "float16" and np.isfinite(y).all()


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match="axis=-1"):
        BatchNormalization(axis=1)
    with pytest.raises(ValueError, match="renorm"):  # by Keras, in versions that do not know it
        BatchNormalization(renorm=True)
