"""Measure how much the presets change when LiteRT computes them in 8-bit integers.

    python benchmarks/int8.py [--only NAME ...]

Each preset of `saved_models/` is exported three times as LiteRT: in single precision; with weights in 8-bit integers
(`optimizations=[tf.lite.Optimize.DEFAULT]`); and with weights and activations in 8-bit integers, scaled by 200 training
samples (`quantize=x_train[:200]`). The error of a signature is the mean absolute difference between the file and the
model on test samples, at most 1,000 of them, divided by the standard deviation of the model's results. Presets of emoji
are measured on the test emoji that ship with aezoo, all others on MNIST. The sketches of `sketch_rnn_cats` do not ship
with aezoo, so that it is left out. A signature that cannot be exported is saved with the reason.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from saved_runs import SavedRuns

import aezoo
from aezoo.recipes.recipes import RECIPES
from aezoo.recipes.sources import SOURCES

HERE = Path(__file__).parent
CALIBRATED, TESTED = 200, 1000
SIGNATURES = ("encode", "reconstruct", "score")
WEIGHTS, ACTIVATIONS = "weights", "weights and activations"


def data_of(preset: str) -> str:
    """Return the name of the data set that a preset is measured on, or "" if its data do not ship with aezoo."""
    source = SOURCES[RECIPES[preset].data]
    return source.excerpt if source.option else RECIPES[preset].data


def options(mode: str, x: np.ndarray) -> dict[str, Any]:
    """Return the arguments of `export` for a mode."""
    return {
        "single precision": {},
        WEIGHTS: {"optimizations": [tf.lite.Optimize.DEFAULT]},
        ACTIVATIONS: {"quantize": x[:CALIBRATED]},
    }[mode]


def measure(model: aezoo.Autoencoder, x: np.ndarray, x_test: np.ndarray, mode: str) -> dict[str, Any]:
    """Return the size of a LiteRT file in bytes, and the error of each signature in standard deviations."""
    names, refused = [name for name in SIGNATURES if name in {*model.signatures(), "reconstruct"}], {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of signatures that are inexact, which the table shows
        path = f"{folder}/model.tflite"
        while names:
            try:
                model.export(path, format="litert", signatures=tuple(names), **options(mode, x))
                break
            except ValueError as error:
                name = next((name for name in names if repr(name) in str(error)), names[-1])
                refused[name] = str(error)
                names.remove(name)
        if not names:
            return {"refused": refused}
        try:
            errors = aezoo.evaluation.litert_error(model, path, x_test)
        except RuntimeError as error:  # the file needs operations of TensorFlow
            return {"refused": {**refused, **dict.fromkeys(names, str(error))}}
        size = os.path.getsize(path)
    relative = {name: error["mean"] / error["std"] for name, error in errors.items()}
    return {"bytes": size, "errors": relative, **({"refused": refused} if refused else {})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of the presets, default: all")
    parser.add_argument("--quick", action="store_true", help="two small models of digits: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/int8.json, and none of a quick run")
    given = parser.parse_args()
    output = given.output or (None if given.quick else HERE / "int8.json")
    settings = {"calibrated": CALIBRATED, "tested": TESTED}
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__, "tensorflow": tf.__version__}
    runs = SavedRuns("benchmarks/int8.py", output, ("preset", "mode"), settings, versions)
    presets = (
        dict.fromkeys(("Autoencoder", "VAE"), "digits") if given.quick else {name: data_of(name) for name in RECIPES}
    )
    for preset, data in presets.items():
        if not data or preset not in (given.only or presets):
            continue
        (x, _), (x_test, _) = aezoo.datasets.load(data)
        model = None
        for mode in ("single precision", WEIGHTS, ACTIVATIONS):
            if (preset, mode) in runs:
                continue
            if model is None and given.quick:
                model = getattr(aezoo, preset)(4, seed=0)
                model.build(x.shape)
            elif model is None:
                model = keras.saving.load_model(HERE.parent / "saved_models" / preset / "model.keras")
            start = time.perf_counter()
            found = measure(model, x, x_test[:TESTED], mode)
            runs.add((preset, mode), data=data, **found, seconds=time.perf_counter() - start)
            print(f"{preset:24s} {mode:24s} {found}", flush=True)


if __name__ == "__main__":
    main()
