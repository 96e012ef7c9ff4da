"""How fast a large sparse code trains by the rows of its active units: 768-32,768-768, k = 32, batches of 128.

    python benchmarks/speed/sparse_codes.py [--quick] [--output FILE.json]

"decoder" is the gradient of a squared error for the code and for the weights of the decoder, forward and backward: a
product with the whole code, against the rows of the k units of each sample. "step" is one epoch of `fit` of a
`KSparseAE` over 8 batches, by products with Adam against by rows with `LazyAdam`, untied as in Gao et al. 2024 and
tied, and for its own sake by rows with Adam. The gradients of both ways are compared too, and what the rows that a
decoder gathers take: 4 · batch · k · 768 bytes. All runs in turn, the fastest of three in each round counts, and a
ratio is taken within a round. Random data; Adam's rate is 1e-3.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import timing

import aezoo
from aezoo.layers import RowDecoder

BATCH, STEPS = 128, 8
TIED = {"untied": False, "tied": True}


def decoders(features: int, units: int, k: int, seed: int) -> tuple[dict[str, Any], float]:
    """The gradient of a decoder both ways, and the greatest difference between the two, relative to the greatest."""
    rng = np.random.default_rng(seed)
    decoder = RowDecoder(features)
    decoder.build((None, units))
    indices = tf.constant(np.argsort(rng.random((BATCH, units)), axis=1)[:, :k].astype("int32"))
    values = tf.constant(rng.random((BATCH, k), dtype="float32"))
    places = tf.stack([tf.repeat(tf.range(BATCH), k), tf.reshape(indices, (-1,))], axis=1)
    code = tf.scatter_nd(places, tf.reshape(values, (-1,)), (BATCH, units))
    x = tf.constant(rng.random((BATCH, features), dtype="float32"))
    kernel = decoder.kernel.value

    @tf.function
    def dense() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(code)
            loss = tf.reduce_sum(tf.square(decoder(code) - x))
        return tape.gradient(loss, [code, kernel])

    @tf.function
    def rows() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(tf.square(decoder.of(values, indices) - x))
        gradient, of_kernel = tape.gradient(loss, [values, kernel])
        return gradient, of_kernel.values, of_kernel.indices

    of_code, of_kernel = dense()
    of_values, of_rows, touched = rows()
    pairs = [
        (tf.gather(of_code, indices, batch_dims=1), of_values),
        (of_kernel, tf.math.unsorted_segment_sum(of_rows, touched, units)),
    ]
    difference = max(float(tf.reduce_max(tf.abs(a - b)) / tf.reduce_max(tf.abs(a))) for a, b in pairs)
    return {"decoder, products": dense, "decoder, rows": rows}, difference


def steps(features: int, units: int, k: int, seed: int, kinds: dict[str, bool]) -> dict[str, Any]:
    """An epoch of `fit`, of the kinds of `TIED`."""
    x = np.random.default_rng(seed).random((STEPS * BATCH, features), dtype="float32")
    contenders = {}
    for kind, tied in kinds.items():
        for way, by_rows, optimizer in (
            ("products, Adam", False, keras.optimizers.Adam()),
            ("rows, LazyAdam", True, aezoo.optimizers.LazyAdam()),
            ("rows, Adam", True, keras.optimizers.Adam()),
        ):
            model = aezoo.KSparseAE(units, k=k, tied=tied, by_rows=by_rows, seed=seed)
            model.compile(optimizer)
            name = f"step, {kind}, {way}"
            contenders[name] = lambda model=model: model.fit(x, batch_size=BATCH, shuffle=False, verbose=0)
    return contenders


def main(arguments: argparse.Namespace) -> None:
    keras.utils.set_random_seed(arguments.seed)
    features, units, k, rounds, passes = (16, 64, 4, 1, 1) if arguments.quick else (768, 32_768, 32, 5, 3)
    contenders, difference = decoders(features, units, k, arguments.seed)
    seconds = timing.interleaved(contenders, rounds, passes)
    ratios = {
        "decoder: rows / products": timing.compared(seconds, "decoder, rows", "decoder, products", 1 / 5),
    }
    kinds = {"tied": True} if arguments.quick else TIED
    measured = timing.interleaved(steps(features, units, k, arguments.seed, kinds), rounds, passes)
    for tied in kinds:
        products = f"step, {tied}, products, Adam"
        for way, goal in (("rows, LazyAdam", 1 / 2), ("rows, Adam", None)):
            ratios[f"{tied} step: {way} / products, Adam"] = timing.compared(
                measured, f"step, {tied}, {way}", products, goal
            )
    ratios["gradients: greatest difference"] = timing.judged(timing.spread([difference]), 1e-5)
    rows = [(name, timing.shown(result), *timing.verdict(result)) for name, result in ratios.items()]
    print(timing.table(("what", "ratio (min-max)", "goal", "reached"), rows))
    for k_, size in ((k, 4 * BATCH * k * features), (2 * k, 8 * BATCH * k * features)):
        print(f"rows of k = {k_}: {size / 2**20:.1f} MiB; the whole code: {4 * BATCH * units / 2**20:.1f} MiB")
    report = {
        "benchmark": "sparse_codes",
        "machine": timing.machine(),
        "settings": {
            "network": [features, units, features],
            "k": k,
            "batch_size": BATCH,
            "rounds": rounds,
            "seed": arguments.seed,
            "quick": arguments.quick,
        },
        "ratios": ratios,
        "seconds": {clock: seconds[clock] | measured[clock] for clock in seconds},
    }
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main(timing.parser(__doc__).parse_args())
