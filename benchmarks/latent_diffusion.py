"""Samples of emoji by priors, mixtures, flows and latent diffusion of the codes of two presets.

    python benchmarks/latent_diffusion.py

The autoencoders are the presets `vae_emoji` (codes of 64 units) and `vq_vae_emoji` (maps of 8 x 8 places with 32
channels). Each sampler is fitted to their codes of the training emoji of `aezoo.datasets.load("emoji")`. A fifth of the
training emoji is held out: the epoch of a flow and of a diffusion model and the settings of a mixture are the ones with
the best error or likelihood of these. Nothing else was tuned. The preset's own prior is N(0, I) or a `CodePrior`.

1,000 samples of each are compared with the 94 test emoji, in the 16 features of a probe network: the last hidden layer
of a convolutional network that was trained to read the kind, expression, person, job and skin tone of the training
emoji, and is the same for all rows.

- *distance*: the Fréchet distance; *precision* and *recall*, with k = 3.
- *from training*: median distance of a sample to the nearest training emoji in these features, divided by the median
  distance of a test emoji to it. Copies of training emoji have 0.
- *training emoji*, and their *reconstructions* by the preset, in place of samples: what a perfect copy has.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from saved_runs import SavedRuns
from sklearn.metrics import pairwise_distances
from sklearn.mixture import GaussianMixture

import aezoo
from aezoo import evaluation
from aezoo.recipes.recipes import cosine

HERE = Path(__file__).parent
SEED, BATCH_SIZE, RATE = 0, 32, 2e-3
FACTORS = ("kind", "expression", "person", "job", "skin_tone")
PRESETS = ("vae_emoji", "vq_vae_emoji")

Sampler = Callable[[int, int], Any]
"""Function from a number of samples and a seed to samples."""


@functools.cache
def emoji() -> tuple[np.ndarray, np.ndarray]:
    """Return the training and the test emoji."""
    (x, _), (x_test, _) = aezoo.datasets.load("emoji")
    return x, x_test


@functools.cache
def preset(name: str) -> aezoo.Autoencoder:
    """Load a preset once."""
    return aezoo.Autoencoder.from_preset(name)


@functools.cache
def probe(quick: bool) -> keras.Model:
    """Train a network that reads all factors of emoji, and return it up to its last hidden layer."""
    words = aezoo.datasets.emoji_factors("train")
    names = [name for name in FACTORS if name in words]
    y = np.concatenate([(words[name][:, None] == np.unique(words[name])) for name in names], axis=1).astype("float32")
    layers = keras.layers
    keras.utils.set_random_seed(SEED)
    features = keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            *(layers.Conv2D(n, 3, strides=2, padding="same", activation="relu") for n in (16, 32, 64)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(16),
        ]
    )
    network = keras.Sequential([features, layers.Activation("relu"), layers.Dense(y.shape[1], activation="sigmoid")])
    network.compile(keras.optimizers.Adam(RATE), "binary_crossentropy", metrics=["binary_accuracy"])
    history = network.fit(emoji()[0], y, epochs=1 if quick else 40, batch_size=BATCH_SIZE, verbose=0).history
    print("probe network:", {name: round(values[-1], 4) for name, values in history.items()}, flush=True)
    return features


def trained(sampler: Any, codes: np.ndarray, held_out: np.ndarray, epochs: int) -> Sampler:
    """Train a sampler, and return it at the epoch that is best on the codes that are held out."""
    keras.utils.set_random_seed(SEED)
    sampler.compile(cosine(RATE)(epochs * math.ceil(np.sum(~held_out) / BATCH_SIZE)))
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    sampler.fit(
        codes[~held_out],
        validation_data=(np.repeat(codes[held_out], 4, axis=0),),  # at as many random times
        epochs=epochs,
        batch_size=BATCH_SIZE,
        verbose=0,
        callbacks=[best],
    )
    print(f"best epoch: {best.best_epoch + 1} of {epochs}", flush=True)
    return sampler.sample


def mixture(model: aezoo.Autoencoder, codes: np.ndarray, held_out: np.ndarray, quick: bool) -> Sampler:
    """Return the sampler of the mixture with the best likelihood of the codes that are held out."""
    candidates = []
    for kind in ("diag", "full"):
        for components in (1, 2) if quick else (1, 3, 10, 30):
            for floor in (0.01, 0.1):  # added to the variances, in parts of the codes' variance
                options = {"reg_covar": floor * float(np.var(codes)), "random_state": SEED}
                chosen = GaussianMixture(components, covariance_type=kind, **options)
                sampler = aezoo.MixtureSampler(model, chosen).fit(codes[~held_out])
                candidates.append((float(np.mean(sampler.log_likelihood(codes[held_out]))), sampler))
    best = max(candidates, key=lambda candidate: candidate[0])[1]
    print("mixture:", best.mixture, flush=True)
    return best.sample


def samplers(name: str, quick: bool) -> dict[str, Callable[[], Sampler]]:
    """Return what draws the samples, by method, each to be fitted when it is called."""
    x, _ = emoji()
    model = preset(name)
    codes = np.asarray(model.encode(x))
    held_out = np.arange(len(x)) % 5 == 4
    rng = np.random.default_rng(SEED)
    size, epochs = (8, 1) if quick else (None, None)
    found: dict[str, Callable[[], Sampler]] = {
        "training emoji": lambda: lambda n, seed: x[rng.permutation(len(x))],
        "reconstructions": lambda: lambda n, seed: model.decode(codes),
        "prior of the preset": lambda: lambda n, seed: model.sample(n, seed=seed),
    }
    if name == "vae_emoji":
        found["mixture"] = lambda: mixture(model, codes, held_out, quick)
        found["flow"] = lambda: trained(aezoo.FlowSampler(model, seed=SEED), codes, held_out, epochs or 300)
        found["diffusion"] = lambda: trained(
            aezoo.LatentDiffusion(model, width=size or 256, dropout=0.1, seed=SEED), codes, held_out, epochs or 600
        )
    else:
        found["diffusion"] = lambda: trained(
            aezoo.LatentDiffusion(model, width=size or 64, depth=2, dropout=0.1, seed=SEED),
            codes,
            held_out,
            epochs or 60,
        )
    return found


def measured(samples: np.ndarray, quick: bool) -> dict[str, float]:
    """Compare samples with the test emoji."""
    features = [np.asarray(probe(quick).predict(np.asarray(x), verbose=0)) for x in (*emoji(), samples)]
    mean, deviation = features[0].mean(axis=0), features[0].std(axis=0)
    of_training, of_test, found = ((each - mean) / deviation for each in features)
    precision, recall = evaluation.precision_recall(of_test, found)
    near, usual = (np.median(pairwise_distances(x, of_training).min(axis=1)) for x in (found, of_test))
    return {
        "distance": evaluation.frechet_distance(of_test, found),
        "precision": precision,
        "recall": recall,
        "from_training": float(near / usual),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small networks and one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/latent_diffusion.json, and none if quick")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "latent_diffusion.json")
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    n = 40 if options.quick else 1000
    settings = {"seeds": 1, "samples": n, "batch_size": BATCH_SIZE}
    runs = SavedRuns("benchmarks/latent_diffusion.py", output, ("preset", "method", "seed"), settings, versions)
    for name in PRESETS:
        for method, fit in samplers(name, options.quick).items():
            if (name, method, SEED) in runs:
                continue
            start = time.process_time()
            sampler = fit()
            minutes = (time.process_time() - start) / 60
            found = measured(np.asarray(sampler(n, SEED)), options.quick)
            runs.add((name, method, SEED), minutes=minutes, **found)
            print(name, method, {key: round(value, 3) for key, value in found.items()}, flush=True)


if __name__ == "__main__":
    main()
