"""Cats and pigs from one sketch-rnn (Ha & Eck 2017) and words as conditions: L_R with the right and wrong word.

    python benchmarks/papers/sketch_classes.py --sketches quickdraw_cat_stroke3.npz --words quickdraw345_stroke3.npz

There are many cats, but only 25 pigs; the last 5 are held out. The model of sketch_rnn.py therefore first learns the
training cats together with the file of words, 25 sketches of each, and then only the cats and the pigs, each pig
`repeats` times per epoch. In both phases the learning rate falls to 0 as a cosine, and the weights with the least
L_R + w L_KL on the validation cats are kept, because there are too few pigs to choose by.

The 25 cats of the file of words are held out, too. They show whether the model has learned the words or only from which
file a sketch comes. Sketches of that file begin with a point at the origin, which the file of cats leaves out: it is
removed. All offsets are divided by the scale of the training cats, so that L_R can be compared with sketch_rnn.py. z
is drawn from N(μ, σ); as the encoder does not see the word, the right and the wrong word get the same z. Writes the
table to `results` and the picture to docs/figures.

The sketches are QuickDraw's, by Google, Inc., CC BY 4.0: https://github.com/googlecreativelab/quickdraw-dataset.
"""

import time
from pathlib import Path

import numpy as np
from reporting import HERE, Clock, Row, arguments, report
from sketch_rnn import MODEL, Budget, compiled, drawn_loss, fitted, read

import aezoo
from aezoo import plots, sketches

HELD_OUT = 5  # pigs
TEMPERATURE = 0.2


def read_words(path: str, scale: float, steps: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Short enough sketches as stroke-5 without their first point, their labels, and what the labels mean."""
    with np.load(path) as file:
        each = np.split(file["strokes"], np.cumsum(file["lengths"])[:-1])
        labels, words = file["label"].astype("int32"), file["words"].tolist()
    short = np.array([1 < len(sketch) <= steps + 1 for sketch in each])
    x = [sketch[1:] / [scale, scale, 1] for sketch, kept in zip(each, short, strict=True) if kept]
    return sketches.stroke5(x, steps), labels[short], words


def labeled(cats: np.ndarray, cat: int, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Cats and other sketches with their labels."""
    return {"x": np.concatenate([cats, x]), "word": np.concatenate([np.full(len(cats), cat, "int32"), labels])}


def main() -> None:
    options = arguments(
        __doc__,
        sketches="quickdraw_cat_stroke3.npz",
        words="quickdraw345_stroke3.npz",
        minutes_of_words=22.0,
        minutes=18.0,
        repeats=8,
        second_learning_rate=3e-4,
        **{**MODEL, "kl_rate": 0.9999},
    )
    if options.quick:
        options.minutes_of_words = options.minutes = 0.01
    cats, _, scale = read(options.sketches, options.max_points, 100 if options.quick else None)
    x, labels, words = read_words(options.words, scale, cats["train"].shape[1])
    options.sketches, options.words = Path(options.sketches).name, Path(options.words).name
    cat, pig = words.index("cat"), words.index("pig")
    kept = labels != cat
    kept[np.flatnonzero(labels == pig)[-HELD_OUT:]] = False
    pigs, held_out = x[kept & (labels == pig)], x[~kept & (labels == pig)]
    groups = {  # what they are called, the sketches, the right and the wrong word
        "test cats": (cats["test"], cat, pig),
        "cats of the words": (x[labels == cat], cat, pig),
        "held-out pigs": (held_out, pig, cat),
        "training pigs": (pigs, pig, cat),
    }
    model = compiled(options, conditions={"word": len(words)})
    repeated = np.repeat(pigs, options.repeats, axis=0)
    phases = {
        "all words": (
            labeled(cats["train"], cat, x[kept], labels[kept]),
            options.minutes_of_words,
            options.learning_rate,
        ),
        "cats and pigs": (
            labeled(cats["train"], cat, repeated, np.full(len(repeated), pig)),
            options.minutes,
            options.second_learning_rate,
        ),
    }
    valid = {"x": cats["valid"], "word": np.full(len(cats["valid"]), cat)}
    clock, histories, found = Clock(), {}, {}
    for phase, (train, minutes, learning_rate) in phases.items():
        budget = Budget(minutes, learning_rate)
        history = fitted(model, train, valid, options, budget)
        histories[phase] = {
            "sketches": len(train["x"]),
            "steps_so_far": int(model.steps),
            "best_epoch": budget.best_epoch,
            **{name: [round(value, 4) for value in values] for name, values in history.items()},
        }
        found[phase] = {}
        for name, (group, right, wrong) in groups.items():
            loss, other = (drawn_loss(model, group, options.seed, word=word) for word in (right, wrong))
            found[phase][name] = {
                "loss": float(np.mean(loss)),
                "wrong_minus_right": float(np.mean(other - loss)),
                "standard_error": float(np.std(other - loss, ddof=1) / np.sqrt(len(loss))),
                "prefer_the_right_word": f"{np.sum(loss < other)} of {len(loss)}",
            }
    rows = []
    for name, values in found["cats and pigs"].items():
        minutes, target = 0.0 if rows else clock.minutes, "–" if name == "training pigs" else "> 0"
        rows += [
            Row(f"{name}: L_R, nats per step", "–", "–", values["loss"], minutes),
            Row(f"{name}: L_R with the wrong word minus L_R", "–", target, values["wrong_minus_right"], 0.0),
        ]
    figure = draw(model, cats["test"], pigs, held_out, (cat, pig), options.seed)
    evaluated = model.evaluate(
        {"x": cats["test"], "word": np.full(len(cats["test"]), cat)}, return_dict=True, verbose=0
    )
    report(
        "sketch_classes",
        options,
        rows,
        sketches={name: len(group) for name, (group, *_) in groups.items()},
        test_cats={name: evaluated[name] for name in ("reconstruction", "kl_divergence")},
        found=found,
        cpu_minutes=round(time.process_time() / 60, 1),
        kl_weight_at_end=float(model.annealed_kl_weight),
        history=histories,
        data="QuickDraw by Google, Inc., CC BY 4.0",
    )
    if not options.quick:
        figure.savefig(HERE.parents[1] / "docs" / "figures" / "sketches_classes.png")


def draw(model: aezoo.SketchRNN, cats, pigs, held_out, words: tuple[int, int], seed: int, columns: int = 9):
    """Real cats and pigs, what the model draws from their codes, and new ones; the held-out pigs come first."""
    cat, pig = words
    cats, pigs = cats[:columns], np.concatenate([held_out, pigs])[:columns]

    def drawn(word: int, x: np.ndarray | None = None) -> np.ndarray:
        z = None if x is None else model.encode(x, word=word)
        return np.asarray(model.sample(columns, z=z, temperature=TEMPERATURE, seed=seed, word=word))

    rows = {
        "cats": cats,
        "their codes, cat": drawn(cat, cats),
        "their codes, pig": drawn(pig, cats),
        "pigs": pigs,
        "pigs' codes, pig": drawn(pig, pigs),
        "new, cat": drawn(cat),
        "new, pig": drawn(pig),
    }
    return plots.sketches(np.concatenate(list(rows.values())), columns=columns, row_labels=list(rows))


if __name__ == "__main__":
    main()
