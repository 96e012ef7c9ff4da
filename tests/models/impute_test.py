"""Missing values are replaced by what a model expects: against algebra, direct sums over codes and exports."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import aezoo
from aezoo.likelihoods import Gaussian
from aezoo.preprocessing import TablePreprocessing
from aezoo.preprocessing.base import Preprocessing

RNG = np.random.default_rng(0)
MIX = np.array([[1.0, 0.8, -0.5, 0.3], [0.0, 0.6, 1.0, -0.7]], "float32")
X = (RNG.normal(size=(64, 2)) @ MIX).astype("float32")
HOLES = RNG.random(X.shape) < 0.25
HOLES[:, 0] &= ~HOLES[:, 1:].all(axis=1)
TABLE = np.where(HOLES, np.nan, X).astype("float32")


def built(make, **arguments):
    model = make(missing="mask", seed=0, **arguments)
    model.compile("adam", run_eagerly=True)
    model.build(X.shape)
    model.imputation.start_at(TABLE)
    return model


def projection():
    """Return a linear autoencoder that projects onto the plane of X, and the projection, (4, 4)."""
    model = built(aezoo.Autoencoder, latent_dim=2, activation="linear", output_activation="linear")
    basis = np.linalg.svd(MIX)[2][:2].astype("float32")
    model.encoder.get_layer("code").set_weights([basis.T, np.zeros(2)])
    model.decoder.layers[0].set_weights([basis, np.zeros(4)])
    return model, basis.T @ basis


def test_one_step_is_the_reconstruction_where_a_value_is_missing():
    model, project = projection()
    filled = np.where(HOLES, np.nanmean(TABLE, axis=0), X)
    expected = np.where(HOLES, filled @ project, X)
    got = np.asarray(model.impute(TABLE))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got[~HOLES], X[~HOLES])
    assert not np.allclose(got[HOLES], filled[HOLES], atol=0.05)


@pytest.mark.slow
def test_many_steps_find_the_values_that_the_others_determine():
    model, _ = projection()
    rows = HOLES.sum(axis=1) <= 1  # two of three observed values determine the point of the plane
    got = np.asarray(model.impute(TABLE, steps=300))
    np.testing.assert_allclose(got[rows], X[rows], atol=2e-2)
    assert np.abs(np.asarray(model.impute(TABLE)) - X)[rows].max() > 0.2


def test_further_steps_do_not_read_the_padding_of_a_sequence():
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
    x[0, 1] = x[1, 2, 0] = x[:, 4] = np.nan
    model = aezoo.SequenceAE(2, units=(3,), missing="mask", seed=0)
    model.build((None, 5, 2))
    model.run_eagerly = True
    expected = model.impute(x).numpy()
    expected[:, 4] = np.nan
    expected = np.where(np.isnan(x), model.reconstruct(expected), x)
    np.testing.assert_allclose(model.impute(x, steps=2), expected, atol=1e-6)


def test_data_sets_and_complete_samples():
    model, _ = projection()
    expected = np.asarray(model.impute(TABLE))
    np.testing.assert_allclose(model.impute(tf.data.Dataset.from_tensor_slices(TABLE).batch(10)), expected, atol=1e-6)
    np.testing.assert_allclose(model.impute(TABLE, batch_size=7), expected, atol=1e-6)
    np.testing.assert_array_equal(model.impute(X), X)


def variational(**arguments):
    model = built(aezoo.VAE, latent_dim=1, hidden_dims=(8,), likelihood=Gaussian(0.2), **arguments)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))
    # q(z given x) = N(0.3, 4), wide enough for every posterior
    for name, value in (("code", 0.3), ("log_variance", np.log(4.0))):
        layer = model.posterior.get_layer(name)
        layer.set_weights([np.zeros_like(layer.kernel), np.full_like(layer.bias, value)])
    return model


def test_samples_approach_the_conditional_expectation():
    model, rows = variational(), TABLE[:6]
    got = np.asarray(model.impute(rows, samples=20_000))
    z = np.linspace(-6, 6, 4001, dtype="float32")[:, None]
    x = np.asarray(model.decode(z), "float64")
    for i, row in enumerate(rows):
        there = ~np.isnan(row)
        log_p = scipy.stats.norm.logpdf(row[there], x[:, there], np.sqrt(0.2)).sum(axis=1) - 0.5 * z[:, 0] ** 2
        expected = scipy.special.softmax(log_p) @ x
        np.testing.assert_allclose(got[i], np.where(there, row, expected), atol=0.02)
    alone = np.asarray(model.impute(rows))
    assert np.abs(alone - got).max() > 0.05, "the mean code says something else"


def test_a_missing_feature_has_no_weight():
    """If it were compared with the value that replaces it, codes that decode to this value would win."""
    model = variational()
    row = np.array([[0.5, np.nan, -0.2, np.nan]], "float32")
    before = np.asarray(model.impute(row, samples=5000))
    model.imputation.values.assign_add([0.0, 3.0, 0.0, -3.0])
    np.testing.assert_allclose(model.impute(row, samples=5000), before, atol=0.05)


def test_chunks_of_codes_are_one_mean(monkeypatch):
    model, row = variational(), TABLE[:2]
    whole = np.asarray(model.impute(row, samples=3000))
    monkeypatch.setattr("aezoo.models.variational._CHUNK", 8 * 100)
    np.testing.assert_allclose(model.impute(row, samples=3050), whole, atol=0.05)


def test_steps_before_the_samples_use_the_mean_code():
    model = built(aezoo.VAE, latent_dim=1, likelihood="gaussian")
    model.random.normal = tf.zeros  # every code is the mean code
    expected = np.asarray(model.impute(TABLE, steps=3))
    np.testing.assert_allclose(model.impute(TABLE, samples=2, steps=3), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - model.impute(TABLE)).max() > 1e-2


def test_conditions_and_steps_of_a_variational_model():
    model = built(aezoo.ConditionalVAE, latent_dim=2, num_classes=2, likelihood="gaussian")
    label = np.arange(len(X), dtype="int32") % 2
    for arguments in ({}, {"samples": 20}, {"samples": 20, "steps": 3}):
        got = np.asarray(model.impute(TABLE, label=label, **arguments))
        np.testing.assert_array_equal(got[~HOLES], X[~HOLES])
        assert np.isfinite(got).all()


def test_the_signature_imputes(tmp_path):
    model, _ = projection()
    model.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures
    assert sorted(served) == ["decode", "encode", "impute", "score", "serving_default"]
    np.testing.assert_allclose(served["impute"](x=TABLE[:5])["imputed"], model.impute(TABLE[:5]), rtol=1e-5)


def test_models_that_cannot_impute_say_so():
    model = aezoo.Autoencoder(2)
    model.build((None, 4))
    assert "impute" not in model.signatures()
    with pytest.raises(ValueError, match="cannot impute: a model must be created with missing='mask'"):
        model.impute(TABLE)
    patches = aezoo.MaskedAE(8, patch_size=2, heads=2, missing="mask", normalize_targets=True)
    patches.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="in their own shape and units"):
        patches.impute(np.ones((1, 4, 4, 1), "float32"))
    with pytest.raises(ValueError, match="steps"):
        built(aezoo.Autoencoder, latent_dim=2).impute(TABLE, steps=0)
    with pytest.raises(ValueError, match="samples"):
        variational().impute(TABLE, samples=0)


@keras.saving.register_keras_serializable("tests.impute")
class Halves(Preprocessing):
    """Samples are half of the raw values, which are float64."""

    def is_raw(self, data):
        return getattr(data, "dtype", None) == "float64"

    def to_arrays(self, raw):
        return {"x": raw.astype("float32")}

    @property
    def is_fitted(self):
        return True

    @property
    def raw_specs(self):
        return {"x": tf.TensorSpec((None, 4), "float32", name="x")}

    @property
    def sample_shape(self):
        return (4,)

    def call(self, inputs):
        return inputs["x"] / 2

    def invert(self, x):
        return {"x": 2 * x}


def test_raw_data_come_back_raw(tmp_path):
    model, _ = projection()
    expected = np.asarray(model.impute(TABLE))
    model.preprocessing = Halves()
    raw = model.impute(2 * TABLE.astype("float64"))
    np.testing.assert_allclose(np.asarray(raw["x"] if isinstance(raw, dict) else raw), 2 * expected, rtol=1e-5)
    model.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures["impute"](x=2 * TABLE[:5])
    np.testing.assert_allclose(served["imputed"], 2 * expected[:5], rtol=1e-5)


def people(n=200):
    """Return a table with empty cells, whose columns depend on one hidden number, and the complete table."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "income": 100 + 20 * hidden + rng.normal(0, 2, n),
            "city": np.where(hidden + rng.normal(0, 0.2, n) > 0, "Oslo", "Rome"),
            "grade": np.array(["low", "mid", "high"])[np.digitize(hidden + rng.normal(0, 0.2, n), [-0.7, 0.7])],
            "visits": rng.poisson(np.exp(1 + hidden)),
        }
    )
    return frame.mask(rng.random(frame.shape) < 0.2), frame


