"""Rate and distortion of a compressive autoencoder (Ballé et al. 2017) beside JPEG, WebP and PCA.

    TFDS_DATA_DIR=... python benchmarks/papers/rate_distortion.py [--quick]
    python benchmarks/papers/rate_distortion.py --photographs IMAGES.npz [--quick]
    python benchmarks/papers/rate_distortion.py --plot compression  # or compression_photographs: from the stored curves

MNIST: five weights of the distortion, each a model of its own, that of the middle one the first, from which the others
start one after the other, up and down. The 10,000 test digits are one container, the PSNR is that of all of them. JPEG
and WebP get the digits tiled on one sheet, side by side or 32 pixels apart, so that blocks of 8 fit, whichever is
shorter at each quality. PCA is fitted to the training set; its components are rounded to multiples of a step and coded
by the same range coder, with frequencies counted on the training set, in the same container; the best number of
components and step is taken at each size. All headers are counted; the models and the components, which the receiver is
to have, are not. A compressor whose worst quality is better than ours is compared at its smallest size.

Photographs, in place of MNIST: grayscale images (n, h, w) uint8 in an .npz under "images", the last 20 of them for
testing, each a file of its own for every compressor; PCA takes blocks of 8 x 8. The model is fully convolutional; that
of each weight starts from that of the next smaller one.
"""

import io
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import math
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from reporting import HERE, Clock, Row, arguments, mnist, report
from sklearn.decomposition import PCA

import aezoo
from aezoo import codec
from aezoo.evaluation import psnr

# Each weight, and that whose model it starts from.
WEIGHTS = {32.0: None, 8.0: 32.0, 2.0: 8.0, 128.0: 32.0, 512.0: 128.0}
PHOTO_WEIGHTS = (30.0, 100.0, 300.0, 1000.0)
#: What the curves of a result have on the x axis, by the name of the result.
RATES = {
    "compression": "bytes per digit, headers included",
    "compression_photographs": "bits per pixel, headers included",
}
QUALITIES = (0, 1, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 40, 50, 60, 70, 80, 90)
HELD_OUT = 20

Points = list[tuple[float, float]]


# === Rivals ===


def picture_file(picture: np.ndarray, kind: str, quality: int) -> tuple[int, np.ndarray]:
    """Bytes of a grayscale picture (h, w) uint8 as a file of this kind, and what is read from it, float in [0, 1]."""
    buffer = io.BytesIO()
    options = {"JPEG": {"optimize": True}, "WEBP": {"method": 6}}[kind]
    Image.fromarray(picture).save(buffer, kind, quality=quality, **options)
    return len(buffer.getvalue()), np.asarray(Image.open(buffer).convert("L")) / 255


def sheet(x: np.ndarray, spacing: int) -> np.ndarray:
    """Digits (n, h, w) in [0, 1] on one picture, uint8, `spacing` pixels apart."""
    columns = math.ceil(math.sqrt(len(x)))
    rows = math.ceil(len(x) / columns)
    tiles = np.zeros((rows * columns, spacing, spacing))
    tiles[: len(x), : x.shape[1], : x.shape[2]] = x
    picture = tiles.reshape(rows, columns, spacing, spacing).swapaxes(1, 2).reshape(rows * spacing, columns * spacing)
    return np.rint(255 * picture).astype("uint8")


def cut(picture: np.ndarray, x: np.ndarray, spacing: int) -> np.ndarray:
    """The digits of a sheet again, with the shape of x."""
    rows, columns = picture.shape[0] // spacing, picture.shape[1] // spacing
    tiles = picture.reshape(rows, spacing, columns, spacing).swapaxes(1, 2).reshape(-1, spacing, spacing)
    return tiles[: len(x), : x.shape[1], : x.shape[2]]


def sheets(x: np.ndarray, kind: str) -> Points:
    """(bytes an image, PSNR) of digits on a sheet at each quality."""
    points = []
    for spacing in (x.shape[1], math.ceil(x.shape[1] / 8) * 8):
        picture = sheet(x, spacing)
        for quality in QUALITIES:
            size, decoded = picture_file(picture, kind, quality)
            points.append((size / len(x), psnr(x, cut(decoded, x, spacing))))
    return front(points)


def files(pictures: np.ndarray, kind: str) -> Points:
    """(bits per pixel, PSNR) of pictures (n, h, w) uint8, each a file, at each quality."""
    points = []
    for quality in QUALITIES:
        sizes, decoded = zip(*(picture_file(picture, kind, quality) for picture in pictures), strict=True)
        points.append((8 * sum(sizes) / pictures.size, psnr(pictures / 255, np.stack(decoded))))
    return front(points)


