"""Command `aezoo explore`: write or serve a page to explore a trained model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo.cli import evaluate, loading, own_data

if TYPE_CHECKING:
    import aezoo

_DESCRIPTION = """\
Write one HTML page with a trained model and samples. Open it from disk in a browser: it needs no network. The page
decodes a code as you change it, and shows what single units do, anomaly scores, and more."""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    explore = commands.add_parser("explore", help="explore a trained model in the browser", description=_DESCRIPTION)
    explore.add_argument("model", metavar="MODEL", help="a preset, a folder that `aezoo train` wrote, or a .keras file")
    explore.add_argument(
        "--data",
        metavar="NAME|PATH",
        help="the data set whose test split the page shows, or data of your own, as for `aezoo train` (default: the "
        "data that the model was trained on, if they are on this machine)",
    )
    explore.add_argument(
        "--output",
        type=loading.name,
        metavar="FILE.html",
        help="the file to write (default: the name of the model, with .html; none with --serve)",
    )
    explore.add_argument(
        "--samples", type=int, metavar="N", help="maximum number of samples on the page (default: 2000)"
    )
    explore.add_argument(
        "--serve", action="store_true", help="serve the page at an address of this machine until Ctrl-C"
    )
    explore.add_argument("--port", type=int, default=0, metavar="N", help="port for --serve (default: a free one)")
    own_data.add_skip_corrupt(explore)
    loading.add_import(explore)
    explore.set_defaults(run=_explore)


def _explore(arguments: argparse.Namespace) -> int:
    from aezoo import explorer
    from aezoo.explorer import pages

    model, path, card = _model(arguments)
    known = _at_hand(card.get("data", {}).get("name")) or evaluate.trained_on(path)
    output = arguments.output
    if output is None and not arguments.serve:
        stem = path.parent.name if path.name == "model.keras" else path.stem
        output = f"{stem}.html"
    if output is not None:
        pages.check_path(output)
    data = _data(arguments.data, known, model, path, arguments.skip_corrupt)
    options = {"name": _shown(arguments.data or known), "title": card.get("title"), "note": card.get("limits", "")}
    if arguments.samples is not None:
        options["samples"] = arguments.samples
    try:
        html = explorer.page(model, data, **options)
    except ImportError as error:  # the command line prints a ValueError as one line
        raise ValueError(str(error)) from error
    if output is not None:
        pages.write_text(html, output)
        print(f"{output}: {len(html) / 1e6:.1f} MB; open it in a browser")
    if arguments.serve:
        explorer.serve(html, arguments.port)
    return 0


def _model(arguments: argparse.Namespace) -> tuple[aezoo.Autoencoder, Path, dict[str, Any]]:
    """Return the model, its file, and its model card or {}."""
    from aezoo.saving import presets

    path = Path(arguments.model)
    if not path.exists() and path.name == arguments.model and not path.suffix:
        path = presets.find(arguments.model)
        presets.check_files(path, [presets.MODEL])
    model, path = loading.load(str(path), "aezoo train", arguments.modules)
    card = path.parent / presets.CARD
    return model, path, presets.read_card(path.parent) if card.is_file() else {}


def _shown(name: str | None) -> str | None:
    """Return the name of data for the page: of a path only the last part, which says nothing about this machine."""
    return Path(name).name if name is not None and Path(name).exists() else name


def _at_hand(name: str | None) -> str | None:
    """Return the name of a preset's data; for data that aezoo does not fetch, the name of an excerpt if one ships."""
    from aezoo.recipes.sources import SOURCES

    return SOURCES[name].excerpt or name if name in SOURCES else name


def _data(given: str | None, known: str | None, model: aezoo.Autoencoder, path: Path, skip_corrupt: bool) -> Any:
    """Return the test split of a data set, in the form that the explorer takes."""
    import numpy as np

    from aezoo import _validation
    from aezoo.cli import reading

    name = given or known
    if name is None:
        raise ValueError(f"No file beside {path} names its training data: name a data set with --data.")
    if given is not None and model.data != "sketches" and Path(given).exists():
        data = reading.rows(model, Path(given), 256, skip_corrupt, loading.class_names(path))
        with reading.readable_errors():
            x = reading.in_memory(data.batches)
        labels = None if data.labels is None else data.labels[: len(x)]
        if x.dtype.kind == "f" and np.isnan(x).any():
            whole = ~np.isnan(x).any(axis=tuple(range(1, x.ndim)))
            if not whole.any():
                raise ValueError(f"Each sample of {given} has a missing value: the page shows only complete samples.")
            print(f"{np.sum(~whole):,} samples with missing values are left out", file=sys.stderr)
            x, labels = x[whole], None if labels is None else labels[whole]
        return loading.with_conditions(model, x, labels)
    if skip_corrupt:
        own_data.check_applies("skip_corrupt", name, "named")
    load = loading.data_loader(model)
    if given is None and not evaluate.is_here(name, model.data):
        raise ValueError(
            f"{path} was trained on {name!r} according to the file beside it, and these data are not on this machine: "
            f"if you trust the file, download them with --data {name}."
        )
    x, y = _sketches(name, model.x_shape[0]) if model.data == "sketches" else load(name)[1]
    try:
        _validation.check_sample_shape(model, x.shape)
    except ValueError as error:
        raise ValueError(f"{name!r} does not fit this model: {error} Name another data set with --data.") from None
    return loading.with_conditions(model, x, y)


def _sketches(name: str, steps: int) -> Any:
    """Load test sketches of at most `steps` points, padded to exactly `steps`: the longest of a file may have fewer."""
    from aezoo import sketches

    _, (x, _) = sketches.load(name, max_points=steps)
    return sketches.stroke5(sketches.stroke3(x), steps), None
