import gzip
import inspect
import math
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

import aezoo
from aezoo.evaluation import anomaly_auroc
from aezoo.sklearn import AnomalyDetector

RNG = np.random.default_rng(0)


class FirstFeature(aezoo.Autoencoder):
    """Scores a sample by its first feature, and cannot be trained: a detector's threshold by hand."""

    def score_samples(self, x):
        return keras.ops.reshape(x, (x.shape[0], -1))[:, 0]

    def fit(self, *args, **kwargs):
        raise AssertionError("prefit models are not trained")


def quick_model(**kwargs):
    model = aezoo.Autoencoder(**{"latent_dim": 2, "output_activation": "linear", "seed": 0, **kwargs})
    # Eager, because each fit has a model of its own, and its graph takes longer than its few steps.
    model.compile("adam", run_eagerly=True)
    return model


def quick(model=None, **kwargs):
    arguments = {"false_positive_rate": 0.2, "calibration_fraction": 0.5, "epochs": 1, "batch_size": 256, **kwargs}
    return AnomalyDetector(model or quick_model(), **arguments)


def first_feature():
    model = FirstFeature(latent_dim=1)
    model.build((None, 1))
    return model


def by_hand(scores, rate, model=None, **kwargs):
    return AnomalyDetector(model or first_feature(), prefit=True, false_positive_rate=rate, **kwargs).fit(
        np.reshape(scores, (-1, 1))
    )


# === scikit-learn's conventions ===


def test_arguments_are_stored_unmodified_and_cloned():
    model = quick_model()
    detector = quick(model, random_state=3)
    assert detector.model is model and not model.built
    assert set(detector.get_params(deep=False)) == set(inspect.signature(AnomalyDetector).parameters)
    copy = clone(detector)
    assert copy.model is not model and copy.model.get_config() == model.get_config()
    assert copy.get_params()["random_state"] == 3
    assert copy.set_params(epochs=7).epochs == 7
    assert repr(detector).startswith("AnomalyDetector(")


def test_fit_leaves_the_model_alone():
    model = quick_model()
    model.fit(RNG.normal(size=(20, 3)).astype("float32"), verbose=0)
    config, weights = model.get_config(), model.get_weights()
    detector = quick(model).fit(RNG.normal(size=(60, 3)))
    assert detector.model is model and detector.model_ is not model
    assert model.get_config() == config
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert detector.model_.run_eagerly and int(detector.model_.optimizer.iterations.numpy()) == 1


def test_the_same_random_state_gives_the_same_detector_and_global_seeds_are_left_alone():
    x = RNG.normal(size=(60, 3))
    model = quick_model(seed=None)
    np.random.seed(5)
    expected = np.random.RandomState(5).random_sample()
    first, second, other = (quick(model, random_state=s, epochs=2, batch_size=8).fit(x) for s in (0, 0, 1))
    assert np.random.random_sample() == expected
    np.testing.assert_array_equal(first.score_samples(x), second.score_samples(x))
    assert first.offset_ == second.offset_
    assert not np.allclose(first.score_samples(x), other.score_samples(x))


def test_in_a_pipeline_and_under_cross_validation():
    x = np.concatenate([RNG.normal(size=(60, 3)), RNG.normal(10, 1, size=(20, 3))])
    y = np.repeat([1, -1], [60, 20])
    pipeline = make_pipeline(StandardScaler(), quick(random_state=0)).fit(x[:60])
    assert np.mean(pipeline.predict(x[60:]) == -1) == 1
    scores = cross_val_score(quick(random_state=0), x, y, scoring="roc_auc", cv=StratifiedKFold(2))
    assert scores.shape == (2,) and np.isfinite(scores).all()


