"""One SketchRNN of cats and pigs, with the class as a condition of the decoder.

    python benchmarks/papers/sketch_rnn_classes.py --cats quickdraw_cat_stroke3.npz --others quickdraw345_stroke3.npz

There are 1,382 training cats of at most 100 points, and 20 training pigs and 5 test pigs, each of the 20 repeated until
there are as many pigs as cats: the pigs show that the label works, not how well pigs can be drawn. Measured is
-log p(x given z = μ) of test sketches per step, with their own label and with the other one, after `--minutes` of
training; the weights are those with the least L_R + w L_KL on the validation split of the cats. Writes the table and a
picture to `results`: samples of cats, samples of pigs, and the same codes with both labels.

The sketches are QuickDraw's, by Google, Inc., CC BY 4.0: https://github.com/googlecreativelab/quickdraw-dataset.
"""

from pathlib import Path

import keras
import numpy as np
from reporting import HERE, Clock, Row, arguments, report
from sketch_rnn import Budget

import aezoo
from aezoo import plots, sketches

CLASSES = ("cat", "pig")


def of_word(path: str, word: str, max_points: int) -> list[np.ndarray]:
    """Return the sketches of a word in a file of several, in stroke-3."""
    file = np.load(path)
    ends = np.cumsum(file["lengths"])
    chosen = np.flatnonzero(file["label"] == list(file["words"]).index(word))
    found = [file["strokes"][ends[i] - file["lengths"][i] : ends[i]].astype("float32") for i in chosen]
    return [sketch for sketch in found if len(sketch) <= max_points]


def read(cats: str, others: str, max_points: int) -> list[dict[str, np.ndarray]]:
    """Return training, validation and test sketches, {"x", "animal"}; training pigs are repeated, none validate."""
    splits = {
        name: [[s for s in sketches.read_npz(cats)[name] if len(s) <= max_points]]
        for name in ("train", "valid", "test")
    }
    pigs = of_word(others, "pig", max_points)
    splits["train"].append(pigs[:-5])
    splits["test"].append(pigs[-5:])
    scales = [sketches.offset_scale(found) for found in splits["train"]]
    made = []
    for name, classes in splits.items():
        x = [
            sketches.stroke5([s / [scale, scale, 1] for s in found], max_points)
            for scale, found in zip(scales, classes, strict=False)
        ]
        if name == "train":
            x[1] = np.resize(x[1], x[0].shape)
        made.append({"x": np.concatenate(x), "animal": np.repeat(range(len(x)), [len(part) for part in x])})
    return made


def main() -> None:
    options = arguments(
        __doc__,
        cats="quickdraw_cat_stroke3.npz",
        others="quickdraw345_stroke3.npz",
        minutes=10.0,
        max_points=100,
        latent_dim=32,
        encoder_units=64,
        decoder_units=128,
        kl_rate=0.999,
        learning_rate=1e-3,
        batch_size=50,
    )
    if options.quick:
        options.minutes, options.latent_dim, options.encoder_units, options.decoder_units = 0.01, 3, 4, 6
    train, valid, test = read(options.cats, options.others, options.max_points)
    options.cats, options.others = Path(options.cats).name, Path(options.others).name
    clock = Clock()
    model = aezoo.SketchRNN(
        options.latent_dim,
        encoder_units=options.encoder_units,
        decoder_units=options.decoder_units,
        kl_rate=options.kl_rate,
        conditions={"animal": len(CLASSES)},
        seed=options.seed,
    )
    model.compile(keras.optimizers.Adam(options.learning_rate, clipvalue=1.0), jit_compile=not options.quick)
    budget = Budget(options.minutes, options.learning_rate)
    model.fit(
        train,
        validation_data=valid,
        epochs=100_000,
        batch_size=options.batch_size,
        callbacks=[budget],
        verbose=0,
    )
    minutes, rows = clock.minutes, []
    for i, name in enumerate(CLASSES):
        x = test["x"][test["animal"] == i]
        for label, which in ((i, "own"), (1 - i, "other")):
            nats = np.mean(model.score_samples(x, animal=label)) / options.max_points
            rows.append(Row(f"{name}s, {which} label, nats per step", "–", "–", float(nats), minutes))
    codes = model.encode(test["x"][:8], animal=0)
    drawn = [
        *(model.sample(8, temperature=0.3, animal=i, seed=options.seed) for i in (0, 1)),
        *(model.sample(z=codes, temperature=0.3, animal=i, seed=options.seed) for i in (0, 1)),
    ]
    labels = ["cat", "pig", "codes as cat", "codes as pig"]
    picture = plots.sketches(np.concatenate(drawn), columns=8, row_labels=labels)
    if not options.quick:
        picture.savefig(HERE / "results" / "sketch_rnn_classes.png", dpi=100)
    report("sketch_rnn_classes", options, rows)


if __name__ == "__main__":
    main()