@pytest.mark.slow
def test_a_raw_table_comes_back_complete(tmp_path):
    incomplete, complete = people()
    preprocessing = TablePreprocessing(
        counts=["visits"], ordinal={"grade": ["low", "mid", "high"]}, empty="missing"
    ).fit(incomplete)
    model = aezoo.VAE(
        1,
        hidden_dims=(16,),
        likelihood=aezoo.likelihoods.MixedTable.of(preprocessing),
        missing="mask",
        preprocessing=preprocessing,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(0.02))
    model.fit(incomplete, epochs=40, batch_size=50, verbose=0)
    filled = model.impute(incomplete, samples=50)
    assert list(filled.columns) == list(complete.columns) and not filled.isna().any(axis=None)
    for name in complete:
        there = incomplete[name].notna().to_numpy()
        if name in ("income", "visits"):
            np.testing.assert_allclose(
                filled[name][there].astype(float), complete[name][there].astype(float), rtol=1e-4
            )
        else:
            assert (filled[name][there] == complete[name][there]).all()
            assert (filled[name][~there] == complete[name][~there]).mean() > 0.7, name
    missing = incomplete["income"].isna().to_numpy()
    error = filled["income"][missing] - complete["income"][missing]
    assert error.std() < 0.7 * complete["income"].std()
    model.export(tmp_path / "1")
    served = tf.saved_model.load(tmp_path / "1").signatures["impute"]
    assert sorted(served.structured_input_signature[1]) == sorted(complete.columns)
