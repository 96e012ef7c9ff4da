"""The builders of networks, and the transposed dense layer."""

import copy
import json
import pickle
import re

import keras
import numpy as np
import pytest

import aezoo
from aezoo.layers import DenseTranspose, RowDecoder, RowEncoder, TopK, networks

RNG = np.random.default_rng(0)


def test_dense_transpose_uses_the_kernel_of_another_layer():
    dense = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))
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
        [keras.layers.Dense(2), keras.layers.Flatten()],
        [keras.layers.Flatten(), keras.layers.Dense(6), keras.layers.Reshape((3, 2)), keras.layers.Dense(1)],
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


# === Ties of a user's own networks ===


def of_own_networks(encode=keras.layers.Dense, decode=DenseTranspose):
    """Two tied layers, an inner model among them, and a bias for each layer: 6 trainable variables."""
    keras.utils.set_random_seed(0)
    first, second = keras.layers.Dense(5, "sigmoid"), encode(3, "sigmoid")
    encoder = keras.Sequential([keras.Input((4, 2)), keras.layers.Flatten(), keras.Sequential([first]), second])
    upper = keras.Sequential([keras.Input((3,)), decode(5, "sigmoid", tied_to=second)])
    decoder = keras.Sequential([keras.Input((3,)), upper, DenseTranspose(8, "sigmoid", tied_to=first)])
    decoder.add(keras.layers.Reshape((4, 2)))
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    model.fit(RNG.random((8, 4, 2), "float32"), verbose=0)
    return model


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


COPIES = {
    "load": saved_and_loaded,
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "clone": lambda model, _: keras.models.clone_model(model),
    "configuration": lambda model, _: type(model).from_config(json.loads(json.dumps(model.get_config()))),
}


