"""Configuration of TensorFlow Serving for all presets."""

from __future__ import annotations

from pathlib import Path


def configuration(folder: Path, base_path: str) -> str:
    """Return the content of TensorFlow Serving's `--model_config_file` for all SavedModels in a folder.

    Args:
        folder: A folder with SavedModels in `<name>/<version>`.
        base_path: Absolute path of that folder on the server.

    Raises:
        ValueError: If there is no SavedModel, or the path is not absolute.
    """
    if not base_path.startswith("/"):
        raise ValueError(f"TensorFlow Serving needs an absolute path, but --base-path is {base_path!r}.")
    names = sorted({path.parents[1].name for path in folder.glob("*/*/saved_model.pb") if path.parent.name.isdecimal()})
    if not names:
        raise ValueError(
            f"{folder} holds no SavedModel in a folder NAME/VERSION, such as vae_mnist_2d/1: run this in a clone of "
            "aezoo, or write one with model.export."
        )
    entries = [
        f'  config {{\n    name: "{name}"\n    base_path: "{base_path.rstrip("/")}/{name}"\n'
        '    model_platform: "tensorflow"\n  }\n'
        for name in names
    ]
    return f"model_config_list {{\n{''.join(entries)}}}\n"
