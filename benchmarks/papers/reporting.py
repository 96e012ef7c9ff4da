"""What the paper scripts share: data, a clock, and the table "published / ours / minutes"."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import sys
import time
from pathlib import Path

import keras
import numpy as np

import aezoo

HERE = Path(__file__).parent


@dataclasses.dataclass
class Row:
    what: str
    published: str  # "–" where a paper gives none; "[M]" marks a number quoted from memory, which is never printed
    target: str
    ours: float
    minutes: float
    deviation: float | None = None  # over the seeds
    seeds: int = 1


def arguments(description: str, **defaults: float) -> argparse.Namespace:
    """The options of a script: those given here with their defaults, the seed, and a quick run that shows it works."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few samples and epochs: the numbers mean nothing")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    return options


def mnist(quick: bool) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """MNIST, or with `quick` a few of the bundled digits, which need no download."""
    if not quick:
        return aezoo.datasets.load("mnist")
    # Whole hundreds: each size of a batch is traced.
    (x, y), (x_test, y_test) = aezoo.datasets.load("digits")
    return (x[:300], y[:300]), (x_test[:100], y_test[:100])


class StopAfter(keras.callbacks.Callback):
    """Ends training at the first epoch's end after so many minutes."""

    def __init__(self, minutes: float):
        super().__init__()
        self.minutes = minutes

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if time.perf_counter() - self.start > 60 * self.minutes:
            self.model.stop_training = True


class Clock:
    """Minutes since it was made."""

    def __init__(self):
        self.start = time.perf_counter()

    @property
    def minutes(self) -> float:
        return (time.perf_counter() - self.start) / 60


def squared_error(model, x: np.ndarray) -> float:
    """Squared error summed over the pixels of an image, averaged over images: the metric of Hinton & Salakhutdinov."""
    return float(np.mean(np.sum((model.predict(x, batch_size=1000, verbose=0) - x).reshape(len(x), -1) ** 2, axis=1)))


def report(name: str, options: argparse.Namespace, rows: list[Row], **more) -> None:
    """Prints the table, and unless the run was quick writes it beside the scripts."""
    print(f"\n{'':44s}{'published':>12s}{'target':>12s}{'ours':>10s}{'minutes':>9s}")
    for row in rows:
        print(f"{row.what:44s}{row.published:>12s}{row.target:>12s}{row.ours:10.4g}{row.minutes:9.1f}")
    if options.quick:
        return
    result = {
        "script": f"benchmarks/papers/{Path(sys.argv[0]).name}",  # which may have other results of other names
        "options": {name: value for name, value in vars(options).items() if name != "plot"},
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "versions": {"aezoo": aezoo.__version__, "keras": keras.__version__},
        "rows": [dataclasses.asdict(row) for row in rows],
        **more,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
