"""Callbacks for `fit`: looking at a model while it trains, and going on after it was killed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from aezoo import _files, _keras, _validation
from aezoo._typing import Data, Logs
from aezoo.saving import resume
from aezoo.training import distribution

__all__ = ["BackupAndRestore", "PlotEvery"]


class PlotEvery(keras.callbacks.Callback):
    """Draws the model every n epochs, into files and, where asked for, for TensorBoard.

    The other epochs cost nothing. A figure is closed once it is written. A drawing that samples from the model with its
    own random numbers (`sample` without a seed) changes those that training draws next.

    Args:
        draw: A function from the model to a matplotlib figure: `aezoo.plots.filters`, or
            `lambda model: aezoo.plots.reconstructions(model, x_test)`.
        folder: Where the pictures go, as epoch-0005.png after 5 epochs; those that are there are written over.
        every: n, at least 1.
        tensorboard: A folder to write to for TensorBoard, such as a subfolder of the `log_dir` of
            `keras.callbacks.TensorBoard`, or None. The pictures have the name of `folder` there. The package
            tensorboard is needed to look at them, not to write them.

    Raises:
        ValueError: If `draw` is no function, or n no whole number of at least 1; and when drawing, if `draw` returns no
            figure. What `draw` raises ends the training.
        OSError: If a picture cannot be written; one that is there already is then as it was.

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
                f"draw must be a function from the model to a figure, aezoo.plots.filters say, not {draw!r}."
            )
        self.draw = draw
        self.folder = Path(folder)
        self.every = _validation.check_int("every", every, 1)
        self.tensorboard = tensorboard
        self._writer: Any = None

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.png"

    def on_train_begin(self, logs: Logs = None) -> None:
        """Checks that pictures can be written, before the first epoch."""
        _files.check(self._path(0))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Draws after each n-th epoch; Keras counts them from 0."""
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
            # A figure of pyplot stays in memory until it is closed; others go with their last name.
            if "matplotlib.pyplot" in sys.modules:
                sys.modules["matplotlib.pyplot"].close(figure)
        with _files.atomic_write(self._path(finished)) as unfinished:
            unfinished.write_bytes(picture.getvalue())
        if self.tensorboard is not None:
            self._show(picture.getvalue(), finished)

    def on_train_end(self, logs: Logs = None) -> None:
        """Closes the file of TensorBoard."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _show(self, png: bytes, step: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(os.fspath(self.tensorboard or ""))
        # As tf.summary.image, which needs the package tensorboard, writes it: the width and the height, bytes 16 to 23
        # of a PNG file, and the file.
        width, height = (str(int.from_bytes(png[i : i + 4], "big")).encode() for i in (16, 20))
        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images")
        with self._writer.as_default():
            metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind)
            tf.summary.write(self.folder.name, tf.constant([width, height, png]), step, metadata)
        self._writer.flush()


class BackupAndRestore(keras.callbacks.Callback):
    """Saves a training after each epoch; started again after it was killed, it resumes after the last finished one.

    Unlike Keras' callback of this name it writes one file, that is either complete or absent, and under a strategy of
    several processes writes it once: the folder must then be one that all of them see. Nothing of the model is lost:
    weights, optimizer, schedules, chains and random state. The order of the samples of an array is not part of a
    model, and starts anew. A training with another model, optimizer, loss, number of steps or data is not resumed: what
    differs is said.

    Args:
        backup_dir: The folder of the backup, of this one `fit` and no other. What else is in it is left alone.
        delete_checkpoint: Whether the backup is deleted when the training has come to its end.

    Raises:
        ValueError: In `fit`, if the folder holds the backup of another training, or one that only some processes see.
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
        """What `aezoo.Autoencoder.fit` says of its data; other models do not say it."""

    def take_data(self, x: Data) -> None:
        """Note what data a model is fitted to; `aezoo.Autoencoder.fit` calls this, other models do not.

        Args:
            x: The samples, as `fit` is given them.
        """
        self.data = resume.data(x)

    def _run(self) -> dict[str, Any]:
        """What must be the same for a training to be resumed."""
        run = {**resume.architecture(self.model), **resume.compilation(self.model)}
        if not distribution.several(self.model.distribute_strategy):  # where each process may have a part of its own
            run |= {"data": self.data, "steps": (self.params or {}).get("steps")}
        return resume.plain(run)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._state = resume.TrainingState(
            self.folder / "backup.weights.h5", self._run(), "delete it to start anew, or choose another backup_dir"
        )
        if saved := self._state.restore(self.model):
            _keras.begin_at(self.model, saved["epoch"])

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        _keras.begin_at(self.model, None)  # else the model's next `fit` would begin there too

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._state.save(self.model, epoch + 1)

    def on_train_end(self, logs: Logs = None) -> None:
        _keras.begin_at(self.model, None)
        if self.delete_checkpoint and distribution.is_chief(self.model.distribute_strategy):
            self._state.remove()
