"""Checkpoints of a pretraining after each epoch, so that it can be stopped at any time."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import keras

from aezoo import _files, _untrusted
from aezoo.models.autoencoder import Autoencoder
from aezoo.saving import resume
from aezoo.training import distribution

MANIFEST = "stack.json"


class Checkpoint:
    """Folder of a pretraining, with a description of the stack and each stage's state after its last finished epoch."""

    def __init__(self, folder: str | os.PathLike[str], stages: list[Autoencoder], run: dict[str, Any]):
        """Open or create the folder.

        Args:
            folder: Path of the folder.
            stages: The models.
            run: Properties, by name, that must match for a run to be resumed, as JSON values.

        Raises:
            ValueError: If the folder contains other files or a different run; the message names the difference.
            OSError: If the folder cannot be written, or another process trains in it.
        """
        self.folder = Path(folder)
        self._lock: _files.Lock | None = None
        self.stages = stages
        self.strategy = stages[0].distribute_strategy
        self._states = [_state(self.folder, i) for i in range(len(stages))]
        architecture = [{"input_shape": list(stage.x_shape), **resume.architecture(stage)} for stage in stages]
        run = resume.plain(run)
        manifest = self.folder / MANIFEST
        if manifest.exists():
            saved_architecture, self.starts, saved_run = _read_manifest(manifest)
            for i, (a, b) in enumerate(zip(saved_architecture, architecture, strict=False)):
                changed = resume.differences(a, b)
                if changed:
                    raise ValueError(
                        f"{str(folder)!r} contains the pretraining of another stack, layer {i + 1} with another "
                        f"{resume.sentence(changed)}: choose another checkpoint_dir, or delete it to start anew."
                    )
            if len(saved_architecture) != len(architecture):
                raise ValueError(
                    f"{str(folder)!r} contains the pretraining of a stack of {len(saved_architecture)} layers, not "
                    f"{len(architecture)}: choose another checkpoint_dir, or delete it to start anew."
                )
            changed = resume.differences(saved_run, run)
            if changed:
                raise ValueError(
                    f"{str(folder)!r} contains a pretraining with other {resume.sentence(changed)}: give the same to "
                    "resume it, choose another checkpoint_dir, or delete it to start anew."
                )
            if distribution.is_chief(self.strategy):
                self._hold()
                for state in self._states:
                    state.check()
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"{str(folder)!r} is not empty and not the folder of a pretraining: choose another.")
        else:
            # The folder appears with the complete initial state, or not at all.
            self.starts = [int(stage.epoch.numpy()) for stage in stages]
            with distribution.chief_writes(self.strategy, self.folder) as unfinished:
                unfinished.mkdir()
                for state, stage in zip(self._states, stages, strict=True):
                    state.write(unfinished / state.path.name, stage, int(stage.epoch.numpy()), finished=-1)
                (unfinished / manifest.name).write_text(
                    json.dumps({"architecture": architecture, "starts": self.starts, "run": run}, indent=1)
                )
            if distribution.is_chief(self.strategy):
                self._hold()

    def _hold(self) -> None:
        try:
            self._lock = _files.hold(self.folder / _files.LOCK)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"Another process trains in {str(self.folder)!r}: wait until it ends, or choose another checkpoint_dir."
            ) from error

    def close(self) -> None:
        """Release the folder for other processes."""
        if self._lock:
            (self.folder / _files.LOCK).unlink(missing_ok=True)
            self._lock.release()

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove the files of a pretraining, and its folder if it contains nothing else."""
        try:
            layers = range(len(json.loads((folder / MANIFEST).read_text())["starts"]))
        except (OSError, ValueError, KeyError, TypeError):
            return  # not a pretraining
        # The manifest last: without it, remaining files could not be identified.
        for i in layers:
            _state(folder, i).remove()
        for name in (_files.LOCK, MANIFEST):
            _files.recover(folder / name)
            (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    def restore(self, i: int) -> int:
        """Restore stage i from its last saved state, which is the initial state of the run at first.

        Args:
            i: Index of the stage, from 0.

        Returns:
            The planned number of epochs of a finished stage, or -1 for an unfinished one.

        Raises:
            ValueError: If the file is damaged or missing.
        """
        saved = self._states[i].restore(self.stages[i])
        if saved is None or not isinstance(saved.get("finished"), int):
            raise ValueError(f"{str(self._states[i].path)!r} is damaged or missing: {self._states[i].advice}.")
        return saved["finished"]

    def save(self, i: int, finished: int = -1) -> None:
        """Save stage i.

        Args:
            i: Index of the stage, from 0.
            finished: Value for `restore` to return. It is needed because a callback may end the training of a stage
                early, so that the epoch does not show whether the stage is finished.
        """
        self._states[i].save(self.stages[i], int(self.stages[i].epoch.numpy()), finished=finished)

    def callback(self, i: int) -> keras.callbacks.Callback:
        """Return a callback that saves stage i at the end of each epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self.save(i))


def _state(folder: Path, i: int) -> resume.TrainingState:
    """Return the saved state of a stage. The properties that must match on resuming are in the manifest."""
    advice = "choose another checkpoint_dir, or delete this one to start anew"
    return resume.TrainingState(folder / f"layer-{i + 1}.weights.h5", {}, advice)


def _read_manifest(path: Path) -> tuple[list[dict[str, Any]], list[int], dict[str, Any]]:
    """Return the architectures and first epochs, one per layer, and the run from a manifest."""
    try:
        saved = _untrusted.read_json(path)
        architecture, starts, run = saved["architecture"], saved["starts"], saved["run"]
        layers = isinstance(architecture, list) and all(isinstance(layer, dict) for layer in architecture)
        numbers = isinstance(starts, list) and all(isinstance(start, int) and start >= 0 for start in starts)
        if not layers or not numbers or len(starts) != len(architecture) or not isinstance(run, dict):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{str(path)!r} is not a pretraining's manifest: choose another checkpoint_dir.") from None
    return architecture, starts, run
