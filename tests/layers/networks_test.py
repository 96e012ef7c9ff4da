"""The builders of networks, and the transposed dense layer."""

import keras
import numpy as np
import pytest

from aezoo.layers import DenseTranspose, TopK, networks

RNG = np.random.default_rng(0)


def test_dense_transpose_uses_the_kernel_of_another_layer():
    dense = keras.layers.Dense(3)
    dense.build((None, 5))
    layer = DenseTranspose(5, activation="tanh", tied_to=dense)
    z = RNG.normal(size=(4, 3)).astype("float32")
    layer(z)
    layer.bias.assign(RNG.normal(size=5))
    assert layer.kernel is dense.kernel
    np.testing.assert_allclose(layer(z), np.tanh(z @ dense.kernel.numpy().T + layer.bias.numpy()), rtol=1e-5)
    dense.kernel.assign(2 * dense.kernel)  # it follows
    np.testing.assert_allclose(layer(z), np.tanh(z @ dense.kernel.numpy().T + layer.bias.numpy()), rtol=1e-5)
    assert layer.compute_output_shape((None, 3)) == (None, 5)


def test_dense_transpose_by_itself_has_a_kernel_of_its_own():
    layer = DenseTranspose.from_config(DenseTranspose(5, activation="tanh").get_config())
    z = RNG.normal(size=(4, 3)).astype("float32")
    layer(z)
    assert [tuple(v.shape) for v in layer.trainable_variables] == [(5, 3), (5,)]
    np.testing.assert_allclose(layer(z), np.tanh(z @ layer.kernel.numpy().T), rtol=1e-5, atol=1e-6)


def test_initial_weights_are_glorots():
    network = networks.encoder((300,), 200, seed=0)
    kernel = network.layers[-1].kernel.numpy()
    limit = np.sqrt(6 / (300 + 200))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)  # uniform


@pytest.mark.parametrize(
    ("size", "filters"), [((7,), (2,)), ((7, 9), (2, 3)), ((1, 2), (2, 2)), ((5, 4, 3), (2, 2)), ((28, 28), (4, 4, 4))]
)
def test_a_convolutional_decoder_gives_back_the_size(size, filters):
    shape = (*size, 2)
    encoder = networks.encoder(shape, 3, filters=filters)
    decoder = networks.decoder(shape, 3, filters=filters)
    assert encoder.output_shape == (None, 3)
    assert decoder.output_shape == (None, *shape)
    small = encoder.layers[len(filters) - 1].output.shape[1:]
    assert small == (*(-(-s // 2 ** len(filters)) for s in size), filters[-1])


def test_activations_are_where_they_were_asked_for():
    names = dict(hidden_dims=(5, 4), filters=(2, 3), activation="tanh")
    encoder = networks.encoder((8, 8, 1), 3, code_activation="softplus", **names)
    decoder = networks.decoder((8, 8, 1), 3, output_activation="relu", **names)
    found = [
        [layer.activation.__name__ for layer in network.layers if hasattr(layer, "activation")]
        for network in (encoder, decoder)
    ]
    assert found == [["tanh"] * 4 + ["softplus"], ["tanh"] * 4 + ["linear", "relu"]]


def test_half_precision_ends_in_single_precision():
    decoder = networks.decoder((8,), 3, dtype="mixed_float16")
    assert decoder.layers[0].compute_dtype == "float16"
    assert decoder(np.zeros((1, 3))).dtype == "float32"


def test_chain_and_transpose_look_into_nested_models():
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dropout(0.5)])
    outer = keras.Sequential([keras.Input((2, 3)), keras.layers.Flatten(), inner, keras.layers.Dense(3), TopK(1)])
    names = [type(layer).__name__ for layer in networks.chain(outer)]
    assert names == ["Flatten", "Dense", "Dropout", "Dense", "TopK"]
    decoder = networks.transpose(outer, "linear")
    z = RNG.normal(size=(5, 3)).astype("float32")
    hidden = np.tanh(z @ outer.layers[2].kernel.numpy().T)
    expected = (hidden @ inner.layers[0].kernel.numpy().T).reshape(5, 2, 3)
    np.testing.assert_allclose(decoder(z), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Conv1D(2, 3), keras.layers.Flatten(), keras.layers.Dense(2)],
        [keras.layers.Flatten(), keras.layers.Dense(2), keras.layers.LayerNormalization()],
        [keras.layers.Flatten()],
    ],
)
def test_what_is_not_a_chain_of_dense_layers_cannot_be_transposed(layers):
    encoder = keras.Sequential([keras.Input((6, 2)), *layers])
    assert networks.chain(encoder) is None
    with pytest.raises(ValueError, match="layers that cannot be transposed"):
        networks.transpose(encoder)


def test_convolutions_need_spatial_axes():
    for shape in ((6,), (2, 3, 4, 5, 1)):
        with pytest.raises(ValueError, match="needs inputs with 1 to 3 spatial axes"):
            networks.encoder(shape, 2, filters=(3,))


def test_output_activation():
    decoder = networks.decoder((8,), 3, output_activation="tanh")
    assert networks.output_activation(decoder) is keras.activations.tanh
    nested = keras.Sequential([keras.Input((3,)), decoder])
    assert networks.output_activation(nested) is keras.activations.tanh
    assert networks.output_activation(keras.Sequential([keras.Input((3,)), keras.layers.Flatten()])) is None


@pytest.mark.parametrize(("rank", "size"), [(1, (16,)), (2, (8, 24)), (3, (8, 8, 16))])
def test_spatial_networks_keep_the_place_and_take_all_sizes_that_their_stride_divides(rank, size):
    encoder, decoder = networks.spatial(2, 5, rank=rank, filters=(3, 4), seed=0)
    x = np.zeros((2, *size, 2), "float32")
    z = encoder(x)
    assert z.shape == (2, *[n // 8 for n in size], 5)
    assert decoder(z).shape == x.shape
    assert [layer.filters for layer in encoder.layers] == [3, 4, 5]
    assert [layer.filters for layer in decoder.layers[:-1]] == [4, 3, 2]
