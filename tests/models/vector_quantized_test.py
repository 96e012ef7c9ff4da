"""The VQ-VAE and the FSQ-VAE: terms, codebooks, indices, and priors that they draw from."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import Batch
from aezoo.testing.serving import called_elsewhere
from aezoo.training.arguments import fresh

X = np.random.default_rng(0).random((24, 8, 8, 3), "float32")
MAP = {"latent_dim": 4, "filters": (3,), "spatial": True, "seed": 0}


def made(kind=aezoo.VQVAE, x=X, start=True, **arguments):
    model = kind(**{**MAP, **({"codebook_size": 6} if kind is aezoo.VQVAE else {}), **arguments})
    model.build(x.shape)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    if start:
        model.initialize_from(x)
    return model


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("decay", [0.9, None])
def test_the_terms_are_those_of_numpy(levels, decay):
    model = made(levels=levels, commitment=0.3, ema_decay=decay)
    z = np.asarray(model.features(X), "float64")
    books = model.quantizer.codebook.numpy().astype("float64")
    q, squares = np.zeros_like(z), 0.0
    for book in books:
        distances = np.sum((z[..., None, :] - q[..., None, :] - book) ** 2, axis=-1)
        q += book[np.argmin(distances, axis=-1)]
        squares += np.sum((z - q) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(model.encode(X), q, rtol=1e-4, atol=1e-5)
    reported = model.evaluate(X, verbose=0, return_dict=True)
    error = np.sum((X - np.asarray(model.decode(q))) ** 2, axis=(1, 2, 3))
    assert reported["commitment"] == pytest.approx(0.3 * squares.mean(), rel=1e-4)
    assert reported["reconstruction"] == pytest.approx(error.mean(), rel=1e-4)
    names = {"loss", "reconstruction", "commitment", "perplexity", "usage", *(["codebook"] if decay is None else [])}
    assert set(reported) == names
    if decay is None:
        assert reported["codebook"] == pytest.approx(squares.mean(), rel=1e-4)
        assert reported["loss"] == pytest.approx(error.mean() + 1.3 * squares.mean(), rel=1e-4)


def test_gradients_of_the_terms():
    """Commitment pulls only the encoder, the term of the codebook only the codebook."""
    model = made(ema_decay=None, levels=2)
    with tf.GradientTape(persistent=True) as tape:
        terms, _ = model.objective(Batch.of(tf.constant(X)), training=True)
    encoder, decoder = model.encoder.layers[0].trainable_variables, model.decoder.trainable_variables
    codebook = [model.quantizer.codebook.value]
    for name, moved in (("reconstruction", (True, True, False)), ("commitment", (True, False, False))):
        got = [any(g is not None for g in tape.gradient(terms[name], part)) for part in (encoder, decoder, codebook)]
        assert tuple(got) == moved, name
    assert all(g is None for g in tape.gradient(terms["codebook"], encoder + decoder))
    # ∂/∂eₖ Σ ‖sg(z) - e‖² is a sum of the differences of its vectors, of level 2 too.
    gradient = tape.gradient(terms["codebook"], codebook)[0].numpy()
    z, indices = np.asarray(model.features(X)).reshape(-1, 4), np.reshape(model.indices(X), (-1, 2))
    for level, book in enumerate(model.quantizer.codebook.numpy()):
        for k in range(6):
            mine = z[indices[:, level] == k]
            np.testing.assert_allclose(gradient[level, k], 2 * (book[k] - mine).sum(axis=0) / 24, rtol=1e-3, atol=1e-5)
        z = z - book[indices[:, level]]


def test_fit_starts_the_codebook_and_moves_it():
    model = made(start=False, dead_after=0)
    assert not np.any(model.quantizer.codebook.numpy())
    model.fit(X, epochs=1, batch_size=24, verbose=0)
    fresh = made(dead_after=0)
    fresh.quantizer.follow(fresh.features(X), fresh.indices(X))
    np.testing.assert_allclose(model.quantizer.codebook.numpy(), fresh.quantizer.codebook.numpy(), rtol=1e-5, atol=1e-6)
    before = model.quantizer.codebook.numpy()
    model.initialize_from(X + 1)
    np.testing.assert_array_equal(model.quantizer.codebook.numpy(), before)


@pytest.mark.slow
def test_restarts_bring_all_entries_into_use():
    usage = {}
    for dead_after in (0, 48):
        model = made(codebook_size=24, dead_after=dead_after)
        model.quantizer.codebook.assign(np.full((1, 24, 4), 50.0) + np.arange(24)[:, None])
        for _ in range(10):
            model.objective(Batch.of(tf.constant(X)), training=True)
        usage[dead_after] = model.evaluate(X, verbose=0, return_dict=True)["usage"]
    assert usage[0] == pytest.approx(1 / 24) and usage[48] >= 0.9


def test_perplexity_and_usage_are_of_the_whole_epoch():
    model = made()
    reported = model.evaluate(X, batch_size=7, verbose=0, return_dict=True)
    share = np.bincount(np.ravel(model.indices(X)), minlength=6) / model.indices(X).numpy().size
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    assert reported["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-5)
    assert reported["usage"] == pytest.approx(np.mean(share > 0))
    weight = np.arange(24) < 3
    reported = model.evaluate(X, sample_weight=weight.astype("float32"), verbose=0, return_dict=True)
    assert reported["usage"] == pytest.approx(len(np.unique(model.indices(X[:3]))) / 6)
    report = aezoo.evaluation.report(model, X, jacobian_samples=2)
    assert report["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-5) and report["jacobian_norm"] is None


@pytest.mark.parametrize("kind", [aezoo.VQVAE, aezoo.FSQVAE])
@pytest.mark.parametrize("flat", [False, True])
def test_indices_decode_to_the_reconstruction(kind, flat):
    own = {"codebook_size": 6, "vector_dim": 2, "levels": 2} if kind is aezoo.VQVAE else {"levels": (3, 2)}
    model = made(kind, **own, **({"filters": (), "spatial": False} if flat else {}))
    indices = model.indices(X, batch_size=10)
    assert indices.dtype == "int32" and tuple(indices.shape[1:]) == model.index_shape
    assert model.index_shape[:-1] == (() if flat else (2, 2))
    np.testing.assert_allclose(model.decode_indices(indices), model.reconstruct(X), atol=1e-6)
    np.testing.assert_allclose(model.codes(indices), model.encode(X), atol=1e-6)
    assert model.quantizer.bits == pytest.approx(np.prod(model.index_shape) * np.log2(6))


def test_wrong_indices_are_refused():
    model = made()
    indices = np.asarray(model.indices(X))
    for wrong, message in (
        (indices + 6, r"from 0 to 5, but they are from \d+ to \d+"),
        (indices - 7, "from 0 to 5"),
        (indices[..., 0], r"have shape \(2, 2\) per sample"),
        (indices.astype("float32"), "not whole numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            model.decode_indices(wrong)


def test_missing_values_are_filled_in():
    model = aezoo.VQVAE(6, vector_dim=3, codebook_size=5, missing="mask", seed=0)
    x = X.copy()
    x[::2, 0] = np.nan
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    model.fit(x, epochs=1, verbose=0)
    assert np.isfinite(model.impute(x)).all() and model.indices(x).shape == (24, 2)


# === The prior ===


def with_prior(**arguments):
    model = made(**arguments)
    prior = aezoo.CodePrior(model.codebook_size, width=8, depth=1, heads=2, seed=0)
    prior.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    prior.fit(model.indices(X), epochs=1, verbose=0)
    model.prior = prior
    return model


@pytest.mark.slow
def test_sample_decodes_what_the_prior_draws(tmp_path):
    model = with_prior()
    drawn = model.sample(5, seed=3)
    np.testing.assert_array_equal(drawn, model.decode_indices(model.prior.sample(5, seed=3)))
    assert drawn.shape == (5, 8, 8, 3) and not np.array_equal(drawn, model.sample(5, seed=4))
    weights = [variable.numpy() for variable in model.prior.weights]
    model.fit(X, epochs=1, verbose=0)
    for a, b in zip(weights, model.prior.weights, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    assert not {id(v) for v in model.weights} & {id(v) for v in model.prior.weights}
    assert fresh(model, codebook_size=7).prior is None
    model.save(tmp_path / "model.keras")
    keras.utils.set_random_seed(1)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(5, seed=3), model.sample(5, seed=3))


@pytest.mark.slow
def test_a_preset_has_no_optimizer_of_the_prior(tmp_path):
    model = with_prior()
    model.save_to_preset(tmp_path / "compiled")
    model.prior = aezoo.CodePrior.from_config(model.prior.get_config())
    model.prior.build((None, *model.index_shape))
    model.save_to_preset(tmp_path / "not")
    sizes = [(tmp_path / name / "model.keras").stat().st_size for name in ("compiled", "not")]
    assert abs(sizes[0] - sizes[1]) < 2000
    again = aezoo.VQVAE.from_preset(tmp_path / "not")
    np.testing.assert_array_equal(again.sample(5, seed=3), model.sample(5, seed=3))


@pytest.mark.slow
def test_signatures_take_and_return_indices(tmp_path):
    model = with_prior()
    model.export(tmp_path / "1")
    inputs = {"x": X[:5], "indices": np.asarray(model.indices(X[:5])), "z": np.asarray(model.encode(X[:5]))}
    inputs |= {"n": np.int32(4), "temperature": np.float32(0.7), "seed": np.int64(5)}
    signatures = model.signatures()
    assert {"indices", "decode_indices", "sample"} <= signatures.keys()
    named = {f"{name}|{key}": inputs[key] for name, (_, specs, _) in signatures.items() for key in specs}
    np.savez(tmp_path / "inputs.npz", **named)
    outputs = called_elsewhere(str(tmp_path))
    np.testing.assert_array_equal(outputs["indices|5|indices"], inputs["indices"])
    np.testing.assert_allclose(outputs["decode_indices|5|reconstruction"], model.reconstruct(X[:5]), atol=1e-5)
    np.testing.assert_allclose(outputs["sample|5|sample"], model.sample(4, 0.7, seed=5), atol=1e-5)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["decode_indices"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"indices must be in \[0, 5\]"):
        served(indices=tf.constant(inputs["indices"] + 6))


def test_sampling_needs_a_fitting_prior():
    model = made()
    with pytest.raises(ValueError, match=r"has no prior to draw indices from: train one, prior = aezoo.CodePrior\(6\)"):
        model.sample(3)
    with pytest.raises(ValueError, match=r"of 7 codebook entries, but .* has 6"):
        model.prior = aezoo.CodePrior(7)
    prior = aezoo.CodePrior(6, width=4, heads=1)
    prior.build((None, 5))
    with pytest.raises(ValueError, match=r"built for indices of shape \(5,\), but .* have shape \(2, 2, 1\)"):
        model.prior = prior
    with pytest.raises(ValueError, match=r"must be an aezoo.CodePrior"):
        model.prior = "uniform"
    assert model.prior is None and "sample" not in model.signatures()


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codebook_size": 1}, "codebook_size must be at least 2"),
        ({"levels": 0}, "levels"),
        ({"vector_dim": 3}, "cannot be cut into vectors of vector_dim=3"),
        ({"commitment": -1.0}, "commitment"),
        ({"ema_decay": 1.0}, "ema_decay must be less than 1"),
        ({"ema_decay": None, "dead_after": 5}, "leave out dead_after, or ema_decay=None"),
        ({"dead_after": -1}, "dead_after"),
        ({"spatial": True, "hidden_dims": (3,)}, "networks of convolutions only"),
    ],
)
def test_wrong_arguments_of_a_vq_vae(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.VQVAE(4, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": (5, 1)}, "at least 2"),
        ({"levels": ()}, "at least 2"),
        ({"latent_dim": 5, "levels": (3, 3)}, "cannot be cut into vectors of 2"),
        ({"levels": (64,) * 6}, "combinations"),
    ],
)
def test_wrong_arguments_of_an_fsq_vae(arguments, message):
    with pytest.raises(ValueError, match=message):
        aezoo.FSQVAE(**arguments)


def test_sides_must_be_divisible():
    with pytest.raises(ValueError, match="6 x 8 cannot be halved 2 times: crop or pad them to multiples of 4"):
        made(x=X[:, :6], start=False)


def test_an_encoder_of_your_own_may_return_a_map():
    encoder = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, 2, "same")])
    for model in (aezoo.VQVAE(encoder=encoder, codebook_size=5, seed=0), aezoo.FSQVAE(encoder=encoder, levels=(3, 3))):
        model.build(X.shape)
        assert model.index_shape == (4, 4, 1 if isinstance(model, aezoo.VQVAE) else 2)
        assert model(X[:2]).shape == (2, 8, 8, 3)
