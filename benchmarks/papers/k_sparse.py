"""Codes of 1,000 units on MNIST, read by logistic regression and fine-tuned (Makhzani & Frey 2013).

    TFDS_DATA_DIR=... python benchmarks/papers/k_sparse.py [--trials] [--rows ROW ...]

k-sparse autoencoders beside an RBM and denoising, contractive and dropout autoencoders, all with 1,000 units and the
same number of epochs; configurations.py has the arguments of each. k falls from 100 in the first half of the epochs, αk
units stay at inference, and AuxK, which the paper did not have, revives dead units. The penalty of the logistic
regression is chosen on the last 10,000 training images. Published numbers of this table are known from memory only and
are not printed.
"""

from typing import Any

import configurations
import numpy as np
from one_layer import classifier_from, codes, data, fine_tuned, first, probe, trained
from reporting import Row
from runner import Configuration, Runs, Setting, Table, main, packed

import aezoo

NAMES = ["k-sparse, k = 70", "k-sparse, k = 40", "k-sparse, k = 25", "k-sparse, k = 10"]
OTHERS = ["RBM", "DAE-b", "dropout AE", "CAE"]


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a model, and measure a linear classifier on its codes, or fine-tune it."""
    train, (x_test, y_test) = data(setting)
    x, y = first(train, configuration)
    tuning = configuration.pop("fine_tuning", None)
    if configuration["model"] == "pixels":
        return probe(x.reshape(len(x), -1), y, x_test.reshape(len(x_test), -1), y_test, setting)
    model, minutes = trained(configuration, x, setting)
    if tuning:
        wrong = fine_tuned(classifier_from([model]), tuning, x, y, x_test) != y_test
        return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong)}
    z_test = codes(model, x_test)
    found = probe(codes(model, x), y, z_test, y_test, setting, configuration.get("scaling", 0.5))
    used = {"dead": aezoo.evaluation.dead_units(z_test), "active": float(np.mean(np.sum(z_test != 0, axis=1)))}
    return {**found, **used, "minutes": minutes}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    targets = {"k-sparse, k = 25": "<= 1.4"}
    lines = runs.row("raw pixels", "error", "raw pixels, logistic regression, error %")
    for name in NAMES + OTHERS:
        lines += runs.row(name, "error", f"{name}, logistic regression, error %", target=targets.get(name, "–"))
    lines += runs.row("k-sparse, k = 25", "dead", "k-sparse, k = 25: units dead on the test set", target="<= 0")
    plain = "k-sparse, k = 25, without AuxK and α"
    lines += runs.row(plain, "error", f"{plain}, logistic regression, error %")
    lines += runs.row(plain, "dead", f"{plain}: units dead on the test set")
    for name in OTHERS:
        lines += runs.difference("k-sparse, k = 25", name)
    return lines + runs.row(
        "k-sparse, k = 25, fine-tuned", "error", "k-sparse, k = 25, fine-tuned, error %", target="<= 1.2"
    )


TABLE = Table(
    name="k_sparse",
    configurations={
        "k-sparse, k = 25": configurations.LAYERS["k-sparse, k = 25"],
        "k-sparse, k = 25, fine-tuned": configurations.K_SPARSE_TUNED,
        "raw pixels": {"model": "pixels"},
        "k-sparse, k = 25, without AuxK and α": configurations.K_SPARSE_PAPER,
        **{name: configurations.LAYERS[name] for name in NAMES + OTHERS},
    },
    run=run,
    rows=rows,
    trials=configurations.K_SPARSE_TRIALS,
)

if __name__ == "__main__":
    main(TABLE, __doc__)
