"""Draw the diagrams and pictures of the user guide.

    TFDS_DATA_DIR=... python docs/figures.py [--sketches FILE] [--ecg FILE] [--noto FILE] [NAME ...]

writes docs/figures/NAME.png: all of them, or those named. The pictures of sketches need sketch-rnn's file of cats
(Quick, Draw! by Google, CC BY 4.0), the picture of heartbeats ECG5000 (UCR Time Series Archive) as
benchmarks/papers/series.py reads it, and the picture of a vision network all Noto emoji (Google, Apache License 2.0)
with the categories of the npm package emoji-datasource-google; they are left as they are without it. Everything is
seeded; the models that are trained here take some minutes.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA

import aezoo
from aezoo import plots
from aezoo.layers import _patches
from aezoo.plots import style, tiles
from aezoo.plots.features import signed_tiles
from aezoo.recipes import pictures
from aezoo.schedules import Linear
from aezoo.sklearn import AnomalyDetector

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "figures"
SEED = 0
MNIST_PRESETS_OF_1000 = ("contractive_mnist", "denoising_mnist", "sparse_kl_mnist")

#: Pairs of test sketches, chosen by eye among those whose reconstructions differ.
STARTS, ENDS = (20, 31, 18, 9), (4, 28, 14, 24)

FIGURES: dict[str, Callable[[], Figure]] = {}
OF_SKETCHES: dict[str, Callable[[np.ndarray], Figure]] = {}
OF_HEARTBEATS: dict[str, Callable[[Mapping[str, np.ndarray]], Figure]] = {}
OF_NOTO: dict[str, Callable[[Mapping[str, np.ndarray]], Figure]] = {}


def figure(draw):
    """Register a function that draws the figure of its name."""
    FIGURES[draw.__name__] = draw
    return draw


def of_sketches(draw):
    """Register a function that draws the figure of its name from test sketches."""
    OF_SKETCHES[draw.__name__] = draw
    return draw


@functools.cache
def mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return MNIST, ((x_train, y_train), (x_test, y_test))."""
    return aezoo.datasets.load("mnist")


@functools.cache
def preset(name: str) -> aezoo.Autoencoder:
    """Load a preset once."""
    return aezoo.Autoencoder.from_preset(name)


def test_digits(n: int = 10) -> np.ndarray:
    """Return the first test digits."""
    return mnist()[1][0][:n]


