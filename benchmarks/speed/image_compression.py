"""How fast an epoch of a HyperpriorAE is, beside compressai's layers in a PyTorch network of the same sizes.

    pip install compressai torch
    python benchmarks/speed/image_compression.py [--quick] [--output FILE.json]

192 random images, 64 x 64 pixels in color, in batches of 32. Three convolutions of 32, 64 and 96 channels, kernel 5 and
stride 2, with GDN between them, and mirrored; hyper-networks of 64 channels that predict scales and means; Adam,
float32. The loss is bits plus 100 times the squared error, per image. compressai's loss for the quantiles of its
entropy coder, which its examples minimize in a second step, is left out.

Each contender is a process of its own, with a thread per core. What is timed of PyTorch is a plain loop over shuffled
batches, of ours one epoch of `fit`. Both run in turn, once untimed and then five times; the ratio (the peer's seconds
over ours: higher is better) is taken within a round.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

GOAL, RATE, WEIGHT = 1.0, 1e-3, 100.0
FILTERS, CHANNELS, HYPER = (32, 64), 96, (64, 64)


def aezoo(x: np.ndarray, batch_size: int) -> Callable[[], Any]:
    import keras

    import aezoo

    networks: dict[str, Any] = {"filters": FILTERS, "hyper_filters": HYPER, "mean_scale": True}
    model = aezoo.HyperpriorAE(CHANNELS, weight=WEIGHT, seed=0, **networks)
    model.compile(keras.optimizers.Adam(RATE))
    return lambda: model.fit(x, batch_size=batch_size, verbose=0)


def compressai(x: np.ndarray, batch_size: int) -> Callable[[], Any]:
    import torch
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional
    from compressai.layers import GDN
    from torch import nn

    def down(a: int, b: int) -> nn.Module:
        return nn.Conv2d(a, b, 5, 2, 2)

    def up(a: int, b: int) -> nn.Module:
        return nn.ConvTranspose2d(a, b, 5, 2, 2, output_padding=1)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = (x.shape[-1], *FILTERS, CHANNELS)
            encoder, decoder = [], []
            for i, (a, b) in enumerate(itertools.pairwise(sizes)):
                last = i == len(sizes) - 2
                encoder += [down(a, b), *([] if last else [GDN(b)])]
                decoder = [up(b, a), GDN(a, inverse=True) if i else nn.Sigmoid(), *decoder]
            analysis = [nn.Conv2d(CHANNELS, HYPER[0], 3, 1, 1)]
            synthesis = [nn.ConvTranspose2d(HYPER[0], 2 * CHANNELS, 3, 1, 1)]
            for a, b in itertools.pairwise((HYPER[0], *HYPER)):
                analysis += [nn.ReLU(), down(a, b)]
                synthesis = [up(b, a), nn.ReLU(), *synthesis]
            self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
            self.analysis, self.synthesis = nn.Sequential(*analysis), nn.Sequential(*synthesis)
            self.bottleneck, self.gaussian = EntropyBottleneck(HYPER[-1]), GaussianConditional(None)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.encoder(x)
            side, of_side = self.bottleneck(self.analysis(y))
            scale, mean = self.synthesis(side).chunk(2, 1)
            y, of_y = self.gaussian(y, scale, means=mean)
            bits = -(of_side.log2().sum() + of_y.log2().sum())
            error = nn.functional.mse_loss(self.decoder(y), x, reduction="sum")
            return (bits + WEIGHT * error) / len(x)

    torch.manual_seed(0)
    network, images = Network().train(), torch.tensor(np.moveaxis(x, -1, 1).copy())
    optimizer = torch.optim.Adam(network.parameters(), RATE)

    def epoch() -> None:
        for rows in torch.randperm(len(images)).split(batch_size):
            optimizer.zero_grad()
            network(images[rows]).backward()
            optimizer.step()

    return epoch


CONTENDERS = {"aezoo": aezoo, "compressai": compressai}


def build(given: argparse.Namespace) -> Callable[[], Any]:
    """Return a function that runs an epoch of a contender; both have the same data."""
    x = np.random.default_rng(given.seed).random((given.samples, 64, 64, 3), dtype="float32")
    return CONTENDERS[given.contender](x, given.batch_size)


def main(arguments: argparse.Namespace) -> None:
    samples, batch_size, rounds = (16, 8, 1) if arguments.quick else (192, 32, 5)
    command = [str(pathlib.Path(__file__).resolve()), "--samples", str(samples), "--batch-size", str(batch_size)]
    commands = {name: [*command, "--contender", name] for name in CONTENDERS}
    seconds, failed = timing.between_processes(commands, rounds, ("aezoo",))
    name = "epoch of a HyperpriorAE on 64 x 64 images: aezoo / compressai"
    if failed:
        result: dict[str, Any] = {"not_measured": failed["compressai"], "goal": GOAL}
        print(result)
    else:
        result = timing.faster(seconds, "aezoo", "compressai", GOAL)
        row = (name, timing.shown(result), *timing.verdict(result, ">="))
        print(timing.table(("", "speed-up, wall", "goal", "reached"), [row]))
    for clock, times in seconds.items():
        print(clock, {name: round(min(values), 3) for name, values in times.items()})
    settings = {
        "samples": samples,
        "batch_size": batch_size,
        "rounds": rounds,
    }
    report = {"machine": timing.machine(), "versions": timing.installed("torch", "compressai"), "settings": settings}
    timing.write(arguments.output, {**report, "results": {name: result}, "seconds": seconds})


if __name__ == "__main__":
    timing.run(__doc__, build, main)
