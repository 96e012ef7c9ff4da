"""A transformer that replaces features by codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from aezoo import _validation
from aezoo._typing import ArrayLike, Data
from aezoo.sklearn import base
from aezoo.training import gate

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["AutoencoderTransformer"]


class AutoencoderTransformer(TransformerMixin, base.ModelEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Transformer with the interface of scikit-learn that replaces samples by the codes of a model of aezoo.

    `fit` trains a fresh copy of the model; `transform` returns one row per sample and one column per code unit. The
    columns are named by the model's class, such as "autoencoder0", and `set_output(transform="pandas")` returns a
    DataFrame. `score` is the explained variance, so that `GridSearchCV` selects the model that reconstructs best.

    Args:
        model: A model of aezoo; `fit` does not change it. A model that is not compiled is trained with its default
            optimizer. Tables need `output_activation="linear"`, unless all values are in [0, 1].
        epochs: Number of passes over the training data.
        batch_size: Samples per training step.
        standardize: "standard" subtracts the mean of each feature and divides by its standard deviation, "robust" uses
            the median and the interquartile range, None leaves the features unchanged. `inverse_transform` undoes it.
        early_stopping: Whether to stop as soon as the loss on held-out samples has not improved for `patience` epochs;
            the weights of the best epoch are restored.
        validation_fraction: Fraction of the data held out for validation, inside (0, 1). None holds out 10 % with
            `early_stopping` and nothing otherwise.
        patience: Number of epochs without improvement before training stops.
        callbacks: Keras callbacks for `fit`.
        warm_start: Whether a second `fit` continues with the trained weights, the state of the optimizer and the
            standardization of the first.
        prefit: Whether the model is already trained, such as a preset: `fit` then only checks the data.
        random_state: Seed of the order of the samples and of the validation split, and of the initial weights and the
            noise of a model that has no seed. An int makes `fit` reproducible, except for networks of your own, which
            have their own seeds.
        verbose: As in `keras.Model.fit`.

    Attributes:
        model_: The trained copy, or the model itself with `prefit`.
        history_: Loss, terms and metrics per epoch of the last training, as in `keras.callbacks.History`.
        center_: Center of each feature, (*sample_shape_); None without `standardize`.
        scale_: Scale of each feature, (*sample_shape_); None without `standardize`.
        sample_shape_: Shape of a sample for the model.
        n_features_in_: Number of features, the product of `sample_shape_`.
        feature_names_in_: Names of the features, if X had names.

    Example:
        >>> import aezoo
        >>> from sklearn.datasets import load_iris
        >>> x = load_iris(as_frame=True).data
        >>> model = aezoo.LinearAE(latent_dim=2, seed=0)
        >>> transformer = AutoencoderTransformer(model, standardize="standard", epochs=3, random_state=0)
        >>> transformer.set_output(transform="pandas").fit_transform(x).shape
        (150, 2)
        >>> transformer.get_feature_names_out()
        array(['linearae0', 'linearae1'], dtype=object)
    """

    def __init__(
        self,
        model: Autoencoder,
        *,
        epochs: int = 50,
        batch_size: int = 32,
        standardize: Literal["standard", "robust"] | None = None,
        early_stopping: bool = False,
        validation_fraction: float | None = None,
        patience: int = 10,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        warm_start: bool = False,
        prefit: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int | str = 0,
    ):
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.prefit = prefit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Data, y: object = None) -> AutoencoderTransformer:
        """Train the model.

        Args:
            X: Samples, (n, features), or (n, *input_shape) such as images. Rows of features are reshaped to the sample
                shape of a built model with as many features. Also a DataFrame, a sparse matrix, a dict of "x" and the
                conditions, or batched data such as a data set, which is read into memory. NaN marks missing values for
                a model that accepts them.
            y: Ignored.

        Returns:
            The transformer.

        Raises:
            ValueError: If X has NaN (which the model does not accept), infinite values or too few samples, the model
                cannot be trained on it, its training diverged, or an argument is out of range.
            TypeError: If the model is not a model of aezoo.
        """
        return self._fit(X, self.epochs, continued=self.warm_start and not self.prefit and hasattr(self, "model_"))

    def partial_fit(self, X: Data, y: object = None) -> AutoencoderTransformer:
        """Train for one pass over some of the data, and continue from the last call.

        The first call starts a fresh copy of the model and fits the standardization, so that its samples should be
        typical. Nothing is held out for validation.

        Args:
            X: As in `fit`.
            y: Ignored.

        Returns:
            The transformer.

        Raises:
            ValueError: As `fit`, or with `prefit`.
        """
        if self.prefit:
            raise ValueError("prefit=True trains nothing: leave it out for partial_fit.")
        return self._fit(X, 1, continued=hasattr(self, "model_"), validated=False)

    def _fit(self, X: Data, epochs: int, continued: bool, validated: bool = True) -> AutoencoderTransformer:
        self._check_arguments()
        share = self._validated_share if validated and not self.prefit else 0.0
        data = self._samples(X, fitting=not continued, fewest=2 if share else 1)
        if not continued:
            batched = gate.is_dict(X) or gate.is_stream(X) or self._is_raw(X)
            self._rows_given = not batched and getattr(X, "ndim", 2) <= 2
        if self.prefit:
            self._use_prefit()
            return self
        random = check_random_state(self.random_state)
        seeds = [int(seed) for seed in random.randint(2**31 - 1, size=2)]
        validation = None
        if share:
            validation, data = base.split(data, share, random.permutation(len(data["x"])))
        if not continued:
            self._fit_standardization(data["x"])
            self.model_ = self._fresh_model(seeds[0])
        validation = None if validation is None else self._standardized(validation)
        before = int(self.model_.epoch.numpy())  # another order than in the epochs before
        stops = self.early_stopping and validated
        self._train(self._standardized(data), seeds[1] + before, epochs, validation, stops)
        return self

    def transform(self, X: Data) -> np.ndarray:
        """Return the codes of samples, (n, code units) float32; codes of several axes are flattened.

        Args:
            X: Samples as in `fit`, with the same number of features.

        Raises:
            ValueError: If X has NaN (which the model does not accept) or infinite values, or another number of
                features.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        data = self._standardized(self._samples(X, fitting=False))
        codes = self._by_blocks(data, lambda x, conditions: self.model_.encode(x, **conditions))
        return codes.reshape(len(codes), -1).astype("float32")

    def inverse_transform(self, X: ArrayLike | dict[str, ArrayLike]) -> np.ndarray:
        """Return the reconstructions of codes, in the units and the shape of the samples that `fit` got.

        If `fit` got raw data of a model with `preprocessing`, these are preprocessed samples, which
        `model.preprocessing.restore` turns into raw data.

        Args:
            X: Codes as `transform` returns them, (n, code units); for a model with conditions a dict of the codes "z"
                and the conditions.

        Returns:
            (n, features), or (n, *input_shape), float32.

        Raises:
            ValueError: If X has NaN, infinite values or another number of columns than `transform` returns.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        given: dict[str, Any] = {**X} if gate.is_dict(X) else {"z": X}
        z = check_array(given.pop("z"), dtype="float32", input_name="X")
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X has {z.shape[1]} columns, but the codes have {self._n_features_out} units.")
        z = z.reshape(-1, *self.model_.code_shape)
        x = self._by_blocks({"x": z, **given}, lambda z, conditions: self.model_.decode(z, **conditions))
        x = self._in_units_of_data(x.astype("float32"))
        return x.reshape(len(x), -1) if self._rows_given else x

    def score(self, X: Data, y: object = None) -> float:
        """Return the explained variance of the reconstructions, 1 - Σ‖x - x'‖² / Σ‖x - mean‖².

        It is computed in the units of the model: with `standardize`, each feature has about the same weight. Missing
        values do not count.

        Args:
            X: As in `transform`.
            y: Ignored.

        Returns:
            At most 1; 0 for reconstructions as good as the mean of X.

        Raises:
            ValueError: As `transform`, or if reconstructions cannot be compared with samples.
        """
        check_is_fitted(self)
        data = self._standardized(self._samples(X, fitting=False))
        _validation.check_comparable(self.model_, data["x"])
        x = data["x"].astype("float64")
        found = self._by_blocks(data, lambda x, conditions: self.model_.reconstruct(x, **conditions))
        observed = np.isfinite(x)
        mean = np.sum(x, axis=0, where=observed) / np.maximum(observed.sum(axis=0), 1)
        residual, total = (float(np.sum(np.square(x - other), where=observed)) for other in (found, mean))
        if total == 0.0:  # as in scikit-learn
            return float(residual == 0.0)
        return 1.0 - residual / total

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the code units: the class of the model and a number, such as "vae0".

        Args:
            input_features: Ignored, but checked against the features that `fit` got.

        Raises:
            ValueError: If `input_features` differ from the features of `fit`.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        if input_features is not None:
            names = np.asarray(input_features, dtype=object)
            known = getattr(self, "feature_names_in_", None)
            if known is not None and not np.array_equal(known, names):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(names) != self.n_features_in_:
                raise ValueError(
                    f"input_features should have length equal to number of features ({self.n_features_in_}), got "
                    f"{len(names)}"
                )
        prefix = type(self.model_).__name__.lower()
        return np.array([f"{prefix}{i}" for i in range(self._n_features_out)], dtype=object)

    @property
    def _n_features_out(self) -> int:
        return math.prod(self.model_.code_shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _more_tags(self) -> dict[str, Any]:  # scikit-learn before 1.6
        return {**super()._more_tags(), "preserves_dtype": [np.float32]}
