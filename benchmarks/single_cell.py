"""Clusters of single cells: k-means on the code of a VAE of counts, beside PCA and scVI in the same run.

    python benchmarks/single_cell.py --data FOLDER [--scvi PYTHON]

FOLDER has `worm_neuron_counts.npz` (Cao et al., Science 2017) and `mouse_bladder_2100_counts.npz` (Han et al., Cell
2018), the raw counts that scDeepCluster's authors publish: arrays data, indices, indptr and shape of a CSR matrix, and
label. PYTHON is the interpreter of another environment, in which scvi-tools is installed; without it, scVI is left out.

Fixed before the first run, without labels:

- genes: the 1,000 of greatest variance of log(1 + 10,000 · share of the cell's counts); cells without a count in these
  genes are left out;
- aezoo's VAE has the sizes of scVI's defaults: 10 code units, one hidden layer of 128 units with batch normalization
  and a dropout of 0.1, Adam with a rate of 0.001, batches of 128, and the library size observed; its KL weight rises
  from 0 to 1 over the first half of the epochs;
- scVI has its defaults, and as many epochs;
- PCA has 10 components, or 50, of the same log-normalized genes, centered;
- k-means gets the true number of classes, 10 starts, and the same seeds for all methods.

ARI and NMI compare the clusters with the labels, which nothing else sees; a reported value is the mean over the seeds,
and beside it the standard deviation.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from saved_runs import SavedRuns

HERE = Path(__file__).parent
SETS = {"worm neurons": "worm_neuron_counts.npz", "mouse bladder": "mouse_bladder_2100_counts.npz"}
GENES, UNITS, BATCH_SIZE = 1000, 10, 128


def log_shares(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return log(1 + 10,000 · share of a cell's counts)."""
    return np.log1p(1e4 * counts / totals[:, None])


def read(path: Path, genes: int, quick: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the counts of the most variable genes (n, genes), the log-normalized counts, and the labels."""
    import scipy.sparse

    parts = np.load(path)
    matrix = scipy.sparse.csr_matrix(
        (parts["data"], parts["indices"].astype("int32"), parts["indptr"]), shape=tuple(parts["shape"])
    )
    label = parts["label"]
    if quick:
        matrix, label = matrix[:200], label[:200]
    totals = np.asarray(matrix.sum(axis=1), "float32").ravel()
    logarithms = matrix.astype("float32").multiply(1e4 / totals[:, None]).tocsc()
    logarithms.data = np.log1p(logarithms.data)
    mean = np.asarray(logarithms.mean(axis=0)).ravel()
    variance = np.asarray(logarithms.power(2).mean(axis=0)).ravel() - mean**2
    chosen = np.sort(np.argsort(-variance, kind="stable")[:genes])
    counts = matrix[:, chosen].toarray().astype("float32")
    there = counts.sum(axis=1) > 0
    counts, totals, label = counts[there], totals[there], label[there]
    return counts, log_shares(counts, totals), label


def vae_code(counts: np.ndarray, likelihood: str, seed: int, epochs: int) -> np.ndarray:
    """Train a VAE of counts and return the codes."""
    import keras

    import aezoo
    from aezoo.schedules import Linear

    kinds = {"NB": aezoo.likelihoods.NegativeBinomial, "ZINB": aezoo.likelihoods.ZeroInflatedNegativeBinomial}
    model = aezoo.VAE(
        UNITS,
        hidden_dims=(128,),
        normalization="batch",
        dropout=0.1,
        beta=Linear(0.0, 1.0, epochs=max(1, epochs // 2)),
        likelihood=kinds[likelihood](library_size="observed"),
        seed=seed,
    )
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=True)  # fuses the likelihood's many small operations
    keras.utils.set_random_seed(seed)
    model.fit(counts, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return np.asarray(model.encode(counts))


def scvi_code(python: str, counts: np.ndarray, likelihood: str, seed: int, epochs: int) -> tuple[np.ndarray, str]:
    """Train scVI in another environment and return the codes and its version."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/counts.npy", counts)
        arguments = [folder, likelihood.lower(), str(seed), str(epochs)]
        subprocess.run([python, __file__, "--inside", *arguments], check=True, capture_output=True)
        return np.load(f"{folder}/code.npy"), Path(folder, "version").read_text()


