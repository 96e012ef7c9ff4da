"""sketch-rnn (Ha & Eck 2017) on the cats of QuickDraw: L_R and L_KL of test sketches, samples and an interpolation.

    python benchmarks/papers/sketch_rnn.py --sketches quickdraw_cat_stroke3.npz
    python benchmarks/papers/sketch_rnn.py --sketches short_kanji.npz --minutes 10

Encoder 128, decoder 256 LSTM units, where the authors have 256 and 512, batches of 25 where they have 100, and as
many steps as fit in `minutes` on two cores, compiled by XLA. The learning rate falls from its start to 0 as a cosine of
the time that is over; the weights that are kept are those with the least L_R + w L_KL on the validation split, looked
at after each epoch. L_R is taken twice: with z = μ, as `evaluate` does, and with z drawn from N(μ, σ), as the authors
do. Both count the step that ends a sketch, which the authors leave out. Writes the table, the history and the pictures
to `results`.

The cats are QuickDraw's, by Google, Inc., CC BY 4.0: https://github.com/googlecreativelab/quickdraw-dataset. Results of
other files have the name of the file behind theirs; the kanji are those of KanjiVG, by Ulrich Apel, CC BY-SA 3.0:
https://kanjivg.tagaini.net.
"""

import math
import time
from pathlib import Path

import keras
import numpy as np
from reporting import HERE, Clock, Row, arguments, report

import aezoo
from aezoo import plots, sketches

TEMPERATURES = (0.2, 0.5, 0.8)


class Budget(keras.callbacks.Callback):
    """Ends training when the time is over, the learning rate falling on the way; keeps the best weights."""

    def __init__(self, minutes: float, learning_rate: float):
        super().__init__()
        self.seconds, self.learning_rate = 60 * minutes, learning_rate
        self.best, self.best_epoch, self.weights = math.inf, 0, None

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        over = min((time.perf_counter() - self.start) / self.seconds, 1.0)
        self.model.optimizer.learning_rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * over))

    def on_epoch_end(self, epoch, logs=None):
        cost = logs["val_reconstruction"] + self.model.kl_weight * logs["val_kl_divergence"]
        if cost < self.best:
            self.best, self.best_epoch, self.weights = cost, epoch + 1, self.model.get_weights()
        if time.perf_counter() - self.start > self.seconds:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.set_weights(self.weights)


def read(path: str, max_points: int, limit: int | None) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
    """The splits as stroke-5, of each how many sketches are short enough, and by what the offsets were divided."""
    splits = sketches.read_npz(path)
    short = {name: [s for s in split if len(s) <= max_points][:limit] for name, split in splits.items()}
    scale = sketches.offset_scale(short["train"])
    steps = max(len(sketch) for split in short.values() for sketch in split)
    x = {name: sketches.stroke5([s / [scale, scale, 1] for s in split], steps) for name, split in short.items()}
    return x, {name: f"{len(short[name])} of {len(split)}" for name, split in splits.items()}, scale


def drawn_loss(model: aezoo.SketchRNN, x: np.ndarray, seed: int, **conditions: int) -> np.ndarray:
    """L_R of each sketch, (n,) in nats per step, averaged over five draws of z from N(μ, σ)."""
    mean, log_variance = (np.asarray(part) for part in model.encoder.distribution(x))
    noise = np.random.default_rng(seed).normal(size=(5, *mean.shape)).astype("float32")
    drawn = [model.negative_log_likelihood(x, mean + np.exp(log_variance / 2) * n, **conditions) for n in noise]
    return np.mean(drawn, axis=0) / x.shape[1]


#: Options of a model and its training.
MODEL = {
    "max_points": 100,
    "latent_dim": 128,
    "encoder_units": 128,
    "decoder_units": 256,
    "kl_rate": 0.99995,
    "recurrent_dropout": 0.1,
    "learning_rate": 1e-3,
    "batch_size": 25,
}


