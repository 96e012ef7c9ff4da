"""A dictionary of sparse features found again by a KSparseAE, with AuxK against dead units and without.

    python benchmarks/papers/sparse_dictionary.py

Samples are sums of 4 of 256 random directions in 64 dimensions, with coefficients in [0.5, 1.5]; the autoencoder has as
many units, k = 4, untied, and trains by rows for 15 epochs of 30,000 samples (Adam 0.003, batches of 128). "Recovered"
is the mean over the dictionary of the greatest cosine with a row of the decoder, as the literature on sparse
autoencoders has it; a unit is dead if no sample uses it.
"""

import keras
import numpy as np
from reporting import Clock, Row, arguments, report

import aezoo


def dictionary(features: int, atoms: int, k: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions, (atoms, features), and samples, (samples, features)."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(atoms, features))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    coefficients = np.zeros((samples, atoms))
    chosen = np.argsort(rng.random((samples, atoms)), axis=1)[:, :k]
    np.put_along_axis(coefficients, chosen, rng.uniform(0.5, 1.5, (samples, k)), axis=1)
    return directions.astype("float32"), (coefficients @ directions).astype("float32")


def recovered(directions: np.ndarray, model: aezoo.KSparseAE) -> float:
    """The mean over the directions of the greatest cosine with what a unit adds to the reconstruction."""
    rows = model.decoder.layers[0].kernel.numpy()
    return float((directions @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T).max(axis=1).mean())


def main() -> None:
    options = arguments(
        __doc__, features=64, atoms=256, k=4, samples=30_000, epochs=15, learning_rate=3e-3, aux_weight=1 / 32, aux_k=32
    )
    if options.quick:
        options.samples, options.epochs, options.atoms, options.aux_k = 512, 1, 32, 8
    directions, x = dictionary(options.features, options.atoms, options.k, options.samples, options.seed)
    rows = []
    for name, aux_weight in (("AuxK", options.aux_weight), ("without AuxK", 0.0)):
        clock = Clock()
        model = aezoo.KSparseAE(
            options.atoms,
            k=options.k,
            tied=False,
            by_rows=True,
            aux_weight=aux_weight,
            aux_k=options.aux_k,
            dead_after=5_000,
            seed=options.seed,
        )
        model.compile(keras.optimizers.Adam(options.learning_rate))
        model.fit(x, epochs=options.epochs, batch_size=128, verbose=2)
        dead = aezoo.evaluation.dead_units(model.encoder.predict(x, batch_size=1000, verbose=0))
        targets = (">= 0.95", "< 10") if aux_weight else ("–", "–")
        rows += [
            Row(
                f"{name}: recovered, mean of greatest cosines",
                "–",
                targets[0],
                recovered(directions, model),
                clock.minutes,
            ),
            Row(f"{name}: dead units, %", "–", targets[1], 100 * dead / options.atoms, 0.0),
        ]
    report("sparse_dictionary", options, rows)


if __name__ == "__main__":
    main()
