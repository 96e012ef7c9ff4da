"""Reading of folders of images."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from aezoo._errors import listed
from aezoo._typing import Tensor
from aezoo.datasets import order
from aezoo.datasets.prepared import Prepared
from aezoo.preprocessing.images import LUMA, ImagePreprocessing, checked_size, on_white, to_unit

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
"""Endings of the file names that are read as images."""
_TEST_FOLDERS = ("test", "validation", "val")
_GRAY_MODES = ("1", "L", "I", "I;16", "I;16B")  # of Pillow

# How a file is decoded: by TensorFlow, or by Pillow for everything rare.
_JPEG, _PNG_GRAY, _PNG, _PNG_ALPHA, _PILLOW = range(5)


@dataclasses.dataclass(frozen=True)
class _Image:
    """An image file: its path, relative to the folder, and what its header says."""

    path: str
    decoder: int
    size: tuple[int, int]
    gray: bool
    transparent: bool


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PreparedImages(Prepared):
    """Images of a folder and their names: the result of `from_folder`.

    Attributes:
        train_files: Path of each training image, relative to the folder, in the order of `in_order("train")`.
        test_files: Path of each test image.

    Example:
        >>> import tempfile, keras
        >>> from aezoo import datasets
        >>> folder = tempfile.mkdtemp()
        >>> for number in range(4):
        ...     keras.utils.save_img(f"{folder}/{number}.png", np.full((8, 8, 3), number), scale=False)
        >>> sorted(datasets.from_folder(folder, test_fraction=0.5).train_files)
        ['1.png', '2.png', '3.png']
    """

    train_files: tuple[str, ...] = dataclasses.field(repr=False)
    test_files: tuple[str, ...] = dataclasses.field(repr=False)


def from_folder(
    path: str | os.PathLike[str],
    image_size: tuple[int, int] | int | None = None,
    *,
    grayscale: bool = False,
    skip_corrupt: bool = False,
    batch_size: int = 128,
    test_fraction: float = 0.2,
    seed: int = 0,
    shuffle: bool = True,
    memory: int = 2**28,
) -> PreparedImages:
    """Read a folder of images: PNG, JPEG, GIF (its first frame), BMP and WebP, also in subfolders.

    If the folder has subfolders `train` and `test` (or `validation`), these are the two splits. Otherwise a hash of the
    relative path and the seed assigns each image, so that an image stays in its split when others are added. If every
    image of a split is in one of several subfolders, these are its labels.

    Every image is decoded once before training starts, so that a corrupt file is found now. This takes about as long as
    an epoch reads; a progress bar appears after two seconds. Hidden files and files of other kinds are ignored.

    Photographs are turned upright as their EXIF data say, transparent images are put on white, and of 16 bits the upper
    eight are used.

    Args:
        path: Folder.
        image_size: (height, width) of the samples, or the side of a square. Images of another size are cropped at the
            center to this aspect ratio, then resized; see `aezoo.preprocessing.ImagePreprocessing`. None requires that
            all images have one size.
        grayscale: Whether to convert color to gray. If False, samples have three channels, or one if all images are
            gray.
        skip_corrupt: Whether to leave out files that cannot be decoded, and list them in `summary`, rather than raise
            an error.
        batch_size: Number of images per batch; the last batch may be smaller.
        test_fraction: Share of the images that are for testing, unless subfolders split them.
        seed: Seed of the split and of the order of the training images.
        shuffle: Whether each pass over the training images has a new order.
        memory: Number of bytes up to which the resized images are kept in memory, one byte per value. If they need
            more, each epoch reads the files again.

    Returns:
        The two splits, float32 in [0, 1] of shape (batch, height, width, channels), with their labels and the fitted
        `ImagePreprocessing`.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If the path is a file.
        ValueError: If the folder has no images, files are corrupt, or images differ in size and `image_size` is None;
            the message names the files.

    Example:
        >>> import os, tempfile, keras
        >>> from aezoo import datasets
        >>> folder = tempfile.mkdtemp()
        >>> (digits, labels), _ = datasets.load("digits")
        >>> for number, (image, label) in enumerate(zip(digits[:20], labels)):
        ...     os.makedirs(f"{folder}/{label}", exist_ok=True)
        ...     keras.utils.save_img(f"{folder}/{label}/{number}.png", image)
        >>> photos = datasets.from_folder(folder, image_size=16)
        >>> photos.arrays("train").shape, photos.y_train.shape, photos.class_names[:3]
        ((17, 16, 16, 1), (17,), ('0', '1', '2'))
    """
    order.check_split(test_fraction, batch_size)
    size = None if image_size is None else checked_size(image_size)
    folder = Path(path)
    paths, ignored = _scan(folder)
    splits, how = _split(folder, paths, test_fraction, seed)
    images, corrupt = _headers(folder, [path for split in splits.values() for path in split])
    if images and size is None:
        size = _one_size(images)
    channels = 1 if grayscale or all(image.gray for image in images) else 3
    read = functools.partial(_pixels, folder, size=size or (1, 1), channels=channels)
    images, pixels, undecodable = _decoded(images, read, (*(size or (1, 1)), channels), memory)
    corrupt |= undecodable
    if corrupt and not skip_corrupt:
        raise ValueError(
            f"{_counted(corrupt, 'image')} in {folder} cannot be decoded: {listed(_reasons(corrupt))}. Remove or "
            "repair them, or pass skip_corrupt=True to leave them out."
        )
    if not images or size is None:
        raise ValueError(f"No image in {folder} can be decoded: {listed(_reasons(corrupt))}.")

    number = {image.path: i for i, image in enumerate(images)}
    numbers = {name: np.array([number[p] for p in split if p in number], "int64") for name, split in splits.items()}
    if not len(numbers["train"]):
        raise ValueError(f"{folder} has no training images: all of its images are for testing.")
    labels, class_names = _labels([image.path for image in images])

    def batches(split: str, shuffled: bool = False) -> tf.data.Dataset:
        drawn = order.drawn(numbers[split], shuffled, seed)
        if pixels is not None:
            dataset = drawn.batch(batch_size).map(lambda i: to_unit(tf.gather(pixels, i)))
        else:
            # Batches of 8 bits take a quarter of the memory until they are used.
            dataset = read(images, drawn).batch(batch_size).map(to_unit)
        return dataset.prefetch(2)

    preprocessing = ImagePreprocessing(size, channels)
    return PreparedImages(
        train=batches("train", shuffle),
        test=batches("test"),
        preprocessing=preprocessing,
        y_train=None if labels is None else labels[numbers["train"]],
        y_test=None if labels is None else labels[numbers["test"]],
        summary=_summary(folder, images, numbers, how, preprocessing, labels, class_names, corrupt, ignored, pixels),
        samples={split: len(of_split) for split, of_split in numbers.items()},
        read=batches,
        class_names=class_names,
        train_files=tuple(images[i].path for i in numbers["train"]),
        test_files=tuple(images[i].path for i in numbers["test"]),
    )


# === Files ===


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    """Return the relative paths of the images below a folder, sorted, and the files that are not images."""
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: give the folder that has the images.")
    found: list[str] = []
    ignored: list[str] = []
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        # A link to a folder around it would never end.
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in files:
            if not name.startswith("."):
                relative = Path(place, name).relative_to(folder).as_posix()
                (found if name.lower().endswith(ENDINGS) else ignored).append(relative)
    if not found:
        others = f" It has only files of other kinds: {listed(sorted(ignored))}." if ignored else " It is empty."
        raise ValueError(f"{folder} has no images ({', '.join(ENDINGS)}), nor have its subfolders.{others}")
    return sorted(found), sorted(ignored)


def _split(folder: Path, paths: list[str], test_fraction: float, seed: int) -> tuple[dict[str, list[str]], str]:
    """Return the paths of each split, and how they were split for people."""
    if test := _test_folder(paths):
        splits = {
            split: [path for path in paths if path.startswith(f"{top}/")]
            for split, top in (("train", "train"), ("test", test))
        }
        outside = sorted({path.partition("/")[0] for path in paths} - {"train", test})
        others = f"; {listed(outside)} beside them ignored" if outside else ""
        return splits, f"by the subfolders train and {test}{others}"

    def draw(path: str) -> float:
        digest = hashlib.blake2b(f"{seed}:{path}".encode(errors="surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    drawn = {path: draw(path) for path in paths}
    chosen = {path for path in paths if drawn[path] < test_fraction}
    if len(paths) > 1 and test_fraction:  # neither split of a small folder is empty
        chosen.add(min(paths, key=drawn.__getitem__))
        chosen.discard(max(paths, key=drawn.__getitem__))
    splits = {"train": [p for p in paths if p not in chosen], "test": [p for p in paths if p in chosen]}
    return splits, f"by a hash of each path with seed {seed}"


def _test_folder(paths: Iterable[str]) -> str | None:
    """Return the subfolder with the test images if subfolders split the images, or None."""
    tops = {path.partition("/")[0] for path in paths if "/" in path}
    return next((name for name in _TEST_FOLDERS if name in tops), None) if "train" in tops else None


def below_shared(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the folders that all images share, and the path of each image below these folders.

    The folders of the two splits are in neither.

    Args:
        paths: Paths of images, relative to their folder.
    """
    inner = [path.partition("/")[2] for path in paths] if _test_folder(paths) else list(paths)
    shared = []
    while len({path.partition("/")[0] for path in inner}) == 1 and all("/" in path for path in inner):
        shared.append(inner[0].partition("/")[0])  # the only folder, such as a `train` without a `test`
        inner = [path.partition("/")[2] for path in inner]
    return shared, inner


