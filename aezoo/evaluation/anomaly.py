"""Detection of anomalies: samples that are unlike the training data."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from aezoo import _keras, _validation
from aezoo._typing import ArrayLike, Data, Shape
from aezoo.training import gate, inference

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator: BaseEstimator, *args: Any, **kwargs: Any) -> np.ndarray:
        """Validate data with the method of older versions, as the function of scikit-learn 1.6 does."""
        kwargs["force_all_finite"] = kwargs.pop("ensure_all_finite")
        return estimator._validate_data(*args, **kwargs)


__all__ = ["AnomalyDetector", "anomaly_auroc"]


_BLOCK = 64  # rows


def anomaly_auroc(
    model: Autoencoder, normal: Data, anomalous: Data, *, batch_size: int | None = None, **conditions: ArrayLike
) -> float:
    """Compute the area under the ROC curve of a model's `score_samples` for anomalies against normal samples.

    Args:
        model: A built model with `score_samples`, which is higher for anomalies.
        normal: Normal samples that the model was not trained on, (n, *input_shape), or a dict of "x" and the
            conditions; or data that come batch by batch, such as a data set, in the forms that `fit` accepts.
        anomalous: Anomalies, (m, *input_shape), in any of these forms.
        batch_size: Maximum number of samples to score at once; None chooses it by their size.
        **conditions: Conditions by name, one value for all samples.

    Returns:
        The probability that an anomaly scores higher than a normal sample: 1 is perfect, 0.5 is chance.

    Raises:
        ValueError: If the model is not built, or normal or anomalous samples are empty or have the wrong shape.

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(latent_dim=2)
        >>> x = np.random.default_rng(0).random((6, 4, 4, 1), "float32")
        >>> model.build(x.shape)
        >>> anomaly_auroc(model, x, 100 + x)
        1.0
    """
    _validation.check_built(model)
    scores = [score(model, x, batch_size, **conditions) for x in (normal, anomalous)]
    labels = np.repeat([0, 1], [len(part) for part in scores])
    return float(roc_auc_score(labels, np.concatenate(scores)))


def score(model: Autoencoder, x: Data, batch_size: int | None = None, **conditions: ArrayLike) -> np.ndarray:
    """Compute a model's `score_samples` in pieces, so that data of any length fit; a user's class may override it."""
    pieces = inference.measured(model, x, conditions, batch_size=batch_size)
    return np.concatenate([np.asarray(model.score_samples(piece.x, **piece.conditions)) for piece in pieces])


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
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

    Args:
        model: A model of aezoo; `fit` does not change it. A model that is not compiled is trained with its default
            optimizer.
        false_positive_rate: Share of normal samples that may be labeled anomalies, inside (0, 1).
        calibration_fraction: Share of the data that is held out from training for the threshold, inside (0, 1).
            Ignored with `prefit`, which uses all data for the threshold.
        epochs: Number of passes over the training part.
        batch_size: Samples per training step.
        prefit: Whether the model is already trained: `fit` then only calibrates the threshold, on data that the model
            was not trained on.
        random_state: Seed of the split and the order of the samples, and of the initial weights and the noise of a
            model that has no seed. An int makes `fit` reproducible, except for networks of your own, which have their
            own seeds.
        verbose: As in `keras.Model.fit`.

    Attributes:
        model_: The trained copy, or the model itself with `prefit`.
        offset_: The negative of the threshold on the model's score.
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
        random_state: int | np.random.RandomState | None = None,
        verbose: int | str = 0,
    ):
        self.model = model
        self.false_positive_rate = false_positive_rate
        self.calibration_fraction = calibration_fraction
        self.epochs = epochs
        self.batch_size = batch_size
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Data, y: object = None) -> AnomalyDetector:
        """Train on normal data, and calibrate the threshold.

        Args:
            X: Normal samples, (n, features), or (n, *input_shape) such as images. Rows of features are reshaped to
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
        data = self._samples(X, fitting=True)
        if self.prefit:
            self.model_, held_back = self.model, data
        else:
            random = check_random_state(self.random_state)
            order = random.permutation(len(data["x"]))
            # At least one sample for each part; `_samples` has checked that there are two.
            held = min(max(1, math.ceil(self.calibration_fraction * len(order))), len(order) - 1)
            held_back, rest = ({k: part[rows] for k, part in data.items()} for rows in (order[:held], order[held:]))
            self.model_ = _fresh(self.model, int(random.randint(2**31 - 1)))
            self._train(rest, int(random.randint(2**31 - 1)))
        self.offset_ = -self._threshold(-self._scores(held_back))
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
        return self._scores(self._samples(X, fitting=False))

    def decision_function(self, X: Data) -> np.ndarray:
        """Return `score_samples(X) - offset_`, (n,) float64: negative for anomalies.

        Args:
            X: As in `score_samples`.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Data) -> np.ndarray:
        """Return 1 for normal samples and -1 for anomalies, (n,).

        Args:
            X: As in `score_samples`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._allows_missing()
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"X_types": ["2darray", "sparse"], "allow_nan": self._allows_missing()}

    def _allows_missing(self) -> bool:
        return getattr(self.model, "missing", "error") != "error"

    def _check_arguments(self) -> None:
        of_aezoo = hasattr(self.model, "score_samples") and hasattr(self.model, "default_callbacks")
        if not of_aezoo or isinstance(self.model, type):
            raise TypeError(
                f"model must be a model of aezoo, such as aezoo.Autoencoder(latent_dim=8), not {self.model!r}; for a "
                "stack, give the result of its `unroll`."
            )
        _validation.check_open_interval("false_positive_rate", self.false_positive_rate, 0, 1)
        _validation.check_open_interval("calibration_fraction", self.calibration_fraction, 0, 1)
        _validation.check_int("epochs", self.epochs, 1)
        _validation.check_int("batch_size", self.batch_size, 1)
        if self.prefit:
            _validation.check_built(self.model)

    def _samples(self, X: Any, fitting: bool) -> dict[str, np.ndarray]:
        """Return X in the shape of the model, and its conditions; scikit-learn checks rows of features."""
        conditions: dict[str, np.ndarray] = {}
        if gate.is_dict(X) or gate.is_stream(X):
            X, conditions = inference.collected(self.model, X)
        missing = self._allows_missing()
        X = X if gate.is_table(X) else gate.dense(gate.as_array(X, missing))  # scikit-learn reads a table's columns
        images = getattr(X, "ndim", 0) > 2 and len(X)
        rows = np.reshape(X, (len(X), -1)) if images else X
        fewest = 2 if fitting and not self.prefit else 1
        with np.errstate(over="ignore"):  # an overflow becomes infinite, which scikit-learn reports
            rows = validate_data(
                self,
                rows,
                reset=fitting,
                dtype="int32" if "int" in self.model.input_dtype else "float32",
                ensure_min_samples=fewest,
                ensure_all_finite="allow-nan" if missing else True,
            )
        if fitting:
            self.sample_shape_ = np.shape(X)[1:] if images else rows.shape[1:]
            built_for: Shape = self.model.x_shape if self.model.built else (None,)
            if None not in built_for and math.prod(built_for) == rows.shape[1]:
                self.sample_shape_ = built_for
        return {"x": rows.reshape(-1, *self.sample_shape_), **conditions}

    def _train(self, data: dict[str, Any], seed: int) -> None:
        self.model_.check_scale(data["x"])
        # If the loss has no scores, fail before the training instead of after it.
        self.model_.score_samples(data["x"][:2], **{name: part[:2] for name, part in data.items() if name != "x"})
        # Keras' own shuffling depends on global seeds, which `fit` must not set.
        slices = tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data["x"])
        batches = slices.shuffle(len(data["x"]), seed=seed).batch(self.batch_size)
        self.model_.fit(batches, epochs=self.epochs, verbose=self.verbose)

    def _scores(self, data: dict[str, np.ndarray]) -> np.ndarray:
        n = len(data["x"])
        # The last rows of a matrix product, if they fill no block of the processor, are summed in another order, which
        # would make the last bit of a score depend on the position of its sample. Repeat rows to fill whole blocks.
        rows = np.minimum(np.arange(-(-n // _BLOCK) * _BLOCK), n - 1)
        data = data if n % _BLOCK == 0 else {name: part[rows] for name, part in data.items()}
        conditions: dict[str, Any] = {name: part for name, part in data.items() if name != "x"}
        return -score(self.model_, data["x"], **conditions)[:n].astype("float64")

    def _threshold(self, anomaly_scores: np.ndarray) -> float:
        if not np.isfinite(anomaly_scores).all():
            raise ValueError(
                "The scores of the held-out samples are not finite, so the training diverged: choose a smaller "
                "learning rate."
            )
        n = len(anomaly_scores)
        rank = math.ceil((n + 1) * (1 - self.false_positive_rate) - 1e-9)  # the product may be a last bit too large
        if rank > n:
            needed = math.ceil(1 / self.false_positive_rate - 1 - 1e-9)
            warnings.warn(
                f"false_positive_rate={self.false_positive_rate:g} needs {needed} calibration samples, but there are "
                f"{n}: the rate may be as high as {1 / (n + 1):.2g}. Give more data, or raise the rate or "
                "calibration_fraction.",
                stacklevel=3,
            )
        return float(np.sort(anomaly_scores)[min(rank, n) - 1])


def _again(part: object) -> object:
    """Return a fresh copy of an optimizer or metric, and any other argument of `compile` unchanged."""
    if isinstance(part, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        return type(part).from_config(part.get_config())
    return part


def _fresh(model: Autoencoder, seed: int) -> Autoencoder:
    """Return an untrained copy of a model, compiled like the model, or with its default optimizer."""
    config = model.get_config()
    if config.get("seed") is None:
        config["seed"] = seed
    for name in ("encoder", "decoder"):  # from this process, not from a file, so that Lambda layers are trusted
        if isinstance(config.get(name), dict):
            config[name] = keras.saving.deserialize_keras_object(config[name], safe_mode=False)
    copy = type(model).from_config(config)
    if model.compiled:
        # Pass functions themselves, not their names: functions of a live model need not be registered.
        copy.compile(**keras.tree.map_structure(_again, _keras.compile_arguments(model)))
    else:
        copy.compile(optimizer=copy.default_optimizer())
    return copy
