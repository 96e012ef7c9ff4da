"""The denoising autoencoder against NumPy, binomial bounds and the closed-form linear denoiser."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.layers import Corruption
from aezoo.training.batch import Batch

RNG = np.random.default_rng(0)


# === The corruption process ===


def bounds(n, p):
    """Five standard deviations of a binomial share."""
    return pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n))


@pytest.mark.parametrize("level", [0.1, 0.25, 0.6])
def test_masking_leaves_the_expected_share(level):
    x = RNG.uniform(0.5, 1, (40, 50, 10)).astype("float32")
    noisy, mask = (t.numpy() for t in Corruption(level, "masking", seed=0).corrupt(x))
    assert mask.mean() == bounds(x.size, level)
    np.testing.assert_array_equal(noisy, np.where(mask, 0, x))
    # Features are drawn one by one, not samples, rows or columns.
    for axis in range(3):
        share = mask.mean(axis=tuple(a for a in range(3) if a != axis))
        assert np.all(np.abs(share - level) < 6 * np.sqrt(level * (1 - level) * x.shape[axis] / x.size))


def test_salt_and_pepper_is_half_and_half():
    x = RNG.uniform(0.4, 0.6, (200, 100)).astype("float32")
    noisy, mask = (t.numpy() for t in Corruption(0.3, "salt_and_pepper", seed=0).corrupt(x))
    assert mask.mean() == bounds(x.size, 0.3)
    np.testing.assert_array_equal(noisy[~mask], x[~mask])
    assert set(np.unique(noisy[mask])) == {0.0, 1.0}
    assert noisy[mask].mean() == bounds(mask.sum(), 0.5)


def test_gaussian_moments():
    x = RNG.random((200, 500)).astype("float32")
    noisy, mask = (t.numpy() for t in Corruption(0.7, "gaussian", seed=0).corrupt(x))
    noise = noisy - x
    assert mask.all()
    assert abs(noise.mean()) < 5 * 0.7 / np.sqrt(x.size)
    assert noise.var() == pytest.approx(0.49, abs=5 * 0.49 * np.sqrt(2 / x.size))
    assert np.mean(noise**4) == pytest.approx(3 * 0.49**2, rel=0.05)  # normal, not uniform
    assert abs(np.corrcoef(noise.ravel(), x.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("noise", ["masking", "gaussian", "salt_and_pepper"])
def test_level_0_and_inference_change_nothing(noise):
    x = RNG.random((20, 30)).astype("float32")
    np.testing.assert_array_equal(Corruption(0.0, noise)(x, training=True), x)
    layer = Corruption(0.9, noise)
    np.testing.assert_array_equal(layer(x), x)
    assert not np.array_equal(layer(x, training=True), x)


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
def test_level_1_changes_everything(noise):
    assert Corruption(1.0, noise).corrupt(np.full((100, 100), 0.5, "float32"))[1].numpy().all()


def test_half_precision():
    x = RNG.random((100, 100)).astype("float16")
    for noise in ("masking", "gaussian", "salt_and_pepper"):
        noisy, mask = Corruption(0.5, noise, seed=0, dtype="mixed_float16").corrupt(x)
        assert noisy.dtype == "float16"
        assert mask.numpy().mean() == (1 if noise == "gaussian" else bounds(x.size, 0.5))


# === The model ===


def fixed(model, monkeypatch, noisy, mask):
    """Corruption as it was given, in place of a random one."""
    monkeypatch.setattr(model.corruption, "corrupt", lambda x: (tf.constant(noisy), tf.constant(mask)))


def corrupted(x, level=0.5):
    mask = RNG.random(x.shape) < level
    return np.where(mask, 0, x).astype("float32"), mask


@pytest.mark.slow_cases("paper-None", "squared-emphasis1", "squared-emphasis2", "mse-None")
@pytest.mark.parametrize("emphasis", [None, (1.0, 0.0), (0.3, 2.0)])
@pytest.mark.parametrize("loss", ["paper", "squared", "mse"])
def test_the_target_is_the_clean_x_with_emphasis_on_what_was_corrupted(x, monkeypatch, emphasis, loss):
    model = aezoo.DenoisingAE(latent_dim=5, emphasis=emphasis)
    model.compile(
        keras.optimizers.SGD(0.0), {"paper": None, "squared": aezoo.losses.SquaredError(), "mse": "mse"}[loss]
    )
    model(x)
    noisy, mask = corrupted(x)
    fixed(model, monkeypatch, noisy, mask)
    y = model(noisy).numpy()
    error = -x * np.log(y) - (1 - x) * np.log(1 - y) if loss == "paper" else (x - y) ** 2
    alpha, beta = emphasis or (1, 1)
    error = alpha * error * mask + beta * error * ~mask
    expected = error.mean() if loss == "mse" else error.sum(axis=(1, 2, 3)).mean()
    history = model.fit(x, batch_size=21, shuffle=False, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_a_given_target_is_the_clean_one(x, monkeypatch):
    model = aezoo.DenoisingAE(latent_dim=5)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model(x)
    noisy, mask = corrupted(x)
    fixed(model, monkeypatch, noisy, mask)
    clean = 1 - x
    loss = model.fit(x, clean, batch_size=21, shuffle=False, verbose=0).history["loss"][0]
    assert loss == pytest.approx(np.mean((clean - model(noisy).numpy()) ** 2), rel=1e-5)


def test_nothing_is_corrupted_in_validation_and_inference(x):
    model = aezoo.DenoisingAE(latent_dim=5, corruption=0.9, emphasis=(1.0, 0.0))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(x, validation_data=(x,), batch_size=21, epochs=2, verbose=0).history
    plain = np.mean((x - model.decoder(model.encoder(x)).numpy()) ** 2)
    assert history["val_loss"] == pytest.approx([plain, plain], rel=1e-5)
    assert model.evaluate(x, verbose=0, return_dict=True)["loss"] == pytest.approx(plain, rel=1e-5)
    np.testing.assert_array_equal(model.reconstruct(x), model.reconstruct(x))
    assert abs(history["loss"][0] - plain) > 1e-3
    assert history["loss"][0] != history["loss"][1]  # the noise of every step is new


def test_level_0_is_the_plain_autoencoder(x):
    models = [
        aezoo.DenoisingAE(latent_dim=5, corruption=0.0, seed=1),
        aezoo.Autoencoder(latent_dim=5, activation="sigmoid", seed=1),
    ]
    for model in models:
        model.compile("adam", aezoo.losses.CrossEntropy())
        model.fit(x, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(*(model.trainable_variables for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_linear_denoiser_reaches_the_closed_form_optimum(monkeypatch):
    x = (RNG.normal(size=(300, 5)) @ RNG.normal(size=(5, 5)) + RNG.normal(size=5)).astype("float32")
    x /= x.std()
    noisy, mask = corrupted(x, 0.3)
    model = aezoo.DenoisingAE(latent_dim=5, activation="linear", output_activation="linear", seed=0)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.95), steps_per_execution=100)
    model.build((None, 5))
    fixed(model, monkeypatch, noisy, mask)
    model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=2000, verbose=0)
    # With a code of full rank: the regression of x on x̃, W = C_{xx̃} C_{x̃x̃}⁻¹, whatever the layers in between.
    a, b = x - x.mean(0), noisy - noisy.mean(0)
    w = (a.T @ b) @ np.linalg.inv(b.T @ b)
    offset = x.mean(0) - w @ noisy.mean(0)
    got_offset = model(np.zeros((1, 5), "float32")).numpy()[0]
    got = (model(np.eye(5, dtype="float32")).numpy() - got_offset).T
    assert np.abs(w - np.eye(5)).max() > 0.2  # not what a plain autoencoder learns
    np.testing.assert_allclose(got, w, atol=2e-3)
    np.testing.assert_allclose(got_offset, offset, atol=2e-3)


def test_the_noise_of_a_step_is_the_models_own_state(x):
    model = aezoo.DenoisingAE(latent_dim=5, seed=3)
    model(x)
    first, second = (float(model.objective(Batch.of(x), training=True)[0]["reconstruction"]) for _ in range(2))
    again = aezoo.DenoisingAE(latent_dim=5, seed=3)
    again(x)
    assert first != second
    assert float(again.objective(Batch.of(x), training=True)[0]["reconstruction"]) == first


# === Noise of the user's own ===


@keras.saving.register_keras_serializable("tests")
def darkened(x):
    return x * keras.ops.cast(x > 0.5, x.dtype)


@keras.saving.register_keras_serializable("tests")
class Blanked(keras.layers.Layer):
    """Sets features to 0 with random state that is saved."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.random = aezoo.layers.RandomState(3)

    def call(self, x, training=False):
        if not training:
            return x
        return tf.where(self.random.uniform(tf.shape(x)) < 0.5, tf.zeros_like(x), x)


