"""The checks of scikit-learn for its estimators."""

import pytest
import sklearn
from sklearn.utils.estimator_checks import parametrize_with_checks

import aezoo
from aezoo.sklearn import AnomalyDetector, AutoencoderTransformer

VERSION = tuple(map(int, sklearn.__version__.split(".")[:2]))

#: Checks that fail, with the reason.
EXPECTED_FAILED = {
    # It passes if `fit` ends within the second in which it started.
    "check_estimators_overwrite_params": "compares hashes of pickled parameters before and after `fit`, and the pickle "
    "of a Keras model has the time in it; test_fit_leaves_the_model_alone compares what the model is",
}
if VERSION < (1, 6):
    EXPECTED_FAILED["check_parameters_default_constructible"] = "accepts no required argument but `estimator`"

#: Checks that run in the gate, chosen since each covers a convention of its own; `.ci/slow` runs all others.
QUICK = {
    "check_estimator_repr",
    "check_estimators_nan_inf",
    "check_n_features_in_after_fitting",
    "check_no_attributes_set_in_init",
    "check_readonly_memmap_input",
    "check_set_params",
    "check_transformer_preserve_dtypes",
}


def model():
    made = aezoo.Autoencoder(latent_dim=2, output_activation="linear", seed=0)
    # Eager, because each fit has a model of its own, and its graph takes longer than its few steps.
    made.compile("adam", run_eagerly=True)
    return made


ESTIMATORS = [
    AnomalyDetector(model(), calibration_fraction=0.5, epochs=1, batch_size=256),
    AutoencoderTransformer(model(), epochs=1, batch_size=256),
]


def each():
    """Yield every estimator with every check; those that are known to fail are marked, and all but a few are slow."""
    options = {} if VERSION < (1, 6) else {"expected_failed_checks": lambda estimator: EXPECTED_FAILED}
    mark = parametrize_with_checks(ESTIMATORS, **options)
    for pair in mark.args[1]:
        values = getattr(pair, "values", pair)
        name = getattr(values[1], "func", values[1]).__name__
        marks = [*getattr(pair, "marks", ()), *([] if name in QUICK else [pytest.mark.slow])]
        if name in EXPECTED_FAILED and VERSION < (1, 6):
            marks.append(pytest.mark.xfail(reason=EXPECTED_FAILED[name]))
        yield pytest.param(*values, marks=marks, id=f"{type(values[0]).__name__}-{mark.kwargs['ids'](values[1])}")


@pytest.mark.filterwarnings("ignore:Autoencoder expects features of mean 0")
@pytest.mark.filterwarnings("ignore:false_positive_rate=0.05 needs 19 calibration samples")
@pytest.mark.parametrize(("estimator", "check"), list(each()))
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)
