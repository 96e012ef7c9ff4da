"""Discrete codes of emoji: use of the codebook, bits against error beside CompressiveAE, and priors of the codes.

    python benchmarks/discrete_codes.py [--models FOLDER]

All models encode `aezoo.datasets.load("emoji")`, 64 x 64 pixels in color, with the same convolutions:
`filters=(32, 64)` and a map of 8 x 8 places. They are trained by Adam for as many epochs in batches of 32, with a
learning rate that falls from 0.002 to 0 along a cosine. Nothing was tuned but the weights of CompressiveAE, which were
chosen so that its bits cover the range of the others.

- *bits*: of the indices at equal length, places · levels · log₂ entries; for CompressiveAE the rate of its codes under
  its learned density on the test emoji.
- *error*: mean squared error per value on the test emoji, and as PSNR.
- *usage* and *perplexity*: of the entries, over the training emoji, after training.
- *bits under the prior*: -log₂ p of the test emoji's indices under a `CodePrior` that was trained on the training
  emoji's, at the epoch of the least value on a fifth of them, which the prior is not trained on. Codes of
  CompressiveAE have their density.

Goals: at least 90 % of the entries of a VQVAE with restarts are in use, and all of an FSQVAE of as many entries.
"""

from __future__ import annotations

import argparse
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

import aezoo
from aezoo.recipes.recipes import code_prior, cosine

HERE = Path(__file__).parent
BATCH_SIZE, RATE = 32, 2e-3
NETWORKS: dict[str, Any] = {"filters": (32, 64), "kernel_size": 3, "spatial": True}

#: By name: a function that makes a model for a seed.
METHODS: dict[str, Callable[[int], aezoo.Autoencoder]] = {
    "VQVAE, 256 entries": lambda seed: aezoo.VQVAE(32, codebook_size=256, seed=seed, **NETWORKS),
    "VQVAE, 256 entries, no restarts": lambda seed: aezoo.VQVAE(
        32, codebook_size=256, dead_after=0, seed=seed, **NETWORKS
    ),
    "VQVAE, 256 entries, codebook term": lambda seed: aezoo.VQVAE(
        32, codebook_size=256, ema_decay=None, seed=seed, **NETWORKS
    ),
    "VQVAE, 256 entries, 2 levels": lambda seed: aezoo.VQVAE(32, codebook_size=256, levels=2, seed=seed, **NETWORKS),
    "VQVAE, 256 entries, 4 levels": lambda seed: aezoo.VQVAE(32, codebook_size=256, levels=4, seed=seed, **NETWORKS),
    "FSQVAE, levels 8 6 5": lambda seed: aezoo.FSQVAE(levels=(8, 6, 5), seed=seed, **NETWORKS),
    "FSQVAE, levels 8 6 5, 2 vectors": lambda seed: aezoo.FSQVAE(6, levels=(8, 6, 5), seed=seed, **NETWORKS),
    **{
        f"CompressiveAE, weight {weight}": lambda seed, weight=weight: aezoo.CompressiveAE(
            32, weight=float(weight), seed=seed, **NETWORKS
        )
        for weight in (3, 10, 30)
    },
}
#: The models that get a prior.
WITH_PRIOR = ("VQVAE, 256 entries",)


def trained(model: aezoo.Autoencoder, x: np.ndarray, epochs: int) -> aezoo.Autoencoder:
    keras.utils.set_random_seed(model.seed)
    model.compile(cosine(RATE)(epochs * math.ceil(len(x) / BATCH_SIZE)))
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def measured(model: aezoo.Autoencoder, x_train: np.ndarray, x_test: np.ndarray) -> dict[str, float]:
    """Return bits and error on test samples, and the use of the codebook over the training samples."""
    error = float(np.mean(np.square(x_test - np.asarray(model.reconstruct(x_test))), dtype="float64"))
    found = {"mean_squared_error": error, "PSNR": -10 * math.log10(error)}
    if isinstance(model, aezoo.CompressiveAE):
        return {"bits": float(np.mean(model.rate(model.encode(x_test)))), **found}
    reported = model.evaluate(x_train, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
    return {"bits": model.quantizer.bits, **found, **{name: reported[name] for name in ("usage", "perplexity")}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="*", help="names of the models to run, default: all")
    parser.add_argument("--models", type=Path, help="a folder to save the models in, with their priors")
    parser.add_argument("--quick", action="store_true", help="few emoji and two epochs: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/discrete_codes.json, and none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "discrete_codes.json")
    epochs, seeds = (2, 1) if options.quick else (options.epochs, options.seeds)
    (x_train, _), (x_test, _) = aezoo.datasets.load("emoji")
    if options.quick:
        x_train, x_test = x_train[::8], x_test[::8]
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    settings = {"seeds": seeds, "epochs": epochs, "batch_size": BATCH_SIZE}
    runs = SavedRuns("benchmarks/discrete_codes.py", output, ("method", "seed"), settings, versions)
    for seed in range(seeds):
        for method, make in METHODS.items():
            if (method, seed) in runs or method not in (options.methods or METHODS):
                continue
            start = time.perf_counter()
            model = trained(make(seed), x_train, epochs)
            found: dict[str, Any] = {"minutes": (time.perf_counter() - start) / 60}
            found |= measured(model, x_train, x_test)
            if method in WITH_PRIOR:
                model.prior = code_prior(model, x_train, epochs, BATCH_SIZE)
                bits = -np.asarray(model.prior.log_likelihood(model.indices(x_test))) / math.log(2)
                found["bits_under_prior"] = float(np.mean(bits))
            if options.models is not None:
                options.models.mkdir(parents=True, exist_ok=True)
                model.save(options.models / f"{method.replace(',', '').replace(' ', '_')}_{seed}.keras")
            runs.add((method, seed), **found)
            print(method, {name: round(value, 4) for name, value in found.items()}, flush=True)
            keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
