"""Area under the ROC curve of a model's anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from aezoo import _validation
from aezoo._typing import ArrayLike, Data
from aezoo.sklearn.detector import AnomalyDetector as AnomalyDetector  # detectors were pickled under this name
from aezoo.training import inference

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["anomaly_auroc"]


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
    scores = [inference.scores(model, x, batch_size, **conditions) for x in (normal, anomalous)]
    labels = np.repeat([0, 1], [len(part) for part in scores])
    return float(roc_auc_score(labels, np.concatenate(scores)))
