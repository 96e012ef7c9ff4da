"""Compose emoji that no model has seen: held-out combinations of person, job and skin tone.

    python benchmarks/composition.py [--picture FILE]

The 360 people of `aezoo.datasets.load("emoji")`, at 32 x 32 pixels, are 20 jobs x 3 persons x 6 skin tones. The same
combinations are held out as in notebooks/12_composing_codes.ipynb:

- *triples*: 24 single combinations, whose factors were all seen in pairs;
- *pairs*: 9 pairs of job and person, in all skin tones: the two were never seen together.

- *ConditionalVAE*: with the conditions person, job and skin tone, decoded at z = 0.
- *sum of codes*: the notebook's way. A `DenoisingAE` of all emoji that are not held out; a code is the sum of one
  vector for each value of a factor, fitted to the codes of the people by least squares.
- *sum of pixels*: the same sums for pixels. *nearest seen*: the picture seen in training with the least squared error
  to the true one, which no model could choose.

`aezoo.evaluation.composition_score` reads each picture as its nearest of all 360 people; *error* is the squared error
to the true picture, summed over pixels. Adam for 100 epochs (ConditionalVAE) and 60 (DenoisingAE) in batches of 16,
with a learning rate that falls from 0.002 to 0 along a cosine. Nothing was tuned.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from matplotlib.figure import Figure
from saved_runs import SavedRuns

import aezoo
from aezoo import evaluation
from aezoo.recipes.recipes import cosine

HERE = Path(__file__).parent
FACTORS = ("person", "job", "skin_tone")
BATCH_SIZE, RATE = 16, 2e-3
LOOK_ALIKE = ("astronaut", "firefighter", "guard")  # women, men and persons hardly differ


def emoji() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return all emoji at 32 x 32 pixels, and their factors."""
    (first, _), (second, _) = aezoo.datasets.load("emoji")
    x = np.concatenate([first, second])
    return x.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4)), aezoo.datasets.emoji_factors()


