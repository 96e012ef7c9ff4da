"""RBM with 500 hidden units on MNIST under PCD: the pseudo-log-likelihood as deeplearning.net's tutorial measures it.

    TFDS_DATA_DIR=... python benchmarks/papers/rbm_pseudo_likelihood.py

The tutorial trains on the gray values themselves and measures on images rounded to 0 and 1. Their pixels are far easier
to predict from their neighbors than pixels that are drawn, with the gray value as probability; `rbm_likelihood.py`
measures such images.
Published: -62.76 after 15 epochs of PCD-15 with batches of 20 (122 minutes), as an estimate of one flipped bit a
sample on training data; ours is exact, on the first 2000 test images.
"""

import keras
import numpy as np
from reporting import Clock, Row, StopAfter, arguments, mnist, report

from aezoo import RBM
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Linear


def main() -> None:
    options = arguments(
        __doc__, minutes=8.0, gibbs_steps=5, learning_rate=0.1, units=500, batch_size=50, chains=50, epochs=15
    )
    if options.quick:
        options.gibbs_steps = 1
        options.units, options.minutes = 30, 0.0
    (x, _), (x_test, _) = mnist(options.quick)
    clock = Clock()
    rbm = RBM(
        options.units,
        persistent=True,
        chains=options.chains,
        gibbs_steps=options.gibbs_steps,
        seed=options.seed,
    )
    rbm.compile(ScheduledSGD(Linear(options.learning_rate, options.learning_rate / 50, options.epochs)))
    rbm.fit(
        x,
        batch_size=options.batch_size,
        epochs=options.epochs,
        verbose=2,
        callbacks=[StopAfter(options.minutes), keras.callbacks.TerminateOnNaN()],
    )
    pseudo = float(np.mean(rbm.pseudo_log_likelihood(np.round(x_test[:2000]))))
    row = Row("PCD, pseudo-log-likelihood, rounded test images", "-62.76", "-65", pseudo, clock.minutes)
    report("rbm_pseudo_likelihood", options, [row])


if __name__ == "__main__":
    main()
