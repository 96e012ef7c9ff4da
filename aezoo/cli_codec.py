"""The commands `aezoo compress` and `aezoo decompress`: pictures to `.aez` files and back."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import cli_models, writing

if TYPE_CHECKING:
    import aezoo

_MODEL_HELP = "a CompressiveAE: its .keras file, or the folder of its `aezoo train`"
_OVERWRITE_HELP = "replace a file that is there already"
_MODES = {1: "L", 3: "RGB"}


def add_commands(commands: Any) -> None:
    """Adds the two commands to those of the command line."""
    compress = commands.add_parser("compress", help="compress a picture", description="Compresses a picture.")
    compress.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    compress.add_argument("picture", metavar="IMAGE.png", help="a picture of any size")
    compress.add_argument("output", metavar="OUT.aez", help="the file to write")
    compress.add_argument("--overwrite", action="store_true", help=_OVERWRITE_HELP)
    compress.set_defaults(run=_compress)
    decompress = commands.add_parser(
        "decompress", help="make a picture of what compress wrote", description="Makes a picture of an .aez file."
    )
    decompress.add_argument("model", metavar="MODEL", help="the model that compressed it")
    decompress.add_argument("data", metavar="IN.aez", help="what `aezoo compress` wrote")
    decompress.add_argument("output", metavar="OUT.png", help="the picture to write")
    decompress.add_argument("--overwrite", action="store_true", help=_OVERWRITE_HELP)
    decompress.set_defaults(run=_decompress)


def _compress(arguments: argparse.Namespace) -> int:
    import numpy as np
    from PIL import Image

    from aezoo import codec

    _check_output(arguments, arguments.picture)
    model = _model(arguments.model)
    mode = _MODES[codec.picture_channels(model)]
    with Image.open(arguments.picture) as image:
        if image.mode != mode:
            note = f"aezoo: {arguments.picture} is of mode {image.mode}, the model takes {mode}: it was converted."
            print(note, file=sys.stderr)
        pixels = np.asarray(image.convert(mode))
    picture = pixels.reshape(*pixels.shape[:2], -1)
    data = _installed(codec.compress_picture, model, picture)
    with writing.complete_or_absent(arguments.output) as path:
        path.write_bytes(data)
        _check_output(arguments, arguments.picture)
    height, width = picture.shape[:2]
    print(f"{arguments.output}: {len(data):,} bytes, {8 * len(data) / (height * width):.3f} bits per pixel")
    return 0


def _decompress(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from aezoo import codec

    _check_output(arguments, arguments.data)
    model = _model(arguments.model)
    picture = _installed(codec.decompress_picture, model, Path(arguments.data).read_bytes())
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    with writing.complete_or_absent(arguments.output) as path:
        image.save(path)
        _check_output(arguments, arguments.data)
    print(f"{arguments.output}: {image.width} x {image.height}")
    return 0


def _check_output(arguments: argparse.Namespace, source: str) -> None:
    """Checks that the output is a file that is not there yet, or one that the user wants replaced."""
    output = writing.check(arguments.output)
    if output.is_dir():
        raise FileExistsError(f"{arguments.output} is a folder: name a file.")
    if not output.exists():
        return
    for given in (source, arguments.model, Path(arguments.model) / "model.keras"):
        if os.path.exists(given) and output.samefile(given):
            raise FileExistsError(f"{arguments.output} is what this command reads: name another file to write.")
    if not arguments.overwrite:
        raise FileExistsError(
            f"{arguments.output} is there already: name another file, or replace it with --overwrite."
        )


def _model(name: str) -> aezoo.CompressiveAE:
    import aezoo

    model, path = cli_models.load(name, "aezoo train compressive")
    if not isinstance(model, aezoo.CompressiveAE):
        raise ValueError(
            f"{path} holds {type(model).__name__}, which does not compress: train one with `aezoo train compressive`."
        )
    return model


def _installed(function: Any, *arguments: Any) -> Any:
    """Calls what needs constriction; the command line reports a ValueError in one line."""
    try:
        return function(*arguments)
    except ImportError as error:
        raise ValueError(str(error)) from error
