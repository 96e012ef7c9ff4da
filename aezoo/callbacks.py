"""Callbacks for `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from aezoo import workers


class BackupAndRestore(keras.callbacks.Callback):
    """Saves a training after each epoch; started again after it was killed, it goes on after the last finished one.

    Unlike Keras' callback of this name it writes one file, that is either complete or absent, and under a strategy of
    several processes writes it once: the folder must then be one that all of them see. Nothing of the model is lost:
    weights, optimizer, schedules, chains and random state. The order of the samples of an array is not part of a
    model, and starts anew.

    Args:
        backup_dir: The folder of the backup.
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
        self.path = Path(backup_dir) / "latest.weights.h5"
        self.delete_checkpoint = delete_checkpoint

    def on_train_begin(self, logs: Any = None) -> None:
        strategy = self.model.distribute_strategy
        workers.from_chief(strategy, 0)  # which may still be deleting that of a training before
        if self.path.exists():
            with strategy.scope():
                self.model.optimizer.build(self.model.trainable_variables)
            try:
                self.model.load_weights(self.path)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{str(self.path)!r} is damaged, or the backup of another model: delete it to start anew."
                ) from error
            self.model._initial_epoch = int(self.model.epoch.numpy())  # where Keras' own callback puts it
        epoch = int(self.model.epoch.numpy())
        chief = workers.from_chief(strategy, epoch)
        if epoch != chief:
            raise ValueError(
                f"This process has finished {epoch} epochs and the chief {chief}: backup_dir "
                f"({str(self.path.parent)!r}) must be a folder that all processes see."
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model._initial_epoch = None  # else the model's next `fit` would begin there too

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        with workers.written_once(self.model.distribute_strategy, self.path) as unfinished:
            self.model.save_weights(unfinished)

    def on_train_end(self, logs: Any = None) -> None:
        if self.delete_checkpoint and workers.is_chief(self.model.distribute_strategy):
            self.path.unlink(missing_ok=True)