def pca(x: np.ndarray, tests: list[np.ndarray], components: tuple[int, ...], steps: tuple[float, ...]) -> Points:
    """(bytes a vector, PSNR) of the rounded principal components of x (n, d), each of `tests` (m, d) a container."""
    fitted = PCA(max(components), random_state=0).fit(x)
    scores, scores_test = fitted.transform(x), [fitted.transform(test) for test in tests]
    every = np.concatenate(tests)
    points = []
    for k in components:
        for step in steps:
            counted = np.rint(scores[:, :k] / step).astype("int64")
            coder = codec.Codec(codec.from_counts(counted.T), (k,), x.shape[1])
            files = [coder.encode(np.rint(part[:, :k] / step)) for part in scores_test]
            codes = np.concatenate([coder.decode(data)[0] for data in files])
            decoded = fitted.mean_ + step * codes @ fitted.components_[:k]
            points.append((sum(map(len, files)) / len(every), psnr(every, np.clip(decoded, 0, 1))))
    return front(points)


def blocks(picture: np.ndarray) -> np.ndarray:
    """The blocks of 8 x 8 of a picture (h, w), (n, 64), as far as there are whole ones."""
    h, w = (size // 8 for size in picture.shape)
    return picture[: 8 * h, : 8 * w].reshape(h, 8, w, 8).swapaxes(1, 2).reshape(-1, 64)


def front(points: Points) -> Points:
    """Those points that no other one beats in both size and quality, by size."""
    best: Points = []
    for size, quality in sorted(points):
        if not best or quality > best[-1][1]:
            best.append((size, quality))
    return best


def size_at(points: Points, quality: float) -> float:
    """The size of a compressor at a quality, interpolated: its least where none is so bad, NaN where none so good."""
    sizes, qualities = np.array(points).T
    return float(np.exp(np.interp(quality, qualities, np.log(sizes), right=np.nan)))


# === Ours ===


def train(
    model: aezoo.CompressiveAE,
    x: np.ndarray,
    learning_rate: float,
    epochs: int,
    batch_size: int,
    start: aezoo.CompressiveAE | None = None,
) -> float:
    """Trains from the weights of `start`, with a learning rate that falls to 0 along a cosine; returns the minutes."""
    clock = Clock()
    model.build(x.shape)
    if start is not None:
        for variable, before in zip(model.trainable_variables, start.trainable_variables, strict=True):
            variable.assign(before)
    steps = epochs * math.ceil(len(x) / batch_size)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)))
    model.fit(x, epochs=epochs, batch_size=batch_size, verbose=0)
    return clock.minutes


def digits(options) -> tuple[list[Row], dict[str, Points]]:
    (x, _), (x_test, _) = mnist(options.quick)
    flat, flat_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
    curves: dict[str, Points] = {}
    details, rows, models = [], [], {}
    for weight, start in list(WEIGHTS.items())[: 2 if options.quick else None]:
        model = aezoo.CompressiveAE(options.latent_dim, hidden_dims=(options.units,), weight=weight, seed=options.seed)
        minutes = train(model, x, options.learning_rate, options.epochs, options.batch_size, models.get(start))
        models[weight] = model
        data = model.compress(x_test)
        decoded = np.asarray(model.decompress(data))
        assert np.array_equal(decoded, model.reconstruct(x_test)), "not the model's own reconstruction"
        entropy = float(np.sum(model.rate(model.encode(x_test)), dtype="float64")) / 8
        details.append((weight, (len(data) / len(x_test), psnr(x_test, decoded)), len(data) / entropy, minutes))
        print(f"weight {weight:g}: {details[-1]}", flush=True)
    details.sort()
    curves["CompressiveAE"] = [point for _, point, *_ in details]
    clock = Clock()
    steps = 2 if options.quick else 14
    components = tuple(k for k in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256) if k <= flat.shape[1])
    curves["PCA"] = pca(flat, [flat_test], components, tuple(float(s) for s in np.geomspace(0.15, 6, steps)))
    curves["JPEG"] = sheets(x_test[..., 0], "JPEG")
    curves["WebP"] = sheets(x_test[..., 0], "WEBP")
    for weight, (size, quality), excess, minutes in details:
        rows.append(Row(f"weight {weight:g}: bytes per digit", "–", "–", size, minutes))
        rows.append(Row("  PSNR over the test set, dB", "–", "–", quality, 0.0))
        rows.append(Row("  bytes over the model's entropy", "–", "<= 1.05", excess, 0.0))
        for rival in ("PCA", "JPEG", "WebP"):
            ratio = size / size_at(curves[rival], quality)
            least = curves[rival][0][1]
            where = f"at its lowest quality, {least:.1f} dB" if quality < least else "at equal PSNR"
            rows.append(Row(f"  bytes relative to {rival} {where}", "–", "< 1", ratio, 0.0))
    print(f"rivals: {clock.minutes:.1f} minutes", flush=True)
    return rows, curves


