"""Compare models of aezoo with PyOD on 17 outlier sets of ODDS, by the protocol of PyOD's benchmark.

    pip install pyod
    AEZOO_ODDS=... python benchmarks/outliers.py

Each set is split ten times into 60 % for training and 40 % for testing. The training part contains outliers; features
are standardized by their means and standard deviations over the training part. A detector is fitted without labels, and
the area under the ROC curve on the test part is averaged over the splits. PyOD publishes its figures in notebooks/
roc.csv; the splits here are drawn anew, so only detectors of the same run share them.

Every detector has one configuration for all sets. "EnsembleDetector" has its defaults, which were chosen on other data
and committed before it was scored here (`docs/anomaly_detection.md`). The models of aezoo have as many code units as
PCA needs components to explain 90 % of the variance, at least 1 and less than the number of features, and are trained
for 300 steps of at most 512 rows, LinearAE for 3,000; RBM, SparseAE and KSparseAE have twice as many units as there are
features, and KSparseAE keeps as many of them active as there are such components. PyOD's detectors have PyOD's
defaults; its PCA gets double precision and no constant features, since it divides by the variance of each component.
Detectors that take minutes per set are scored on the first splits alone: the table names how many.

"PCA error" is the squared error of a reconstruction from as many components as LinearAE has units. LinearAE's error
minus the error of PCA, both on the training part, is saved as a share of the variance.

Each pair of a set and a detector is saved in benchmarks/outliers.json as soon as it is finished; start the script again
to resume, or with more `--splits` to add the missing splits.

Data: Rayana, "ODDS Library", Stony Brook University, 2016; a folder with NAME.npz, `X` and `y` (1 for outliers).
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
SETS = (
    *("arrhythmia", "cardio", "glass", "ionosphere", "letter", "lympho", "mnist", "musk", "optdigits", "pendigits"),
    *("pima", "satellite", "satimage-2", "shuttle", "vertebral", "vowels", "wbc"),
)
STEPS, LINEAR_STEPS = 300, 3000
ROWS = 512  # per step


class Detector:
    """A detector of one configuration, which may keep a compiled model from split to split of a set."""

    splits = 10
    dtype = "float32"

    def fit(self, x: np.ndarray, seed: int) -> None:
        """Fit to training rows, outliers among them."""
        raise NotImplementedError

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return a score per row, higher for outliers."""
        raise NotImplementedError

    def notes(self, x: np.ndarray) -> dict[str, float]:
        """Return further numbers about the fit on the training rows."""
        return {}


class Ensemble(Detector):
    """The recommended detector, with its defaults."""

    def fit(self, x: np.ndarray, seed: int) -> None:
        from aezoo.sklearn import EnsembleDetector

        self.detector = EnsembleDetector(random_state=seed).fit(x)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return -self.detector.score_samples(x)


class OfPyOD(Detector):
    """A detector of PyOD, with its defaults."""

    def __init__(self, module: str, name: str, splits: int = 10, seeded: bool = True):
        self.module, self.name, self.splits, self.seeded = module, name, splits, seeded

    def fit(self, x: np.ndarray, seed: int) -> None:
        of_pyod = getattr(importlib.import_module(f"pyod.models.{self.module}"), self.name)
        options = {"random_state": seed} if self.seeded else {}
        self.detector = of_pyod(**options).fit(x)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return self.detector.decision_function(x)


class PCAOfPyOD(OfPyOD):
    """PyOD's PCA, which divides by the variances of all components: none may be 0."""

    dtype = "float64"

    def __init__(self) -> None:
        super().__init__("pca", "PCA")

    def fit(self, x: np.ndarray, seed: int) -> None:
        self.varying = np.ptp(x, axis=0) > 0
        super().fit(x[:, self.varying], seed)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return super().scores(x[:, self.varying])


def components(x: np.ndarray) -> int:
    """Return how many principal components explain 90 % of the variance, at least 1 and less than the features."""
    explained = np.cumsum(PCA(random_state=0).fit(x).explained_variance_ratio_)
    return int(np.clip(np.searchsorted(explained, 0.9) + 1, 1, x.shape[1] - 1))


class PCAError(Detector):
    """The squared error of PCA's reconstruction."""

    def fit(self, x: np.ndarray, seed: int) -> None:
        self.pca = PCA(components(x), random_state=0).fit(x)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return np.sum((self.pca.inverse_transform(self.pca.transform(x)) - x) ** 2, axis=1)


class OfAezoo(Detector):
    """A model of aezoo with its `score_samples`, compiled once per set and size of the code."""

    splits = 3

    def __init__(self, name: str, many: bool = False, learning_rate: float = 0.01, steps: int = STEPS, **options: Any):
        self.name, self.many, self.learning_rate, self.steps, self.options = name, many, learning_rate, steps, options
        self.models: dict[tuple[int, int], tuple[Any, list, list]] = {}

    def fit(self, x: np.ndarray, seed: int) -> None:
        import keras
        import tensorflow as tf

        import aezoo

        units = 2 * x.shape[1] if self.many else components(x)
        key = (x.shape[1], units)
        if key not in self.models:
            active = {"k": components(x)} if self.name == "KSparseAE" else {}
            model = getattr(aezoo, self.name)(units, seed=0, **active, **self.options)
            rate = keras.optimizers.schedules.CosineDecay(self.learning_rate, self.steps)
            model.compile(keras.optimizers.SGD(rate) if self.name == "RBM" else keras.optimizers.Adam(rate))
            model.build((None, x.shape[1]))
            model.optimizer.build(model.trainable_variables)
            start = [[v.numpy() for v in part] for part in (model.variables, model.optimizer.variables)]
            self.models = {key: (model, *start)}
        self.model, weights, slots = self.models[key]
        for variables, values in ((self.model.variables, weights), (self.model.optimizer.variables, slots)):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        rows = min(ROWS, len(x))
        batches = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x), seed=seed).repeat()
        self.model.fit(batches.batch(rows).take(self.steps), verbose=0)

    def scores(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.score_samples(x))

    def notes(self, x: np.ndarray) -> dict[str, float]:
        if self.name != "LinearAE":
            return {}
        pca = PCA(components(x), random_state=0).fit(x)
        ours, theirs = (
            np.mean(np.sum((y - x) ** 2, axis=1))
            for y in (np.asarray(self.model.reconstruct(x)), pca.inverse_transform(pca.transform(x)))
        )
        return {"excess": float((ours - theirs) / np.sum(np.var(x, axis=0)))}


