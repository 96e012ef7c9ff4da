"""Rate and distortion of a mean-scale hyperprior (Ballé et al. 2018, Minnen et al. 2018) on photographs.

    python benchmarks/papers/hyperprior.py --photographs IMAGES.npz [--folder MODELS] [--quick]
    python benchmarks/papers/hyperprior.py --plot 1  # from the stored result

Photographs, test images and file formats are as in `rate_distortion.py --photographs`, and so are the numbers of
channels: the model differs from the `CompressiveAE` there by GDN, which replaces ReLU, by the hyperprior and by its
training. The curve of that model is read from its stored result.

The first weight trains from random weights, each other one from the model of the weight that `WEIGHTS` names. A
finished weight is kept in MODELS, by default a temporary folder, with its measurements: run the command again to
resume. `--only` trains one weight.

BD-rates are of JPEG's rates from 0.1 to 1.0 bits per pixel, with piecewise cubics.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from rate_distortion import HELD_OUT, QUALITIES, front, picture_file
from reporting import HERE, Row, arguments, report

import aezoo
from aezoo import codec
from aezoo.evaluation import bd_rate, ms_ssim, psnr

#: Each weight, and the weight whose model it starts from.
WEIGHTS = {400.0: None, 130.0: 400.0, 40.0: 130.0, 1200.0: 400.0}
RATES = 0.1, 1.0


@dataclasses.dataclass
class Point:
    """Bits per pixel, PSNR over all test images, and the mean of their MS-SSIM."""

    rate: float
    psnr: float
    ms_ssim: float


def measured(sizes: list[int], pictures: np.ndarray, decoded: np.ndarray) -> Point:
    """The point of pictures and what was decoded, both (n, h, w) in [0, 1], and of the sizes of their files."""
    similar = float(ms_ssim(pictures[..., None], decoded[..., None]).mean())
    return Point(8 * sum(sizes) / pictures.size, psnr(pictures, decoded), similar)


def files(pictures: np.ndarray, kind: str) -> list[Point]:
    """A point per quality of pictures (n, h, w) uint8, each a file."""
    points = []
    for quality in QUALITIES:
        sizes, decoded = zip(*(picture_file(picture, kind, quality) for picture in pictures), strict=True)
        points.append(measured(list(sizes), pictures / 255, np.stack(decoded)))
    return points


def patches(pictures: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n patches of 64 x 64 of each picture, every other one mirrored, (m, 64, 64, 1) in [0, 1]."""
    found = []
    for picture in pictures:
        for i in range(n):
            top, left = (rng.integers(size - 64 + 1) for size in picture.shape)
            patch = picture[top : top + 64, left : left + 64, None]
            found.append(patch[:, ::-1] if i % 2 else patch)
    return np.stack(found).astype("float32") / 255


def model_of(weight: float, options) -> aezoo.HyperpriorAE:
    channels, hyper = options.channels, options.hyper
    model = aezoo.HyperpriorAE(
        channels,
        filters=(channels, channels),
        hyper_filters=(hyper, hyper),
        mean_scale=True,
        weight=weight,
        seed=options.seed,
    )
    model.build((None, 64, 64, 1))
    return model


def train(weight: float, x: np.ndarray, options, folder: Path) -> dict:
    """Train and measure a model unless the folder has it; return its point and how it was trained."""
    described = folder / f"{weight:g}.json"
    if described.exists():
        return json.loads(described.read_text())
    model, start = model_of(weight, options), WEIGHTS[weight]
    if start is not None:
        model.load_weights(folder / f"{start:g}.weights.h5")
    epochs = options.epochs if start is None else options.further_epochs
    rate = options.learning_rate if start is None else options.learning_rate / 2
    steps = epochs * -(-len(x) // options.batch_size)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)))
    wall, cpu = time.perf_counter(), time.process_time()
    progress = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(f"weight {weight:g}, epoch {epoch}: {logs}", flush=True)
    )
    model.fit(x, epochs=epochs, batch_size=options.batch_size, verbose=0, callbacks=[progress])
    minutes = {"minutes": (time.perf_counter() - wall) / 60, "cpu_minutes": (time.process_time() - cpu) / 60}
    model.save_weights(folder / f"{weight:g}.weights.h5")
    found = {"weight": weight, "samples": epochs * len(x), **minutes}
    described.write_text(json.dumps(found))
    return found


