"""k-sparse autoencoder on MNIST (Makhzani & Frey 2013): error of a linear classifier on the codes, against raw pixels.

    TFDS_DATA_DIR=... python benchmarks/papers/k_sparse.py

1000 units, tied, linear; k falls from 100 to 25 over the first half of the epochs, αk units stay at inference; AuxK
against dead units, which the paper did not have.
"""

import keras
from reporting import Clock, Row, arguments, mnist, report

import aezoo
from aezoo.evaluation import dead_units, l0, linear_probe
from aezoo.schedules import Linear


def main() -> None:
    options = arguments(__doc__, epochs=30, k=25, alpha=3.0, aux_weight=1 / 32, learning_rate=1e-3, batch_size=128)
    if options.quick:
        options.epochs, options.k, options.batch_size = 2, 5, 100
    (x, y), (x_test, y_test) = mnist(options.quick)
    flat, flat_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)

    clock = Clock()
    raw = linear_probe(flat, y, flat_test, y_test)
    rows = [Row("raw pixels, linear probe, error %", "–", "–", 100 * raw, clock.minutes)]

    clock = Clock()
    units = 100 if options.quick else 1000
    model = aezoo.KSparseAE(
        units,
        k=options.k,
        alpha=options.alpha,
        k_schedule=Linear(units // 10, options.k, max(options.epochs // 2, 1)),
        aux_weight=options.aux_weight,
        seed=options.seed,
    )
    model.compile(keras.optimizers.Adam(options.learning_rate))
    model.fit(x, validation_data=(x_test,), epochs=options.epochs, batch_size=options.batch_size, verbose=2)
    trained = clock.minutes
    z, z_test = (model.encoder.predict(data, batch_size=1000, verbose=0) for data in (x, x_test))
    error = linear_probe(z, y, z_test, y_test)
    rows.append(Row(f"k-sparse codes, k={options.k}, linear probe, error %", "–", "1.8", 100 * error, trained))
    rows.append(Row("  dead units on the test set", "–", "0", dead_units(z_test), 0.0))
    report("k_sparse", options, rows, mean_active_units=l0(z_test))


if __name__ == "__main__":
    main()
