"""VAE and importance-weighted autoencoder on statically binarised MNIST (Kingma & Welling 2014; Burda et al. 2016).

    TFDS_DATA_DIR=... python benchmarks/papers/vae.py [--minutes 10] [--plot FOLDER]

784-400-40 (the network of pythae's benchmark), bernoulli likelihood. Each pixel is set to 1 once, with its gray value
as probability, and so stays for all epochs: that is harder on the test set than to draw anew for each batch.
The VAE is trained for half of `--minutes`, then another for all of them, then an IWAE with k=5 for as long.
Published, on networks trained for hours: pythae's VAE 89.78 and IWAE k=50 86.82 (negative log-likelihood, 200 samples).
"""

from pathlib import Path

import keras
import numpy as np
from reporting import Clock, Row, StopAfter, arguments, falling, mnist, report

import aezoo
from aezoo import VAE


def binarised(x: np.ndarray, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(x.shape) < x).astype("float32")


def train(model: VAE, x, minutes: float, options) -> VAE:
    model.compile(keras.optimizers.Adam(options.learning_rate))
    model.fit(
        x,
        batch_size=options.batch_size,
        epochs=2 if options.quick else 1000,
        verbose=2,
        callbacks=[falling(options.learning_rate, minutes, 0.05), StopAfter(minutes)],
    )
    return model


def main() -> None:
    options = arguments(
        __doc__, minutes=10.0, learning_rate=2e-3, batch_size=128, units=400, latent=40, samples=5000, plot=""
    )
    if options.quick:
        options.batch_size = 100
        options.minutes, options.units, options.latent, options.samples = 0.1, 16, 3, 10
    (x, _), (x_test, _) = mnist(options.quick)
    x, x_test = binarised(x, options.seed), binarised(x_test, options.seed + 1)
    rows = []

    def measure(name: str, model: VAE, minutes: float, elbo_target: str) -> VAE:
        clock = Clock()
        train(model, x, minutes, options)
        taken = clock.minutes
        bound = model.evaluate(x_test, batch_size=500, return_dict=True, verbose=0)["loss"]
        few = x_test[: 200 if options.quick else 1000]
        likelihood = float(np.mean(model.log_likelihood(few, samples=options.samples)))
        rows.append(Row(f"{name}: negative bound, test", "–", elbo_target, bound, taken))
        published = {"VAE": "89.78", "IWAE k=5": "–"}[name]
        rows.append(Row(f"{name}: -log p(x), L={options.samples}, 1000 test", published, "–", -likelihood, taken))
        return model

    shape = {"hidden_dims": (options.units,), "seed": options.seed}
    if not options.quick:  # the next one is the same
        measure("VAE", VAE(options.latent, **shape), options.minutes / 2, "102")
    vae = measure("VAE", VAE(options.latent, **shape), options.minutes, "100")
    measure("IWAE k=5", VAE(options.latent, importance_samples=5, **shape), options.minutes, "–")
    if options.plot:
        folder = Path(options.plot)
        folder.mkdir(parents=True, exist_ok=True)
        aezoo.plots.samples(vae.sample(100)).savefig(folder / "samples.png")
        aezoo.plots.interpolation(vae, x_test[:8], x_test[8:16]).savefig(folder / "interpolation.png")
        plane = train(VAE(2, hidden_dims=(options.units, options.units // 2), seed=options.seed), x, 2.0, options)
        aezoo.plots.manifold(plane).savefig(folder / "manifold.png")
    report("vae", options, rows)


if __name__ == "__main__":
    main()
