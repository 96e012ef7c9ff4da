"""The hyperprior: its objective against NumPy, its bytes against its own reconstruction, on every machine."""

import functools

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo import codec
from aezoo.codec.container import Container
from aezoo.codec.hyper import SCALES
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.random((5, 16, 8, 1)).astype("float32")


def built(**kwargs):
    """A model with densities that are not all alike."""
    model = aezoo.HyperpriorAE(
        **{"latent_dim": 3, "filters": (4,), "hyper_filters": (2,), "weight": 10.0, "seed": 0, **kwargs}
    )
    model.compile("adam", run_eagerly=True)
    model.build(X.shape)
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(1)
    last = model.hyper_networks.synthesis.layers[-1]
    last.bias.assign(rng.uniform(-2, 2, last.bias.shape))
    last.kernel.assign(last.kernel * 3)
    model.hyper_networks.analysis.layers[-1].kernel.assign(model.hyper_networks.analysis.layers[-1].kernel * 30)
    return model


@functools.cache
def of_kind(mean_scale):
    """A model that no test may change."""
    return built(mean_scale=mean_scale)


@pytest.fixture(params=[False, True], ids=["scale", "mean-scale"])
def model(request):
    return of_kind(request.param)


# === The objective ===


@pytest.mark.parametrize("mean_scale", [False, True])
def test_the_terms_are_those_of_the_paper(mean_scale):
    model = built(mean_scale=mean_scale)
    noise = {3: RNG.uniform(-0.5, 0.5, (5, 4, 2, 3)), 2: RNG.uniform(-0.5, 0.5, (5, 2, 1, 2))}
    model.quantizer.noise = lambda shape: tf.constant(noise[int(shape[-1])], "float32")
    hyper = model.hyper_networks
    analysis, synthesis = model.encoder.layers[0], model.decoder.layers[-1]
    y = np.asarray(analysis(X))
    z = np.asarray(hyper.analysis(y if mean_scale else np.abs(y)))
    for training in (True, False):
        z_hat = z + noise[2] if training else np.rint(z)
        both = np.asarray(hyper.synthesis(z_hat.astype("float32")), "float64")
        scale = np.exp(np.clip(both[..., :3], np.log(0.11), np.log(256)))
        mean = both[..., 3:] if mean_scale else 0.0
        y_hat = y + noise[3] if training else np.rint(y - mean) + mean
        mass = scipy.stats.norm.cdf(y_hat + 0.5, mean, scale) - scipy.stats.norm.cdf(y_hat - 0.5, mean, scale)
        flat = z_hat.reshape(-1, 2)
        side = model.density.cumulative(flat + 0.5) - model.density.cumulative(flat - 0.5)
        rate = (-np.log2(mass).sum() - np.log2(side).sum()) / 5
        error = ((X - np.asarray(synthesis(y_hat.astype("float32")))) ** 2).sum() / 5
        terms, _ = model.objective(Batch.of(X), training=training)
        assert float(terms["rate"]) == pytest.approx(rate, rel=1e-3)
        assert float(terms["distortion"]) == pytest.approx(10 * error, rel=1e-4)
        assert float(terms["reconstruction"]) == pytest.approx(error, rel=1e-4)


def test_networks_have_gdn_and_its_inverse_after_each_hidden_convolution(model):
    parts = model.encoder.layers[0], model.decoder.layers[-1]
    found = [[layer.inverse for layer in part.layers if isinstance(layer, aezoo.layers.GDN)] for part in parts]
    assert found == [[False], [True]]


