"""How fast our training step is: beside stock Keras, and what each variant adds to it.

    python benchmarks/speed/steps.py [--quick] [--output FILE.json]

The network is 784-1000-784, batches of 128, Adam, float32, random data in [0, 1]; CPU or whatever TensorFlow finds.
One timing is the wall time of `fit` for one epoch of 32 steps, the last of them short, its checks of the data included.
All contenders run in turn after an untimed epoch each, three times per round; the fastest time counts. A ratio is
taken within a round, and the table gives the median of 5 rounds with the least and the greatest. Goals are put to wall
time; the ratio of CPU time beside it is less disturbed by what else the machine does.

Part 1: `Autoencoder.fit(x)` against `keras.Model.fit(x, x)` of the same network with `compile(loss="mse")`, and what
`steps_per_execution` and `jit_compile` change for both. By default ours makes 8 steps a call where nothing looks at
single ones, and Keras 1; "single steps" is ours with one. (`jit_compile="auto"`, the default of Keras, turns XLA off on
a machine that has only a CPU, so that "default" and "jit_compile=False" differ by nothing but the noise there.)

Part 2: each variant against a plain Autoencoder. "fair" is the plain one with the variant's own activations,
tying and reconstruction error, so that the ratio is what the paper's term costs and nothing else; that is what the
goal is put to. "default" is `Autoencoder(latent_dim=1000)`: relu, sigmoid output, untied, squared error. A sigmoid
code, a cross-entropy, or one weight matrix fewer for Adam to update can move that ratio by more than the term does.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing

import aezoo
from aezoo import losses, schedules

FEATURES, BATCH = 784, 128

Run = Callable[[], None]


def stock(x: np.ndarray, units: int, **compiled: Any) -> Run:
    """One epoch of the same network as its users write it in Keras."""
    inputs = keras.Input((FEATURES,))
    code = keras.layers.Dense(units, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(FEATURES, activation="sigmoid")(code))
    model.compile(optimizer="adam", loss="mse", **compiled)
    return lambda: model.fit(x, x, batch_size=BATCH, verbose=0) and None


def ours(x: np.ndarray, model: aezoo.Autoencoder, **compiled: Any) -> Run:
    """One epoch of a model of ours."""
    model.compile(optimizer="adam", **compiled)
    return lambda: model.fit(x, batch_size=BATCH, verbose=0) and None


# What may be given to `compile`, of which the first is the default of both.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "jit_compile=True": {"jit_compile": True},
    "jit_compile=False": {"jit_compile": False},
    "steps_per_execution=8": {"steps_per_execution": 8},
    "steps_per_execution=16": {"steps_per_execution": 16},
    "steps_per_execution=16, jit_compile=True": {"steps_per_execution": 16, "jit_compile": True},
}


def against_stock(x: np.ndarray, units: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Part 1."""
    settings = {name: SETTINGS[name] for name in (("default", "jit_compile=False") if quick else SETTINGS)}
    runs: dict[str, Run] = {}
    for setting, compiled in settings.items():
        runs[f"keras {setting}"] = stock(x, units, **compiled)
        runs[f"aezoo {setting}"] = ours(x, aezoo.Autoencoder(latent_dim=units), **compiled)
    runs['aezoo loss="mse"'] = ours(x, aezoo.Autoencoder(latent_dim=units), loss="mse")
    single = aezoo.Autoencoder(latent_dim=units)
    single.default_steps = 1
    runs["aezoo single steps"] = ours(x, single)
    seconds = timing.interleaved(runs, rounds, passes=1 if quick else 3)
    ratios = {
        "aezoo / keras, default": timing.compared(seconds, "aezoo default", "keras default", 1.0),
        'aezoo / keras, loss="mse"': timing.compared(seconds, 'aezoo loss="mse"', "keras default", 1.0),
        "aezoo / keras, single steps": timing.compared(seconds, "aezoo single steps", "keras default", 1.0),
    }
    for setting in list(settings)[1:]:
        ratios[f"aezoo / keras, {setting}"] = timing.compared(seconds, f"aezoo {setting}", f"keras {setting}", None)
    for library in ("aezoo", "keras"):
        for setting in list(settings)[1:]:
            ratios[f"{library}: {setting} / default"] = timing.compared(
                seconds, f"{library} {setting}", f"{library} default", None
            )
    return {"seconds": seconds, "ratios": ratios}