def test(weight: float, pictures: np.ndarray, options, folder: Path) -> dict:
    """Add to a trained weight's description what its bytes are worth."""
    described = folder / f"{weight:g}.json"
    found = json.loads(described.read_text())
    if "point" not in found:
        model = model_of(weight, options)
        model.load_weights(folder / f"{weight:g}.weights.h5")
        clock = time.perf_counter()
        data = [codec.compress_picture(model, picture[..., None]) for picture in pictures]
        decoded = np.stack([codec.decompress_picture(model, each)[..., 0] for each in data])
        found["seconds_per_picture"] = (time.perf_counter() - clock) / len(pictures)
        found["point"] = dataclasses.asdict(measured([len(each) for each in data], pictures / 255, decoded / 255))
        described.write_text(json.dumps(found))
    return found


def inside(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in front(points) if RATES[0] <= point[0] <= RATES[1]]


def main() -> None:
    options = arguments(
        __doc__,
        photographs="",
        folder=str(Path(tempfile.gettempdir()) / "aezoo_hyperprior"),
        patches=40,
        epochs=8,
        further_epochs=3,
        learning_rate=1e-3,
        batch_size=8,
        channels=48,
        hyper=32,
        only=0.0,
        plot=0,
    )
    if options.plot:
        plot()
        return
    if options.quick:
        options.patches, options.epochs, options.further_epochs, options.channels, options.hyper = 2, 1, 1, 4, 2
        options.folder = tempfile.mkdtemp()
    folder, rng = Path(options.folder), np.random.default_rng(options.seed)
    folder.mkdir(exist_ok=True)
    if options.photographs:
        pictures = np.load(options.photographs)["images"]
        learned, held_out = pictures[:-HELD_OUT], pictures[-HELD_OUT:]
    elif options.quick:
        learned = held_out = rng.integers(256, size=(2, 192, 192), dtype="uint8")
    else:
        raise SystemExit("Give the photographs, --photographs IMAGES.npz, or try the script with --quick.")
    x = patches(learned, options.patches, rng)
    for weight in [options.only] if options.only else WEIGHTS:
        print(train(weight, x, options, folder), flush=True)
        print(test(weight, held_out, options, folder), flush=True)
    if options.only:
        return
    found = sorted((test(weight, held_out, options, folder) for weight in WEIGHTS), key=lambda each: each["weight"])
    points = {"HyperpriorAE": [Point(**each["point"]) for each in found]}
    points |= {kind: files(held_out, name) for kind, name in (("JPEG", "JPEG"), ("WebP", "WEBP"))}
    curves = {name: [(p.rate, p.psnr) for p in each] for name, each in points.items()}
    stored = json.loads((HERE / "results" / "compression_photographs.json").read_text())
    curves["CompressiveAE"] = stored["curves"]["CompressiveAE"]
    rows = []
    for each in found:
        point = Point(**each["point"])
        rows.append(Row(f"weight {each['weight']:g}: bits per pixel", "–", "–", point.rate, each["minutes"]))
        rows.append(Row("  PSNR over the test set, dB", "–", "–", point.psnr, 0.0))
        rows.append(Row("  MS-SSIM, mean over the test set", "–", "–", point.ms_ssim, 0.0))
    similarity = {name: [(p.rate, -10 * np.log10(1 - p.ms_ssim)) for p in each] for name, each in points.items()}
    if not options.quick:
        for measure, of in (("PSNR", curves), ("MS-SSIM", similarity)):
            for name, target in (("JPEG", "< 0"), ("WebP", "–")):
                rate = bd_rate(inside(of[name]), front(of["HyperpriorAE"]), "pchip")
                rows.append(Row(f"BD-rate over {name} by {measure}, %", "–", target, rate, 0.0))
        rate = bd_rate(front(curves["CompressiveAE"]), front(curves["HyperpriorAE"]), "pchip")
        rows.append(Row("BD-rate over CompressiveAE by PSNR, %", "–", "< 0", rate, 0.0))
    options.photographs, options.folder = Path(options.photographs).name, ""
    described = [{name: value for name, value in each.items() if name != "point"} for each in found]
    report("hyperprior", options, rows, curves=curves, ms_ssim=similarity, trainings=described)
    if not options.quick:
        plot()


def plot() -> None:
    """Draw the stored curves, with JPEG and WebP where their rates are at most 1.5 bits per pixel."""
    results = HERE / "results"
    curves = json.loads((results / "hyperprior.json").read_text())["curves"]
    shown = {
        name: [point for point in curves[name] if point[0] <= 1.5]
        for name in ("HyperpriorAE", "CompressiveAE", "JPEG", "WebP")
    }
    label = "bits per pixel, headers included"
    aezoo.plots.rate_distortion(shown, rate=label).savefig(results / "hyperprior.png")


if __name__ == "__main__":
    main()
