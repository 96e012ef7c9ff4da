"""A detector of anomalies: samples that are unlike the training data."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from aezoo import _validation
from aezoo._numerics import as_float32
from aezoo._typing import Data, Tensor
from aezoo.saving import export, raw
from aezoo.sklearn import base
from aezoo.training import gate, inference

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["AnomalyDetector"]

_DEFAULT_RATE = 0.05


class AnomalyDetector(base.Detector, base.ModelEstimator):
    """Anomaly detector with the interface of scikit-learn, based on a model of aezoo.

    `fit` trains a fresh copy of the model on a part of the normal data and calibrates a threshold on the rest, so that
    at most `false_positive_rate` of future normal samples are labeled anomalies. As in all of scikit-learn, and
    opposite to the models themselves, `score_samples` is *lower* for anomalies: it is the negative of the model's
    score. `decision_function` is `score_samples - offset_`, negative for anomalies, and `predict` returns 1 for normal
    samples and -1 for anomalies.

    The threshold comes from split conformal prediction: it is the ⌈(m + 1)(1 - rate)⌉-th smallest anomaly score of the
    m samples held out. The rate then holds for any model and any data, on average over the choice of the held-out
    samples, as long as future samples come from the same distribution. This needs m >= 1/rate - 1; with fewer samples,
    `fit` warns.

    If your data contain anomalies, give their share as `contamination` instead: the model trains on all samples, and
    the threshold is the quantile of their scores that labels this share of them anomalies. It is a cut through the
    training data, without a guarantee for future samples.

    pickle and joblib save a fitted detector; `export` writes it for a server, which needs neither aezoo nor Python.

    Args:
        model: A model of aezoo; `fit` does not change it. A model that is not compiled is trained with its default
            optimizer.
        false_positive_rate: Share of normal samples that may be labeled anomalies, inside (0, 1).
        calibration_fraction: Share of the data that is held out from training for the threshold, inside (0, 1).
            Ignored with `prefit`, which uses all data for the threshold, and with `contamination`.
        epochs: Number of passes over the training part.
        batch_size: Samples per training step.
        prefit: Whether the model is already trained: `fit` then only calibrates the threshold, on data that the model
            was not trained on.
        contamination: Share of anomalies in the data of `fit`, in (0, 0.5]; None for data that are normal. It replaces
            `false_positive_rate`, which must then keep its default.
        standardize: "standard" subtracts the mean of each feature of the training part and divides by its standard
            deviation, "robust" uses the median and the interquartile range, on which anomalies have little influence;
            None leaves the features unchanged.
        early_stopping: Whether to stop as soon as the loss on validation samples has not improved for `patience`
            epochs; the weights of the best epoch are restored.
        validation_fraction: Share of the training part held out for validation, inside (0, 1). None holds out 10 % with
            `early_stopping` and nothing otherwise.
        patience: Number of epochs without improvement before training stops.
        callbacks: Keras callbacks for `fit`.
        random_state: Seed of the splits and the order of the samples, and of the initial weights and the noise of a
            model that has no seed. An int makes `fit` reproducible, except for networks of your own, which have their
            own seeds.
        verbose: As in `keras.Model.fit`.

    Attributes:
        model_: The trained copy, or the model itself with `prefit`.
        offset_: The negative of the threshold on the model's score.
        history_: Loss, terms and metrics per epoch of the training, as in `keras.callbacks.History`.
        center_: Center of each feature, (*sample_shape_); None without `standardize`.
        scale_: Scale of each feature, (*sample_shape_); None without `standardize`.
        sample_shape_: Shape of a sample for the model.
        n_features_in_: Number of features, the product of `sample_shape_`.
        feature_names_in_: Names of the features, if X had names.

    Example:
        >>> import aezoo
        >>> (x, y), _ = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(latent_dim=4, hidden_dims=(32,), seed=0)
        >>> detector = AnomalyDetector(model, epochs=10, random_state=0).fit(x[y == 0])
        >>> detector.predict(1 - x[:3])  # photographic negatives
        array([-1, -1, -1])

    Reference:
        Japkowicz, Myers & Gluck, "A novelty detection approach to classification", IJCAI 1995; Papadopoulos et al.,
        "Inductive confidence machines for regression", ECML 2002, for the threshold.
    """

    def __init__(
        self,
        model: Autoencoder,
        *,
        false_positive_rate: float = 0.05,
        calibration_fraction: float = 0.2,
        epochs: int = 50,
        batch_size: int = 32,
        prefit: bool = False,
        contamination: float | None = None,
        standardize: Literal["standard", "robust"] | None = None,
        early_stopping: bool = False,
        validation_fraction: float | None = None,
        patience: int = 10,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int | str = 0,
    ):
        self.model = model
        self.false_positive_rate = false_positive_rate
        self.calibration_fraction = calibration_fraction
        self.epochs = epochs
        self.batch_size = batch_size
        self.prefit = prefit
        self.contamination = contamination
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Data, y: object = None) -> AnomalyDetector:
        """Train on normal data, or on all data with `contamination`, and set the threshold.

        Args:
            X: Samples, (n, features), or (n, *input_shape) such as images. Rows of features are reshaped to
                the sample shape of a built model with as many features. Also a dict of "x" and the conditions, or data
                that come batch by batch, such as a data set, which are read into memory. NaN marks missing values for a
                model that accepts them.
            y: Ignored.

        Returns:
            The detector.

        Raises:
            ValueError: If X has NaN (which the model does not accept), infinite values or too few samples, the model
                cannot be trained on it, its training diverged, or an argument is out of range.
            TypeError: If the model is not a model of aezoo.
        """
        self._check_arguments()
        parts = 0 if self.prefit else 1 + (self.contamination is None) + bool(self._validated_share)
        data = held_out = self._samples(X, fitting=True, fewest=max(parts, 1))
        if self.prefit:
            self._use_prefit()
        else:
            random = check_random_state(self.random_state)
            order = random.permutation(len(data["x"]))
            if self.contamination is None:
                held_out, train = base.split(data, self.calibration_fraction, order)
            else:
                train = {name: part[order] for name, part in data.items()}
            self.model_ = self._fresh_model(int(random.randint(2**31 - 1)))
            self._fit_standardization(train["x"])
            self._train_on(self._standardized(train), int(random.randint(2**31 - 1)))
        self.offset_ = self._offset(self._scores(self._standardized(held_out)))
        return self

    def score_samples(self, X: Data) -> np.ndarray:
        """Return the negative of the model's `score_samples`, (n,) float64: lower is more anomalous.

        Args:
            X: Samples as in `fit`, with the same number of features.

        Raises:
            ValueError: If X has NaN (which the model does not accept) or infinite values, or another number of
                features.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        return self._scores(self._standardized(self._samples(X, fitting=False)))

    def explain(self, X: Data) -> Any:
        """Return the contribution of each feature to the anomaly score of its sample.

        The contributions of a sample sum to its score, `-score_samples(X)`, if the model's score is a sum or a mean of
        errors of features, as in an `Autoencoder`; see `aezoo.Autoencoder.contributions`. They are not negative
        for a squared error or a cross-entropy. `aezoo.plots.contributions` draws them.

        Args:
            X: As in `score_samples`.

        Returns:
            For a DataFrame or a table of pyarrow the same kind of table, with its columns; otherwise an array, float32,
            of the shape of X. The features that the model's `preprocessing` makes of a column count together; for raw
            data that are no table, such as a path, the result is a dict of columns.

        Raises:
            ValueError: As `score_samples`, or if the model's score is no sum over features, as the free energy of an
                `RBM`.
            sklearn.exceptions.NotFittedError: Before `fit`.

        Example:
            >>> import aezoo, pandas as pd
            >>> x = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 3)), columns=["a", "b", "c"])
            >>> detector = AnomalyDetector(aezoo.LinearAE(2, seed=0), epochs=2, random_state=0).fit(x)
            >>> x.loc[0, "b"] = 50
            >>> detector.explain(x.head(1)).idxmax(axis=1).tolist()
            ['b']
        """
        check_is_fitted(self)
        data = self._standardized(self._samples(X, fitting=False))
        found = self._by_blocks(data, lambda x, conditions: self.model_.contributions(x, **conditions))
        rows = found.reshape(len(found), -1)
        if self._is_raw(X):
            groups = self.model_.preprocessing.groups
            if not groups:
                return found
            by_column = np.asarray(_by_column(found, groups))
            if gate.is_table(X):
                return _table_like(X, by_column, list(groups))
            return dict(zip(groups, by_column.T, strict=True))
        if gate.is_table(X):
            return _table_like(X, rows)
        if gate.is_dict(X) or gate.is_stream(X):
            return found
        shape = getattr(X, "shape", ())
        return rows.reshape(shape) if len(shape) > 2 else rows

    def export(self, path: str | os.PathLike[str], **kwargs: Any) -> None:
        """Write a SavedModel with the model's signatures and `detect`, which contains the threshold.

        `detect` takes samples `x`, and conditions by name, and returns

        - `score`, (n,): the score of the model, `-score_samples(X)`, *higher* for anomalies;
        - `is_anomaly`, (n,) bool: whether the score is above the threshold;
        - `contributions`, (n, *input_shape): the result of `explain`, left out if the model has none.

        If the model has `preprocessing`, every signature takes the raw values by name, such as one input per column of
        a table, and `contributions` has a column for each of them. With `standardize`, every signature takes samples,
        and returns reconstructions and imputed samples, in the units of the data.
        `tf.saved_model.load` loads the folder without aezoo; a folder named by a number is a version for TensorFlow
        Serving.

        Args:
            path: The folder to write. An earlier export is overwritten, but not a folder that contains other files.
            **kwargs: Options of a SavedModel: `half`, `warmup` and `verbose` of `aezoo.Autoencoder.export`.

        Raises:
            FileExistsError: If the folder contains other files.
            sklearn.exceptions.NotFittedError: Before `fit`.

        Example:
            ```python
            detector.export("served/detector/1")
            detect = tf.saved_model.load("served/detector/1").signatures["detect"]
            detect(x=tf.constant(x))["is_anomaly"]
            ```
        """
        check_is_fitted(self)
        export.saved_model(self.model_, path, signatures=self._signatures(), **kwargs)

    def _signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        signatures = self.model_.signatures()
        if self.scale_ is not None:
            signatures = {name: self._before_standardization(*signature) for name, signature in signatures.items()}
        specs = signatures["encode"][1]
        try:
            self.model_.contributions(self.model_.dummy_inputs(2), **self.model_.dummy_conditions(2))
            explains = True
        except ValueError:
            explains = False

        preprocessing = self.model_.preprocessing
        groups = preprocessing.groups if preprocessing is not None else {}

        def detect(x: Tensor, *values: Tensor) -> dict[str, Tensor]:
            x = self._standardize(x)
            conditions = dict(zip(self.model_.condition_names, values, strict=True))
            score = self.model_.score_samples(x, **conditions)
            found = {"score": as_float32(score), "is_anomaly": tf.cast(score, "float64") > -self.offset_}
            if not explains:
                return found
            parts = self.model_.contributions(x, **conditions)
            return {**found, "contributions": _by_column(parts, groups) if groups else parts}

        return {**signatures, "detect": (detect, specs, "")}

    def _before_standardization(
        self, function: Any, specs: dict[str, tf.TensorSpec], output: str
    ) -> tuple[Any, dict[str, tf.TensorSpec], str]:
        """Return a signature that takes and returns samples in the units of the data."""

        def in_units(*inputs: Tensor) -> Tensor:
            given = zip(specs, inputs, strict=True)
            result = function(*(self._standardize(value) if name == "x" else value for name, value in given))
            return self._in_units_of_data(result) if output in raw.SAMPLES else result

        return in_units, specs, output

    def _check_arguments(self) -> None:
        super()._check_arguments()
        _validation.check_open_interval("false_positive_rate", self.false_positive_rate, 0, 1)
        _validation.check_open_interval("calibration_fraction", self.calibration_fraction, 0, 1)
        self._check_contamination()
        if self.contamination is not None and self.false_positive_rate != _DEFAULT_RATE:
            raise ValueError(
                f"contamination={self.contamination} and false_positive_rate={self.false_positive_rate} both set the "
                "threshold: give contamination for data with anomalies, false_positive_rate for normal data."
            )

    def _train_on(self, data: base.Samples, seed: int) -> None:
        # If the loss has no scores, fail before the training instead of after it.
        self.model_.score_samples(data["x"][:2], **{name: part[:2] for name, part in data.items() if name != "x"})
        validation = None
        if share := self._validated_share:
            validation, data = base.split(data, share, np.arange(len(data["x"])))  # they are in random order
        self._train(data, seed, self.epochs, validation, self.early_stopping)

    def _scores(self, data: base.Samples) -> np.ndarray:
        scores = self._by_blocks(data, lambda x, conditions: inference.scores(self.model_, x, **conditions))
        return -scores.astype("float64")

    def _offset(self, scores: np.ndarray) -> float:
        if not np.isfinite(scores).all():
            raise ValueError(
                "The scores of the samples for the threshold are not finite, so the training diverged: choose a "
                "smaller learning rate."
            )
        if self.contamination is not None:
            return float(np.quantile(scores, self.contamination))
        n = len(scores)
        rank = math.ceil((n + 1) * (1 - self.false_positive_rate) - 1e-9)  # the product may be a last bit too large
        if rank > n:
            needed = math.ceil(1 / self.false_positive_rate - 1 - 1e-9)
            warnings.warn(
                f"false_positive_rate={self.false_positive_rate:g} needs {needed} calibration samples, but there are "
                f"{n}: the rate may be as high as {1 / (n + 1):.2g}. Give more data, or raise the rate or "
                "calibration_fraction.",
                stacklevel=3,
            )
        return float(np.sort(scores)[max(n - rank, 0)])


def _by_column(contributions: Tensor, groups: Mapping[str, slice]) -> Tensor:
    """Return the sum of the contributions of each column's features, (n, columns)."""
    return tf.stack([tf.reduce_sum(contributions[:, features], axis=1) for features in groups.values()], axis=1)


def _table_like(X: Any, values: np.ndarray, names: Sequence[str] | None = None) -> Any:
    """Return values as a table of the kind of X, with its index and its columns, or with columns of other names."""
    if hasattr(X, "from_pydict"):  # pyarrow
        return type(X).from_pydict(dict(zip(names or X.column_names, values.T, strict=True)))
    if hasattr(X, "iloc"):  # pandas, where several columns may have the same name
        return type(X)(values, index=X.index, columns=names or X.columns)
    return type(X)(dict(zip(names or X.columns, values.T, strict=True)))
