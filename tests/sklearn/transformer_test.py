import pickle
import subprocess
import sys

import joblib
import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import explained_variance_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils import estimator_checks

import aezoo
from aezoo.sklearn import AutoencoderTransformer, standardization
from aezoo.training import arguments

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(60, 2)) @ RNG.normal(size=(2, 4)) + [0, 5, -3, 100] + 0.1 * RNG.normal(size=(60, 4))) * [
    1,
    2,
    3,
    9,
]
X = X.astype("float32")
SCALED = StandardScaler().fit_transform(X).astype("float32")
FRAME = pd.DataFrame(X, columns=list("abcd"), index=range(100, 160))


def eager(model, optimizer="adam"):
    model.compile(optimizer, run_eagerly=True)
    return model


def quick(model=None, **kwargs):
    model = model or eager(aezoo.Autoencoder(2, output_activation="linear", seed=0))
    return AutoencoderTransformer(model, **{"epochs": 1, "batch_size": 32, "random_state": 0, **kwargs})


@pytest.fixture(scope="module")
def fitted():
    return quick(standardize="standard", epochs=3).fit(FRAME)


# === Codes and reconstructions ===


def test_codes_and_reconstructions_are_the_models(fitted):
    scaled = StandardScaler().fit_transform(X).astype("float32")
    np.testing.assert_allclose(fitted.transform(FRAME), fitted.model_.encode(scaled), rtol=1e-3, atol=1e-4)
    again = fitted.inverse_transform(fitted.transform(FRAME))
    expected = np.asarray(fitted.model_.reconstruct(scaled)) * X.std(axis=0) + X.mean(axis=0)
    np.testing.assert_allclose(again, expected, rtol=1e-3)
    with pytest.raises(ValueError, match="X has 3 columns, but the codes have 2 units"):
        fitted.inverse_transform(np.zeros((1, 3)))


@pytest.mark.slow
def test_a_linear_model_finds_the_subspace_of_pca():
    model = eager(aezoo.LinearAE(2, seed=0), keras.optimizers.Adam(0.05))
    transformer = quick(model, epochs=10, batch_size=6, standardize="standard")
    pca = PCA(2).fit(StandardScaler().fit_transform(X))
    assert transformer.fit(X).score(X) == pytest.approx(pca.explained_variance_ratio_.sum(), abs=0.02)


def test_the_score_is_the_explained_variance_of_scikit_learn(fitted):
    again = fitted.inverse_transform(fitted.transform(FRAME))
    true, found = ((part - fitted.center_) / fitted.scale_ for part in (X, again))
    assert fitted.score(FRAME) == pytest.approx(r2_score(true, found, multioutput="variance_weighted"), abs=1e-4)
    plain = quick().fit(SCALED)
    x = SCALED + 1
    again = plain.inverse_transform(plain.transform(x))
    assert plain.score(x) == pytest.approx(r2_score(x, again, multioutput="variance_weighted"), abs=1e-4)
    # The explained variance of scikit-learn forgives a wrong mean.
    assert plain.score(x) < explained_variance_score(x, again, multioutput="variance_weighted") - 0.1
    assert plain.score(np.tile(x[:1], (3, 1))) == 0.0


def test_missing_values_do_not_count():
    holes = X.copy()
    holes[::7, 1] = np.nan
    model = eager(aezoo.Autoencoder(2, output_activation="linear", missing="mask", seed=0))
    transformer = quick(model, standardize="robust").fit(holes)
    center, scale = standardization.fit(holes, "robust")
    true = (holes - center) / scale
    found = np.asarray(transformer.model_.reconstruct(true.astype("float32")))
    residual, total = np.nansum((true - found) ** 2), np.nansum((true - np.nanmean(true, axis=0)) ** 2)
    assert transformer.score(holes) == pytest.approx(1 - residual / total, rel=1e-4)
    assert np.isfinite(transformer.transform(holes)).all()
    with pytest.raises(ValueError, match="contains NaN"):
        quick().fit(holes)


@pytest.mark.parametrize("how", ["standard", "robust"])
def test_features_are_standardized_as_by_scikit_learn(how):
    scaler = (StandardScaler() if how == "standard" else RobustScaler()).fit(X)
    center, scale = standardization.fit(X, how)
    np.testing.assert_allclose(center, scaler.mean_ if how == "standard" else scaler.center_, rtol=1e-6)
    np.testing.assert_allclose(scale, scaler.scale_, rtol=1e-6)
    odd = np.stack([np.full(60, 0.1), np.full(60, 1e6), np.arange(60) == 3, np.full(60, np.nan)], axis=1)
    center, scale = standardization.fit(odd.astype("float32"), how)
    assert scale[[0, 1, 3]].tolist() == [1, 1, 1] and scale[2] == pytest.approx(np.std(odd[:, 2]))
    assert center[[1, 3]].tolist() == [1e6, 0]