def held_out(words: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return which emoji are held out, by kind; the choice is the notebook's."""
    people = words["kind"] == "person"
    values = {name: np.unique(words[name][people]) for name in ("job", "person", "skin_tone")}
    rng = np.random.default_rng(0)
    couples = [(job, person) for job in values["job"] for person in values["person"] if job not in LOOK_ALIKE]
    couples = [couples[i] for i in rng.permutation(len(couples))]
    tones = {couple: rng.choice(values["skin_tone"], 2, replace=False) for couple in couples[9:21]}
    pair_of = list(zip(words["job"], words["person"], strict=True))
    pairs = people & np.array([pair in couples[:9] for pair in pair_of])
    triples = [tone in tones.get(pair, ()) for pair, tone in zip(pair_of, words["skin_tone"], strict=True)]
    return {"triples": people & np.array(triples), "pairs": pairs}


def conditions(words: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Return the conditions of some people as integers."""
    people = words["kind"] == "person"
    return {name: np.searchsorted(np.unique(words[name][people]), words[name][rows]) for name in FACTORS}


def conditional_vae(x: np.ndarray, given: Mapping[str, np.ndarray], seed: int, epochs: int) -> aezoo.ConditionalVAE:
    keras.utils.set_random_seed(seed)
    sizes = {"person": 3, "job": 20, "skin_tone": 6}
    model = aezoo.ConditionalVAE(4, conditions=sizes, hidden_dims=(512,), seed=seed)
    model.compile(cosine(RATE)(epochs * -(-len(x) // BATCH_SIZE)))
    model.fit({"x": x, **given}, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return model


def one_hot(words: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return a row per emoji: a 1 for the mean, and a 1 for the value of each factor."""
    people = words["kind"] == "person"
    columns = [words[name][rows][:, None] == np.unique(words[name][people]) for name in FACTORS]
    return np.concatenate([np.ones((np.sum(rows), 1)), *columns], axis=1)


def pictures(seed: int, epochs: tuple[int, int]) -> dict[str, dict[str, np.ndarray]]:
    """Return pictures of the held-out combinations by kind and method, and the true ones."""
    x, words = emoji()
    kinds = held_out(words)
    seen = ~np.any([*kinds.values()], axis=0)
    known = seen & (words["kind"] == "person")
    cvae = conditional_vae(x[known], conditions(words, known), seed, epochs[0])
    keras.utils.set_random_seed(seed)
    composer = aezoo.DenoisingAE(
        64, hidden_dims=(512,), activation="relu", code_activation="linear", corruption=0.2, noise="masking", seed=seed
    )
    composer.compile(cosine(RATE)(epochs[1] * -(-int(np.sum(seen)) // BATCH_SIZE)))
    composer.fit(x[seen], epochs=epochs[1], batch_size=BATCH_SIZE, verbose=0)
    flat = x.reshape(len(x), -1)
    codes = np.linalg.lstsq(one_hot(words, known), np.asarray(composer.encode(x[known])), rcond=None)[0]
    pixels = np.linalg.lstsq(one_hot(words, known), flat[known], rcond=None)[0]
    found = {}
    for kind, rows in kinds.items():
        true = x[rows]
        distances = np.sum(flat[known] ** 2, axis=1) - 2 * flat[rows] @ flat[known].T
        zeros = np.zeros((len(true), 4), "float32")
        found[kind] = {
            "true": true,
            "ConditionalVAE": np.asarray(cvae.decode(zeros, **conditions(words, rows))),
            "sum of codes": np.asarray(composer.decode((one_hot(words, rows) @ codes).astype("float32"))),
            "sum of pixels": (one_hot(words, rows) @ pixels).clip(0, 1).reshape(true.shape),
            "nearest seen": x[known][np.argmin(distances, axis=1)],
        }
    return found


def measured(found: Mapping[str, Mapping[str, np.ndarray]]) -> dict[tuple[str, str], dict[str, float]]:
    """Return the error and the composition score by kind and method."""
    x, words = emoji()
    people, kinds = words["kind"] == "person", held_out(words)
    results = {}
    for kind, versions in found.items():
        requested: dict[str, Any] = {name: words[name][kinds[kind]] for name in FACTORS}
        gallery: dict[str, Any] = {name: words[name][people] for name in FACTORS}
        for method, made in versions.items():
            if method != "true":
                error = np.mean(np.sum((made - versions["true"]) ** 2, axis=(1, 2, 3)))
                score = evaluation.composition_score(made, requested, x[people], gallery)
                results[kind, method] = {"error": float(error), **{str(name): share for name, share in score.items()}}
    return results


def draw(found: Mapping[str, Mapping[str, np.ndarray]], columns: int = 12) -> Figure:
    """Draw evenly spaced held-out people, triples on the left and pairs on the right, in a row per method.

    A picture that is not read as all three requested values has a red frame.
    """
    x, words = emoji()
    people, kinds = words["kind"] == "person", held_out(words)
    gallery: dict[str, Any] = {name: words[name][people] for name in FACTORS}
    rows: dict[str, list[np.ndarray]] = {}
    for kind, versions in found.items():
        places = np.flatnonzero(kinds[kind])
        for i in np.linspace(0, len(places) - 1, columns // 2).round().astype(int):
            requested: dict[str, Any] = {name: words[name][places[i : i + 1]] for name in FACTORS}
            for method, images in versions.items():
                image = images[i].clip(0, 1)
                if evaluation.composition_score(image[None], requested, x[people], gallery)["all"] < 1:
                    inner = image[1:-1, 1:-1].copy()
                    image = np.zeros_like(image) + np.array([0.85, 0.1, 0.1], "float32")
                    image[1:-1, 1:-1] = inner
                rows.setdefault(method, []).append(image)
    return aezoo.plots.rows({method: np.stack(images) for method, images in rows.items()}, n=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs=2, default=(100, 60), help="of ConditionalVAE and DenoisingAE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path, help="a PNG file of the pictures of the first seed")
    parser.add_argument("--quick", action="store_true", help="one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/composition.json, and none of a quick run")
    options = parser.parse_args()
    output = options.output or (None if options.quick else HERE / "composition.json")
    epochs, seeds = ((1, 1), 1) if options.quick else (tuple(options.epochs), options.seeds)
    versions = {"aezoo": aezoo.__version__, "keras": keras.__version__}
    settings = {"seeds": seeds, "epochs": list(epochs), "batch_size": BATCH_SIZE}
    runs = SavedRuns("benchmarks/composition.py", output, ("kind", "method", "seed"), settings, versions)
    for seed in range(seeds):
        if ("pairs", "nearest seen", seed) in runs and not (options.picture and seed == 0):
            continue
        start = time.perf_counter()
        found = pictures(seed, epochs)
        minutes = (time.perf_counter() - start) / 60
        for (kind, method), values in measured(found).items():
            if (kind, method, seed) not in runs:
                runs.add((kind, method, seed), minutes=minutes, **values)
            print(kind, method, seed, {name: round(value, 3) for name, value in values.items()}, flush=True)
        if options.picture and seed == 0:
            draw(found).savefig(options.picture, dpi=130)  # tiles of 40 pixels


if __name__ == "__main__":
    main()