def save(name: str, drawn: Figure) -> int:
    """Write a figure with at most 128 colors, and return its size in bytes."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.png"
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.stat().st_size


# === Networks ===

NETWORKS = {
    "plain": "autoencoder_mnist",
    "denoising": "denoising_mnist",
    "sparse": "k_sparse_mnist_k25",
    "variational": "vae_mnist_20d",
    "compressive": "compressive_mnist",
    "discrete": "vq_vae_emoji",
    "sketches": "sketch_rnn_cats",
    "rbm": "rbm_mnist",
}
for _page, _preset in NETWORKS.items():
    FIGURES[f"{_page}_network"] = lambda name=_preset: plots.network(preset(name))


@figure
def masked_network() -> Figure:
    """The two transformers of a masked autoencoder."""
    model = aezoo.MaskedAE(latent_dim=64, patch_size=4, seed=SEED)
    model.build((None, 28, 28, 1))
    return plots.network(model)


@figure
def stacked_network() -> Figure:
    """The deep autoencoder that a stack of three layers is unrolled to."""
    stack = aezoo.StackedAE([aezoo.DenoisingAE(units, seed=SEED) for units in (500, 250, 30)])
    shape = (28, 28, 1)
    for stage in stack.stages:
        stage.build((None, *shape))
        shape = stage.code_shape
    return plots.network(stack.unroll())


# === Plain ===


@figure
def plain_reconstructions() -> Figure:
    """Digits rebuilt from 32 numbers, by PCA and by an autoencoder."""
    (x, _), _ = mnist()
    few = test_digits()
    pca = PCA(32, random_state=SEED).fit(x.reshape(len(x), -1))
    by_pca = pca.inverse_transform(pca.transform(few.reshape(len(few), -1))).reshape(few.shape)
    return plots.rows({"input": few, "PCA": by_pca, "autoencoder": preset("autoencoder_mnist").reconstruct(few)})


# === Anomalies ===


@figure
def anomaly_table() -> Figure:
    """Plot the contributions to the scores of two malignant samples, by the detector of the page, with seeds."""
    table = load_breast_cancer(as_frame=True)
    benign, malignant = table.data[table.target == 1], table.data[table.target == 0]
    options = {"noise": "gaussian", "corruption": 0.3, "output_activation": "linear", "seed": SEED}
    model = aezoo.DenoisingAE(8, hidden_dims=(32,), **options)
    detector = AnomalyDetector(model, epochs=200, standardize="robust", early_stopping=True, random_state=SEED)
    detector.fit(benign[:300])
    return plots.contributions(detector.explain(malignant), malignant, n=2)


@figure
def anomaly_digits() -> Figure:
    """Plot digits other than zero, and the contribution of each pixel to their scores."""
    (x, y), (x_test, y_test) = aezoo.datasets.load("digits")
    detector = AnomalyDetector(aezoo.Autoencoder(latent_dim=8, seed=SEED), random_state=SEED).fit(x[y == 0])
    others = x_test[y_test != 0][:10]
    return plots.contributions(detector.explain(others), others)


# === Denoising ===


@figure
def denoising_repair() -> Figure:
    """Digits, damaged and repaired."""
    model, x = preset("denoising_mnist"), test_digits()
    return plots.reconstructions(model, x, corrupted=np.asarray(model.corruption(x, training=True)))


@figure
def denoising_filters() -> Figure:
    """Filters of the denoising preset."""
    return plots.filters({"denoising": preset("denoising_mnist")}, n=25, tile=56)


# === Sparse ===


@figure
def sparse_filters() -> Figure:
    """Filters for four values of k."""
    panels = {f"k = {k}": preset(f"k_sparse_mnist_k{k}") for k in (70, 40, 25, 10)}
    return plots.filters(panels, n=25, tile=56)


@figure
def sparse_penalties() -> Figure:
    """Filters by the two penalties."""
    return plots.filters({"KL": preset("sparse_kl_mnist"), "L1": preset("sparse_l1_mnist")}, n=25, tile=56)


# === Contractive ===


@figure
def contractive_filters() -> Figure:
    """Filters of the contractive preset."""
    return plots.filters({"contractive": preset("contractive_mnist")}, n=25, tile=56)


@figure
def contractive_spectrum() -> Figure:
    """The singular values of J = diag(z(1 - z)) Wᵀ, W of (pixels, units), of one layer of sigmoid units."""
    x = test_digits(1000)
    curves = {}
    for name in MNIST_PRESETS_OF_1000:
        model = preset(name)
        z = np.asarray(model.encode(x))
        spread = np.sqrt(np.sum(np.var(z, axis=0)))
        kernel = next(w for w in model.encoder.get_weights() if w.ndim == 2)
        values = [np.linalg.svd((z_i * (1 - z_i))[:, None] * kernel.T, compute_uv=False) for z_i in z[:50]]
        curves[name] = np.mean(values, axis=0)[:100] / spread
    return plots.lines(curves, x="direction", y="movement of the code / spread")


@figure
def contractive_tangents() -> Figure:
    """Digits, the first tangents of their codes, and the digits moved along the first one."""
    x = test_digits()
    u = aezoo.evaluation.tangents(preset("contractive_mnist"), x, n=4)[0]
    rows = {f"tangent {i + 1}": signed_tiles(u[:, i]) for i in range(4)}
    moved = {f"input {step:+d} u₁": np.clip(x + step * u[:, 0], 0, 1) for step in (-3, 3)}
    return plots.rows({"input": x, **rows, **moved})


# === Samplers ===


@figure
def samplers_emoji() -> Figure:
    """Samples of emoji by the prior of the preset and by samplers of its codes, trained as the benchmark does."""
    sys.path.append(str(ROOT / "benchmarks"))
    import latent_diffusion

    fits = latent_diffusion.samplers("vae_emoji", quick=False)
    methods = ("prior of the preset", "mixture", "diffusion")
    return plots.rows({name.split()[0]: np.asarray(fits[name]()(10, SEED)) for name in methods})


# === Variational ===


@figure
def variational_manifold() -> Figure:
    """The plane of codes."""
    return plots.manifold(preset("vae_mnist_2d"), n=12)


@functools.cache
def conditional_vae() -> aezoo.ConditionalVAE:
    """Train a conditional VAE once, for two figures."""
    keras.utils.set_random_seed(SEED)
    (x, y), _ = mnist()
    model = aezoo.ConditionalVAE(latent_dim=4, num_classes=10, hidden_dims=(400,), seed=SEED)
    model.compile(optimizer="adam")
    model.fit(x, y, epochs=8, batch_size=128, verbose=2)
    return model


@figure
def variational_samples() -> Figure:
    """Samples of each class, none of them picked."""
    drawn = conditional_vae().sample(50, label=np.tile(np.arange(10), 5), seed=SEED)
    return tiles.tile_figure({"": tiles.pictures(np.asarray(drawn))}, columns=10)


@figure
def variational_conditional() -> Figure:
    """One handwriting per row, in all ten digits."""
    model = conditional_vae()
    _, (x_test, y_test) = mnist()
    x, y = x_test[:6], y_test[:6]
    z = np.asarray(model.encode(x, label=y))
    drawn = np.asarray(model.decode(np.repeat(z, 10, axis=0), label=np.tile(np.arange(10), 6)))
    rows = np.concatenate([x[:, None], drawn.reshape(6, 10, 28, 28, 1)], axis=1)
    return tiles.tile_figure({"": tiles.pictures(rows.reshape(-1, 28, 28, 1))}, columns=11)


@figure
def variational_ladder() -> Figure:
    """Digits, what z₂ alone says of them, digits of other z₁ with the same z₂, and reconstructions."""
    keras.utils.set_random_seed(SEED)
    (x, _), _ = mnist()
    warm_up = aezoo.schedules.Linear(0.0, 1.0, epochs=4)
    model = aezoo.LadderVAE(40, hidden_dims=(275,), top_dim=20, top_hidden_dims=(100,), beta=warm_up, seed=SEED)
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    model.fit(x, epochs=15, batch_size=128, verbose=2)
    few = test_digits()
    lower, top = (np.asarray(part) for part in model.levels(model.encode(few)))
    mean, log_variance = (np.asarray(part) for part in model.generative_moments(top))
    rng = np.random.default_rng(SEED)
    drawn = [mean + np.exp(log_variance / 2) * rng.standard_normal(mean.shape) for _ in range(2)]
    rows = {"z₂ alone": mean, "same z₂, other z₁": drawn[0], "": drawn[1], "reconstruction": lower}
    pictures = {name: model.decode(np.concatenate([z, top], axis=1).astype("float32")) for name, z in rows.items()}
    return plots.rows({"input": few, **pictures})


# === Discrete ===


@figure
def discrete_samples() -> Figure:
    """Emoji, their reconstructions from indices, and samples of the prior."""
    return pictures.discrete(preset("vq_vae_emoji"), aezoo.datasets.load("emoji")[1][0])


# === Compressive ===


@figure
def compressive_reconstructions() -> Figure:
    """Digits rebuilt from their bytes."""
    model, x = preset("compressive_mnist"), test_digits()
    return plots.rows({"input": x, "from bytes": model.decompress(model.compress(x))})


@figure
def compressive_rate() -> Figure:
    """Bytes and quality of the models, and the bytes of the rivals at the same quality, as the script left them."""
    rows = json.loads((ROOT / "benchmarks/papers/results/compression.json").read_text())["rows"]
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in ("CompressiveAE", "PCA", "JPEG", "WebP")}
    for row in rows:
        what, value = row["what"].strip(), row["ours"]
        if what.endswith("bytes per digit"):
            size = value
        elif what.startswith("PSNR"):
            quality = value
            curves["CompressiveAE"].append((size, quality))
        elif what.endswith("at equal PSNR"):
            curves[what.split()[3]].append((size / value, quality))
    return plots.rate_distortion(curves, rate="bytes per digit")


@figure
def compressive_photographs() -> Figure:
    """Bits and quality of photographs, as the script left them."""
    curves = json.loads((ROOT / "benchmarks/papers/results/hyperprior.json").read_text())["curves"]
    shown = {name: [point for point in curve if point[0] <= 1.5] for name, curve in curves.items()}
    return plots.rate_distortion(shown, rate="bits per pixel, headers included")


# === Sketches ===


@of_sketches
def sketches_temperatures(x: np.ndarray) -> Figure:
    """Sketches, and what the model draws from their codes."""
    model, x = preset("sketch_rnn_cats"), x[:10]
    rows = {"input": x}
    for temperature in (0.2, 0.5, 0.8):
        drawn = model.sample(temperature=temperature, z=model.encode(x), seed=SEED)
        rows[f"τ = {temperature:g}"] = np.asarray(drawn)
    return plots.sketches(np.concatenate(list(rows.values())), columns=len(x), row_labels=list(rows))


@of_sketches
def sketches_complete(x: np.ndarray) -> Figure:
    """Begun sketches, the first third of the points of test sketches, and completions with two kinds of codes."""
    model, columns = preset("sketch_rnn_cats"), []
    finished = model.encode(x[10:13])
    for sketch in x[[0, 2, 3, 4, 5, 6, 7]]:
        begun = sketch.copy()
        begun[np.sum(np.cumsum(sketch[:, 4]) == 0) // 3 :] = [0, 0, 0, 0, 1]
        own = model.complete_sketch(begun, n=2, temperature=0.3, seed=SEED)
        others = model.complete_sketch(begun, n=3, temperature=0.3, z=finished, seed=SEED)
        columns.append(np.concatenate([begun[None], own, others]))
    labels = ["begun", *["its own code"] * 2, *["another's code"] * 3]
    return plots.sketches(np.concatenate(np.stack(columns, axis=1)), columns=len(columns), row_labels=labels)


@of_sketches
def sketches_interpolation(x: np.ndarray) -> Figure:
    """Paths between sketches, which stand at both ends."""
    starts, ends = x[list(STARTS)], x[list(ENDS)]
    path = np.asarray(preset("sketch_rnn_cats").interpolate(starts, ends, steps=8))
    rows = np.concatenate([starts[:, None], path, ends[:, None]], axis=1)
    drawn = plots.sketches(rows.reshape(-1, *x.shape[1:]), columns=10)
    for border in (1, 9):
        drawn.axes[0].axvline(border, color=style.GRAY, linewidth=1)
    return drawn


# === Sparse codes ===


@figure
def sparse_codes_dictionaries() -> Figure:
    """Directions of three sparse codes: the most active ones, and of Matryoshka the first."""
    (x, _), _ = mnist()
    x = x[:25_600]
    settings: dict[str, Any] = {"latent_dim": 512, "k": 16, "dead_after": 10_000, "seed": SEED}
    models = {
        "TopK": aezoo.TopKAE(**settings),
        "BatchTopK": aezoo.BatchTopKAE(**settings),
        "Matryoshka": aezoo.MatryoshkaAE(levels=(16, 32, 128, 512), **settings),
    }
    panels = {}
    for name, model in models.items():
        keras.utils.set_random_seed(SEED)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(x, epochs=6, batch_size=256, verbose=2)
        uses = np.count_nonzero(model.encode(x), axis=0)
        chosen = np.arange(24) if name == "Matryoshka" else np.argsort(-uses)[:24]
        panels[name] = signed_tiles(model.dictionary[chosen, ..., 0])
    return tiles.tile_figure(panels, columns=12, tile=40)


def vision_network(shape: tuple[int, ...], classes: int) -> keras.Sequential:
    """Return a classifier of images: three strided convolutions, and the means of their features over the image."""

    def convolution(channels: int, size: int) -> list[keras.layers.Layer]:
        return [
            keras.layers.Conv2D(channels, size, 2, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]

    return keras.Sequential(
        [
            keras.Input(shape),
            *(layer for channels, size in ((24, 5), (48, 3), (96, 3)) for layer in convolution(channels, size)),
            keras.layers.GlobalAveragePooling2D(name="pooled"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def noto(file: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return emoji on white, (n, 64, 64, 3) in [0, 1], each once and in one skin tone, and their categories."""
    plain = file["skin_tone"] == ""
    rgba = file["images"][plain] / np.float32(255)
    x = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    different = np.sort(np.unique(x.reshape(len(x), -1), axis=0, return_index=True)[1])
    return x[different], file["category"][plain][different].astype("int64")


