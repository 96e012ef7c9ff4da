"""What it costs to watch for divergence: an epoch with and without the check of loss and gradients.

    python benchmarks/speed/divergence.py [--quick] [--output FILE.json]

The network is 784-1000-784, float32, Adam, random data in [0, 1]. One timing is `fit` for one epoch of 32 steps of 128
samples, the last of them short. "Unwatched" is the same model whose steps apply every gradient as it comes. All
contenders run in turn, five times per round, and the fastest time counts; a ratio is taken within a round, and the
table gives the median of 15 rounds with the least and the greatest. The goal, at most 2 % of an epoch, is put to it.
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
from aezoo.training import divergence

FEATURES, BATCH = 784, 128


class Unwatched(divergence.Watch):
    """Applies every step."""

    def guarded(self, model: Any, update: Any, terms: Any, loss: Any, gradients: Any, *rest: Any) -> None:
        update(gradients)

    def watched(self, model: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return function


def epoch(x: np.ndarray, units: int, watched: bool, **compiled: Any) -> Callable[[], None]:
    """One epoch of a model."""
    model = aezoo.Autoencoder(units, seed=0)
    if not watched:
        model._watch = Unwatched(model)
    model.compile(optimizer="adam", **compiled)
    return lambda: model.fit(x, batch_size=BATCH, verbose=0) and None


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    samples, units, rounds = (256, 40, 1) if arguments.quick else (4_000, 1_000, 15)
    x = np.random.default_rng(arguments.seed).random((samples, FEATURES), dtype="float32")
    settings = {"default": {}} if arguments.quick else {"default": {}, "jit_compile=True": {"jit_compile": True}}
    runs = {
        f"{name}, {setting}": epoch(x, units, name == "watched", **compiled)
        for setting, compiled in settings.items()
        for name in ("watched", "unwatched")
    }
    seconds = timing.interleaved(runs, rounds, passes=1 if arguments.quick else 5)
    ratios = {
        f"watched / unwatched, {setting}": timing.compared(
            seconds, f"watched, {setting}", f"unwatched, {setting}", 1.02
        )
        for setting in settings
    }
    rows = [
        (name, timing.shown(result), *timing.verdict(result), timing.shown(result["cpu"]))
        for name, result in ratios.items()
    ]
    print(timing.table(("what", "ratio (min-max)", "goal", "reached", "ratio of CPU time"), rows), flush=True)
    report = {
        "benchmark": "divergence",
        "machine": timing.machine(),
        "settings": {"samples": samples, "units": units, "rounds": rounds, "seed": arguments.seed},
        "seconds": seconds,
        "ratios": ratios,
    }
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
