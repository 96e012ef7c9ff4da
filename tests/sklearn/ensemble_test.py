"""The ensemble of small autoencoders, against a reference that loops over members and rows in NumPy."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from aezoo.sklearn import EnsembleDetector

RNG = np.random.default_rng(0)
SMALL = {"n_estimators": 6, "max_samples": (5, 9), "latent_dims": (1, 2), "hidden_units": 8, "steps": 20}
NORMAL = RNG.normal(size=(90, 3)) * [1, 10, 1] + np.array([0, 5, 0])
TABLE = np.concatenate([NORMAL, RNG.normal(size=(10, 3)) + np.array([8, 80, 8])])


@pytest.fixture(scope="module")
def detector():
    return EnsembleDetector(**SMALL, contamination=0.1, random_state=0).fit(TABLE)


def reference(detector, x):
    """Compute the scores of rows from the weights, member by member and row by row."""
    layers = [layer.get_weights() for layer in detector.model_.layers if layer.get_weights()]
    mean, spread = TABLE.mean(axis=0), TABLE.std(axis=0)
    train, x = (TABLE - mean) / spread, (x - mean) / spread
    votes = []
    for member, rows in enumerate(detector.estimators_samples_):
        width = SMALL["latent_dims"][member % 2]
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = ((kernel[member], bias[member, 0]) for kernel, bias in layers)

        def encode(row, w1=w1, b1=b1, w2=w2, b2=b2, width=width):
            return (np.maximum(row @ w1 + b1, 0) @ w2 + b2)[:width]

        def error(row, encode=encode, w3=w3, b3=b3, w4=w4, b4=b4, width=width):
            return np.mean((row - (np.maximum(encode(row) @ w3[:width] + b3, 0) @ w4 + b4)) ** 2)

        own = np.array([encode(row) for row in np.resize(train[rows], (9, 3))])
        covariance = np.atleast_2d(np.cov(own.T, bias=True))
        covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / width * np.eye(width)

        def distance(row, encode=encode, own=own, covariance=covariance):
            centered = encode(row) - own.mean(axis=0)
            return centered @ np.linalg.solve(covariance, centered)

        standardized = []
        for number in (error, distance):
            low, middle, high = np.percentile([np.log(number(row)) for row in train], (25, 50, 75))
            standardized.append([(np.log(number(row)) - middle) / (high - low) for row in x])
        votes.append([max(first, second, 0) for first, second in zip(*standardized, strict=True)])
    return -np.mean(votes, axis=0)


def test_scores_are_the_mean_votes_of_the_members(detector):
    x = TABLE[[0, 1, 50, 95, 99]]
    np.testing.assert_allclose(detector.score_samples(x), reference(detector, x), rtol=2e-3, atol=1e-3)
    assert [len(rows) for rows in detector.estimators_samples_] == [5, 9, 5, 9, 5, 9]
    assert all(len(set(rows)) == len(rows) for rows in detector.estimators_samples_)


def test_training_reduces_the_error_of_every_member_on_its_own_rows(detector):
    untrained = EnsembleDetector(**{**SMALL, "steps": 1, "learning_rate": 1e-9}, random_state=0).fit(TABLE)
    x = (TABLE - TABLE.mean(axis=0)) / TABLE.std(axis=0)
    for member, rows in enumerate(detector.estimators_samples_):
        errors = [
            np.mean((np.asarray(each.model_(x[None, rows])[1])[member] - x[rows]) ** 2)
            for each in (detector, untrained)
        ]
        assert errors[0] < 0.9 * errors[1]


@pytest.mark.slow
def test_members_do_not_change_each_other():
    """Other rows for the last member leave the weights of the first as they are."""
    detector = EnsembleDetector(**SMALL, random_state=0)
    detector.n_features_in_ = 3
    parts = RNG.normal(size=(6, 9, 3)).astype("float32")
    changed = parts.copy()
    changed[-1] *= 3
    one, other = (detector._train(each, seed=1).get_weights() for each in (parts, changed))
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first[:-1], second[:-1], rtol=1e-5, atol=1e-6)
    assert any(np.abs(first[-1] - second[-1]).max() > 1e-3 for first, second in zip(one, other, strict=True))


def test_anomalies_in_the_training_rows_are_found(detector):
    labels = np.repeat([0, 1], [90, 10])
    assert roc_auc_score(labels, -detector.score_samples(TABLE)) > 0.95
    assert np.mean(detector.predict(TABLE) == -1) == 0.1
    np.testing.assert_array_equal(detector.predict(TABLE) == -1, detector.decision_function(TABLE) < 0)
    np.testing.assert_allclose(detector.decision_function(TABLE), detector.score_samples(TABLE) - detector.offset_)


@pytest.mark.slow
def test_units_of_the_features_do_not_matter_unless_standardize_is_none(detector):
    scaled = EnsembleDetector(**SMALL, contamination=0.1, random_state=0).fit(TABLE * [1, 1000, 0.01] + 7)
    np.testing.assert_allclose(
        scaled.score_samples(TABLE[:9] * [1, 1000, 0.01] + 7), detector.score_samples(TABLE[:9]), rtol=0.02, atol=0.01
    )
    raw = EnsembleDetector(**SMALL, standardize=None, random_state=0).fit(TABLE)
    assert not np.allclose(raw.score_samples(TABLE), detector.score_samples(TABLE), rtol=0.05)


def test_random_state_repeats_a_fit_and_pickle_keeps_it(detector):
    again = clone(detector).fit(TABLE)
    np.testing.assert_array_equal(again.score_samples(TABLE), detector.score_samples(TABLE))
    loaded = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(loaded.predict(TABLE), detector.predict(TABLE))
    np.testing.assert_allclose(loaded.score_samples(TABLE), detector.score_samples(TABLE), rtol=1e-6)
    other = clone(detector).set_params(random_state=1).fit(TABLE)
    assert not np.allclose(other.score_samples(TABLE), detector.score_samples(TABLE))


def test_a_score_depends_on_its_row_alone(detector):
    np.testing.assert_array_equal(detector.score_samples(TABLE[40:47]), detector.score_samples(TABLE)[40:47])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"max_samples": (1,)}, "max_samples"),
        ({"max_samples": 16}, "max_samples must be a tuple of at least one integer, but it is 16"),
        ({"latent_dims": ()}, "latent_dims must be a tuple of at least one integer"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"contamination": 0.6}, r"contamination must be in \(0, 0.5\], but it is 0.6"),
        ({"standardize": "rank"}, "standardize"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EnsembleDetector(**{**SMALL, **changes}).fit(TABLE)


def test_a_training_that_diverges_is_refused():
    with pytest.raises(ValueError, match="the training diverged: choose a smaller learning_rate than 1e\\+30"):
        EnsembleDetector(**{**SMALL, "learning_rate": 1e30}, random_state=0).fit(TABLE)


def test_scores_need_a_fit():
    with pytest.raises(NotFittedError):
        EnsembleDetector().score_samples(TABLE)
    assert set(EnsembleDetector().get_params()) == set(inspect.signature(EnsembleDetector).parameters)


@pytest.mark.slow
@parametrize_with_checks([EnsembleDetector(**SMALL, contamination=0.2)])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)
