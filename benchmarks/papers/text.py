"""Posterior collapse of a VAE of text, and what each remedy does: names and short English sentences, by characters.

    python benchmarks/papers/text.py --text names.txt.gz
    python benchmarks/papers/text.py --text tatoeba_english.txt.gz --least 12 --longest 28 --lines 6000 --epochs 10

Each line of the file is a text. One model per remedy, the same network (GRU of 64 units, code of 16) and the same
epochs: nothing; β that grows from 0 to 1 over the first half of training; word dropout; free bits; and combinations.
Beside them a model with a code of 16 units that is always 0 (β = 100), which is a language model without a code. On a
tenth of the lines, which no model saw: the KL divergence and the bits of the text per character (the end of a text
counts as one), both with z drawn from q(z given x); the bound, their sum; the active units; and the share of texts that
`reconstruct` returns letter by letter. Samples and a path between two texts are kept, too.

Finished models are kept in results/text_NAME.json and not trained again; no new one starts after `--minutes`.

Names: karpathy/makemore, MIT. Sentences: Tatoeba (tatoeba.org, www.manythings.org/anki), CC BY 2.0 FR.
"""

import gzip
import json
import math
from pathlib import Path

import keras
import numpy as np
from reporting import HERE, Clock, Row, arguments, report

import aezoo
from aezoo.schedules import Linear

REMEDIES = {
    "none": {},
    "KL annealing": {"anneal": True},
    "word dropout": {"word_dropout": 0.4},
    "free bits": {"free_bits": 0.25},
    "annealing + word dropout": {"anneal": True, "word_dropout": 0.4},
    "annealing + free bits": {"anneal": True, "free_bits": 0.25},
    "all three": {"anneal": True, "word_dropout": 0.4, "free_bits": 0.25},
    "no code": {"beta": 100.0},
}


def read(options) -> tuple[list[str], int]:
    """The distinct lines that are long and short enough, shuffled, and the length of the longest."""
    if not options.text:
        words = [a + b + c for a in "abc" for b in "aeiou" for c in "xyz"]
    else:
        opened = gzip.open if options.text.endswith(".gz") else open
        with opened(options.text, "rt", encoding="utf-8") as lines:
            words = list(dict.fromkeys(line.strip().lower() for line in lines))
        words = [word for word in words if options.least <= len(word) <= options.longest]
    np.random.default_rng(options.seed).shuffle(words)
    return words[: options.lines or None], max(map(len, words))


class Characters:
    """Texts as tokens: 0 is padding, 1 a character that training does not have, the others its characters."""

    def __init__(self, texts: list[str], steps: int):
        self.characters, self.steps = sorted(set("".join(texts))), steps
        self.numbers = {character: i for i, character in enumerate(self.characters, start=2)}

    def tokens(self, texts: list[str]) -> np.ndarray:
        """Texts as tokens, (n, steps) int32."""
        rows = [[self.numbers.get(character, 1) for character in text[: self.steps]] for text in texts]
        return np.array([row + [0] * (self.steps - len(row)) for row in rows], "int32")

    def texts(self, tokens: np.ndarray) -> list[str]:
        """Tokens as texts."""
        shown = np.array(["", "?", *self.characters])
        return ["".join(shown[row]) for row in np.asarray(tokens)]


def train(remedy: dict, characters: Characters, x: np.ndarray, x_test: np.ndarray, options) -> dict:
    """Train one model and measure it."""
    keras.utils.set_random_seed(options.seed)
    clock = Clock()
    beta = Linear(0.0, 1.0, max(1, options.epochs // 2)) if remedy.get("anneal") else remedy.get("beta", 1.0)
    model = aezoo.SequenceAE(
        options.latent_dim,
        units=(options.units,),
        cell="gru",
        variational=True,
        tokens=len(characters.characters) + 2,
        beta=beta,
        word_dropout=remedy.get("word_dropout", 0.0),
        free_bits=remedy.get("free_bits", 0.0),
        seed=options.seed,
    )
    rate = keras.optimizers.schedules.CosineDecay(4e-3, options.epochs * math.ceil(len(x) / 128), alpha=0.05)
    model.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
    history = model.fit(x, epochs=options.epochs, batch_size=128, verbose=2).history
    minutes = clock.minutes
    evaluated = model.evaluate(x_test, batch_size=512, verbose=0, return_dict=True)
    mean, log_variance = (np.asarray(each) for each in model.encoder.moments(x_test))
    kl = float(np.mean(np.sum(0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1), axis=1)))
    tokens = np.minimum((x_test > 0).sum(axis=1) + 1, x_test.shape[1]).mean()  # an end, unless no step is left
    bits = evaluated["bits_per_token"]
    again = np.asarray(model.reconstruct(x_test))
    pair = x_test[:2]
    return {
        "kl": kl,
        "active_units": evaluated["active_units"],
        "bits_per_character": bits,
        "bound": bits + kl / math.log(2) / float(tokens),
        "exact": float(np.mean((again == x_test).all(axis=1))),
        "characters_right": float(np.mean(again[x_test > 0] == x_test[x_test > 0])),
        "minutes": minutes,
        "reconstructions": [*zip(characters.texts(x_test[:8]), characters.texts(again[:8]), strict=True)],
        "samples": characters.texts(model.sample(12, temperature=1.0, seed=options.seed)),
        "likeliest": characters.texts(model.sample(12, temperature=0.0, seed=options.seed)),
        "path": characters.texts(np.asarray(model.interpolate(pair[:1], pair[1:], steps=7))[0]),
        "kl_history": [round(value, 3) for value in history["kl"]],
    }


def main() -> None:
    options = arguments(
        __doc__, text="", least=2, longest=15, lines=12000, epochs=8, units=64, latent_dim=16, minutes=60.0
    )
    if options.quick:
        options.epochs, options.units, options.latent_dim = 1, 4, 2
    texts, steps = read(options)
    name = Path(options.text).name.split(".")[0] or "made_up"
    options.text, minutes, clock = Path(options.text).name, options.minutes, Clock()
    del options.minutes
    held_out = len(texts) // 10
    characters = Characters(texts[held_out:], steps)
    x, x_test = characters.tokens(texts[held_out:]), characters.tokens(texts[:held_out])
    path = HERE / "results" / f"text_{name}.json"
    runs = {}
    if path.exists() and not options.quick:
        before = json.loads(path.read_text())
        runs = before["runs"] if before["options"] == vars(options) else {}
    for remedy, arguments_of_remedy in list(REMEDIES.items())[: 2 if options.quick else None]:
        if remedy not in runs and clock.minutes < minutes:
            print(f"=== {remedy}", flush=True)
            runs[remedy] = train(arguments_of_remedy, characters, x, x_test, options)
        rows = []
        for label, run in runs.items():
            rows.append(Row(f"{label}: bits per character", "–", "–", run["bits_per_character"], run["minutes"]))
            rows.append(Row(f"{label}: KL, nats per text", "–", "–", run["kl"], 0.0))
        report(f"text_{name}", options, rows, runs=runs, texts=len(texts), held_out=held_out, steps=steps)


if __name__ == "__main__":
    main()
