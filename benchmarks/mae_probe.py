"""A linear probe of the features of MaskedAE, beside other autoencoders, PCA and pixels.

    python benchmarks/mae_probe.py [--cifar10 FOLDER]

FOLDER has `cifar10_train10k_test1k.npz`: the first 10,000 training images of CIFAR-10 (Krizhevsky 2009) and its first
1,000 test images, arrays x_train, y_train, x_test and y_test, uint8. Accuracies on so few test images have a standard
error of about 1.5 points and cannot be compared with published ones. Fashion-MNIST is read from `TFDS_DATA_DIR`: the
first 10,000 training images and all test images.

Every model is trained without labels on the same 10,000 images for as many epochs, in batches of 64, by its default
optimizer with a rate that falls to 0 along a cosine. A code has 64 units. `Autoencoder` and `DenoisingAE` have two
convolutions and a linear code; `MaskedAE` has two transformer blocks and cuts an image into 16 patches, four per side,
and masks twelve of them. These encoders have 100,000 to 140,000 weights. Nothing was tuned, but the size of the
networks and of the patches was chosen for the time that a training takes.

- *features*: the code. A `MaskedAE` has a code per patch; features are their mean, or all of them. None is masked.
- *accuracy*: share of the test images that logistic regression on the standardized features classifies right. It learns
  from the labels of the same 10,000 images; its regularization is the best of five on the last fifth of them, by a
  regression on the others. L-BFGS takes at most 100 steps.
- *untrained*: the same encoder with its initial weights.
- *CPU seconds*: of the training, all threads together.
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
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import threadpoolctl
from saved_runs import SavedRuns
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import aezoo

HERE = Path(__file__).parent
BATCH_SIZE, UNITS, IMAGES = 64, 64, 10_000
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
CONVOLUTIONS: dict[str, Any] = {"filters": (16, 32), "activation": "relu", "code_activation": "linear"}

#: By name: a function that makes a model for a seed and images of a side.
MODELS: dict[str, Callable[[int, int], aezoo.Autoencoder]] = {
    "LinearAE": lambda seed, side: aezoo.LinearAE(UNITS, seed=seed),
    "Autoencoder": lambda seed, side: aezoo.Autoencoder(UNITS, seed=seed, **CONVOLUTIONS),
    "DenoisingAE": lambda seed, side: aezoo.DenoisingAE(UNITS, seed=seed, **CONVOLUTIONS),
    "MaskedAE": lambda seed, side: aezoo.MaskedAE(UNITS, patch_size=side // 4, normalize_targets=True, seed=seed),
}
UNTRAINED = ", untrained"
METHODS = ("pixels", "PCA", *MODELS, *(name + UNTRAINED for name in ("Autoencoder", "MaskedAE")))
#: The rows of the methods that have several.
ROWS = {"MaskedAE": ("MaskedAE, mean of the patches", "MaskedAE, all patches")}

Part = tuple[np.ndarray, np.ndarray]


def cifar10(folder: Path) -> tuple[Part, Part]:
    """Return the images in [0, 1] and the labels of the excerpt in a folder, for training and for testing."""
    with np.load(folder / "cifar10_train10k_test1k.npz") as file:
        parts = [(file[f"x_{part}"].astype("float32") / 255, file[f"y_{part}"]) for part in ("train", "test")]
    return parts[0], parts[1]


def trained(model: aezoo.Autoencoder, x: np.ndarray, epochs: int) -> aezoo.Autoencoder:
    keras.utils.set_random_seed(model.seed)
    rate = float(model.default_optimizer().learning_rate.numpy())
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * math.ceil(len(x) / BATCH_SIZE))
    model.compile(model.default_optimizer(schedule))
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def probe(z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray) -> dict[str, float]:
    """Return the accuracy of logistic regression on features, and the regularization that was chosen."""

    def fitted(strength: float, rows: slice) -> Any:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=100))
        with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1):  # several threads wait for each other
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(z[rows], y[rows])

    cut = len(z) * 4 // 5
    validation = {strength: fitted(strength, slice(cut)).score(z[cut:], y[cut:]) for strength in STRENGTHS}
    best = max(validation, key=validation.__getitem__)
    accuracy = fitted(best, slice(None)).score(z_test, y_test)
    return {"accuracy": float(accuracy), "validation_accuracy": float(validation[best]), "C": best}


def run(method: str, seed: int, data: tuple[Part, Part], epochs: int) -> dict[str, dict[str, Any]]:
    """Train a model and probe its features; return what was found by row."""
    (x, y), (x_test, y_test) = data
    found: dict[str, Any] = {"weights": None, "cpu_seconds": None}
    if method in ("pixels", "PCA"):
        z, z_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
        if method == "PCA":
            pca = PCA(UNITS, random_state=seed).fit(z)
            z, z_test = pca.transform(z), pca.transform(z_test)
    else:
        model = MODELS[method.removesuffix(UNTRAINED)](seed, x.shape[1])
        if method.endswith(UNTRAINED):
            model.build(x.shape)
        else:
            start = time.process_time()
            trained(model, x, epochs)
            found["cpu_seconds"] = time.process_time() - start
        found["weights"] = model.encoder.count_params()
        z, z_test = (np.asarray(model.encode(part, batch_size=500)) for part in (x, x_test))
    forms = [(z, z_test)] if z.ndim == 2 else [(z.mean(axis=1), z_test.mean(axis=1)), (z, z_test)]
    rows = {}
    for row, (of_train, of_test) in zip(ROWS.get(method, (method,)), forms, strict=False):
        of_train, of_test = of_train.reshape(len(y), -1), of_test.reshape(len(y_test), -1)
        rows[row] = {"features": of_train.shape[1], **found, **probe(of_train, y, of_test, y_test)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, help="the folder of the excerpt of CIFAR-10, default: leave it out")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", help="names of the methods to run, default: all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after this time")
    parser.add_argument("--quick", action="store_true", help="few small digits, one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/mae_probe.json, and none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "mae_probe.json")
    epochs, seeds, images = (1, 1, 200) if options.quick else (options.epochs, options.seeds, IMAGES)
    first = "digits" if options.quick else "Fashion-MNIST"
    data = {first: aezoo.datasets.load(first.lower().replace("-", "_"))}
    if options.cifar10 is not None:
        data["CIFAR-10 excerpt"] = cifar10(options.cifar10)
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    versions["scikit-learn"] = importlib.metadata.version("scikit-learn")
    settings = {"seeds": seeds, "epochs": epochs, "batch_size": BATCH_SIZE, "images": images}
    begin = time.perf_counter()
    runs = SavedRuns("benchmarks/mae_probe.py", output, ("data", "method", "seed"), settings, versions)
    for seed in range(seeds):
        for name, ((x, y), test) in data.items():
            for method in METHODS:
                known = all((name, row, seed) in runs for row in ROWS.get(method, (method,)))
                once = method in ("pixels", "PCA")
                if known or (once and seed) or method not in (options.methods or METHODS):
                    continue
                if time.perf_counter() - begin > 60 * options.minutes:
                    return
                for row, found in run(method, seed, ((x[:images], y[:images]), test), epochs).items():
                    runs.add((name, row, seed), **found)
                    print(name, row, seed, found, flush=True)
                keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
