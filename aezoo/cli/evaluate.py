"""Command `aezoo evaluate`: measure a trained model."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aezoo import _untrusted
from aezoo.cli import loading, own_data

if TYPE_CHECKING:
    import aezoo

#: A data set of TensorFlow Datasets with its configuration and version; names of communities do not match.
_PLAIN = re.compile(r"\w+(/[\w.-]+)?(:\d+\.\d+\.\d+)?")

_DESCRIPTION = """\
Measure a model on the test split of a data set: reconstruction error, explained variance compared with a PCA of as many
components, sparsity, dead units, norm of the Jacobian, saturation and, if the data have labels, the error of a linear
probe. The PCA and the probe are fitted on the training split."""


def add_command(commands: Any) -> None:
    """Add the command to the command line."""
    evaluate = commands.add_parser("evaluate", help="measure a trained model", description=_DESCRIPTION)
    evaluate.add_argument("model", metavar="DIR", help="a folder that `aezoo train` wrote, or a .keras file")
    evaluate.add_argument(
        "--dataset",
        metavar="NAME",
        help="as for `aezoo train` (default: the data that the model was trained on, if they are on this machine)",
    )
    evaluate.add_argument(
        "--data", type=loading.name, metavar="PATH", help=f"data of your own, all of it for testing: {own_data.FORMS}"
    )
    evaluate.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="use only the first N samples of each split, at least 2 (default: all samples of a named data set, and "
        f"the first {own_data.MEASURED:,} of --data)",
    )
    own_data.add_applying_options(evaluate, batch_size=None)
    loading.add_import(evaluate)
    evaluate.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from aezoo import _validation, evaluation

    if arguments.limit is not None:
        _validation.check_int("--limit", arguments.limit, 2)
    model, path = loading.load(arguments.model, "aezoo train", arguments.modules)
    if arguments.data is not None:
        print(*_own(model, path, arguments), sep="\n")
        return 0
    known_name = trained_on(path)
    name = arguments.dataset or known_name
    if name is None:
        raise ValueError(f"No metrics.json beside {path} names the data that it was trained on: give --dataset.")
    if arguments.skip_corrupt:
        own_data.check_applies("skip_corrupt", name, "named")
    load = loading.data_loader(model)
    if arguments.dataset is None and not is_here(name, model.data):
        raise ValueError(
            f"{path} was trained on {name!r} according to the metrics.json beside it, and these data are not on this "
            f"machine: if you trust the file, download them with --dataset {name}."
        )
    train: Any
    test: Any
    train, test = (tuple(None if part is None else part[: arguments.limit] for part in split) for split in load(name))
    try:
        _validation.check_sample_shape(model, test[0].shape)
    except ValueError as error:
        known = f" (it was trained on {known_name!r})" if known_name else ""
        raise ValueError(f"{name!r} does not fit this model{known}: {error} Give another --dataset.") from None
    train, test = (loading.with_conditions(model, *split) for split in (train, test))
    report = evaluation.report(model, test, train=train, batch_size=arguments.batch_size)
    print(report.markdown() if arguments.markdown else report)
    return 0


def _own(model: aezoo.Autoencoder, path: Path, arguments: argparse.Namespace) -> list[Any]:
    """Measure the model of a file on the user's own data; return the lines to print."""
    from aezoo import evaluation
    from aezoo.cli import reading

    if arguments.dataset is not None:
        raise ValueError("Give --dataset or --data, not both.")
    most = own_data.MEASURED if arguments.limit is None else arguments.limit
    at_once = min(arguments.batch_size or 256, most)
    data = reading.rows(model, Path(arguments.data), at_once, arguments.skip_corrupt, loading.class_names(path))
    with reading.readable_errors():
        count = min(most, data.count)
        x = reading.in_memory(reading.progress(data.batches, count, "evaluate", arguments.quiet), most)
        y = None if data.labels is None else data.labels[: len(x)]
        report = evaluation.report(model, loading.with_conditions(model, x, y), batch_size=arguments.batch_size)
    lines: list[Any] = []
    if len(x) < data.count:
        lines.append(f"Measured on the first {len(x):,} of {data.count:,} samples; --limit {data.count} takes all.")
    return [*lines, report.markdown() if arguments.markdown else report]


def trained_on(path: Path) -> str | None:
    """Return the name of the data set in the metrics.json beside a model; None if there is none."""
    try:
        name = _untrusted.read_json(path.parent / "metrics.json")["dataset"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def is_here(name: str, kind: str) -> bool:
    """Return whether a data set named by an untrusted file can be read without a download and without foreign code."""
    from aezoo.datasets import loading

    if kind == "sketches":
        return name == "shapes" or (name.endswith((".npz", ".ndjson")) and Path(name).is_file())
    return bool(_PLAIN.fullmatch(name)) and loading.is_here(name)
