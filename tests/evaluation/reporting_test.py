import re

import keras
import numpy as np
import pytest

import aezoo
from aezoo import evaluation
from aezoo.evaluation import Report, report

RNG = np.random.default_rng(0)
X, X_TRAIN = RNG.random((31, 6, 6, 1), "float32"), RNG.random((40, 6, 6, 1), "float32")
Y, Y_TRAIN = np.arange(31) % 3, np.arange(40) % 3
RECONSTRUCTION = ["reconstruction_error", "mean_squared_error", "explained_variance", "pca_explained_variance"]
SPARSITY = ["l0", "dead_units", "population_sparsity", "lifetime_sparsity"]
CONTRACTION = ["jacobian_norm", "saturation"]
PROBES = ["probe_error_codes", "probe_error_pixels"]
NAMES = [*RECONSTRUCTION, "score", *SPARSITY, *CONTRACTION, *PROBES]


def built(model, shape=X.shape):
    model.build(shape)
    return model


def absent(table):
    return [name for name, value in table.items() if value is None]


def test_the_numbers_are_those_of_the_single_measures():
    model = built(aezoo.SparseAE(latent_dim=8, seed=0))
    z, z_train = np.asarray(model.encode(X)), np.asarray(model.encode(X_TRAIN))
    anomalies = 1 - X[:9]
    table = report(model, (X, Y), train=(X_TRAIN, Y_TRAIN), anomalies=anomalies, batch_size=7)
    assert list(table) == [*NAMES, "anomaly_auroc"]
    expected = {
        "reconstruction_error": np.mean(evaluation.reconstruction_error(model, X)),
        "mean_squared_error": np.mean((X - np.asarray(model.reconstruct(X))) ** 2),
        "explained_variance": evaluation.explained_variance(model, X),
        "pca_explained_variance": evaluation.pca_explained_variance(X, 8, X_TRAIN),
        "score": np.mean(model.score_samples(X)),
        "l0": evaluation.l0(z, 0.1),
        "dead_units": evaluation.dead_units(z, 0.1),
        "population_sparsity": evaluation.population_sparsity(z),
        "lifetime_sparsity": np.mean(evaluation.lifetime_sparsity(z)),
        "jacobian_norm": np.mean(evaluation.jacobian_norm(model, X)),
        "saturation": evaluation.saturation(z),
        "probe_error_codes": evaluation.linear_probe(z_train, Y_TRAIN, z, Y),
        "probe_error_pixels": evaluation.linear_probe(X_TRAIN, Y_TRAIN, X, Y),
        "anomaly_auroc": evaluation.anomaly_auroc(model, X, anomalies),
    }
    assert dict(table) == pytest.approx(expected, rel=1e-4)


def test_the_table_is_read_as_text_and_as_markdown():
    table = report(built(aezoo.KSparseAE(latent_dim=8, k=2, seed=0)), X)
    text, markdown = str(table), table.markdown()
    assert text.startswith("KSparseAE with a code of 8, on 31 samples\n")
    assert len({line.find("  of 8, |z| > 0") for line in text.splitlines() if "|z|" in line}) == 1
    assert re.search(r"^  active units per sample \(L0\) +2  of 8", text, re.MULTILINE)
    assert "–  does not apply: there are no labels" in text
    assert "| active units per sample (L0) | 2 | of 8, &#124;z&#124; > 0 |" in markdown.splitlines()
    assert table.as_dict() == dict(table) and type(table.as_dict()) is dict
    assert table._repr_markdown_() == markdown and "KSparseAE" in repr(table)
    rows = {"small": evaluation.table.Row("a", 1 / 3), "large": evaluation.table.Row("b", 123456.7, "nats")}
    assert str(Report("T", rows)) == "T\n  a   0.3333\n  b  123,457  nats"


