"""Serving the whole shelf."""

from __future__ import annotations

from pathlib import Path


def configuration(folder: Path, base_path: str) -> str:
    """Writes the file that TensorFlow Serving takes as `--model_config_file`, for all SavedModels in a folder.

    Args:
        folder: Where there are folders `<name>/<version>`.
        base_path: Where the server has that folder, an absolute path.

    Raises:
        ValueError: If there is none, or the path is not absolute.
    """
    if not base_path.startswith("/"):
        raise ValueError(f"TensorFlow Serving wants an absolute path, and --base-path is {base_path!r}.")
    names = sorted({path.parents[1].name for path in folder.glob("*/*/saved_model.pb") if path.parent.name.isdecimal()})
    if not names:
        raise ValueError(
            f"{folder} holds no SavedModel in a folder NAME/VERSION, such as vae_mnist_2d/1: run this in a clone of "
            "aezoo, or write one by model.export."
        )
    entries = [
        f'  config {{\n    name: "{name}"\n    base_path: "{base_path.rstrip("/")}/{name}"\n'
        '    model_platform: "tensorflow"\n  }\n'
        for name in names
    ]
    return f"model_config_list {{\n{''.join(entries)}}}\n"
