"""Callbacks for `fit`: draw a model while it trains, show its codes, and resume an interrupted training."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _files, _keras, _validation
from aezoo._typing import Data, Logs
from aezoo.saving import resume
from aezoo.training import distribution, inference

__all__ = ["BackupAndRestore", "PlotEvery", "Projector"]

# The largest sprite that TensorBoard shows, in pixels per side.
_LARGEST_SPRITE = 8192


class PlotEvery(keras.callbacks.Callback):
    """Callback that draws the model every n epochs, to files and optionally for TensorBoard.

    Other epochs have no overhead, and figures are closed after they are written. If `draw` uses the model's own random
    state (`sample` without a seed), the random numbers of the following training steps change.

    Args:
        draw: A function from the model to a Matplotlib figure: `aezoo.plots.filters`, or
            `lambda model: aezoo.plots.reconstructions(model, x_test)`.
        folder: Folder of the pictures, such as epoch-0005.png after 5 epochs. Existing pictures are overwritten.
        every: n, at least 1.
        tensorboard: A folder of event files for TensorBoard, such as a subfolder of the `log_dir` of
            `keras.callbacks.TensorBoard`, or None. TensorBoard shows the pictures under the name of `folder`. The
            package tensorboard is required to view them, not to write them.

    Raises:
        ValueError: If `draw` is not a function or n is not an integer of at least 1; when drawing, if `draw` does not
            return a figure. Errors in `draw` end the training.
        OSError: If a picture cannot be written; an existing picture is then unchanged.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import aezoo
        >>> x = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
        >>> model = aezoo.Autoencoder(latent_dim=4)
        >>> model.compile(optimizer="adam")
        >>> folder = Path(tempfile.mkdtemp())
        >>> watch = PlotEvery(lambda model: aezoo.plots.reconstructions(model, x), folder, every=2)
        >>> history = model.fit(x, epochs=5, callbacks=[watch], verbose=0)
        >>> sorted(path.name for path in folder.iterdir())
        ['epoch-0002.png', 'epoch-0004.png']
    """

    def __init__(
        self,
        draw: Callable[[Any], Any],
        folder: str | os.PathLike[str],
        every: int = 1,
        *,
        tensorboard: str | os.PathLike[str] | None = None,
    ):
        super().__init__()
        if not callable(draw):
            raise ValueError(
                f"draw must be a function from the model to a figure, such as aezoo.plots.filters, not {draw!r}."
            )
        self.draw = draw
        self.folder = Path(folder)
        self.every = _validation.check_int("every", every, 1)
        self.tensorboard = tensorboard
        self._writer: Any = None

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.png"

    def on_train_begin(self, logs: Logs = None) -> None:
        """Check before the first epoch that pictures can be written."""
        _files.check(self._path(0))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Draw after every n-th epoch; Keras counts epochs from 0."""
        finished = epoch + 1
        if finished % self.every:
            return
        figure = self.draw(self.model)
        if not hasattr(figure, "savefig"):
            raise ValueError(f"draw must return a matplotlib figure, but it returned {type(figure).__name__}.")
        picture = io.BytesIO()
        try:
            figure.savefig(picture, format="png")
        finally:
            # A figure of pyplot stays in memory until it is closed; others are freed with their last reference.
            if "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close(figure)
        with _files.atomic_write(self._path(finished)) as unfinished:
            unfinished.write_bytes(picture.getvalue())
        if self.tensorboard is not None:
            self._show(picture.getvalue(), finished)

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the event file of TensorBoard."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _show(self, png: bytes, step: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(os.fspath(self.tensorboard or ""))
        # In the format of tf.summary.image, which requires the package tensorboard: width and height (bytes 16 to 23
        # of a PNG file) and the file.
        width, height = (str(int.from_bytes(png[i : i + 4], "big")).encode() for i in (16, 20))
        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images")
        with self._writer.as_default():
            metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind)
            tf.summary.write(self.folder.name, tf.constant([width, height, png]), step, metadata)
        self._writer.flush()