def against_plain(x: np.ndarray, units: int, rounds: int, quick: bool) -> dict[str, Any]:
    """Part 2."""
    k = max(1, units // 40)
    falling = schedules.Linear(start=4 * k, end=k, epochs=3 * rounds + 1)
    plain: dict[str, tuple[dict[str, Any], Any]] = {
        "default": ({}, None),
        "sigmoid code": ({"activation": "sigmoid"}, None),
        "sigmoid code, cross-entropy": ({"activation": "sigmoid"}, losses.CrossEntropy()),
        "linear, tied": ({"activation": "linear", "output_activation": "linear", "tied": True}, None),
    }
    # The variant, its fair baseline, its goal.
    variants: dict[str, tuple[aezoo.Autoencoder, str, float]] = {
        "ContractiveAE": (aezoo.ContractiveAE(units), "sigmoid code, cross-entropy", 1.25),
        f"KSparseAE k={k}": (aezoo.KSparseAE(units, k=k), "linear, tied", 1.4),
        f"KSparseAE k={4 * k} falling to {k}": (
            aezoo.KSparseAE(units, k=k, k_schedule=falling),
            "linear, tied",
            1.4,
        ),
        "SparseAE kl": (aezoo.SparseAE(units, penalty="kl"), "sigmoid code", 1.15),
        "SparseAE l1": (aezoo.SparseAE(units, penalty="l1"), "sigmoid code", 1.15),
    }
    for noise in ("masking", "gaussian", "salt_and_pepper"):
        model = aezoo.DenoisingAE(units, corruption=0.25, noise=noise)
        variants[f"DenoisingAE noise={noise!r}"] = (model, "sigmoid code, cross-entropy", 1.15)
    if quick:
        variants = dict(list(variants.items())[:1])
        plain = {name: plain[name] for name in ("default", *(fair for _, fair, _ in variants.values()))}

    runs = {
        f"Autoencoder, {name}": ours(x, aezoo.Autoencoder(units, **arguments), loss=loss)
        for name, (arguments, loss) in plain.items()
    }
    runs |= {name: ours(x, model) for name, (model, *_) in variants.items()}
    seconds = timing.interleaved(runs, rounds, passes=1 if quick else 3)
    ratios = {}
    for name, (_, fair, goal) in variants.items():
        ratios[f"{name} / fair ({fair})"] = timing.compared(seconds, name, f"Autoencoder, {fair}", goal)
        ratios[f"{name} / default"] = timing.compared(seconds, name, "Autoencoder, default", None)
    return {"seconds": seconds, "ratios": ratios}


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    # The number of samples leaves a short last batch, as real data do; not with --quick, as that is traced once more.
    samples, units, rounds = (256, 40, 1) if arguments.quick else (4_000, 1_000, 5)
    x = np.random.default_rng(arguments.seed).random((samples, FEATURES), dtype="float32")
    report: dict[str, Any] = {
        "benchmark": "steps",
        "machine": timing.machine(),
        "settings": {
            "samples": samples,
            "network": [FEATURES, units, FEATURES],
            "batch_size": BATCH,
            "rounds": rounds,
            "seed": arguments.seed,
            "quick": arguments.quick,
        },
    }
    clocks = ("wall", "cpu")
    for part, measure in (("against_stock", against_stock), ("against_plain", against_plain)):
        report[part] = measure(x, units, rounds, arguments.quick)
        measured = report[part]
        rows = [
            (name, timing.shown(result), *timing.verdict(result), timing.shown(result["cpu"]))
            for name, result in measured["ratios"].items()
        ]
        header = ("what", "ratio (min-max)", "goal", "reached", "ratio of CPU time")
        print(timing.table(header, rows), end="\n\n", flush=True)
        steps = -(-samples // BATCH)
        rows = [
            (
                name,
                *(f"{1e3 * timing.spread(measured['seconds'][clock][name])['median'] / steps:.2f}" for clock in clocks),
            )
            for name in measured["seconds"]["wall"]
        ]
        print(timing.table(("what", "ms a step", "CPU ms a step"), rows), end="\n\n", flush=True)
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
