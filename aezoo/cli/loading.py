"""Trained models, as commands are given them."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aezoo


def name(text: str) -> str:
    """Read the name of a file or folder as an option; an empty one, of a shell variable that is not set, is none."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, not an empty one")
    return text


def load(name: str, train: str) -> tuple[aezoo.Autoencoder, Path]:
    """Loads a model of the zoo.

    Args:
        name: Its `.keras` file, or the folder of its `aezoo train`.
        train: The command that trains such a model, which an error names.

    Returns:
        The model, and its file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it does not hold a model of the zoo, or is damaged.
    """
    import aezoo
    from aezoo.saving import loading

    path = Path(name)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"There is no model {path}: train one with `{train}`.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is damaged, or no .keras file: train the model again with `{train}`.")
    model = loading.load(path)
    if not isinstance(model, aezoo.Autoencoder):
        raise ValueError(f"{path} holds {type(model).__name__}, no model of aezoo: train one with `{train}`.")
    return model, path