def test_a_fitted_detector_is_pickled_with_its_threshold():
    x = RNG.normal(size=(60, 3))
    detector = quick(random_state=0).fit(x)
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_allclose(again.decision_function(x), detector.decision_function(x), rtol=1e-6)
    np.testing.assert_array_equal(again.predict(x), detector.predict(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4)), "X has 4 features, but AnomalyDetector is expecting 3 features as input"),
        (
            np.full((2, 3), np.nan),
            "Input X contains NaN: remove or fill in missing values, or give the model missing='mask'",
        ),
        (np.full((2, 3), np.inf), "Input X contains infinity"),
        (np.zeros((0, 3)), "0 sample"),
        (np.zeros(3), "Expected 2D array, got 1D array"),
    ],
)
def test_data_that_do_not_fit_are_refused_as_by_scikit_learn(x, message):
    detector = quick().fit(RNG.normal(size=(60, 3)))
    for verb in (detector.predict, detector.score_samples, detector.decision_function):
        with pytest.raises(ValueError, match=message):
            verb(x)
    if "features" not in message:
        with pytest.raises(ValueError, match=message):
            quick().fit(x)


def test_before_fit_there_is_no_answer():
    with pytest.raises(NotFittedError):
        quick().predict(np.zeros((2, 3)))


# === The threshold ===


@pytest.mark.parametrize(("rate", "rank"), [(0.05, 95), (0.1, 90), (0.5, 50), (0.01, 99)])
def test_the_threshold_is_a_conformal_quantile(rate, rank):
    scores = RNG.permutation(np.arange(1, 100))
    detector = by_hand(scores, rate)  # of 99 samples the (100 · (1 - rate))-th smallest
    assert detector.offset_ == -rank
    x = np.array([[rank - 0.5], [rank], [rank + 0.5]])
    np.testing.assert_array_equal(detector.predict(x), [1, 1, -1])
    np.testing.assert_allclose(detector.decision_function(x), [0.5, 0, -0.5])
    np.testing.assert_allclose(detector.score_samples(x), -x[:, 0])


def test_too_few_samples_for_a_rate_are_said():
    with pytest.warns(UserWarning, match=r"0\.05 needs 19 calibration samples, but there are 18.* 0\.053"):
        assert by_hand(np.arange(18), 0.05).offset_ == -17
    assert by_hand(np.arange(19), 0.05).offset_ == -18


@pytest.mark.slow
def test_the_rate_of_false_positives_is_kept_on_average():
    model, rates, rng = first_feature(), [], np.random.default_rng(0)
    for _ in range(300):
        detector = by_hand(rng.exponential(size=39), 0.1, model, batch_size=256)
        rates.append(np.mean(detector.predict(rng.exponential(size=(200, 1))) == -1))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.01)


@pytest.mark.slow
def test_digits_of_one_class_against_all_others():
    (x, y), (x_test, y_test) = aezoo.datasets.load("digits")
    x, y = np.concatenate([x, x_test]), np.concatenate([y, y_test])
    normal, others = x[y == 0], x[y != 0]
    fresh, seen = normal[::4], np.delete(normal, np.s_[::4], axis=0)
    model = aezoo.Autoencoder(latent_dim=4, hidden_dims=(32,), seed=0)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    detector = AnomalyDetector(model, false_positive_rate=0.1, calibration_fraction=0.3, epochs=60, random_state=0)
    detector.fit(seen)
    assert anomaly_auroc(detector.model_, fresh, others) > 0.98
    assert np.mean(detector.predict(fresh) == -1) <= 0.25
    assert np.mean(detector.predict(others) == -1) > 0.9


# === The model ===


def test_a_trained_model_is_used_as_it_is():
    detector = by_hand(np.arange(99), 0.1, epochs=3)  # its fit raises
    assert detector.model_ is detector.model
    with pytest.raises(ValueError, match="no weights yet"):
        quick(prefit=True).fit(np.zeros((60, 3)))
    x = RNG.normal(size=(60, 3)).astype("float32")
    model = quick_model()
    model.fit(x, verbose=0)
    copy = clone(quick(model, prefit=True)).fit(x)  # with its weights
    np.testing.assert_allclose(copy.score_samples(x), -np.asarray(model.score_samples(x)), rtol=1e-5)


