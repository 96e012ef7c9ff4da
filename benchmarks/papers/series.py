"""Anomalous heartbeats (ECG5000) and anomalous windows of the Numenta Anomaly Benchmark: AUROC beside PCA and others.

    python benchmarks/papers/series.py --ecg ecg5000.npz --nab nab

ECG5000: trained on the 292 normal heartbeats of the training split, scored on the test split, which has 2,627 normal
heartbeats and 1,873 abnormal ones. NAB, 31 series: windows of 64 values, 16 apart, of each series standardized by its
own mean and deviation. One model sees the windows of all series, without labels, and scores the same windows; a window
is anomalous if it overlaps a labeled one. The figure is the mean of the AUROC per series, over the series that have an
anomalous window.

"Keras' example" is the network of keras.io/examples/timeseries/timeseries_anomaly_detection: its layers, loss,
optimizer, early stopping and score, the mean absolute error. PyOD's AutoEncoder has PyOD's defaults and joins where
PyOD is installed. All others have the same number of passes over the data, fixed before anything was scored.

Finished rows are kept in results/series.json and not run again.

ECG5000: UCR Time Series Archive (Chen, Keogh); PhysioNet, BIDMC Congestive Heart Failure Database. NAB: Numenta, MIT.
"""

import csv
import gzip
import importlib.util
import json
import math
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
from reporting import HERE, Clock, Row, arguments, report
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

import aezoo

WINDOW, STRIDE = 64, 16


