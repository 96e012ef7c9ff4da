"""Data of the user's own on the command line: the reader for a path, and the options of the readers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from aezoo.cli import values

TABLES = (".csv", ".tsv", ".parquet", ".pq")
ARRAYS = (".npy", ".npz")
TEXTS = (".txt", ".text")
FORMS = f"a folder of images, a table ({', '.join(TABLES)}), arrays ({', '.join(ARRAYS)}) or lines of text (.txt)"

# Options by the kind of data that they apply to.
APPLIES = {
    "image_size": "images",
    "grayscale": "images",
    "skip_corrupt": "images",
    "label": "table",
    "drop": "table",
    "keep": "table",
    "categorical": "table",
    "window": "series",
    "stride": "series",
    "time": "series",
    "columns": "series",
    "tokens": "text",
    "max_length": "text",
}
#: Names of the kinds, for messages.
KINDS = {
    "images": "a folder of images",
    "table": "a table",
    "series": "a series",
    "array": "an array",
    "text": "lines of text",
    "named": "a named data set",
}

#: The most samples that are measured and drawn of data that are not in memory.
MEASURED = 10_000

#: Names of the options of the readers.
OPTIONS = (*APPLIES, "test_fraction", "split_seed")


def kind(path: Path, window: object = None) -> str:
    """Return the kind of data at a path: "images", "table", "series", "array" or "text".

    Args:
        path: A file or folder.
        window: The option --window; a table with it is a series.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the ending of the file is unknown.
    """
    if path.is_dir():
        return "images"
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}: check the path.")
    suffix = path.suffix.lower()
    if suffix in TABLES or (suffix == ".npy" and window is not None):
        return "table" if window is None else "series"
    if suffix in ARRAYS:
        return "array"
    if suffix in TEXTS:
        return "text"
    ending = f"the ending {suffix!r}, which no reader takes" if suffix else "no ending that tells its form"
    raise ValueError(f"{path} has {ending}: give {FORMS}.")


def check_applies(name: str, data: object, form: str) -> None:
    """Check that an option applies to data.

    Args:
        name: Name of the option, a key of `APPLIES`.
        data: Path or name of the data, for the message.
        form: Kind of the data, a key of `KINDS`.

    Raises:
        ValueError: If the option is for another kind of data.
    """
    if form != APPLIES[name]:
        raise ValueError(f"{option(name)} is for {KINDS[APPLIES[name]]}, but {data} is {KINDS[form]}: leave it out.")


def check_none_given(arguments: argparse.Namespace) -> None:
    """Check that no option of a reader is given, since the data set has a name.

    Args:
        arguments: The options of `aezoo train`.

    Raises:
        ValueError: If an option of `add_reading_options` is given.
    """
    for name in OPTIONS:
        if getattr(arguments, name, None) is not None:
            raise ValueError(
                f"{option(name)} is for data of your own, but {arguments.dataset} is {KINDS['named']}: leave it out, "
                "or give --data PATH."
            )


def option(name: str) -> str:
    """Return an option as it is written on the command line.

    Args:
        name: Name of the option in Python, such as "image_size".
    """
    return f"--{name.replace('_', '-')}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _size(text: str) -> int | tuple[int, int]:
    parts = [values.positive_int(part) for part in text.replace("x", ",").split(",")]
    if len(parts) > 2:
        raise ValueError
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


_size.__name__ = "image size"


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the readers of the user's own data."""
    group = parser.add_argument_group("data of your own (with --data)")
    add = group.add_argument
    add("--image-size", type=_size, metavar="N|H,W", help="crop and resize all images to this size")
    add("--grayscale", action="store_true", default=None, help="convert images to gray")
    add_skip_corrupt(group, default=None)
    add("--label", metavar="COLUMN", help="column of a table with labels, which is no part of the samples")
    add("--drop", type=_names, metavar="COLUMN,...", help="columns of a table to leave out")
    add("--keep", type=_names, metavar="COLUMN,...", help="columns to use although they look like identifiers")
    add("--categorical", type=_names, metavar="COLUMN,...", help="columns of numbers that are categories")
    add("--window", type=values.positive_int, metavar="N", help="read the table as a series, in windows of N steps")
    add("--stride", type=values.positive_int, metavar="N", help="steps between the starts of windows (default: 1)")
    add("--time", metavar="COLUMN", help="column of a series with the times of its steps")
    add("--columns", type=_names, metavar="COLUMN,...", help="columns of a series to use (default: all)")
    add("--tokens", choices=("characters", "words"), help="units of lines of text (default: characters)")
    add("--max-length", type=values.positive_int, metavar="N", help="tokens per line of text; longer lines are cut")
    add(
        "--test-fraction",
        type=values.positive_float,
        metavar="F",
        help="share of the data for testing (default: 0.2), unless a folder has subfolders train and test",
    )
    add(
        "--split-seed",
        type=values.natural_int,
        metavar="N",
        help="seed of the split into training and testing (default: 0), except for a series, whose end is for testing",
    )


def add_applying_options(parser: argparse.ArgumentParser, batch_size: int | None = 256) -> None:
    """Add the options for reading data for a trained model.

    Args:
        parser: The parser of a command.
        batch_size: Default number of samples at once; None leaves it to the model.
    """
    parser.add_argument(
        "--batch-size",
        type=values.positive_int,
        default=batch_size,
        metavar="N",
        help=f"samples at once (default: {batch_size or 'a number that suits their size'})",
    )
    add_skip_corrupt(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def add_skip_corrupt(parser: Any, default: bool | None = False) -> None:
    """Add the option that leaves out corrupt images.

    Args:
        parser: The parser of a command, or a group of its options.
        default: Value without the option; None leaves the choice to the reader.
    """
    parser.add_argument(
        "--skip-corrupt", action="store_true", default=default, help="leave out images that cannot be decoded"
    )