def test_images_and_rows_of_pixels_are_the_same():
    x = RNG.random((50, 4, 4, 1), "float32")
    detector = quick(quick_model(filters=(2,)), random_state=0).fit(x)
    assert detector.sample_shape_ == (4, 4, 1) and detector.n_features_in_ == 16
    np.testing.assert_array_equal(detector.score_samples(x), detector.score_samples(x.reshape(50, 16)))
    with pytest.raises(ValueError, match="X has 20 features"):
        detector.predict(np.zeros((2, 4, 5, 1)))
    built = quick_model()
    built.build((None, 4, 4, 1))
    assert quick(built).fit(x.reshape(50, 16)).model_.x_shape == (4, 4, 1)
    assert quick(built).fit(RNG.random((50, 3))).model_.x_shape == (3,)


def test_a_model_that_is_not_compiled_gets_its_default_optimizer():
    detector = quick(aezoo.RBM(3, seed=0), batch_size=8).fit(RNG.integers(0, 2, (40, 5)))
    assert isinstance(detector.model_.optimizer, aezoo.optimizers.ScheduledSGD)
    np.testing.assert_allclose(
        detector.score_samples(np.eye(5)), -np.asarray(detector.model_.free_energy(np.eye(5, dtype="f4"))), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"false_positive_rate": 0}, "false_positive_rate must be inside"),
        ({"false_positive_rate": 1.0}, "false_positive_rate must be inside"),
        ({"calibration_fraction": 1.5}, "calibration_fraction must be inside"),
        ({"validation_fraction": 1.5}, "validation_fraction must be inside"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"standardize": "minmax"}, "standardize"),
        ({"contamination": 0.6, "false_positive_rate": 0.05}, r"contamination must be in \(0, 0\.5\]"),
        ({"contamination": 0.1}, "both set the threshold"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
    ],
)
def test_arguments_out_of_range_are_refused_by_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        quick(**arguments).fit(np.zeros((60, 3)))


def test_what_is_no_model_and_what_diverged():
    with pytest.raises(TypeError, match="must be a model of aezoo"):
        AnomalyDetector(StandardScaler()).fit(np.zeros((60, 3)))
    with pytest.raises(ValueError, match="targets go outside"):
        quick(quick_model(output_activation="sigmoid")).fit(RNG.normal(size=(60, 3)))
    model = first_feature()
    model.score_samples = lambda x: np.full(len(x), math.nan)
    with pytest.raises(ValueError, match="diverged"):
        AnomalyDetector(model, prefit=True).fit(np.zeros((60, 1)))


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    model = first_feature()
    normal, anomalous = RNG.normal(size=(31, 1)), RNG.normal(1, 1, size=(17, 1))
    pairs = np.mean(anomalous.ravel()[:, None] > normal.ravel()[None])
    assert anomaly_auroc(model, normal, anomalous, batch_size=4) == pytest.approx(pairs)
    with pytest.raises(ValueError, match="no samples"):
        anomaly_auroc(model, normal, anomalous[:0])


def test_lambda_layers_of_a_live_model_are_trusted_and_those_of_a_file_are_not(tmp_path):
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: 2 * x), keras.layers.Dense(2)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    x = RNG.normal(size=(60, 3)).astype("float32")
    detector = AnomalyDetector(model, epochs=1, false_positive_rate=0.2, random_state=0).fit(x)
    assert not model.built and detector.predict(x).shape == (60,)
    np.testing.assert_allclose(
        detector.model_.encode(x), (2 * x) @ detector.model_.encoder.layers[-1].kernel.numpy(), atol=0.1
    )
    detector.model_.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"[Ll]ambda"):
        keras.saving.load_model(tmp_path / "model.keras")


# === The old name ===

