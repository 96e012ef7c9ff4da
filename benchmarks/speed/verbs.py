"""Measure the methods `encode`, `decode`, `reconstruct` and `score_samples`: time for one sample, memory for many.

    python benchmarks/speed/verbs.py [--quick] [--output FILE.json]

"one sample" is the time that a method takes for one image, divided by the time that the same signature of the exported
SavedModel takes: lower is better. Both run in turn, from a NumPy array to a NumPy array. "MiB" is the memory that
`encode`, `reconstruct` and `score_samples` of 20,000 images add to the peak of a fresh process, beyond the images and
the result. It includes the graph that the call builds. Images are random, 32 x 32 x 3, and the models untrained.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import timing

import aezoo

SHAPE = (32, 32, 3)
MODELS = {
    "dense": lambda seed: aezoo.Autoencoder(64, hidden_dims=(512,), seed=seed),
    "convolutional": lambda seed: aezoo.Autoencoder(64, filters=(32, 64), seed=seed),
    "k-sparse": lambda seed: aezoo.KSparseAE(1000, k=25, seed=seed),
    "VAE": lambda seed: aezoo.VAE(20, hidden_dims=(400,), seed=seed),
}
# For each method, the signature that does the same, its input and its output.
SIGNATURES = {
    "encode": ("encode", "x", "code"),
    "decode": ("decode", "z", "reconstruction"),
    "reconstruct": ("serving_default", "x", "reconstruction"),
    "score_samples": ("score", "x", "score"),
}
MEMORY = ("encode", "reconstruct", "score_samples")
SLOWER, MIB = 2.0, 200.0


def built(name: str, seed: int) -> Any:
    model = MODELS[name](seed)
    model.build((None, *SHAPE))
    return model


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *SHAPE), dtype="float32")


def one_sample(name: str, settings: dict[str, int]) -> dict[str, Any]:
    """Return the time of each method over the time of its signature."""
    model, x = built(name, settings["seed"]), images(1, settings["seed"])
    values = {"x": x, "z": np.asarray(model.encode(x))}
    repeats = range(settings["calls"])
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        model.export(f"{folder}/1", warmup=False)
        loaded = tf.saved_model.load(f"{folder}/1")
        for verb, (signature, given, output) in SIGNATURES.items():
            value, called, served = values[given], getattr(model, verb), loaded.signatures[signature]

            def ours(call: Any = called, value: Any = value) -> None:
                for _ in repeats:
                    np.asarray(call(value))

            def theirs(call: Any = served, given: str = given, output: str = output, value: Any = value) -> None:
                for _ in repeats:
                    np.asarray(call(**{given: tf.constant(value)})[output])

            seconds = timing.interleaved({"verb": ours, "signature": theirs}, settings["rounds"], settings["passes"])
            results[verb] = timing.compared(seconds, "verb", "signature", SLOWER)
            results[verb]["milliseconds"] = {
                who: 1e3 * timing.spread(taken)["median"] / len(repeats) for who, taken in seconds["wall"].items()
            }
    return results


def peak(name: str, verb: str, count: int, seed: int) -> float:
    """Return the MiB that a method adds to the peak of this process for many images, beyond its result."""
    model, x = built(name, seed), images(count, seed)
    before = timing.peak_bytes()
    result = getattr(model, verb)(x)
    return max(0, timing.peak_bytes() - before - int(tf.size(result)) * result.dtype.size) / 2**20


def memory(name: str, verb: str, settings: dict[str, Any]) -> dict[str, Any]:
    count, seed = settings["images"], settings["seed"]
    if settings["quick"]:
        return timing.judged(timing.spread([peak(name, verb, count, seed)]), MIB)
    command = [__file__, "--peak", name, verb, str(count), "--seed", str(seed)]
    return timing.judged(timing.spread(timing.in_child(command)["mib"] for _ in range(settings["runs"])), MIB)


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--peak", nargs=3, metavar=("MODEL", "VERB", "IMAGES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        name, verb, count = arguments.peak
        print(json.dumps({"mib": peak(name, verb, int(count), arguments.seed)}), flush=True)
        sys.exit()
    keras.utils.set_random_seed(arguments.seed)
    calls, rounds, passes, count, runs = (2, 1, 1, 300, 1) if arguments.quick else (100, 5, 3, 20_000, 3)
    settings = {"calls": calls, "rounds": rounds, "passes": passes, "images": count, "runs": runs}
    settings |= {"seed": arguments.seed, "quick": arguments.quick}
    names = list(MODELS)[:1] if arguments.quick else list(MODELS)
    results: dict[str, Any] = {}
    rows = []
    for name in names:
        single = one_sample(name, settings)
        many = {verb: memory(name, verb, settings) for verb in MEMORY}
        results[name] = {"one sample, verb / signature": single, f"MiB for {count:,} images": many}
        rows += [(f"{name}, {verb}, one sample", timing.shown(r), *timing.verdict(r)) for verb, r in single.items()]
        rows += [(f"{name}, {verb}, MiB", timing.shown(r), *timing.verdict(r)) for verb, r in many.items()]
    print(timing.table(("what", "measured", "goal", "reached"), rows))
    report = {"benchmark": "verbs", "machine": timing.machine(), "settings": settings, "results": results}
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main()