def photographs(options) -> tuple[list[Row], dict[str, Points]]:
    pictures = np.load(options.photographs)["images"]
    if options.quick:
        pictures = pictures[-HELD_OUT - 2 :]
    test, rng = pictures[-HELD_OUT:], np.random.default_rng(options.seed)
    patches = []
    for picture in pictures[:-HELD_OUT]:
        for _ in range(options.patches):
            top, left = (rng.integers(size - 64 + 1) for size in picture.shape)
            patches.append(picture[top : top + 64, left : left + 64, None])
    x = np.stack(patches).astype("float32") / 255
    curves: dict[str, Points] = {"CompressiveAE": []}
    measured, before = [], None
    for weight in PHOTO_WEIGHTS:
        model = aezoo.CompressiveAE(
            options.photo_latent_dim,
            filters=(48, 48),
            spatial=True,
            weight=weight,
            seed=options.seed,
        )
        minutes = train(model, x, options.photo_learning_rate, options.photo_epochs, options.photo_batch_size, before)
        before = model
        compressed = [codec.compress_picture(model, picture[..., None]) for picture in test]
        decoded = np.stack([codec.decompress_picture(model, data) for data in compressed])[..., 0]
        point = (8 * sum(map(len, compressed)) / test.size, psnr(test, decoded, peak=255))
        curves["CompressiveAE"].append(point)
        print(f"weight {weight:g}: {point}, {minutes:.1f} minutes", flush=True)
        measured.append((weight, point, minutes))
    curves["JPEG"], curves["WebP"] = files(test, "JPEG"), files(test, "WEBP")
    learned, held_out = ([blocks(picture / 255) for picture in part] for part in (pictures[:-HELD_OUT], test))
    points = pca(
        np.concatenate(learned), held_out, (1, 2, 3, 4, 6, 8, 12, 16, 24), (0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)
    )
    curves["PCA"] = [(8 * size / 64, quality) for size, quality in points]  # bits per pixel from bytes a block
    rows = []
    for weight, point, minutes in measured:
        rows.append(Row(f"photographs, weight {weight:g}: bits per pixel", "–", "–", point[0], minutes))
        rows.append(Row("  PSNR over the test set, dB", "–", "–", point[1], 0.0))
        for rival in ("PCA", "JPEG", "WebP"):
            rows.append(Row(f"  bits relative to {rival}", "–", "–", point[0] / size_at(curves[rival], point[1]), 0.0))
    return rows, curves


def plot(name: str) -> None:
    """Draw the stored curves of a result."""
    results = HERE / "results"
    curves = json.loads((results / f"{name}.json").read_text())["curves"]
    curves = {rival: curves[rival] for rival in ("CompressiveAE", "PCA", "JPEG", "WebP")}
    aezoo.plots.rate_distortion(curves, rate=RATES[name]).savefig(results / f"{name}.png")


def main() -> None:
    options = arguments(
        __doc__,
        epochs=12,
        units=1024,
        latent_dim=128,
        batch_size=256,
        learning_rate=2e-3,
        photographs="",
        patches=20,
        photo_epochs=16,
        photo_learning_rate=1e-3,
        photo_batch_size=16,
        photo_latent_dim=48,
        plot="",
    )
    if options.plot:
        plot(options.plot)
        return
    if options.quick:
        options.epochs = options.photo_epochs = options.patches = 2
        options.units, options.latent_dim, options.batch_size = 16, 4, 100
    rows, curves = photographs(options) if options.photographs else digits(options)
    name = "compression_photographs" if options.photographs else "compression"
    options.photographs = Path(options.photographs).name
    report(name, options, rows, curves=curves)
    if not options.quick:
        plot(name)


if __name__ == "__main__":
    main()
