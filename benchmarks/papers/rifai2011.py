"""Contractive and other autoencoders of 1,000 units on MNIST (Rifai et al. 2011, Table 1).

    TFDS_DATA_DIR=... python benchmarks/papers/rifai2011.py [--trials] [--rows ROW ...]

Each model is trained without labels, then its encoder with a softmax layer on top is trained with labels;
configurations.py has the arguments of each. ‖J‖_F is the mean over the test images of the norm of the encoder's
Jacobian before fine-tuning, saturation the share of units below 0.05 or above 0.95. Rifai et al. do not say how they
scaled the norms, so only ratios can be compared. A difference of two rows has the 95 % interval of a paired bootstrap
over the test images.
"""

from typing import Any

import configurations
import numpy as np
from one_layer import classifier_from, codes, data, fine_tuned, first, trained
from reporting import Row
from runner import Configuration, Runs, Setting, Table, main, packed

import aezoo

#: Test error in %, norm in units of 1e-4 and saturation in %, as the paper has them.
PUBLISHED = {
    "CAE": ("1.14", "0.73", "86.36"),
    "DAE-g": ("1.18", "0.86", "17.77"),
    "RBM": ("1.30", "2.50", "78.59"),
    "DAE-b": ("1.57", "7.87", "68.19"),
    "AE+wd": ("1.68", "5.00", "12.97"),
    "AE": ("1.78", "17.5", "49.90"),
}


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a model without labels, measure its code, and fine-tune it."""
    train, (x_test, y_test) = data(setting)
    x, y = first(train, configuration)
    tuning = configuration.pop("fine_tuning")
    model, minutes = trained(configuration, x, setting)
    norm = float(np.mean(aezoo.evaluation.jacobian_norm(model, x_test)))
    saturation = 100 * aezoo.evaluation.saturation(codes(model, x_test))
    wrong = fine_tuned(classifier_from([model]), tuning, x, y, x_test) != y_test
    return {
        "error": 100 * float(wrong.mean()),
        "wrong": packed(wrong),
        "norm": norm,
        "saturation": saturation,
        "pretraining_minutes": minutes,
    }


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    lines: list[Row] = []
    for name, (error, _, _) in PUBLISHED.items():
        target = "<= 1.2" if name == "CAE" else "–"
        lines += runs.row(name, "error", f"{name}: error after fine-tuning, %", error, target)
    for name in ("AE", "DAE-b"):
        lines += runs.difference("CAE", name)
    for name, (_, norm, saturation) in PUBLISHED.items():
        lines += runs.row(name, "norm", f"{name}: ‖J‖", f"{norm}e-4")
        lines += runs.row(name, "saturation", f"{name}: saturated units, %", saturation)
    if "AE" in runs and "CAE" in runs:
        norms = [np.mean([run["norm"] for run in runs.by_row[name]]) for name in ("AE", "CAE")]
        lines.append(Row("‖J‖ of AE over ‖J‖ of CAE", "24", ">= 10", float(norms[0] / norms[1]), 0.0))
    return lines


TABLE = Table(
    name="rifai2011",
    configurations={name: {**configurations.LAYERS[name], **configurations.RIFAI} for name in PUBLISHED},
    run=run,
    rows=rows,
    trials=configurations.RIFAI_TRIALS,
)

if __name__ == "__main__":
    main(TABLE, __doc__)
