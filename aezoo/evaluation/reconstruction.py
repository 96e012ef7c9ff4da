"""How much of the data a reconstruction keeps."""

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

# Samples that are projected on principal components at once.
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
    """The reconstruction error of each sample, that alone: without the penalties, a KL term or a rate.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions; or data that come batch by batch, a data
            set for example, as `fit` takes them. Missing values, of a model that takes them, count nothing.
        loss: What `compile` takes for a loss, "mse" for example, which averages over features, or
            `aezoo.losses.SquaredError()`, which sums; None takes the error that the model was trained with.
        y: Targets that reconstructions are compared with in place of the samples, (n, *output_shape).
        batch_size: The most samples that are reconstructed at once; None takes a number that follows from their size.
        **conditions: Conditions by name, one entry per sample, or one for all.

    Returns:
        (n,) float32, in the units of the loss.

    Raises:
        ValueError: If the model is not built, there are no samples, they have another shape, or the model was trained
            with no error that compares x with x' (`SketchRNN`) and no loss is given; if they are not finite, or outside
            [0, 1] where the loss is a cross-entropy; if reconstructions have another shape and there are no targets.

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
            f"{type(model).__name__} is trained by a likelihood, not by an error that compares x with x': use "
            "model.score_samples, or give a loss."
        )
    pieces = inference.measured(model, x, conditions, y, batch_size=batch_size, bounds=losses.domain(loss))
    return np.concatenate([_errors(model, loss, piece, takes_parameters) for piece in pieces])


def explained_variance(
    model: Autoencoder, x: Data, *, y: Data | None = None, batch_size: int | None = None, **conditions: ArrayLike
) -> float:
    """The share of the variance of the data that reconstructions keep: 1 - Σ‖x - x'‖² / Σ‖x - mean‖².

    Beside `pca_explained_variance` at as many components as there are code units, it says what was gained over the best
    linear code.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, at least two that differ, as `reconstruction_error` takes them.
        y: Targets in place of the samples, as of `reconstruction_error`: the variance is theirs.
        batch_size: As of `reconstruction_error`.
        **conditions: Conditions by name, one entry per sample, or one for all.

    Returns:
        At most 1; 0 for reconstructions as good as the mean of x, less for worse ones.

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
    """The error of each sample of a piece."""
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
    """Σ‖x - mean‖² of samples that come piece by piece, in double precision; missing values, NaN, are left out."""

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
            squared_error: The sum over all samples and features.

        Raises:
            ValueError: If the samples do not vary.
        """
        total = float(np.sum(self._squares))
        if not total > 0:
            raise ValueError("The samples do not vary, so that there is no variance to explain.")
        return 1 - squared_error / total


def pca_explained_variance(
    x: Data, components: int, train: Data | None = None, *, batch_size: int | None = None
) -> float:
    """The share of the variance of the data that principal components keep: `explained_variance` of a PCA.

    Args:
        x: Samples, (n, ...), an array or a table, at least two that differ; all axes after the first are flattened.
        components: Number of components. More than the data have (features, or training samples) are as many as they
            have.
        train: Samples that the components are fitted on, (m, ...) of the same shape; None takes x itself, of which
            scikit-learn's `explained_variance_ratio_.sum()` is then the same number.
        batch_size: The most samples that are projected at once.

    Returns:
        At most 1, as `explained_variance`.

    Raises:
        ValueError: If the samples do not vary, do not fit those for training, or come batch by batch.

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
