"""Compression of pictures of any size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from aezoo.codec.codec import LIMIT

if TYPE_CHECKING:
    from aezoo.models.compressive import CompressiveAE

# Number of image values to decode at once, as in `CompressiveAE`.
_PIECE = 2**20


def compress_picture(model: CompressiveAE, picture: np.ndarray, limit: int = LIMIT) -> bytes:
    """Compress one picture.

    A model with a fixed sample size encodes blocks of that size; a spatial model encodes the picture as a whole.
    Incomplete blocks are padded with copies of the edge, which `decompress_picture` removes.

    Args:
        model: A `CompressiveAE` of images in [0, 1].
        picture: The picture, (height, width, channels) uint8.
        limit: Maximum memory for decoding, in image values. Use the limit of `decompress_picture`, which refuses larger
            pictures.

    Returns:
        The compressed picture, which records the size before padding.

    Raises:
        ValueError: If the model does not accept such pictures, or the picture has more values than `limit`.
        ImportError: If constriction is not installed.

    Example:
        >>> import aezoo
        >>> model = aezoo.CompressiveAE(latent_dim=2, seed=0)
        >>> model.build((None, 8, 8, 1))
        >>> picture = np.zeros((20, 30, 1), "uint8")  # 3 x 4 blocks
        >>> decompress_picture(model, compress_picture(model, picture)).shape
        (20, 30, 1)
    """
    channels = picture_channels(model)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != channels or not picture.size:
        raise ValueError(
            f"Expected a picture (height, width, {channels}) uint8, not {picture.shape} {picture.dtype.name}."
        )
    height, width = picture.shape[:2]
    if model.spatial:
        block = tuple(math.ceil(size / model.stride) * model.stride for size in (height, width))
    else:
        block = model.x_shape[:2]
    rows, columns = math.ceil(height / block[0]), math.ceil(width / block[1])
    coder = model.codec()
    sizes = tuple(size // model.stride for size in block) if model.spatial else model.code_shape[:-1]
    needed = coder.needed(rows * columns * math.prod(sizes), rows * columns)
    if needed > limit:
        raise ValueError(
            f"The picture of {width} x {height} needs {needed:,} values, more than the limit of {limit:,}: give a "
            "higher limit, to both compress and decompress it, or make the picture smaller."
        )
    missing = (rows * block[0] - height, columns * block[1] - width)
    padded = np.pad(picture, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
    blocks = padded.reshape(rows, block[0], columns, block[1], channels).swapaxes(1, 2)
    samples = blocks.reshape(-1, *block, channels).astype("float32") / 255
    return coder.encode(model.encode(samples), (height, width))


def decompress_picture(model: CompressiveAE, data: bytes, limit: int = LIMIT) -> np.ndarray:
    """Decompress one picture.

    Args:
        model: The model that compressed the picture.
        data: Bytes that `compress_picture` returned.
        limit: Maximum memory for decoding, in image values. Larger pictures are refused before they are decoded.

    Returns:
        The picture, (height, width, channels) uint8.

    Raises:
        ValueError: If the bytes are damaged, come from another model or format version, hold samples instead of a
            picture, or hold more than `limit` values.
        ImportError: If constriction is not installed.

    Example:
        >>> import aezoo
        >>> model = aezoo.CompressiveAE(latent_dim=2, seed=0)
        >>> model.build((None, 8, 8, 1))
        >>> data = compress_picture(model, np.full((8, 5, 1), 128, "uint8"))
        >>> decompress_picture(model, data).shape
        (8, 5, 1)
    """
    channels = picture_channels(model)
    codes, picture_size = model.codec().decode(data, limit)
    if len(picture_size) != 2:
        raise ValueError("The compressed data are samples, not a picture: call model.decompress.")
    height, width = picture_size
    block = tuple(n * model.stride for n in codes.shape[1:3]) if model.spatial else model.x_shape[:2]
    rows, columns = math.ceil(height / block[0]), math.ceil(width / block[1])
    if rows * columns != len(codes):
        raise ValueError("The compressed data are damaged: picture and blocks do not match. Get them again.")
    blocks = np.empty((len(codes), *block, channels), "uint8")
    size = max(1, _PIECE // math.prod(blocks.shape[1:]))
    for start in range(0, len(codes), size):
        x = np.clip(np.asarray(model.decode(codes[start : start + size])), 0.0, 1.0)
        x *= 255
        blocks[start : start + size] = np.rint(x, out=x)
    picture = blocks.reshape(rows, columns, *block, channels).swapaxes(1, 2)
    return picture.reshape(rows * block[0], columns * block[1], channels)[:height, :width]


def picture_channels(model: CompressiveAE) -> int:
    """Return the number of channels of the pictures that a model accepts, 1 or 3.

    Args:
        model: A built model.

    Raises:
        ValueError: If the samples of the model are not pictures.

    Example:
        >>> import aezoo
        >>> model = aezoo.CompressiveAE(latent_dim=2)
        >>> model.build((None, 8, 8, 3))
        >>> picture_channels(model)
        3
    """
    if len(model.x_shape) != 3 or model.x_shape[-1] not in (1, 3):
        raise ValueError(
            f"The model takes samples of shape {model.x_shape}, which are not pictures (height, width, 1 or 3): give a "
            "model of images."
        )
    return model.x_shape[-1]
