"""Image data sets of TensorFlow Datasets (TFDS)."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from aezoo import _keras
from aezoo.datasets import bundled
from aezoo.datasets.source import Source

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_DOWNLOAD_RETRIES = 3

# Data sets whose raw value of a pixel of 1.0 is not the largest value of the dtype.
_LIMITS = {"binarized_mnist": 1}


def _builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = [*bundled.NAMES, *tfds.list_builders(with_community_datasets=False)]
        close = difflib.get_close_matches(name.partition("/")[0].partition(":")[0], known)
        hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"Unknown data set {name!r}: neither {' nor '.join(map(repr, bundled.NAMES))} nor one of "
            f"TensorFlow Datasets.{hint}"
        ) from None
    except AssertionError as error:  # TFDS raises it for a version that it does not have
        raise ValueError(f"Cannot open the data set {name!r}: {error}") from error


def _prepare(builder: tfds.core.DatasetBuilder, name: str, data_dir: str, manual_dir: str | None) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    try:
        builder.download_and_prepare(download_config=config)
    except ImportError:  # a package is missing, not the data
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if len(reason) > 300:
            reason = reason[:300] + "..."
        originals = (
            f"the original files in manual_dir={manual_dir!r} did not suffice to prepare it"
            if manual_dir
            else "no manual_dir was given"
        )
        raise FileNotFoundError(
            f"The data set {name!r} is not prepared in {data_dir!r}, {originals}, and downloading and "
            f"preparing it failed ({reason}). Set the environment variable TFDS_DATA_DIR (or pass data_dir) "
            "to a folder with the prepared data, or pass manual_dir, a folder with the original files under "
            "their names on the web."
        ) from error


def _image_key(builder: tfds.core.DatasetBuilder, name: str) -> str:
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = list(features) if isinstance(features, tfds.features.FeaturesDict) else []
    # Masks and depth maps are images too, so try the input that the data set declares first.
    for key in [*(builder.info.supervised_keys or ())[:1], "image", *names]:
        if key in names and isinstance(features[key], tfds.features.Image):
            return key
    raise ValueError(
        f"The data set {name!r} has no image feature; it has {', '.join(names) or features}: choose another."
    )


def _label_key(builder: tfds.core.DatasetBuilder) -> str | None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    for key in [*(builder.info.supervised_keys or ())[1:2], "label"]:
        if key in features and isinstance(features[key], tfds.features.ClassLabel):
            return key
    return None


def _data_dir(data_dir: str | os.PathLike[str] | None) -> str:
    # Read the variable on each call: TFDS reads it only once, at import.
    return os.path.expanduser(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def is_prepared(name: str, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Return whether a data set is prepared, so that it can be read without original files and without a network.

    Args:
        name: As in `tensorflow_datasets`.
        data_dir: As in `tensorflow_datasets`.

    Raises:
        ValueError: If there is no such data set.
    """
    with _keras.tfds_gives_up_early(_DOWNLOAD_RETRIES):
        return _builder(name, _data_dir(data_dir)).data_path.exists()


def tensorflow_datasets(
    name: str, data_dir: str | os.PathLike[str] | None = None, manual_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Open an image data set of TFDS; prepare it first if necessary.

    Args:
        name: Name in TFDS, optionally with a configuration and a version: `"emnist/letters:3.1.0"`.
        data_dir: Folder of prepared data. None takes `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.
        manual_dir: Folder with original files, which are then not downloaded.

    Returns:
        The source of its images.

    Raises:
        ValueError: If there is no such data set, or it has no images that can be scaled to [0, 1].
        FileNotFoundError: If it is not prepared and cannot be prepared.
    """
    import tensorflow_datasets as tfds

    data_dir = _data_dir(data_dir)
    manual_dir = os.path.expanduser(manual_dir) if manual_dir else None
    with _keras.tfds_gives_up_early(_DOWNLOAD_RETRIES):
        builder = _builder(name, data_dir)
        image_key, label_key = _image_key(builder, name), _label_key(builder)
        feature = builder.info.features[image_key]
        if not np.issubdtype(feature.np_dtype, np.integer):
            raise ValueError(
                f"The images of {name!r} are {feature.np_dtype.__name__}, whose range is unknown: choose "
                "a data set whose images are integers."
            )
        if not builder.data_path.exists():
            _prepare(builder, name, data_dir, manual_dir)

    keys = [image_key, label_key] if label_key else [image_key]
    others = set(builder.info.features) - set(keys)

    def read(split: str, shuffle_files: bool, seed: int | None) -> tf.data.Dataset:
        options = tf.data.Options()
        options.deterministic = True
        config = tfds.ReadConfig(
            options=options,
            shuffle_seed=seed,
            try_autocache=False,
            skip_prefetch=True,
            # Read one file at a time: each open file has a buffer, so memory would grow with the number of files.
            # TFDS shuffled the records across files when it wrote them, so this order is as good as any.
            interleave_cycle_length=1,
            num_parallel_calls_for_interleave_files=1,
            override_buffer_size=2**20,
            enable_ordering_guard=False,
        )
        dataset = builder.as_dataset(
            split=split,
            shuffle_files=shuffle_files,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)) if others else None,
        )
        return dataset.map(lambda example: tuple(example[key] for key in keys))

    return Source(
        name=name,
        shape=tuple(feature.shape),
        limit=_LIMITS.get(builder.name, np.iinfo(feature.np_dtype).max),
        has_labels=label_key is not None,
        splits={split: info.num_examples for split, info in builder.info.splits.items()},
        read=read,
    )
