"""Deep networks on MNIST from a DBN: an autoencoder and a classifier (Hinton & Salakhutdinov 2006).

    TFDS_DATA_DIR=... python benchmarks/papers/hinton2006.py [--rows ROW ...] [--plot FILE.png]

784-1000-500-250-30 as an autoencoder, from a DBN and from random weights, beside PCA with 30 components; the measure is
the squared error per test image, as in the paper. 784-500-500-2000-10 as a classifier, from a DBN. Fine-tuning
minimizes the cross-entropy with Adam (autoencoder) or SGD with momentum (classifier), where the paper used conjugate
gradients. `error` in the saved runs is the squared error or the share of wrong classes in %. They also have the test
error after each epoch, which chooses nothing; `--plot` draws these.
"""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import configurations
import keras
import numpy as np
from one_layer import adam, data, fine_tuned
from reporting import HERE, Clock, Row, squared_error
from runner import Configuration, Runs, Setting, Table, packed, parser, run_table, run_trials
from sklearn.decomposition import PCA

import aezoo
from aezoo import DBN, RBM, Autoencoder
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Step


class TestError(keras.callbacks.Callback):
    """Collect the test error after each epoch."""

    def __init__(self, x_test: np.ndarray):
        super().__init__()
        self.x_test = x_test
        self.errors: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.errors.append(squared_error(self.model, self.x_test))


def pretrained(sizes: list[int], top: str, epochs: int, x: np.ndarray, seed: int) -> DBN:
    """Return a DBN trained with the settings of Hinton's code: the visible units of a reconstruction are means."""
    kinds = ["bernoulli"] * (len(sizes) - 1) + [top]
    dbn = DBN(
        [
            RBM(units, hidden=hidden, sample_visible=False, weight_decay=2e-4, kernel_stddev=0.1, seed=seed)
            for units, hidden in zip(sizes, kinds, strict=True)
        ]
    )
    momentum = Step([5], [0.5, 0.9])
    optimizers = [ScheduledSGD(0.1 if hidden == "bernoulli" else 0.001, momentum=momentum) for hidden in kinds]
    dbn.pretrain(x, epochs=epochs, batch_size=100, optimizer=optimizers, seed=seed)
    return dbn


def pca(components: int, x: np.ndarray, x_test: np.ndarray) -> float:
    """Return the squared error per test image of PCA."""
    flat, flat_test = (part.reshape(len(part), -1) for part in (x, x_test))
    projection = PCA(components, random_state=0).fit(flat)
    return float(((projection.inverse_transform(projection.transform(flat_test)) - flat_test) ** 2).sum(axis=1).mean())


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Pretrain and fine-tune a network, or fit PCA."""
    (x, y), (x_test, y_test) = data(setting)
    sizes, tuning = configuration["sizes"], configuration.get("fine_tuning")
    if tuning is None:
        return {"error": pca(sizes[-1], x, x_test)}
    clock = Clock()
    if configuration["kind"] == "classifier":
        classifier = pretrained(sizes, "bernoulli", configuration["epochs"], x, setting.seed).to_classifier(10)
        wrong = fine_tuned(classifier, tuning, x, y, x_test) != y_test
        return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong), "minutes": clock.minutes}
    found: dict[str, Any] = {}
    if configuration["epochs"]:
        model = pretrained(sizes, "gaussian", configuration["epochs"], x, setting.seed).unroll()
        found |= {"pretraining_minutes": clock.minutes, "before": squared_error(model, x_test)}
    else:
        model = Autoencoder(
            sizes[-1], hidden_dims=sizes[:-1], activation="sigmoid", code_activation="linear", seed=setting.seed
        )
    test = TestError(x_test)
    model.compile(adam(tuning, len(x)), loss=aezoo.losses.CrossEntropy())
    model.fit(x, batch_size=tuning["batch_size"], epochs=tuning["epochs"], verbose=0, callbacks=[test])
    return {**found, "error": test.errors[-1], "by_epoch": test.errors, "minutes": clock.minutes}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    return [
        *runs.row("PCA", "error", "PCA, 30 components", "13.87", "<= 13.9"),
        *[
            dataclasses.replace(row, minutes=statistics.mean(run["pretraining_minutes"] for run in runs.by_row["DBN"]))
            for row in runs.row("DBN", "before", "DBN, unrolled, before fine-tuning")
        ],
        *runs.row("DBN", "error", "DBN, unrolled and fine-tuned", "3.00", "<= 2.8"),
        *runs.row("random weights", "error", "the same sigmoid network from random weights"),
        *runs.row("classifier", "error", "784-500-500-2000-10 from a DBN, test error %", "1.2", "<= 1.25"),
    ]


TABLE = Table(
    name="hinton2006",
    configurations=configurations.DEEP,
    run=run,
    rows=rows,
    trials=configurations.DEEP_TRIALS,
)


def plot(path: Path) -> None:
    """Draw the test error of the saved runs by epoch of backpropagation."""
    saved = json.loads((HERE / "results" / "hinton2006.json").read_text())["runs"]
    errors = {run["row"]: run["by_epoch"] for run in saved if "by_epoch" in run and run["seed"] == 0}
    names = {"DBN": "from a DBN", "random weights": "from random weights"}
    drawn = {"784-1000-500-250-30 on MNIST: what pretraining is worth": {names[row]: by for row, by in errors.items()}}
    aezoo.plots.lines(drawn, x="epoch of backpropagation", y="squared error per test image", log="y").savefig(path)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--plot", type=Path, help="draw the saved runs into this file instead")
    options = options.parse_args()
    if options.plot:
        plot(options.plot)
    else:
        (run_trials if options.trials else run_table)(TABLE, options, Clock())