def inside(folder: str, likelihood: str, seed: str, epochs: str) -> None:
    """Train scVI on the counts in a folder and write the codes there; this runs in the other environment."""
    import anndata
    import scvi

    scvi.settings.seed = int(seed)
    cells = anndata.AnnData(np.load(f"{folder}/counts.npy"))
    scvi.model.SCVI.setup_anndata(cells)
    model = scvi.model.SCVI(cells, gene_likelihood=likelihood)
    model.train(max_epochs=int(epochs), accelerator="cpu", enable_progress_bar=False)
    np.save(f"{folder}/code.npy", model.get_latent_representation())
    Path(folder, "version").write_text(scvi.__version__)


def scores(code: np.ndarray, label: np.ndarray, seed: int) -> tuple[float, float]:
    """Return ARI and NMI of the clusters of codes."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found = KMeans(len(np.unique(label)), n_init=10, random_state=seed).fit_predict(code)
    return float(adjusted_rand_score(label, found)), float(normalized_mutual_info_score(label, found))


def pca_code(logarithms: np.ndarray, components: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(min(components, *logarithms.shape), random_state=seed).fit_transform(logarithms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the counts")
    parser.add_argument("--scvi", default="", help="the Python of an environment with scvi-tools")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="a few cells and one epoch: the numbers mean nothing")
    parser.add_argument("--output", type=Path, help="default: benchmarks/single_cell.json, and none of a quick run")
    parser.add_argument("--inside", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(*options.inside)
        return
    import keras

    import aezoo

    output = options.output or (None if options.quick else HERE / "single_cell.json")
    epochs, seeds = (1, 1) if options.quick else (options.epochs, options.seeds)
    versions = {
        "aezoo": aezoo.__version__,
        "keras": keras.__version__,
        "scikit-learn": importlib.metadata.version("scikit-learn"),
    }
    settings = {"seeds": seeds, "epochs": epochs, "genes": GENES}
    runs = SavedRuns("benchmarks/single_cell.py", output, ("data", "method", "seed"), settings, versions)
    data = {
        name: read(options.data / file, 50 if options.quick else GENES, options.quick) for name, file in SETS.items()
    }
    for seed in range(seeds):
        for name, (counts, logarithms, label) in data.items():
            methods = {
                "PCA, 10 components": lambda seed=seed, x=logarithms: pca_code(x, UNITS, seed),
                "PCA, 50 components": lambda seed=seed, x=logarithms: pca_code(x, 50, seed),
                "VAE, NB": lambda seed=seed, x=counts: vae_code(x, "NB", seed, epochs),
                "VAE, ZINB": lambda seed=seed, x=counts: vae_code(x, "ZINB", seed, epochs),
            }
            if options.scvi:
                methods["scVI, NB"] = lambda seed=seed, x=counts: scvi_code(options.scvi, x, "NB", seed, epochs)
                methods["scVI, ZINB"] = lambda seed=seed, x=counts: scvi_code(options.scvi, x, "ZINB", seed, epochs)
            for method, encode in methods.items():
                if (name, method, seed) in runs:
                    continue
                start = time.perf_counter()
                code = encode()
                if isinstance(code, tuple):
                    code, runs.report["versions"]["scvi-tools"] = code
                minutes = (time.perf_counter() - start) / 60
                ari, nmi = scores(code, label, seed)
                found = {"cells": len(label), "classes": len(np.unique(label)), "ARI": ari, "NMI": nmi}
                runs.add((name, method, seed), **found, minutes=minutes)
                print(f"{name:14s} {method:20s} {seed} ARI {ari:.3f} NMI {nmi:.3f} {minutes:5.1f} min", flush=True)
                keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    main()
