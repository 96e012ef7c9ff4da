"""RBM with 500 hidden units on MNIST: pseudo-log-likelihood under PCD, and AIS log-likelihood with centering.

    TFDS_DATA_DIR=... python benchmarks/papers/rbm_likelihood.py

Published: pseudo-log-likelihood -62.76 after 15 epochs of PCD-15 (deeplearning.net tutorial, 122 minutes); test
log-likelihood -84.86 by AIS and -96.61 by reverse AIS after 200 epochs of centered PCD-1 (PyDeep). The images are
binarized by sampling each pixel once with its gray value as probability.
"""

import keras
import numpy as np
from reporting import Clock, Row, StopAfter, arguments, mnist, report

from aezoo import RBM
from aezoo.evaluation import log_likelihood, log_partition
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Linear


def main() -> None:
    options = arguments(
        __doc__, pll_minutes=8.0, ais_minutes=10.0, gibbs_steps=5, learning_rate=0.05, units=500, batch_size=100
    )
    if options.quick:
        options.gibbs_steps = 1
        options.units, options.pll_minutes, options.ais_minutes = 30, 0.0, 0.0
    temperatures = 100 if options.quick else 10_000
    (x, _), (x_test, _) = mnist(options.quick)
    rng = np.random.default_rng(options.seed)
    x, x_test = ((rng.random(data.shape) < data).astype("float32") for data in (x, x_test))
    rows = []

    def train(rbm: RBM, minutes: float, epochs: int) -> RBM:
        rbm.compile(ScheduledSGD(Linear(options.learning_rate, options.learning_rate / 50, epochs)))
        rbm.fit(
            x,
            batch_size=options.batch_size,
            epochs=epochs,
            verbose=2,
            callbacks=[StopAfter(minutes), keras.callbacks.TerminateOnNaN()],
        )
        return rbm

    clock = Clock()
    rbm = train(
        RBM(options.units, persistent=True, gibbs_steps=options.gibbs_steps, seed=options.seed), options.pll_minutes, 15
    )
    pseudo = float(np.mean(rbm.pseudo_log_likelihood(x_test[:2000])))
    rows.append(Row("PCD, pseudo-log-likelihood, 2000 test images", "-62.76", "-65", pseudo, clock.minutes))

    clock = Clock()
    rbm = train(RBM(options.units, persistent=True, centering=True, seed=options.seed), options.ais_minutes, 60)
    for name, reverse, published in (("AIS", False, "-84.86"), ("reverse AIS", True, "-96.61")):
        log_z, error = log_partition(rbm, temperatures=temperatures, reverse=reverse, data=x, seed=options.seed)
        value = float(np.mean(log_likelihood(rbm, x_test, log_z)))
        rows.append(
            Row(f"centered PCD-1, test log-likelihood, {name} ±{error:.2f}", published, "-100", value, clock.minutes)
        )
    report("rbm_likelihood", options, rows)


if __name__ == "__main__":
    main()
