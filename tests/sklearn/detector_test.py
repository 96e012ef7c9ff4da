import inspect
import math
import pickle

import keras
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import aezoo
from aezoo.evaluation import AnomalyDetector, anomaly_auroc

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

# All but two of the checks run:
# - check_estimators_overwrite_params compares hashes of pickled arguments before and after `fit`. The pickle of a Keras
#   model holds the time, in seconds; test_fit_leaves_the_model_alone compares what the model is, instead.
# - check_parameters_default_constructible, before 1.6, knows no required argument but `estimator`.
EXEMPT = {"check_estimators_overwrite_params"}
if tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 6):
    EXEMPT.add("check_parameters_default_constructible")


@pytest.mark.filterwarnings("ignore:Autoencoder expects features of mean 0")
@parametrize_with_checks([quick()])
def test_the_checks_of_scikit_learn(estimator, check):
    if getattr(check, "func", check).__name__ in EXEMPT:
        pytest.skip("exempt, for the reason above")
    check(estimator)


def test_arguments_are_stored_unmodified_and_cloned():
    model = quick_model()
    detector = quick(model, random_state=3)
    assert detector.model is model and not model.built
    assert set(detector.get_params()) == set(inspect.signature(AnomalyDetector).parameters)
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
        (np.full((2, 3), np.nan), "Input X contains NaN"),
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
