"""Callbacks for `fit`: draw a model while it trains, and resume an interrupted training."""

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