def sparse_codes_vision(file: Mapping[str, np.ndarray]) -> Figure:
    """The emoji that excite units of a sparse code of a classifier's features: the units most active on average."""
    x, y = noto(file)
    keras.utils.set_random_seed(SEED)
    test = np.isin(np.arange(len(x)), np.random.default_rng(SEED).permutation(len(x))[: len(x) // 5])
    cnn = vision_network(x.shape[1:], len(file["category_names"]))
    steps = 30 * -(-int(np.sum(~test)) // 32)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, steps)
    cnn.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    cnn.fit(x[~test], y[~test], validation_data=(x[test], y[test]), epochs=30, batch_size=32, verbose=2)
    h = np.concatenate([np.asarray(batch) for batch in aezoo.datasets.activations(cnn, "pooled", x)])

    keras.utils.set_random_seed(SEED)
    model = aezoo.BatchTopKAE(latent_dim=128, k=4, dead_after=len(h), seed=SEED)
    model.compile(keras.optimizers.Adam(2e-3))
    history = model.fit(h, epochs=100, batch_size=128, verbose=0).history
    code = np.asarray(model.encode(h))
    units = np.argsort(-code.mean(axis=0))[:8]
    top = aezoo.evaluation.top_inputs(model, h, units, n=10)
    alive = np.flatnonzero(np.count_nonzero(code, axis=0) >= 10)
    chance = np.random.default_rng(SEED).random((len(alive), len(x))).argsort(axis=1)[:, :10]
    shares = {
        "units": aezoo.evaluation.top_inputs(model, h, alive, n=10),
        "channels": np.argsort(-h, axis=0)[:10].T,
        "random": chance,
    }
    found = {name: np.mean([np.bincount(y[one]).max() / 10 for one in rows]) for name, rows in shares.items()}
    print(f"{len(x)} emoji, {len(alive)} units alive, error {history['reconstruction'][-1]:.3f}, one category: {found}")
    labels = [f"unit {unit}, {100 * np.mean(code[:, unit] > 0):.0f} %" for unit in units]
    return tiles.tile_figure({"": x[top.ravel()]}, columns=10, row_labels=labels, tile=48)


OF_NOTO["sparse_codes_vision"] = sparse_codes_vision


# === Masked ===


@figure
def masked_repair() -> Figure:
    """Digits, what is visible of them, and the whole filled in."""
    keras.utils.set_random_seed(SEED)
    (x, _), _ = mnist()
    model = aezoo.MaskedAE(
        latent_dim=96, patch_size=7, mask_ratio=0.5, visible_weight=0.1, output_activation="sigmoid", seed=SEED
    )
    model.compile(optimizer=model.default_optimizer())
    model.fit(x[:25_600], epochs=6, batch_size=128, verbose=2)
    few = test_digits()
    order, visible = model.draw_order(len(few))
    filled = model.decode_visible(model.encode_visible(few, order, visible), order)
    seen = np.asarray(_patches.per_pixel(np.argsort(order, axis=1) < visible, few.shape[1:], 7))[..., None]
    return plots.rows({"input": few, "visible": np.where(seen, few, 0.5), "filled in": filled})


# === Stacked ===


@figure
def stacked_pretraining() -> Figure:
    """Errors of unrolled stacks after fine-tuning, and of the same networks from random weights."""
    runs = json.loads((ROOT / "benchmarks/defaults.json").read_text())["runs"]
    names = {"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
    drawn, axes = style.panels(2, (400, style.WIDTH), 300)
    for model, ax in zip(("StackedAE", "DBN"), axes, strict=True):
        errors = {}
        for run in runs:
            if run["model"] == model and run["data"] in names:
                pretrained = next(row for row in run["term"] if "random weights" in row["what"])
                errors[names[run["data"]]] = float(pretrained["target"].split()[1]), pretrained["ours"]
        for i, (label, color) in enumerate((("from random weights", style.GRAY), ("pretrained", style.BLUE))):
            heights = [100 * error[i] for error in errors.values()]
            bars = ax.bar(np.arange(len(errors)) + 0.4 * i - 0.2, heights, 0.36, color=color, label=label)
            ax.bar_label(bars, fmt="%.0f", fontsize=8, color=style.TEXT)
        style.with_axes(ax, model, y="error (% of the mean image's error)")
        ax.set_xticks(range(len(errors)), errors)
    style.legend(axes[0], loc="upper left")
    axes[0].set_ylim(0, 90)
    axes[1].set_ylim(0, 90)
    return drawn


@figure
def stacked_features() -> Figure:
    """What units of three sparse layers draw, and the mean of the 16 digits that excite each most."""
    keras.utils.set_random_seed(SEED)
    (x, _), (x_test, _) = mnist()
    sparse = [
        aezoo.KSparseAE(units, k=k, k_schedule=schedule, aux_weight=1 / 32, code_activation="relu", seed=seed)
        for seed, (units, k) in enumerate(((200, 12), (64, 4)), 1)
        for schedule in [Linear(4 * k, k, epochs=3)]
    ]
    stack = aezoo.StackedAE([preset("k_sparse_mnist_k70"), *sparse])
    stack.pretrain(x[:15_000], epochs=[0, 8, 10], batch_size=100, cache=True, verbose=2)
    x_test = x_test[:5000]
    codes, rows, rng = x_test, {}, np.random.default_rng(SEED)
    for level, stage in enumerate(stack.stages, 1):
        codes = np.asarray(stage.encode(codes))
        units = rng.choice(np.flatnonzero(np.sum(codes > 0, axis=0) >= 16), 10, replace=False)
        alone = np.diag(codes.max(axis=0))[units].astype("float32")  # each unit at its largest value
        nothing = np.zeros_like(alone)
        for below in reversed(stack.stages[:level]):
            alone, nothing = np.asarray(below.decode(alone)), np.asarray(below.decode(nothing))
        drawn = alone - nothing
        rows[f"layer {level} draws"] = 0.5 + 0.5 * drawn / np.abs(drawn).max(axis=(1, 2, 3), keepdims=True)
        rows[f"layer {level} responds to"] = x_test[np.argsort(-codes[:, units], axis=0)[:16]].mean(axis=0)
    return plots.rows(rows)


# === Jobs ===


def page(name: str) -> dict[str, Any]:
    """Run the code of a page in an empty folder; return its variables."""
    text = (ROOT / "docs" / "jobs" / f"{name}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    keras.utils.set_random_seed(SEED)
    variables = vars(types.ModuleType(name))
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            exec(compile(code, f"{name}.md", "exec"), variables)
        finally:
            os.chdir(here)
    return variables


@figure
def photographs_repair() -> Figure:
    """Images of a folder, with noise, and repaired, by the code of the page."""
    found = page("photographs")
    shown = np.linspace(0, len(found["x_test"]) - 1, 10).astype(int)
    rows = {"image": found["x_test"], "with noise": found["noisy"], "repaired": found["repaired"]}
    return plots.rows({name: np.asarray(images)[shown] for name, images in rows.items()})


@figure
def series_scores() -> Figure:
    """The test week of a series and the score of each step, by the code of the page."""
    found = page("series")
    times, scores = found["series"].test_times, found["scores"]
    frame = found["frame"].set_index("time").loc[times[0] :]
    drawn = style.figure(style.WIDTH, 420, layout="constrained")
    above, below = drawn.subplots(2, sharex=True)
    for column, color, unit in (("load", style.GRAY, "%"), ("temperature", style.BLUE, "°C")):
        above.plot(frame.index, frame[column], color=color, linewidth=1, label=f"{column} ({unit})")
    below.plot(times, scores, color=style.BLUE, linewidth=1)
    below.axhline(found["threshold"], color=style.TEXT, linewidth=1, linestyle="--")
    fault = found["time"][found["stuck"]]
    for ax in (above, below):
        ax.axvspan(fault[0], fault[-1], color="#f3d9c4", linewidth=0)
    style.with_axes(above)
    style.with_axes(below, y="score")
    style.legend(above, loc="upper right", ncols=2)
    above.set_ylim(0, 110)
    below.xaxis.set_major_formatter(DateFormatter("%-d %b"))
    return drawn


# === Series and text ===


@figure
def sequences_network() -> Figure:
    """The networks of a model of heartbeats."""
    model = aezoo.SequenceAE(8, seed=SEED)
    model.build((None, 140, 1))
    return plots.network(model)


def sequences_heartbeats(ecg: Mapping[str, np.ndarray]) -> Figure:
    """Heartbeats, normal and abnormal, and the error of each step."""
    keras.utils.set_random_seed(SEED)
    x = ecg["x_train"][ecg["y_train"] == 1][..., None].astype("float32")
    test, abnormal = ecg["x_test"][..., None].astype("float32"), ecg["y_test_abnormal"] == 1
    model = aezoo.SequenceAE(8, units=(32,), seed=SEED)
    steps = 60 * -(-len(x) // 64)
    rate = keras.optimizers.schedules.CosineDecay(5e-3, steps, alpha=0.05)
    model.compile(keras.optimizers.Adam(rate, clipnorm=5.0))
    model.fit(x, epochs=60, batch_size=64, verbose=0)
    shown = np.concatenate([test[~abnormal][:2], test[abnormal][:2]])
    titles = ["normal", "normal", "abnormal", "abnormal"]
    return plots.series(shown, model.reconstruct(shown), model.score_steps(shown), titles)


OF_HEARTBEATS["sequences_heartbeats"] = sequences_heartbeats


@figure
def sequences_collapse() -> Figure:
    """The KL divergence over the epochs, as benchmarks/papers/text.py measured it."""
    path = ROOT / "benchmarks" / "papers" / "results" / "text_names.json"
    runs = json.loads(path.read_text())["runs"]
    shown = ("none", "KL annealing", "word dropout", "free bits", "all three")
    return plots.lines(
        {name: runs[name]["kl_history"] for name in shown}, x="epoch", y="KL divergence (times β), nats per name"
    )


# === RBM ===


@figure
def rbm_filters() -> Figure:
    """Filters of the RBM preset."""
    return plots.filters({"RBM": preset("rbm_mnist")}, n=25, tile=56, order="index", scale="each")


@figure
def rbm_chains() -> Figure:
    """Gibbs chains that start at digits."""
    keras.utils.set_random_seed(SEED)
    return plots.chains(preset("rbm_mnist"), start=test_digits(), seed=SEED)


@figure
def rbm_dbn() -> Figure:
    """Digits rebuilt from 30 numbers."""
    return plots.reconstructions(preset("dbn_mnist"), test_digits())


def main() -> None:
    """Draw all figures, or those that the user names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=", ".join([*FIGURES, *OF_SKETCHES, *OF_HEARTBEATS, *OF_NOTO])
    )
    parser.add_argument("--sketches", help="sketch-rnn's file of cats (.npz)")
    parser.add_argument("--ecg", help="ECG5000 (.npz)")
    parser.add_argument("--noto", help="images, skin_tone, category and category_names of Noto emoji (.npz)")
    arguments = parser.parse_args()
    draw = dict(FIGURES)
    if arguments.sketches:
        _, (x, _) = aezoo.sketches.load(arguments.sketches, max_points=100)
        draw |= {name: functools.partial(function, x) for name, function in OF_SKETCHES.items()}
    if arguments.ecg:
        ecg = dict(np.load(arguments.ecg))
        draw |= {name: functools.partial(function, ecg) for name, function in OF_HEARTBEATS.items()}
    if arguments.noto:
        emoji = dict(np.load(arguments.noto))
        draw |= {name: functools.partial(function, emoji) for name, function in OF_NOTO.items()}
    for name in arguments.names or draw:
        print(f"{name}: {save(name, draw[name]()):,} bytes", flush=True)


if __name__ == "__main__":
    main()
