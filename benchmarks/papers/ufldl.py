"""Sparse autoencoders of Stanford's UFLDL tutorial: a stack on MNIST, and edges in natural images.

    TFDS_DATA_DIR=... python benchmarks/papers/ufldl.py [--trials] [--photographs IMAGES.npz]

784-200-200-10: two sparse autoencoders with a mean activation of 0.1, then the whole network with labels; the tutorial
reports 97.6 %. With `--photographs`, gray images (n, h, w) under "images", it trains 25 units with a mean activation of
0.01 on 10,000 patches of 8 x 8 pixels of whitened images, and draws the input that each unit prefers. The tutorial
shows oriented edges there. Every step uses all patches: first Adam without weight decay, since in float32 L-BFGS stops
on the plateau where the units are constant, then L-BFGS with weight decay as in the tutorial.
"""

from pathlib import Path
from typing import Any

import configurations
import keras
import numpy as np
import scipy.optimize
import tensorflow as tf
from one_layer import adam, classifier_from, codes, data, fine_tuned
from reporting import HERE, Clock, Row
from runner import Configuration, Runs, Setting, Table, packed, parser, run_table, run_trials

import aezoo
from aezoo.training.batch import Batch


def built(configuration: Configuration, seed: int) -> aezoo.SparseAE:
    """Return a sparse autoencoder; it has squared errors, as in the tutorial."""
    return aezoo.SparseAE(
        configuration["units"], target=configuration["target"], weight=configuration["weight"], seed=seed
    )


def fitted(configuration: Configuration, x: np.ndarray, seed: int) -> aezoo.SparseAE:
    """Train a sparse autoencoder by Adam."""
    model = built(configuration, seed)
    model.compile(adam(configuration, len(x)))
    model.fit(x, epochs=configuration["epochs"], batch_size=configuration["batch_size"], verbose=0)
    return model


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train two layers without labels and all with labels."""
    (x, y), (x_test, y_test) = data(setting)
    stack, z = [], x
    for i in range(configuration["layers"]):
        stack.append(fitted(configuration, z, 10 * setting.seed + i))
        z = codes(stack[-1], z)
    tuning = {
        "learning_rate": configuration["fine_tuning_rate"],
        "epochs": configuration["fine_tuning_epochs"],
        "batch_size": configuration["batch_size"],
    }
    wrong = fine_tuned(classifier_from(stack), tuning, x, y, x_test) != y_test
    error = 100 * float(wrong.mean())
    return {"error": error, "right": 100 - error, "wrong": packed(wrong), "mean_activation": float(z.mean())}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    return runs.row("stack", "right", "stacked sparse AE, right after fine-tuning, %", "97.6", ">= 97.6")


TABLE = Table(
    name="ufldl",
    configurations={"stack": configurations.UFLDL},
    run=run,
    rows=rows,
    trials={"stack": configurations.UFLDL_TRIALS},
)


def whitened(images: np.ndarray) -> np.ndarray:
    """Return images (n, h, w) with a flat spectrum below 0.4 cycles per pixel, as in Olshausen & Field 1996."""
    height, width = images.shape[1:]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    gain = frequency * np.exp(-((frequency / 0.4) ** 4))
    return np.fft.irfft2(gain * np.fft.rfft2(images.astype("float32")), s=(height, width)).astype("float32")


def patches(images: np.ndarray, count: int = 10_000, size: int = 8, seed: int = 0) -> np.ndarray:
    """Return patches as the tutorial prepares them: without their mean, cut at 3 deviations, scaled to [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    n, height, width = images.shape[:3]
    limits = (n, height - size, width - size)
    places = zip(*(rng.integers(limit, size=count) for limit in limits), strict=True)
    cut = np.stack([images[i, top : top + size, left : left + size] for i, top, left in places])
    cut = cut - cut.mean(axis=(1, 2), keepdims=True)
    limit = 3 * cut.std()
    return (0.4 * np.clip(cut, -limit, limit) / limit + 0.5)[..., None].astype("float32")


def minimized(model: aezoo.SparseAE, x: np.ndarray, weight_decay: float, iterations: int) -> float:
    """Minimize the terms of a built model on all samples plus ½λ‖W‖², by L-BFGS, and return the minimum."""
    variables, batch = model.trainable_variables, Batch.of(tf.constant(x))
    shapes = [variable.shape for variable in variables]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    @tf.function
    def loss_and_gradients() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            terms, _ = model.objective(batch, training=True)
            decay = sum(tf.reduce_sum(tf.square(v)) for v in variables if len(v.shape) == 2)
            loss = sum(terms[name] for name in model.term_names) + 0.5 * weight_decay * decay
        return loss, tape.gradient(loss, [variable.value for variable in variables])

    def assign(flat: np.ndarray) -> None:
        for variable, part, shape in zip(variables, np.split(flat, ends), shapes, strict=True):
            variable.assign(part.reshape(shape))

    def evaluated(flat: np.ndarray) -> tuple[float, np.ndarray]:
        assign(flat)
        loss, gradients = loss_and_gradients()
        return float(loss), np.concatenate([g.numpy().ravel() for g in gradients]).astype("float64")

    start = np.concatenate([np.ravel(variable) for variable in variables]).astype("float64")
    found = scipy.optimize.minimize(evaluated, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    assign(found.x)
    print(found.message)
    return float(found.fun)


def draw(photographs: Path, quick: bool) -> None:
    """Draw the input that each of 25 units prefers."""
    configuration = configurations.PATCHES
    x = patches(whitened(np.load(photographs)["images"]), 200 if quick else 10_000)
    model = built(configuration, 0)
    model.compile(keras.optimizers.Adam(configuration["learning_rate"]))
    model.fit(x, epochs=1 if quick else configuration["epochs"], batch_size=len(x), verbose=0)
    minimum = minimized(model, x, configuration["weight_decay"], 2 if quick else configuration["iterations"])
    print(f"terms and weight decay: {minimum:.4f}, mean activation: {np.mean(model.encode(x)):.4f}")
    if not quick:
        aezoo.plots.filters(model).savefig(HERE / "results" / "ufldl_patches.png")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--photographs", type=Path, help="draw the filters of patches of these images instead")
    options = options.parse_args()
    if options.photographs:
        draw(options.photographs, options.quick)
    else:
        (run_trials if options.trials else run_table)(TABLE, options, Clock())