def test_a_function_is_the_noise_and_features_that_differ_are_corrupted(x):
    model = aezoo.DenoisingAE(5, noise=darkened, emphasis=(1.0, 0.25), seed=0)
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    loss = model.fit(x, batch_size=21, verbose=0).history["loss"][0]
    noisy = np.where(x > 0.5, x, 0)
    error = (x - model.decoder(model.encoder(noisy)).numpy()) ** 2
    assert loss == pytest.approx(np.mean(np.where(noisy != x, error, 0.25 * error)), rel=1e-4)
    np.testing.assert_array_equal(model.corruption(x, training=True), noisy)
    np.testing.assert_array_equal(model.corruption(x), x)


def test_a_layer_is_called_as_in_training_and_only_there(x):
    model = aezoo.DenoisingAE(5, noise=keras.layers.GaussianNoise(0.5, seed=0), dtype="mixed_float16", seed=0)
    model.compile("adam", run_eagerly=True)
    model.fit(x, verbose=0)
    half = x.astype("float16")
    noisy, mask = model.corruption.corrupt(half)
    assert np.mean(mask) > 0.99 and 0.4 < np.std(noisy.numpy() - x) < 0.6
    np.testing.assert_array_equal(model.corruption(half), half)
    np.testing.assert_array_equal(model.reconstruct(x), model.reconstruct(x))


