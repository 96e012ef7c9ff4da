"""The variants in PyTorch as its users write them, for peers.py: a module that returns its loss, and a loop.

Activations, tying and reconstruction error are those of the defaults in aezoo, so that both do the same work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def squared_error(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(y, x, reduction="sum") / len(x)


def cross_entropy(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy(y, x, reduction="sum") / len(x)


class Autoencoder(nn.Module):
    code_activation = staticmethod(torch.relu)

    def __init__(self, features: int, units: int):
        super().__init__()
        self.encoder = nn.Linear(features, units)
        self.decoder = nn.Linear(units, features)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.code_activation(self.encoder(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.decoder(z))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return squared_error(self.decode(self.encode(x)), x)


class Sigmoid(Autoencoder):
    code_activation = staticmethod(torch.sigmoid)


class Denoising(Sigmoid):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noisy = x * (torch.rand_like(x) >= 0.25)
        return cross_entropy(self.decode(self.encode(noisy)), x)


class L1Sparse(Sigmoid):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encode(x)
        return squared_error(self.decode(z), x) + 0.02 * z.abs().sum(1).mean()


class KLSparse(Sigmoid):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z, target = self.encode(x), 0.05
        rate = z.mean(0).clamp(1e-7, 1 - 1e-7)
        kl = target * torch.log(target / rate) + (1 - target) * torch.log((1 - target) / (1 - rate))
        return squared_error(self.decode(z), x) + 0.1 * kl.sum()


class Contractive(Sigmoid):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encode(x)
        norms = self.encoder.weight.square().sum(1)
        return cross_entropy(self.decode(z), x) + 0.1 * ((z * (1 - z)).square() @ norms).mean()


class KSparse(Autoencoder):
    def __init__(self, features: int, units: int, k: int = 25):
        super().__init__(features, units)
        self.k = k
        self.decoder = None
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encoder(x)
        top = z.topk(self.k, dim=1)
        code = torch.zeros_like(z).scatter(1, top.indices, top.values)
        return squared_error(functional.linear(code, self.encoder.weight.t(), self.bias), x)


class VAE(nn.Module):
    def __init__(self, features: int, units: int, latent: int = 40):
        super().__init__()
        self.hidden = nn.Linear(features, units)
        self.mean = nn.Linear(units, latent)
        self.log_variance = nn.Linear(units, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, units), nn.ReLU(), nn.Linear(units, features), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / len(x)
        return cross_entropy(self.decoder(z), x) + kl


MODELS = {
    "Autoencoder": Autoencoder,
    "DenoisingAE": Denoising,
    "SparseAE l1": L1Sparse,
    "SparseAE kl": KLSparse,
    "ContractiveAE": Contractive,
    "KSparseAE": KSparse,
    "VAE": VAE,
}


def epoch(model: nn.Module, x: np.ndarray, batch_size: int, compiled: bool, fastest: bool) -> Callable[[], None]:
    """One epoch: over a shuffled DataLoader, or by the fastest idiom.

    That is a tensor indexed by a permutation, Adam in one fused kernel, and no `item()` in the loop. Where there is a
    GPU, it is used, the data of the fastest idiom lie there, and products are as exact as TensorFlow's by default.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    model = model.to(device)
    data = torch.from_numpy(x)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size, shuffle=True)
    if fastest:
        data = data.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=fastest)
    if compiled:
        model = torch.compile(model)

    def step(batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(batch)
        loss.backward()
        optimizer.step()
        return loss

    def as_written() -> None:
        total = 0.0
        for (batch,) in loader:
            total += step(batch.to(device)).item() * len(batch)

    def indexed() -> None:
        total = torch.zeros((), device=device)
        for indices in torch.randperm(len(data), device=device).split(batch_size):
            total += step(data[indices]).detach() * len(indices)
        total.item()

    return indexed if fastest else as_written
