"""A detector of anomalies made of many small autoencoders, each trained on a few rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from aezoo import _validation
from aezoo._typing import Activation, Data, Shape, Tensor
from aezoo.sklearn import base, standardization
from aezoo.training import gate

__all__ = ["EnsembleDetector"]

_SMALLEST = 1e-9  # of an error, so that its logarithm is finite
_ROWS = 512  # scored at once
_SHRINKAGE = 0.1


@keras.saving.register_keras_serializable("aezoo")
class ParallelDense(keras.layers.Layer):
    """Dense layers side by side, one per member of an ensemble: (members, rows, n) → (members, rows, units).

    Args:
        units: Number of outputs per member.
        members: Number of members.
        activation: A Keras activation.
        widths: Number of outputs that each member uses, (members,); the others are 0. None uses all.
        seed: Seed of the kernels.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> ParallelDense(2, members=3, seed=0)(keras.ops.ones((3, 5, 8))).shape
        TensorShape([3, 5, 2])
    """

    def __init__(
        self,
        units: int,
        members: int,
        activation: Activation | None = None,
        widths: Sequence[int] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.members = members
        self.activation = keras.activations.get(activation)
        self.widths = None if widths is None else [int(width) for width in widths]
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        """Create kernels of (members, n, units), with a variance of 1 / n, and biases of (members, 1, units)."""
        n = input_shape[-1]
        normal = keras.initializers.RandomNormal(stddev=n**-0.5, seed=self.seed)
        self.kernel = self.add_weight(shape=(self.members, n, self.units), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(self.members, 1, self.units), initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        """Return the output of each member's layer for the member's rows.

        Args:
            x: Rows of each member, (members, rows, n), or rows that all members share, (1, rows, n).
        """
        y = self.activation(ops.matmul(x, self.kernel) + self.bias)
        if self.widths is None:
            return y
        return y * ops.cast(np.arange(self.units) < np.reshape(self.widths, (-1, 1, 1)), y.dtype)

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        mine = {
            "units": self.units,
            "members": self.members,
            "activation": activation,
            "widths": self.widths,
            "seed": self.seed,
        }
        return {**super().get_config(), **mine}


class EnsembleDetector(base.Detector):
    """Detector of anomalies in a table that contains them: many small autoencoders, each trained on a few random rows.

    A few rows contain few of the anomalies, so that most members of the ensemble do not learn to reconstruct them. The
    members differ in their rows, in the number of rows and in the width of the code, and train side by side as one
    Keras model. A member judges a row by two numbers: the squared error of its reconstruction, and the squared
    Mahalanobis distance of its code from the codes of the member's own rows. The logarithm of each is centered by its
    median over the training rows and divided by its interquartile range there. The larger of both, or 0 if both are
    below their medians, is the member's vote, since a row is anomalous if it is badly reconstructed or has an unusual
    code. The score is the mean of the votes. It is no sum over features, so that there is no `explain`.

    As in all of scikit-learn, `score_samples` is *lower* for anomalies. `decision_function` is
    `score_samples - offset_`, negative for anomalies, and `predict` returns 1 for normal rows and -1 for anomalies.
    pickle and joblib save a fitted detector.

    Args:
        n_estimators: Number of autoencoders.
        max_samples: Numbers of rows, which the members take in turn; all rows, if there are fewer.
        latent_dims: Widths of the codes, which the members take in turn, too; no code is wider than a row.
        hidden_units: Units of the hidden layer before and after the code.
        steps: Number of training steps, each with all rows of a member.
        learning_rate: Learning rate of Adam at the beginning; it falls to 0 along a cosine.
        contamination: Share of anomalies in the data of `fit`, in (0, 0.5], which sets `offset_`: this share of the
            training rows is labeled anomalies. It does not change the scores.
        standardize: "standard" subtracts the mean of each feature and divides by its standard deviation, "robust" uses
            the median and the interquartile range; None leaves the features unchanged.
        random_state: Seed of the choice of rows and of the initial weights. An int makes `fit` reproducible.

    Attributes:
        model_: The trained networks, a Keras model from rows, (n_estimators, n, features) or (1, n, features) for the
            same rows, to codes and reconstructions.
        offset_: The threshold on `score_samples`.
        center_: Center of each feature, (features,); None without `standardize`.
        scale_: Scale of each feature, (features,); None without `standardize`.
        estimators_samples_: Indices of the rows that each member was trained on, a list of arrays.
        n_features_in_: Number of features.
        feature_names_in_: Names of the features, if X had names.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = np.concatenate([rng.normal(size=(190, 3)), rng.normal(6, 1, size=(10, 3))])
        >>> detector = EnsembleDetector(contamination=0.05, random_state=0).fit(x)
        >>> int(np.sum(detector.predict(x[190:]) == -1))
        10

    Reference:
        Chen, Sathe, Aggarwal & Turaga, "Outlier detection with autoencoder ensembles", SDM 2017; Liu, Ting & Zhou,
        "Isolation forest", ICDM 2008, for small random samples; Aggarwal & Sathe, "Theoretical foundations and
        algorithms for outlier ensembles", SIGKDD Explorations 17 (2015), for samples of different sizes.
    """

    contamination: float

    def __init__(
        self,
        n_estimators: int = 60,
        *,
        max_samples: Sequence[int] = (8, 16, 64),
        latent_dims: Sequence[int] = (1, 2, 4, 8, 16),
        hidden_units: int = 64,
        steps: int = 150,
        learning_rate: float = 0.01,
        contamination: float = 0.1,
        standardize: Literal["standard", "robust"] | None = "standard",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.latent_dims = latent_dims
        self.hidden_units = hidden_units
        self.steps = steps
        self.learning_rate = learning_rate
        self.contamination = contamination
        self.standardize = standardize
        self.random_state = random_state

    def fit(self, X: Data, y: object = None) -> EnsembleDetector:
        """Train the autoencoders and set the threshold.

        Args:
            X: Rows, (n, features): an array, a sparse matrix or a DataFrame. They may contain anomalies.
            y: Ignored.

        Returns:
            The detector.

        Raises:
            ValueError: If X has NaN, infinite values or fewer than two rows, an argument is out of range, or the
                training diverged.
        """
        self._check_arguments()
        x = self._rows(gate.dense(X), fitting=True, fewest=2)
        self._fit_standardization(x)
        x = self._standardize(x)
        random = check_random_state(self.random_state)
        sizes = np.minimum(np.resize(self.max_samples, self.n_estimators), len(x))
        self.estimators_samples_ = [random.permutation(len(x))[:size] for size in sizes]
        # A member of fewer rows than another repeats them, so that the rows of all members are one array.
        parts = np.stack([np.resize(x[rows], (sizes.max(), x.shape[1])) for rows in self.estimators_samples_])
        self.model_ = self._train(parts, int(random.randint(2**31 - 1)))
        codes, _ = self.model_(parts)
        self._code_centers, self._whitening = _gaussians(np.asarray(codes, "float64"), self._widths)
        numbers = self._numbers(x)
        if not np.isfinite(numbers).all():
            raise ValueError(
                "The errors of the training rows are not finite, so the training diverged: choose a smaller "
                f"learning_rate than {self.learning_rate:g}."
            )
        low, self._medians, high = np.percentile(numbers, (25, 50, 75), axis=0)
        self._ranges = np.maximum(high - low, _SMALLEST)
        self.offset_ = float(np.quantile(self._scores(numbers), self.contamination))
        return self

    def score_samples(self, X: Data) -> np.ndarray:
        """Return scores, (n,) float64: lower is more anomalous.

        Args:
            X: Rows as in `fit`, with the same number of features.

        Raises:
            ValueError: If X has NaN or infinite values, or another number of features.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        return self._scores(self._numbers(self._standardize(self._rows(gate.dense(X), fitting=False))))

    def _check_arguments(self) -> None:
        for name in ("n_estimators", "hidden_units", "steps"):
            _validation.check_int(name, getattr(self, name), 1)
        for name, least in (("max_samples", 2), ("latent_dims", 1)):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or not values:
                raise ValueError(f"{name} must be a tuple of at least one integer, but it is {values!r}.")
            for value in values:
                _validation.check_int(name, value, least)
        _validation.check_open_interval("learning_rate", self.learning_rate, 0, float("inf"))
        self._check_contamination()
        _validation.check_choice("standardize", self.standardize, standardization.CHOICES)

    @property
    def _widths(self) -> np.ndarray:
        return np.minimum(np.resize(self.latent_dims, self.n_estimators), self.n_features_in_)

    def _train(self, parts: np.ndarray, seed: int) -> keras.Model:
        """Return networks trained on the rows of each member, (members, rows, features)."""
        widths, members, features = self._widths, self.n_estimators, parts.shape[-1]
        seeds = [int(s) for s in np.random.RandomState(seed).randint(2**31 - 1, size=4)]
        x = keras.Input((None, features))
        code = ParallelDense(self.hidden_units, members, "relu", seed=seeds[0])(x)
        code = ParallelDense(int(widths.max()), members, widths=widths.tolist(), seed=seeds[1], name="code")(code)
        y = ParallelDense(self.hidden_units, members, "relu", seed=seeds[2])(code)
        y = ParallelDense(features, members, seed=seeds[3], name="reconstruction")(y)
        model = keras.Model(x, [code, y])
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(self.learning_rate, self.steps))
        weights = model.trainable_variables
        optimizer.build(weights)
        x_train = tf.constant(parts)

        @tf.function
        def train() -> None:
            for _ in tf.range(self.steps):
                with tf.GradientTape() as tape:
                    errors = ops.mean(ops.square(model(x_train)[1] - x_train), axis=(1, 2))
                    loss = ops.sum(errors)  # not the mean, so that a member's steps do not depend on the others
                optimizer.apply(tape.gradient(loss, weights), weights)

        train()
        return model

    def _numbers(self, x: np.ndarray) -> np.ndarray:
        """Return the logarithms of error and distance of each row for each member, (n, 2, members)."""
        filled = x[base.in_whole_blocks(len(x))]  # so that a score depends on its row alone
        blocks = [self._of_block(filled[start : start + _ROWS]) for start in range(0, len(filled), _ROWS)]
        return np.concatenate(blocks)[: len(x)]

    def _of_block(self, x: np.ndarray) -> np.ndarray:
        codes, y = (np.asarray(part) for part in self.model_(x[None]))
        errors = np.mean((x - y) ** 2, axis=-1)
        distances = np.sum(np.matmul(codes - self._code_centers[:, None], self._whitening) ** 2, axis=-1)
        return np.log(np.stack([errors.T, distances.T], axis=1).astype("float64") + _SMALLEST)

    def _scores(self, numbers: np.ndarray) -> np.ndarray:
        votes = np.max((numbers - self._medians) / self._ranges, axis=1)
        return -np.mean(np.maximum(votes, 0), axis=1)


def _gaussians(codes: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Gaussian to the codes of each member, (members, n, k).

    The covariance is shrunk by a tenth toward a multiple of the identity, since it comes from few rows.

    Returns:
        The means, (members, k), and matrices, (members, k, k), that turn centered codes into codes of covariance 1.
    """
    centers = codes.mean(axis=1)
    whitening = np.zeros((len(codes), codes.shape[2], codes.shape[2]))
    for member, width in enumerate(widths):
        centered = (codes[member] - centers[member])[:, :width]
        covariance = centered.T @ centered / len(centered)
        scale = max(np.trace(covariance) / width, _SMALLEST)
        shrunk = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * scale * np.eye(width)
        whitening[member, :width, :width] = np.linalg.cholesky(np.linalg.inv(shrunk))
    return centers, whitening
