"""The plain autoencoder against the formulas of the lecture, z = σ(Wx + b) and x' = σ'(W'z + b')."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

import aezoo
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)


def dense(network):
    """The layers of a network that have a kernel."""
    return [layer for layer in network.layers if hasattr(layer, "kernel")]


def randomise(model):
    """Biases too: they start at 0, where a forgotten one would not show."""
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(0, 0.5, variable.shape))


def test_one_layer(x):
    model = aezoo.Autoencoder(latent_dim=5, activation="tanh")
    model.build((None, 6, 6, 1))
    randomise(model)
    (encode,), (decode,) = dense(model.encoder), dense(model.decoder)
    w, b, w2, b2 = (v.numpy() for v in (encode.kernel, encode.bias, decode.kernel, decode.bias))
    z = np.tanh(x.reshape(21, 36) @ w + b)
    np.testing.assert_allclose(model.encode(x), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.decode(z), expit(z @ w2 + b2).reshape(x.shape), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(x), model.decode(z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_deep(x, tied):
    model = aezoo.Autoencoder(3, hidden_dims=(8, 5), activation="tanh", code_activation="linear", tied=tied)
    model.build((None, 6, 6, 1))
    randomise(model)
    encode, decode = dense(model.encoder), dense(model.decoder)
    assert [layer.units for layer in encode] == [8, 5, 3]
    assert [layer.units for layer in decode] == [5, 8, 36]
    h = x.reshape(21, 36)
    for layer, function in zip(encode, (np.tanh, np.tanh, lambda a: a), strict=True):
        h = function(h @ layer.kernel.numpy() + layer.bias.numpy())
    np.testing.assert_allclose(model.encode(x), h, rtol=1e-4, atol=1e-5)
    kernels = [layer.kernel.numpy().T for layer in encode[::-1]] if tied else [layer.kernel.numpy() for layer in decode]
    for kernel, layer, function in zip(kernels, decode, (np.tanh, np.tanh, expit), strict=True):
        h = function(h @ kernel + layer.bias.numpy())
    np.testing.assert_allclose(model(x), h.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_tied_weights_are_one_variable_whose_gradient_is_the_sum_of_both_paths(x):
    tied = aezoo.Autoencoder(latent_dim=5, activation="tanh", tied=True)
    untied = aezoo.Autoencoder(latent_dim=5, activation="tanh")
    tied.build((None, 6, 6, 1))
    untied.build((None, 6, 6, 1))
    assert [tuple(v.shape) for v in tied.trainable_variables] == [(36, 5), (5,), (36,)]  # W, b, b'
    randomise(tied)
    w, b, b2 = tied.trainable_variables
    (encode,), (decode,) = dense(untied.encoder), dense(untied.decoder)
    encode.set_weights([w, b])
    decode.set_weights([w.numpy().T, b2])

    def gradients(model, variables):
        with tf.GradientTape() as tape:
            loss = sum(model.objective(Batch.of(x), training=True)[0].values())
        return [np.asarray(g) for g in tape.gradient(loss, variables)]

    dw, db, db2 = gradients(tied, [w.value, b.value, b2.value])
    dw_enc, dw_dec, db_untied, db2_untied = gradients(
        untied, [encode.kernel.value, decode.kernel.value, encode.bias.value, decode.bias.value]
    )
    assert min(np.abs(dw_enc).max(), np.abs(dw_dec).max()) > 1e-3  # both paths are there to be summed
    np.testing.assert_allclose(dw, dw_enc + dw_dec.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(db, db_untied, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(db2, db2_untied, rtol=1e-4, atol=1e-5)


def test_tied_weights_stay_tied_in_training_and_after_loading(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=5, hidden_dims=(7,), tied=True)
    model.compile("adam")
    model.fit(x, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for m in (model, loaded):
        for encode, decode in zip(dense(m.encoder), dense(m.decoder)[::-1], strict=True):
            assert decode.kernel is encode.kernel
    np.testing.assert_array_equal(loaded(x), model(x))


def test_the_objective_is_the_squared_error_of_a_sample(x):
    model = aezoo.Autoencoder(latent_dim=5)
    model.compile("sgd")
    got = model.evaluate(x, batch_size=8, return_dict=True, verbose=0)  # the last batch has 5
    errors = ((x - model(x).numpy()) ** 2).sum(axis=(1, 2, 3))
    assert got["loss"] == pytest.approx(errors.mean(), rel=1e-5)
    assert got["reconstruction"] == got["loss"]
    np.testing.assert_allclose(model.score_samples(x), errors, rtol=1e-5)


def test_interpolation_is_the_straight_line_between_codes(x):
    model = aezoo.Autoencoder(latent_dim=5, activation="tanh")
    a, b = x[:2], x[2:4]
    model(x)
    path = model.interpolate(a, b, steps=3)
    middle = (np.asarray(model.encode(a)) + np.asarray(model.encode(b))) / 2
    np.testing.assert_allclose(path[:, 1], model.decode(middle), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.interpolate(a, b, steps=3, batch_size=1), path, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="steps must be at least 2"):
        model.interpolate(a, b, steps=1)


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "score_samples", "__call__", "predict"])
def test_a_verb_on_data_builds_the_model(x, verb):
    assert len(getattr(aezoo.Autoencoder(latent_dim=5), verb)(x)) == len(x)


# === Networks of the user's own ===


@keras.saving.register_keras_serializable("aezoo_tests")
class Shrunk(keras.layers.Layer):
    """A layer as users write them: its own weights, and a penalty on them through `add_loss`."""

    def __init__(self, units, penalty=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.penalty = units, penalty

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w")

    def call(self, x):
        self.add_loss(self.penalty * keras.ops.sum(keras.ops.square(self.w)))
        return keras.ops.tanh(keras.ops.matmul(x, self.w))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "penalty": self.penalty}


def functional_networks(penalty=0.0):
    image = keras.Input((6, 6, 1))
    h = keras.layers.Flatten()(image)
    skip = keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(penalty))(h)
    code = keras.layers.Add()([Shrunk(4, penalty)(h), skip])
    z = keras.Input((4,))
    x = keras.layers.Reshape((6, 6, 1))(keras.layers.Dense(36, activation="sigmoid")(z))
    return keras.Model(image, code), keras.Model(z, x)


def test_functional_networks_with_a_subclassed_layer(x, tmp_path):
    model = aezoo.Autoencoder(encoder=(networks := functional_networks())[0], decoder=networks[1])
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(x, epochs=5, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_allclose(model(x), networks[1](networks[0](x)), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.slow
def test_regularisers_of_the_users_layers_count(x):
    encoder, decoder = functional_networks(penalty=0.5)
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.compile(keras.optimizers.SGD(0.01))
    kernels = [v for v in encoder.trainable_variables if v.shape == (36, 4)]
    assert len(kernels) == 2
    before = [v.numpy() for v in kernels]
    expected = 0.5 * sum(np.sum(v**2) for v in before)
    got = model.evaluate(x, batch_size=8, return_dict=True, verbose=0)
    assert got["loss"] - got["reconstruction"] == pytest.approx(expected, rel=1e-4)
    # And they pull in training: a step without them leaves each kernel larger by lr · dR/dw = 0.01 · 2 · 0.5 · w.
    plain_encoder, plain_decoder = functional_networks()
    plain_encoder.set_weights(encoder.get_weights())
    plain_decoder.set_weights(decoder.get_weights())
    plain = aezoo.Autoencoder(encoder=plain_encoder, decoder=plain_decoder)
    plain.compile(keras.optimizers.SGD(0.01))
    for m in (model, plain):
        m.fit(x, batch_size=21, verbose=0)
    after = [v.numpy() for v in plain_encoder.trainable_variables if v.shape == (36, 4)]
    for start, with_penalty, without in zip(before, kernels, after, strict=True):
        np.testing.assert_allclose(without - with_penalty.numpy(), 0.01 * start, rtol=1e-2, atol=1e-5)


@pytest.mark.slow_cases("shape7-options7", "shape8-options8", "shape6-options6")
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param((10,), {}, marks=pytest.mark.slow),
        ((7, 9), {}),
        ((4, 5, 3), {"hidden_dims": (6,)}),
        ((3, 4, 2, 2), {}),
        pytest.param((13, 2), {"filters": (3,)}, marks=pytest.mark.slow),
        pytest.param((16, 1), {"filters": (3, 4)}, marks=pytest.mark.slow),
        ((8, 8, 3), {"filters": (4, 5), "hidden_dims": (6,)}),
        ((7, 9, 2), {"filters": (3, 4, 5)}),
        ((3, 5, 6, 1), {"filters": (2,)}),
    ],
)
def test_inputs_of_any_rank_and_size(shape, options, tmp_path):
    data = RNG.random((9, *shape), "float32")
    model = aezoo.Autoencoder(latent_dim=3, activation="tanh", **options)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    history = model.fit(data, epochs=2, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert model.encode(data).shape == (9, 3)
    assert model(data).shape == data.shape
    assert np.ptp(model(data).numpy().reshape(9, -1), axis=0).min() > 0  # no pixel is padding
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(data), model(data))


def test_filters_and_hidden_layers_are_mirrored():
    model = aezoo.Autoencoder(3, filters=(4, 6), hidden_dims=(10,))
    model.build((None, 8, 8, 1))
    shapes = [[tuple(layer.kernel.shape) for layer in dense(n)] for n in (model.encoder, model.decoder)]
    assert shapes[0] == [(3, 3, 1, 4), (3, 3, 4, 6), (2 * 2 * 6, 10), (10, 3)]
    assert shapes[1] == [(3, 10), (10, 2 * 2 * 6), (3, 3, 4, 6), (3, 3, 1, 4)]  # transposed: (..., out, in)


@pytest.mark.slow_cases("options1", "options2")
@pytest.mark.parametrize("options", [{"tied": True, "hidden_dims": (6,)}, {"hidden_dims": (6,)}, {"filters": (3,)}])
def test_encoder_and_decoder_saved_by_themselves(x, options, tmp_path):
    model = aezoo.Autoencoder(latent_dim=4, **options)
    model.compile("adam")
    model.fit(x, verbose=0)
    z = model.encode(x)
    model.encoder.save(tmp_path / "encoder.keras")
    model.decoder.save(tmp_path / "decoder.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "encoder.keras")(x), z)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "decoder.keras")(z), model.decode(z))


def test_the_seed_fixes_the_weights_and_gives_each_layer_its_own():
    kernels = []
    for seed in (1, 1, 2):
        model = aezoo.Autoencoder(latent_dim=8, hidden_dims=(8, 8), seed=seed)
        model.build((None, 8))
        kernels.append([layer.kernel.numpy() for n in (model.encoder, model.decoder) for layer in dense(n)])
    first, same, other = kernels
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert len({a.tobytes() for a in first}) == 6
