"""Command `aezoo train`: train a model, measure it, and write the folder of the run."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import functools
import inspect
import itertools
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import aezoo
from aezoo import _docstrings, _files, evaluation, plots
from aezoo.cli import arguments as options
from aezoo.cli import defaults, loading, own_data, reading, values
from aezoo.pretraining.checkpoint import Checkpoint
from aezoo.saving import resume

Split = tuple[Any, Any]  # samples and labels, as `aezoo.datasets.load` returns them

# Constructor arguments that are not options: their names are taken by options of the command (--seed seeds more than
# the model), or they are networks, which cannot be written on a command line.
_NO_OPTION = (
    *("dataset", "data", "output", "overwrite", "limit", "epochs", "batch_size", "learning_rate", "seed", "quiet"),
    *("help", "layers", "pretrain_epochs", "model", "run", "encoder", "decoder", "preprocessing"),
    *own_data.OPTIONS,
)

# Samples per step of data that are not in memory.
_STREAMED = 128

# === Options ===


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options for training a model.

    Args:
        parser: The parser of `aezoo train MODEL`.
        name: Name of the model, as `aezoo.cli.defaults.entry` accepts it.
    """
    entry, cls = defaults.entry(name), _model_class(name)
    _add_training_options(parser, cls)
    if entry.stack:
        group = parser.add_argument_group(entry.stack, _docstrings.summary(getattr(aezoo, entry.stack)))
        group.add_argument(
            "--layers",
            type=values.tuple_of(values.positive_int),
            metavar="N,N,...",
            help="code units of each layer, from the input up (default: 64,32,16; with more than 100 features "
            "1000,500,250,30)",
        )
        group.add_argument(
            "--pretrain-epochs",
            type=values.positive_int,
            metavar="N",
            help="epochs of pretraining for each layer, before --epochs of training all layers together (default: 20; "
            "with 10,000 samples or more 10)",
        )
    group = parser.add_argument_group(cls.__name__, _docstrings.summary(cls))
    chosen = _chosen(name, defaults.Training(samples=1))
    for argument in _arguments(name):
        argument.add_to(group, argument.name in chosen)


def _add_training_options(parser: argparse.ArgumentParser, cls: type[aezoo.Autoencoder]) -> None:
    group = parser.add_argument_group("training")
    default: str | None = "digits"
    data = (
        "'digits', which comes with scikit-learn, 'emoji', which comes with aezoo, or an image data set of "
        "TensorFlow Datasets: mnist, fashion_mnist, cifar10, ..."
    )
    if cls.data == "sketches":
        default = "shapes"
        data = "'shapes', drawn by a program, or a file of sketch-rnn (.npz) or QuickDraw (.ndjson)"
    if cls.data not in ("images", "sketches"):
        default = None
    named = group.add_mutually_exclusive_group(required=default is None)
    named.add_argument("--dataset", default=default, metavar="NAME", help=f"{data} (default: {default})")
    if cls.data != "sketches":
        named.add_argument("--data", type=loading.name, metavar="PATH", help=f"data of your own: {own_data.FORMS}")
    group.add_argument(
        "--output", type=loading.name, metavar="DIR", help="the folder to write (default: runs/MODEL-DATASET)"
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the folder of an earlier run once this run is complete, and the backup of a run with other "
        "arguments",
    )
    group.add_argument(
        "--limit", type=values.positive_int, metavar="N", help="use only the first N samples of each split"
    )
    group.add_argument(
        "--epochs",
        type=values.positive_int,
        metavar="N",
        help="passes over the training split (default: 60; with 10,000 samples or more 20)",
    )
    group.add_argument(
        "--batch-size",
        type=values.positive_int,
        metavar="N",
        help="samples per step (default: 64; with 10,000 samples or more 128)",
    )
    group.add_argument(
        "--learning-rate",
        type=values.positive_float,
        metavar="RATE",
        help="learning rate of the optimizer (default for Adam: 0.003; with 10,000 samples or more 0.001; a model with "
        "another optimizer, such as an RBM, has its own default)",
    )
    group.add_argument(
        "--seed",
        type=values.natural_int,
        default=0,
        metavar="N",
        help="seed of initial weights, noise and shuffling (default: 0)",
    )
    group.add_argument("--quiet", action="store_true", help="print no progress bar and no table")
    if cls.data != "sketches":
        own_data.add_reading_options(parser)


def _model_class(name: str) -> type[aezoo.Autoencoder]:
    return loading.model_class(defaults.entry(name).class_name)


