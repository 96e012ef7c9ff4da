"""How many MNIST images a second are compressed, and decompressed.

    TFDS_DATA_DIR=... python benchmarks/speed/codec.py [--quick] [--output FILE.json]

The 10,000 test digits (the bundled ones with --quick) in batches of 10,000 and of 100, by a 784-1000-500-64 model that
was trained for one epoch: from floats in memory to bytes and back, tables and checksums included. A round keeps the
fastest of three passes.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing

import aezoo

GOAL = 2000  # images a second


def main() -> None:
    arguments = timing.parser(__doc__).parse_args()
    keras.utils.set_random_seed(arguments.seed)
    (x, _), (x_test, _) = aezoo.datasets.load("digits" if arguments.quick else "mnist")
    if arguments.quick:  # whole batches: each size is traced
        x, x_test = x[:256], x_test[:200]
    latent_dim, hidden_dims, rounds, passes = (4, (16,), 1, 1) if arguments.quick else (64, (1000, 500), 5, 3)
    model = aezoo.CompressiveAE(latent_dim, hidden_dims=hidden_dims, weight=9.0, seed=arguments.seed)
    model.compile("adam")
    model.fit(x, batch_size=128, verbose=0)
    results, rows = {}, []
    for batch_size in (len(x_test), 100):
        batches = [x_test[start : start + batch_size] for start in range(0, len(x_test), batch_size)]
        data = [model.compress(batch) for batch in batches]
        for batch, compressed in zip(batches, data, strict=True):
            assert np.array_equal(model.decompress(compressed), model.reconstruct(batch))

        def compress(batches=batches) -> None:
            for batch in batches:
                model.compress(batch)

        def decompress(data=data) -> None:
            for compressed in data:
                np.asarray(model.decompress(compressed))

        contenders = {"compress": compress, "decompress": decompress}
        seconds = timing.interleaved(contenders, rounds, passes)
        for name in contenders:
            wall, cpu = (timing.spread(len(x_test) / s for s in seconds[clock][name]) for clock in ("wall", "cpu"))
            reached = wall["median"] >= GOAL
            results[f"{name}, batches of {batch_size}"] = {
                **wall,
                "cpu": cpu,
                "goal": GOAL,
                "reached": reached,
                "bytes": sum(map(len, data)),
            }
            cells = (f"{wall['median']:,.0f} ({wall['min']:,.0f}-{wall['max']:,.0f})", f"{cpu['median']:,.0f}")
            rows.append((f"{name}, batches of {batch_size}", *cells, f">= {GOAL:,}", "yes" if reached else "NO"))
    print(timing.table(("what", "images a second", "a CPU second", "goal", "reached"), rows))
    timing.write(arguments.output, {"machine": timing.machine(), "seed": arguments.seed, "results": results})


if __name__ == "__main__":
    main()
