"""Report of all metrics of a trained model, in one table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import activations

from aezoo import _validation, losses
from aezoo._typing import Array, ArrayLike, Data
from aezoo.evaluation.anomaly import anomaly_auroc
from aezoo.evaluation.contraction import is_rounded, jacobian_norm, saturation
from aezoo.evaluation.probes import linear_probe
from aezoo.evaluation.reconstruction import Variance, pca_explained_variance, reconstruction_error
from aezoo.evaluation.sparsity import CodeStatistics
from aezoo.evaluation.table import Report, Row
from aezoo.layers import networks
from aezoo.training import gate, inference

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

__all__ = ["activity_threshold", "report"]

Measured = tuple[float | None, str]
# Samples whose variance is accumulated at once.
_PIECE = 1024

_LABELS = {
    "reconstruction_error": "reconstruction error per sample",
    "mean_squared_error": "mean squared error per feature",
    "explained_variance": "explained variance",
    "pca_explained_variance": "explained variance of PCA",
    "score": "mean of score_samples",
    "reconstruction": "reconstruction error L_R per step, in nats",
    "kl_divergence": "divergence L_KL per code unit, in nats",
    "negative_log_likelihood": "negative log-likelihood per sample, in nats",
    "rate": "bits per sample",
    "perplexity": "perplexity of the codebook",
    "usage": "used share of the codebook",
    "l0": "active units per sample (L0)",
    "active_units": "active units over the data",
    "dead_units": "dead units",
    "population_sparsity": "population sparsity",
    "lifetime_sparsity": "lifetime sparsity",
    "jacobian_norm": "norm of the Jacobian",
    "saturation": "saturated share of the code",
    "probe_error_codes": "error of a linear probe on codes",
    "probe_error_pixels": "error of a linear probe on pixels",
    "anomaly_auroc": "anomaly AUROC",
}

# A sigmoid is never 0, so its units count as active above a threshold.
_THRESHOLDS = {activations.sigmoid: 0.1, activations.tanh: 0.1}
# An activation is flat outside these bounds; tanh is a sigmoid stretched to (-1, 1).
_FLAT = {activations.sigmoid: (0.05, 0.95), activations.tanh: (-0.9, 0.9)}


#: The most units of a spatial code whose Jacobian is reported; it takes one backward pass per code unit.
_MOST_UNITS = 256


def report(
    model: Autoencoder,
    data: Data | tuple[Data, ArrayLike | None],
    *,
    train: Data | tuple[Data, ArrayLike | None] | None = None,
    anomalies: Data | None = None,
    batch_size: int | None = None,
    jacobian_samples: int = 1000,
) -> Report:
    """Measure a trained model on data that it was not trained on.

    - `reconstruction_error` per sample, in the error that the model was trained with; `mean_squared_error` per feature;
      `explained_variance`; and `pca_explained_variance` with as many components as code units;
    - `score`: the mean of `model.score_samples`;
    - metrics that a variant adds with `report_measures`: `rate`, bits per sample, of a `CompressiveAE`; `active_units`,
      as in training, of a `VAE`; `perplexity` and `usage` of the codebook of a `VQVAE` or `FSQVAE`; `reconstruction`,
      `kl_divergence` and `negative_log_likelihood` of a `SketchRNN`, and the latter of a `SequenceAE` of tokens;
    - `l0`, the mean number of active units per sample; `dead_units`; `population_sparsity`; and `lifetime_sparsity`,
      the mean over units that are not 0 in every sample;
    - `jacobian_norm`, a mean, and `saturation`;
    - `probe_error_codes` and `probe_error_pixels`, from `linear_probe`, if there are labels;
    - `anomaly_auroc`, if there are anomalies.

    The model processes samples in chunks; codes are kept only for the probe.

    Args:
        model: A built model of aezoo.
        data: Test samples: an array (n, *input_shape), a dict of "x" and of the conditions, or data that come batch by
            batch, which are read into memory; or a pair of any of these and their labels, (n,) or None, such as a split
            of `aezoo.datasets.load`.
        train: Training data of the model, in any of these forms, to fit the PCA and the probe on. Without it, the PCA
            is fitted on the test samples, an upper bound for any linear code, and the probe is fitted on every second
            test sample and tested on the others.
        anomalies: Samples unlike the training data, (m, *input_shape), or in any of these forms.
        batch_size: The most samples to process at once; None chooses a number by their size.
        jacobian_samples: Number of samples, from the first on, for the mean of the Jacobian norm.

    Returns:
        The metrics by name. Metrics that do not apply to the model are None, and the table gives the reason.

    Raises:
        ValueError: If the model is not built, there are fewer than 2 samples, they do not vary or do not fit the model,
            or there is not one label per sample.

    Example:
        >>> import aezoo
        >>> (x, y), test = aezoo.datasets.load("digits")
        >>> model = aezoo.SparseAE(latent_dim=16, seed=0)
        >>> model.build((None, 8, 8, 1))
        >>> table = report(model, test, train=(x[:200], y[:200]))
        >>> table["dead_units"]
        0
        >>> print(table.title)  # print(table) prints all metrics
        SparseAE with a code of 16, on 355 samples
    """
    _validation.check_built(model)
    _validation.check_int("jacobian_samples", jacobian_samples, 1)
    test = _Data.of("data", model, data)
    fitted_on = None if train is None else _Data.of("train", model, train)
    if len(test.x) < 2:
        raise ValueError(f"A report needs at least 2 samples, but there are {len(test.x)}.")
    codes, code_shape, z = _codes(model, test, test.y is not None, batch_size)
    measured = {
        **_reconstruction(model, test, fitted_on, math.prod(code_shape), batch_size),
        "score": _score(model, test, batch_size),
        **codes,
        "jacobian_norm": _jacobian(model, test.rows(slice(jacobian_samples)), batch_size),
        **_probes(model, test, z, fitted_on, batch_size),
    }
    if anomalies is not None:
        odd = _Data.of("anomalies", model, anomalies, compared=False)
        auroc = anomaly_auroc(model, test.inputs, odd.inputs, batch_size=batch_size)
        measured["anomaly_auroc"] = (auroc, f"of {len(odd.x):,} anomalies, by score_samples")
    labels = {name: _LABELS.get(name, name.replace("_", " ")) for name in [*_LABELS, *measured]}
    rows = {name: Row(label, *measured[name]) for name, label in labels.items() if name in measured}
    code = " x ".join(map(str, code_shape))
    return Report(f"{type(model).__name__} with a code of {code}, on {len(test.x):,} samples", rows)


def activity_threshold(model: Autoencoder) -> float:
    """Return the magnitude above which a code unit counts as active: 0.1 for a sigmoid or tanh, otherwise 0.

    Args:
        model: A built model with an `encoder`.

    Returns:
        The threshold, in units of the code.

    Example:
        >>> import aezoo
        >>> model = aezoo.SparseAE(latent_dim=2)
        >>> model.build((None, 4))
        >>> activity_threshold(model)
        0.1
    """
    return _THRESHOLDS.get(networks.output_activation(model.encoder), 0.0)


@dataclasses.dataclass(frozen=True)
class _Data:
    """Samples, their conditions by name, and their labels or None."""

    x: np.ndarray
    conditions: dict[str, np.ndarray]
    y: Any

    @classmethod
    def of(cls, name: str, model: Autoencoder, data: Any, compared: bool | None = None) -> _Data:
        """Check data that a user gave, and read them into memory."""
        x, y = data if isinstance(data, (tuple, list)) and len(data) == 2 else (data, None)
        if not hasattr(x, "shape") and not isinstance(x, Mapping) and not gate.is_stream(x):
            raise ValueError(
                f"{name} must be an array of samples, or a pair (samples, labels), not {type(x).__name__}."
            )
        compared = _validation.are_comparable(model) if compared is None else compared
        x, conditions = inference.collected(model, x, compared)
        if y is not None and np.shape(y)[:1] != (len(x),):
            raise ValueError(f"{name} has {len(x)} samples and labels of shape {np.shape(y)}: give one label a sample.")
        return cls(x, conditions, y)

    @property
    def inputs(self) -> Any:
        """Argument x of `fit`: the samples, or a dict of samples and conditions."""
        return {"x": self.x, **self.conditions} if self.conditions else self.x

    def rows(self, rows: slice) -> _Data:
        """Return a slice of the samples, with their conditions and labels."""
        conditions = {name: values[rows] for name, values in self.conditions.items()}
        return _Data(self.x[rows], conditions, None if self.y is None else self.y[rows])

    @property
    def numbers(self) -> str:
        """Reason why the samples are not vectors of numbers; "" if they are."""
        if self.x.dtype.kind in "iub":
            return "samples are classes, such as tokens"
        return "samples have missing values" if np.isnan(np.sum(self.x)) else ""


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype="float64"))


# === Metrics by name: a number and a note, or None and the reason ===


def _absent(why: str) -> Measured:
    return None, f"does not apply: {why}"


def _reconstruction(
    model: Autoencoder, test: _Data, train: _Data | None, units: int, batch_size: int | None
) -> dict[str, Measured]:
    names = ("reconstruction_error", "mean_squared_error", "explained_variance", "pca_explained_variance")
    if not model.reconstructs:
        return dict.fromkeys(names, _absent("the model learns a likelihood, not reconstructions"))
    if not _validation.are_comparable(model):
        return dict.fromkeys(names, _absent("reconstructions have another shape than samples"))
    loss, squared_error = model.reconstruction_loss, losses.SquaredError()
    loss_name = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    if test.x.dtype.kind in "iub":
        own = reconstruction_error(model, test.inputs, batch_size=batch_size)
        return {names[0]: (_mean(own), loss_name), **dict.fromkeys(names[1:], _absent(test.numbers))}
    squared = reconstruction_error(model, test.inputs, squared_error, batch_size=batch_size)
    if type(loss) is type(squared_error):
        own = squared
    else:
        own = reconstruction_error(model, test.inputs, batch_size=batch_size)
    total, variance = float(np.sum(squared, dtype="float64")), Variance()
    for start in range(0, len(test.x), _PIECE):
        variance.update(test.x[start : start + _PIECE])
    return {
        "reconstruction_error": (_mean(own), loss_name),
        "mean_squared_error": (total / np.count_nonzero(~np.isnan(test.x)), ""),
        "explained_variance": (variance.share_explained(total), ""),
        "pca_explained_variance": _pca(test, train, units, batch_size),
    }


def _pca(test: _Data, train: _Data | None, units: int, batch_size: int | None) -> Measured:
    fitted_on, where = (test, "these samples") if train is None else (train, "the training samples")
    if why := test.numbers or fitted_on.numbers:
        return _absent(why)
    components = min(units, math.prod(test.x.shape[1:]), len(fitted_on.x))
    share = pca_explained_variance(test.x, components, fitted_on.x, batch_size=batch_size)
    return share, f"{components} components, fitted on {where}"


def _score(model: Autoencoder, test: _Data, batch_size: int | None) -> Measured:
    if not _validation.are_comparable(model):
        return _absent("reconstructions have another shape than samples")
    return _mean(inference.scores(model, test.inputs, batch_size)), "higher is more anomalous"


def _codes(
    model: Autoencoder, test: _Data, keep: bool, batch_size: int | None
) -> tuple[dict[str, Measured], tuple[int, ...], np.ndarray | None]:
    """Return the metrics of codes, the shape of a code, and the codes, (n, units), if `keep` is True, else None."""
    flat = _FLAT.get(networks.output_activation(model.encoder))
    statistics, saturated, kept = CodeStatistics(activity_threshold(model)), 0.0, []
    added: dict[str, keras.metrics.Metric] = {}
    sums: dict[str, float] = {}
    for piece in inference.measured(model, test.inputs, batch_size=batch_size):
        code = model.encode(piece.x, **piece.conditions)
        z = _vectors(code)
        if z.size:
            statistics.update(z)
        if flat:
            saturated += len(z) * saturation(z, flat)
        for name, values in model.report_measures(piece.x, code).items():
            metric = added[name] = added.get(name) or model.tracker(name)
            if isinstance(metric, keras.metrics.Mean):  # in double precision
                sums[name] = sums.get(name, 0.0) + float(np.sum(values, dtype="float64"))
            else:
                metric.update_state(values)
        if keep:
            kept.append(z)
    measured = _sparsity(statistics, z.shape[1])
    for name, metric in added.items():
        value = sums[name] / len(test.x) if name in sums else float(metric.result())
        counts = name not in sums and value.is_integer()
        measured[name] = (int(value) if counts else value, getattr(metric, "note", ""))
    if flat:
        measured["saturation"] = (saturated / len(test.x), f"outside [{flat[0]:g}, {flat[1]:g}]")
    else:
        measured["saturation"] = _absent("the activation of the code is not sigmoid or tanh")
    return measured, tuple(code.shape[1:]), np.concatenate(kept) if keep else None


def _sparsity(statistics: CodeStatistics, units: int) -> dict[str, Measured]:
    if not units:
        names = ("l0", "dead_units", "population_sparsity", "lifetime_sparsity")
        return dict.fromkeys(names, _absent("the model has no code"))
    counted = f"of {units}, |z| > {statistics.tol:g}"
    measured: dict[str, Measured] = {
        "l0": (statistics.l0(), counted),
        "dead_units": (statistics.dead_units(), counted),
    }
    population = statistics.population_sparsity() if units > 1 else math.nan
    lifetimes = statistics.lifetime_sparsity()
    lifetimes = lifetimes[~np.isnan(lifetimes)]
    lifetime = _mean(lifetimes) if lifetimes.size else math.nan
    for name, value in (("population_sparsity", population), ("lifetime_sparsity", lifetime)):
        why = "every unit is always 0" if not lifetimes.size else "the code has one unit"
        measured[name] = _absent(why) if math.isnan(value) else (value, "")
    return measured


def _jacobian(model: Autoencoder, test: _Data, batch_size: int | None) -> Measured:
    if model.data == "sketches":
        return _absent("sketches have pen states, which are not continuous")
    if is_rounded(model):
        return _absent("the code is rounded")
    if test.x.dtype.kind in "iub":
        return _absent(test.numbers)
    if len(model.code_shape) > 1 and math.prod(size or 1 for size in model.code_shape) > _MOST_UNITS:
        return _absent("it takes long for so many code units: call aezoo.evaluation.jacobian_norm")
    return _mean(jacobian_norm(model, test.inputs, batch_size=batch_size)), f"mean over {len(test.x):,} samples"


def _probes(
    model: Autoencoder, test: _Data, z: np.ndarray | None, train: _Data | None, batch_size: int | None
) -> dict[str, Measured]:
    names = ("probe_error_codes", "probe_error_pixels")
    if test.y is None or z is None:
        return dict.fromkeys(names, _absent("there are no labels"))
    if z.shape[1] == 0:
        return dict.fromkeys(names, _absent("the model has no code"))
    if train is None or train.y is None:
        z_train, z = z[::2], z[1::2]
        train, test = test.rows(slice(0, None, 2)), test.rows(slice(1, None, 2))
        note = "trained on every second sample, tested on the others"
    else:
        pieces = inference.measured(model, train.inputs, batch_size=batch_size)
        z_train = np.concatenate([_vectors(model.encode(piece.x, **piece.conditions)) for piece in pieces])
        note = "trained on the training samples"
    if len(np.unique(train.y)) < 2:
        return dict.fromkeys(names, _absent("there is only one class"))
    why = test.numbers or train.numbers
    pixels = _absent(why) if why else (linear_probe(train.x, train.y, test.x, test.y), note)
    return {"probe_error_codes": (linear_probe(z_train, train.y, z, test.y), note), "probe_error_pixels": pixels}


def _vectors(code: Array) -> np.ndarray:
    """Return codes, also spatial ones, as (n, units)."""
    return np.reshape(code, (code.shape[0], math.prod(code.shape[1:])))