def _arguments(name: str) -> list[options.Argument]:
    """Return the constructor arguments of a model that are options."""
    entry, cls = defaults.entry(name), _model_class(name)
    return options.of_class(cls, (*_NO_OPTION, *entry.without))


def _chosen(name: str, training: defaults.Training) -> dict[str, Any]:
    """Return the constructor arguments of a model that the command chooses for the data or that the user gave."""
    entry, cls = defaults.entry(name), _model_class(name)
    taken = inspect.signature(cls).parameters.keys() - {*entry.without}
    chosen = {argument: value for argument, value in cls.cli_defaults(training).items() if argument in taken}
    return {**chosen, **training.given}


# === Training ===


def run(arguments: argparse.Namespace) -> bool:
    """Train a model, measure it, and write the folder of the run.

    Args:
        arguments: The options of `add_options`, and `model`.

    Returns:
        Whether Ctrl-C ended the training.

    Raises:
        ValueError: If the options or the data do not fit the model, or the training diverged.
        OSError: If the folder cannot be written, or `aezoo train` did not write it.
    """
    output = _output_folder(arguments)
    there = _contents(output)
    with _backup_folder(output) as folder:
        own = _own(arguments)
        train, test = _load(arguments) if own is None else (own.train, own.test)
        counts = [len(x) if own is None else own.samples[split] for split, (x, _) in (("train", train), ("test", test))]
        counts = [min(count, arguments.limit or count) for count in counts]
        train, test = (tuple(_first(part, arguments.limit) for part in split) for split in (train, test))
        x_train, some = train[0], reading.in_memory(train[0])
        keras.utils.set_random_seed(arguments.seed)
        training = defaults.Training.on(counts[0], math.prod(some.shape[1:]))
        for name in ("epochs", "batch_size", "layers", "pretrain_epochs"):
            if getattr(arguments, name, "of a stack") is None:
                setattr(arguments, name, getattr(training, name))
        training = dataclasses.replace(training, epochs=arguments.epochs, given=_given(arguments))
        suitable = {} if own is None else _suitable(arguments.model, own, some, training)
        training = dataclasses.replace(training, given={**suitable, **training.given})
        chosen = _chosen(arguments.model, training)
        identity = _identity(arguments, chosen, x_train, {} if own is None else own.identity)
        backup = _Backup(folder, identity, arguments.overwrite)
        model = _new_model(arguments, training, chosen, x_train, folder / _LAYERS)
        model.preprocessing = None if own is None else own.preprocessing
        if model.condition_names and not hasattr(x_train, "shape"):
            raise ValueError(
                f"The samples of {arguments.data} take more than 256 MiB, and are read without labels, which the model "
                "needs: give fewer or smaller samples."
            )
        backup.restore(model, some)
        train, test = (loading.with_conditions(model, *split) for split in (train, test))
        interrupted = _fit(model, train[0], test[0], backup, arguments)
        if not hasattr(x_train, "shape"):
            print(f"The model is measured on {own_data.MEASURED:,} samples at most, since the data are not in memory.")
            train, test = ((reading.in_memory(x), None) for x, _ in (train, test))
        metrics = _measure(model, train, test, arguments.quiet)
        results = {
            **_configuration(arguments, model),
            **({} if own is None or own.class_names is None else {"classes": own.class_names}),
            "train_samples": counts[0],
            "test_samples": counts[1],
            "epochs_trained": len(backup.history["loss"]),
            "interrupted": interrupted,
            "metrics": metrics,
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": round(backup.seconds, 1),
        }
        try:
            _write(output, there, model, test[0], results, backup.history)
        except FileExistsError:
            names = (output.with_name(f"{output.name}-{i}") for i in itertools.count(2))
            free = next(path for path in names if not os.path.lexists(path))
            _write(free, {}, model, test[0], results, backup.history)
            backup.remove()
            raise FileExistsError(
                f"{output} was created or changed during the training, and is kept: the result is in {free}."
            ) from None
        backup.remove()
    print(f"Written to {os.path.relpath(output)}")
    return interrupted


def _own(arguments: argparse.Namespace) -> reading.Own | None:
    """Read the data of --data, or return None if the data set has a name."""
    if getattr(arguments, "data", None) is None:
        own_data.check_none_given(arguments)
        return None
    arguments.dataset = None
    own = reading.read(arguments, arguments.batch_size or _STREAMED)
    if not hasattr(own.train[0], "shape"):
        arguments.batch_size = arguments.batch_size or _STREAMED
    if not arguments.quiet:
        # `suitable_arguments` does what the advice says.
        summary = own.summary.replace('give the model missing="mask", which leaves them out', "left out")
        print(summary, end="\n\n")
    return own


