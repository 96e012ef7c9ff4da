"""Log-likelihood of a centered RBM with 500 hidden units on binarized MNIST (Melchior et al. 2016).

    TFDS_DATA_DIR=... python benchmarks/papers/rbm_likelihood.py [--trials]

Published: test log-likelihood -84.86 by annealed importance sampling (AIS) and -96.61 by reverse AIS after 200 epochs
of centered PCD-1 (PyDeep). Each pixel is set to 1 once, with its gray value as probability. The pseudo-log-likelihood
of these images is worse than the published one of rounded images, which `rbm_pseudo_likelihood.py` measures.
"""

from typing import Any

import configurations
import numpy as np
from one_layer import split
from reporting import Clock, Row, mnist
from runner import Configuration, Runs, Setting, Table, main

import aezoo
from aezoo.evaluation import log_likelihood, log_partition
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Linear


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a machine by PCD-1, and estimate the likelihood of the test images in both directions."""
    (x, y), (x_test, _) = mnist(setting.quick)
    x, x_test = (
        (np.random.default_rng(i).random(part.shape) < part).astype("float32") for i, part in enumerate((x, x_test))
    )
    if setting.validation:
        (x, _), (x_test, _) = split((x, y), setting)
    clock = Clock()
    rbm = aezoo.RBM(
        configuration["units"], persistent=True, centering=True, chains=configuration["chains"], seed=setting.seed
    )
    rate, epochs = configuration["learning_rate"], configuration["epochs"]
    rbm.compile(ScheduledSGD(Linear(rate, rate / 50, epochs)))
    rbm.fit(x, batch_size=configuration["batch_size"], epochs=epochs, verbose=0)
    found = {"minutes": clock.minutes}
    for name, reverse in (("forward", False), ("reverse", True)):
        log_z, error = log_partition(
            rbm,
            temperatures=configuration["temperatures"],
            particles=configuration["particles"],
            reverse=reverse,
            data=x,
            seed=setting.seed,
        )
        found |= {name: float(np.mean(log_likelihood(rbm, x_test, log_z))), f"{name}_error": error}
    found["pseudo"] = float(np.mean(rbm.pseudo_log_likelihood(x_test[:2000])))
    return {**found, "apart": abs(found["forward"] - found["reverse"])}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    what = "centered PCD-1, test log-likelihood, "
    pseudo = "centered PCD-1, pseudo-log-likelihood, 2000 test images"
    return [
        *runs.row("RBM", "pseudo", pseudo, "-62.76", "-65"),
        *runs.row("RBM", "forward", f"{what}AIS", "-84.86", "-95"),
        *runs.row("RBM", "reverse", f"{what}reverse AIS", "-96.61", "-95"),
        *runs.row("RBM", "apart", "difference of the directions, nats", target="<= 1"),
    ]


TABLE = Table(
    name="rbm_likelihood",
    configurations={"RBM": configurations.RBM},
    run=run,
    rows=rows,
    trials={"RBM": configurations.RBM_TRIALS},
    measure="forward",
)

if __name__ == "__main__":
    main(TABLE, __doc__)
