"""Parser of the command line, and `aezoo list`.

Each command has a module of its own. TensorFlow is imported only after the parser has found a command that needs it, so
that --version and --help are quick.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence

from aezoo import _docstrings
from aezoo._untrusted import printable
from aezoo.cli import apply, codec, defaults, evaluate, explore, presets
from aezoo.version import __version__

#: The exit status of a program that Ctrl-C stopped.
INTERRUPTED = 130

_DESCRIPTION = """\
Train a model on a data set of images (sketch-rnn: of sketches), or with --data on data of your own; measure it on the
test split as `aezoo evaluate` does; and write a folder with model.keras, 1/ (a SavedModel), metrics.json, history.png,
reconstructions.png and filters.png; for sketches samples.png and interpolation.png replace filters.png."""

_OWN = """\
MODULE:CLASS names a class of your own that extends aezoo.Autoencoder, in a module that is installed or in the working
directory: aezoo train mypackage.models:MyAE."""

_SYNTAX = """\
Write lists with commas: --hidden-dims 500,250. A SCHEDULE is a number, or START:END:EPOCHS, which moves in equal steps
from START to END within that many epochs: --k-schedule 100:25:20.

Ctrl-C ends the training early; the model is evaluated and written as it is. A second Ctrl-C, or one during the
pretraining of a stack, writes nothing. After that, or after the process was killed, run the same command again to
resume from the last backup of the training (a hidden folder beside the output)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: The arguments, without the name of the program; `sys.argv` by default.

    Returns:
        The exit status: 0 for success, 2 if the command failed, 130 if Ctrl-C ended it.

    Raises:
        SystemExit: With status 2 if the arguments are invalid, with 0 after --help and --version.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["shelf"]:
        print("aezoo: `aezoo shelf` is now `aezoo presets`; the next release removes the old name.", file=sys.stderr)
        argv[0] = "presets"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # level 2 still reports a missing GPU as an error
    run = None
    try:
        arguments = _parser(argv).parse_args(argv)
        run = arguments.run
        if run is not _list:
            _import_zoo()
        return run(arguments)
    except KeyboardInterrupt:
        resume = " Run the same command again to resume after the last backup." if run is _train else ""
        print(f"\naezoo: interrupted; nothing was written.{resume}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, OverflowError, MemoryError) as error:
        print(f"aezoo: error: {printable(error, 5000) or type(error).__name__}", file=sys.stderr)
        return 2


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aezoo", description="Autoencoders on Keras 3 and TensorFlow.")
    parser.add_argument("--version", action="version", version=f"aezoo {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="list the models, with their papers")
    listing.set_defaults(run=_list)
    training = commands.add_parser("train", help="train a model", description=_DESCRIPTION)
    names = f"{', '.join(defaults.MODELS)}; or MODULE:CLASS, a class of your own"
    models = training.add_subparsers(
        title="models", description=_OWN, required=True, metavar="MODEL", dest="model", help=names
    )
    own = [name for name in argv[1:2] if argv[0] == "train" and ":" in name]
    for name in (*defaults.MODELS, *own):
        model = models.add_parser(
            name,
            description=_DESCRIPTION,
            epilog=_SYNTAX,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        model.set_defaults(run=_train)
        if name in argv:  # the options of a model come from its class, which imports TensorFlow
            _import_zoo()
            from aezoo.cli import train

            train.add_options(model, name)
    evaluate.add_command(commands)
    apply.add_commands(commands)
    explore.add_command(commands)
    presets.add_commands(commands)
    codec.add_commands(commands)
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from aezoo.cli import train

    return INTERRUPTED if train.run(arguments) else 0


def _list(arguments: argparse.Namespace) -> int:
    width = max(map(len, defaults.MODELS)) + 2
    for name, entry in defaults.MODELS.items():
        described = _docstrings.of_source(entry.stack or entry.class_name)
        for column, text in ((name, _docstrings.summary(described)), ("", _docstrings.reference(described))):
            if text:
                print(f"{column:{width}}{text}")
    return 0


# === Importing TensorFlow ===


def _import_zoo() -> None:
    """Import the whole package, after the console script has imported only its command line (`aezoo_command`)."""
    package = sys.modules["aezoo"]
    if "Autoencoder" not in vars(package):
        with _without_log_lines():
            package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]  # it has both


# Lines that TensorFlow logs on import, before it applies its log level; fatal ones do not match.
_LOG_LINE = re.compile(rb"WARNING: All log messages before absl|[IWE]0000 |\d{4}-\d\d-\d\d [\d:.]+: [IWE] ")


@contextlib.contextmanager
def _without_log_lines() -> Iterator[None]:
    """Drop the log lines of TensorFlow's import from standard error, and keep everything else."""
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
