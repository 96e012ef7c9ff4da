"""How much of the data a reconstruction keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from aezoo import _validation, losses
from aezoo._typing import Array, Loss, Tensor
from aezoo.evaluation.chunks import BATCH_SIZE, chunks, in_chunks
from aezoo.training import gate

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["explained_variance", "pca_explained_variance", "reconstruction_error"]


def reconstruction_error(
    model: Autoencoder, x: Array, loss: Loss | None = None, *, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """The reconstruction error of each sample, that alone: without the penalties, a KL term or a rate.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, (n, *input_shape).
        loss: What `compile` takes for a loss, "mse" for example, which averages over features, or
            `aezoo.losses.SquaredError()`, which sums; None takes the error that the model was trained with.
        batch_size: How many samples are reconstructed at once.

    Returns:
        (n,) float32, in the units of the loss.

    Raises:
        ValueError: If the model is not built, there are no samples, they have another shape, or the model was trained
            with no error that compares x with x' (`SketchRNN`) and no loss is given; if they are not finite, or outside
            [0, 1] where the loss is a cross-entropy.

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
    bounds = losses.domain(loss)

    def errors(piece: Tensor) -> Tensor:
        piece = gate.samples(model, piece, bounds=bounds)
        y_pred = model.decode_parameters(model.encode(piece)) if takes_parameters else model.reconstruct(piece)
        return losses.per_sample(loss, piece, y_pred)[0]

    return in_chunks(errors, x, batch_size)


def explained_variance(model: Autoencoder, x: Array, *, batch_size: int = BATCH_SIZE) -> float:
    """The share of the variance of the data that reconstructions keep: 1 - Σ‖x - x'‖² / Σ‖x - mean‖².

    Beside `pca_explained_variance` at as many components as there are code units, it says what was gained over the best
    linear code.

    Args:
        model: A built model with `reconstruct`.
        x: Samples, (n, *input_shape), at least two that differ.
        batch_size: How many samples are reconstructed at once.

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
    squared = reconstruction_error(model, x, losses.SquaredError(), batch_size=batch_size)
    return share_explained(float(np.sum(squared, dtype="float64")), x, batch_size)


def pca_explained_variance(
    x: Array, components: int, train: Array | None = None, *, batch_size: int = BATCH_SIZE
) -> float:
    """The share of the variance of the data that principal components keep: `explained_variance` of a PCA.

    Args:
        x: Samples, (n, ...), at least two that differ; all axes after the first are flattened.
        components: Number of components. More than the data have (features, or training samples) are as many as they
            have.
        train: Samples that the components are fitted on, (m, ...) of the same shape; None takes x itself, of which
            scikit-learn's `explained_variance_ratio_.sum()` is then the same number.
        batch_size: How many samples are projected at once.

    Returns:
        At most 1, as `explained_variance`.

    Raises:
        ValueError: If the samples do not vary, or do not fit those for training.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 4))
        >>> round(pca_explained_variance(x, 4), 6)
        1.0
    """
    _validation.check_int("components", components, 1)
    fitted_on = _flat(x if train is None else train)
    pca = PCA(min(components, *fitted_on.shape), random_state=0).fit(fitted_on)

    def squared(piece: np.ndarray) -> np.ndarray:
        flat = _flat(piece)
        return np.sum(np.square(flat - pca.inverse_transform(pca.transform(flat))), axis=1)

    return share_explained(float(np.sum(in_chunks(squared, x, batch_size), dtype="float64")), x, batch_size)


def share_explained(squared_error: float, x: Array, batch_size: int = BATCH_SIZE) -> float:
    """1 - `squared_error` / Σ‖x - mean‖², where the first is the sum over all samples and features."""
    mean = sum(np.sum(piece, axis=0, dtype="float64") for piece in chunks(x, batch_size)) / len(x)
    total = sum(float(np.sum(np.square(piece - mean))) for piece in chunks(x, batch_size))
    if not total > 0:
        raise ValueError("The samples do not vary, so that there is no variance to explain.")
    return 1 - squared_error / total


def _flat(x: Array) -> np.ndarray:
    return np.reshape(x, (len(x), -1))
