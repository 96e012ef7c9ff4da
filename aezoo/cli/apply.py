"""Commands `aezoo encode`, `aezoo score` and `aezoo reconstruct`: apply a trained model to the user's own data."""

from __future__ import annotations

import argparse
from typing import Any

from aezoo.cli import loading, own_data

_COMMANDS = {
    "encode": (
        "compute the codes of your data",
        "Compute the code of each sample and write it as a row of a .csv or .parquet file, or as an array to a .npy "
        "file.",
    ),
    "score": (
        "score how unlike the training data your data are",
        "Compute the score of each sample, the reconstruction error or the bound of the model: higher is less like the "
        "training data. Without --output the scores are printed as CSV.",
    ),
    "reconstruct": (
        "reconstruct your data",
        "Reconstruct each sample in the units of your data: images as PNG files in a folder, tables and series as .csv "
        "or .parquet, text as .txt, anything as .npy.",
    ),
}


def add_commands(commands: Any) -> None:
    """Add the commands to the command line."""
    for name, (summary, description) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=description)
        command.add_argument("model", metavar="MODEL", help="a folder that `aezoo train` wrote, or a .keras file")
        command.add_argument("--data", required=True, type=loading.name, metavar="PATH", help=own_data.FORMS)
        command.add_argument(
            "--output",
            required=name != "score",
            type=loading.name,
            metavar="PATH",
            help="the file, or for images the folder, to write",
        )
        command.add_argument("--overwrite", action="store_true", help="replace an existing file")
        own_data.add_applying_options(command)
        loading.add_import(command)
        command.set_defaults(run=_run, verb=name)


def _run(arguments: argparse.Namespace) -> int:
    from aezoo.cli import results

    results.run(arguments)
    return 0
