"""Learned priors and gradient estimators of a VAE on statically binarized MNIST (Tomczak & Welling 2018 and others).

    TFDS_DATA_DIR=... python benchmarks/papers/priors.py [--rows ROW ...]

784-300-40 with 20 epochs for every row: compare the rows with each other, not with a published number. The ladder is
784-275-40 with 275-100-20 above, which has as many parameters as the VAE with N(0, I), and raises the weight of the KL
divergence from 0 to 1 in the first 4 epochs. Its paper does so in 200, and normalizes batches. The data are the same as
in vae.py.

-log p(x) is estimated with L = 200 codes per image on all test images; and on the first 50 with L = 5000 and by
annealed importance sampling, with 8 chains, 1,000 temperatures and 5 leapfrog steps. All are upper bounds on average.

Samples of each model are compared with the test images in the 64 features of a probe network, a convolutional
classifier of the gray digits that is the same for all rows: the Fréchet distance, and precision and recall with k = 3
of 2,000 samples.
"""

from typing import Any

import configurations
import keras
import numpy as np
from reporting import Clock, Row, mnist
from runner import Configuration, Runs, Setting, Table, main
from vae import data, fitted

import aezoo


def image_shape(x: np.ndarray) -> tuple[int, int, int]:
    """Return the shape of square gray images that are given flat."""
    side = round(np.sqrt(x[0].size))
    return side, side, 1


def images(x: np.ndarray) -> np.ndarray:
    """Return flat images as images."""
    return np.reshape(x, (-1, *image_shape(x)))


def probe(quick: bool) -> keras.Model:
    """Train a classifier of digits, and return its last hidden layer."""
    (x, y), _ = mnist(quick)
    layers = keras.layers
    features = keras.Sequential(
        [
            keras.Input(image_shape(x)),
            layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 5, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
        ]
    )
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential([features, layers.Dense(10, activation="softmax")])
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.fit(images(x), y, epochs=2, batch_size=128, verbose=0)
    return features


def annealed(configuration: Configuration, setting: Setting, model: aezoo.VAE, x_test: np.ndarray) -> dict[str, float]:
    """Estimate the likelihood of the first test images by annealing and with many codes."""
    clock = Clock()
    sizes = {"images": 3, "chains": 2, "temperatures": 5} if setting.quick else dict(configuration)
    x = x_test[: sizes.pop("images")]
    values, errors = aezoo.evaluation.annealed_log_likelihood(model, x, seed=setting.seed, **sizes)
    bound = model.log_likelihood(x, samples=10 if setting.quick else 5000)
    return {
        "nll_annealed": float(-np.mean(values)),
        "error_annealed": float(np.sqrt(np.sum(errors**2)) / len(errors)),
        "nll_of_few": float(-np.mean(bound)),
        "minutes_annealed": clock.minutes,
    }


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a model, estimate the likelihood of the test images, and compare its samples with them."""
    x, x_test = data(setting)
    clock = Clock()
    model = fitted(configuration, x, setting.seed)
    minutes = clock.minutes
    nll = float(-np.mean(model.log_likelihood(x_test, samples=10 if setting.quick else 200)))
    of_few = annealed(configuration["annealing"], setting, model, x_test)
    network = probe(setting.quick)
    samples = np.asarray(model.sample(len(x_test), seed=setting.seed))
    of_data, of_samples = (network.predict(images(each), verbose=0) for each in (x_test, samples))
    few = min(2000, len(x_test))
    precision, recall = aezoo.evaluation.precision_recall(of_data[:few], of_samples[:few])
    return {
        "nll": nll,
        **of_few,
        "distance": aezoo.evaluation.frechet_distance(of_data, of_samples),
        "precision": precision,
        "recall": recall,
        "minutes": minutes,
    }


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    lines: list[Row] = []
    for name in configurations.PRIORS:
        lines += runs.row(name, "nll", f"{name}: -log p(x), L=200, all test images")
        lines += runs.row(name, "nll_of_few", f"{name}: -log p(x), L=5000, 50 test images")
        lines += runs.row(name, "nll_annealed", f"{name}: -log p(x), AIS, the same 50")
        lines += runs.row(name, "distance", f"{name}: Fréchet distance of samples in the probe network")
        lines += runs.row(name, "precision", f"{name}: precision of samples")
        lines += runs.row(name, "recall", f"{name}: recall of samples")
    for name in ("VampPrior", "Ladder"):
        if "N(0, I)" in runs and name in runs:
            means = [np.mean([run["nll"] for run in runs.by_row[row]]) for row in ("N(0, I)", name)]
            lines.append(Row(f"{name} below N(0, I), -log p(x)", "–", "> 0", float(means[0] - means[1]), 0.0))
    return lines


TABLE = Table(name="priors", configurations=configurations.PRIORS, run=run, rows=rows, measure="nll")

if __name__ == "__main__":
    main(TABLE, __doc__)