class Projector(keras.callbacks.Callback):
    """Callback that writes codes for TensorBoard's embedding projector, which shows them in two or three dimensions.

    It writes the codes, codes-0005.tsv after 5 epochs; the labels, metadata.tsv; a picture of each sample, sprite.png,
    if the samples are images; and projector_config.pbtxt, which names these files. `tensorboard --logdir FOLDER` then
    has a tab Projector. The package tensorboard is required to view the files, not to write them.

    Files of an earlier training are overwritten. Codes with several axes are flattened. Sprites have at most 8192
    pixels per side; the pictures of many samples are scaled down to fit.

    Args:
        folder: Folder of the files, such as the `log_dir` of `keras.callbacks.TensorBoard`.
        x: Samples, (n, *input_shape), or other data that `encode` accepts. They are read when training begins and kept
            in memory: give some thousands.
        labels: n labels; or several columns of them, a dict or a DataFrame. None writes no labels.
        every: n writes the codes after every n-th epoch and after the last; None after the last epoch only. TensorBoard
            lists them as "codes after 5 epochs".
        images: Whether to write a picture of each sample, if samples are images of 1, 3 or 4 channels. Values are
            expected in [0, 1]; images that a model's preprocessing can restore are shown as they were.

    Raises:
        ValueError: If n of `every` is not an integer of at least 1; in `fit`, before the first epoch, if the samples do
            not fit the model, or the number of labels differs from the number of samples.
        OSError: If a file cannot be written.

    Source:
        D. Smilkov et al., Embedding Projector: interactive visualization and interpretation of embeddings, 2016.

    Example:
        >>> import tempfile, aezoo
        >>> (x_train, _), (x_test, y_test) = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(16)
        >>> model.compile(optimizer="adam")
        >>> folder = Path(tempfile.mkdtemp())
        >>> projector = aezoo.callbacks.Projector(folder, x_test, y_test)
        >>> history = model.fit(x_train, epochs=2, verbose=0, callbacks=[projector])
        >>> sorted(path.name for path in folder.iterdir())
        ['codes-0002.tsv', 'metadata.tsv', 'projector_config.pbtxt', 'sprite.png']
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        x: Data,
        labels: Iterable[Any] | Mapping[str, Iterable[Any]] | None = None,
        *,
        every: int | None = None,
        images: bool = True,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.x = x
        self.labels = labels
        self.every = None if every is None else _validation.check_int("every", every, 1)
        self.images = images
        self._files: list[tuple[str, str]] = []  # names that TensorBoard shows, and files
        self._finished = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Read the samples, and write what does not change during training."""
        self._samples, self._conditions = inference.collected(self.model, self.x)
        n = len(self._samples)
        metadata = None if self.labels is None else _metadata(self.labels, n)
        pictures = self._pictures() if self.images else None
        self._files, self._finished, self._common = [], 0, ""
        if not distribution.is_chief(self.model.distribute_strategy):
            return
        if metadata is not None:
            self._write("metadata.tsv", metadata.encode())
            self._common += '  metadata_path: "metadata.tsv"\n'
        if pictures is not None:
            sprite, (height, width) = _sprite(pictures)
            self._write("sprite.png", tf.io.encode_png(sprite).numpy())
            self._common += (
                f'  sprite {{\n    image_path: "sprite.png"\n    single_image_dim: {width}\n'
                f"    single_image_dim: {height}\n  }}\n"
            )
        _files.check(self.folder / "projector_config.pbtxt")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the codes after every n-th epoch; Keras counts epochs from 0."""
        self._finished = epoch + 1
        if self.every is not None and self._finished % self.every == 0:
            self._write_codes()

    def on_train_end(self, logs: Logs = None) -> None:
        """Write the codes after the last epoch, and release the samples."""
        if self._finished and self._codes_file() not in (path for _, path in self._files):
            self._write_codes()
        del self._samples, self._conditions

    def _codes_file(self) -> str:
        return f"codes-{self._finished:04d}.tsv"

    def _write(self, name: str, content: bytes) -> None:
        with _files.atomic_write(self.folder / name) as unfinished:
            unfinished.write_bytes(content)

    def _write_codes(self) -> None:
        if not distribution.is_chief(self.model.distribute_strategy):
            return
        codes = np.asarray(self.model.encode(self._samples, **self._conditions), "float32")
        text = io.StringIO()
        np.savetxt(text, codes.reshape(len(codes), -1), fmt="%.9g", delimiter="\t")  # 9 digits are exact
        self._write(self._codes_file(), text.getvalue().encode())
        epochs = "1 epoch" if self._finished == 1 else f"{self._finished} epochs"
        self._files.append((f"codes after {epochs}", self._codes_file()))
        config = "".join(
            f'embeddings {{\n  tensor_name: "{name}"\n  tensor_path: "{path}"\n{self._common}}}\n'
            for name, path in self._files
        )
        self._write("projector_config.pbtxt", config.encode())

    def _pictures(self) -> np.ndarray | None:
        """Return the samples as images, (n, height, width, channels) uint8; None if they are no images."""
        preprocessing = self.model.preprocessing
        pictures = self._samples if preprocessing is None else preprocessing.restore(self._samples)
        if not isinstance(pictures, np.ndarray) or pictures.ndim != 4 or pictures.shape[-1] not in (1, 3, 4):
            return None
        if pictures.dtype == np.uint8:
            return pictures
        return np.rint(255 * np.nan_to_num(pictures.astype("float32")).clip(0, 1)).astype("uint8")


def _metadata(labels: Any, n: int) -> str:
    """Return labels of n samples as TensorBoard reads them: one per line, columns with a header if there are several.

    Args:
        labels: Labels; or several columns of them, a dict or a DataFrame.
        n: Number of samples.

    Raises:
        ValueError: If there are not n labels.
    """
    named = isinstance(labels, Mapping) or hasattr(labels, "columns")
    columns = {str(name): list(labels[name]) for name in labels} if named else {"label": list(labels)}
    for name, column in columns.items():
        if len(column) != n:
            raise ValueError(f"There are {n} samples, but {len(column)} labels in {name!r}: give one label per sample.")
    rows = [*([columns] if len(columns) > 1 else []), *zip(*columns.values(), strict=True)]
    return "".join("\t".join(" ".join(str(cell).split()) or "-" for cell in row) + "\n" for row in rows)


def _sprite(pictures: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return pictures side by side, row by row, in a grid that is about square; and the height and width of one."""
    n, height, width, channels = pictures.shape
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    scale = _LARGEST_SPRITE / (across * max(height, width))
    if scale < 1:
        height, width = (max(1, int(size * scale)) for size in (height, width))
        smaller = tf.image.resize(pictures, (height, width), method="area")
        pictures = np.rint(smaller).astype("uint8")
    grid = np.zeros((down * across, height, width, channels), "uint8")
    grid[:n] = pictures
    rows = grid.reshape(down, across, height, width, channels).swapaxes(1, 2)
    return rows.reshape(down * height, across * width, channels), (height, width)


