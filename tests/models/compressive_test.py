"""The compressive autoencoder: its objective against NumPy, its bytes against its own reconstruction."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import codec, datasets
from aezoo.codec.container import Container
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)
X = RNG.random((70, 8, 8, 1)).astype("float32")

KINDS = {
    "dense": dict(latent_dim=5, hidden_dims=(16,)),
    "tied": dict(latent_dim=5, tied=True),
    "conv": dict(latent_dim=5, filters=(4,)),
    "spatial": dict(latent_dim=3, filters=(4,), spatial=True),
    "mixed precision": dict(latent_dim=5, hidden_dims=(16,), dtype="mixed_float16"),
}


def fitted(x=X, epochs=2, **kwargs):
    model = aezoo.CompressiveAE(**{"weight": 10.0, "seed": 0, **kwargs})
    model.compile(keras.optimizers.Adam(3e-3), run_eagerly=x is X)  # few steps, which are not worth a graph
    model.fit(x, batch_size=35, epochs=epochs, verbose=0)
    return model


@functools.cache
def of_kind(kind):
    """A model that no test may change."""
    return fitted(**KINDS[kind])


# Combinations of the others
ALIKE = {"tied", "conv"}


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.slow if kind in ALIKE else ()) for kind in KINDS]
)
def model(request):
    return of_kind(request.param)


@pytest.fixture(scope="module")
def digits():
    (x, _), (x_test, _) = datasets.load("digits")
    return x, x_test


@pytest.fixture(scope="module")
def of_digits(digits):
    return fitted(digits[0], epochs=10, latent_dim=16, hidden_dims=(64,))


# === The objective ===


def test_the_terms_are_those_of_the_paper():
    model = fitted(latent_dim=5, weight=7.0)
    noise = RNG.uniform(-0.5, 0.5, (70, 5)).astype("float32")
    model.quantizer.noise = lambda shape: tf.constant(noise)
    w, b, w2, b2 = (v.numpy().astype("float64") for v in model.encoder.weights[:2] + model.decoder.weights)
    y = X.reshape(70, -1) @ w + b
    for training, code in ((True, y + noise), (False, np.rint(y))):
        x2 = 1 / (1 + np.exp(-(code @ w2 + b2)))
        mass = model.density.cumulative(code + 0.5) - model.density.cumulative(code - 0.5)
        error = ((X.reshape(70, -1) - x2) ** 2).sum(axis=1).mean()
        terms, _ = model.objective(Batch.of(X), training=training)
        assert float(terms["rate"]) == pytest.approx(-np.log2(mass).sum(axis=1).mean(), rel=1e-4)
        assert float(terms["distortion"]) == pytest.approx(7 * error, rel=1e-4)
        assert float(terms["reconstruction"]) == pytest.approx(error, rel=1e-4)


def test_the_gradient_is_that_of_rate_and_distortion():
    model = fitted(latent_dim=3, weight=5.0)
    noise = RNG.uniform(-0.5, 0.5, (70, 3)).astype("float32")
    model.quantizer.noise = lambda shape: tf.constant(noise)
    bias = model.encoder.weights[1]

    def loss():
        return sum(float(term) for term in model.objective(Batch.of(X), training=True)[0].values())

    with tf.GradientTape(persistent=True) as tape:
        terms, _ = model.objective(Batch.of(X), training=True)
    gradients = {name: tape.gradient(term, bias.value).numpy() for name, term in terms.items()}
    assert all(np.abs(gradient).max() > 1e-3 for gradient in gradients.values())
    start, step = bias.numpy(), 1e-2
    for unit in range(3):
        ends = []
        for sign in (1, -1):
            bias.assign(start + sign * step * (np.arange(3) == unit))
            ends.append(loss())
        bias.assign(start)
        numerical = (ends[0] - ends[1]) / (2 * step)
        assert sum(g[unit] for g in gradients.values()) == pytest.approx(numerical, rel=0.02, abs=0.02)


@pytest.mark.slow
def test_the_weight_trades_rate_for_distortion(digits):
    """It would fail without the rate in the loss: then nothing would make a code of few bits out of a small weight."""
    x, x_test = digits
    points = []
    for weight in (0.5, 3.0, 20.0):
        model = fitted(x, epochs=12, latent_dim=16, hidden_dims=(64,), weight=weight)
        report = model.evaluate(x_test, verbose=0, return_dict=True)
        points.append((len(model.compress(x_test)), report["rate"], report["reconstruction"]))
    lengths, rates, errors = np.array(points).T
    assert (np.diff(lengths) > 0.3 * lengths[:-1]).all() and (np.diff(rates) > 0).all()
    assert (np.diff(errors) < 0).all()


@pytest.mark.slow
def test_training_lowers_the_rate_below_that_of_the_density_before(digits):
    x, _ = digits
    model = aezoo.CompressiveAE(16, weight=1.0, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    rate = model.fit(x, batch_size=64, epochs=15, verbose=0).history["rate"]
    assert rate[-1] < 0.5 * rate[0]


# === Bytes ===


@pytest.mark.slow_cases(
    "mixed precision-9",
    "mixed precision-70",
    "dense-9",
    "dense-70",
    "spatial-9",
    "spatial-70",
    "dense-2",
    "spatial-2",
    "mixed precision-1",
    "mixed precision-2",
)
@pytest.mark.parametrize("n", [1, 2, 9, 70])
def test_what_is_decompressed_is_the_models_own_reconstruction_exactly(model, n):
    data = model.compress(X[:n])
    assert isinstance(data, bytes)
    decompressed = np.asarray(model.decompress(data))
    assert decompressed.dtype == np.asarray(model.reconstruct(X[:n])).dtype
    np.testing.assert_array_equal(decompressed, model.reconstruct(X[:n]))
    codes = np.asarray(model.encode(X[:n]))
    np.testing.assert_array_equal(codes, np.rint(codes))
    np.testing.assert_array_equal(model.codec().decode(data)[0], codes)


@pytest.mark.slow
def test_every_test_image_comes_back_exactly_in_pieces_too(of_digits, digits, monkeypatch):
    model, x_test = of_digits, digits[1]
    whole = np.asarray(model.reconstruct(x_test))
    np.testing.assert_array_equal(model.decompress(model.compress(x_test)), whole)
    monkeypatch.setattr(aezoo.training.inference, "_LARGEST_BATCH", 100)
    model.compile("adam")  # which forgets the size of a batch
    in_pieces = np.asarray(model.reconstruct(x_test))
    np.testing.assert_array_equal(model.decompress(model.compress(x_test)), in_pieces)
    # Another batch size may put a value that lies between two integers on the other side.
    assert np.mean(np.abs(in_pieces - whole) > 1e-5) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 3, 20, 355])
def test_the_length_is_within_5_percent_and_8_bits_of_the_models_entropy(of_digits, digits, n):
    model, x_test = of_digits, digits[1]
    entropy = float(np.sum(model.rate(model.encode(x_test[:n]))))
    container = Container.from_bytes(model.compress(x_test[:n]))
    # Of a few samples the shortest number in a range may by chance be some bits shorter than the range is narrow.
    assert 0.95 * entropy - 16 < 8 * (len(container.payload) + len(container.escapes)) <= 1.05 * entropy + 8


def test_the_tables_are_the_density(model):
    tables = model.codec().tables
    low, high = min(t.low for t in tables), max(t.low + t.escape for t in tables)
    k = np.arange(low, high, dtype="float32")
    bits = np.asarray(model.density(np.repeat(k[:, None], len(tables), axis=1)))
    for table, column in zip(tables, bits.T, strict=True):
        mine = column[table.low - low : table.low - low + table.escape]
        likely = mine < 10
        np.testing.assert_allclose(table.bits()[:-1][likely], mine[likely], atol=0.02)


def test_codes_far_from_all_training_come_back(model):
    far = X[:4] * 1e3
    np.testing.assert_array_equal(model.decompress(model.compress(far)), model.reconstruct(far))


@pytest.mark.slow_cases("spatial", "mixed precision")
def test_the_same_bytes_decode_on_a_loaded_model_and_from_the_saved_model(model, tmp_path):
    data = model.compress(X)
    expected = np.asarray(model.reconstruct(X))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.decompress(data), expected)
    assert loaded.compress(X) == data
    loaded.export(tmp_path / "1")
    saved = tf.saved_model.load(tmp_path / "1")
    codes, _ = codec.Codec.load(tmp_path / "1").decode(data)
    decoded = saved.signatures["decode"](z=tf.constant(codes))["reconstruction"]
    np.testing.assert_allclose(decoded, expected, atol=1e-3 if model.compute_dtype == "float16" else 1e-6)
    encoded = saved.signatures["encode"](x=tf.constant(X))["code"]
    assert encoded.dtype == tf.int32
    assert np.mean(np.asarray(encoded) != codes) < 0.01  # a value halfway between two integers may fall on either side


@pytest.mark.slow
def test_bytes_of_another_model_are_refused():
    model = of_kind("dense")
    data = model.compress(X)
    others = {
        "another seed": fitted(**KINDS["dense"], seed=1),
        "another shape": of_kind("conv"),
        "trained on": fitted(**KINDS["dense"], epochs=3),
    }
    same_weights = aezoo.CompressiveAE(**KINDS["dense"], activation="tanh", seed=0)
    same_weights.build((None, 8, 8, 1))
    same_weights.set_weights(model.get_weights())
    others["another activation"] = same_weights
    for what, other in others.items():
        with pytest.raises(ValueError, match="come from another model"):
            other.decompress(data)
            pytest.fail(what)


def test_bad_bytes_are_refused(model):
    data = model.compress(X[:3])
    for bad in (b"", data[:-1], data[: len(data) // 2], data[:20] + bytes([data[20] ^ 4]) + data[21:], data + b"0"):
        with pytest.raises(ValueError, match=r"damaged|not written by compress"):
            model.decompress(bad)
    with pytest.raises(ValueError, match=r"claim 192 values, more than the limit of 191"):
        model.decompress(data, limit=191)


def test_a_model_that_diverged_says_so():
    model = aezoo.CompressiveAE(**KINDS["dense"])
    model.build(X.shape)
    model.density.trainable_variables[0].assign(model.density.trainable_variables[0] * np.nan)
    with pytest.raises(ValueError, match="the training diverged"):
        model.compress(X)


# === Pictures ===


@pytest.mark.parametrize("size", [(8, 8), (1, 1), (13, 30), (40, 7)])
@pytest.mark.parametrize("kind", ["dense", "spatial"])
def test_pictures_of_any_size_come_back(kind, size):
    model = of_kind(kind)
    picture = RNG.integers(0, 256, (*size, 1), dtype="uint8")
    data = codec.compress_picture(model, picture)
    back = codec.decompress_picture(model, data)
    assert back.shape == picture.shape and back.dtype == np.uint8
    # The same, tile by tile: each tile of the decoded picture is what the model makes of that tile.
    step = 8 if kind == "dense" else 4
    rows, columns = (-(-n // step) * step for n in size)
    padded = np.pad(picture, [(0, rows - size[0]), (0, columns - size[1]), (0, 0)], mode="edge").astype("float32") / 255
    if kind == "dense":
        whole = np.zeros_like(padded)
        for top in range(0, rows, 8):
            for left in range(0, columns, 8):
                tile = padded[None, top : top + 8, left : left + 8]
                whole[top : top + 8, left : left + 8] = np.asarray(model.reconstruct(tile))[0]
    else:
        whole = np.asarray(model.reconstruct(padded[None]))[0]
    expected = 255 * whole[: size[0], : size[1]]
    assert np.abs(back - expected).max() <= 0.51


@pytest.mark.slow
def test_samples_are_no_picture_and_vectors_make_none():
    model = of_kind("dense")
    with pytest.raises(ValueError, match=r"samples, not a picture: call model\.decompress"):
        codec.decompress_picture(model, model.compress(X))
    with pytest.raises(ValueError, match=r"Expected a picture \(height, width, 1\) uint8"):
        codec.compress_picture(model, X[0])
    forged = model.codec().encode(model.encode(X[:3]), (16, 16))
    with pytest.raises(ValueError, match="picture and blocks do not match"):
        codec.decompress_picture(model, forged)
    vectors = fitted(X.reshape(70, -1), latent_dim=4)
    with pytest.raises(ValueError, match="which are not pictures"):
        codec.compress_picture(vectors, np.zeros((8, 8, 1), "uint8"))


@pytest.mark.slow
def test_a_spatial_model_takes_images_of_several_sizes(tmp_path):
    model = fitted(**KINDS["spatial"])
    images = RNG.random((2, 12, 20, 1)).astype("float32")
    assert model.encode(images).shape == (2, 3, 5, 3)
    np.testing.assert_array_equal(model.decompress(model.compress(images)), model.reconstruct(images))
    model.fit(images, verbose=0)
    model.export(tmp_path / "1")
    saved = tf.saved_model.load(tmp_path / "1")
    got = saved.signatures["serving_default"](x=tf.constant(images))["reconstruction"]
    np.testing.assert_allclose(got, model.reconstruct(images), atol=1e-5)


def test_an_encoder_and_a_decoder_of_your_own():
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 4, strides=4)])
    decoder = keras.Sequential(
        [keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, strides=4, activation="sigmoid")]
    )
    model = fitted(encoder=encoder, decoder=decoder)
    assert model.encode(X).shape == (70, 2, 2, 2)
    np.testing.assert_array_equal(model.decompress(model.compress(X)), model.reconstruct(X))


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": 0}, "weight must be inside"),
        ({"weight": -1.0}, "weight must be inside"),
        ({"spatial": True, "hidden_dims": (8,)}, "convolutions only"),
        ({"spatial": True, "tied": True}, "convolutions only"),
    ],
    ids=json.dumps,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.CompressiveAE(4, **arguments)


def test_images_that_cannot_be_halved():
    model = aezoo.CompressiveAE(4, filters=(3, 3), spatial=True)
    model.compile("adam", run_eagerly=True)
    with pytest.raises(
        ValueError, match="Images of 6 x 8 cannot be halved 3 times: crop or pad them to multiples of 8"
    ):
        model.fit(X[:, :6], verbose=0)
    model.fit(X, verbose=0)
    with pytest.raises(ValueError, match="Images of 8 x 4 cannot be halved 3 times"):
        model.fit(X[:, :, :4], verbose=0)
    with pytest.raises(ValueError, match="multiples of 8"):
        model.compress(X[:, :7])