def _labels(paths: list[str]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Return the label of each image and the names of the classes, or None if subfolders do not tell them."""
    _, inner = below_shared(paths)
    names = sorted({path.partition("/")[0] for path in inner})
    if len(names) < 2 or not all("/" in path for path in inner):
        return None, None
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[path.partition("/")[0]] for path in inner], "int64"), tuple(names)


# === Decoding ===


def _headers(folder: Path, paths: list[str]) -> tuple[list[_Image], dict[str, str]]:
    """Return what the headers of the files say, and why some cannot be read, by path."""
    images = []
    corrupt = {}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read = pool.map(functools.partial(_header, folder), paths)
        for path, found in zip(paths, _progress(read, len(paths), "Reading headers"), strict=True):
            if isinstance(found, _Image):
                images.append(found)
            else:
                corrupt[path] = found
    return images, corrupt


def _header(folder: Path, path: str) -> _Image | str:
    """Return what the header of a file says, or why it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    file = folder / path
    try:
        if not file.stat().st_size:
            return "is empty"
        with Image.open(file) as image:
            # Without EXIF data in the header, Pillow would decode a PNG file to look for them at its end.
            tagged = image.format == "JPEG" or (image.format == "PNG" and "exif" in image.info)
            turned = image.getexif().get(0x0112, 1) if tagged else 1
            width, height = image.size[::-1] if turned > 4 else image.size
            gray = image.mode in _GRAY_MODES
            transparent = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
            decoder = _PILLOW
            if turned == 1 and image.format == "JPEG" and image.mode in ("L", "RGB"):
                decoder = _JPEG
            elif turned == 1 and image.format == "PNG":
                decoder = _PNG_ALPHA if transparent else _PNG_GRAY if gray else _PNG
            return _Image(path, decoder, (height, width), gray or image.mode in ("LA", "La"), transparent)
    except UnidentifiedImageError:
        return "is not an image of a known format"
    except OSError as error:
        return error.strerror or "is corrupt or truncated"
    except Exception as error:  # a broken file makes its decoder raise anything
        return str(error) or type(error).__name__


def _by_pillow(path: bytes) -> np.ndarray:
    """Return the pixels of the first frame of an image, upright, on white, uint8 of 1 or 3 channels."""
    from PIL import Image, ImageOps

    with Image.open(os.fsdecode(path)) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
            pixels: np.ndarray = on_white(np.asarray(image.convert("RGBA"), "float32"))
            return np.round(pixels).astype("uint8")
        return np.atleast_3d(np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB")))


def _decode(decoder: int, path: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """Return the image in a file, uint8 (*size, channels)."""
    if decoder == _PILLOW:
        pixels = tf.numpy_function(_by_pillow, [path], tf.uint8)
        pixels.set_shape((None, None, None))
    elif decoder == _JPEG:
        pixels = _decode_jpeg(tf.io.read_file(path), channels)
    else:
        stored = {_PNG_GRAY: 1, _PNG: 3, _PNG_ALPHA: 4}[decoder]
        pixels = tf.io.decode_png(tf.io.read_file(path), channels=stored)
        if decoder == _PNG_ALPHA:
            pixels = on_white(tf.cast(pixels, tf.float32))
    return tf.cast(_colored(_fitted(pixels, size), channels), tf.uint8)


def _decode_jpeg(content: Tensor, channels: int) -> Tensor:
    """Decode as Pillow does: the images in training are those that a user reads for a served model."""
    return tf.io.decode_jpeg(content, channels=channels, dct_method="INTEGER_ACCURATE")


def _fitted(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Do for one image what `ImagePreprocessing` does, faster: export formats do not have this operation."""
    shape = tf.cast(tf.shape(pixels)[:2], tf.float32)
    scale = tf.reduce_max(tf.constant(size, tf.float32) / shape)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=size,
        scale=tf.stack([scale, scale]),
        translation=(tf.constant(size, tf.float32) - shape * scale) / 2,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.clip_by_value(tf.round(resized), 0.0, 255.0)


def _colored(pixels: Tensor, channels: int) -> Tensor:
    """Return one image with so many channels."""
    height, width = pixels.shape[:2]
    stored = pixels.shape[2]
    if channels == 3:
        return tf.broadcast_to(pixels, (height, width, 3))
    if stored is None:  # read by Pillow: 1 or 3 channels
        return tf.cond(tf.shape(pixels)[2] == 1, lambda: pixels[..., :1], lambda: _gray(pixels))
    return pixels if stored == 1 else _gray(pixels)


def _gray(pixels: Tensor) -> Tensor:
    """Return a color image in gray, as Pillow and JPEG do."""
    return tf.ensure_shape(tf.round(tf.tensordot(pixels, tf.constant(LUMA), 1))[..., None], (*pixels.shape[:2], 1))


def _pixels(
    folder: Path, images: Sequence[_Image], drawn: tf.data.Dataset, *, size: tuple[int, int], channels: int
) -> tf.data.Dataset:
    """Return the images of the numbers in a data set, decoded in parallel, uint8 (*size, channels)."""
    paths = tf.constant([os.fsencode(folder / image.path) for image in images])
    used = sorted({image.decoder for image in images})
    kinds = tf.constant([used.index(image.decoder) for image in images])
    unchanged = size if all(image.size == size for image in images) else None

    def load(i: Tensor) -> Tensor:
        path = tf.gather(paths, i)
        branches = [functools.partial(_decode, decoder, path, size, channels) for decoder in used]
        if len(used) > 1:
            pixels = tf.switch_case(tf.gather(kinds, i), branches)
        elif unchanged and used[0] in (_JPEG, _PNG_GRAY, _PNG):
            pixels = _as_stored(used[0], path, channels)
        else:
            pixels = branches[0]()
        return tf.ensure_shape(pixels, (*size, channels))

    return drawn.map(load, num_parallel_calls=tf.data.AUTOTUNE)


def _as_stored(decoder: int, path: Tensor, channels: int) -> Tensor:
    """Return the image in a file that has the size of a sample already, uint8."""
    content = tf.io.read_file(path)
    if decoder == _JPEG:
        return _decode_jpeg(content, channels)
    pixels = tf.io.decode_png(content, channels=1 if decoder == _PNG_GRAY else 3)
    return tf.cast(_gray(tf.cast(pixels, tf.float32)), tf.uint8) if channels == 1 and decoder == _PNG else pixels


def _decoded(
    images: list[_Image], read: Callable[..., tf.data.Dataset], shape: tuple[int, ...], memory: int
) -> tuple[list[_Image], Tensor | None, dict[str, str]]:
    """Decode every image once.

    Returns:
        The images that can be decoded; their pixels if they fit into `memory` bytes, else None; and why the others
        cannot be decoded, by path.
    """
    if not images:
        return [], None, {}
    kept = int(np.prod(shape)) * len(images) <= memory
    pixels = np.empty((len(images), *shape), "uint8") if kept else None
    good: list[_Image] = []
    corrupt = {}
    batches = iter(read(images, tf.data.Dataset.range(len(images))))
    for image in _progress(images, len(images), "Checking images"):
        try:
            decoded = next(batches)
        except tf.errors.OpError:  # the next call returns the next image
            corrupt[image.path] = "is corrupt or truncated"
            continue
        if pixels is not None:
            pixels[len(good)] = decoded
        good.append(image)
    return good, None if pixels is None else tf.constant(pixels[: len(good)]), corrupt


# === Messages ===


def _one_size(images: list[_Image]) -> tuple[int, int]:
    """Return the size that all images have, or raise an error that names those that differ."""
    sizes = collections.Counter(image.size for image in images)
    usual = sizes.most_common(1)[0][0]
    if len(sizes) > 1:
        others = [f"{image.path} ({_times(image.size)})" for image in images if image.size != usual]
        raise ValueError(
            f"{len(others)} of {len(images)} images differ in size from the others, {_times(usual)}: "
            f"{listed(others)}. Pass image_size={usual}, or another size, to crop and resize all images."
        )
    return usual


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"


def _counted(things: Any, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"


def _reasons(corrupt: dict[str, str]) -> list[str]:
    return [f"{path} ({reason})" for path, reason in sorted(corrupt.items())]


def _progress(items: Iterable[Any], total: int, doing: str) -> Iterable[Any]:
    """Show progress on stderr once it takes more than two seconds."""
    return tqdm.tqdm(items, doing, total=total, delay=2, unit=" images", leave=False)


def _summary(
    folder: Path,
    images: list[_Image],
    numbers: dict[str, np.ndarray],
    how: str,
    preprocessing: ImagePreprocessing,
    labels: np.ndarray | None,
    class_names: tuple[str, ...] | None,
    corrupt: dict[str, str],
    ignored: list[str],
    pixels: Tensor | None,
) -> str:
    """Describe what was read."""
    train, test = len(numbers["train"]), len(numbers["test"])
    lines = [f"{folder}: {_counted(images, 'image')}, {train:,} for training and {test:,} for testing, split {how}."]
    sizes = [image.size for image in images]
    if set(sizes) != {preprocessing.image_size}:
        ends = sorted(set(sizes), key=lambda size: (size[0] * size[1], size))
        found = f"Sizes: {_times(ends[0])} to {_times(ends[-1])}" if len(ends) > 1 else f"Size: {_times(ends[0])}"
        lines.append(f"{found} (height × width).")
    lines.append(preprocessing.summary)
    if transparent := sum(image.transparent for image in images):
        lines.append(f"Transparent images, put on white: {transparent:,}.")
    if labels is not None and class_names is not None:
        counts = np.bincount(labels, minlength=len(class_names))
        named = [f"{name} ({count:,})" for name, count in zip(class_names, counts, strict=True)]
        lines.append(f"Classes: {listed(named, 20)}.")
    if corrupt:
        lines.append(f"Left out, since they cannot be decoded: {listed(_reasons(corrupt), 20)}.")
    if ignored:
        lines.append(f"Ignored, since they are not images: {listed(ignored)}.")
    if pixels is None:
        lines.append("Each epoch reads the files again, since the images need more memory than allowed.")
    return "\n".join(lines)
