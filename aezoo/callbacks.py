"""Callbacks for `fit`: looking at a model while it trains, and going on after it was killed."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from aezoo import checks, workers

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
        folder: str | os.PathLike,
        every: int = 1,
        *,
        tensorboard: str | os.PathLike | None = None,
    ):
        super().__init__()
        if not callable(draw):
            raise ValueError(
                f"draw must be a function from the model to a figure, aezoo.plots.filters say, not {draw!r}."
            )
        self.draw = draw
        self.folder = Path(folder)
        self.every = checks.whole("every", every, 1)
        self.tensorboard = tensorboard
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
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
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"epoch-{finished:04d}.png").write_bytes(picture.getvalue())
        if self.tensorboard is not None:
            self._show(picture.getvalue(), finished)

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the file of TensorBoard."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _show(self, png: bytes, step: int) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(os.fspath(self.tensorboard))
        # As tf.summary.image, which needs the package tensorboard, writes it: the width and the height, bytes 16 to 23
        # of a PNG file, and the file.
        width, height = (str(int.from_bytes(png[i : i + 4], "big")).encode() for i in (16, 20))
        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images")
        with self._writer.as_default():
            metadata = tf.compat.v1.SummaryMetadata(plugin_data=kind)
            tf.summary.write(self.folder.name, tf.constant([width, height, png]), step, metadata)
        self._writer.flush()


class BackupAndRestore(keras.callbacks.Callback):
    """Saves a training after each epoch; started again after it was killed, it goes on after the last finished one.

    Unlike Keras' callback of this name it writes one file, that is either complete or absent, and under a strategy of
    several processes writes it once: the folder must then be one that all of them see. Nothing of the model is lost:
    weights, optimizer, schedules, chains and random state. The order of the samples of an array is not part of a
    model, and starts anew.

    Args:
        backup_dir: The folder of the backup, of this one `fit` and no other.
        delete_checkpoint: Whether the backup is deleted when the training has come to its end.

    Raises:
        ValueError: In `fit`, if the folder holds the backup of another model, or one that only some processes see.

    Example:
        >>> import tempfile, aezoo
        >>> (x_train, _), _ = aezoo.datasets.load("digits")
        >>> model = aezoo.Autoencoder(16)
        >>> model.compile(optimizer="adam")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = model.fit(x_train, verbose=0, callbacks=[aezoo.callbacks.BackupAndRestore(folder)])
    """

    def __init__(self, backup_dir: Any, delete_checkpoint: bool = True):
        super().__init__()
        self.folder = Path(backup_dir)
        self.delete_checkpoint = delete_checkpoint

    def _backups(self) -> dict[int, Path]:
        """The files by the number of epochs of this `fit` that were finished, which their names say, the last last."""
        found = {int(path.name.split("-")[1].split(".")[0]): path for path in self.folder.glob("epoch-*.weights.h5")}
        return dict(sorted(found.items()))

    def on_train_begin(self, logs: Any = None) -> None:
        strategy = self.model.distribute_strategy
        workers.wait_for_chief(strategy)  # which may still be deleting those of a training before
        backups = self._backups()
        finished = max(backups, default=0)
        chief = workers.from_chief(strategy, finished)
        if finished != chief:
            raise ValueError(
                f"This process finds a backup of {finished} epochs and the chief one of {chief}: backup_dir "
                f"({str(self.folder)!r}) must be a folder that all processes see."
            )
        if not backups:
            return
        with strategy.scope():
            self.model.optimizer.build(self.model.trainable_variables)
        try:
            self.model.load_weights(backups[finished])
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{str(backups[finished])!r} is damaged, or the backup of another model: delete it to start anew."
            ) from error
        self.model._initial_epoch = finished  # where Keras' own callback puts it

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._initial_epoch = None  # else the model's next `fit` would begin there too

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        strategy = self.model.distribute_strategy
        with workers.written_once(strategy, self.folder / f"epoch-{epoch + 1}.weights.h5") as unfinished:
            self.model.save_weights(unfinished)
        if workers.is_chief(strategy):
            self._delete(list(self._backups().values())[:-1])

    def on_train_end(self, logs: Any = None) -> None:
        self.model._initial_epoch = None
        if self.delete_checkpoint and workers.is_chief(self.model.distribute_strategy):
            self._delete(self._backups().values())

    def _delete(self, paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