FILES = Path(__file__).parent / "files"
OLD = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")


def of_old():
    model = aezoo.Autoencoder(latent_dim=2, output_activation="linear", seed=0)
    rates = {"false_positive_rate": 0.2, "calibration_fraction": 0.5}
    return AnomalyDetector(model, **rates, epochs=3, batch_size=8, random_state=0)


def test_the_old_name_is_the_class():
    assert aezoo.evaluation.AnomalyDetector is aezoo.evaluation.anomaly.AnomalyDetector is AnomalyDetector


@pytest.mark.filterwarnings("ignore:Trying to unpickle estimator")
@pytest.mark.skipif(not keras.__version__.startswith("3.15"), reason="a pickle of a Keras model needs its version")
@pytest.mark.parametrize("read", [joblib.load, lambda path: pickle.loads(gzip.decompress(path.read_bytes()))])
def test_files_of_old_load_and_score_as_then(read):
    detector = read(FILES / ("detector.joblib" if read is joblib.load else "detector.pickle.gz"))
    assert type(detector) is AnomalyDetector and detector.offset_ == -5.005908012390137
    expected = [-0.4430043697357178, -0.4780460000038147, -5.919196128845215, -1.6319023370742798, -5.005908012390137]
    np.testing.assert_allclose(detector.score_samples(OLD[:5]), expected, rtol=1e-5)
    # Parameters that did not exist then have their defaults.
    assert detector.get_params(deep=False)["contamination"] is None and detector.scale_ is None
    np.testing.assert_allclose(detector.explain(OLD[:5]).sum(axis=1), -np.array(expected), rtol=1e-5)


def test_seeded_numbers_of_the_defaults_have_not_changed():
    tf.random.set_seed(87654321)  # TensorFlow's default, without which the order of samples depends on other tests
    detector = of_old().fit(OLD)
    assert detector.offset_ == pytest.approx(-5.005908012390137, rel=1e-5)


# === Contamination ===


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_contamination_is_the_share_of_training_samples_that_are_flagged(share):
    scores = RNG.permutation(np.arange(200.0))
    model = first_feature()
    detector = AnomalyDetector(model, prefit=True, contamination=share).fit(scores[:, None])
    assert detector.offset_ == pytest.approx(-np.quantile(scores, 1 - share))
    np.testing.assert_array_equal(detector.predict(scores[:, None]) == -1, scores >= 200 * (1 - share))


def test_contaminated_data_are_all_used_for_training():
    x = RNG.normal(size=(12, 3))
    sizes = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: sizes.append(batch))
    detector = AnomalyDetector(quick_model(), contamination=0.25, epochs=1, batch_size=1, callbacks=[record]).fit(x)
    assert len(sizes) == 12 and np.sum(detector.predict(x) == -1) == 3
    assert detector.set_params(batch_size=12).fit_predict(x).tolist().count(-1) == 3


# === Training ===


def test_validation_is_a_part_of_the_training_part():
    x = RNG.normal(size=(40, 3))
    detector = quick(calibration_fraction=0.5, epochs=4, early_stopping=True, validation_fraction=0.5, patience=1)
    detector.set_params(batch_size=5, random_state=0, model__seed=1).fit(x)
    losses = detector.history_["val_loss"]
    assert len(losses) == len(detector.history_["loss"]) <= 4
    assert int(detector.model_.optimizer.iterations.numpy()) == len(losses) * 2  # 40 / 2 / 2 samples
    with pytest.raises(ValueError, match="minimum of 3 is required"):
        quick(early_stopping=True).fit(x[:2])


@pytest.mark.slow
def test_parameters_of_the_model_in_a_grid_search():
    x = np.concatenate([RNG.normal(size=(40, 3)), RNG.normal(4, 1, size=(10, 3))])
    y = np.repeat([1, -1], [40, 10])
    search = GridSearchCV(
        quick(random_state=0), {"model__latent_dim": [1, 2]}, cv=StratifiedKFold(2), scoring="roc_auc"
    ).fit(x, y)
    assert search.best_estimator_.model_.latent_dim == search.best_params_["model__latent_dim"]
    assert repr(search.best_estimator_.model).startswith("Autoencoder(latent_dim=")


