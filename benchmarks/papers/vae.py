"""VAE and importance-weighted autoencoder on statically binarized MNIST (Kingma & Welling 2014; Burda et al. 2016).

    TFDS_DATA_DIR=... python benchmarks/papers/vae.py [--trials] [--plot FOLDER]

784-400-40 (the network of pythae's benchmark), Bernoulli likelihood. Each pixel is set to 1 once, with its gray value
as probability, and stays so for all epochs, which is harder on the test set than drawing anew for each batch. Both
models train for the same number of epochs. -log p(x) is estimated with L = 200 codes per image on all test images, as
pythae does, and with 5,000 on the first 1,000, which is closer to the truth and has a greater sampling error.
Published, after 500 epochs: pythae's VAE 89.78 and IWAE with k = 50 86.82.
"""

from pathlib import Path
from typing import Any

import configurations
import numpy as np
from one_layer import adam, split
from reporting import Clock, Row, mnist
from runner import Configuration, Runs, Setting, Table, parser, run_table, run_trials

import aezoo
from aezoo import VAE, LadderVAE
from aezoo.schedules import Linear


def binarized(x: np.ndarray, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(x.shape) < x).astype("float32")


def data(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Return binarized training and test images, the same for all seeds."""
    (x, y), (x_test, _) = mnist(setting.quick)
    x, x_test = binarized(x, 0), binarized(x_test, 1)
    if setting.validation:
        (x, _), (x_test, _) = split((x, y), setting)
    return x, x_test


def prior_of(configuration: Configuration | None) -> aezoo.priors.Prior | None:
    """Make the prior of a configuration."""
    if configuration is None:
        return None
    arguments = {key: value for key, value in configuration.items() if key != "name"}
    return getattr(aezoo.priors, configuration["name"])(**arguments)


def fitted(configuration: Configuration, x: np.ndarray, seed: int) -> VAE:
    """Train a model by Adam with a rate that falls along a cosine."""
    if "top_dim" in configuration:
        kind: type[VAE] = LadderVAE
        own = {name: configuration[name] for name in ("top_dim", "top_hidden_dims")}
    else:
        kind, own = VAE, {"prior": prior_of(configuration.get("prior"))}
        own["gradient_estimator"] = configuration.get("gradient_estimator", "standard")
    warm_up = configuration.get("warm_up", 0)
    model = kind(
        configuration["latent_dim"],
        hidden_dims=(configuration["units"],),
        importance_samples=configuration["importance_samples"],
        normalization=configuration.get("normalization"),
        beta=Linear(0.0, 1.0, epochs=warm_up) if warm_up else 1.0,
        seed=seed,
        **own,
    )
    model.compile(adam(configuration, len(x)))
    model.fit(x, epochs=configuration["epochs"], batch_size=configuration["batch_size"], verbose=0)
    return model


def run(configuration: Configuration, setting: Setting) -> dict[str, Any]:
    """Train a model and estimate the likelihood of the test images."""
    x, x_test = data(setting)
    clock = Clock()
    model = fitted(configuration, x, setting.seed)
    minutes = clock.minutes
    found = {"bound": model.evaluate(x_test, batch_size=500, return_dict=True, verbose=0)["loss"], "minutes": minutes}
    if setting.validation:
        return {**found, "nll": float(-np.mean(model.log_likelihood(x_test[:2000], samples=200)))}
    samples, few = (10, 100) if setting.quick else (5000, 1000)
    found["nll"] = float(-np.mean(model.log_likelihood(x_test, samples=min(samples, 200))))
    return {**found, "nll_of_first": float(-np.mean(model.log_likelihood(x_test[:few], samples=samples)))}


def rows(runs: Runs) -> list[Row]:
    """Summarize the runs."""
    lines: list[Row] = []
    for name in configurations.VAES:
        vae = name == "VAE"
        lines += runs.row(name, "bound", f"{name}: negative bound, test", target="100" if vae else "–")
        published, target = ("89.78", "89.8") if vae else ("–", "–")
        lines += runs.row(name, "nll", f"{name}: -log p(x), L=200, all test images", published, target)
        lines += runs.row(name, "nll_of_first", f"{name}: -log p(x), L=5000, 1000 test", published)
    if all(name in runs for name in configurations.VAES):
        means = [np.mean([run["nll"] for run in runs.by_row[name]]) for name in configurations.VAES]
        lines.append(Row("VAE minus IWAE, -log p(x), L=200", "–", ">= 0.5", float(means[0] - means[1]), 0.0))
    return lines


TABLE = Table(
    name="vae",
    configurations=configurations.VAES,
    run=run,
    rows=rows,
    trials=configurations.VAE_TRIALS,
    measure="nll",
)


def plot(folder: Path, quick: bool) -> None:
    """Draw samples of the VAE and paths between digits."""
    folder.mkdir(parents=True, exist_ok=True)
    x, x_test = data(Setting(quick=quick))
    shape = configurations.VAES["VAE"] | ({"epochs": 1, "units": 16, "latent_dim": 3} if quick else {})
    vae = fitted(shape, x, 0)
    aezoo.plots.samples(vae.sample(100)).savefig(folder / "vae_samples.png")
    aezoo.plots.interpolation(vae, x_test[:8], x_test[8:16]).savefig(folder / "vae_interpolation.png")


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--plot", type=Path, help="draw pictures into this folder instead")
    options = options.parse_args()
    if options.plot:
        plot(options.plot, options.quick)
    else:
        (run_trials if options.trials else run_table)(TABLE, options, Clock())
