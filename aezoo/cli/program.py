"""The command line: `aezoo list` and `aezoo train`.

`aezoo.cli.evaluate` adds `evaluate`, `aezoo.cli.presets` `shelf`, `aezoo.cli.codec` `compress` and `decompress`.
"""

from __future__ import annotations

import argparse
import collections.abc
import contextlib
import dataclasses
import datetime
import inspect
import itertools
import json
import math
import os
import re
import sys
import tempfile
import time
import types
import typing
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import _docstrings, _files
from aezoo._untrusted import printable
from aezoo.cli import codec, defaults, evaluate, loading, presets
from aezoo.version import __version__

if TYPE_CHECKING:
    import keras

# TensorFlow and all that stands on it is imported by `_import_zoo`, so that --version and --help are quick.

# Arguments that are no option: networks cannot be written on a command line, --seed seeds more than the model.
_NO_OPTION = ("encoder", "decoder", "seed")
_INTERRUPTED = 130  # the exit status of a program that Ctrl-C stopped
_LARGEST = 2**32  # whole numbers are smaller: those that TensorFlow can count to

_DESCRIPTION = """\
Trains a model on a data set of images (sketch-rnn: of sketches), evaluates it on the test split, and writes into a
folder: model.keras, 1/ (a SavedModel), metrics.json, history.png, reconstructions.png and filters.png; for sketches
samples.png and interpolation.png in place of the last."""

_SYNTAX = """\
Lists are written with commas: --hidden-dims 500,250. A SCHEDULE is a number, or START:END:EPOCHS, which goes in equal
steps from START to END in so many epochs: --k-schedule 100:25:20.

Ctrl-C ends the training; what the model has learned up to then is evaluated and written. A second Ctrl-C, or one in
the pretraining of a stack, writes nothing. Run the same command again after that, or after its process was killed, to
resume from the last backup of the training (a hidden folder beside the output)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        argv: The arguments, without the name of the program; `sys.argv` by default.

    Returns:
        The exit status: 0, 2 where the command cannot be carried out, 130 where Ctrl-C ended it.

    Raises:
        SystemExit: With status 2 if the arguments cannot be read, with 0 after --help and --version.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # 2 would still print that there is no GPU as an error
    arguments = _parser(argv).parse_args(argv)
    try:
        if arguments.run is not _list:
            _import_zoo()
        return arguments.run(arguments)
    except KeyboardInterrupt:
        resume = " Run the same command again to resume after the last backup." if arguments.run is _train else ""
        print(f"\naezoo: interrupted; nothing was written.{resume}", file=sys.stderr)
        return _INTERRUPTED
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        print(f"aezoo: error: {printable(error, 5000) or type(error).__name__}", file=sys.stderr)
        return 2


def _import_zoo() -> None:
    """Imports the package, of which the console script has imported the command line alone (`aezoo_command`)."""
    package = sys.modules["aezoo"]
    if not hasattr(package, "Autoencoder"):
        with _without_log_lines():
            package.__spec__.loader.exec_module(package)


# What TensorFlow says while it is imported, before it knows its log level: all but what ends the process.
_LOG_LINE = re.compile(rb"WARNING: All log messages before absl|[IWE]0000 |\d{4}-\d\d-\d\d [\d:.]+: [IWE] ")


@contextlib.contextmanager
def _without_log_lines() -> Iterator[None]:
    """Keeps the log lines of TensorFlow's import off standard error, and all else on it."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":  # the user wants to see them
        yield
        return
    with tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        standard_error = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(standard_error, 2)
            os.close(standard_error)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not _LOG_LINE.match(line)))


