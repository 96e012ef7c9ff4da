"""The manifold tangent classifier with few labels on MNIST (Rifai et al. 2011b).

    TFDS_DATA_DIR=... python benchmarks/papers/tangents.py [--trials] [--rows ROW ...]

The contractive autoencoder is the preset `contractive_mnist`, one layer of 1,000 units, which was trained on all
training images without labels. Its encoder with a softmax layer on top is trained with the first 300 labels, by SGD
with momentum and a rate that falls along a cosine. The manifold tangent classifier adds the penalty
w Σᵤ ‖(∂o/∂x) u‖², where o are the probabilities of the classes and u the 10 tangents of a sample, so that the classes
do not change along them. A step takes one random tangent of each sample, times 10. The weight and the number of epochs
were chosen on the last 10,000 training images (`--trials`). A difference of two rows has the 95 % interval of a paired
bootstrap over the test images.
"""

from __future__ import annotations

import functools
from typing import Any

import configurations
import keras
import numpy as np
import tensorflow as tf
from one_layer import classifier_from, data, first
from reporting import Row
from runner import Configuration, Runs, Setting, Table, main, packed

import aezoo

TANGENTS = 10


class TangentClassifier(keras.Model):
    """A classifier whose probabilities change little along the tangents of its samples.

    Args:
        classifier: A model from samples to probabilities.
        weight: w.
    """

    def __init__(self, classifier: keras.Model, weight: float):
        super().__init__()
        self.classifier, self.weight = classifier, weight

    def call(self, x: Any, training: bool = False) -> Any:
        return self.classifier(x, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take a step on samples, (batch, ...), each with its tangents, (batch, tangents, ...), and labels."""
        (x, tangents), y = data
        count = tf.shape(tangents)[1]
        chosen = tf.random.uniform((tf.shape(x)[0],), 0, count, "int32")
        with tf.GradientTape() as tape:
            if self.weight:
                direction = tf.gather(tangents, chosen, axis=1, batch_dims=1)
                with tf.autodiff.ForwardAccumulator(x, direction) as forward:
                    p = self(x, training=True)
                change = tf.reduce_sum(tf.square(forward.jvp(p)), axis=1)
                penalty = self.weight * tf.cast(count, "float32") * tf.reduce_mean(change)
            else:
                p, penalty = self(x, training=True), 0.0
            loss = self.compute_loss(x, y, p) + penalty
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss, "penalty": penalty}


@functools.cache
def autoencoder(quick: bool) -> aezoo.Autoencoder:
    """Return the contractive autoencoder."""
    if not quick:
        return aezoo.Autoencoder.from_preset("contractive_mnist")
    model = aezoo.ContractiveAE(20, seed=0)
    model.build((None, 8, 8, 1))
    return model


@functools.cache
def tangents(quick: bool, count: int) -> np.ndarray:
    """Return the tangents of the first training images."""
    (x, _), _ = data(Setting(quick=quick))
    return aezoo.evaluation.tangents(autoencoder(quick), x[:count], TANGENTS)[0]


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Fine-tune the encoder with labels, and measure the error."""
    train, (x_test, y_test) = data(setting)
    x, y = first(train, configuration)
    classifier = TangentClassifier(classifier_from([autoencoder(setting.quick)]), configuration["weight"])
    epochs, batch_size = configuration["epochs"], configuration["batch_size"]
    steps = epochs * -(-len(x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(configuration["learning_rate"], steps, alpha=0.01)
    classifier.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy")
    of_x = tangents(setting.quick, len(x))
    rows = tf.data.Dataset.from_tensor_slices(((x, of_x), y)).shuffle(len(x), seed=setting.seed).batch(batch_size)
    classifier.fit(rows, epochs=epochs, shuffle=False, verbose=0)
    p = classifier.classifier.predict(x_test, batch_size=2000, verbose=0)
    wrong = np.argmax(p, axis=1) != y_test
    return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong)}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    lines: list[Row] = []
    for name in configurations.TANGENTS:
        lines += runs.row(name, "error", f"{name}: error with 300 labels, %")
    return lines + runs.difference("CAE and tangents", "CAE")


TABLE = Table(
    name="tangents",
    configurations=configurations.TANGENTS,
    run=run,
    rows=rows,
    trials=configurations.TANGENTS_TRIALS,
)

if __name__ == "__main__":
    main(TABLE, __doc__)
