"""How fast training in half precision is, and how fast streams are, beside float32 arrays.

    python benchmarks/speed/feeding.py [--quick] [--output FILE.json]

784-1000-784, Adam, random data in [0, 1], 8,192 samples, batches of 128 and of 1,024; seconds of one epoch of `fit`.
All run in turn, twice per round, and the faster counts; a ratio is taken within a round.

- mixed_bfloat16 / float32: `keras.DTypePolicy("mixed_bfloat16")` over the default, both on arrays.
- stream / Keras' stream: aezoo over stock Keras, both on `tf.data`, shuffled, in batches, with `prefetch`.
- prefetched to the device / stream: the same with `tf.data.experimental.prefetch_to_device`, of aezoo. On a CPU the
  data are there already.
- stream alone / stream: the data set without any model, the part of an epoch on a stream that is not ours.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import timing

import aezoo

# The number of batches is unknown after `prefetch_to_device`, and Keras warns that the data ran out.
warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)

FEATURES = 784


def stock(units: int) -> keras.Model:
    inputs = keras.Input((FEATURES,))
    code = keras.layers.Dense(units, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(FEATURES, activation="sigmoid")(code))
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    return model


def ours(units: int, **options: Any) -> aezoo.Autoencoder:
    model = aezoo.Autoencoder(units, **options)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def contenders(x: np.ndarray, units: int, batch_size: int) -> dict[str, Callable[[], Any]]:
    device = "/gpu:0" if tf.config.list_logical_devices("GPU") else "/cpu:0"
    batches = tf.data.Dataset.from_tensor_slices(x).shuffle(len(x)).batch(batch_size)
    stream = batches.prefetch(tf.data.AUTOTUNE)
    pairs = batches.map(lambda batch: (batch, batch)).prefetch(tf.data.AUTOTUNE)
    to_device = batches.apply(tf.data.experimental.prefetch_to_device(device))
    models = {name: ours(units) for name in ("float32", "stream", "to device")}
    models["bfloat16"] = ours(units, dtype="mixed_bfloat16")
    keras_model = stock(units)
    return {
        "float32": lambda: models["float32"].fit(x, batch_size=batch_size, verbose=0, resident=True),
        "mixed_bfloat16": lambda: models["bfloat16"].fit(x, batch_size=batch_size, verbose=0, resident=True),
        "stream": lambda: models["stream"].fit(stream, verbose=0),
        "prefetched to the device": lambda: models["to device"].fit(to_device, verbose=0),
        "Keras' stream": lambda: keras_model.fit(pairs, shuffle=False, verbose=0),
        "stream alone": lambda: [None for _ in stream],
    }


RATIOS = (
    ("mixed_bfloat16", "float32", None),
    ("stream", "Keras' stream", 1.0),
    ("prefetched to the device", "stream", None),
    ("stream alone", "stream", None),
    ("float32", "stream", None),
)


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    samples, units, rounds, passes = (256, 40, 1, 1) if arguments.quick else (8_192, 1_000, 3, 2)
    x = np.random.default_rng(arguments.seed).random((samples, FEATURES), dtype="float32")
    settings = {"samples": samples, "units": units, "rounds": rounds, "seed": arguments.seed}
    report: dict[str, Any] = {"benchmark": "feeding", "machine": timing.machine(), "settings": settings}
    report |= {"results": {}, "seconds": {}}
    rows = []
    for batch_size in (128,) if arguments.quick else (128, 1024):
        seconds = timing.interleaved(contenders(x, units, batch_size), rounds, passes)
        report["seconds"][f"batch {batch_size}"] = seconds
        for of, to, goal in RATIOS:
            name = f"batch {batch_size}: {of} / {to}"
            result = report["results"][name] = timing.compared(seconds, of, to, goal)
            rows.append((name, timing.shown(result), *timing.verdict(result)))
    print(timing.table(("what", "ratio (min-max)", "goal", "reached"), rows))
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
