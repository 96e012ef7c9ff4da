"""How fast an epoch of a VQ-VAE is, beside vector-quantize-pytorch in a PyTorch network of the same layers.

    pip install vector-quantize-pytorch torch  # a CPU build of torch: triton crashes beside TensorFlow
    python benchmarks/speed/vector_quantization.py [--quick] [--output FILE.json]

The training emoji of `aezoo.datasets.load("emoji")`, 64 x 64 pixels; convolutions of 32, 64 and 32 channels, kernel 3
and stride 2, mirrored, relu; a codebook of 512 entries of 32 units with running means of decay 0.99, whose unused
entries restart; Adam, batches of 32, float32. What is timed of PyTorch is a plain loop over shuffled batches, of ours
one epoch of `fit`. The quantizer alone is the lookup, the running means and the restarts of 4,096 vectors, without
gradients, as a compiled graph of ours and a call in training mode of the peer.

All run in turn, three times per round, and the fastest time counts; the ratio (the peer's seconds over ours: higher is
better) is taken within a round.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import timing
import torch
from torch import nn
from vector_quantize_pytorch import VectorQuantize

import aezoo

FILTERS, UNITS, ENTRIES, BATCH = (32, 64), 32, 512, 32
GOAL = 1.0


class Peer(nn.Module):
    """The network in PyTorch, channels first; returns the loss of a batch."""

    def __init__(self):
        super().__init__()
        sizes = (3, *FILTERS, UNITS)
        down, up = [], []
        for i, (a, b) in enumerate(itertools.pairwise(sizes)):
            last = i == len(sizes) - 2
            down += [nn.Conv2d(a, b, 3, 2, 1), *([] if last else [nn.ReLU()])]
            up = [nn.ConvTranspose2d(b, a, 3, 2, 1, output_padding=1), nn.ReLU() if i else nn.Sigmoid(), *up]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)
        self.quantizer = quantizer(accept_image_fmap=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code, _, commitment = self.quantizer(self.encoder(x))
        error = nn.functional.mse_loss(self.decoder(code), x, reduction="sum") / len(x)
        return error + 0.25 * commitment.sum()


def quantizer(**arguments) -> VectorQuantize:
    return VectorQuantize(UNITS, ENTRIES, decay=0.99, threshold_ema_dead_code=1, commitment_weight=1.0, **arguments)


def main() -> None:
    arguments = timing.parser(__doc__).parse_args()
    keras.utils.set_random_seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    rounds, passes = (1, 1) if arguments.quick else (5, 3)
    (x, _), _ = aezoo.datasets.load("emoji")
    x = x[:: 8 if arguments.quick else 1]

    ours = aezoo.VQVAE(UNITS, codebook_size=ENTRIES, filters=FILTERS, kernel_size=3, spatial=True, seed=arguments.seed)
    ours.compile(optimizer="adam")
    peer, images = Peer(), torch.tensor(np.moveaxis(x, -1, 1).copy())
    optimizer = torch.optim.Adam(peer.parameters(), 1e-3)

    def epoch() -> None:
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            peer(images[rows]).backward()
            optimizer.step()

    z = np.random.default_rng(arguments.seed).normal(size=(64, 8, 8, UNITS)).astype("float32")
    layer = aezoo.layers.VectorQuantizer(ENTRIES, dead_after=20 * ENTRIES, seed=arguments.seed)
    layer.build(z.shape)
    layer.start_at(z)
    alone, vectors, codes = quantizer(), torch.tensor(z.reshape(1, -1, UNITS)), tf.constant(z)

    @tf.function
    def step(z: tf.Tensor) -> tf.Tensor:
        indices = layer.indices(z)
        layer.follow(z, indices)
        return layer.quantized(z, indices)

    def of_peer() -> None:
        with torch.no_grad():
            for _ in range(10):
                alone(vectors)

    contenders = {
        "VQVAE": lambda: ours.fit(x, batch_size=BATCH, verbose=0) and None,
        "peer": epoch,
        "quantizer": lambda: [step(codes) for _ in range(10)] and None,
        "peer's quantizer": of_peer,
    }
    seconds = timing.interleaved(contenders, rounds, passes)
    results, rows = {}, []
    versions = {name: importlib.metadata.version(name) for name in ("torch", "vector-quantize-pytorch")}
    for name, ours_name, than, goal in (
        ("epoch of a VQ-VAE on 64 x 64 emoji", "VQVAE", "peer", GOAL),
        ("quantizer alone, 4,096 vectors", "quantizer", "peer's quantizer", None),
    ):
        results[name] = {**timing.faster(seconds, ours_name, than, goal), **versions}
        rows.append((name, timing.shown(results[name]), *timing.verdict(results[name], ">=")))
    print(timing.table(("", "speed-up over vector-quantize-pytorch, wall", "goal", "reached"), rows))
    for clock, times in seconds.items():
        print(clock, {name: round(min(values), 4) for name, values in times.items()})
    timing.write(arguments.output, {"machine": timing.machine(), "seed": arguments.seed, "results": results})


if __name__ == "__main__":
    main()
