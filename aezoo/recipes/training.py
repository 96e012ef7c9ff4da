"""Training the models of the shelf, and writing their folders."""

from __future__ import annotations

import datetime
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from aezoo import _docstrings, _files, evaluation, losses
from aezoo.pretraining.greedy import GreedyStack
from aezoo.recipes import cards, pictures
from aezoo.recipes.recipes import RECIPES, SEED, Recipe
from aezoo.recipes.sources import Split
from aezoo.saving import presets

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

#: The version that TensorFlow Serving knows the SavedModel by.
VERSION = "1"
#: How many training samples the PCA and the linear probe of a card are fitted on.
FITTED = 10_000


def check_folder(folder: Path) -> None:
    """Checks that a folder can be written: that it is free, or a preset with nothing else in it."""
    if folder.exists() and not (folder / presets.CARD).is_file():
        raise FileExistsError(f"{folder} is there already, and is no preset: remove it first.")
    _files.check(folder, presets.foreign)


def train(name: str, data: tuple[Split, Split], folder: Path, verbose: int = 2) -> None:
    """Trains a model and writes its folder, all of it or nothing.

    Args:
        name: Of its recipe.
        data: As `aezoo.recipes.sources.load` gives them.
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
    decay = model.optimizer.weight_decay
    return {
        "arguments": {name: value for name, value in model.get_config().items() if name not in network},
        **({"pretrain": pretrain} if pretrain else {}),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": type(model.optimizer).__name__,
        "learning_rate": rate["config"] if isinstance(rate, dict) else rate,
        **({"weight_decay": decay} if decay else {}),
        "seed": SEED,
    }


def write(name: str, model: Autoencoder, data: tuple[Split, Split], folder: Path, training: dict[str, Any]) -> None:
    """Writes the folder of a trained model, all of it or nothing.

    What is measured, drawn and exported is what the folder holds, in the precision that it is stored in.

    Args:
        name: Of its recipe.
        model: The trained model, in full precision.
        data: As `aezoo.recipes.sources.load` gives them.
        folder: Where to; what is there already is replaced.
        training: How it was trained: what `recipe_of` says, `date`, `minutes` and `cores`.
    """
    recipe, x_test = RECIPES[name], data[1][0]
    with _files.atomic_write(folder, presets.foreign) as unfinished:
        unfinished.mkdir()
        presets.save(model, unfinished, recipe.half)
        stored = keras.saving.load_model(unfinished / presets.MODEL)
        # First of all: noise that is drawn later is other noise.
        metrics, as_trained = measure(stored, data), objective(model, x_test)
        stored.export(unfinished / VERSION, half=recipe.half)
        getattr(pictures, recipe.picture)(stored, x_test).savefig(unfinished / cards.PICTURE)
        card = {
            "name": name,
            "title": recipe.title,
            **({"limits": recipe.limits} if recipe.limits else {}),
            **presets.card(stored),
            "reference": _docstrings.reference(type(recipe.model())),
            "data": {"name": recipe.data, "training_samples": len(data[0][0]), "test_samples": len(x_test)},
            "training": training,
            "half": recipe.half,
            "full_precision": as_trained,
            "metric": recipe.metric,
            "metrics": metrics,
            "signatures": sorted(stored.signatures()),
        }
        (unfinished / cards.README).write_text(cards.readme(card), encoding="utf-8")
        presets.write_card(unfinished, card)


def objective(model: Autoencoder, x: np.ndarray) -> dict[str, float]:
    """The terms of a model's own objective on samples, and what it reports beside them."""
    model.compile()
    return {
        name: float(value) for name, value in model.evaluate(x, batch_size=500, return_dict=True, verbose=0).items()
    }


def measure(model: Autoencoder, data: tuple[Split, Split]) -> dict[str, float]:
    """What a card says of a model: its objective on the test set, and what `aezoo.evaluation.report` says."""
    (x, y), test = data
    fitted_on = (x[:FITTED], None if y is None else y[:FITTED])
    own = objective(model, test[0])
    report = evaluation.report(model, test, train=fitted_on)
    return {**own, **{name: value for name, value in report.items() if value is not None}}