def heartbeats(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normal heartbeats to train on; test heartbeats, whether they are abnormal, and one group for all."""
    if not path:
        x, y = made_up(60)
        return x[y == 0], x, y, np.zeros(len(x), int)
    data = np.load(path)
    x = data["x_train"][data["y_train"] == 1][..., None].astype("float32")
    test = data["x_test"][..., None].astype("float32")
    return x, test, data["y_test_abnormal"].astype(int), np.zeros(len(test), int)


def made_up(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sines, every fifth of another frequency."""
    anomalous = (np.arange(n) % 5 == 0).astype(int)
    t = np.linspace(0, 6, 20)[None]
    return np.sin(t * (1 + anomalous[:, None]) + np.arange(n)[:, None])[..., None].astype("float32"), anomalous


def windows(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Windows of all series, twice, whether they overlap an anomaly, and the number of their series."""
    if not folder:
        x, y = made_up(60)
        return x, x, y, np.arange(60) % 2
    labeled = json.loads((Path(folder) / "combined_windows.json").read_text())
    x, y, series = [], [], []
    for number, path in enumerate(sorted(Path(folder).glob("*/*.csv.gz"))):
        with gzip.open(path, "rt") as file:
            rows = [(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
        values = np.array([value for _, value in rows])
        values = (values - values.mean()) / max(values.std(), 1e-6)
        anomalous = np.zeros(len(rows), bool)
        for start, end in labeled[f"{path.parent.name}/{path.name.removesuffix('.gz')}"]:
            start, end = datetime.fromisoformat(start), datetime.fromisoformat(end)
            anomalous |= np.array([start <= time <= end for time, _ in rows])
        for start in range(0, len(values) - WINDOW + 1, STRIDE):
            x.append(values[start : start + WINDOW])
            y.append(anomalous[start : start + WINDOW].any())
            series.append(number)
    x = np.array(x, "float32")[..., None]
    return x, x, np.array(y, int), np.array(series)


def mean_auroc(y: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> tuple[float, list[float]]:
    """Mean AUROC over the groups that have both kinds of samples, and each."""
    each = [
        float(roc_auc_score(y[groups == group], scores[groups == group]))
        for group in np.unique(groups)
        if 0 < y[groups == group].mean() < 1
    ]
    return float(np.mean(each)), each


def trained(model, options):
    """A function that trains a model of aezoo and returns its scores."""

    def scores(x, x_test, epochs, batch_size):
        steps = epochs * math.ceil(len(x) / batch_size)
        rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps, alpha=0.05)
        made = model()
        made.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
        made.fit(x, epochs=epochs, batch_size=batch_size, verbose=0)
        return np.asarray(made.score_samples(x_test))

    return scores


def by_pca(x, x_test, epochs, batch_size):
    flat, flat_test = (each.reshape(len(each), -1) for each in (x, x_test))
    pca = PCA(min(8, *flat.shape)).fit(flat)
    return np.sum((pca.inverse_transform(pca.transform(flat_test)) - flat_test) ** 2, axis=1)


def by_forest(x, x_test, epochs, batch_size):
    forest = IsolationForest(random_state=0).fit(x.reshape(len(x), -1))
    return -forest.score_samples(x_test.reshape(len(x_test), -1))


def by_keras_example(x, x_test, epochs, batch_size):
    keras.utils.set_random_seed(0)
    layers, same = keras.layers, {"kernel_size": 7, "padding": "same"}
    model = keras.Sequential(
        [
            layers.Input(x.shape[1:]),
            layers.Conv1D(32, strides=2, activation="relu", **same),
            layers.Dropout(0.2),
            layers.Conv1D(16, strides=2, activation="relu", **same),
            layers.Conv1DTranspose(16, strides=2, activation="relu", **same),
            layers.Dropout(0.2),
            layers.Conv1DTranspose(32, strides=2, activation="relu", **same),
            layers.Conv1DTranspose(1, **same),
        ]
    )
    model.compile(keras.optimizers.Adam(0.001), loss="mse")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5, mode="min")
    model.fit(x, x, epochs=min(50, epochs), batch_size=128, validation_split=0.1, callbacks=[stop], verbose=0)
    return np.mean(np.abs(model.predict(x_test, verbose=0) - x_test), axis=(1, 2))


def by_pyod(x, x_test, epochs, batch_size):
    from pyod.models.auto_encoder import AutoEncoder

    detector = AutoEncoder(verbose=0, random_state=0)
    detector.fit(x.reshape(len(x), -1))
    return detector.decision_function(x_test.reshape(len(x_test), -1))


def main() -> None:
    options = arguments(
        __doc__, ecg="", nab="", units=32, latent_dim=8, learning_rate=3e-3, ecg_epochs=150, nab_epochs=8
    )
    if options.quick:
        options.units, options.ecg_epochs, options.nab_epochs = 4, 1, 1
    sets = {
        "ECG5000": (heartbeats(options.ecg), options.ecg_epochs, 64),
        "NAB": (windows(options.nab), options.nab_epochs, 128),
    }
    options.ecg, options.nab = Path(options.ecg).name, Path(options.nab).name
    units, code, seed = options.units, options.latent_dim, options.seed

    def linear(cls, **kwargs):
        return lambda: cls(code, output_activation="linear", seed=seed, **kwargs)

    methods = {
        "PCA, 8 components": by_pca,
        "IsolationForest": by_forest,
        "Keras' example": by_keras_example,
        "Autoencoder(8, filters=(16, 32))": trained(linear(aezoo.Autoencoder, filters=(16, 32)), options),
        "DenoisingAE(8, filters=(16, 32))": trained(linear(aezoo.DenoisingAE, filters=(16, 32)), options),
        "SequenceAE(8), LSTM, parallel": trained(lambda: aezoo.SequenceAE(code, units=(units,), seed=seed), options),
        "SequenceAE(8), LSTM, autoregressive": trained(
            lambda: aezoo.SequenceAE(code, units=(units,), decoder="autoregressive", seed=seed), options
        ),
        "SequenceAE(8), five dilated convolutions": trained(
            lambda: aezoo.SequenceAE(code, units=(units,) * 5, cell="convolution", seed=seed), options
        ),
        "SequenceAE(8), LSTM, variational": trained(
            lambda: aezoo.SequenceAE(code, units=(units,), variational=True, beta=0.1, seed=seed), options
        ),
        "PyOD's AutoEncoder": by_pyod,
    }
    path = HERE / "results" / "series.json"
    runs = {}
    if path.exists() and not options.quick:
        before = json.loads(path.read_text())
        runs = before["runs"] if before["options"] == vars(options) else {}
    for name, method in methods.items():
        for data, ((x, x_test, y, groups), epochs, batch_size) in sets.items():
            what = f"{name}, {data}"
            if what in runs or (method is by_pyod and not importlib.util.find_spec("pyod")):
                continue
            keras.utils.set_random_seed(seed)
            clock = Clock()
            auroc, each = mean_auroc(y, method(x, x_test, epochs, batch_size), groups)
            runs[what] = {"auroc": auroc, "minutes": clock.minutes, "per_series": [round(value, 3) for value in each]}
            print(what, runs[what], flush=True)
            if not options.quick:
                rows = [Row(f"{what}: AUROC", "–", "–", run["auroc"], run["minutes"]) for what, run in runs.items()]
                report("series", options, rows, runs=runs)


if __name__ == "__main__":
    main()
