import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from aezoo.evaluation import linear_probe


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 8, 8, 1)
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # scikit-learn before 1.8 with a SciPy that is newer.
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp` and `iprint`", DeprecationWarning)
        yield


@pytest.mark.slow
def test_error_is_that_of_logistic_regression_on_standardised_features(digits):
    x, y, x_test, y_test = digits
    flat, flat_test = x.reshape(len(x), -1).astype("float64"), x_test.reshape(len(x_test), -1)
    mean, scale = flat.mean(axis=0), flat.std(axis=0)
    scale[scale == 0] = 1
    model = LogisticRegression(C=1 / (1e-3 * 1200), max_iter=1000, tol=1e-6).fit((flat - mean) / scale, y)
    expected = np.mean(model.predict((flat_test - mean) / scale) != y_test)
    error = linear_probe(*digits)
    assert isinstance(error, float)
    assert error == pytest.approx(expected, abs=2 / len(y_test))
    assert 0.02 < error < 0.12


def test_error_counts_the_wrong_ones_exactly():
    z = np.array([[-1.0], [-1.1], [1.0], [1.1]])
    labels = np.array(["a", "a", "b", "b"])
    assert linear_probe(z, labels, z, labels) == 0.0
    assert linear_probe(z, labels, z, labels[::-1]) == 1.0
    assert linear_probe(z, labels, z, ["a", "b", "b", "b"]) == 0.25
    assert linear_probe(z, labels, z, ["a", "a", "b", "c"]) == 0.25  # a class never seen


def test_result_does_not_depend_on_the_scale_of_the_code(digits):
    x, y, x_test, y_test = digits
    error = linear_probe(*digits)
    assert linear_probe(1000 * x + 3, y, 1000 * x_test + 3, y_test) == pytest.approx(error, abs=0.005)


def test_dead_units_have_no_influence(digits):
    x, y, x_test, y_test = digits
    flat, flat_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
    # A constant that is no binary fraction, so that its computed variance need not be exactly 0.
    dead = np.full((len(x), 5), 0.3, "float32")
    dead_test = np.linspace(-9, 9, len(x_test) * 5, dtype="float32").reshape(-1, 5)
    error = linear_probe(np.hstack([flat, dead]), y, np.hstack([flat_test, dead_test]), y_test)
    assert error == pytest.approx(linear_probe(*digits), abs=2 / len(y_test))
    assert linear_probe(dead, y, dead[: len(y_test)], y_test) > 0.8


def test_labels_may_be_a_column_and_codes_half_precision(digits):
    x, y, x_test, y_test = digits
    error = linear_probe(x.astype("float16"), y[:, None], x_test.astype("float16"), y_test[:, None])
    assert error == pytest.approx(linear_probe(*digits), abs=0.01)


def test_a_probe_cut_short_says_so(digits):
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=2 iterations"):
        linear_probe(*digits, max_iter=2)


def test_what_does_not_fit_is_refused(digits):
    x, y, x_test, y_test = digits
    with pytest.raises(ValueError, match="z_train has 1200 samples, but y_train has 1199 labels"):
        linear_probe(x, y[1:], x_test, y_test)
    with pytest.raises(ValueError, match="z_test has 597 samples, but y_test has 596 labels"):
        linear_probe(x, y, x_test, y_test[1:])
    with pytest.raises(ValueError, match="z_train has 64 features per sample, but z_test has 56"):
        linear_probe(x, y, x_test[:, 1:], y_test)
    with pytest.raises(ValueError, match="one-hot"):
        linear_probe(x, np.eye(10)[y], x_test, y_test)
    with pytest.raises(ValueError, match="only one class"):
        linear_probe(x, 0 * y, x_test, y_test)
    with pytest.raises(ValueError, match=r"z_train has shape \(1200,\)"):
        linear_probe(y, y, x_test, y_test)
    with pytest.raises(ValueError, match="l2=0"):
        linear_probe(*digits, l2=0)
    broken = x_test.copy()
    broken[3, 2, 2, 0] = np.nan
    with pytest.raises(ValueError, match="z_test has values that are not finite"):
        linear_probe(x, y, broken, y_test)