# === Arguments ===


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aezoo", description="Autoencoders on Keras 3 and TensorFlow.")
    parser.add_argument("--version", action="version", version=f"aezoo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="list the models, with their papers")
    listing.set_defaults(run=_list)
    train = commands.add_parser("train", help="train a model", description=_DESCRIPTION)
    models = train.add_subparsers(
        title="models", required=True, metavar="MODEL", dest="model", help=", ".join(defaults.MODELS)
    )
    for name in defaults.MODELS:
        model = models.add_parser(
            name,
            description=_DESCRIPTION,
            epilog=_SYNTAX,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        model.set_defaults(run=_train)
        if name in argv:  # the options of a model are those of its class, and that imports TensorFlow
            _import_zoo()
            _add_training_options(model, name)
            _add_model_options(model, name)
    evaluate.add_command(commands)
    presets.add_commands(commands)
    codec.add_commands(commands)
    return parser


def _add_training_options(parser: argparse.ArgumentParser, name: str) -> None:
    options = parser.add_argument_group("training")
    default = "digits"
    data = (
        "'digits', which comes with scikit-learn, or an image data set of TensorFlow Datasets: mnist, "
        "fashion_mnist, cifar10, ..."
    )
    if defaults.MODELS[name].sketches:
        default = "shapes"
        data = "'shapes', which a program draws, or a file of sketch-rnn (.npz) or of QuickDraw (.ndjson)"
    options.add_argument("--dataset", default=default, metavar="NAME", help=f"{data} (default: {default})")
    options.add_argument(
        "--output", type=loading.name, metavar="DIR", help=f"the folder to write (default: runs/{name}-DATASET)"
    )
    options.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the folder of an earlier run, once this one is complete, and the backup of one with other "
        "arguments",
    )
    options.add_argument("--limit", type=_positive_int, metavar="N", help="use only the first N samples of each split")
    options.add_argument(
        "--epochs", type=_positive_int, metavar="N", help="(default: 60, or 20 from 10,000 samples on)"
    )
    options.add_argument(
        "--batch-size", type=_positive_int, metavar="N", help="(default: 64, or 128 from 10,000 samples on)"
    )
    options.add_argument(
        "--learning-rate",
        type=_positive_float,
        metavar="RATE",
        help="(default: for Adam 0.003, or 0.001 from 10,000 samples on; an RBM has its own)",
    )
    options.add_argument(
        "--seed",
        type=_natural_int,
        default=0,
        metavar="N",
        help="seed of initial weights, noise and shuffling (default: 0)",
    )
    options.add_argument("--quiet", action="store_true", help="no progress bar and no table")


def _add_model_options(parser: argparse.ArgumentParser, name: str) -> None:
    cls = _model_class(name)
    if defaults.MODELS[name].stack:
        options = parser.add_argument_group(defaults.MODELS[name].stack, _docstrings.summary(_described_class(name)))
        options.add_argument(
            "--layers",
            type=_tuple_of(_positive_int),
            metavar="N,N,...",
            help="code units of each layer, from the input up (default: 64,32,16, or 1000,500,250,30 for more than "
            "100 features)",
        )
        options.add_argument(
            "--pretrain-epochs",
            type=_positive_int,
            metavar="N",
            help="epochs of each layer, before --epochs of backpropagation through all of them (default: 20, or 10 "
            "from 10,000 samples on)",
        )
    options = parser.add_argument_group(cls.__name__, _docstrings.summary(cls))
    for argument in _model_arguments(name):
        flag = "--" + argument.name.replace("_", "-")
        help_text = f"{argument.help} (default: {argument.default})".strip().replace("%", "%%")
        if argument.parse is bool:
            kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"type": argument.parse, "metavar": argument.metavar}
        # Only what the user gives is passed on, so that a default has one place, the constructor.
        options.add_argument(flag, dest=argument.name, default=argparse.SUPPRESS, help=help_text, **kind)


@dataclasses.dataclass(frozen=True)
class _Argument:
    """A constructor argument as an option."""

    name: str
    parse: Callable[[str], Any]
    metavar: str
    default: str
    help: str
    value: Any  # the default itself


def _model_class(name: str) -> type[keras.Model]:
    import aezoo

    return getattr(aezoo, defaults.MODELS[name].class_name)


def _described_class(name: str) -> type:
    """The class whose docstring tells what a model is: of a stack, the stack's."""
    import aezoo

    return getattr(aezoo, defaults.MODELS[name].stack or defaults.MODELS[name].class_name)


def _model_arguments(name: str) -> list[_Argument]:
    """The constructor arguments of a model, those of its own class before those of the classes it extends."""
    entry = defaults.MODELS[name]
    by_rule = entry.arguments({}, defaults.Training(samples=1))
    found: dict[str, _Argument] = {}
    for base in _zoo_classes(_model_class(name)):
        hints, help_texts = typing.get_type_hints(base.__init__), _docstrings.arguments(base)
        for parameter in inspect.signature(base.__init__).parameters.values():
            ignored = parameter.name in ("self", *_NO_OPTION, *entry.without)
            if parameter.kind is parameter.VAR_KEYWORD or ignored or parameter.name in found:
                continue
            parse, metavar = _reader(parameter.name, hints[parameter.name])
            default = "chosen for the data and the other options" if parameter.name in by_rule else parameter.default
            help_text = help_texts.get(parameter.name, "")
            found[parameter.name] = _Argument(
                parameter.name, parse, metavar, _written(default), help_text, parameter.default
            )
    return list(found.values())


