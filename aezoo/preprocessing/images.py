"""Preprocessing of images: crop and resize to the size of a model, scale to [0, 1], and back to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Self, Shape, Tensor
from aezoo.preprocessing.base import Preprocessing

#: Share of red, green and blue in the brightness of a color (ITU-R BT.601), as in Pillow and JPEG.
LUMA = (0.299, 0.587, 0.114)


@keras.saving.register_keras_serializable("aezoo")
class ImagePreprocessing(Preprocessing):
    """Turn 8-bit images of any size into samples in [0, 1] of one size, and back.

    Images are cropped at the center to the aspect ratio of `image_size`, resized with a triangle filter that averages
    over all pixels when it shrinks, and rounded to 8 bits: as `PIL.ImageOps.fit(image, size, PIL.Image.BILINEAR)` does.
    An exported model does the same, so that a request takes images of any size.

    Args:
        image_size: (height, width) of samples. None takes the size of the images in `fit`.
        channels: 1 for gray, 3 for color. None takes the number of channels of the images in `fit`.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If `image_size` or `channels` is out of range.

    Example:
        >>> preprocessing = ImagePreprocessing(image_size=(2, 2), channels=1)
        >>> photo = np.uint8([[[[0], [0], [255], [255]]] * 4])  # left half black, right half white
        >>> preprocessing.transform(photo)[0, :, :, 0].round(2)
        array([[0.14, 0.86],
               [0.14, 0.86]], dtype=float32)
        >>> preprocessing.restore(np.float32([[[[0.0], [1.0]], [[0.5], [0.25]]]]))[0, :, :, 0]
        array([[  0, 255],
               [128,  64]], dtype=uint8)
    """

    def __init__(self, image_size: tuple[int, int] | None = None, channels: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.image_size = None if image_size is None else checked_size(image_size)
        if channels not in (None, 1, 3):
            raise ValueError(f"channels={channels!r}: give 1 for gray, 3 for color, or None.")
        self.channels = channels

    def fit(self, raw: Any) -> Self:
        """Take the size and the channels of the images where the constructor left them open; return self.

        Args:
            raw: Images, as in `to_arrays`, or a `tf.data.Dataset` of batches of them; only their shape is used.

        Raises:
            ValueError: If the images differ in size or are not images of 8 or 16 bits.
        """
        if not self.is_fitted:
            if isinstance(raw, tf.data.Dataset):
                height, width, channels = raw.element_spec.shape[1:]
            else:
                images = [_as_image(image, None) for image in raw]
                sizes = {image.shape[:2] for image in images}
                if self.image_size is None and len(sizes) != 1:
                    raise ValueError(f"The images have {len(sizes)} different sizes: pass image_size=(height, width).")
                (height, width), channels = sizes.pop(), max(image.shape[2] for image in images)
            self.image_size = self.image_size or checked_size((height, width))
            self.channels = self.channels or (1 if channels == 1 else 3)
        return self

    @property
    def is_fitted(self) -> bool:
        return self.image_size is not None and self.channels is not None

    @property
    def summary(self) -> str:
        height, width, channels = self.sample_shape
        color = "gray" if channels == 1 else "color"
        return f"Images are cropped at the center, resized to {height} × {width} ({color}) and scaled to [0, 1]."

    @property
    def raw_specs(self) -> dict[str, tf.TensorSpec]:
        return {"x": tf.TensorSpec((None, None, None, self.sample_shape[2]), tf.uint8, name="x")}

    @property
    def sample_shape(self) -> Shape:
        if self.image_size is None or self.channels is None:
            raise ValueError("ImagePreprocessing has no size yet: call fit, or give image_size and channels.")
        return (*self.image_size, self.channels)

    def is_raw(self, data: Any) -> bool:
        if isinstance(data, (list, tuple)) and data:
            return all(self.is_raw(image) for image in data)
        return getattr(getattr(data, "dtype", None), "name", None) in ("uint8", "uint16")

    def to_arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Return images as one uint8 array, (n, h, w, channels).

        Color becomes gray, and gray becomes color, as the model needs; transparent images are put on white; of 16 bits
        the upper eight remain. Images of different sizes are resized here.

        Args:
            raw: uint8 or uint16 array, (n, h, w) or (n, h, w, c) with 1 to 4 channels, or a list of images.

        Raises:
            ValueError: If an entry is not such an image; the message names it.
        """
        height, width, channels = self.sample_shape
        images = []
        for number, image in enumerate(np.asarray(raw) if tf.is_tensor(raw) else raw):
            try:
                images.append(_as_image(image, channels))
            except ValueError as error:
                raise ValueError(f"Image {number}: {error}") from None
        if len({image.shape for image in images}) > 1:
            images = [np.asarray(tf.cast(fit_center(image[None], (height, width)), tf.uint8))[0] for image in images]
        return {"x": np.stack(images) if images else np.zeros((0, height, width, channels), "uint8")}

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        height, width, _ = self.sample_shape
        return to_unit(fit_center(inputs["x"], (height, width)))

    def invert(self, x: Tensor) -> dict[str, Tensor]:
        return {"x": tf.cast(tf.clip_by_value(tf.round(tf.cast(x, tf.float32) * 255.0), 0.0, 255.0), tf.uint8)}

    def dummy(self, n: int) -> dict[str, np.ndarray]:
        return {"x": np.zeros((n, *self.sample_shape), "uint8")}

    def get_config(self) -> dict[str, Any]:
        size = None if self.image_size is None else list(self.image_size)
        return {**super().get_config(), "image_size": size, "channels": self.channels}


