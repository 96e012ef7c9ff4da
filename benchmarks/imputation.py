"""Missing values of tables: aezoo's models beside scikit-learn's imputers, in the same run.

    python benchmarks/imputation.py [--odds FOLDER]

Tables that ship with scikit-learn (breast cancer, wine, diabetes, digits) and one of the ODDS collection, cardio, from
`FOLDER/cardio.npz`, are standardized without their constant columns. Of each, 10, 30 and 50 % of the entries are
removed completely at random. Every method gets the same incomplete table and fills it in. The error is the root of the
mean squared error of the removed entries, which no method sees, in standard deviations; filling in the mean of a
column gives about 1.

One configuration of each model is used for all tables, rates and seeds, fixed before the first run of this script:

- `DenoisingAE` with a hidden layer of 64 units, 32 code units and a corruption of 0.3, trained by Adam with a rate of
  0.001 for 1,500 steps of 64 rows; it was the best of three that were tried on another table of the ODDS collection,
  glass, with 30 % missing;
- `VAE` with a hidden layer of 64 units, 10 code units and a variance per feature, trained by Adam with a rate of 0.002
  for as many steps; missing values are the mean over 100 weighted codes after four steps with the mean code. It was not
  tuned.
- `KNNImputer` and `IterativeImputer` have scikit-learn's defaults.

A reported value is the mean over the seeds, which remove other entries and start other weights, and beside it the
standard deviation.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import sklearn.datasets
from saved_runs import SavedRuns
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

import aezoo
from aezoo.likelihoods import Gaussian

HERE = Path(__file__).parent
RATES = (0.1, 0.3, 0.5)
BATCH_SIZE, EPOCH = 64, 250  # samples of a batch, and about as many batches of an epoch


def tables(odds: Path | None) -> dict[str, np.ndarray]:
    """Return the standardized tables by name, (n, features) float32."""
    found = {
        name: getattr(sklearn.datasets, f"load_{name}")().data
        for name in ("breast_cancer", "wine", "diabetes", "digits")
    }
    if odds is not None:
        found["cardio"] = np.load(odds / "cardio.npz")["X"]
    varying = {name: x[:, x.std(axis=0) > 0] for name, x in found.items()}
    return {name: StandardScaler().fit_transform(x).astype("float32") for name, x in varying.items()}


def fitted(model: aezoo.Autoencoder, x: np.ndarray, learning_rate: float, steps: int) -> aezoo.Autoencoder:
    """Train a model for a number of steps, rounded up to whole epochs; small tables are repeated in an epoch."""
    keras.utils.set_random_seed(model.seed)
    model.compile(keras.optimizers.Adam(learning_rate))
    x = np.tile(x, (max(1, round(min(steps, EPOCH) * BATCH_SIZE / len(x))), 1))
    epochs = math.ceil(steps / math.ceil(len(x) / BATCH_SIZE))
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def denoising(x: np.ndarray, seed: int, steps: int) -> np.ndarray:
    model = aezoo.DenoisingAE(
        32,
        hidden_dims=(64,),
        corruption=0.3,
        activation="relu",
        output_activation="linear",
        missing="mask",
        seed=seed,
    )
    return np.asarray(fitted(model, x, 1e-3, steps).impute(x))


def variational(x: np.ndarray, seed: int, steps: int) -> np.ndarray:
    model = aezoo.VAE(10, hidden_dims=(64,), likelihood=Gaussian("per_feature"), missing="mask", seed=seed)
    return np.asarray(fitted(model, x, 2e-3, steps).impute(x, steps=5, samples=100))


METHODS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    "mean": lambda x, seed, steps: SimpleImputer().fit_transform(x),
    "KNNImputer": lambda x, seed, steps: KNNImputer().fit_transform(x),
    "IterativeImputer": lambda x, seed, steps: IterativeImputer(random_state=seed).fit_transform(x),
    "DenoisingAE": denoising,
    "VAE": variational,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--odds", type=Path, help="a folder with cardio.npz of the ODDS collection")
    parser.add_argument("--tables", nargs="*", help="names of the tables to run, default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500, help="training steps of each model")
    parser.add_argument("--quick", action="store_true", help="two tables and a few steps: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/imputation.json, and none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "imputation.json")
    seeds, steps = (1, 8) if options.quick else (options.seeds, options.steps)
    versions = {
        "aezoo": aezoo.__version__,
        "keras": keras.__version__,
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }
    settings = {"seeds": seeds, "steps": steps, "batch_size": BATCH_SIZE}
    runs = SavedRuns("benchmarks/imputation.py", output, ("data", "rate", "seed", "method"), settings, versions)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the defaults stop IterativeImputer after 10 rounds
    for seed in range(seeds):
        for name, complete in tables(options.odds).items():
            if name not in ("wine", "diabetes") if options.quick else name not in (options.tables or [name]):
                continue
            for rate in RATES[:1] if options.quick else RATES:
                holes = np.random.default_rng(seed).random(complete.shape) < rate
                x = np.where(holes, np.nan, complete).astype("float32")
                for method, impute in METHODS.items():
                    if (name, rate, seed, method) in runs:
                        continue
                    start = time.perf_counter()
                    filled = impute(x, seed, steps)
                    seconds = time.perf_counter() - start
                    error = float(np.sqrt(np.mean(np.square(filled - complete)[holes], dtype="float64")))
                    runs.add((name, rate, seed, method), shape=list(complete.shape), RMSE=error, seconds=seconds)
                    print(f"{name:14s} {rate:.0%} {seed} {method:18s} {error:.3f} {seconds:6.1f} s", flush=True)
                    keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