def _suitable(name: str, own: reading.Own, x: np.ndarray, training: defaults.Training) -> dict[str, Any]:
    """Return constructor arguments of a model that suit the user's own data."""
    entry, cls = defaults.entry(name), _model_class(name)
    taken = inspect.signature(cls).parameters.keys() - {*entry.without, *cls.fixed_arguments}
    return reading.suitable_arguments(cls, own, x, taken, training)


def _load(arguments: argparse.Namespace) -> tuple[Split, Split]:
    return loading.data_loader(_model_class(arguments.model))(arguments.dataset)


def _first(part: Any, limit: int | None) -> Any:
    """Return the first samples, or labels, of an array or of a data set of batches."""
    if part is None or limit is None:
        return part
    if hasattr(part, "shape"):
        return part[:limit]
    size = next(iter(part)).shape[0]
    batches = min(int(part.cardinality()), math.ceil(limit / size))
    first = part.unbatch().take(limit).batch(size)
    return first.apply(tf.data.experimental.assert_cardinality(batches))


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the constructor arguments that the user gave as options."""
    names = [argument.name for argument in _arguments(arguments.model)]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def _new_model(
    arguments: argparse.Namespace,
    training: defaults.Training,
    chosen: dict[str, Any],
    x_train: Any,
    layers: Path,
) -> aezoo.Autoencoder:
    """Return a compiled model that is ready to be trained; a stack is pretrained and unrolled."""
    entry = defaults.entry(arguments.model)
    if entry.stack:
        model = _pretrained(arguments, chosen, x_train, layers)
    else:
        model = _made(_model_class(arguments.model), chosen, arguments.seed)
    rate = arguments.learning_rate
    if type(model).default_optimizer is aezoo.Autoencoder.default_optimizer:
        rate = rate or training.learning_rate
    model.compile(optimizer=model.default_optimizer(rate))
    arguments.learning_rate = float(model.optimizer.learning_rate.numpy())
    if not arguments.quiet:
        if entry.stack:
            chosen = {"layers": arguments.layers, **chosen}
        shown = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
        name = entry.stack or type(model).__name__
        epochs = f"{arguments.epochs} epoch{'' if arguments.epochs == 1 else 's'}"
        print(f"{name}({shown}), {epochs} in batches of {arguments.batch_size}")
    return model


def _made(cls: type[aezoo.Autoencoder], chosen: dict[str, Any], seed: int) -> aezoo.Autoencoder:
    if "seed" in inspect.signature(cls).parameters:
        chosen = {**chosen, "seed": seed}
    try:
        return cls(**chosen)
    except TypeError as error:  # a class of the user's own
        raise ValueError(
            f"{cls.__name__} does not accept the arguments {', '.join(chosen)}: {error}. List arguments that the class "
            "sets in its attribute fixed_arguments."
        ) from error


def _pretrained(arguments: argparse.Namespace, chosen: dict[str, Any], x_train: Any, folder: Path) -> aezoo.Autoencoder:
    """Pretrain a stack, or resume the pretraining of a killed process, and return the unrolled autoencoder."""
    entry, cls = defaults.entry(arguments.model), _model_class(arguments.model)
    layers = [cls(units, **chosen, seed=arguments.seed + i) for i, units in enumerate(arguments.layers)]
    if entry.top:
        layers[-1] = cls(arguments.layers[-1], **chosen, **entry.top, seed=arguments.seed)
    stack = getattr(aezoo, str(entry.stack))(layers)
    try:
        stack.pretrain(
            x_train,
            epochs=arguments.pretrain_epochs,
            batch_size=arguments.batch_size,
            checkpoint_dir=folder,
            seed=arguments.seed,
            verbose=0 if arguments.quiet else 1,
        )
    except ValueError as error:
        raise ValueError(str(error).replace("another checkpoint_dir", "another --output")) from error
    return stack.unroll(seed=arguments.seed)


def _fit(model: aezoo.Autoencoder, x_train: Any, x_test: Any, backup: _Backup, arguments: argparse.Namespace) -> bool:
    """Train a model; return whether Ctrl-C ended it."""
    # Without a terminal, print one line per epoch: a progress bar in a log file is unreadable.
    verbose = 0 if arguments.quiet else 1 if sys.stdout.isatty() else 2
    callbacks = [backup.callback(), keras.callbacks.TerminateOnNaN()]
    in_memory = not isinstance(x_train, tf.data.Dataset)
    try:
        model.fit(
            x_train,
            validation_data=(x_test,) if in_memory else x_test,
            initial_epoch=len(backup.history.get("loss", ())),
            epochs=arguments.epochs,
            batch_size=arguments.batch_size if in_memory else None,
            callbacks=callbacks,
            verbose=verbose,
        )
    except KeyboardInterrupt:
        finished = len(backup.history.get("loss", ()))
        if not finished:
            raise
        print(
            f"\nInterrupted: writing the model as it is after {finished} of {arguments.epochs} epochs. Press Ctrl-C "
            "again to write nothing; the same command then resumes after the last backup.",
            flush=True,
        )
        return True
    if not all(math.isfinite(loss) for loss in backup.history["loss"]):
        backup.remove()
        raise ValueError("The training diverged (its loss is not finite): choose a smaller --learning-rate.")
    return False


# === Resuming ===


# Files in the folder of a backup: the identity of the run, the state of the training, and the pretraining of a stack.
_RUN, _TRAINING, _LAYERS = "run.json", "training.weights.h5", "layers"
_EARLIER = "model.keras"  # before version 0.1.0, in place of _TRAINING


def _identity(
    arguments: argparse.Namespace, chosen: dict[str, Any], x_train: Any, own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a description of a training: two trainings are the same if their descriptions are equal."""
    without = ("run", "output", "overwrite", "quiet", "data")
    said = {name: value for name, value in vars(arguments).items() if name not in without}
    said |= {argument.name: chosen.get(argument.name, argument.value) for argument in _arguments(arguments.model)}
    return resume.plain({**said, **own, "data": resume.data(x_train), "versions": _versions()})