def detectors() -> dict[str, Callable[[], Detector]]:
    """Return the detectors by name, each made anew for a set."""
    hidden = {"hidden_dims": (64,), "code_activation": "linear", "output_activation": "linear"}
    likelihood = {"hidden_dims": (64,), "likelihood": "gaussian"}
    return {
        "EnsembleDetector": Ensemble,
        "PyOD IForest": lambda: OfPyOD("iforest", "IForest"),
        "PyOD INNE": lambda: OfPyOD("inne", "INNE"),
        "PyOD PCA": PCAOfPyOD,
        "PyOD KNN": lambda: OfPyOD("knn", "KNN", seeded=False),
        "PyOD AutoEncoder": lambda: OfPyOD("auto_encoder", "AutoEncoder"),
        "PCA error": PCAError,
        "LinearAE": lambda: OfAezoo("LinearAE", steps=LINEAR_STEPS, weight=1e-4),
        "Autoencoder": lambda: OfAezoo("Autoencoder", **hidden),
        "DenoisingAE": lambda: OfAezoo("DenoisingAE", **hidden),
        "ContractiveAE": lambda: OfAezoo("ContractiveAE", **hidden | {"code_activation": "sigmoid"}),
        "SparseAE": lambda: OfAezoo("SparseAE", many=True, output_activation="linear"),
        "KSparseAE": lambda: OfAezoo("KSparseAE", many=True, output_activation="linear"),
        "VAE": lambda: OfAezoo("VAE", **likelihood),
        "RBM": lambda: OfAezoo("RBM", many=True, visible="gaussian"),
        "PyOD VAE": lambda: OfPyOD("vae", "VAE", splits=3),
    }


def load(name: str, folder: str | None, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and labels of a set; "plane" is made for a quick run."""
    if name == "plane":
        rng = np.random.default_rng(0)
        plane = rng.normal(size=(180, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(180, 6))
        return np.concatenate([plane, rng.normal(0, 1.2, (20, 6))]).astype(dtype), np.repeat([0, 1], [180, 20])
    if folder is None:
        raise SystemExit("Give the folder of the ODDS sets: --data FOLDER, or the environment variable AEZOO_ODDS.")
    with np.load(Path(folder) / f"{name}.npz") as arrays:
        return arrays["X"].astype(dtype), arrays["y"].astype(int)


def measure(detector: Detector, x: np.ndarray, y: np.ndarray, splits: range, found: dict[str, Any]) -> None:
    """Score a detector on splits of a set, and append the numbers to the numbers of earlier splits."""
    for seed in splits:
        parts = train_test_split(x, y, test_size=0.4, random_state=seed)
        scaler = StandardScaler().fit(parts[0])
        train, test = (scaler.transform(part).astype(detector.dtype) for part in parts[:2])
        wall, cpu = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector.fit(train, seed)
        found.setdefault("fit_seconds", []).append(round(time.perf_counter() - wall, 3))
        found.setdefault("fit_cpu_seconds", []).append(round(time.process_time() - cpu, 3))
        auroc = roc_auc_score(parts[3], detector.scores(test))
        found.setdefault("auroc", []).append(round(float(auroc), 5))
        for name, value in detector.notes(train).items():
            found.setdefault(name, []).append(round(value, 5))


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    wanted = ("aezoo", "keras", "pyod", "torch", "scikit-learn")
    installed = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
    return {name: installed[name] for name in wanted if name in installed}


def main() -> None:
    """Score every detector on every set, and save after each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("AEZOO_ODDS"), help="folder of the sets")
    parser.add_argument("--only", default="", help="regular expression that 'DETECTOR on SET' has to match")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--output", type=Path, default=None, help="default: outliers.json, nothing for --quick")
    parser.add_argument("--quick", action="store_true", help="a small made-up set: the numbers mean nothing")
    options = parser.parse_args()
    sets, splits = (("plane",), 1) if options.quick else (SETS, options.splits)
    output = options.output or (None if options.quick else HERE / "outliers.json")
    for name, make in detectors().items():
        for data in sets:
            report = json.loads(output.read_text(encoding="utf-8")) if output and output.exists() else {}
            detector, found = make(), report.setdefault("runs", {}).get(name, {}).get(data, {})
            left = range(len(found.get("auroc", [])), min(splits, detector.splits))
            if not left or not re.search(options.only, f"{name} on {data}"):
                continue
            measure(detector, *load(data, options.data, detector.dtype), left, found)
            report["runs"].setdefault(name, {})[data] = {**found, "date": f"{datetime.date.today()}"}
            print(f"{name:18s} {data:12s} {np.mean(found['auroc']):.4f} {len(found['auroc'])}", flush=True)
            if output is None:
                continue
            report["script"], report["cores"], report["versions"] = "benchmarks/outliers.py", os.cpu_count(), versions()
            output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