def checked_size(size: Any) -> tuple[int, int]:
    """Return an image size as (height, width); an integer is the side of a square.

    Args:
        size: The user's argument.

    Raises:
        ValueError: If it is not a size.
    """
    sides = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in sides):
        raise ValueError(f"image_size={size!r}: give (height, width) in pixels, such as (64, 64).")
    return int(sides[0]), int(sides[1])


def to_unit(images: Tensor) -> Tensor:
    """Return images with values from 0 to 255 as float32 in [0, 1].

    Args:
        images: Tensor of any shape.
    """
    return tf.cast(images, tf.float32) / 255.0


def _as_image(image: Any, channels: int | None) -> np.ndarray:
    """Return an image as uint8 (h, w, c) with `channels` channels; None leaves gray and color as they are."""
    pixels = np.asarray(image)
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype("uint8")  # as decoders do
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise ValueError(
            f"an array of {pixels.dtype} and shape {pixels.shape} is not an image: give uint8 of shape (h, w) or "
            "(h, w, c) with 1 to 4 channels."
        )
    if pixels.shape[2] in (2, 4):
        pixels = np.round(on_white(pixels.astype("float32"))).astype("uint8")
    if channels == 3 and pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 1 and pixels.shape[2] == 3:
        return np.round(pixels.astype("float32") @ np.asarray(LUMA, "float32")).astype("uint8")[..., None]
    return pixels


def on_white(pixels: Any) -> Any:
    """Return images with an alpha channel as they look on white, without that channel.

    Args:
        pixels: Floats from 0 to 255, (..., c + 1), an array or a tensor; the last channel is alpha.
    """
    alpha = pixels[..., -1:] / 255.0
    return pixels[..., :-1] * alpha + 255.0 * (1.0 - alpha)


def fit_center(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Crop images at the center to an aspect ratio and resize them, in operations that every export format supports.

    Args:
        images: (n, h, w, c) with values from 0 to 255; the size may be unknown until the graph runs.
        size: (height, width) of the result.

    Returns:
        (n, height, width, c), float32 of whole numbers.
    """
    images = tf.convert_to_tensor(images)
    if tuple(images.shape[1:3]) == size:
        return tf.cast(images, tf.float32)
    shape = tf.shape(images)
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    cropped = tf.minimum(height, width * (size[0] / size[1])), tf.minimum(width, height * (size[1] / size[0]))
    rows, row_weights = _taps(shape[1], cropped[0], size[0])
    columns, column_weights = _taps(shape[2], cropped[1], size[1])
    x = tf.cast(tf.gather(images, rows, axis=1), tf.float32)  # (n, height, taps, w, c)
    x = tf.reduce_sum(x * row_weights[:, :, None, None], axis=2)
    x = tf.gather(x, columns, axis=2)  # (n, height, width, taps, c)
    x = tf.round(tf.reduce_sum(x * column_weights[:, :, None], axis=3))
    return tf.ensure_shape(x, (None, *size, images.shape[-1]))


def _taps(length: Tensor, cropped: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels of one axis that each pixel of the result averages, and their weights, (size, taps) each."""
    scale = cropped / size
    support = tf.maximum(scale, 1.0)
    offset = (tf.cast(length, tf.float32) - cropped) / 2
    centers = offset + (tf.range(size, dtype=tf.float32) + 0.5) * scale
    first = tf.cast(tf.floor(centers - support), tf.int32)
    pixels = first[:, None] + tf.range(tf.cast(tf.math.ceil(2 * support), tf.int32) + 1)
    weights = tf.maximum(0.0, 1.0 - tf.abs(tf.cast(pixels, tf.float32) + 0.5 - centers[:, None]) / support)
    inside = tf.logical_and(pixels >= 0, pixels < length)
    weights = tf.where(inside, weights, 0.0)
    return tf.clip_by_value(pixels, 0, length - 1), weights / tf.reduce_sum(weights, axis=1, keepdims=True)
