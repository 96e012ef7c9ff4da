"""Stacked denoising autoencoder → classifier and DBN → classifier on MNIST (deeplearning.net tutorials; Vincent 2010).

    TFDS_DATA_DIR=... python benchmarks/papers/deep_classifiers.py [--minutes 20]

784-1000-1000-1000-10, with the corruption levels of the tutorial's SdA (0.1, 0.2, 0.3); `--minutes` for each system.
Published: SdA 1.3 %, DBN 1.34 % test error, after 1029 and 716 minutes on the machine of the tutorial.
The last 10,000 training images choose the epoch (early stopping); the test set is looked at once.
"""

import keras
from reporting import Clock, Row, StopAfter, arguments, falling, mnist, report

from aezoo import DBN, RBM, DenoisingAE, StackedAE


def fine_tune(stack, x, y, x_test, y_test, minutes: float, options) -> float:
    held_out = len(x) // 6
    classifier = stack.to_classifier(10)
    classifier.compile(
        keras.optimizers.SGD(options.learning_rate, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    classifier.fit(
        x[:-held_out],
        y[:-held_out],
        validation_data=(x[-held_out:], y[-held_out:]),
        batch_size=options.batch_size,
        epochs=2 if options.quick else 1000,
        verbose=2,
        callbacks=[
            falling(options.learning_rate, minutes, 0.02),
            keras.callbacks.EarlyStopping("val_accuracy", mode="max", patience=1000, restore_best_weights=True),
            StopAfter(minutes),
        ],
    )
    return 100 * (1 - classifier.evaluate(x_test, y_test, batch_size=1000, verbose=0)[1])


def main() -> None:
    options = arguments(
        __doc__, sda_epochs=10, dbn_epochs=10, minutes=18.0, learning_rate=0.05, batch_size=50, units=1000
    )
    if options.quick:
        options.sda_epochs = options.dbn_epochs = 1
        options.minutes, options.units = 0.2, 20
    corruptions = (0.1,) if options.quick else (0.1, 0.2, 0.3)
    (x, y), (x_test, y_test) = mnist(options.quick)
    systems = {
        "stacked denoising AE": (
            "1.3",
            StackedAE([DenoisingAE(options.units, corruption=c, tied=True, seed=options.seed) for c in corruptions]),
            options.sda_epochs,
        ),
        "DBN": ("1.34", DBN([RBM(options.units, seed=options.seed) for _ in corruptions]), options.dbn_epochs),
    }
    rows = []
    for name, (published, stack, epochs) in systems.items():
        clock = Clock()
        stack.pretrain(x, epochs=epochs, batch_size=100, seed=options.seed)
        error = fine_tune(stack, x, y, x_test, y_test, options.minutes - clock.minutes, options)
        rows.append(Row(f"{name} → classifier, test error %", published, "1.5", error, clock.minutes))
    report("deep_classifiers", options, rows)


if __name__ == "__main__":
    main()
