"""Disentanglement of sprites: the metrics of codes, by model.

    python benchmarks/disentanglement.py [--methods NAME ...] [--models FOLDER [--picture FILE]]

All models encode `aezoo.datasets.load("sprites")` with the same dense networks, 1024-128-128-8 and back, and the same
Bernoulli likelihood. They are trained by Adam at 0.001 for as many epochs in batches of 128. Nothing was tuned: the
weights of the penalties are round numbers.

- *error*: cross-entropy on the test sprites at the mean code, in nats, less its least possible value, the entropy of
  the gray values.
- *MIG*, *DCI*, *SAP*, *FactorVAE score*: of the mean codes of all 12,000 sprites; `gaps` has MIG by factor.

The published experiments train convolutional networks on all 737,280 dSprites, for far more steps: 10,000 sprites and
50 epochs are what two CPU cores can do here.

Goals: in the median over the seeds, the MIG of BetaTCVAE is above the MIG of the VAE with the same β, which is above
the MIG of the VAE with β = 1; and the error of BetaTCVAE is at most 10 % above the error of the VAE with the same β.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from matplotlib.figure import Figure
from saved_runs import SavedRuns

import aezoo
from aezoo import evaluation
from aezoo._typing import ArrayLike
from aezoo.plots import tiles

HERE = Path(__file__).parent
BATCH_SIZE, RATE = 128, 1e-3
NETWORKS: dict[str, Any] = {"latent_dim": 8, "hidden_dims": (128, 128)}

#: By name: a function that makes a model for a seed.
METHODS: dict[str, Callable[[int], aezoo.VAE]] = {
    "VAE": lambda seed: aezoo.VAE(seed=seed, **NETWORKS),
    "VAE, beta 4": lambda seed: aezoo.VAE(beta=4.0, seed=seed, **NETWORKS),
    "BetaTCVAE, beta 4": lambda seed: aezoo.BetaTCVAE(beta=4.0, seed=seed, **NETWORKS),
    "FactorVAE, gamma 10": lambda seed: aezoo.FactorVAE(gamma=10.0, seed=seed, **NETWORKS),
    "MMDVAE, weight 1000": lambda seed: aezoo.MMDVAE(weight=1000.0, seed=seed, **NETWORKS),
}


def trained(model: aezoo.VAE, x: np.ndarray, epochs: int) -> aezoo.VAE:
    keras.utils.set_random_seed(model.seed)
    model.compile(keras.optimizers.Adam(RATE))
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def measured(model: aezoo.VAE, x: np.ndarray, x_test: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the error on test sprites, and the metrics of the codes of all sprites."""
    p, q = np.clip(x_test, 1e-7, 1 - 1e-7), np.clip(np.asarray(model.reconstruct(x_test)), 1e-7, 1 - 1e-7)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    z = np.asarray(model.encode(x))
    given: dict[str, ArrayLike] = dict(factors)
    scores = evaluation.dci(z, given)
    return {
        "error": float(np.mean(np.sum(divergence, axis=(1, 2, 3), dtype="float64"))),
        "MIG": evaluation.mutual_information_gap(z, given),
        **scores._asdict(),
        "SAP": evaluation.sap(z, given, categorical=["shape"]),
        "FactorVAE score": evaluation.factor_vae_score(z, given),
        "gaps": {name: evaluation.mutual_information_gap(z, {name: values}) for name, values in given.items()},
    }


def draw(folder: Path, seeds: dict[str, int], columns: int = 9) -> Figure:
    """Draw the units of saved models: rows of a sprite decoded while one unit goes from -2 to 2.

    Args:
        folder: The folder of the models.
        seeds: The seed of each by its name; a panel each. The rows are the units whose means vary most.
        columns: Number of steps.
    """
    (x, _), _ = aezoo.datasets.load("sprites")
    heart = aezoo.datasets.draw_sprites(shape=2, scale=4, orientation=0, x=16, y=16)
    panels = {}
    for method, seed in seeds.items():
        model = keras.saving.load_model(_file(folder, method, seed))
        units = np.argsort(-np.var(np.asarray(model.encode(x)), axis=0))[:6]
        codes = np.repeat(np.asarray(model.encode(heart)), len(units) * columns, axis=0)
        codes[np.arange(len(codes)), np.repeat(units, columns)] = np.tile(np.linspace(-2, 2, columns), len(units))
        panels[method] = tiles.pictures(np.asarray(model.decode(codes)))
    return tiles.tile_figure(panels, columns=columns, across=len(panels))


def medians(runs: list[dict[str, Any]]) -> dict[str, int]:
    """Return the seed of the median MIG of two methods."""
    found = {}
    for method in ("VAE", "BetaTCVAE, beta 4"):
        ordered = sorted((run for run in runs if run["method"] == method), key=lambda run: run["MIG"])
        found[method] = ordered[len(ordered) // 2]["seed"]
    return found


def _file(folder: Path, method: str, seed: int) -> Path:
    return folder / f"{method.replace(',', '').replace(' ', '_')}_{seed}.keras"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", help="names of the models to run, default: all")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no run after this time")
    parser.add_argument("--models", type=Path, help="a folder to save the models in")
    parser.add_argument("--picture", type=Path, help="a PNG file of what the units of two models of --models do")
    parser.add_argument("--quick", action="store_true", help="few sprites and one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/disentanglement.json, and none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "disentanglement.json")
    epochs, seeds = (1, 1) if options.quick else (options.epochs, options.seeds)
    (x_train, _), (x_test, _) = aezoo.datasets.load("sprites")
    factors = aezoo.datasets.sprite_factors()
    x = np.concatenate([x_train, x_test])
    if options.quick:
        x_train, x_test, x = x_train[:256], x_test[:64], x[:512]
        factors = {name: values[:512] for name, values in factors.items()}
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    settings = {"seeds": seeds, "epochs": epochs, "batch_size": BATCH_SIZE}
    runs = SavedRuns("benchmarks/disentanglement.py", output, ("method", "seed"), settings, versions)
    begin = time.perf_counter()
    for seed in range(seeds):
        for method, make in METHODS.items():
            if (method, seed) in runs or method not in (options.methods or METHODS):
                continue
            if time.perf_counter() - begin > 60 * options.minutes:
                return
            start = time.perf_counter()
            model = trained(make(seed), x_train, epochs)
            found: dict[str, Any] = {"minutes": (time.perf_counter() - start) / 60}
            found |= measured(model, x, x_test, factors)
            if options.models is not None:
                options.models.mkdir(parents=True, exist_ok=True)
                model.save(_file(options.models, method, seed))
            runs.add((method, seed), **found)
            print(method, seed, {name: value for name, value in found.items() if name != "gaps"}, flush=True)
            keras.backend.clear_session(free_memory=False)
    if options.picture is not None:
        draw(options.models, medians(runs.report["runs"])).savefig(options.picture, dpi=125)


if __name__ == "__main__":
    main()
