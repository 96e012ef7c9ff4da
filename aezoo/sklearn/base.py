"""The base classes of the estimators: checks of data, standardization, labels of anomalies, and training."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from sklearn.base import BaseEstimator, OutlierMixin

from aezoo import _validation
from aezoo._typing import Data, Self, Shape
from aezoo.sklearn import standardization
from aezoo.training import arguments, gate, inference

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # scikit-learn before 1.6

    def validate_data(estimator: BaseEstimator, *args: Any, **kwargs: Any) -> np.ndarray:
        """Validate data with the method of older versions, as the function of scikit-learn 1.6 does."""
        kwargs["force_all_finite"] = kwargs.pop("ensure_all_finite")
        return estimator._validate_data(*args, **kwargs)


_BLOCK = 64  # rows
_OF_MODEL = "model__"

Samples = dict[str, np.ndarray]
"""Checked samples "x", (n, *sample_shape), and conditions by name."""


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of the estimators: checks and standardizes rows of features."""

    standardize: Literal["standard", "robust"] | None

    # Defaults for estimators that were fitted and pickled before these attributes existed.
    center_: np.ndarray | None = None
    scale_: np.ndarray | None = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._allows_missing()
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {"X_types": ["2darray", "sparse"], "allow_nan": self._allows_missing()}

    def _allows_missing(self) -> bool:
        return False

    def _rows(self, X: Any, fitting: bool, fewest: int = 1, dtype: str = "float32") -> np.ndarray:
        """Return rows of features, (n, features); scikit-learn checks them, and records their number and names."""
        with np.errstate(over="ignore"):  # an overflow becomes infinite, which scikit-learn reports
            try:
                rows: np.ndarray = validate_data(
                    self,
                    X,
                    reset=fitting,
                    dtype=dtype,
                    ensure_min_samples=fewest,
                    ensure_all_finite="allow-nan" if self._allows_missing() else True,
                )
            except ValueError as error:
                if not str(error).startswith("Input X contains NaN"):
                    raise
                mask = ", or give the model missing='mask'" if hasattr(self, "model") else ""
                raise ValueError(f"Input X contains NaN: remove or fill in missing values{mask}.") from error
        return rows

    def _fit_standardization(self, x: np.ndarray) -> None:
        self.center_ = self.scale_ = None
        if self.standardize is not None:
            parts = standardization.fit(x.reshape(len(x), -1), self.standardize)
            self.center_, self.scale_ = (part.reshape(x.shape[1:]) for part in parts)

    def _standardize(self, x: Any) -> Any:
        return x if self.scale_ is None else (x - self.center_) / self.scale_

    def _in_units_of_data(self, x: Any) -> Any:
        return x if self.scale_ is None else x * self.scale_ + self.center_