class BackupAndRestore(keras.callbacks.Callback):
    """Callback that saves training after each epoch; re-run an interrupted `fit` to resume after its last full epoch.

    Unlike Keras' callback of the same name, it writes one file, which is either complete or absent. Under a strategy
    with several processes only one of them writes, to a folder that all processes must share. The backup contains the
    complete state of the model: weights, optimizer, schedules, chains and random state. It does not contain the order
    of the samples of an array, which is drawn anew. A training with a different model, optimizer, loss, number of steps
    or data is not resumed, and the error names the difference.

    Args:
        backup_dir: Folder of the backup, one per call of `fit`. Other files in it are not changed.
        delete_checkpoint: Whether to delete the backup at the end of training.

    Raises:
        ValueError: In `fit`, if the folder contains the backup of another training, or only some processes can see it.
        OSError: In `fit`, if the backup cannot be written.

    Example:
        >>> import tempfile, aezoo
        >>> (x_train, _), _ = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(16)
        >>> model.compile(optimizer="adam")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = model.fit(x_train, verbose=0, callbacks=[aezoo.callbacks.BackupAndRestore(folder)])
    """

    def __init__(self, backup_dir: str | os.PathLike[str], delete_checkpoint: bool = True):
        super().__init__()
        self.folder = Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint
        self.data: dict[str, Any] | None = None
        """Description of the data from `aezoo.Autoencoder.fit`; None for other models."""

    def take_data(self, x: Data) -> None:
        """Record the training data. `aezoo.Autoencoder.fit` calls this method; other models do not.

        Args:
            x: Samples, as passed to `fit`.
        """
        self.data = resume.data(x)

    def _run(self) -> dict[str, Any]:
        """Return the properties that must match for a training to be resumed."""
        run = {**resume.architecture(self.model), **resume.compilation(self.model)}
        if not distribution.several(self.model.distribute_strategy):  # else each process may have its own data
            run |= {"data": self.data, "steps": (self.params or {}).get("steps")}
        return resume.plain(run)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._state = resume.TrainingState(
            self.folder / "backup.weights.h5", self._run(), "delete it to start anew, or choose another backup_dir"
        )
        if saved := self._state.restore(self.model):
            _keras.begin_at(self.model, saved["epoch"])

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        _keras.begin_at(self.model, None)  # otherwise the model's next `fit` would begin there, too

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._state.save(self.model, epoch + 1)

    def on_train_end(self, logs: Logs = None) -> None:
        _keras.begin_at(self.model, None)
        if self.delete_checkpoint and distribution.is_chief(self.model.distribute_strategy):
            self._state.remove()