def compiled(options, **further) -> aezoo.SketchRNN:
    """A model with these options, and further arguments; a tiny one in a quick run."""
    if options.quick:
        options.latent_dim, options.encoder_units, options.decoder_units = 3, 4, 6
    model = aezoo.SketchRNN(
        options.latent_dim,
        encoder_units=options.encoder_units,
        decoder_units=options.decoder_units,
        recurrent_dropout=options.recurrent_dropout,
        kl_rate=options.kl_rate,
        seed=options.seed,
        **further,
    )
    model.compile(keras.optimizers.Adam(options.learning_rate, clipvalue=1.0), jit_compile=not options.quick)
    return model


def fitted(model: aezoo.SketchRNN, train, valid, options, budget: Budget) -> dict[str, list[float]]:
    """Train a model until its time is over, and return the history."""
    return model.fit(
        train,
        validation_data=(valid,),
        epochs=100_000,
        batch_size=options.batch_size,
        callbacks=[budget],
        verbose=2,
    ).history


def main() -> None:
    options = arguments(__doc__, sketches="quickdraw_cat_stroke3.npz", minutes=28.0, **MODEL)
    if options.quick:
        options.minutes = 0.01
    x, kept, _ = read(options.sketches, options.max_points, 100 if options.quick else None)
    options.sketches = Path(options.sketches).name
    cats = "cat" in options.sketches
    result = "sketch_rnn" if cats else f"sketch_rnn_{Path(options.sketches).stem}"
    clock = Clock()
    model, budget = compiled(options), Budget(options.minutes, options.learning_rate)
    history = fitted(model, x["train"], x["valid"], options, budget)
    trained = clock.minutes
    steps = math.ceil(len(x["train"]) / options.batch_size)

    test = x["test"]
    evaluated = model.evaluate(test, batch_size=options.batch_size, return_dict=True, verbose=0)
    per_step = float(np.mean(drawn_loss(model, test, options.seed)))
    targets = ("<= 0.3", "> 0.2") if cats else ("–", "–")
    rows = [
        Row("L_R, z drawn from N(μ, σ), nats per step", "–", targets[0], per_step, trained),
        Row("L_R, z = μ", "–", "–", evaluated["reconstruction"], 0.0),
        Row("L_KL, nats per code unit", "–", targets[1], evaluated["kl_divergence"], 0.0),
    ]
    pictures = draw(model, x, history, options.seed)
    report(
        result,
        options,
        rows,
        sketches=kept,
        nmax=test.shape[1],
        negative_log_likelihood=evaluated["negative_log_likelihood"],
        epochs=len(history["loss"]),
        steps=steps * len(history["loss"]),
        best_epoch=budget.best_epoch,
        cpu_minutes=round(time.process_time() / 60, 1),
        kl_weight_at_end=float(model.annealed_kl_weight),
        history={name: [round(value, 4) for value in values] for name, values in history.items()},
        data="QuickDraw by Google, Inc., CC BY 4.0" if cats else options.sketches,
    )
    if not options.quick:
        for name, figure in pictures.items():
            figure.savefig(HERE / "results" / f"{result}_{name}.png")


def draw(model: aezoo.SketchRNN, x: dict[str, np.ndarray], history: dict, seed: int) -> dict:
    """The pictures, by name."""
    test = x["test"]
    samples = [np.asarray(model.sample(20, temperature, seed=seed)) for temperature in TEMPERATURES]
    labels = [label for temperature in TEMPERATURES for label in (f"τ = {temperature}", "")]
    again = [np.asarray(model.sample(z=model.encode(test[:10]), temperature=t, seed=seed)) for t in (0.0, 0.2)]
    path = np.asarray(model.interpolate(test[:4], test[4:8], steps=10, temperature=0.1, seed=seed))
    return {
        "samples": plots.sketches(np.concatenate(samples), columns=10, row_labels=labels),
        "reconstructions": plots.sketches(
            np.concatenate([test[:10], *again]), columns=10, row_labels=["test", "τ = 0", "τ = 0.2"]
        ),
        "interpolation": plots.sketches(path.reshape(-1, *test.shape[1:]), columns=10),
        "history": plots.history({name: values for name, values in history.items() if "loss" != name != "val_loss"}),
    }


if __name__ == "__main__":
    main()
