"""Estimators with the interface of scikit-learn, for pipelines, grid search and cross-validation.

`AutoencoderTransformer` and `AnomalyDetector` take a model of aezoo, train a fresh copy of it in `fit`, and expose its
arguments as parameters, such as `model__latent_dim` of a `GridSearchCV`. `EnsembleDetector` finds anomalies in a table
that contains them. pickle and joblib save all of them with the trained networks.

Example:
    >>> import aezoo
    >>> from aezoo.sklearn import AutoencoderTransformer
    >>> transformer = AutoencoderTransformer(aezoo.Autoencoder(latent_dim=8), standardize="standard")
    >>> transformer.set_params(model__latent_dim=2)
    AutoencoderTransformer(model=Autoencoder(latent_dim=2), standardize='standard')
"""

from aezoo.sklearn.detector import AnomalyDetector
from aezoo.sklearn.ensemble import EnsembleDetector
from aezoo.sklearn.transformer import AutoencoderTransformer

__all__ = ["AnomalyDetector", "AutoencoderTransformer", "EnsembleDetector"]
