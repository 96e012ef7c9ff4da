"""Looking at a model while it trains."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from aezoo import checks

__all__ = ["PlotEvery"]


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