def test_every_network_gets_a_gradient_of_the_rate(model):
    with tf.GradientTape() as tape:
        loss = model.objective(Batch.of(X), training=True)[0]["rate"]
    variables = [
        model.encoder.layers[0].trainable_variables[0],
        model.hyper_networks.analysis.trainable_variables[0],
        model.hyper_networks.synthesis.trainable_variables[0],
        model.density.trainable_variables[0],
    ]
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert all(np.abs(gradient).max() > 1e-6 for gradient in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("mean_scale", [False, True])
def test_side_information_saves_bits_where_scales_differ(mean_scale):
    """Halves of an image with noise or without, and networks that only scale: the rate is all that learns.

    The entropy of a unit is 3.0 bits under one distribution for both halves. Given the half it is 2.0 bits:
    log₂(4 √(2πe)) in the half with noise, 0 in the other.
    """
    rng = np.random.default_rng(0)
    x = np.full((256, 16, 16, 1), 0.5, "float32")
    for image in x:
        rows = slice(0, 8) if rng.random() < 0.5 else slice(8, 16)
        image[rows] += np.clip(rng.normal(0, 0.1, (8, 16, 1)), -0.5, 0.5)
    rates = {}
    for cls, arguments in (
        (aezoo.CompressiveAE, {}),
        (aezoo.HyperpriorAE, {"hyper_filters": (8, 8), "mean_scale": mean_scale}),
    ):
        networks = {
            "encoder": keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Rescaling(40.0, -20.0)]),
            "decoder": keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Rescaling(1 / 40, 0.5)]),
        }
        model = cls(**networks, seed=0, **arguments)
        keras.utils.set_random_seed(0)  # the order of the images
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.PiecewiseConstantDecay([320], [1e-2, 1e-3])))
        model.fit(x, epochs=50, batch_size=32, verbose=0)
        data = model.compress(x)
        np.testing.assert_array_equal(model.decompress(data), model.reconstruct(x))
        rates[cls] = 8 * len(data) / x.size
    assert 2.9 < rates[aezoo.CompressiveAE] < 3.2
    assert 1.95 < rates[aezoo.HyperpriorAE] < 2.4


# === Bytes ===


def test_what_is_decompressed_is_the_models_own_reconstruction_exactly(model):
    codes = np.asarray(model.encode(X))
    assert codes.shape == (5, 2, 1, 4 * 3 + 2)
    np.testing.assert_array_equal(codes, np.rint(codes))
    assert len(np.unique(codes[..., -2:])) > 3  # the side information says something
    data = model.compress(X)
    np.testing.assert_array_equal(model.codec().decode(data)[0], codes)
    np.testing.assert_array_equal(model.decompress(data), model.reconstruct(X))


def test_bytes_decode_to_the_same_code_where_floats_are_rounded_otherwise(monkeypatch):
    model = built(mean_scale=True)
    data, codes = model.compress(X), np.asarray(model.encode(X))
    hyper = model.hyper_networks
    exact = hyper.synthesis(codes[..., -2:])

    def nearest(log_scale):
        return np.abs(np.asarray(log_scale)[..., None] - np.log(SCALES)).argmin(axis=-1)

    def off(values):
        return values + RNG.uniform(-0.01, 0.01, values.shape)

    assert (nearest(off(exact[..., :3])) != nearest(exact[..., :3])).any()  # enough to change a table
    for network in (hyper.synthesis, model.decoder.layers[-1], hyper.analysis):
        call = network.call
        monkeypatch.setattr(network, "call", lambda *args, call=call, **kwargs: off(call(*args, **kwargs)))
    assert np.abs(hyper.synthesis(codes[..., -2:]) - exact).max() > 1e-3
    np.testing.assert_array_equal(model.codec().decode(data)[0], codes)
    assert np.abs(model.decompress(data) - of_kind(True).reconstruct(X)).max() < 0.1


def test_whole_numbers_predict_the_scales_of_the_float_network(model):
    side = np.rint(RNG.normal(0, 3, (2, 3, 4, 2)))
    expected = np.asarray(model.hyper_networks.synthesis(side))[..., :3]
    network = model.codec().network
    found = np.stack([network.log_scales(each) for each in side]) / 2**12
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_length_is_within_2_percent_of_the_rate(model):
    """For codes with the distribution of the model."""
    rng = np.random.default_rng(3)
    side = np.rint(rng.normal(0, 2, (4, 12, 12, 2))).astype("float32")
    scale = np.exp(model.hyper_networks.log_scale(side))
    code = model.hyper_networks.pack(np.rint(rng.normal(0, scale)).astype("float32"), side)
    rate = float(np.sum(model.rate(code), dtype="float64"))
    container = Container.from_bytes(model.codec().encode(code))
    length = 8 * (len(container.payload) + len(container.escapes))
    assert rate > 10_000 and abs(length - rate) < 0.02 * rate + 64


