"""Training the models of the shelf, and writing their folders."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from aezoo import datasets, evaluation, exporting, losses, presets, sketches
from aezoo.pretraining.greedy import GreedyStack
from aezoo.shelf import pictures
from aezoo.shelf.cards import readme
from aezoo.shelf.recipes import RECIPES, SEED, Recipe

VERSION = "1"
PICTURE = "picture.png"
#: Of the training set, how many the PCA and the linear probe of a report are fitted on, and sketches' longest.
_FITTED, _MAX_POINTS = 10_000, 100

Split = tuple[Any, Any]


def load_data(name: str, sketches_file: str | os.PathLike | None = None) -> tuple[Split, Split]:
    """Loads what a recipe is trained and tested on, each split a pair of samples and labels or None.

    Raises:
        ValueError: If cats are wanted, and no file of them is given.
        FileNotFoundError: If the data are not there.
    """
    if name != "cats":
        return datasets.load(name)
    if sketches_file is None:
        raise ValueError("The cats of QuickDraw are read from a file of sketch-rnn's: give it as --sketches FILE.npz.")
    return sketches.load(sketches_file, max_points=_MAX_POINTS)


def train(name: str, data: tuple[Split, Split], folder: Path, verbose: int = 2) -> None:
    """Trains a model and writes its folder, all of it or nothing.

    Args:
        name: Of its recipe.
        data: As `load_data` gives them.
        folder: Where to; what is there already is replaced.
        verbose: That of `fit`.
    """
    recipe, (x, _) = RECIPES[name], data[0]
    start = time.monotonic()
    keras.utils.set_random_seed(SEED)
    model = recipe.model()
    if isinstance(model, GreedyStack):
        arguments = {key: value() if callable(value) else value for key, value in recipe.pretrain.items()}
        model.pretrain(x, seed=SEED, verbose=0, **arguments)
        model = recipe.unroll(model)
    steps = recipe.epochs * math.ceil(len(x) / recipe.batch_size)
    loss = losses.CrossEntropy() if recipe.loss == "cross_entropy" else None
    model.compile(recipe.optimizer(steps), loss=loss, jit_compile=recipe.jit_compile)
    model.fit(x, epochs=recipe.epochs, batch_size=recipe.batch_size, verbose=verbose)
    training = {
        **recipe_of(recipe, model),
        "date": datetime.date.today().isoformat(),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "cores": os.cpu_count(),
    }
    write(name, model, data, folder, training)


def recipe_of(recipe: Recipe, model: keras.Model) -> dict[str, Any]:
    """How a model was trained, as a card has it."""
    network = ("encoder", "decoder", "name", "dtype", "trainable")
    rate = model.optimizer.get_config()["learning_rate"]
    pretrain = {name: value for name, value in recipe.pretrain.items() if not callable(value)}
    return {
        "arguments": {name: value for name, value in model.get_config().items() if name not in network},
        **({"pretrain": pretrain} if pretrain else {}),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": type(model.optimizer).__name__,
        "learning_rate": rate["config"] if isinstance(rate, dict) else rate,
        "seed": SEED,
    }


def write(name: str, model: Any, data: tuple[Split, Split], folder: Path, training: dict[str, Any]) -> None:
    """Writes the folder of a trained model, all of it or nothing."""
    recipe = RECIPES[name]
    with exporting.complete_or_absent(folder) as unfinished:
        unfinished.mkdir()
        presets.save(model, unfinished, recipe.half)
        stored = keras.saving.load_model(unfinished / presets.MODEL)
        stored.export(unfinished / VERSION, half=recipe.half)
        getattr(pictures, recipe.picture)(stored, data[1][0]).savefig(unfinished / PICTURE)
        card = {
            "name": name,
            "title": recipe.title,
            **presets.card(stored),
            "data": recipe.data,
            "training": training,
            "half": recipe.half,
            "metric": recipe.metric,
            "metrics": measure(stored, data),
            "unrounded": objective(model, data[1][0])["loss"],
        }
        (unfinished / "README.md").write_text(readme(card), encoding="utf-8")
        presets.write_card(unfinished, card)


def objective(model: Any, x: Any) -> dict[str, float]:
    """The terms of a model's own objective on samples, and what is reported beside them."""
    model.compile()
    return {
        name: float(value) for name, value in model.evaluate(x, batch_size=500, return_dict=True, verbose=0).items()
    }


def measure(model: Any, data: tuple[Split, Split]) -> dict[str, float]:
    """What a card says of a model: its objective on the test set, and what `aezoo.evaluation.report` says."""
    (x, y), test = data
    fitted_on = (x[:_FITTED], None if y is None else y[:_FITTED])
    report = evaluation.report(model, test, train=fitted_on)
    return {**objective(model, test[0]), **{name: value for name, value in report.items() if value is not None}}