def test_images_stay_images():
    images = RNG.random((12, 4, 4, 1), "float32")
    transformer = quick(eager(aezoo.MaskedAE(4, patch_size=2, seed=0)), standardize="standard").fit(images)
    codes = transformer.transform(images)
    assert codes.shape == (12, 4 * 4)  # a row per patch, flattened
    assert transformer.inverse_transform(codes).shape == images.shape
    rows = quick(transformer.model_, prefit=True).fit(images.reshape(12, 16))
    assert rows.inverse_transform(codes).shape == (12, 16)


def test_a_model_with_conditions_takes_dicts():
    data = {"x": RNG.random((12, 5), "float32"), "label": np.arange(12) % 3}
    transformer = quick(eager(aezoo.ConditionalVAE(2, num_classes=3, seed=0))).fit(data)
    codes = transformer.transform(data)
    again = transformer.inverse_transform({"z": codes, "label": data["label"]})
    np.testing.assert_allclose(again, transformer.model_.reconstruct(data), rtol=1e-4)


# === Forms of data ===


def test_any_table_and_sparse_matrices_are_the_same_data(fitted):
    codes = fitted.transform(FRAME)
    np.testing.assert_array_equal(fitted.transform(pl.DataFrame(FRAME)), codes)
    plain = quick(standardize="standard", epochs=3).fit(scipy.sparse.csr_matrix(X))
    np.testing.assert_array_equal(plain.transform(scipy.sparse.csc_matrix(X)), codes)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(FRAME[["b", "a", "c", "d"]])
    with pytest.raises(ValueError, match="'e'"):
        quick().fit(FRAME.assign(e="text"))


def test_output_as_tables(fitted):
    names = ["autoencoder0", "autoencoder1"]
    assert fitted.get_feature_names_out().tolist() == names
    copy = pickle.loads(pickle.dumps(fitted)).set_output(transform="pandas")
    found = copy.transform(FRAME)
    assert isinstance(found, pd.DataFrame) and found.columns.tolist() == names
    assert found.index.equals(FRAME.index)
    np.testing.assert_array_equal(found, fitted.transform(FRAME))
    assert copy.set_output(transform="polars").transform(FRAME).columns == names


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_transformer_get_feature_names_out,
        estimator_checks.check_transformer_get_feature_names_out_pandas,
        estimator_checks.check_set_output_transform,
        estimator_checks.check_set_output_transform_pandas,
    ],
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:X (has|does not have)")
def test_checks_that_scikit_learn_makes_of_its_own_transformers(check):
    check("AutoencoderTransformer", quick(standardize="standard"))


# === Training ===


def test_warm_start_and_partial_fit_continue_weights_and_optimizer():
    transformer = quick(warm_start=True, standardize="standard").fit(X)
    model, center = transformer.model_, transformer.center_
    transformer.set_params(epochs=2).fit(X[:32] + 1)
    assert transformer.model_ is model and transformer.center_ is center
    assert int(model.optimizer.iterations.numpy()) == 2 + 2 and int(model.epoch.numpy()) == 3
    transformer.partial_fit(X[:32])
    assert transformer.model_ is model and int(model.optimizer.iterations.numpy()) == 5
    with pytest.raises(ValueError, match="X has 3 features"):
        transformer.partial_fit(X[:, :3])
    assert transformer.set_params(warm_start=False).fit(X).model_ is not model
    by_parts = quick().partial_fit(SCALED)
    np.testing.assert_array_equal(by_parts.transform(SCALED), quick().fit(SCALED).transform(SCALED))
    with pytest.raises(ValueError, match="prefit=True trains nothing"):
        quick(prefit=True).partial_fit(X)