@pytest.mark.slow
@pytest.mark.parametrize("mean_scale", [False, True])
def test_the_length_is_within_2_percent_of_the_rate_of_a_trained_model(mean_scale):
    (x, _), (x_test, _) = aezoo.datasets.load("digits")
    model = aezoo.HyperpriorAE(8, hyper_filters=(8,), weight=30.0, mean_scale=mean_scale, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, epochs=10, batch_size=64, verbose=0)
    rate = float(np.sum(model.rate(model.encode(x_test)), dtype="float64"))
    data = model.compress(x_test)
    assert abs(8 * len(data) - rate) < 0.02 * rate + 8 * 32
    np.testing.assert_array_equal(model.decompress(data), model.reconstruct(x_test))


@pytest.mark.slow_cases("scale")
def test_the_same_bytes_decode_on_a_loaded_model(model, tmp_path):
    data = model.compress(X)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.mean_scale == model.mean_scale and loaded.hyper_filters == (2,)
    np.testing.assert_array_equal(loaded.decompress(data), model.reconstruct(X))
    other = aezoo.HyperpriorAE(3, filters=(4,), hyper_filters=(2,), mean_scale=model.mean_scale, seed=1)
    other.build(X.shape)
    with pytest.raises(ValueError, match="come from another model"):
        other.decompress(data)


@pytest.mark.slow
def test_a_saved_model_decodes_without_keras(model, tmp_path):
    model.export(tmp_path / "1")
    saved = tf.saved_model.load(tmp_path / "1")
    codes, _ = codec.Codec.load(tmp_path / "1").decode(model.compress(X))
    decoded = saved.signatures["decode"](z=tf.constant(codes))["reconstruction"]
    np.testing.assert_allclose(decoded, model.reconstruct(X), atol=1e-6)
    assert saved.signatures["encode"](x=tf.constant(X))["code"].dtype == tf.int32


def test_pictures_of_any_size_come_back(model):
    picture = RNG.integers(0, 256, (13, 30, 1), dtype="uint8")
    back = codec.decompress_picture(model, codec.compress_picture(model, picture))
    padded = np.pad(picture, [(0, 3), (0, 2), (0, 0)], mode="edge").astype("float32") / 255
    assert np.abs(back - 255 * np.asarray(model.reconstruct(padded[None]))[0, :13, :30]).max() <= 0.51


@pytest.mark.slow
def test_an_encoder_and_a_decoder_of_your_own(tmp_path):
    encoder = keras.Sequential([keras.Input((16, 8, 1)), keras.layers.Conv2D(2, 4, strides=4)])
    decoder = keras.Sequential(
        [keras.Input((4, 2, 2)), keras.layers.Conv2DTranspose(1, 4, strides=4, activation="sigmoid")]
    )
    model = aezoo.HyperpriorAE(encoder=encoder, decoder=decoder, hyper_filters=(3,), mean_scale=True, seed=0)
    model.compile("adam", run_eagerly=True)
    model.fit(X, verbose=0)
    assert model.encode(X).shape == (5, 2, 1, 4 * 2 + 3)
    np.testing.assert_array_equal(model.decompress(model.compress(X)), model.reconstruct(X))
    model.save(tmp_path / "own.keras")
    loaded = keras.saving.load_model(tmp_path / "own.keras")
    np.testing.assert_array_equal(loaded.decompress(model.compress(X)), model.reconstruct(X))
    mirrored = aezoo.HyperpriorAE(encoder=keras.models.clone_model(encoder), hyper_filters=(3,))
    mirrored.build(X.shape)
    assert mirrored.reconstruct(X).shape == X.shape
    with pytest.raises(ValueError, match="hyper_filters halve it 2 times"):
        aezoo.HyperpriorAE(encoder=keras.models.clone_model(encoder), hyper_filters=(3, 3)).build(X.shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": 0}, "weight must be inside"),
        ({"hyper_filters": ()}, "hyper_filters is empty"),
        ({"hyper_filters": (0,)}, "hyper_filters"),
        ({"hidden_dims": (8,)}, "leave out hidden_dims"),
        ({"tied": True}, "leave out tied"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.HyperpriorAE(4, **arguments)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="cannot be halved 3 times: crop or pad them to multiples of 8"):
        of_kind(False).encode(X[:, :12])
    with pytest.raises(ValueError, match="needs images"):
        aezoo.HyperpriorAE(2).build((None, 8))