@contextlib.contextmanager
def _backup_folder(output: Path) -> Iterator[Path]:
    """Create the folder of a training's backup, and lock it against other processes that train for the same output."""
    folder = _files.beside(output, "backup")
    if folder.exists() and not (folder / _files.LOCK).exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not a backup of this version of aezoo: remove it, or choose another --output."
        )
    new = [parent for parent in folder.parents if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = _files.hold(folder / _files.LOCK)
    except BlockingIOError:
        raise BlockingIOError(
            f"Another aezoo train is writing {output}: wait until it has ended, or choose another --output."
        ) from None
    try:
        yield folder
    finally:
        left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if left <= {_files.LOCK, _RUN}:  # nothing to resume from
            for name in (_RUN, _files.LOCK):
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process uses the folder
                for empty in (folder, *new):
                    empty.rmdir()
        lock.release()


class _Backup:
    """Backup of a training in a folder, from which the same command resumes after its process was killed.

    The identity of the run is written first, since a stack is pretrained before there is a model to save.

    Attributes:
        folder: The folder; this process holds its lock.
        history: Values of each finished epoch by name, including the epochs of earlier processes.
        seconds: Training time of all processes together.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], overwrite: bool):
        """Compare the backup of an earlier process with this run, and write the identity of this run.

        Args:
            folder: The folder, locked by this process.
            identity: Description of this run, from `_identity`.
            overwrite: Whether to replace the backup of another run.

        Raises:
            ValueError: If the backup is damaged, or belongs to another run and `overwrite` is False.
        """
        self.folder = folder
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._state = resume.TrainingState(folder / _TRAINING, identity, "remove it to start anew")
        self._started = time.monotonic()
        self._saved = self._cost = 0.0
        shown = os.path.relpath(folder)
        try:
            before = json.loads((folder / _RUN).read_text())
        except FileNotFoundError:
            before = identity
        except ValueError as error:
            raise ValueError(f"{shown} is damaged: remove it to start anew.") from error
        if (folder / _EARLIER).exists() and not overwrite:
            raise ValueError(
                f"{shown} has an unfinished training of an earlier version of aezoo, which cannot be resumed: choose "
                "another --output, or start anew with --overwrite."
            )
        if differing := resume.sentence(resume.differences(before, identity)):
            if not overwrite:
                raise ValueError(
                    f"{shown} has an unfinished training with other {differing}: use the same values to resume it, "
                    "choose another --output, or start anew with --overwrite."
                )
            print(f"Replacing {shown}, which has an unfinished training with other {differing}")
            self.remove()
        (folder / _EARLIER).unlink(missing_ok=True)
        with _files.atomic_write(folder / _RUN) as path:
            path.write_text(json.dumps(identity))

    def restore(self, model: aezoo.Autoencoder, x: np.ndarray) -> None:
        """Load the state that an earlier process saved, if there is one, into a model.

        Args:
            model: The compiled model; it is built if necessary.
            x: Training samples, (n, *input_shape).

        Raises:
            ValueError: If the file is damaged.
        """
        self._state.check()
        if not self._state.path.exists():
            return
        if not model.built:
            model.build((None, *x.shape[1:]))
        saved = self._state.restore(model)
        assert saved is not None, "its file was there"
        self.history = saved["history"]
        self._started -= saved["seconds"]
        folder = os.path.relpath(self.folder)
        print(f"Resuming after epoch {saved['epoch']}, from {folder} (remove it to start anew)")

    def callback(self) -> keras.callbacks.Callback:
        """Return a callback that records the history, and backs it up with the model at the ends of epochs."""

        def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
            for name, value in logs.items():
                self.history.setdefault(name, []).append(float(value))
            self._save(callback.model)

        callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
        return callback

    def _save(self, model: aezoo.Autoencoder) -> None:
        start = time.monotonic()
        self.seconds = start - self._started
        if not math.isfinite(self.history["loss"][-1]) or start - self._saved < 10 * self._cost:
            return  # if epochs are short, a backup after each one would dominate the time
        self._state.save(model, len(self.history["loss"]), history=self.history, seconds=self.seconds)
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def remove(self) -> None:
        """Remove the backup."""
        self._state.remove()
        Checkpoint.remove(self.folder / _LAYERS)
        (self.folder / _RUN).unlink(missing_ok=True)  # last, since it identifies the other files


# === Results ===


def _measure(model: aezoo.Autoencoder, train: Split, test: Split, quiet: bool) -> dict[str, float | None]:
    """Measure the model on the test split, print the table, and return it; {} if the data cannot be measured."""
    try:
        report = evaluation.report(model, test, train=train)
    except ValueError as error:
        print(f"The model was not measured: {' '.join(str(error).split())}")
        return {}
    if not quiet:
        print(f"\n{report}\n")
    return {**report.as_dict(), "activity_threshold": evaluation.activity_threshold(model)}


def _configuration(arguments: argparse.Namespace, model: aezoo.Autoencoder) -> dict[str, Any]:
    """Return how a model was made and trained, for `metrics.json`."""
    without = {"encoder", "decoder", "name", "dtype", "trainable"}
    layers = {name: getattr(arguments, name) for name in ("layers", "pretrain_epochs") if hasattr(arguments, name)}
    return {
        "model": arguments.model,
        **layers,
        "class": type(model).__name__,
        "arguments": {name: value for name, value in model.get_config().items() if name not in without},
        "dataset": arguments.dataset,
        **({"data": arguments.data} if arguments.dataset is None else {}),
        "limit": arguments.limit,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "optimizer": type(model.optimizer).__name__,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {"aezoo": aezoo.__version__, "keras": keras.__version__, "tensorflow": tf.__version__}


def _output_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder to write, after checking that it is free or may be replaced."""
    model = arguments.model.rpartition(":")[2]
    own = getattr(arguments, "data", None)
    name = re.sub(r"[^\w.-]+", "-", f"{model}-{arguments.dataset if own is None else reading.shown(own)}")
    output = Path(arguments.output or f"runs/{name}").resolve()
    for path in (output, *output.parents):
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"{path} exists and is not a folder: choose another --output.")
    _files.recover(output)
    if output.is_dir() and any(output.iterdir()):
        if not arguments.overwrite:
            raise FileExistsError(f"{output} already exists: choose another --output, or replace it with --overwrite.")
        if not (output / "metrics.json").exists() or not (output / "model.keras").exists():
            raise FileExistsError(f"{output} was not written by aezoo train: --overwrite does not replace it.")
    return _files.check(output, lambda folder: [])


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the modification time and the size of each file in a folder, by name."""
    status = {name: (folder / name).lstat() for name in (_files.files(folder) if folder.is_dir() else ())}
    return {name: (each.st_mtime_ns, each.st_size) for name, each in status.items()}


def _write(
    output: Path,
    there: dict[str, tuple[int, int]],
    model: aezoo.Autoencoder,
    x_test: np.ndarray,
    results: dict[str, Any],
    history: dict[str, Any],
) -> None:
    """Write the folder of a run; replace only the contents that were `there` when the run began."""
    pictures: dict[str, Callable[[], Any]] = {
        "history.png": functools.partial(plots.history, history),
        **model.report_pictures(x_test),
    }

    def foreign(folder: Path) -> list[str]:
        return [] if _contents(folder) == there else _files.files(folder)

    with _files.atomic_write(output, foreign) as folder:
        folder.mkdir()
        model.save(folder / "model.keras")
        model.export(folder / "1")
        (folder / "metrics.json").write_text(json.dumps(results, indent=2, default=resume.plain) + "\n")
        for name, draw in pictures.items():
            try:
                draw().savefig(folder / name)
            except ValueError as error:
                print(f"{name} was not drawn: {' '.join(str(error).split())}")
