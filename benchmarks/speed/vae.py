"""How fast an epoch of a VAE is, beside pythae's.

    pip install pythae torch  # a CPU build of torch, or without triton, which crashes beside TensorFlow
    python benchmarks/speed/vae.py [--quick] [--output FILE.json]

784-400-40, relu, bernoulli likelihood, Adam, batches of 128, float32, on 20,000 random images of 0 and 1. What is
timed of pythae is one epoch of its default trainer (`BaseTrainer.train_step`), without the copy of the model and the
files that its `train` writes; of ours, one epoch of `fit`. Both run in turn, three times a round, of which the fastest
counts; the ratio (pythae's seconds over ours: higher is better) is taken within a round.
"""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import timing
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

import aezoo

FEATURES, UNITS, LATENT, BATCH = 784, 400, 40, 128
GOAL = 1.0
OURS = {"VAE 784-400-40": 8, "VAE 784-400-40, single steps": 1}  # steps that are one call; the first is the default


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


def main() -> None:
    arguments = timing.parser(__doc__).parse_args()
    keras.utils.set_random_seed(arguments.seed)
    n, rounds, passes = (200, 1, 1) if arguments.quick else (20_000, 5, 3)
    x = np.random.default_rng(arguments.seed).integers(0, 2, (n, FEATURES)).astype("float32")

    config = VAEConfig(input_dim=(FEATURES,), latent_dim=LATENT, reconstruction_loss="bce")
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            VAE(config, encoder=Encoder(), decoder=Decoder()),
            BaseDataset(torch.tensor(x), torch.zeros(n)),
            training_config=BaseTrainerConfig(
                output_dir=folder, num_epochs=1, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
            ),
        )
        trainer.prepare_training()
        trainer.callback_handler.on_train_begin(training_config=trainer.training_config, model_config=config)
        contenders = {"pythae": lambda: trainer.train_step(1) and None}
        for name, steps in OURS.items():
            vae = aezoo.VAE(LATENT, hidden_dims=(UNITS,), seed=arguments.seed)
            vae.default_steps = steps
            vae.compile(optimizer="adam")
            contenders[name] = lambda vae=vae: vae.fit(x, batch_size=BATCH, verbose=0) and None
        seconds = timing.interleaved(contenders, rounds, passes)
    results, rows = {}, []
    for name in OURS:
        wall, cpu = (timing.ratio(times["pythae"], times[name]) for times in seconds.values())
        reached = wall["median"] >= GOAL
        results[name] = {**wall, "cpu": cpu, "goal": GOAL, "reached": reached, "torch": torch.__version__}
        rows.append((name, timing.shown(wall), f">= {GOAL:.2f}", "yes" if reached else "NO", timing.shown(cpu)))
    print(timing.table(("", "speed-up over pythae, wall", "goal", "reached", "CPU"), rows))
    timing.write(arguments.output, {"machine": timing.machine(), "seed": arguments.seed, "results": results})


if __name__ == "__main__":
    main()
