"""Linear probe: how well a linear classifier reads labels from codes."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

__all__ = ["linear_probe"]


def linear_probe(
    z_train: ArrayLike,
    y_train: ArrayLike,
    z_test: ArrayLike,
    y_test: ArrayLike,
    *,
    l2: float = 1e-3,
    max_iter: int = 500,
) -> float:
    """Compute the test error of a linear classifier trained on fixed codes.

    The classifier is multinomial logistic regression. Features are scaled to zero mean and unit variance on the
    training set; a constant feature, such as a dead unit, becomes 0 and has no influence. It minimizes

        mean over samples of -log p(y given z)  +  l2/2 · ‖W‖²

    which is scikit-learn's `LogisticRegression` with `C = 1 / (l2 * samples)`. The penalty is relative to the mean over
    samples, so that results on data sets of different sizes can be compared. Report the error on pixels,
    `linear_probe(x_train, ...)`, beside the result.

    Args:
        z_train: Codes, (samples, ...); all axes after the first are flattened.
        y_train: Labels, (samples,) or (samples, 1), of at least two classes.
        z_test: Codes, of the same shape after the first axis.
        y_test: Labels. Samples of a class that is not in `y_train` count as errors.
        l2: Weight of the penalty, greater than 0.
        max_iter: The largest number of iterations; a `ConvergenceWarning` says if it was not enough.

    Returns:
        The share of test samples that are classified wrongly, in [0, 1].

    Raises:
        ValueError: If numbers of samples or features do not match, there is not one label per sample, there is only one
            class, or a code has values that are not finite.

    Example:
        >>> z, y = [[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]
        >>> linear_probe(z, y, [[0.5], [3.5], [3.0], [4.5]], [0, 0, 1, 1])  # or with z = model.encode(x_train)
        0.25

    Reference:
        Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes",
        arXiv:1610.01644.
    """
    z_train, y_train = _features("train", z_train), _labels("train", y_train)
    z_test, y_test = _features("test", z_test), _labels("test", y_test)
    for name, z, y in (("train", z_train, y_train), ("test", z_test, y_test)):
        if len(z) != len(y):
            raise ValueError(
                f"z_{name} has {len(z)} samples, but y_{name} has {len(y)} labels: give one label per sample."
            )
    if z_train.shape[1] != z_test.shape[1]:
        raise ValueError(
            f"z_train has {z_train.shape[1]} features per sample, but z_test has {z_test.shape[1]}: give codes of the "
            "same model."
        )
    if len(np.unique(y_train)) < 2:
        raise ValueError("y_train has only one class: give samples of at least two classes.")
    if not l2 > 0:
        raise ValueError(f"l2={l2}: expected a number > 0.")
    # Keep the default tol=1e-4: on 60,000 x 1,000 codes of MNIST, 1e-3 is three times as fast (5 to 10 s on two cores),
    # but stops while the error is still 0.2 percentage points too high.
    classifier = LogisticRegression(C=1 / (l2 * len(z_train)), max_iter=max_iter)
    probe = make_pipeline(StandardScaler(), classifier)
    # For small matrices the threads of BLAS mostly wait for each other: one thread is several times as fast.
    threads = threadpool_limits(1 if z_train.size < 250_000 else None, user_api="blas")
    with threads, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        probe.fit(z_train, y_train)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning) and classifier.n_iter_.max() >= max_iter:
            # scikit-learn's own message names settings that this function does not have.
            warnings.warn(
                f"The probe did not converge in max_iter={max_iter} iterations: its error may be too high. "
                f"Raise max_iter or l2 (now {l2}).",
                ConvergenceWarning,
                stacklevel=2,
            )
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return float(np.mean(probe.predict(z_test) != y_test))


def _features(name: str, z: ArrayLike) -> np.ndarray:
    z = np.asarray(z)
    if z.ndim < 2 or z.size == 0:
        raise ValueError(f"z_{name} has shape {z.shape}: expected codes of shape (samples, ...), at least one.")
    z = z.reshape(len(z), -1)
    if z.dtype not in (np.float32, np.float64):
        z = z.astype("float32")
    if not np.isfinite(z).all():
        raise ValueError(f"z_{name} has values that are not finite (NaN or inf).")
    return z


def _labels(name: str, y: ArrayLike) -> np.ndarray:
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"y_{name} has shape {y.shape}: expected one label per sample, (samples,). For one-hot labels give "
            "`y.argmax(axis=1)`."
        )
    return y