def test_without_training_data_the_samples_themselves_are_fitted_on():
    model = built(aezoo.VAE(latent_dim=3, seed=0))
    table = report(model, (X, Y))
    z = np.asarray(model.encode(X))
    assert table["probe_error_codes"] == evaluation.linear_probe(z[::2], Y[::2], z[1::2], Y[1::2])
    assert table["pca_explained_variance"] == pytest.approx(evaluation.pca_explained_variance(X, 3))
    assert "3 components, fitted on these samples" in str(table) and "every second sample" in str(table)
    assert absent(table) == ["saturation"]
    assert absent(report(model, (X, None))) == ["saturation", *PROBES]


def test_active_units_are_those_of_training_and_of_numpy():
    model = built(aezoo.VAE(latent_dim=8, seed=0))
    model.compile(run_eagerly=True)
    active = int(np.sum(np.asarray(model.encode(X), "float64").var(axis=0) > 0.01))
    assert 0 < active and model.evaluate(X, batch_size=4, verbose=0, return_dict=True)["active_units"] == active
    table = report(model, X, batch_size=7)
    assert table["active_units"] == active and table.rows["active_units"].note == "of 8, Var(μ) > 0.01"
    assert table["l0"] == 8


def test_of_a_machine():
    model = built(aezoo.RBM(5, seed=0))
    table = report(model, X)
    assert absent(table) == PROBES
    assert table["score"] == pytest.approx(np.mean(model.free_energy(X)), rel=1e-5)


def test_of_a_code_of_whole_numbers_in_space():
    model = built(aezoo.CompressiveAE(latent_dim=2, spatial=True, filters=(), seed=0))
    table = report(model, (X, Y), batch_size=10)
    assert absent(table) == CONTRACTION
    assert table["rate"] == pytest.approx(np.mean(model.rate(model.encode(X))), rel=1e-5)
    assert "code of 3 x 3 x 2" in str(table) and "18 components" in str(table) and "the code is rounded" in str(table)


@pytest.mark.parametrize("conditional", [pytest.param(True, marks=pytest.mark.slow), False])
def test_of_sketches(conditional):
    x = aezoo.sketches.stroke5(aezoo.sketches.shapes(6))
    model = built(aezoo.SketchRNN(3, encoder_units=3, decoder_units=3, conditional=conditional, seed=0), x.shape)
    table = report(model, (x, [0, 0, 1, 1, 0, 1]))
    assert table["score"] == pytest.approx(np.mean(model.score_samples(x)), rel=1e-5)
    of_codes = [] if conditional else [*SPARSITY, *CONTRACTION, *PROBES]
    assert set(absent(table)) == {*RECONSTRUCTION, *CONTRACTION, *of_codes}


def test_a_loss_of_compile_and_constants():
    model = built(aezoo.Autoencoder(latent_dim=1, activation="relu", seed=0))
    model.compile(loss="mae")
    for variable in model.encoder.trainable_variables:
        variable.assign(keras.ops.zeros(variable.shape))
    table = report(model, (X, np.zeros(31)))
    assert table["reconstruction_error"] == pytest.approx(np.mean(np.abs(X - np.asarray(model.reconstruct(X)))))
    assert table["dead_units"] == 1 and table.rows["reconstruction_error"].note == "mae"
    assert absent(table) == ["population_sparsity", "lifetime_sparsity", "saturation", *PROBES]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X[:1], "at least 2 samples, but there are 1"),
        (X[:, 1:], "built for"),
        (2 * X, "targets go outside"),
        (np.nan * X, "NaN"),
        ((X, Y[:5]), r"31 samples and labels of shape \(5,\)"),
        ("digits", "not str"),
        ((255 * X).astype("uint8"), "not floating-point"),
        (np.full_like(X, 0.5), "do not vary"),
    ],
)
def test_data_that_cannot_be_evaluated(data, message):
    with pytest.raises(ValueError, match=message):
        report(built(aezoo.Autoencoder(latent_dim=2)), data)


def test_a_model_without_weights():
    with pytest.raises(ValueError, match="no weights yet"):
        report(aezoo.Autoencoder(latent_dim=2), X)
