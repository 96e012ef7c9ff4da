"""Saving a pretraining after each epoch, so that it can be stopped at any moment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import keras

from aezoo import untrusted, workers
from aezoo.autoencoder import Autoencoder


class Checkpoint:
    """The folder of a pretraining: what stack it is, and the state of each stage after its last finished epoch."""

    def __init__(self, folder: Any, stages: list[Autoencoder], run: dict[str, Any]):
        """Opens or makes the folder.

        Args:
            folder: Where it is, or is to be.
            stages: The models.
            run: By name, what must be the same for a run to go on, as JSON has it.
        """
        self.folder = Path(folder)
        self.stages = stages
        self.strategy = stages[0].distribute_strategy
        architecture = [
            {"model": type(stage).__name__, "input_shape": stage.x_shape, **stage.get_config(), "name": None}
            for stage in stages
        ]
        architecture = _without_names(architecture)
        manifest = self.folder / "stack.json"
        if manifest.exists():
            saved_architecture, self.starts, saved_run = _read_manifest(manifest)
            for i, (a, b) in enumerate(zip(saved_architecture, architecture, strict=False)):
                changed = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
                if changed:
                    raise ValueError(
                        f"{str(folder)!r} holds the pretraining of another stack (layer {i + 1} differs in "
                        f"{', '.join(changed)}): choose another checkpoint_dir, or delete it to start anew."
                    )
            if len(saved_architecture) != len(architecture):
                raise ValueError(
                    f"{str(folder)!r} holds the pretraining of a stack of {len(saved_architecture)} layers, not "
                    f"{len(architecture)}: choose another checkpoint_dir, or delete it to start anew."
                )
            changed = [name for name in run if saved_run.get(name) != run[name]]
            if changed:
                raise ValueError(
                    f"{str(folder)!r} holds a pretraining with other {' and '.join(changed)}, which cannot go on with "
                    "these: choose another checkpoint_dir, or delete it to start anew."
                )
            if workers.is_chief(self.strategy):
                for leftover in self.folder.glob(".*-*"):  # of a write that was killed
                    shutil.rmtree(leftover, ignore_errors=True)
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"{str(folder)!r} is not empty and not the folder of a pretraining: choose another.")
        else:
            # The folder appears with all that a run begins with, or not at all.
            self.starts = [int(stage.epoch.numpy()) for stage in stages]
            with workers.written_once(self.strategy, self.folder) as unfinished:
                unfinished.mkdir()
                for i, stage in enumerate(stages):
                    stage.save_weights(unfinished / self._path(i).name)
                (unfinished / manifest.name).write_text(
                    json.dumps({"architecture": architecture, "starts": self.starts, "run": run}, indent=1)
                )

    def _path(self, i: int) -> Path:
        return self.folder / f"layer-{i + 1}.weights.h5"

    def _finished(self, i: int) -> Path:
        return self.folder / f"layer-{i + 1}.finished"

    def restore(self, i: int) -> None:
        """Gives stage i the state that was saved last, at first that which the run began with."""
        workers.wait_for_chief(self.strategy)  # which may still be writing it
        try:
            self.stages[i].load_weights(self._path(i))
        except Exception as error:  # of h5py and Keras, for damaged files
            raise ValueError(
                f"{str(self._path(i))!r} is damaged or missing, so that the pretraining cannot go on: choose another "
                "checkpoint_dir, or delete this one to start anew."
            ) from error

    def finished(self, i: int) -> int:
        """The number of epochs that stage i was to be trained for when it was done, -1 while it is not."""
        if not self._finished(i).exists():
            return -1
        try:
            return int(self._finished(i).read_bytes()[:20])
        except ValueError:
            raise ValueError(
                f"{str(self._finished(i))!r} is damaged: choose another checkpoint_dir, or delete it to start anew."
            ) from None

    def finish(self, i: int, epochs: int) -> None:
        """Saves stage i as it is after training, of which a callback may have changed the weights or the length."""
        self._save(i)
        with workers.written_once(self.strategy, self._finished(i)) as unfinished:
            unfinished.write_text(str(epochs))

    def _save(self, i: int) -> None:
        with workers.written_once(self.strategy, self._path(i)) as unfinished:
            self.stages[i].save_weights(unfinished)

    def callback(self, i: int) -> keras.callbacks.Callback:
        """Saves stage i at the end of each epoch."""
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._save(i))


def _read_manifest(path: Path) -> tuple[list[dict[str, Any]], list[int], dict[str, Any]]:
    """The architecture, the first epochs and the run that a manifest names, one of the first two for each layer."""
    try:
        saved = untrusted.read_json(path)
        architecture, starts, run = saved["architecture"], saved["starts"], saved["run"]
        layers = isinstance(architecture, list) and all(isinstance(layer, dict) for layer in architecture)
        numbers = isinstance(starts, list) and all(isinstance(start, int) and start >= 0 for start in starts)
        if not layers or not numbers or len(starts) != len(architecture) or not isinstance(run, dict):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{str(path)!r} is not what a pretraining writes: choose another checkpoint_dir.") from None
    return architecture, starts, run


def _without_names(architecture: Any) -> Any:
    """Numbers the names of layers, which Keras counts up with every model that is made, in their order."""
    names: dict[str, str] = {}

    def collect(config: dict[str, Any]) -> dict[str, Any]:
        if len(config) > 1 and isinstance(config.get("name"), str):  # a dtype policy has a name and nothing else
            names.setdefault(config["name"], f"layer {len(names)}")
        return config

    def number(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: number(part) for key, part in value.items()}
        if isinstance(value, list):
            return [number(part) for part in value]
        return names.get(value, value) if isinstance(value, str) else value

    text = json.dumps(architecture, default=repr)
    json.loads(text, object_hook=collect)
    return number(json.loads(text))