def _zoo_classes(cls: type) -> Iterator[type]:
    """The class and its bases up to Keras', those that have a constructor of their own."""
    return (base for base in cls.__mro__ if base.__module__.split(".")[0] == "aezoo" and "__init__" in vars(base))


def _written(default: Any) -> str:
    """A default as one would write it on the command line."""
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return "none" if default is None else str(default)


def _reader(name: str, hint: Any) -> tuple[Callable[[str], Any], str]:
    """What reads the text of an option for an argument of this name and type, and how --help writes it."""
    from aezoo import schedules

    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if schedules.Schedule in kinds:
        return _schedule, "SCHEDULE"
    kind = next(kind for kind in kinds if kind is not type(None))
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        return bool, ""
    if origin is tuple and Ellipsis not in inner:
        return _tuple_of(_number(inner[0]), len(inner)), ",".join("N" * len(inner))
    if origin in (tuple, list, collections.abc.Sequence):
        return _tuple_of(_number(inner[0])), "N,N,..."
    if kind in (int, float):
        return _number(kind), "N"
    if name.endswith("activation"):
        return _activation, "NAME"
    return str, "NAME"


def _number(kind: type) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        value = kind(text)
        if not (abs(value) < _LARGEST if kind is int else math.isfinite(value)):
            raise ValueError
        return value

    number.__name__ = {int: "whole number", float: "number"}[kind]  # argparse: "invalid whole number value: 'x'"
    return number


def _tuple_of(parse: Callable[[str], Any], length: int | None = None) -> Callable[[str], tuple[Any, ...]]:
    def numbers(text: str) -> tuple[Any, ...]:
        values = tuple(parse(part) for part in text.split(",")) if text.strip() else ()
        if length not in (None, len(values)):
            raise argparse.ArgumentTypeError(f"expected {length} numbers with a comma between, not {text!r}")
        return values

    numbers.__name__ = "list of numbers"
    return numbers


def _schedule(text: str) -> Any:
    """Reads a number, or START:END:EPOCHS."""
    from aezoo import schedules

    try:
        start, *rest = text.split(":")
        if not rest:
            return _plain_number(start)
        end, epochs = rest
        return schedules.Linear(_plain_number(start), _plain_number(end), _number(int)(epochs))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or START:END:EPOCHS with EPOCHS >= 1, not {text!r}"
        ) from None


def _plain_number(text: str) -> int | float:
    try:
        int(text)
    except ValueError:
        return _number(float)(text)
    return _number(int)(text)


