"""Commands `aezoo compress` and `aezoo decompress`: pictures to `.aez` files and back."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import _files
from aezoo._untrusted import printable
from aezoo.cli import loading

if TYPE_CHECKING:
    from PIL import Image

    import aezoo

_MODEL_HELP = "a CompressiveAE or HyperpriorAE: its .keras file, or the folder that `aezoo train` wrote"
_OVERWRITE_HELP = "replace an existing file"
_MODES = {1: "L", 3: "RGB"}
# Formats that Pillow reads without running other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM")
# Formats whose 16-bit values Pillow loads as 32-bit integers.
_SIXTEEN_BITS = ("PNG", "PPM")


def add_commands(commands: Any) -> None:
    """Add both commands to the command line."""
    compress = commands.add_parser("compress", help="compress a picture", description="Compress a picture.")
    compress.add_argument("model", metavar="MODEL", help=_MODEL_HELP)
    compress.add_argument("picture", metavar="IMAGE.png", help="a picture of any size")
    compress.add_argument("output", metavar="OUT.aez", help="the file to write")
    compress.add_argument("--overwrite", action="store_true", help=_OVERWRITE_HELP)
    _add_limit(compress)
    loading.add_import(compress)
    compress.set_defaults(run=_compress)
    decompress = commands.add_parser(
        "decompress", help="decompress a picture", description="Decompress an .aez file to a picture."
    )
    decompress.add_argument("model", metavar="MODEL", help="the model that compressed it")
    decompress.add_argument("data", metavar="IN.aez", help="a file that `aezoo compress` wrote")
    decompress.add_argument("output", metavar="OUT.png", help="the picture to write")
    decompress.add_argument("--overwrite", action="store_true", help=_OVERWRITE_HELP)
    _add_limit(decompress)
    loading.add_import(decompress)
    decompress.set_defaults(run=_decompress)


def _add_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="the largest picture, in image values (height x width x channels), for compress and decompress (default: "
        "2^27, 44 million pixels in color)",
    )


def _compress(arguments: argparse.Namespace) -> int:
    import numpy as np

    from aezoo import codec

    _check_output(arguments, arguments.picture)
    model = _model(arguments)
    limit = _limit(arguments)
    pixels = np.asarray(_read(arguments.picture, _MODES[codec.picture_channels(model)], limit))
    picture = pixels.reshape(*pixels.shape[:2], -1)
    data = _installed(codec.compress_picture, model, picture, limit)
    with _files.atomic_write(arguments.output) as path:
        path.write_bytes(data)
        _check_output(arguments, arguments.picture)
    height, width = picture.shape[:2]
    print(f"{arguments.output}: {len(data):,} bytes, {8 * len(data) / (height * width):.3f} bits per pixel")
    return 0


def _decompress(arguments: argparse.Namespace) -> int:
    from PIL import Image

    from aezoo import codec

    _check_output(arguments, arguments.data)
    model = _model(arguments)
    picture = _installed(codec.decompress_picture, model, Path(arguments.data).read_bytes(), _limit(arguments))
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    with _files.atomic_write(arguments.output) as path:
        image.save(path)
        _check_output(arguments, arguments.data)
    print(f"{arguments.output}: {image.width} x {image.height}")
    return 0


def _check_output(arguments: argparse.Namespace, source: str) -> None:
    """Check that the output does not exist, or that the user allows replacing it and the command does not read it."""
    output = _files.check(arguments.output)
    if output.is_dir():
        raise FileExistsError(f"{arguments.output} is a folder: name a file.")
    if not output.exists():
        return
    for given in (source, arguments.model, Path(arguments.model) / "model.keras"):
        if os.path.exists(given) and output.samefile(given):
            raise FileExistsError(f"{arguments.output} is an input of this command: name another file to write.")
    if not arguments.overwrite:
        raise FileExistsError(f"{arguments.output} already exists: name another, or replace it with --overwrite.")


def _limit(arguments: argparse.Namespace) -> int:
    from aezoo import _validation, codec

    return codec.LIMIT if arguments.limit is None else _validation.check_int("--limit", arguments.limit, 1)


def _read(path: str, mode: str, limit: int) -> Image.Image:
    """Read a picture from an untrusted file, rotate it upright, and convert it to a mode.

    Args:
        path: The file.
        mode: "L" or "RGB".
        limit: The most image values, height x width x channels.

    Raises:
        OSError: If there is no such file, or it is not a picture.
        ValueError: If the picture is damaged, larger than the limit, or has values without a fixed range.
    """
    import numpy as np
    from PIL import Image, ImageOps

    allowed, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # replaced by `limit`
    try:
        with Image.open(path, formats=_FORMATS) as image:
            kind, values = image.format, image.width * image.height * len(mode)
            if values > limit:
                raise ValueError(
                    f"{path} has {image.width} x {image.height} pixels, {values:,} values, more than the limit of "
                    f"{limit:,}: give a higher --limit to both compress and decompress, or make the picture smaller."
                )
            try:
                upright = ImageOps.exif_transpose(image)
                upright.load()
            except Exception as error:  # each format has its own kinds
                raise ValueError(f"{path} is damaged: {printable(error).rstrip('.')}.") from None
    finally:
        Image.MAX_IMAGE_PIXELS = allowed
    if upright.mode != mode:
        note = f"aezoo: {path} has mode {upright.mode} and was converted to the model's mode, {mode}."
        print(note, file=sys.stderr)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and kind in _SIXTEEN_BITS):
        # Pillow's own conversion clips values above 255.
        upright = Image.fromarray(np.rint(np.asarray(upright) / 257).astype("uint8"))
    elif upright.mode in ("I", "F"):
        raise ValueError(
            f"{path} has pixels of mode {upright.mode}, which has no fixed range: save it with 8 or 16 bits."
        )
    return upright.convert(mode)


def _model(arguments: argparse.Namespace) -> aezoo.Autoencoder:
    model, path = loading.load(arguments.model, "aezoo train compressive", arguments.modules)
    if not model.compresses:
        raise ValueError(
            f"{path} holds {type(model).__name__}, which does not compress: train one with `aezoo train compressive`."
        )
    return model


def _installed(function: Any, *arguments: Any) -> Any:
    """Call a function that needs constriction; raise a missing one as a ValueError, which prints as one line."""
    try:
        return function(*arguments)
    except ImportError as error:
        raise ValueError(str(error)) from error