# === Standardization ===


@pytest.fixture(scope="module")
def robust():
    rng = np.random.default_rng(0)  # the same numbers in any order of the tests
    x = rng.normal(size=(200, 3)) * [1, 100, 0] + [0, 1e3, 7]
    x[:5, 1] = 1e5  # anomalies in the training data
    frame = pd.DataFrame(x, columns=["a", "b", "constant"], index=[f"row {i}" for i in range(200)])
    model = quick_model()
    detector = AnomalyDetector(model, contamination=0.025, standardize="robust", epochs=2, random_state=0)
    return detector.fit(frame), frame


def test_robust_standardization_comes_from_the_training_data(robust):
    detector, x = robust
    scaler = RobustScaler().fit(x)
    np.testing.assert_allclose(detector.center_, scaler.center_, rtol=1e-6)
    np.testing.assert_allclose(detector.scale_, scaler.scale_, rtol=1e-6)
    scaled = scaler.transform(x).astype("float32")
    np.testing.assert_allclose(-detector.score_samples(x), detector.model_.score_samples(scaled), rtol=1e-4)
    assert np.flatnonzero(detector.predict(x) == -1).tolist() == [0, 1, 2, 3, 4]


def test_the_held_out_part_does_not_enter_the_standardization():
    x = RNG.normal(size=(40, 3)).astype("float32")
    detector = quick(standardize="standard", random_state=0).fit(x)
    order = np.random.RandomState(0).permutation(40)
    np.testing.assert_allclose(detector.center_, x[order[20:]].mean(axis=0), rtol=1e-4, atol=1e-6)


# === Explanations ===


def test_contributions_name_the_feature_and_sum_to_the_score(robust):
    detector, x = robust
    parts = detector.explain(x)
    assert parts.columns.tolist() == x.columns.tolist() and parts.index.equals(x.index)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(x), rtol=1e-5)
    assert set(parts.iloc[:5].idxmax(axis=1)) == {"b"}
    scaled = ((x - detector.center_) / detector.scale_).to_numpy("float32")
    expected = (scaled - np.asarray(detector.model_.reconstruct(scaled))) ** 2
    np.testing.assert_allclose(parts, expected, rtol=1e-3, atol=1e-4)
    by_polars = detector.explain(pl.DataFrame(x))
    assert by_polars.columns == x.columns.tolist()
    np.testing.assert_array_equal(by_polars, parts)
    by_arrow = detector.explain(pa.Table.from_pandas(x, preserve_index=False))
    np.testing.assert_array_equal(by_arrow.to_pandas(), parts)


def test_contributions_of_images_have_their_shape():
    images = RNG.random((30, 4, 4, 1), "float32")
    detector = quick(quick_model(output_activation="sigmoid")).fit(images)
    assert detector.explain(images).shape == images.shape
    np.testing.assert_array_equal(detector.explain(images.reshape(30, 16)), detector.explain(images).reshape(30, 16))


def test_a_score_that_is_no_sum_has_no_contributions(tmp_path):
    x = RNG.integers(0, 2, (40, 5))
    rbm = aezoo.RBM(3, seed=0)
    rbm.build((None, 5))
    detector = quick(rbm, prefit=True).fit(x)
    with pytest.raises(ValueError, match=r"RBM\.scores is no sum over features"):
        detector.explain(x)
    detector.export(tmp_path / "rbm")
    detect = tf.saved_model.load(str(tmp_path / "rbm")).signatures["detect"]
    assert set(detect.structured_outputs) == {"score", "is_anomaly"}


# === Export ===