def _activation(text: str) -> str:
    import keras

    try:
        keras.activations.get(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Keras knows no activation {text!r}") from None
    return text


def _bounded(kind: type, allowed: Callable[[Any], bool], wanted: str) -> Callable[[str], Any]:
    def bounded(text: str) -> Any:
        value = _number(kind)(text)
        if not allowed(value):
            raise ValueError
        return value

    bounded.__name__ = wanted
    return bounded


_positive_int = _bounded(int, lambda value: value >= 1, "positive whole number")
_natural_int = _bounded(int, lambda value: value >= 0, "seed")
_positive_float = _bounded(float, lambda value: value > 0, "positive number")


def _list(arguments: argparse.Namespace) -> int:
    width = max(map(len, defaults.MODELS)) + 2
    for name, entry in defaults.MODELS.items():
        described = _docstrings.of_source(entry.stack or entry.class_name)
        for column, text in ((name, _docstrings.summary(described)), ("", _docstrings.reference(described))):
            if text:
                print(f"{column:{width}}{text}")
    return 0


# === Training ===


@dataclasses.dataclass
class _Data:
    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any


def _train(arguments: argparse.Namespace) -> int:
    import keras

    output = _output_folder(arguments)
    there = _contents(output)
    with _backup_folder(output) as folder:
        data = _load(arguments)
        keras.utils.set_random_seed(arguments.seed)
        training = defaults.Training.on(len(data.x_train), math.prod(data.x_train.shape[1:]))
        for name in ("epochs", "batch_size", "layers", "pretrain_epochs"):
            if getattr(arguments, name, "of a stack") is None:
                setattr(arguments, name, getattr(training, name))
        training = dataclasses.replace(training, epochs=arguments.epochs)
        given = defaults.MODELS[arguments.model].arguments(_given(arguments), training)
        backup = _Backup(folder, _run(arguments, given, data), arguments.overwrite)
        model = _new_model(arguments, training, given, data, folder / _LAYERS)
        model = backup.restored() or model
        interrupted = _fit(model, data, backup, arguments)
        metrics, units = _metrics(model, data)
        results = {
            **_configuration(arguments, model),
            "train_samples": len(data.x_train),
            "test_samples": len(data.x_test),
            "epochs_trained": len(backup.history["loss"]),
            "interrupted": interrupted,
            "metrics": metrics,
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": round(backup.seconds, 1),
        }
        if not arguments.quiet:
            _print_table(metrics, units)
        try:
            _write(output, there, model, data, results, backup.history)
        except FileExistsError:
            names = (output.with_name(f"{output.name}-{i}") for i in itertools.count(2))
            free = next(path for path in names if not os.path.lexists(path))
            _write(free, {}, model, data, results, backup.history)
            backup.remove()
            raise FileExistsError(
                f"{output} was made or changed while the model was trained, and is kept: the result is in {free}."
            ) from None
        backup.remove()
    print(f"Written to {os.path.relpath(output)}")
    return _INTERRUPTED if interrupted else 0


def _output_folder(arguments: argparse.Namespace) -> Path:
    """The folder to write, which is free or may be replaced."""
    name = re.sub(r"[^\w.-]+", "-", arguments.dataset)
    output = Path(arguments.output or f"runs/{arguments.model}-{name}").resolve()
    for path in (output, *output.parents):
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"{path} is there and is no folder: choose another --output.")
    _files.recover(output)
    if output.is_dir() and any(output.iterdir()):
        if not arguments.overwrite:
            raise FileExistsError(
                f"{output} is there already: choose another --output, or replace it with --overwrite."
            )
        if not (output / "metrics.json").exists() or not (output / "model.keras").exists():
            raise FileExistsError(f"{output} was not written by aezoo train: --overwrite does not replace it.")
    return _files.check(output, lambda folder: [])


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    """What is in a folder, by name: when each file was written, and its size."""
    status = {name: (folder / name).lstat() for name in (_files.files(folder) if folder.is_dir() else ())}
    return {name: (each.st_mtime_ns, each.st_size) for name, each in status.items()}


# What is in the folder of a backup.
_RUN, _MODEL, _LAYERS = "run.json", "model.keras", "layers"