@pytest.mark.slow_cases("-pickle", "-configuration")
@pytest.mark.parametrize(
    ("layers", "name"),
    [
        pytest.param(
            layers, name, id=f"{id}-{name}", marks=pytest.mark.slow if id or name in ("clone", "deepcopy") else ()
        )
        for id, layers in {"": (keras.layers.Dense, DenseTranspose), "rows": (RowEncoder, RowDecoder)}.items()
        for name in COPIES
    ],
)
def test_networks_of_the_users_own_stay_tied(name, layers, tmp_path):
    x = RNG.random((8, 4, 2), "float32")
    model = of_own_networks(*layers)
    again = COPIES[name](model, tmp_path)
    if name in ("clone", "configuration"):  # which copy no weights
        again(x)
        again.set_weights(model.get_weights())
        again.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
        model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    assert len(again.trainable_variables) == len(model.trainable_variables) == 6
    assert [tuple(v.shape) for v in again.variables] == [tuple(v.shape) for v in model.variables]
    assert again.decoder.layers[-2].kernel is again.encoder.layers[1].layers[0].kernel
    for each in (model, again):
        each.fit(x, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.trainable_variables, again.trainable_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(saved_and_loaded(again, tmp_path)(x), model(x), rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_tied_decoder_by_itself_has_kernels_of_its_own():
    model = of_own_networks()
    encoder, decoder = (keras.models.clone_model(network) for network in (model.encoder, model.decoder))
    decoder.set_weights(model.decoder.get_weights())
    untied = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    untied.build((None, 4, 2))
    assert len(untied.trainable_variables) == 8
    assert "ties" not in untied.get_config()


def test_ties_that_cannot_be_kept():
    model = of_own_networks()
    other = aezoo.Autoencoder(encoder=keras.models.clone_model(model.encoder), decoder=model.decoder)
    other.build((None, 4, 2))
    with pytest.raises(ValueError, match="is not a layer of the encoder or the decoder and cannot be saved"):
        other.get_config()
    with pytest.raises(ValueError, match="has no kernel yet: tie it to a built layer"):
        DenseTranspose(8, tied_to=keras.layers.Dense(3))(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"shares a kernel of shape \(1, 5\), but .* has a kernel of shape \(8, 5\)"):
        DenseTranspose(1, tied_to=model.encoder.layers[1].layers[0])(np.zeros((1, 5)))


# === Axes ===


@pytest.mark.parametrize(
    ("shape", "advice"),
    [((28, 28), "x[..., None]"), ((8, 8), "x[..., None]"), ((9, 9, 9), "x[..., None]"), ((3, 32, 32), "moveaxis")],
)
def test_images_that_would_lose_an_axis_to_the_channels(shape, advice):
    model = aezoo.Autoencoder(2, filters=(2,))
    with pytest.warns(UserWarning, match=re.escape(advice)):
        model.build((None, *shape))


@pytest.mark.parametrize(
    "shape", [(48, 3), (140, 1), (128, 64), (3, 3), (28, 28, 1), (32, 32, 3), (9, 9, 9, 1), (16, 8, 8), (40, 30, 30)]
)
def test_series_and_images_with_channels_last_are_taken_as_they_are(shape):
    networks.encoder(shape, 2, filters=(2,))  # a warning would be an error
    networks.encoder((28, 28), 2)


def branches():
    x = keras.Input((8,))
    main = keras.layers.Dense(4, "tanh")(x)
    keras.layers.Dense(4, "relu")(main)  # made last, and no part of the output
    return keras.Model(x, keras.layers.Reshape((2, 2))(main))


L = keras.layers


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([L.Dense(8, "sigmoid"), L.Reshape((4, 2))], "sigmoid"),
        ([L.Dense(8, "sigmoid"), L.Reshape((4, 2)), L.Permute((2, 1)), L.Flatten(), L.Activation("linear")], "sigmoid"),
        ([L.Dense(8, "sigmoid"), L.Reshape((4, 2)), L.Cropping1D(1)], "sigmoid"),
        ([keras.Sequential([L.Dense(8, "sigmoid"), L.Reshape((4, 2))]), L.Flatten()], "sigmoid"),
        ([L.Dense(8, "sigmoid"), keras.Sequential([L.Reshape((4, 2)), L.Flatten()])], "sigmoid"),
        ([L.Dense(8), branches()], "tanh"),
        ([L.Reshape((4, 2)), L.TimeDistributed(L.Dense(3, "sigmoid"))], "sigmoid"),
        ([L.Dense(8, "sigmoid"), L.Dropout(0.5)], None),  # which scales values up
        ([L.Dense(8, "sigmoid"), L.BatchNormalization()], None),
        ([L.Dense(8, "sigmoid"), L.Reshape((4, 2)), L.ZeroPadding1D(1)], None),
        ([L.Dense(8, "sigmoid"), L.Dense(3)], "linear"),
    ],
    ids=range(11),
)
def test_the_output_activation_is_found_behind_a_change_of_shape(layers, expected):
    found = networks.output_activation(keras.Sequential([keras.Input((8,)), *layers]))
    assert getattr(found, "__name__", None) == expected


def test_the_output_activation_of_operations():
    x = keras.Input((8,))
    network = keras.Model(x, keras.ops.reshape(keras.ops.sigmoid(L.Dense(4)(x)), (-1, 2, 2)))
    assert networks.output_activation(network) is keras.activations.sigmoid


def test_a_sigmoid_behind_a_change_of_shape_bounds_the_data():
    decoder = keras.Sequential([keras.Input((2,)), L.Dense(8, "sigmoid"), L.Reshape((4, 2))])
    encoder = keras.Sequential([keras.Input((4, 2)), L.Flatten(), L.Dense(2)])
    for kind in (aezoo.DenoisingAE, aezoo.ContractiveAE):
        model = kind(encoder=encoder, decoder=decoder)
        model.compile("sgd")
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            model.fit(np.full((8, 4, 2), 2.0, "float32"))
        assert isinstance(model.default_loss, aezoo.losses.CrossEntropy)
