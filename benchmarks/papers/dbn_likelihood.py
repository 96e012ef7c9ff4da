"""Likelihood of a deep belief network, and of RBMs with parallel tempering, on binarized MNIST.

    TFDS_DATA_DIR=... python benchmarks/papers/dbn_likelihood.py [--rows ROW ...] [--seeds 1]

The data are those of rbm_likelihood.py: each pixel is set to 1 once, with its gray value as probability. log Z is
annealed forward, with the training images or their codes as data for the reverse check.

- "DBN": a centered RBM of 500 units, and a second one of 500 units on its codes, both trained by PCD-1. Measured are
  the log-likelihood of the first machine alone, the variational bound of both together, its importance-weighted
  version, and the bounds after the up-down algorithm. -84.55 is the log-likelihood of the DBN of Murray & Salakhutdinov
  2009 as Burda et al. 2016 quote it; that network is larger and was trained longer, so the numbers are not a
  comparison of methods.
- "digits: …": the same on the bundled digits of 8×8 pixels, with 16 hidden units in each machine, so that log Z and the
  likelihood of an RBM are exact. "rate 0.5" is ten times the rate.
- "PCD" and "parallel tempering": the same RBM with the same number of epochs, with one chain per sample of the model or
  a ladder of ten. The tempered training takes more time per epoch, as the column of minutes shows.
"""

from typing import Any

import configurations
import numpy as np
from one_layer import split
from reporting import Clock, Row, mnist
from runner import Configuration, Runs, Setting, Table, main

import aezoo
from aezoo.evaluation import log_likelihood, log_likelihood_bound, log_partition
from aezoo.optimizers import ScheduledSGD
from aezoo.pretraining import wake_sleep
from aezoo.schedules import Linear


def machine(configuration: Configuration, units: int, seed: int) -> aezoo.RBM:
    """Return a centered machine that trains by PCD-1, compiled."""
    rbm = aezoo.RBM(
        units,
        persistent=True,
        centering=True,
        chains=configuration["chains"],
        temperatures=configuration.get("ladder", 1),
        seed=seed,
    )
    rate = configuration["learning_rate"]
    rbm.compile(ScheduledSGD(Linear(rate, rate / 50, configuration["epochs"])))
    return rbm


def annealed(rbm: aezoo.RBM, x: np.ndarray, configuration: Configuration, seed: int) -> tuple[float, float]:
    """Return log Z and its error."""
    return log_partition(
        rbm, temperatures=configuration["temperatures"], particles=configuration["particles"], data=x, seed=seed
    )


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a machine or a network, and estimate the likelihood of the test images."""
    digits = configuration.get("digits") and not setting.quick
    (x, y), (x_test, _) = aezoo.datasets.load("digits") if digits else mnist(setting.quick)
    x, x_test = (
        (np.random.default_rng(i).random(part.shape) < part).astype("float32") for i, part in enumerate((x, x_test))
    )
    if setting.validation:
        (x, _), (x_test, _) = split((x, y), setting)
    clock, seed = Clock(), setting.seed
    batch_size, epochs = configuration["batch_size"], configuration["epochs"]
    rbm = machine(configuration, configuration["units"], seed)
    if "top_units" not in configuration:
        history = rbm.fit(x, batch_size=batch_size, epochs=epochs, verbose=0).history
        found = {"minutes": clock.minutes, "swap_rate": history.get("swap_rate", [None])[-1]}
        log_z, error = annealed(rbm, x, configuration, seed)
        return {**found, "forward": float(np.mean(log_likelihood(rbm, x_test, log_z))), "error": error}
    dbn = aezoo.DBN([rbm, machine(configuration, configuration["top_units"], seed + 1)])
    dbn.pretrain(x, batch_size=batch_size, epochs=epochs, seed=seed, verbose=0)
    found = {"minutes": clock.minutes}
    log_z, error = annealed(rbm, x, configuration, seed)
    found |= {"first": float(np.mean(log_likelihood(rbm, x_test, log_z))), "first_error": error}
    fine = wake_sleep(
        dbn,
        x,
        epochs=configuration["fine_tuning_epochs"],
        learning_rate=configuration["fine_tuning_rate"],
        seed=seed,
        verbose=0,
    )
    for name, network in (("", dbn), ("tuned_", fine)):
        log_z, error = annealed(network.rbms[-1], np.asarray(network.rbms[0].encode(x)), configuration, seed)
        options = {"samples": configuration["samples"], "seed": seed}
        found |= {
            f"{name}error": error,
            f"{name}bound": float(np.mean(log_likelihood_bound(network, x_test, log_z, **options))),
            f"{name}weighted": float(np.mean(log_likelihood_bound(network, x_test, log_z, importance=True, **options))),
        }
    return found


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    return [
        *runs.row("DBN", "first", "first RBM of the DBN, test log-likelihood, AIS"),
        *runs.row("DBN", "bound", "DBN bound, test", "-84.55"),
        *runs.row("DBN", "weighted", "DBN, importance-weighted bound", "-84.55"),
        *runs.row("DBN", "tuned_bound", "DBN bound after up-down"),
        *runs.row("DBN", "tuned_weighted", "DBN, importance-weighted bound after up-down"),
        *runs.row("digits: PCD", "forward", "digits: RBM, PCD-1, exact test log-likelihood"),
        *runs.row("digits: parallel tempering", "forward", "digits: RBM, tempering, exact test log-likelihood"),
        *runs.row("digits: PCD, rate 0.5", "forward", "digits: RBM, PCD-1, rate 0.5, exact"),
        *runs.row("digits: parallel tempering, rate 0.5", "forward", "digits: RBM, tempering, rate 0.5, exact"),
        *runs.row("digits: DBN", "first", "digits: first RBM of the DBN, exact test log-likelihood"),
        *runs.row("digits: DBN", "bound", "digits: DBN bound, test"),
        *runs.row("digits: DBN", "weighted", "digits: DBN, importance-weighted bound"),
        *runs.row("digits: DBN", "tuned_bound", "digits: DBN bound after up-down"),
        *runs.row("digits: DBN", "tuned_weighted", "digits: DBN, importance-weighted bound after up-down"),
        *runs.row("PCD", "forward", "RBM, PCD-1, test log-likelihood, AIS"),
        *runs.row("parallel tempering", "forward", "RBM, parallel tempering, test log-likelihood, AIS"),
    ]


TABLE = Table(name="dbn_likelihood", configurations=configurations.DBN_LIKELIHOOD, run=run, rows=rows, measure="bound")

if __name__ == "__main__":
    main(TABLE, __doc__)
