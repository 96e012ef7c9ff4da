"""Loading of trained models, classes and data sets that are named on the command line."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aezoo._untrusted import printable, read_json

if TYPE_CHECKING:
    import numpy as np

    import aezoo
    from aezoo.models.autoencoder import Autoencoder


def name(text: str) -> str:
    """Parse the name of a file or folder; refuse an empty one, such as an unset shell variable."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a name, not {text!r}")
    return text


# === Trained models ===


def add_import(command: argparse.ArgumentParser) -> None:
    """Add the option that names the modules of a user's own classes."""
    command.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import the module of a class of your own, installed or in the working directory, before the model is "
        "loaded; the model's file never chooses what is imported",
    )


def load(name: str, train: str, modules: Sequence[str] = ()) -> tuple[aezoo.Autoencoder, Path]:
    """Load a model.

    Args:
        name: A `.keras` file, or a folder that `aezoo train` wrote.
        train: Command that trains such a model, for error messages.
        modules: Modules to import first.

    Returns:
        The model, and the path of its file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or does not hold an `aezoo.Autoencoder`, or a module cannot be imported.
    """
    import aezoo
    from aezoo.saving import loading

    path = Path(name)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}: train one with `{train}`.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged, or not a .keras file: train the model again with `{train}`.")
    for module in modules:
        import_module(module)
    try:
        model = loading.load(path)
    except loading.UnknownClassError as error:
        raise ValueError(
            f"{path} holds a model of the class {error.name}, which is not registered: if you trust the module that "
            f"defines it, name it with --import; the file names {error.module!r}."
        ) from None
    if not isinstance(model, aezoo.Autoencoder):
        raise ValueError(f"{path} holds {type(model).__name__}, not a model of aezoo: train one with `{train}`.")
    return model, path


def class_names(path: Path) -> list[str] | None:
    """Return the names of the classes that `aezoo train` numbered, from the metrics.json beside a model, or None.

    Args:
        path: The file of the model.
    """
    try:
        names = read_json(path.parent / "metrics.json")["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


# === Classes ===


def model_class(name: str) -> type[aezoo.Autoencoder]:
    """Return a class of models.

    Args:
        name: A public name of `aezoo`, or MODULE:CLASS.

    Raises:
        ValueError: If there is no such class, or it is not registered with Keras, which loading needs.
    """
    import keras

    import aezoo

    if ":" not in name:
        return getattr(aezoo, name)
    where, _, class_name = name.partition(":")
    module = import_module(where)
    cls = getattr(module, class_name, None)
    if not inspect.isclass(cls) or not issubclass(cls, aezoo.Autoencoder):
        there = [each for each, value in vars(module).items() if inspect.isclass(value)]
        there = [each for each in there if issubclass(getattr(module, each), aezoo.Autoencoder)]
        close = difflib.get_close_matches(class_name, there) or there
        hint = f"it has {', '.join(close)}" if close else "it has none"
        raise ValueError(f"The module {where!r} has no class {class_name!r} that extends aezoo.Autoencoder; {hint}.")
    if keras.saving.get_registered_object(keras.saving.get_registered_name(cls)) is not cls:
        raise ValueError(
            f"{class_name} is not registered, so a saved model could not be loaded: put "
            f"@keras.saving.register_keras_serializable({where!r}) above the class."
        )
    return cls


def import_module(name: str) -> ModuleType:
    """Import a module that is installed or in the working directory.

    Args:
        name: Name of the module, written by the user, never read from a file.

    Raises:
        ValueError: If there is no such module, or importing it fails.
    """
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does
    try:
        return importlib.import_module(name)
    except Exception as error:  # the module may raise anything
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if not name or (missing and f"{name}.".startswith(f"{missing}.")):
            raise ValueError(
                f"There is no module {name!r}, neither installed nor in the working directory: write it as in an "
                "import, mypackage.models."
            ) from None
        raise ValueError(
            f"The module {name!r} cannot be imported: {type(error).__name__}: {printable(error).rstrip('.')}."
        ) from error


# === Data sets ===


def data_loader(model: Autoencoder | type[Autoencoder]) -> Callable[[str], Any]:
    """Return the function that loads a data set by name for a model.

    Args:
        model: A model, or a class of models.

    Raises:
        ValueError: If aezoo has no data sets of the kind that the model needs.
    """
    from aezoo import datasets, sketches

    loaders: dict[str, Callable[[str], Any]] = {"images": datasets.load, "sketches": sketches.load}
    if model.data not in loaders:
        named = model.__name__ if inspect.isclass(model) else type(model).__name__
        raise ValueError(
            f"{named} learns from {model.data}, for which aezoo has no data sets; it has {' and '.join(loaders)}: "
            "give a file of your own with --data."
        )
    return loaders[model.data]


def with_conditions(model: aezoo.Autoencoder, x: np.ndarray, y: np.ndarray | None) -> tuple[Any, Any]:
    """Return the inputs of a model and the labels; the labels become its condition if it has one.

    Args:
        model: The model.
        x: Samples, (n, *input_shape).
        y: Labels, (n,), or None.

    Raises:
        ValueError: As `check_labels`.
    """
    check_labels(model, y)
    return ({"x": x, model.condition_names[0]: y} if model.condition_names else x), y


def check_labels(model: aezoo.Autoencoder, y: np.ndarray | None) -> None:
    """Check that labels suffice for the conditions of a model.

    Args:
        model: The model.
        y: Labels, (n,), or None.

    Raises:
        ValueError: If the model has several conditions, or it has one and the data have no labels.
    """
    names = model.condition_names
    if not names or (len(names) == 1 and y is not None):
        return
    advice = f"pass the model a dict in Python, {{'x': x, {', '.join(f'{name!r}: {name}' for name in names)}}}"
    if len(names) == 1:
        advice = (
            f"give images in one subfolder per class, a table with labels, a .npz file with labels 'y', or {advice}"
        )
    what = f"these data have {'no labels' if y is None else 'only one label'}"
    raise ValueError(f"{model.name!r} needs {' and '.join(map(repr, names))} beside the samples, but {what}: {advice}.")
