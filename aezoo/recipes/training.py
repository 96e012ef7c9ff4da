"""Training of presets, and writing of their folders."""

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

#: Version of the SavedModel for TensorFlow Serving.
VERSION = "1"
#: Number of training samples that the PCA and the linear probe of a model card are fitted on.
FITTED = 10_000
#: Number of test samples of the Jacobian's norm, which takes one backward pass per code unit; fewer of large samples.
JACOBIAN, JACOBIAN_OF_LARGE, _LARGE = 1000, 50, 4096


def check_folder(folder: Path) -> None:
    """Check that a folder can be written: that it does not exist, or is a preset with nothing else in it."""
    if folder.exists() and not (folder / presets.CARD).is_file():
        raise FileExistsError(f"{folder} already exists and is not a preset: remove it first.")
    _files.check(folder, presets.foreign)


def train(name: str, data: tuple[Split, Split], folder: Path, verbose: int = 2) -> None:
    """Train a model and write its folder, completely or not at all.

    Args:
        name: Name of its recipe.
        data: Training and test split, as `aezoo.recipes.sources.load` returns them.
        folder: The folder to write; an existing preset is replaced.
        verbose: As in `fit`.
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
    if recipe.prior is not None:
        model.prior = recipe.prior(model, x)
    training = {
        **recipe_of(recipe, model),
        "date": datetime.date.today().isoformat(),
        "minutes": round((time.monotonic() - start) / 60, 1),
        "cores": os.cpu_count(),
    }
    write(name, model, data, folder, training)


def recipe_of(recipe: Recipe, model: keras.Model) -> dict[str, Any]:
    """Return how a model was trained, for its card."""
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
    """Write the folder of a trained model, completely or not at all.

    Metrics, picture and export come from the model as it is stored, in the precision that it is stored in.

    Args:
        name: Name of its recipe.
        model: The trained model, in full precision.
        data: Training and test split, as `aezoo.recipes.sources.load` returns them.
        folder: The folder to write; an existing preset is replaced.
        training: How the model was trained: the result of `recipe_of`, the `date`, and, if measured, `minutes` and
            `cores`.
    """
    recipe, x_test = RECIPES[name], data[1][0]
    with _files.atomic_write(folder, presets.foreign) as unfinished:
        unfinished.mkdir()
        presets.save(model, unfinished, recipe.half)
        stored = keras.saving.load_model(unfinished / presets.MODEL)
        # Before everything else: the noise of metrics depends on what was drawn before.
        metrics, as_trained = measure(stored, data, recipe), objective(model, x_test)
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
    """Return the terms of a model's own objective on samples, and the other metrics that it reports."""
    model.compile()
    return {
        name: float(value) for name, value in model.evaluate(x, batch_size=500, return_dict=True, verbose=0).items()
    }


def measure(model: Autoencoder, data: tuple[Split, Split], recipe: Recipe | None = None) -> dict[str, float]:
    """Return the metrics of a model card: the objective on the test set, `aezoo.evaluation.report`, and the extra ones.

    Args:
        model: The model.
        data: Training and test split, as `aezoo.recipes.sources.load` returns them.
        recipe: The recipe, for its extra metrics.
    """
    (x, y), test = data
    fitted_on = (x[:FITTED], None if y is None else y[:FITTED])
    own = objective(model, test[0])
    jacobian_samples = JACOBIAN if x[0].size < _LARGE else JACOBIAN_OF_LARGE
    report = evaluation.report(model, test, train=fitted_on, jacobian_samples=jacobian_samples)
    extra = recipe.extra(model, test[0]) if recipe is not None and recipe.extra is not None else {}
    return {**own, **{name: value for name, value in report.items() if value is not None}, **extra}