def test_the_export_contains_threshold_and_standardization(robust, tmp_path):
    detector, x = robust
    detector.export(tmp_path / "detector")
    loaded = tf.saved_model.load(str(tmp_path / "detector"))
    assert set(loaded.signatures) == {"serving_default", "encode", "decode", "score", "detect"}
    values = x.to_numpy("float32")
    found = {name: value.numpy() for name, value in loaded.signatures["detect"](x=tf.constant(values)).items()}
    np.testing.assert_allclose(found["score"], -detector.score_samples(x), rtol=1e-5)
    np.testing.assert_array_equal(found["is_anomaly"], detector.predict(x) == -1)
    np.testing.assert_allclose(found["contributions"], detector.explain(x), rtol=1e-5, atol=1e-5)
    # Every signature speaks the units of the data.
    again = loaded.signatures["serving_default"](x=tf.constant(values))["reconstruction"].numpy()
    scaled = ((x - detector.center_) / detector.scale_).to_numpy("float32")
    expected = np.asarray(detector.model_.reconstruct(scaled)) * detector.scale_ + detector.center_
    np.testing.assert_allclose(again, expected, rtol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
        loaded.signatures["detect"](x=tf.fill([1, 3], math.nan))


def test_imputed_samples_of_the_export_are_in_the_units_of_the_data():
    x = RNG.normal(50, 9, size=(60, 3)).astype("float32")
    x[::4, 0] = np.nan
    detector = quick(quick_model(missing="mask"), standardize="standard").fit(x)
    impute, _, output = detector._signatures()["impute"]
    found = np.asarray(impute(x))
    scaled = (x - detector.center_) / detector.scale_
    expected = np.asarray(detector.model_.impute(scaled)) * detector.scale_ + detector.center_
    assert output == "imputed"
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1:], x[:, 1:], rtol=1e-5)


@pytest.mark.slow
def test_the_export_loads_without_aezoo(robust, tmp_path):
    detector, x = robust
    detector.export(tmp_path / "detector" / "1")
    np.save(tmp_path / "x.npy", x.to_numpy("float32"))
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "detect = tf.saved_model.load('detector/1').signatures['detect']\n"
        "np.save('score.npy', detect(x=tf.constant(np.load('x.npy')))['score'])\n"
        "assert 'aezoo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "score.npy"), -detector.score_samples(x), rtol=1e-5)


def test_a_model_with_preprocessing_takes_raw_rows(tmp_path):
    city = np.array(["Oslo", "Rome"])[np.arange(60) % 2]
    table = pd.DataFrame({"price": RNG.normal(50, 9, 60), "city": city, "weight": RNG.normal(size=60)})
    preprocessing = aezoo.preprocessing.TablePreprocessing().fit(table)
    detector = quick(quick_model(preprocessing=preprocessing), standardize="robust", random_state=0).fit(table)
    x = preprocessing.transform(table)
    assert x.shape == (60, 4)
    np.testing.assert_array_equal(detector.score_samples(x), detector.score_samples(table))
    parts = detector.explain(table)
    assert parts.columns.tolist() == ["price", "city", "weight"]
    of_features = detector.explain(x)
    np.testing.assert_allclose(parts["city"], of_features[:, 1:3].sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(parts.sum(axis=1), -detector.score_samples(table), rtol=1e-5)
    by_dict = detector.explain({name: table[name].to_numpy() for name in table})
    np.testing.assert_array_equal(by_dict["city"], parts["city"])
    detector.export(tmp_path / "detector")
    detect = tf.saved_model.load(str(tmp_path / "detector")).signatures["detect"]
    row = {name: tf.constant(table[name].astype("float32")) for name in ("price", "weight")}
    found = detect(**row, city=tf.constant(city))
    np.testing.assert_allclose(found["score"], -detector.score_samples(table), rtol=1e-4)
    np.testing.assert_allclose(found["contributions"], parts, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["is_anomaly"], detector.predict(table) == -1)
