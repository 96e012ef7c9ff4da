"""The commands `aezoo presets`: the trained models of `saved_models/`."""

from __future__ import annotations

import argparse
import difflib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aezoo.cli import loading

_SKETCHES = "the file of sketch-rnn's that the cats are read from (.npz)"


def add_commands(commands: Any) -> None:
    """Adds the commands to those of the command line."""
    presets = commands.add_parser("presets", help="trained models: list, train, verify, config")
    actions = presets.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = actions.add_parser("list", help="list the presets that are found")
    listing.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    listing.set_defaults(run=_list)

    train = actions.add_parser("train", help="train them", description="Train presets by their recipes.")
    train.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    train.add_argument("--sketches", metavar="FILE", help=_SKETCHES)
    train.add_argument(
        "--output", type=loading.name, default="saved_models", metavar="DIR", help="(default: saved_models)"
    )
    train.set_defaults(run=_train)

    verify = actions.add_parser(
        "verify",
        help="measure them again",
        description="Checks the files of presets by their SHA-256, measures the models on their test data, and "
        "compares both with their cards.",
    )
    verify.add_argument(
        "names", nargs="*", metavar="NAME", help="which, by name or folder (default: all that are found)"
    )
    verify.add_argument("--sketches", metavar="FILE", help=f"{_SKETCHES}; without it those models are not measured")
    verify.set_defaults(run=_verify)

    config = actions.add_parser(
        "config",
        help="write the models.config of TensorFlow Serving",
        description="Prints the file that TensorFlow Serving takes as --model_config_file, for all SavedModels of a "
        "folder.",
    )
    config.add_argument("folder", nargs="?", default="saved_models", metavar="DIR", help="(default: saved_models)")
    config.add_argument(
        "--base-path", default="/models", metavar="PATH", help="where the server has this folder (default: /models)"
    )
    config.set_defaults(run=_config)


def _list(arguments: argparse.Namespace) -> int:
    from aezoo._untrusted import printable
    from aezoo.recipes import cards
    from aezoo.saving import presets

    found = presets.cards()
    if not found:
        raise FileNotFoundError(f"There are no presets in {', '.join(map(str, presets.places()))}.")
    if arguments.markdown:
        print(cards.shelf_table(filter(cards.of_shelf, found.values())))
        return 0
    width = max(map(len, found)) + 2
    for name, card in found.items():
        print(f"{printable(name):{width}}{printable(card.get('title', card['class']))}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from aezoo.recipes import training
    from aezoo.recipes.recipes import RECIPES

    names = arguments.names or list(RECIPES)
    for name in names:
        if name not in RECIPES:
            close = difflib.get_close_matches(name, RECIPES) or RECIPES
            raise ValueError(f"There is no recipe {name!r}; there is {', '.join(close)}.")
        training.check_folder(Path(arguments.output) / name)
    load = _loader(arguments.sketches)
    for name in names:  # all data before the first training, so that what is missing is said at once
        load(RECIPES[name].data)
    for name in names:
        folder = Path(arguments.output) / name
        print(f"{name}: {RECIPES[name].title}", flush=True)
        training.train(name, load(RECIPES[name].data), folder)
        print(f"Written to {folder}", flush=True)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from aezoo._untrusted import printable
    from aezoo.recipes import cards, verifying
    from aezoo.saving import presets

    names = arguments.names or list(presets.folders())
    load = _loader(arguments.sketches)
    width = max(map(len, names), default=0) + 2
    wrong = []
    for name in names:
        try:
            folder = presets.find(name)
            card = presets.read_card(folder)
            measurable = cards.of_shelf(card) and (card["data"]["name"] != "cats" or arguments.sketches)
            measured = verifying.verify(folder, load(card["data"]["name"]) if measurable else None)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
            print(f"{printable(name):{width}}FAILED", flush=True)
            continue
        if measured:
            label, value = printable(cards.label(card["metric"])), cards.number(measured[card["metric"]])
            print(
                f"{printable(name):{width}}{label} {value}, as its card says",
                flush=True,
            )
        else:
            why = "its data are given as --sketches FILE" if cards.of_shelf(card) else "its card names no data"
            print(f"{printable(name):{width}}files as its card says; not measured: {why}", flush=True)
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(names)} failed: {' '.join(wrong)}")
    return 0


def _config(arguments: argparse.Namespace) -> int:
    from aezoo.recipes import serving

    print(serving.configuration(Path(arguments.folder), arguments.base_path), end="")
    return 0


def _loader(sketches_file: str | None) -> Callable[[str], Any]:
    """What loads each source once."""
    from aezoo.recipes import sources

    return functools.cache(lambda name: sources.load(name, sketches_file))