@pytest.mark.slow_cases("function")
@pytest.mark.parametrize("noise", [darkened, Blanked()], ids=["function", "layer"])
def test_a_model_with_a_noise_of_ones_own_resumes_bit_for_bit(noise, x, tmp_path):
    model = aezoo.DenoisingAE(5, noise=noise, seed=0)
    model.compile("adam", run_eagerly=True)
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    for each in (model, loaded):
        each.fit(x, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (lambda x: x[:, :3], r"The noise '<lambda>' changes the shape \(2, 6, 6, 1\) of samples to \(2, 3, 6, 1\): it"),
        (keras.layers.Flatten(name="flat"), "The noise 'flat' changes the shape"),
    ],
    ids=["function", "layer"],
)
def test_a_noise_that_changes_the_shape_is_refused(noise, message, x):
    model = aezoo.DenoisingAE(5, noise=noise)
    model.compile("adam")
    with pytest.raises(ValueError, match=message) as error:
        model.fit(x, verbose=0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("noise", [3, None, keras.layers.GaussianNoise])
def test_what_is_no_noise_is_refused(noise):
    with pytest.raises(ValueError, match=r"is unknown: choose one of masking, .* or give a Keras layer or a function"):
        aezoo.DenoisingAE(5, noise=noise)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corruption": 1.2}, r"masking corruption must be in \[0, 1\], but it is 1.2"),
        ({"corruption": -0.1}, r"masking corruption must be in \[0, 1\], but it is -0.1"),
        ({"corruption": -0.1, "noise": "gaussian"}, "gaussian corruption must be at least 0"),
        ({"corruption": aezoo.schedules.Linear(0.5, 1.5, 3)}, r"masking corruption must be in \[0, 1\]"),
        ({"corruption": aezoo.schedules.Linear(0.5, -0.5, 3)}, r"masking corruption must be in \[0, 1\]"),
        ({"noise": "snow"}, "noise='snow' is unknown: choose one of masking, gaussian, salt_and_pepper"),
        ({"emphasis": (1.0, -1.0)}, "beta of emphasis must be at least 0"),
        ({"emphasis": (1.0, 0.5), "noise": "gaussian"}, "emphasis has no effect: leave it out"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.DenoisingAE(latent_dim=5, **arguments)
