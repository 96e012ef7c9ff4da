"""Commands `aezoo presets`: list, train, verify and serve the trained models of `saved_models/`."""

from __future__ import annotations

import argparse
import difflib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aezoo.cli import loading

#: Options for data that aezoo does not fetch, as in `aezoo.recipes.sources`, and their help.
_FILES = {
    "sketches": "the sketch-rnn file of the cats (.npz)",
    "emoji": "the file that `npm pack emoji-datasource-google@16.0.0` downloads (.tgz)",
}


def add_commands(commands: Any) -> None:
    """Add the commands to the command line."""
    presets = commands.add_parser("presets", help="trained models: list, train, verify, config")
    actions = presets.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = actions.add_parser("list", help="list the presets")
    listing.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    listing.set_defaults(run=_list)

    train = actions.add_parser("train", help="train presets", description="Train presets by their recipes.")
    train.add_argument("names", nargs="*", metavar="NAME", help="names of the presets to train (default: all)")
    for option, file in _FILES.items():
        train.add_argument(f"--{option}", metavar="FILE", help=file)
    train.add_argument(
        "--output",
        type=loading.name,
        default="saved_models",
        metavar="DIR",
        help="the folder to write presets to (default: saved_models)",
    )
    train.set_defaults(run=_train)

    verify = actions.add_parser(
        "verify",
        help="compare presets with their model cards",
        description="Check the files of presets by their SHA-256, measure the models on their test data, and compare "
        "the results with the model cards.",
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="names or folders of presets (default: all presets)")
    for option, file in _FILES.items():
        verify.add_argument(
            f"--{option}", metavar="FILE", help=f"{file}; without it presets trained on it are not measured"
        )
    verify.set_defaults(run=_verify)

    config = actions.add_parser(
        "config",
        help="write the models.config of TensorFlow Serving",
        description="Print the --model_config_file of TensorFlow Serving for all SavedModels in a folder.",
    )
    config.add_argument(
        "folder",
        nargs="?",
        default="saved_models",
        metavar="DIR",
        help="the folder of the presets (default: saved_models)",
    )
    config.add_argument(
        "--base-path", default="/models", metavar="PATH", help="path of this folder on the server (default: /models)"
    )
    config.set_defaults(run=_config)


def _list(arguments: argparse.Namespace) -> int:
    from aezoo._untrusted import printable
    from aezoo.recipes import cards
    from aezoo.saving import presets

    found = presets.cards()
    if not found:
        raise FileNotFoundError(
            f"There are no presets in {', '.join(map(str, presets.places()))}: name a folder of presets in the "
            f"environment variable {presets.ENVIRONMENT}."
        )
    if arguments.markdown:
        print(cards.presets_table(filter(cards.has_metrics, found.values())))
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
            raise ValueError(f"There is no recipe {name!r}: choose from {', '.join(close)}.")
        training.check_folder(Path(arguments.output) / name)
    load = _loader(_files(arguments))
    for name in names:  # load all data before the first training, so that missing data fail at once
        load(RECIPES[name].data)
    for name in names:
        folder = Path(arguments.output) / name
        print(f"{name}: {RECIPES[name].title}", flush=True)
        training.train(name, load(RECIPES[name].data), folder)
        print(f"Written to {folder}", flush=True)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from aezoo._untrusted import printable
    from aezoo.recipes import cards, sources, verifying
    from aezoo.saving import presets

    names = arguments.names or list(presets.folders())
    files = _files(arguments)
    load = _loader(files)
    width = max(map(len, names), default=0) + 2
    wrong = []
    for name in names:
        try:
            folder = presets.find(name)
            card = presets.read_card(folder)
            data = card["data"]["name"] if cards.has_metrics(card) else None
            option = sources.SOURCES[data].option if data in sources.SOURCES else ""
            measurable = data is not None and (not option or option in files)
            measured = verifying.verify(folder, load(str(data)) if measurable else None)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
            print(f"{printable(name):{width}}FAILED", flush=True)
            continue
        if measured:
            label, value = printable(cards.label(card["metric"])), cards.number(measured[card["metric"]])
            print(f"{printable(name):{width}}{label} {value}, as in its model card", flush=True)
        else:
            why = "its model card names no data" if data is None else f"its data need --{option} FILE"
            print(f"{printable(name):{width}}files as in its model card; not measured: {why}", flush=True)
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(names)} failed: {' '.join(wrong)}")
    return 0


def _config(arguments: argparse.Namespace) -> int:
    from aezoo.recipes import serving

    print(serving.configuration(Path(arguments.folder), arguments.base_path), end="")
    return 0


def _files(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the files that the user gave, by the name of the option."""
    given = {option: getattr(arguments, option) for option in _FILES}
    return {option: file for option, file in given.items() if file is not None}


def _loader(files: dict[str, str]) -> Callable[[str], Any]:
    """Return a function that loads each source once."""
    from aezoo.recipes import sources

    return functools.cache(lambda name: sources.load(name, files))
