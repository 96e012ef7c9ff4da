"""How fast an epoch of an RBM is, beside scikit-learn's BernoulliRBM.

    TFDS_DATA_DIR=... python benchmarks/speed/rbm.py [--quick] [--output FILE.json]

784-500, on 20,000 binarised MNIST digits (the bundled digits with --quick), batches of 100 and of 10. scikit-learn runs
PCD-1, ours PCD-1 and CD-1, all with the same learning rate and number of epochs and no momentum; by default, and with
`jit_compile=True`, which `fit` chooses in a training of more than about ten seconds. All run in turn, a round keeps the
fastest epoch of each, and a ratio (scikit-learn's seconds over ours: higher is better) is taken within a round. The
pseudo-log-likelihood after those epochs is exact, on 500 test images.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing
from sklearn.neural_network import BernoulliRBM

import aezoo

GOALS = {100: 2.0, 10: 1.0}
LEARNING_RATE = 0.05


def main() -> None:
    arguments = timing.parser(__doc__).parse_args()
    keras.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    (x, _), (x_test, _) = aezoo.datasets.load("digits" if arguments.quick else "mnist")
    samples, units, rounds = (200, 20, 1) if arguments.quick else (20_000, 500, 5)
    x, x_test = ((rng.random(a.shape) < a).astype("float32") for a in (x[:samples], x_test[:500]))
    flat = x.reshape(len(x), -1)
    results, rows = {}, []
    for batch_size, goal in list(GOALS.items())[: 1 if arguments.quick else None]:
        theirs = BernoulliRBM(units, learning_rate=LEARNING_RATE, batch_size=batch_size, random_state=arguments.seed)
        ours = {}
        for compiled in ("", ", jit_compile=True"):
            ours["PCD-1" + compiled] = aezoo.RBM(units, persistent=True, chains=batch_size, seed=arguments.seed)
            ours["CD-1" + compiled] = aezoo.RBM(units, seed=arguments.seed)
        batches = range(0, len(flat) - batch_size + 1, batch_size)

        def scikit_learn(theirs=theirs, batches=batches, batch_size=batch_size) -> None:
            for start in batches:
                theirs.partial_fit(flat[start : start + batch_size])

        contenders = {"scikit-learn": scikit_learn}
        for name, rbm in ours.items():
            compiled = {"jit_compile": True} if name.endswith("jit_compile=True") else {}
            rbm.compile(keras.optimizers.SGD(LEARNING_RATE), **compiled)
            contenders[name] = lambda rbm=rbm, batch_size=batch_size: (
                rbm.fit(x, batch_size=batch_size, verbose=0) and None
            )
        seconds = timing.interleaved(contenders, rounds, passes=1)
        likelihood = {name: float(np.mean(rbm.pseudo_log_likelihood(x_test))) for name, rbm in ours.items()}
        # scikit-learn's own estimate flips one bit at random; ours of its weights is exact, as for the others.
        same = aezoo.RBM(units)
        same.build((None, *x.shape[1:]))
        same.encoder.set_weights([theirs.components_.T, theirs.intercept_hidden_])
        same.decoder.set_weights([theirs.components_.T, theirs.intercept_visible_])
        likelihood["scikit-learn"] = float(np.mean(same.pseudo_log_likelihood(x_test)))
        for name in ours:
            ratio = timing.ratio(seconds["wall"]["scikit-learn"], seconds["wall"][name])
            cpu = timing.ratio(seconds["cpu"]["scikit-learn"], seconds["cpu"][name])
            reached = ratio["median"] >= goal and likelihood[name] >= likelihood["scikit-learn"]
            results[f"{name}, batch {batch_size}"] = {
                **ratio,
                "cpu": cpu,
                "goal": goal,
                "reached": reached,
                "pseudo_log_likelihood": likelihood,
            }
            rows.append(
                (
                    f"{name}, batch {batch_size}",
                    timing.shown(ratio),
                    f">= {goal}",
                    "yes" if reached else "NO",
                    timing.shown(cpu),
                    f"{likelihood[name]:.1f}",
                    f"{likelihood['scikit-learn']:.1f}",
                )
            )
    header = ("ours", "speed-up, wall", "goal", "reached", "speed-up, CPU", "pseudo-LL", "scikit-learn's")
    print(timing.table(header, rows))
    timing.write(arguments.output, {"machine": timing.machine(), "seed": arguments.seed, "results": results})


if __name__ == "__main__":
    main()
