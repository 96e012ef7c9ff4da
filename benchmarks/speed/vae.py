"""How fast an epoch of a VAE and of its relatives is, beside pythae's.

    pip install pythae torch  # a CPU build of torch, or without triton, which crashes beside TensorFlow
    python benchmarks/speed/vae.py [--quick] [--only NAME ...] [--output FILE.json]

784-400-40, relu, Bernoulli likelihood, Adam, batches of 128, float32, on 20,000 random images of 0 and 1. What is
timed of pythae is one epoch of its trainer (`AdversarialTrainer.train_step` for the FactorVAE, else
`BaseTrainer.train_step`), without the copy of the model and the files that its `train` writes; of ours, one epoch of
`fit`. The contenders for a model run in turn, twice per round, and the faster time counts; the ratio (pythae's seconds
over ours: higher is better) is taken within a round. With `--only`, the file has only these models.

Both libraries keep their defaults, except where they would train different models: pythae's MMD has a Gaussian kernel
like ours, IWAE draws 5 codes, VampPrior has 500 components, and FactorVAE a discriminator with hidden layers of 256,
256 and 256 units. pythae's FactorVAE decodes one half of a batch and shuffles the codes of the other half; ours decodes
and shuffles the whole batch. pythae computes the inputs of its VampPrior by a dense layer; ours are variables. pythae's
BetaTCVAE uses minibatch-stratified sampling, ours minibatch-weighted sampling.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing
import torch
from pythae import models, trainers
from pythae.data.datasets import BaseDataset
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder

import aezoo

FEATURES, UNITS, LATENT, BATCH, DISCRIMINATOR = 784, 400, 40, 128, (256, 256, 256)
GOAL = 1.0
#: By name: pythae's model and config, and ours.
MODELS: dict[str, tuple[Any, Any, Any]] = {
    "VAE": (models.VAE, models.VAEConfig, aezoo.VAE),
    "BetaTCVAE": (models.BetaTCVAE, models.BetaTCVAEConfig, aezoo.BetaTCVAE),
    "FactorVAE": (
        models.FactorVAE,
        models.FactorVAEConfig,
        functools.partial(aezoo.FactorVAE, discriminator_dims=DISCRIMINATOR),
    ),
    "MMDVAE": (
        models.INFOVAE_MMD,
        functools.partial(models.INFOVAE_MMD_Config, kernel_choice="rbf"),
        aezoo.MMDVAE,
    ),
    "IWAE": (
        models.IWAE,
        functools.partial(models.IWAEConfig, number_samples=5),
        functools.partial(aezoo.VAE, importance_samples=5),
    ),
    "VampPrior": (
        models.VAMP,
        functools.partial(models.VAMPConfig, number_components=500),
        functools.partial(aezoo.VAE, prior=aezoo.priors.VampPrior(500)),
    ),
}
#: Our steps per call, by the end of a row's name; 8 is the default.
STEPS = {"VAE": {"": 8, ", single steps": 1}}


class Encoder(BaseEncoder):
    def __init__(self):
        BaseEncoder.__init__(self)
        self.hidden = torch.nn.Linear(FEATURES, UNITS)
        self.mean = torch.nn.Linear(UNITS, LATENT)
        self.log_variance = torch.nn.Linear(UNITS, LATENT)

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))


class Decoder(BaseDecoder):
    def __init__(self):
        BaseDecoder.__init__(self)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(LATENT, UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, FEATURES), torch.nn.Sigmoid()
        )

    def forward(self, z):
        return ModelOutput(reconstruction=self.layers(z))


class Discriminator(BaseDiscriminator):
    def __init__(self):
        BaseDiscriminator.__init__(self)
        layers, below = [], LATENT
        for units in DISCRIMINATOR:
            layers += [torch.nn.Linear(below, units), torch.nn.LeakyReLU(0.2)]
            below = units
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(below, 2))

    def forward(self, z):
        return self.layers(z)


@contextlib.contextmanager
def pythae(name: str, x: np.ndarray) -> Iterator[Callable[[], None]]:
    """Return a function that trains pythae's model for an epoch, while its folder exists."""
    model_class, config_class, _ = MODELS[name]
    config = config_class(input_dim=(FEATURES,), latent_dim=LATENT, reconstruction_loss="bce")
    model = model_class(config, encoder=Encoder(), decoder=Decoder())
    trainer_class, training_class = trainers.BaseTrainer, trainers.BaseTrainerConfig
    if name == "FactorVAE":
        trainer_class, training_class = trainers.AdversarialTrainer, trainers.AdversarialTrainerConfig
        model.set_discriminator(Discriminator())
    with tempfile.TemporaryDirectory() as folder:
        training = training_class(output_dir=folder, num_epochs=1, per_device_train_batch_size=BATCH, no_cuda=True)
        trainer = trainer_class(model, BaseDataset(torch.tensor(x), torch.zeros(len(x))), training_config=training)
        trainer.prepare_training()
        trainer.callback_handler.on_train_begin(training_config=training, model_config=config)
        yield lambda: trainer.train_step(1) and None


def ours(name: str, x: np.ndarray, steps: int, seed: int) -> Callable[[], None]:
    """Return a function that trains our model for an epoch."""
    model = MODELS[name][-1](LATENT, hidden_dims=(UNITS,), seed=seed)
    model.default_steps = steps
    model.compile(optimizer="adam")
    return lambda: model.fit(x, batch_size=BATCH, verbose=0) and None


def main() -> None:
    parser = timing.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), help="models; default all")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(arguments.seed)
    n, rounds, passes = (200, 1, 1) if arguments.quick else (20_000, 3, 2)
    x = np.random.default_rng(arguments.seed).integers(0, 2, (n, FEATURES)).astype("float32")

    results, all_seconds, rows = {}, {}, []
    for name in arguments.only:
        variants = {f"{name} 784-400-40{suffix}": steps for suffix, steps in STEPS.get(name, {"": 8}).items()}
        with pythae(name, x) as epoch:
            contenders = {"pythae": epoch}
            contenders |= {variant: ours(name, x, steps, arguments.seed) for variant, steps in variants.items()}
            all_seconds[name] = timing.interleaved(contenders, rounds, passes)
        for variant in variants:
            found = timing.faster(all_seconds[name], variant, "pythae", GOAL)
            results[variant] = {**found, "torch": torch.__version__}
            rows.append((variant, timing.shown(found), *timing.verdict(found, ">="), timing.shown(found["cpu"])))
    print(timing.table(("", "speed-up over pythae, wall", "goal", "reached", "CPU"), rows))
    report = {"machine": timing.machine(), "seed": arguments.seed, "results": results, "seconds": all_seconds}
    timing.write(arguments.output, report)


if __name__ == "__main__":
    main()
