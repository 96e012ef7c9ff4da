"""Stacked denoising autoencoder → classifier and DBN → classifier on MNIST (deeplearning.net tutorials).

    TFDS_DATA_DIR=... python benchmarks/papers/deep_classifiers.py [--rows ROW ...]

784-1000-1000-1000-10, with the corruption levels of the tutorial's SdA (0.1, 0.2, 0.3). Published: SdA 1.3 %, DBN
1.34 % test error, after 1029 and 716 minutes on the machine of the tutorial. configurations.py has epochs and rates.
"""

from typing import Any

import configurations
from one_layer import data, fine_tuned
from reporting import Row
from runner import Configuration, Runs, Setting, Table, main, packed

from aezoo import DBN, RBM, DenoisingAE, StackedAE


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Pretrain a stack layer by layer, fine-tune it and measure the classifier."""
    (x, y), (x_test, y_test) = data(setting)
    units, seed = configuration["units"], setting.seed
    corruptions = configuration["corruptions"]
    if configuration["model"] == "DBN":
        stack = DBN([RBM(units, seed=seed) for _ in corruptions])
    else:
        stack = StackedAE([DenoisingAE(units, corruption=c, tied=True, seed=seed) for c in corruptions])
    stack.pretrain(x, epochs=configuration["epochs"], batch_size=100, seed=seed)
    wrong = fine_tuned(stack.to_classifier(10), configuration["fine_tuning"], x, y, x_test) != y_test
    return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong)}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    return [
        *runs.row("SdA", "error", "stacked denoising AE → classifier, test error %", "1.3", "<= 1.5"),
        *runs.row("DBN", "error", "DBN → classifier, test error %", "1.34", "<= 1.5"),
    ]


TABLE = Table(
    name="deep_classifiers",
    configurations=configurations.TUTORIAL,
    run=run,
    rows=rows,
)

if __name__ == "__main__":
    main(TABLE, __doc__)