@contextlib.contextmanager
def _backup_folder(output: Path) -> Iterator[Path]:
    """Makes the folder of a training's backup, and keeps other processes from training for the same output."""
    folder = _files.beside(output, "backup")
    if folder.exists() and not (folder / _files.LOCK).exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is no backup of this aezoo: remove it, or choose another --output.")
    new = [parent for parent in folder.parents if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = _files.hold(folder / _files.LOCK)
    except BlockingIOError:
        raise BlockingIOError(
            f"Another aezoo train writes {output}: wait until it has ended, or choose another --output."
        ) from None
    try:
        yield folder
    finally:
        left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if left <= {_files.LOCK, _RUN}:  # nothing to resume from
            for name in (_RUN, _files.LOCK):
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # which somebody else uses
                for empty in (folder, *new):
                    empty.rmdir()
        lock.release()


def _load(arguments: argparse.Namespace) -> _Data:
    from aezoo import datasets, sketches

    load = sketches.load if defaults.MODELS[arguments.model].sketches else datasets.load
    (x_train, y_train), (x_test, y_test) = load(arguments.dataset)
    values = (x_train, y_train, x_test, y_test)
    return _Data(*(None if value is None else value[: arguments.limit] for value in values))


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The constructor arguments that are given as options."""
    names = [argument.name for argument in _model_arguments(arguments.model)]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def _new_model(
    arguments: argparse.Namespace, training: defaults.Training, given: dict[str, Any], data: _Data, layers_folder: Path
) -> keras.Model:
    """A model that is ready to be trained: a stack has been pretrained and unrolled."""
    import keras

    entry = defaults.MODELS[arguments.model]
    if entry.stack:
        model = _pretrained(arguments, given, data, layers_folder)
    else:
        model = _model_class(arguments.model)(**given, seed=arguments.seed)
    if entry.adam:
        model.compile(optimizer=keras.optimizers.Adam(arguments.learning_rate or training.learning_rate))
    else:
        model.compile(optimizer=model.default_optimizer(arguments.learning_rate))
    arguments.learning_rate = float(model.optimizer.learning_rate.numpy())
    if not arguments.quiet:
        if entry.stack:
            given = {"layers": arguments.layers, **given}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        name = entry.stack or entry.class_name
        print(f"{name}({shown}), {arguments.epochs} epochs in batches of {arguments.batch_size}")
    return model


def _pretrained(arguments: argparse.Namespace, given: dict[str, Any], data: _Data, folder: Path) -> keras.Model:
    """The unrolled autoencoder of a stack that is pretrained here, or as far as it was by a process that was killed."""
    import aezoo

    entry, cls = defaults.MODELS[arguments.model], _model_class(arguments.model)
    layers = [cls(units, **given, seed=arguments.seed + i) for i, units in enumerate(arguments.layers)]
    if entry.top:
        layers[-1] = cls(arguments.layers[-1], **given, **entry.top, seed=arguments.seed)
    stack = getattr(aezoo, entry.stack)(layers)
    try:
        stack.pretrain(
            data.x_train,
            epochs=arguments.pretrain_epochs,
            batch_size=arguments.batch_size,
            checkpoint_dir=folder,
            seed=arguments.seed,
            verbose=0 if arguments.quiet else 1,
        )
    except ValueError as error:
        raise ValueError(str(error).replace("another checkpoint_dir", "another --output")) from error
    return stack.unroll(seed=arguments.seed)


def _versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {"aezoo": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}


def _run(arguments: argparse.Namespace, given: dict[str, Any], data: _Data) -> dict[str, Any]:
    """What makes a training: two of the same run are the same."""
    from aezoo.saving import resume

    without = ("run", "output", "overwrite", "quiet")
    run = {name: value for name, value in vars(arguments).items() if name not in without}
    run |= {argument.name: given.get(argument.name, argument.value) for argument in _model_arguments(arguments.model)}
    return resume.plain({**run, "data": resume.data(data.x_train), "versions": _versions()})


def _configuration(arguments: argparse.Namespace, model: keras.Model) -> dict[str, Any]:
    """How a model was made and trained, as `metrics.json` says it."""
    without = {"encoder", "decoder", "name", "dtype", "trainable"}
    layers = {name: getattr(arguments, name) for name in ("layers", "pretrain_epochs") if hasattr(arguments, name)}
    return {
        "model": arguments.model,
        **layers,
        "class": type(model).__name__,
        "arguments": {name: value for name, value in model.get_config().items() if name not in without},
        "dataset": arguments.dataset,
        "limit": arguments.limit,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "optimizer": type(model.optimizer).__name__,
        "learning_rate": arguments.learning_rate,
        "seed": arguments.seed,
        "versions": _versions(),
    }


def _fit(model: keras.Model, data: _Data, backup: _Backup, arguments: argparse.Namespace) -> bool:
    """Trains a model; returns whether Ctrl-C ended it."""
    import keras

    # Without a terminal a line an epoch: a progress bar in a log file is unreadable.
    verbose = 0 if arguments.quiet else 1 if sys.stdout.isatty() else 2
    callbacks = [backup.callback(), keras.callbacks.TerminateOnNaN()]
    try:
        model.fit(
            data.x_train,
            validation_data=(data.x_test,),
            initial_epoch=len(backup.history.get("loss", ())),
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            callbacks=callbacks,
            verbose=verbose,
        )
    except KeyboardInterrupt:
        finished = len(backup.history.get("loss", ()))
        if not finished:
            raise
        print(
            f"\nInterrupted: the model is written as it is after {finished} of {arguments.epochs} epochs. Ctrl-C again "
            "writes nothing; the same command then resumes after the last backup.",
            flush=True,
        )
        return True
    if not all(math.isfinite(loss) for loss in backup.history["loss"]):
        backup.remove()
        raise ValueError("The training diverged, its loss is not finite: choose a smaller --learning-rate.")
    return False


class _Backup:
    """The state of a training in a folder, from which the same command resumes after its process was killed.

    Keras' `BackupAndRestore` keeps no history, does not see that it belongs to another run, and overwrites its files in
    place, so that a kill can leave one that does not load. Here a file that says which run it is comes first, and then
    one with both model and history.

    Attributes:
        folder: Where it is; the process holds its lock.
        history: The numbers of each finished epoch, those of an earlier process included.
        seconds: How long all processes trained.
    """

    _STATE = "training.json"  # beside what Keras puts into a .keras file

    def __init__(self, folder: Path, run: dict[str, Any], overwrite: bool):
        """Looks at what an earlier process has left.

        Raises:
            ValueError: If that is another run, and may not be replaced, or is damaged.
        """
        from aezoo.saving import resume

        self.folder = folder
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self._started = time.monotonic()
        self._saved = self._cost = 0.0
        shown = os.path.relpath(folder)
        try:
            before = json.loads((folder / _RUN).read_text())
        except FileNotFoundError:
            before = run
        except ValueError as error:
            raise ValueError(f"{shown} is damaged: remove it to start anew.") from error
        if differing := resume.sentence(resume.differences(before, run)):
            if not overwrite:
                raise ValueError(
                    f"{shown} has an unfinished training with other {differing}: give the same to resume it, choose "
                    "another --output, or start anew with --overwrite."
                )
            print(f"Not going on from {shown}, which has a training with other {differing}, and is replaced")
            self.remove()
        with _files.atomic_write(folder / _RUN) as path:
            path.write_text(json.dumps(run))

    def restored(self) -> keras.Model | None:
        """The model as an earlier process left it, or None.

        Raises:
            ValueError: If the file is damaged.
        """
        import keras

        path = self.folder / _MODEL
        _files.recover(path)
        if not path.exists():
            return None
        folder = os.path.relpath(self.folder)
        try:
            with zipfile.ZipFile(path) as archive:
                state = json.loads(archive.read(self._STATE))
            self.history, seconds = state["history"], state["seconds"]
            model = keras.saving.load_model(path)
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"{folder} is damaged: remove it to start anew.") from error
        self._started -= seconds
        print(f"Going on after epoch {int(model.epoch.numpy())}, from {folder} (remove it to start anew)")
        return model

    def callback(self) -> keras.callbacks.Callback:
        """Keeps the history, and backs it up with the model at the ends of epochs."""
        import keras

        def on_epoch_end(epoch: int, logs: dict[str, float]) -> None:
            for name, value in logs.items():
                self.history.setdefault(name, []).append(float(value))
            self._save(callback.model)

        callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
        return callback

    def _save(self, model: keras.Model) -> None:
        start = time.monotonic()
        self.seconds = start - self._started
        if not math.isfinite(self.history["loss"][-1]) or start - self._saved < 10 * self._cost:
            return  # where epochs are short, a backup after each would be most of the time
        state = {"history": self.history, "seconds": self.seconds}
        with _files.atomic_write(self.folder / _MODEL) as path:
            model.save(path)
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(self._STATE, json.dumps(state))
        self._saved = time.monotonic()
        self._cost = self._saved - start

    def remove(self) -> None:
        """Removes what there is to resume from."""
        from aezoo.pretraining.checkpoint import Checkpoint

        (self.folder / _MODEL).unlink(missing_ok=True)
        Checkpoint.remove(self.folder / _LAYERS)
        (self.folder / _RUN).unlink(missing_ok=True)  # last: it says what the others are of


# === Results ===


def _metrics(model: keras.Model, data: _Data) -> tuple[dict[str, float | int | None], str]:
    """The metrics of the test split, and how its active units are counted."""
    import numpy as np

    import aezoo
    from aezoo import evaluation, losses

    if isinstance(model, aezoo.SketchRNN):
        return model.evaluate(data.x_test, return_dict=True, verbose=0), ""
    z_test = _vectors(model.encoder.predict(data.x_test, verbose=0))
    errors = evaluation.reconstruction_error(model, data.x_test)
    squared = evaluation.reconstruction_error(model, data.x_test, losses.SquaredError())
    tol = evaluation.activity_threshold(model)
    metrics: dict[str, float | int | None] = {
        "reconstruction_error": float(np.mean(errors, dtype="float64")),
        "mean_squared_error": float(np.mean(squared, dtype="float64")) / math.prod(data.x_test.shape[1:]),
        "probe_error_codes": None,
        "probe_error_pixels": None,
        "l0": evaluation.l0(z_test, tol),
        "dead_units": evaluation.dead_units(z_test, tol),
        "activity_threshold": tol,
    }
    if data.y_train is not None and len(np.unique(data.y_train)) > 1:
        z_train = _vectors(model.encoder.predict(data.x_train, verbose=0))
        metrics["probe_error_codes"] = evaluation.linear_probe(z_train, data.y_train, z_test, data.y_test)
        metrics["probe_error_pixels"] = evaluation.linear_probe(data.x_train, data.y_train, data.x_test, data.y_test)
    return metrics, f"of {z_test.shape[1]}, |z| > {tol:g}"


def _vectors(z: Any) -> Any:
    """Codes as (n, units), those of a spatial code too."""
    return z.reshape(len(z), -1)


def _print_table(metrics: dict[str, float | int | None], units: str) -> None:
    rows = [
        ("reconstruction error a sample", "reconstruction_error", ".4f", ""),
        ("mean squared error a feature", "mean_squared_error", ".5f", ""),
        ("error of a linear probe on codes", "probe_error_codes", ".2%", ""),
        ("error of a linear probe on pixels", "probe_error_pixels", ".2%", ""),
        ("active units per sample (L0)", "l0", ".1f", units),
        ("dead units", "dead_units", "d", units),
        ("reconstruction error L_R a step", "reconstruction", ".4f", "nats"),
        ("divergence L_KL a code unit", "kl_divergence", ".4f", "nats"),
        ("negative log-likelihood a sketch", "negative_log_likelihood", ".2f", "nats"),
    ]
    print("\nOn the test split:")
    for label, name, form, note in rows:
        if metrics.get(name) is not None:
            print(f"  {label:34}{format(metrics[name], form):>10}{note and f'  ({note})'}")
    print()


def _write(
    output: Path,
    there: dict[str, tuple[int, int]],
    model: keras.Model,
    data: _Data,
    results: dict[str, Any],
    history: dict[str, Any],
) -> None:
    """Writes the folder of a run, in the place of what was `there` when the run began and of nothing else."""
    import aezoo
    from aezoo import plots

    pictures: dict[str, Callable[[], Any]] = {"history.png": lambda: plots.history(history)}
    if isinstance(model, aezoo.SketchRNN):
        pictures |= _sketch_pictures(model, data.x_test)
    else:
        corrupted = _corrupted(model, data)
        pictures["reconstructions.png"] = lambda: plots.reconstructions(model, data.x_test, corrupted=corrupted)
        pictures["filters.png"] = lambda: plots.filters(model)
        if hasattr(model, "sample"):
            pictures["samples.png"] = lambda: plots.samples(model.sample(50))
        if isinstance(model, aezoo.VAE):
            pictures["interpolation.png"] = lambda: plots.interpolation(model, data.x_test[:5], data.x_test[5:10])
            if model.code_shape == (2,):
                pictures["manifold.png"] = lambda: plots.manifold(model)

    def foreign(folder: Path) -> list[str]:
        return [] if _contents(folder) == there else _files.files(folder)

    with _files.atomic_write(output, foreign) as folder:
        folder.mkdir()
        model.save(folder / "model.keras")
        model.export(folder / "1")
        (folder / "metrics.json").write_text(json.dumps(results, indent=2) + "\n")
        for name, draw in pictures.items():
            try:
                draw().savefig(folder / name)
            except ValueError as error:
                print(f"{name} is left out: {' '.join(str(error).split())}")


def _sketch_pictures(model: keras.Model, x: Any) -> dict[str, Callable[[], Any]]:
    import numpy as np

    from aezoo import plots

    temperatures = (0.2, 0.5, 0.8)
    pairs = min(4, len(x) // 2)

    def reconstructions() -> Any:
        few = x[:10]
        pair = np.concatenate([few, model.reconstruct(few)])
        return plots.sketches(pair, columns=len(few), row_labels=["input", "reconstruction"])

    def samples() -> Any:
        rows = [np.asarray(model.sample(10, temperature)) for temperature in temperatures]
        return plots.sketches(np.concatenate(rows), row_labels=[f"τ = {temperature:g}" for temperature in temperatures])

    def interpolation() -> Any:
        path = np.asarray(model.interpolate(x[:pairs], x[pairs : 2 * pairs], steps=10))
        return plots.sketches(path.reshape(-1, *x.shape[1:]))

    return {"reconstructions.png": reconstructions, "samples.png": samples, "interpolation.png": interpolation}


def _corrupted(model: keras.Model, data: _Data) -> Any:
    """Damaged test images for a model that repairs them, None for any other."""
    corruption = getattr(model, "corruption", None)
    return None if corruption is None else corruption(data.x_test, training=True)
