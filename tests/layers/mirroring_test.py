"""Decoders that mirror an encoder of the user's own."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo.layers import Centering, DenseTranspose, TopK, mirror

L = keras.layers
RNG = np.random.default_rng(0)


def network(shape, layers):
    return keras.Sequential([keras.Input(shape), *layers])


def described(decoder):
    return [
        (type(layer).__name__, layer.output.shape[1:], getattr(getattr(layer, "activation", None), "__name__", None))
        for layer in decoder.layers
    ]


def test_dense_layers_have_the_same_widths_and_activations():
    inner = network((30,), [L.Dense(20, "tanh"), L.Dropout(0.1), L.Dense(10), L.Activation("selu")])
    encoder = network((5, 6), [L.Flatten(), inner, Centering(), L.Dense(4, "relu"), TopK(2)])
    assert described(mirror(encoder, (5, 6), seed=0)) == [
        ("Dense", (10,), "selu"),
        ("Dense", (20,), "tanh"),
        ("Dense", (30,), "linear"),
        ("Reshape", (5, 6), None),
        ("Activation", (5, 6), "sigmoid"),
    ]


def test_convolutions_are_mirrored_by_transposed_ones():
    encoder = network(
        (9, 8, 2), [L.Conv2D(4, (3, 5), strides=(2, 1), padding="same", activation="relu"), L.Flatten(), L.Dense(3)]
    )
    decoder = mirror(encoder, (9, 8, 2), output_activation="linear")
    assert described(decoder) == [
        ("Dense", (160,), "linear"),
        ("Reshape", (5, 8, 4), None),
        ("Activation", (5, 8, 4), "relu"),
        ("Conv2DTranspose", (10, 8, 2), "linear"),
        ("Cropping2D", (9, 8, 2), None),
        ("Activation", (9, 8, 2), "linear"),
    ]
    convolution = decoder.layers[3]
    assert convolution.kernel_size == (3, 5) and convolution.strides == (2, 1)


def test_normalization_comes_again_before_the_activation():
    layers = [L.Dense(20), L.BatchNormalization(momentum=0.8), L.LeakyReLU(0.3), L.Dense(3), L.LayerNormalization()]
    decoder = mirror(network((8,), layers), (8,))
    assert [type(layer).__name__ for layer in decoder.layers] == [
        *("Dense", "BatchNormalization", "LeakyReLU"),
        *("Dense", "Activation"),
    ]
    assert decoder.layers[1].momentum == 0.8 and decoder.layers[2].negative_slope == pytest.approx(0.3)


SHAPES = [
    ((13,), [L.Dense(4), L.Dense(3, "relu")]),
    ((13, 2), [L.Conv1D(4, 4, strides=3), L.MaxPooling1D(2), L.Flatten(), L.Dense(3)]),
    ((13, 2), [L.Conv1D(4, 3), L.GlobalMaxPooling1D(), L.Dense(3)]),
    ((13, 9, 2), [L.ZeroPadding2D(1), L.Conv2D(3, 4, strides=3), L.AveragePooling2D(2, padding="same"), L.Flatten()]),
    ((13, 9, 2), [L.Conv2D(3, 2, strides=2), L.MaxPooling2D(3, strides=2), L.GlobalAveragePooling2D(keepdims=True)]),
    ((13, 9, 2), [L.Dense(5, "relu"), L.Reshape((13 * 9, 5)), L.Conv1D(2, 9, strides=9)]),
    ((6, 5, 4, 1), [L.Conv3D(2, 3, strides=2, padding="same"), L.MaxPooling3D(2), L.Flatten(), L.Dense(3)]),
]


@pytest.mark.slow_cases("1", "2", "5")
@pytest.mark.parametrize(("shape", "layers"), SHAPES, ids=range(len(SHAPES)))
def test_a_mirrored_model_trains_and_is_saved(shape, layers, tmp_path):
    x = RNG.random((10, *shape), "float32")
    model = aezoo.Autoencoder(encoder=network(shape, layers), seed=0)
    model.compile("adam", run_eagerly=True)
    model.fit(x, verbose=0)
    assert model.reconstruct(x).shape == x.shape
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "model.keras").reconstruct(x), model.reconstruct(x)
    )


def test_images_of_any_size():
    encoder = network((None, None, 1), [L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), L.Conv2D(2, 1)])
    decoder = mirror(encoder, (None, None, 1))
    assert decoder(encoder(np.zeros((1, 6, 10, 1)))).shape == (1, 6, 10, 1)


def test_the_encoder_of_a_vae_and_a_layer_alone():
    x = keras.Input((8,))
    h = L.Dense(5, "relu")(x)
    model = aezoo.VAE(encoder=keras.Model(x, [L.Dense(3)(h), L.Dense(3)(h)]))
    model.build((None, 8))
    assert described(model.decoder)[:2] == [("Dense", (5,), "relu"), ("Dense", (8,), "linear")]
    model = aezoo.Autoencoder(encoder=L.Dense(3))
    model.build((None, 8))
    assert described(model.decoder)[0] == ("Dense", (8,), "linear")


def test_the_seed_is_that_of_all_initial_weights():
    encoder = network((8,), [L.Dense(5), L.Dense(3)])
    a, b, c = (mirror(encoder, (8,), seed=seed).get_weights() for seed in (1, 1, 2))
    for x, y, z in zip(a[::2], b[::2], c[::2], strict=True):
        np.testing.assert_array_equal(x, y)
        assert not np.allclose(x, z)


def branching():
    x = keras.Input((8,))
    h = L.Dense(8)(x)
    return keras.Model(x, L.Dense(2)(L.Add(name="sum")([x, h])))


class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.dense = L.Dense(2)

    def call(self, x):
        return self.dense(x)


def operation():
    x = keras.Input((8,))
    return keras.Model(x, L.Dense(2)(keras.ops.sin(x)))


@pytest.mark.parametrize(
    ("encoder", "what"),
    [
        (branching, r"'sum' \(Add\)"),
        (Own, r"'own' \(Own\)"),
        (operation, r"\(Sin\)"),
        (lambda: network((8,), [L.Reshape((4, 2)), L.LSTM(3, name="last")]), r"'last' \(LSTM\)"),
        (lambda: network((8,), [L.Reshape((8, 1)), L.Conv1D(2, 3, dilation_rate=2)]), r"\(Conv1D\)"),
        (lambda: network((8,), [L.Reshape((4, 2)), L.Conv1D(2, 3, groups=2)]), r"\(Conv1D\)"),
        (lambda: network((8,), [L.Dense(4), DenseTransposeOfOthers()]), r"\(DenseTransposeOfOthers\)"),
    ],
    ids=range(7),
)
def test_what_cannot_be_mirrored_is_named(encoder, what):
    model = aezoo.Autoencoder(encoder=encoder())
    with pytest.raises(ValueError, match=f"has a layer that no decoder can mirror, .*{what}: give a decoder") as error:
        model.build((None, 8))
    assert "\n" not in str(error.value)


class DenseTransposeOfOthers(L.Layer):
    """A layer that computes anything."""

    def call(self, x):
        return x[:, :2]


def test_kernels_of_the_layers_of_this_package_are_mirrored_too():
    assert described(mirror(network((8,), [DenseTranspose(3)]), (8,)))[0] == ("Dense", (8,), "linear")
