"""Train models with one hidden layer, and measure them by a linear probe and a fine-tuned classifier."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
from reporting import Clock, mnist
from runner import Configuration, Setting, packed
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import aezoo
from aezoo.layers import TopK
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Linear

#: Entries of a configuration that are no arguments of the model.
TRAINING = ("model", "units", "epochs", "batch_size", "learning_rate", "weight_decay", "k_start", "scaling")
#: Entries that do not change what is trained.
INFERENCE = ("alpha", "scaling")
#: Inverse weights of the probe's penalty; the validation images choose one.
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
HELD_OUT = 10_000

Images = tuple[np.ndarray, np.ndarray]


def data(setting: Setting) -> tuple[Images, Images]:
    """Return what a run trains on and what it measures: MNIST, or its training images in two parts for trials."""
    train, test = mnist(setting.quick)
    return split(train, setting) if setting.validation else (train, test)


def split(train: Images, setting: Setting) -> tuple[Images, Images]:
    """Return training images without the last 10,000, and these."""
    (x, y), held_out = train, 50 if setting.quick else HELD_OUT
    return (x[:-held_out], y[:-held_out]), (x[-held_out:], y[-held_out:])


def first(images: Images, configuration: Configuration) -> Images:
    """Return as many images as a trial trains on, `images` of its configuration, or all."""
    x, y = images
    count = configuration.pop("images", len(x))
    return x[:count], y[:count]


def built(configuration: Configuration, seed: int) -> aezoo.Autoencoder:
    """Return the model of a configuration."""
    arguments = {name: value for name, value in configuration.items() if name not in TRAINING}
    kind, units = configuration["model"], configuration["units"]
    if kind == "DropoutAE":  # the units of the code themselves are dropped
        encoder = keras.Sequential(
            [
                keras.layers.Flatten(),
                keras.layers.Dense(units, activation=arguments["activation"]),
                aezoo.layers.Dropout(arguments["dropout"], seed=seed),
            ]
        )
        return aezoo.Autoencoder(encoder=encoder, seed=seed)
    if "k_start" in configuration:
        epochs = max(1, configuration["epochs"] // 2)
        arguments["k_schedule"] = Linear(configuration["k_start"], configuration["k"], epochs)
    if kind == "RBM" and "weight_decay" in configuration:
        arguments["weight_decay"] = configuration["weight_decay"]
    return getattr(aezoo, kind)(units, seed=seed, **arguments)


def trained(configuration: Configuration, x: np.ndarray, setting: Setting) -> tuple[aezoo.Autoencoder, float]:
    """Return a trained model and the minutes that its training took; kept weights are not trained again."""
    model = built(configuration, setting.seed)
    path = _kept(configuration, x, setting)
    if path is not None and path.exists():
        model.build((None, *x.shape[1:]))
        model.load_weights(path)
        return model, json.loads(path.with_suffix(".json").read_text())["minutes"]
    clock = Clock()
    fitted(model, configuration, x)
    minutes = clock.minutes
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save_weights(path)
        path.with_suffix(".json").write_text(json.dumps({"minutes": minutes, "configuration": configuration}))
    return model, minutes


def fitted(model: aezoo.Autoencoder, configuration: Configuration, x: np.ndarray) -> aezoo.Autoencoder:
    """Train a model: RBMs with a rate that falls linearly, others with Adam and a rate that falls along a cosine."""
    rate, epochs, batch_size = (configuration[name] for name in ("learning_rate", "epochs", "batch_size"))
    if isinstance(model, aezoo.RBM):
        momentum = 0.0 if model.persistent else 0.5
        model.compile(ScheduledSGD(Linear(rate, rate / 50, epochs), momentum=momentum))
    else:
        optimizer = adam(configuration, len(x))
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        sigmoid = model.output_bounds == (0.0, 1.0)
        model.compile(optimizer, loss=aezoo.losses.CrossEntropy() if sigmoid else None)
    model.fit(x, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def adam(configuration: Configuration, samples: int) -> keras.optimizers.AdamW:
    """Return Adam with the weight decay of a configuration, and a rate that falls along a cosine."""
    return keras.optimizers.AdamW(_falling(configuration, samples), weight_decay=configuration.get("weight_decay", 0.0))


def _falling(configuration: Configuration, samples: int) -> keras.optimizers.schedules.CosineDecay:
    rate, epochs, batch_size = (configuration[name] for name in ("learning_rate", "epochs", "batch_size"))
    return keras.optimizers.schedules.CosineDecay(rate, epochs * -(-samples // batch_size), alpha=0.01)


def _kept(configuration: Configuration, x: np.ndarray, setting: Setting) -> Path | None:
    if setting.weights is None:
        return None
    trained = {name: value for name, value in configuration.items() if name not in INFERENCE}
    identity = json.dumps([trained, len(x), setting.seed], sort_keys=True)
    return setting.weights / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.weights.h5"


def codes(model: aezoo.Autoencoder, x: np.ndarray) -> np.ndarray:
    """Return the codes of images, (n, units)."""
    return model.encoder.predict(x, batch_size=1000, verbose=0)


def probe(
    z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray, setting: Setting, scaling: float = 0.5
) -> dict[str, Any]:
    """Fit logistic regressions to codes, and measure that whose penalty the last training images choose.

    Each feature is divided by d^s m^(1-s), where d is its deviation, m the mean deviation and s the `scaling`: with 1,
    rare units become as large as all others, with 0 all keep their relative size. The chosen penalty is used again on
    all training images.
    """
    mean, deviation = z.mean(axis=0), z.std(axis=0)
    scale = (deviation + 1e-6) ** scaling * deviation.mean() ** (1 - scaling)
    z, z_test = ((part - mean) / scale for part in (z, z_test))
    (x_fit, y_fit), (x_choice, y_choice) = split((z, y), setting)
    classifier = LogisticRegression(C=STRENGTHS[0], max_iter=300, tol=1e-4, warm_start=True)
    found: dict[float, float] = {}
    best = None
    threads = threadpool_limits(1 if z.size < 250_000 else None, user_api="blas")
    with threads, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # weak penalties are not chosen
        for c in STRENGTHS:  # each starts from the one before
            classifier.set_params(C=c * 1000 / len(x_fit)).fit(x_fit, y_fit)
            found[c] = 100 * float(np.mean(classifier.predict(x_choice) != y_choice))
            if best is None or found[c] < found[best]:
                best, start = c, (classifier.coef_.copy(), classifier.intercept_.copy())
            elif found[c] > found[best] + 0.1:
                break  # the penalty is too weak already
        classifier.coef_, classifier.intercept_ = start
        classifier.set_params(C=best * 1000 / len(z)).fit(z, y)
    wrong = classifier.predict(z_test) != y_test
    return {"error": 100 * float(wrong.mean()), "wrong": packed(wrong), "strength": best, "validation": found[best]}


def classifier_from(models: list[aezoo.Autoencoder], classes: int = 10) -> keras.Sequential:
    """Return the encoders of trained models with a softmax layer on top."""
    classifier = aezoo.StackedAE(models).to_classifier(classes)
    for encoder in classifier.layers:
        for layer in getattr(encoder, "layers", []):
            if isinstance(layer, TopK):  # as many units in training as at inference
                layer.k_in_training.value.assign(float(layer.k_at_inference))
    return classifier


def fine_tuned(
    classifier: keras.Sequential, configuration: Configuration, x: np.ndarray, y: np.ndarray, x_test: np.ndarray
) -> np.ndarray:
    """Train a classifier by SGD with momentum and a rate that falls along a cosine, and classify test images."""
    optimizer = keras.optimizers.SGD(_falling(configuration, len(x)), momentum=0.9)
    classifier.compile(optimizer, "sparse_categorical_crossentropy", steps_per_execution=25)
    classifier.fit(x, y, epochs=configuration["epochs"], batch_size=configuration["batch_size"], verbose=0)
    return np.concatenate(
        [np.argmax(classifier.predict_on_batch(x_test[i : i + 2000]), axis=1) for i in range(0, len(x_test), 2000)]
    )