def test_early_stopping_keeps_the_best_weights():
    seen = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([w.numpy() for w in record.model.trainable_variables])
    )
    model = eager(aezoo.Autoencoder(3, output_activation="linear", seed=0), keras.optimizers.Adam(0.3))
    x = np.random.default_rng(0).normal(size=(40, 6))
    stopping = {"early_stopping": True, "validation_fraction": 0.25, "patience": 2, "callbacks": [record]}
    transformer = quick(model, epochs=20, **stopping).fit(x)
    losses = transformer.history_["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) < 20 and best == len(losses) - 1 - 2
    for kept, there in zip(transformer.model_.trainable_variables, seen[best], strict=True):
        np.testing.assert_array_equal(kept.numpy(), there)
    assert not np.array_equal(seen[best][0], seen[-1][0])
    assert "val_loss" not in quick().fit(SCALED).history_
    assert len(quick(validation_fraction=0.5).fit(SCALED).history_["val_loss"]) == 1


def test_validation_samples_do_not_enter_the_standardization():
    transformer = quick(standardize="standard", validation_fraction=0.5).fit(X)
    random = np.random.RandomState(0)
    random.randint(2, size=2)  # the seeds of the model and of the order
    rest = X[random.permutation(60)[30:]]
    np.testing.assert_allclose(transformer.center_, rest.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(transformer.scale_, rest.std(axis=0), rtol=1e-3)


def test_a_preset_is_used_as_it_is(fitted):
    scaled = StandardScaler().fit_transform(X).astype("float32")
    ready = AutoencoderTransformer(fitted.model_, prefit=True).fit(scaled)
    assert ready.model_ is fitted.model_
    np.testing.assert_allclose(ready.transform(scaled), fitted.model_.encode(scaled), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="cannot be combined with prefit=True"):
        ready.set_params(standardize="robust").fit(X)
    again = clone(fitted).set_params(epochs=1, warm_start=True).fit(X)
    again.set_params(model=fitted.model_, prefit=True, standardize=None).fit(scaled)
    np.testing.assert_array_equal(again.transform(scaled), ready.transform(scaled))


def test_the_seed_decides():
    unseeded = eager(aezoo.Autoencoder(2, output_activation="linear"))
    a, b, c = (quick(unseeded, random_state=seed).fit(SCALED).transform(SCALED) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


# === Parameters ===


def test_parameters_reach_down_to_the_model():
    model = eager(aezoo.SparseAE(4, hidden_dims=(8,), weight=0.5, seed=3), keras.optimizers.Adam(0.02))
    transformer = quick(model)
    params = transformer.get_params()
    assert (params["model__latent_dim"], params["model__hidden_dims"], params["model__weight"]) == (4, (8,), 0.5)
    assert not any("__" in name for name in transformer.get_params(deep=False))
    transformer.set_params(model__latent_dim=2, model__hidden_dims=(5, 3), epochs=7)
    changed = transformer.model
    assert changed is not model and (model.latent_dim, model.hidden_dims) == (4, (8,))
    assert (changed.latent_dim, changed.hidden_dims, changed.weight, changed.seed) == (2, (5, 3), 0.5, 3)
    assert transformer.epochs == 7 and changed.optimizer is not model.optimizer
    assert float(changed.optimizer.learning_rate) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="Invalid parameter 'latent' for the model SparseAE"):
        transformer.set_params(model__latent=3)
    with pytest.raises(ValueError, match="latent_dim must be at least 1"):
        transformer.set_params(model__latent_dim=0)
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        transformer.set_params(epoch=3)
    encoder = keras.Sequential([keras.layers.Dense(2)])
    own = {"model__encoder": encoder, "model__latent_dim": None, "model__hidden_dims": ()}
    copy = clone(transformer.set_params(**own))
    assert copy.get_params()["model__encoder"].layers[0].units == 2


def test_reprs_show_what_differs_from_the_default():
    model = aezoo.VAE(8, hidden_dims=[32], name="mine")
    assert repr(model) == "VAE(latent_dim=8, hidden_dims=(32,), name='mine')"
    assert repr(aezoo.KSparseAE(8, k=2)) == "KSparseAE(latent_dim=8, k=2)"
    assert repr(quick(model, epochs=3)).replace("\n", "") == (
        "AutoencoderTransformer(epochs=3,                       "
        "model=VAE(latent_dim=8, hidden_dims=(32,), name='mine'),                       random_state=0)"
    )
    page = make_pipeline(StandardScaler(), quick(model))._repr_html_()
    assert "AutoencoderTransformer" in page and "VAE(latent_dim=8" in page


MODELS = {
    "Autoencoder(latent_dim=3)": lambda: aezoo.Autoencoder(3),
    "VAE(latent_dim=3)": lambda: aezoo.VAE(3),
    "VAE(latent_dim=3, likelihood='gaussian')": lambda: aezoo.VAE(3, likelihood="gaussian"),
    "SparseAE(latent_dim=3)": lambda: aezoo.SparseAE(3),
    "KSparseAE(latent_dim=3, k=1)": lambda: aezoo.KSparseAE(3, k=1),
    "DenoisingAE(latent_dim=3, corruption=0.5)": lambda: aezoo.DenoisingAE(3, corruption=0.5),
    "ContractiveAE(latent_dim=3)": lambda: aezoo.ContractiveAE(3),
    "CompressiveAE(latent_dim=3)": lambda: aezoo.CompressiveAE(3),
    "ConditionalVAE(latent_dim=3, num_classes=2)": lambda: aezoo.ConditionalVAE(3, num_classes=2),
    "ConditionalVAE(latent_dim=3, conditions={'a': 2, 'b': 3})": lambda: aezoo.ConditionalVAE(
        3, conditions={"a": 2, "b": 3}
    ),
    "BetaTCVAE(latent_dim=3, beta=2.0)": lambda: aezoo.BetaTCVAE(3, beta=2.0),
    "FactorVAE(latent_dim=3, gamma=2.0)": lambda: aezoo.FactorVAE(3, gamma=2.0),
    "MMDVAE(latent_dim=3)": lambda: aezoo.MMDVAE(3),
    "LadderVAE(latent_dim=3, top_dim=2)": lambda: aezoo.LadderVAE(3, top_dim=2),
    "VQVAE(latent_dim=4, vector_dim=2)": lambda: aezoo.VQVAE(4, vector_dim=2),
    "FSQVAE(levels=(3, 3))": lambda: aezoo.FSQVAE(levels=(3, 3)),
    "LinearAE(latent_dim=3)": lambda: aezoo.LinearAE(3),
    "MaskedAE(latent_dim=4)": lambda: aezoo.MaskedAE(4),
    "RBM(hidden_units=3)": lambda: aezoo.RBM(3),
    "SketchRNN(latent_dim=3)": lambda: aezoo.SketchRNN(3),
}


@pytest.mark.parametrize("shown", MODELS)
def test_reprs_of_models_are_the_calls_that_make_them(shown):
    model = MODELS[shown]()
    assert repr(model) == shown
    assert repr(arguments.fresh(model, seed=3)) == f"{shown[:-1]}, seed=3)"


def test_an_argument_that_follows_from_another_follows_its_change():
    transformer = quick(aezoo.VAE(2)).set_params(model__likelihood="gaussian")
    assert transformer.model.output_activation == "linear"
    transformer = quick(aezoo.KSparseAE(8, k=2))
    for same in (transformer, clone(transformer), pickle.loads(pickle.dumps(transformer))):  # a grid search clones
        assert same.set_params(model__k=3).model.top_k.k_in_training.schedule(epoch=0) == 3
        assert repr(same.model) == "KSparseAE(latent_dim=8, k=3)"
    transformer = quick(aezoo.VAE(2, output_activation="tanh", likelihood="gaussian")).set_params(model__latent_dim=3)
    assert transformer.model.output_activation == "tanh"


def test_a_model_that_cannot_be_described_has_the_repr_of_keras():
    class Odd(aezoo.Autoencoder):
        def get_config(self):
            raise NotImplementedError

    assert repr(Odd(2)).startswith("<Odd name=odd")


@pytest.mark.slow
def test_grid_search_finds_the_model_that_reconstructs_best(tmp_path):
    model = eager(aezoo.LinearAE(1, seed=0), keras.optimizers.Adam(0.1))
    pipeline = make_pipeline(StandardScaler(), quick(model, epochs=8, batch_size=8))
    grid = {"autoencodertransformer__model__latent_dim": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X)
    assert search.best_params_ == {"autoencodertransformer__model__latent_dim": 2}
    joblib.dump(search.best_estimator_, tmp_path / "pipeline.joblib")
    loaded = joblib.load(tmp_path / "pipeline.joblib")
    np.testing.assert_array_equal(loaded.transform(X), search.best_estimator_.transform(X))


@pytest.mark.slow
def test_grid_search_in_two_processes_finds_the_same():
    searches = [
        GridSearchCV(quick(standardize="standard", epochs=2), {"model__latent_dim": [1, 2]}, cv=2, n_jobs=jobs).fit(X)
        for jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)


def test_a_loaded_transformer_continues(fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    before = int(loaded.model_.optimizer.iterations.numpy())
    loaded.partial_fit(FRAME)
    assert before == 6 and int(loaded.model_.optimizer.iterations.numpy()) == 8


@pytest.mark.slow
def test_scikit_learn_is_not_shadowed():
    code = "import aezoo.sklearn, sklearn; from aezoo import *; print(sklearn.__name__, aezoo.sklearn.__name__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.stdout.split() == ["sklearn", "aezoo.sklearn"], found.stderr
