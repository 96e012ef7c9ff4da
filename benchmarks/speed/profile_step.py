"""Where the time of a training step goes: its parts, measured one by one.

    python benchmarks/speed/profile_step.py [--quick] [--output FILE.json]

784-1000-784, Adam, float32, random data in [0, 1], batches of 128; 64 steps each, all contenders in turn, a round keeps
the fastest of three. A loop is one graph that repeats its body on a batch that is there already: no input pipeline and
no dispatch. A part is a measurement, or a difference of two within a round, over the time of an epoch in `fit` by
single steps from Keras' pipeline; the parts that are neither "including" nor "not in it" add up to it. (By default the
data are on the device and many steps are one call, which spares both.) The pipeline works beside the step where there
are cores to spare, so that its own time is more than its part.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import timing
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from peers import FEATURES, gemms

import aezoo
from aezoo import optimizers
from aezoo.training import gate
from aezoo.training.batch import Batch

BATCH = 128

Run = Callable[[], Any]


def loop(body: Callable[[], list[Any]], steps: int, **options: Any) -> Run:
    """A graph that repeats `body`, one repetition after the other, and keeps the tensors of the last."""
    body = tf.autograph.experimental.do_not_convert(body)

    @tf.function(**options)
    def run():
        last = body()
        for _ in tf.range(steps - 1):
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            last = body()
        return last

    return lambda: keras.tree.map_structure(np.asarray, run()[:1])


def parts(x: np.ndarray, units: int, quick: bool) -> dict[str, Run]:
    """What is timed, by name; each does `len(x) // BATCH` steps. `quick` leaves out ways to fit that are no part."""
    steps = len(x) // BATCH

    def model(together: int = 1, **compiled: Any) -> aezoo.Autoencoder:
        made = aezoo.Autoencoder(units)
        made.default_steps = together
        made.compile(keras.optimizers.Adam(1e-3), **compiled)
        made.fit(x[:BATCH], batch_size=BATCH, verbose=0, resident=False)
        return made

    runs: dict[str, Run] = {}
    fits: dict[str, dict[str, Any]] = {
        "fit": {},
        "fit, 8 steps a call": {"together": 8},
        "fit, 32 steps a call": {"together": 32},
        "fit, jit_compile=True": {"jit_compile": True},
        "fit, 8 steps a call, jit_compile=True": {"together": 8, "jit_compile": True},
    }
    for name, compiled in list(fits.items())[: 2 if quick else None]:
        runs[name] = functools.partial(model(**compiled).fit, x, batch_size=BATCH, verbose=0, resident=False)

    own = model()
    runs["fit, three epochs"] = lambda: own.fit(x, batch_size=BATCH, epochs=3, verbose=0, resident=False)
    runs["checks of the data"] = lambda: gate.validated(own, x)

    fed = ArrayDataAdapter(x, batch_size=BATCH, shuffle=True).get_tf_dataset()
    runs["the input pipeline"] = lambda: [None for _ in fed]
    runs["an iterator of the input pipeline"] = lambda: iter(fed)
    batch = tf.constant(x[:BATCH])
    dataset = tf.data.Dataset.from_tensors((batch,)).repeat(steps)

    def calls() -> None:
        iterator = iter(dataset)
        for _ in range(steps):
            last = own.train_function(iterator)
        float(last["loss"])

    runs["a call a step"] = calls

    variables = own.trainable_variables

    def gradients() -> list[Any]:
        with tf.GradientTape() as tape:
            reported, _ = own.objective(Batch.of(batch), training=True)
            loss = sum(reported.values())
        return tape.gradient(loss, variables)

    constant = [tf.random.normal(variable.shape, stddev=1e-3) for variable in variables]

    def stepped(by: Callable[..., None]) -> Callable[[], list[Any]]:
        def step() -> list[Any]:
            by(own.optimizer, constant, variables)
            return [own.optimizer.iterations.value]

        return step

    runs["loop of the train step"] = loop(lambda: [own.train_step((batch,))["loss"]], steps)
    runs["loop of the train step, XLA"] = loop(lambda: [own.train_step((batch,))["loss"]], steps, jit_compile=True)
    runs["loop of forward and backward"] = loop(gradients, steps)
    runs["loop of the optimizer"] = loop(stepped(optimizers.apply), steps)
    runs["loop of Keras' own Adam"] = loop(stepped(keras.optimizers.Adam.apply), steps)
    runs["loop of the matrix products"] = gemms(BATCH, (FEATURES, units, FEATURES), steps)
    return runs


Times = dict[str, np.ndarray]
PARTS: dict[str, Callable[[Times], np.ndarray]] = {
    "what a call of fit costs": lambda t: t["fit"] - an_epoch(t),
    "including checks of the data": lambda t: t["checks of the data"],
    "input pipeline, callbacks": lambda t: an_epoch(t) - t["a call a step"],
    "including making an iterator": lambda t: t["an iterator of the input pipeline"],
    "dispatch": lambda t: t["a call a step"] - t["loop of the train step"],
    "metrics": lambda t: t["loop of the train step"] - t["loop of forward and backward"] - t["loop of the optimizer"],
    "optimizer": lambda t: t["loop of the optimizer"],
    "elementwise, forward and backward": lambda t: t["loop of forward and backward"] - t["loop of the matrix products"],
    "matrix products": lambda t: t["loop of the matrix products"],
    "not in it: what Keras' own Adam would add": lambda t: t["loop of Keras' own Adam"] - t["loop of the optimizer"],
}


def an_epoch(times: Times) -> np.ndarray:
    """An epoch of a longer `fit`."""
    return (times["fit, three epochs"] - times["fit"]) / 2


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    steps, units, rounds, passes = (2, 20, 1, 1) if arguments.quick else (64, 1000, 5, 3)
    x = np.random.default_rng(arguments.seed).random((steps * BATCH, FEATURES), dtype="float32")
    seconds = timing.interleaved(parts(x, units, arguments.quick), rounds, passes)
    times = {name: np.array(taken) for name, taken in seconds["wall"].items()}
    results = {}
    for part, measure in PARTS.items():
        taken = measure(times)
        ms = 1e3 * float(np.median(taken)) / steps
        results[part] = {**timing.spread((taken / an_epoch(times)).tolist()), "ms_a_step": ms, "goal": None}
    rows = [
        (name, *(f"{1e3 * timing.spread(seconds[clock][name])['median'] / steps:.2f}" for clock in ("wall", "cpu")))
        for name in seconds["wall"]
    ]
    print(timing.table(("what", "ms a step", "CPU ms a step"), rows), end="\n\n")
    rows = [(part, timing.shown(result), f"{result['ms_a_step']:.2f}") for part, result in results.items()]
    print(timing.table(("part", "share of an epoch", "ms a step"), rows))
    report = {
        "benchmark": "profile_step",
        "machine": timing.machine(),
        "settings": {"steps": steps, "units": units, "batch_size": BATCH, "rounds": rounds, "seed": arguments.seed},
        "seconds": seconds,
        "results": results,
    }
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
