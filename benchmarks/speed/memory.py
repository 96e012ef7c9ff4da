"""How much memory `fit` takes beside stock Keras, and how much of it is there before the data.

    python benchmarks/speed/memory.py [--quick] [--output FILE.json]

Peak resident memory of a fresh process in MiB, a process per row, three times: after `import tensorflow`; after
`import aezoo`, which imports TensorFlow and Keras; and after two epochs of 784-1000-784 on 20,000 random samples (60
MiB) in batches of 128, in stock Keras, in aezoo, and in aezoo with XLA, which long trainings use. The ratio of the
peaks of aezoo and Keras is taken per time; the goal is 1.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

ROWS = ("import tensorflow", "import aezoo", "Keras", "aezoo", "aezoo, jit_compile=True")
GOAL = 1.0


def peak(row: str, samples: int, units: int, seed: int) -> float:
    """The MiB at the peak of this process after what a row names."""
    if row == "import tensorflow":
        import tensorflow  # noqa: F401
    elif row == "import aezoo":
        import aezoo
    else:
        import keras

        x = np.random.default_rng(seed).random((samples, 784), dtype="float32")
        options: dict[str, Any] = {"batch_size": 128, "epochs": 2, "verbose": 0}
        if row == "Keras":
            inputs = keras.Input((784,))
            code = keras.layers.Dense(units, activation="relu")(inputs)
            model = keras.Model(inputs, keras.layers.Dense(784, activation="sigmoid")(code))
            model.compile("adam", loss="mse")
            model.fit(x, x, **options)
        else:
            import aezoo

            model = aezoo.Autoencoder(units)
            model.compile("adam", jit_compile=row != "aezoo")
            model.fit(x, **options)
    return timing.peak_bytes() / 2**20


def main(arguments: argparse.Namespace) -> None:
    samples, units, times = (256, 40, 1) if arguments.quick else (20_000, 1_000, 3)
    mib: dict[str, list[float]] = {row: [] for row in ROWS}
    for _ in range(times):
        for row in ROWS:
            command = [__file__, "--row", row, json.dumps([samples, units, arguments.seed])]
            mib[row].append(timing.in_child(command)["mib"])
    results = {
        f"peak of {ours} / Keras": timing.judged(timing.ratio(mib[ours], mib["Keras"]), goal)
        for ours, goal in (("aezoo", GOAL), ("aezoo, jit_compile=True", None))
    }
    results |= {f"MiB, {row}": {**timing.spread(values), "goal": None} for row, values in mib.items()}
    rows = [(name, timing.shown(result), *timing.verdict(result)) for name, result in results.items()]
    print(timing.table(("what", "measured", "goal", "reached"), rows))
    settings = {"samples": samples, "units": units, "times": times, "seed": arguments.seed}
    report = {"benchmark": "memory", "machine": timing.machine(), "settings": settings, "results": results}
    timing.write(arguments.output, report)


if __name__ == "__main__":
    parser = timing.parser(__doc__)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)  # how this file calls itself
    given = parser.parse_args()
    if given.row:
        print(json.dumps({"mib": peak(given.row[0], *json.loads(given.row[1]))}))
    else:
        main(given)