class Detector(OutlierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """Base class of the detectors of anomalies: labels samples by a threshold on their scores."""

    contamination: float | None
    offset_: float

    def score_samples(self, X: Data) -> np.ndarray:
        """Return a score per sample, (n,) float64: lower is more anomalous."""
        raise NotImplementedError

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

    def _check_contamination(self) -> None:
        if self.contamination is not None and not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination must be in (0, 0.5], but it is {self.contamination!r}.")


class ModelEstimator(Estimator):
    """Base class of the estimators that train a fresh copy of a model."""

    model: Any
    model_: Any
    history_: dict[str, list[float]]
    epochs: int
    batch_size: int
    prefit: bool
    early_stopping: bool
    validation_fraction: float | None
    patience: int
    callbacks: Sequence[keras.callbacks.Callback] | None
    random_state: int | np.random.RandomState | None
    verbose: int | str

    def __setstate__(self, state: dict[str, Any]) -> None:
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        super().__setstate__({**defaults, **state})

    # === Parameters ===

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Args:
            deep: Whether to include the constructor arguments of the model, as `model__NAME`.
        """
        params = super().get_params(deep=deep)
        if deep and _is_model(self.model):
            params.update({_OF_MODEL + name: value for name, value in arguments.of(self.model).items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name.

        `model__NAME` sets a constructor argument of the model: `model` becomes a fresh, untrained copy with this
        argument, compiled as the model was. The model that you passed is not changed.

        Args:
            **params: Values by name.

        Returns:
            The estimator.

        Raises:
            ValueError: If the estimator has no parameter, or the model no argument, of a name.
        """
        of_model = {name: value for name, value in params.items() if name.startswith(_OF_MODEL)}
        super().set_params(**{name: value for name, value in params.items() if name not in of_model})
        if not of_model or not _is_model(self.model):
            return super().set_params(**of_model)
        changes = {name.removeprefix(_OF_MODEL): value for name, value in of_model.items()}
        valid = arguments.of(self.model)
        for name in changes.keys() - valid.keys():
            raise ValueError(
                f"Invalid parameter {name!r} for the model {self.model!r}. Valid parameters are: {sorted(valid)}."
            )
        self.model = arguments.fresh(self.model, **changes)
        return self

    def _check_arguments(self) -> None:
        if not _is_model(self.model):
            raise TypeError(
                f"model must be a model of aezoo, such as aezoo.Autoencoder(latent_dim=8), not {self.model!r}; for a "
                "stack, give the result of its `unroll`."
            )
        _validation.check_int("epochs", self.epochs, 1)
        _validation.check_int("batch_size", self.batch_size, 1)
        _validation.check_int("patience", self.patience, 1)
        if self.validation_fraction is not None:
            _validation.check_open_interval("validation_fraction", self.validation_fraction, 0, 1)
        _validation.check_choice("standardize", self.standardize, standardization.CHOICES)
        if self.standardize is not None and "int" in self.model.input_dtype:
            raise ValueError(
                f"The model takes integers, not standardized numbers: use standardize=None, not {self.standardize!r}."
            )
        if self.prefit:
            _validation.check_built(self.model)
            if self.standardize is not None:
                raise ValueError(
                    f"standardize={self.standardize!r} cannot be combined with prefit=True, since the model has been "
                    "trained on another scale: standardize the data as for its training, and use None."
                )

    @property
    def _validated_share(self) -> float:
        """Share of the training data that is held out for validation."""
        return (0.1 if self.early_stopping else 0.0) if self.validation_fraction is None else self.validation_fraction

    # === Data ===

    def _allows_missing(self) -> bool:
        return getattr(self.model, "missing", "error") != "error"

    def _is_raw(self, X: Any) -> bool:
        """Return whether X are raw data, which the preprocessing of the model turns into samples."""
        preprocessing = getattr(self.model, "preprocessing", None)
        return preprocessing is not None and bool(preprocessing.is_raw(X))

    def _samples(self, X: Any, fitting: bool, fewest: int = 1) -> Samples:
        """Return X in the shape of the model, and its conditions; scikit-learn checks rows of features."""
        conditions: Samples = {}
        if self._is_raw(X):
            X = self.model.preprocessing.transform(X)
        if gate.is_dict(X) or gate.is_stream(X):
            X, conditions = inference.collected(self.model, X)
        if gate.is_table(X):
            gate.as_array(X, missing=True)  # for its messages, which name columns that are not numeric
        else:
            X = gate.dense(gate.as_array(X, self._allows_missing()))
        images = getattr(X, "ndim", 0) > 2 and len(X)
        dtype = "int32" if "int" in self.model.input_dtype else "float32"
        rows = self._rows(np.reshape(X, (len(X), -1)) if images else X, fitting, fewest, dtype)
        if fitting:
            self.sample_shape_ = np.shape(X)[1:] if images else rows.shape[1:]
            built_for: Shape = self.model.x_shape if self.model.built else (None,)
            if None not in built_for and math.prod(built_for) == rows.shape[1]:
                self.sample_shape_ = built_for
        return {"x": rows.reshape(-1, *self.sample_shape_), **conditions}

    def _standardized(self, data: Samples) -> Samples:
        return {**data, "x": self._standardize(data["x"])}

    # === Training ===

    def _use_prefit(self) -> None:
        """Use the model itself, without standardization."""
        self.model_, self.history_ = self.model, {}
        self.center_ = self.scale_ = None

    def _fresh_model(self, seed: int) -> Any:
        """Return an untrained copy of the model, compiled."""
        model = arguments.fresh(self.model, seed)
        if not model.compiled:
            model.compile(optimizer=model.default_optimizer())
        return model

    def _train(self, data: Samples, seed: int, epochs: int, validation: Samples | None, stops: bool) -> None:
        """Train `model_` on standardized data, and record `history_`; `stops` is whether to stop early."""
        if self.standardize is None:
            self.model_.check_scale(data["x"])
        # Keras' own shuffling depends on global seeds, which `fit` must not set.
        batches = _dataset(data).shuffle(len(data["x"]), seed=seed).batch(self.batch_size)
        callbacks = list(self.callbacks or ())
        options: dict[str, Any] = {}
        if validation is not None:
            options["validation_data"] = _dataset(validation).batch(self.batch_size)
        if stops:
            callbacks.append(keras.callbacks.EarlyStopping("val_loss", 0, self.patience, restore_best_weights=True))
        if callbacks:
            options["callbacks"] = callbacks
        self.history_ = self.model_.fit(batches, epochs=epochs, verbose=self.verbose, **options).history

    def _by_blocks(self, data: Samples, function: Callable[[np.ndarray, Mapping[str, Any]], Any]) -> np.ndarray:
        """Apply a function of samples and conditions, so that a row of the result depends on its sample alone."""
        n = len(data["x"])
        data = data if n % _BLOCK == 0 else {name: part[in_whole_blocks(n)] for name, part in data.items()}
        return np.asarray(function(data["x"], {name: part for name, part in data.items() if name != "x"}))[:n]


def in_whole_blocks(n: int) -> np.ndarray:
    """Return the indices of n rows, with the last one repeated up to a multiple of 64.

    The last rows of a matrix product, if they fill no block of the processor, are summed in another order, which would
    make the last bit of a score depend on the position of its sample.
    """
    return np.minimum(np.arange(-(-n // _BLOCK) * _BLOCK), n - 1)


def split(data: Samples, fraction: float, order: np.ndarray) -> tuple[Samples, Samples]:
    """Return the first samples in an order, a fraction of all, and the others; both at least one.

    Args:
        data: At least two samples.
        fraction: Fraction of the first part, inside (0, 1).
        order: A permutation of the indices of the samples.
    """
    first = min(max(1, math.ceil(fraction * len(order))), len(order) - 1)
    one, other = ({name: part[rows] for name, part in data.items()} for rows in (order[:first], order[first:]))
    return one, other


def _dataset(data: Samples) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(data if len(data) > 1 else data["x"])


def _is_model(model: object) -> bool:
    """Return whether an object is a model of aezoo, not its class and not a stack."""
    return hasattr(model, "score_samples") and hasattr(model, "default_callbacks") and not isinstance(model, type)
