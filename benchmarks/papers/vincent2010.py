"""Classifiers from three pretrained layers on MNIST and variations of it (Vincent et al. 2010, Table 3).

    TFDS_DATA_DIR=... python benchmarks/papers/vincent2010.py [--trials] [--rows ROW ...]

784-1000-1000-1000-10: stacked autoencoders (SAE-3), stacked denoising autoencoders (SDAE-3), a deep belief network
(DBN-3), and random weights. MNIST has its own 60,000 training and 10,000 test images; *basic*, *rot* and *bg-rand* have
10,000 and 50,000, made anew by `mnist_variations.py`, and are not the images that the authors used. Epochs and rates
are in configurations.py, chosen on validation images; the corruption of each set is Vincent et al.'s. A difference of
two rows has the 95 % interval of a paired bootstrap over the test images.
"""

from typing import Any

import configurations
import keras
import mnist_variations
import numpy as np
from one_layer import Images, built, classifier_from, codes, data, fine_tuned, fitted
from reporting import Clock, Row, mnist
from runner import Configuration, Runs, Setting, Table, main, packed

PUBLISHED = {
    "mnist: SAE-3": "1.40",
    "mnist: SDAE-3": "1.28",
    "mnist: DBN-3": "1.24",
    "basic: SAE-3": "3.46",
    "basic: SDAE-3": "2.84",
    "basic: DBN-3": "3.11",
    "rot: SAE-3": "10.30",
    "rot: SDAE-3": "9.53",
    "rot: DBN-3": "10.30",
    "bg-rand: SAE-3": "11.28",
    "bg-rand: SDAE-3": "10.30",
    "bg-rand: DBN-3": "6.73",
}
TARGETS = {
    "mnist: SAE-3": "1.55",
    "mnist: SDAE-3": "1.43",
    "mnist: DBN-3": "1.39",
    "basic: SDAE-3": "3.3",
    "rot: SDAE-3": "11",
    "bg-rand: SDAE-3": "12",
}


def images(name: str, setting: Setting) -> tuple[Images, Images]:
    """Return training and test images of a set.

    For trials, the latter are the 2,000 validation images and the 8,000 that are in no part.
    """
    if name == "mnist":
        return data(setting)
    parts = mnist(setting.quick)
    x, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    sizes = (200, 50, 100) if setting.quick else mnist_variations.SIZES
    train, held_out, test, rest = mnist_variations.variation(name, x, y, (*sizes, len(x) - sum(sizes)))
    if setting.validation:
        return train, tuple(np.concatenate(both) for both in zip(held_out, rest, strict=True))
    return train, test


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Pretrain a stack layer by layer, fine-tune it and measure the classifier."""
    (x, y), (x_test, y_test) = images(configuration.pop("set"), setting)
    tuning = {
        "learning_rate": configuration.pop("fine_tuning_rate"),
        "epochs": configuration.pop("fine_tuning_epochs"),
        "batch_size": configuration.pop("fine_tuning_batch_size"),
    }
    layers, clock = configuration.pop("layers"), Clock()
    if configuration["model"] is None:
        classifier = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Flatten()])
        for i in range(layers):
            initializer = keras.initializers.GlorotUniform(setting.seed + i)
            classifier.add(keras.layers.Dense(configuration["units"], "sigmoid", kernel_initializer=initializer))
        classifier.add(keras.layers.Dense(10, "softmax"))
    else:
        stack, z = [], x
        for i in range(layers):
            stack.append(fitted(built(configuration, 10 * setting.seed + i), configuration, z))
            z = codes(stack[-1], z)
        classifier = classifier_from(stack)
    pretrained = clock.minutes
    wrong = fine_tuned(classifier, tuning, x, y, x_test) != y_test
    return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong), "pretraining_minutes": pretrained}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    lines: list[Row] = []
    for name in configurations.STACKS:
        lines += runs.row(name, "error", f"{name}, test error %", PUBLISHED.get(name, "–"), TARGETS.get(name, "–"))
    for name in configurations.CORRUPTION:
        lines += runs.difference(f"{name}: SDAE-3", f"{name}: SAE-3")
        lines += runs.difference(f"{name}: SAE-3", f"{name}: no pretraining")
    return lines


TABLE = Table(
    name="vincent2010",
    configurations=configurations.STACKS,
    run=run,
    rows=rows,
    trials=configurations.STACK_TRIALS,
)

if __name__ == "__main__":
    main(TABLE, __doc__)
