"""Reconstruction error, and the variance that reconstructions explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from aezoo import _validation, losses
from aezoo._typing import Array, ArrayLike, Data, Loss
from aezoo.training import gate, inference
from aezoo.training.gate import Parts

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["explained_variance", "pca_explained_variance", "reconstruction_error"]

# Samples that are projected onto principal components at once.
_PROJECTED = 1024


def reconstruction_error(
    model: Autoencoder,
    x: Data,
    loss: Loss | None = None,
    *,
    y: Data | None = None,
    batch_size: int | None = None,
    **conditions: ArrayLike,
) -> np.ndarray:
    """Compute the reconstruction error of each sample, without penalties, KL term or rate.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions; or data that come batch by batch, such as
            a data set, in the forms that `fit` accepts. Missing values are left out, if the model accepts them.
        loss: A loss as in `compile`, such as "mse", which averages over features, or `aezoo.losses.SquaredError()`,
            which sums; None uses the error that the model was trained with.
        y: Targets to compare reconstructions with, (n, *output_shape); None compares them with the samples.
        batch_size: The most samples to reconstruct at once; None chooses a number by their size.
        **conditions: Conditions by name, one entry per sample, or one for all samples.

    Returns:
        The errors, (n,) float32, in the units of the loss.

    Raises:
        ValueError: If the model is not built; there are no samples, or they have the wrong shape, are not finite, or
            are outside [0, 1] and the loss is a cross-entropy; reconstructions have another shape than the samples and
            there are no targets; or no loss is given and the model was not trained with an error that compares x with
            x' (`SketchRNN`).

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(latent_dim=2)
        >>> model.build((None, 8, 8, 1))
        >>> reconstruction_error(model, np.zeros((5, 8, 8, 1), "float32"), "mse").shape
        (5,)
    """
    _validation.check_built(model)
    # The model's own loss may take more than the means of x.
    takes_parameters = loss is None and hasattr(model, "decode_parameters")
    loss = model.reconstruction_loss if loss is None else loss
    if loss is None:
        raise ValueError(
            f"{type(model).__name__} is trained with a likelihood, not with an error that compares x with x': use "
            "model.score_samples, or give a loss."
        )
    pieces = inference.measured(model, x, conditions, y, batch_size=batch_size, bounds=losses.domain(loss))
    return np.concatenate([_errors(model, loss, piece, takes_parameters) for piece in pieces])


def explained_variance(
    model: Autoencoder, x: Data, *, y: Data | None = None, batch_size: int | None = None, **conditions: ArrayLike
) -> float:
    """Compute the share of the variance that reconstructions explain, 1 - Σ‖x - x'‖² / Σ‖x - mean‖².

    Compare it with `pca_explained_variance` at as many components as code units: the difference is the gain over the
    best linear code.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, at least two that differ, in the forms of `reconstruction_error`.
        y: Targets, as in `reconstruction_error`; the variance is then the variance of the targets.
        batch_size: As in `reconstruction_error`.
        **conditions: Conditions by name, one entry per sample, or one for all samples.

    Returns:
        At most 1; 0 for reconstructions as good as the mean of x, negative for worse ones.

    Raises:
        ValueError: As `reconstruction_error`, and if the samples do not vary.

    Example:
        >>> import aezoo
        >>> model = aezoo.Autoencoder(latent_dim=2)
        >>> x = np.random.default_rng(0).random((5, 8, 8, 1), "float32")
        >>> model.build(x.shape)
        >>> explained_variance(model, x) <= 1
        True
    """
    _validation.check_built(model)
    squared, variance, loss = 0.0, Variance(), losses.SquaredError()
    for piece in inference.measured(model, x, conditions, y, batch_size=batch_size):
        squared += float(np.sum(_errors(model, loss, piece), dtype="float64"))
        variance.update(piece.x if piece.y is None else piece.y)
    return variance.share_explained(squared)


def _errors(model: Autoencoder, loss: Loss | None, piece: Parts, takes_parameters: bool = False) -> np.ndarray:
    """Compute the error of each sample in a piece."""
    if piece.y is None:
        _validation.check_comparable(model, piece.x, "give the targets, y=...")
    y = inference.tensors(model, piece).x if piece.y is None else piece.y
    observed = None
    if model.missing != "error":
        observed = np.isfinite(y)
        y = np.where(observed, y, np.float32(0))
    if takes_parameters:
        y_pred = model.decode_parameters(model.encode(piece.x, **piece.conditions), piece.conditions)
    else:
        y_pred = model.reconstruct(piece.x, **piece.conditions)
    return np.asarray(losses.per_sample(loss, y, y_pred, observed=observed)[0])


class Variance:
    """Accumulator of Σ‖x - mean‖² over samples that come piece by piece, in double precision; ignores NaN."""

    def __init__(self) -> None:
        self._count: Any = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def update(self, x: Array) -> None:
        """Add samples, (n, ...).

        Args:
            x: An array or a tensor.
        """
        x = np.asarray(x)
        count = np.sum(~np.isnan(x), axis=0) if x.dtype.kind == "f" and np.isnan(np.sum(x)) else len(x)
        mean = np.nansum(x, axis=0, dtype="float64") / np.maximum(count, 1)
        squares = np.nansum(np.square(x - mean), axis=0)
        # Chan, Golub & LeVeque 1979.
        total, step = self._count + count, mean - self._mean
        self._squares = self._squares + squares + step**2 * (self._count * count / np.maximum(total, 1))
        self._mean = self._mean + step * (count / np.maximum(total, 1))
        self._count = total

    def share_explained(self, squared_error: float) -> float:
        """Return 1 - `squared_error` / Σ‖x - mean‖².

        Args:
            squared_error: Sum of squared errors over all samples and features.

        Raises:
            ValueError: If the samples do not vary.
        """
        total = float(np.sum(self._squares))
        if not total > 0:
            raise ValueError("The samples do not vary: give at least two samples that differ.")
        return 1 - squared_error / total


def pca_explained_variance(
    x: Data, components: int, train: Data | None = None, *, batch_size: int | None = None
) -> float:
    """Compute the share of the variance that principal components explain, the `explained_variance` of a PCA.

    Args:
        x: Samples, (n, ...), an array or a table, at least two that differ; all axes after the first are flattened.
        components: Number of components, reduced to the number of features or training samples if that is smaller.
        train: Samples to fit the components on, (m, ...) of the same shape; None fits on x, and the result then equals
            scikit-learn's `explained_variance_ratio_.sum()`.
        batch_size: The most samples to project at once; None projects 1024.

    Returns:
        At most 1, as in `explained_variance`.

    Raises:
        ValueError: If the samples do not vary, have another shape than the training samples, or come batch by batch.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 4))
        >>> round(pca_explained_variance(x, 4), 6)
        1.0
    """
    _validation.check_int("components", components, 1)
    size = _PROJECTED if batch_size is None else _validation.check_int("batch_size", batch_size, 1)
    if gate.is_stream(x) or gate.is_stream(train):
        raise ValueError("A PCA is fitted on all samples together: give arrays, not data that come batch by batch.")
    x = gate.dense(gate.as_array(x))
    fitted_on = _flat(x if train is None else gate.dense(gate.as_array(train)))
    pca = PCA(min(components, *fitted_on.shape), random_state=0).fit(fitted_on)
    squared, variance = 0.0, Variance()
    for start in range(0, len(x), size):
        flat = _flat(x[start : start + size])
        squared += float(np.sum(np.square(flat - pca.inverse_transform(pca.transform(flat))), dtype="float64"))
        variance.update(flat)
    return variance.share_explained(squared)


def _flat(x: Array) -> np.ndarray:
    return np.reshape(x, (len(x), -1))
