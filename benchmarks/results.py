"""Write RESULTS.md, docs/results.md, five results of the README and the tables of docs/anomaly_detection.md,
docs/missing_values.md, docs/serving.md, docs/speed.md, docs/growth.md, docs/guide/tables.md, sparse_codes.md,
discrete.md, disentangled.md, masked.md, samplers.md and variational.md from the JSON files that the other scripts
saved, and copy the pictures of docs/growth.md and docs/guide/sparse.md.

python benchmarks/results.py

A file NAME.md beside NAME.json says by hand what we tried where a target was missed.
"""

import dataclasses
import json
import re
import shutil
import statistics
import textwrap
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
PAGE = HERE.parent / "docs" / "results.md"
DETECTION = HERE.parent / "docs" / "anomaly_detection.md"
GROWTH = HERE.parent / "docs" / "growth.md"
SPEED = HERE.parent / "docs" / "speed.md"
MISSED = "**missed**"
#: The results of the README: their file and row, what they are called there, who published the other number, the unit.
PUBLISHED = [
    (
        "hinton2006",
        "DBN, unrolled and fine-tuned",
        "Deep autoencoder 784-1000-500-250-30 from a DBN: squared error per image",
        "Hinton & Salakhutdinov 2006",
        "",
    ),
    (
        "deep_classifiers",
        "stacked denoising AE → classifier, test error %",
        "Classifier from stacked denoising autoencoders: test error",
        "deeplearning.net tutorials",
        " %",
    ),
    (
        "rbm_pseudo_likelihood",
        "PCD, pseudo-log-likelihood, rounded test images",
        "RBM, 500 hidden units: pseudo-log-likelihood, nats",
        "deeplearning.net tutorials",
        "",
    ),
    (
        "rbm_likelihood",
        "centered PCD-1, test log-likelihood, AIS",
        "Centered RBM, 500 hidden units: log-likelihood, nats",
        "PyDeep",
        "",
    ),
    (
        "vae",
        "VAE: -log p(x), L=5000, 1000 test",
        "VAE 784-400-40: −log p(x), nats",
        "pythae",
        "",
    ),
]
#: The sections of missed targets on the page of results: the heading, and how to read the targets.
SECTIONS = {
    "hinton2006": (
        "Reconstruct and classify digits by deep networks from a DBN",
        "Squared error per test image of MNIST, and test error in percent.",
    ),
    "deep_classifiers": ("Classify digits after pretraining", "Test error on MNIST, in percent."),
    "k_sparse": ("Classify digits by sparse codes", "1,000 units on MNIST, read by logistic regression."),
    "priors": (
        "Learn the prior of a VAE",
        "784-300-40, or a ladder of as many parameters, on binarized MNIST; 20 epochs each.",
    ),
    "tangents": (
        "Classify digits with few labels",
        "300 labels of MNIST, after contractive pretraining.",
    ),
    "rifai2011": ("Classify digits after contractive pretraining", "1,000 units on MNIST, fine-tuned with labels."),
    "vincent2010": (
        "Classify digits after stacked pretraining",
        "Test error of three layers of 1,000 units, in percent. The variations of MNIST are not the authors' images.",
    ),
    "ufldl": ("Classify digits by a stacked sparse autoencoder", "784-200-200-10 on MNIST."),
    "hyperprior": (
        "Compress photographs with a hyperprior",
        "Mean-scale hyperprior on 20 gray photographs of BSDS that training did not see. BD-rate is the mean "
        "difference in bits at equal quality.",
    ),
    "vae": ("Fit a VAE to binarized digits", "784-400-40. −log p(x) in nats per image; lower is better."),
    "rbm_likelihood": (
        "Fit an RBM to sampled digits",
        "The test images are sampled, one bit per pixel. Trained and measured on rounded images, as the published "
        "figure was, the RBM meets its target: `rbm_pseudo_likelihood`.",
    ),
    "sketch_classes": (
        "Draw cats and pigs with one sketch-rnn",
        "Reconstruction term per step, on 1,382 training cats and 19 pigs, after the other words of QuickDraw.",
    ),
    "sketch_rnn": (
        "Draw cats with sketch-rnn",
        "Reconstruction term per step, on 1,382 training sketches where the paper had 70,000.",
    ),
    "defaults": (
        "Train every model with its default arguments",
        "On five data sets. A unit counts as dead if it varies over the test set by less than 1 % of the unit that "
        "varies most.",
    ),
    "own_data_tables": (
        "Read tables in constant memory",
        "CSV and Parquet files of 50 columns. *Peak memory*: of a process that trains on 1,000,000 rows over one that "
        "trains on 100,000, within 10 % of 1. *Reading* finds types, statistics and categories, *a pass* is an epoch "
        "after the first: time over `pandas.read_csv`.",
    ),
    "own_data_images": (
        "Read a folder of images as fast as Keras",
        "The time of one pass of aezoo over Keras' time: below 1, aezoo is faster. The default, which keeps the "
        "decoded images in memory, meets its targets; these are for folders that are too large for that.",
    ),
    "sparse_features": (
        "Find known features again",
        "F1 and MCC on synthetic data, mean of the seeds; the bound of the first is the best of the peers.",
    ),
    "outliers": (
        "Find outliers in contaminated tables",
        "Area under the ROC curve on sets of ODDS.",
    ),
    "discrete_codes": (
        "Use every entry of a codebook",
        "Emoji of 64 x 64 pixels; the share of the entries that the 381 training emoji use after training.",
    ),
    "disentanglement": (
        "Give each factor of sprites a unit of its own",
        "Medians over the seeds; the error of BetaTCVAE against the error of the VAE with the same weight.",
    ),
    "peers": (
        "Train as fast as other libraries on a CPU",
        "On two CPU cores. *A / B* is the time of B over the time of A: above 1, A is faster. *Share of the roof* is "
        "the time that TensorFlow takes for the matrix products of an epoch alone, over the time of the epoch: at 1, "
        "the epoch would take no time for anything else.",
    ),
    "peers_h100": (
        "Train as fast as other libraries on a GPU",
        "The same on an H100, which networks of this size are far too small to fill.",
    ),
    "batch_top_k": (
        "Train sparse codes as fast as libraries for PyTorch",
        "256-4096-256, with the recipe of each library, on a CPU. *A / B* is the time of B over the time of A: above "
        "1, A is faster.",
    ),
    "image_compression": (
        "Train a hyperprior as fast as compressai",
        "The same network on a CPU. *A / B* is the time of B over the time of A: above 1, A is faster.",
    ),
    "feeding": (
        "Train on streams as fast as Keras",
        "The time of an epoch on a `tf.data` stream over the time of Keras on the same stream.",
    ),
    "feeding_amx": (
        "Train on streams as fast as Keras, on a processor with AMX",
        "The time of an epoch on a `tf.data` stream over the time of Keras on the same stream.",
    ),
    "steps": (
        "Train variants nearly as fast as a plain autoencoder",
        "The time of a step over the time of a step of `Autoencoder` with the same activations and error.",
    ),
    "vae_speed": (
        "Train a VAE as fast as pythae",
        "The time of pythae's epoch over the time of ours: above 1, aezoo is faster. By default several steps are one "
        "call, which meets the target.",
    ),
    "rbm": (
        "Train an RBM faster than scikit-learn",
        "The time of scikit-learn's epoch over the time of ours: above 1, aezoo is faster.",
    ),
}
#: The scripts of speed/ whose ratios are better when higher. Each says so in its docstring.
HIGHER = ("batch_top_k", "codec", "gpu", "image_compression", "peers", "rbm", "vae", "vector_quantization")


@dataclasses.dataclass
class Goal:
    section: str
    what: str
    ours: str
    goal: str
    met: str  # "yes", MISSED, or "" where there is none


def directed(target: str) -> str:
    """Return a target with its direction: a bare number is the most allowed, a negative one the least."""
    if not re.fullmatch(r"-?[\d.]+", target):
        return target
    return f"{'>=' if target.startswith('-') else '<='} {target}"


def reached(target: str, ours: float) -> str:
    """Return whether a target such as "<= 1" or "> 1" is met, or "" where there is none."""
    match = re.fullmatch(r"(<=|>=|<|>) ?(-?[\d.]+)", target)
    if not match:
        return ""
    bound = float(match[2])
    met = {"<=": ours <= bound, ">=": ours >= bound, "<": ours < bound, ">": ours > bound}[match[1]]
    return "yes" if met else MISSED


def papers() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted((HERE / "papers" / "results").glob("*.json")):
        result = json.loads(path.read_text())
        options = " ".join(f"{name}={value}" for name, value in result["options"].items() if name != "quick")
        lines += [
            f"### {path.stem}",
            "",
            f"`python {result['script']}`, {result['date']}, {result['cores']} cores, Keras "
            f"{result['versions']['keras']}; {options}",
            "",
            "| | published | target | ours | reached | seeds | minutes |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            ours, minutes = f"{row['ours']:.4g}", f"{row['minutes']:.1f}" if row["minutes"] else ""
            deviation, seeds = row.get("deviation"), row.get("seeds", 1)
            ours += "" if deviation is None else f" ± {deviation:.2g}"
            target = directed(row["target"])
            goal = Goal(path.stem, row["what"].strip(), ours, target, reached(target, row["ours"]))
            cells = [goal.what, row["published"], goal.goal, ours, goal.met, str(seeds), minutes]
            lines.append(f"| {' | '.join(cells)} |")
            goals.append(goal)
        lines += [*_trials(path), *_tried(path), *_pictures(path), ""]
    return lines, goals


def _trials(path: Path) -> list[str]:
    """Return what was tried on validation data: the entries of the configuration that differ, and the measure."""
    path = path.parent / "trials" / path.name
    if not path.exists():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    lines = ["", f"Trials on the last 10,000 training images ({report['measure']}):", ""]
    for row in dict.fromkeys(run["row"] for run in report["runs"]):
        runs = [run for run in report["runs"] if run["row"] == row]
        tried = []
        for run in runs:
            names = [
                name
                for name in _flat(run["configuration"])
                if len({str(_flat(each["configuration"]).get(name)) for each in runs}) > 1
            ]
            values = [(name, _flat(run["configuration"]).get(name)) for name in names]
            told = ", ".join(f"{name} {value}" for name, value in values if value is not None) or "as in the table"
            tried.append(f"{told}: {run[report['measure']]:.4g}")
        lines += textwrap.wrap(f"- {row}: {'; '.join(tried)}.", 120, subsequent_indent="  ", break_on_hyphens=False)
    return lines


def _flat(configuration: dict) -> dict:
    """Return a configuration whose nested entries have names such as "fine_tuning epochs"."""
    found = {}
    for name, value in configuration.items():
        found |= {f"{name} {inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return found


def speed() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted((HERE / "speed" / "results").glob("*.json")):
        report = json.loads(path.read_text())
        machine, script = report["machine"], _script(path.stem)
        sign = ">=" if script in HIGHER else "<="
        lines += [
            f"### {path.stem}",
            "",
            f"`python benchmarks/speed/{script}.py`, {', '.join([machine['cpu'], *machine['gpus']])}, "
            f"{machine['cores']} cores, TensorFlow {machine['tensorflow']}, Keras {machine['keras']}, "
            f"{machine['date'][:10]}",
            "",
            "| | median (lowest to highest) | target | reached |",
            "|---|---|---|---|",
        ]
        for name, ratio in _ratios(report):
            goal = "" if ratio.get("goal") is None else f"{sign} {ratio['goal']:g}"
            if "not_measured" in ratio:
                lines.append(f"| {name} | not measured: {ratio['not_measured']} | {goal} | |")
                continue
            met = {True: "yes", False: MISSED, None: ""}[ratio.get("reached")]
            spread = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
            lines.append(f"| {name} | {spread} | {goal} | {met} |")
            section = "vae_speed" if path.stem == "vae" else path.stem  # papers/ has a table of that name
            goals.append(Goal(section, name, f"{ratio['median']:.2f}", goal, met))
        lines += [*_tried(path), *_pictures(path), ""]
    return lines, goals


def defaults() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted(HERE.glob("defaults.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        dates = sorted(run["date"] for run in report["runs"])
        options = " ".join(f"{name}={value}" for name, value in report["options"].items())
        lines += [
            "## Defaults",
            "",
            f"`python {report['script']}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, {report['cores']} "
            f"cores, Keras {report['versions']['keras']}; {options}",
            "",
            "Every model is trained with the defaults of its constructor and its `default_optimizer()`. Errors are",
            "shares of the error of the mean sample. PCA has as many components as the model has units. The docstring",
            "of the script lists the criteria.",
            "",
            "| model | data | units | error | PCA's error | dead | beats the trivial answer | fulfills its purpose |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for run in report["runs"]:
            numbers = ["–" if run[name] is None else f"{100 * run[name]:.1f} %" for name in ("error", "pca", "dead")]
            cells = []
            for kind in ("trivial", "term"):
                checks = [
                    Goal("defaults", what, f"{ours:.4g}", target, reached(target, ours) or MISSED)
                    for what, ours, target in (check.values() for check in run[kind])
                ]
                met = MISSED if any(check.met == MISSED for check in checks) else "yes"
                cells.append(f"{met}: " + "; ".join(f"{check.what} {check.ours} ({check.goal})" for check in checks))
                name = f"{run['model']}, {run['data']}"
                goals += [dataclasses.replace(check, what=f"{name}: {check.what}") for check in checks]
            lines.append(f"| {' | '.join([run['model'], run['data'], str(run['units']), *numbers, *cells])} |")
        lines += [*_tried(path), ""]
    return lines, goals


#: Title and explanation of the tables of single files in RESULTS.md, and the page of the site that shows each.
COMPARED = {
    "imputation": (
        "Missing values",
        "Root mean squared error of removed entries in standard deviations, mean ± standard deviation over the seeds; "
        "lower is better, the best of a row is bold.",
        "missing_values.md",
    ),
    "single_cell": (
        "Single cells",
        "Agreement of k-means clusters with the labels, mean ± standard deviation over the seeds; higher is better, "
        "the best of a column is bold.",
        "guide/tables.md",
    ),
    "sparse_features": (
        "Sparse features",
        "Synthetic data with 2,000 known features, dictionaries of 512 units; mean ± standard deviation over the "
        "seeds. The script defines the measures. Higher is better for F1, MCC and EV (explained variance), and the "
        "best is bold; L0 and dead units of 512 are for information.",
        "guide/sparse_codes.md",
    ),
    "discrete_codes": (
        "Discrete codes",
        "475 emoji of 64 x 64 pixels, a map of 8 x 8 places; bits and error on the test emoji, usage and perplexity of "
        "the codebook on the training emoji.",
        "guide/discrete.md",
    ),
    "latent_diffusion": (
        "Samplers of codes",
        "1,000 samples of emoji of each sampler beside the 94 test emoji, in the features of a probe network. Lower is "
        "better for the distance, higher for precision and recall; from training: 0 marks copies of training emoji.",
        "guide/samplers.md",
    ),
    "int8": (
        "8-bit integers",
        "LiteRT files of the presets, computed with weights, or with weights and activations, in 8-bit integers. "
        "Error: mean absolute difference to the model on test samples, in percent of the standard deviation of the "
        "model's results; at 100 %, a result says nothing.",
        "serving.md",
    ),
    "disentanglement": (
        "Disentangled codes",
        "Sprites of 32 x 32 pixels with five known factors, codes of 8 units; medians over the seeds, and for MIG the "
        "smallest and the largest value. The error is on the test sprites, in nats; of it, lower is better.",
        "guide/disentangled.md",
    ),
    "mae_probe": (
        "Linear probes of features",
        "Test accuracy of logistic regression on features that were learned without labels from 10,000 images, mean ± "
        "standard deviation over the seeds; the best of a data set is bold. CIFAR-10: the first 10,000 training and "
        "1,000 test images, not comparable with published accuracies.",
        "guide/masked.md",
    ),
    "denoising_networks": (
        "Convolutional networks that denoise",
        "Test images with Gaussian noise of deviation 0.1, one seed. A higher PSNR is better. At a period of "
        "two pixels, an error without a checkerboard has 1.",
        "networks.md",
    ),
    "composition": (
        "Composition of held-out emoji",
        "The share of pictures that are read as the requested value, mean of the seeds. *Triples*: 24 combinations "
        "whose factors were seen in pairs. *Pairs*: 54 combinations of a job and a person never seen together.",
        "guide/variational.md",
    ),
}

#: Lines of a page whose benchmark has no result.
UNPUBLISHED = ["No result is published yet."]


def compared() -> dict[str, tuple[list[str], list[str]]]:
    """Return the lines of each result of `COMPARED` for RESULTS.md, and its table."""
    found = {}
    for path in sorted(HERE.glob("*.json")):
        if path.stem not in COMPARED:
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        title, reading, _ = COMPARED[path.stem]
        dates = sorted({run["date"] for run in report["runs"]})
        options = " ".join(f"{name}={value}" for name, value in report["options"].items())
        versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        table = {
            "imputation": _imputation,
            "single_cell": _single_cell,
            "sparse_features": _sparse_features,
            "discrete_codes": _discrete_codes,
            "int8": _int8,
            "latent_diffusion": _latent_diffusion,
            "disentanglement": _disentanglement,
            "composition": _composition,
            "mae_probe": _mae_probe,
            "denoising_networks": _denoising_networks,
        }[path.stem](report["runs"])
        lines = [
            f"## {title}",
            "",
            f"`python {report['script']}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, {report['cores']} "
            f"cores, {versions}; {options}",
            "",
            *textwrap.wrap(reading, 120),
            "",
            *table,
            *(["", *sparse_features()[0]] if path.stem == "sparse_features" else []),
            *_tried(path),
            "",
        ]
        found[path.stem] = lines, table
    return found


def _imputation(runs: list[dict]) -> list[str]:
    methods = list(dict.fromkeys(run["method"] for run in runs))
    lines = [f"| table | missing | {' | '.join(methods)} |", "|---|---|" + "---|" * len(methods)]
    for name, rate in dict.fromkeys((run["data"], run["rate"]) for run in runs):
        errors = [
            [run["RMSE"] for run in runs if (run["data"], run["rate"], run["method"]) == (name, rate, method)]
            for method in methods
        ]
        lines.append(f"| {name.replace('_', ' ')} | {rate:.0%} | {' | '.join(_spread(errors, min, 3))} |")
    return lines


def _single_cell(runs: list[dict]) -> list[str]:
    sets = list(dict.fromkeys((run["data"], run["cells"], run["classes"]) for run in runs))
    methods = dict.fromkeys(run["method"] for run in runs)
    by_method = {name: [run for run in runs if run["method"] == name] for name in methods}
    heads, columns = [], []
    for name, cells, classes in sets:
        for metric in ("ARI", "NMI"):
            heads.append(f"{name}, {cells:,} cells, {classes} classes: {metric}")
            values = [[run[metric] for run in group if run["data"] == name] for group in by_method.values()]
            columns.append(_spread(values, max, 3))
    lines = [f"| | {' | '.join(heads)} | minutes |", "|---|" + "---|" * (len(heads) + 1)]
    for (method, group), cells in zip(by_method.items(), zip(*columns, strict=True), strict=True):
        minutes = statistics.mean(run["minutes"] for run in group)
        lines.append(f"| {method} | {' | '.join(cells)} | {minutes:.1f} |")
    return lines


def _sparse_features(runs: list[dict]) -> list[str]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in runs:
        groups.setdefault((run["method"], run["library"]), []).append(run)
    order = list(dict.fromkeys(method for method, _ in groups))
    groups = dict(sorted(groups.items(), key=lambda item: order.index(item[0][0])))
    columns = [
        _spread([[run[name] for run in group] for group in groups.values()], max if name in best else _none, decimals)
        for name, decimals, best in (
            ("F1", 3, "F1"),
            ("MCC", 3, "MCC"),
            ("EV", 3, "EV"),
            ("L0", 1, ""),
            ("dead", 0, ""),
        )
    ]
    lines = ["| code | library | F1 | MCC | EV | L0 | dead |", "|---|---|---|---|---|---|---|"]
    for (method, library), *cells in zip(groups, *columns, strict=True):
        lines.append(f"| {method} | {library} | {' | '.join(cells)} |")
    return lines


def _none(means: list[float]) -> float:
    return float("nan")


def sparse_features() -> tuple[list[str], list[Goal]]:
    """Return the targets of sparse_features.json as lines and as goals."""
    path = HERE / "sparse_features.json"
    if not path.exists():
        return [], []
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]

    def mean(library: str, method: str, name: str) -> float:
        return _mean([run[name] for run in runs if (run["library"], run["method"]) == (library, method)])

    found = {(run["library"], run["method"]) for run in runs}
    peers = [each for each in found if each[0] != "aezoo"]
    if not peers or not {("aezoo", name) for name in ("Matryoshka", "BatchTopK", "JumpReLU", "L1")} <= found:
        return [], []  # the benchmark is still running
    goals = []
    for name in ("F1", "MCC"):
        ours = max(mean(*each, name) for each in found if each[0] == "aezoo")
        batch, jump = (mean("aezoo", method, name) for method in ("BatchTopK", "JumpReLU"))
        checks = [
            (f"best {name} of aezoo", ours, f">= {max(mean(*each, name) for each in peers):.3f}"),
            (f"{name}: Matryoshka over BatchTopK", mean("aezoo", "Matryoshka", name) - batch, "> 0"),
            (f"{name}: BatchTopK and JumpReLU apart", abs(batch - jump), "<= 0.03"),
            (f"{name}: BatchTopK and JumpReLU over L1", min(batch, jump) - mean("aezoo", "L1", name), "> 0"),
        ]
        for what, value, target in checks:
            goals.append(Goal("sparse_features", what, f"{value:.3f}", target, reached(target, value)))
    lines = ["| | ours | target | reached |", "|---|---|---|---|"]
    lines += [f"| {goal.what} | {goal.ours} | {goal.goal} | {goal.met} |" for goal in goals]
    return lines, goals


def _discrete_codes(runs: list[dict]) -> list[str]:
    lines = [
        "| | bits per emoji | under the prior | mean squared error | PSNR | used entries | perplexity |",
        "|---|---|---|---|---|---|---|",
    ]
    formats = {
        "bits": "{:,.0f}",
        "bits_under_prior": "{:,.0f}",
        "mean_squared_error": "{:.4f}",
        "PSNR": "{:.1f} dB",
        "usage": "{:.0%}",
        "perplexity": "{:.0f}",
    }
    for method in dict.fromkeys(run["method"] for run in runs):
        group = [run for run in runs if run["method"] == method]
        means = {name: statistics.mean(run[name] for run in group) for name in formats if name in group[0]}
        cells = [formats[name].format(means[name]) if name in means else "" for name in formats]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _latent_diffusion(runs: list[dict]) -> list[str]:
    lines = [
        "| preset | samples | Fréchet distance | precision | recall | from training | CPU minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        measures = f"{run['distance']:.2f} | {run['precision']:.0%} | {run['recall']:.0%} | {run['from_training']:.2f}"
        minutes = f"{run['minutes']:.1f}" if run["method"] in ("mixture", "flow", "diffusion") else ""
        lines.append(f"| `{run['preset']}` | {run['method']} | {measures} | {minutes} |")
    return lines


def _int8(runs: list[dict]) -> list[str]:
    signatures, modes = ("encode", "reconstruct", "score"), ("weights", "weights and activations")
    heads = [f"{mode}: {what}" for mode in modes for what in ("kB", *signatures)]
    lines = [f"| preset | kB | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    by_preset: dict[str, dict[str, dict]] = {}
    for run in runs:
        by_preset.setdefault(run["preset"], {})[run["mode"]] = run
    for preset, by_mode in by_preset.items():
        cells = [f"{by_mode['single precision']['bytes'] / 1000:,.0f}"]
        for mode in modes:
            run = by_mode.get(mode, {})
            cells.append(f"{run['bytes'] / 1000:,.0f}" if "bytes" in run else "–")
            errors = [run.get("errors", {}).get(name) for name in signatures]
            cells += ["–" if error is None else f"{_percent(100 * error)} %" for error in errors]
        lines.append(f"| `{preset}` | {' | '.join(cells)} |")
    return lines


def _disentanglement(runs: list[dict]) -> list[str]:
    names = ("disentanglement", "completeness", "informativeness", "SAP", "FactorVAE score", "error")
    lines = [
        "| | MIG | disentanglement | completeness | informativeness | SAP | FactorVAE score | error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for method, group in _groups(runs, "method").items():
        gaps = [run["MIG"] for run in group]
        cells = [f"{statistics.median(gaps):.2f} ({min(gaps):.2f}–{max(gaps):.2f})"]
        for name in names:
            value = statistics.median([run[name] for run in group])
            cells.append(f"{value:.1f}" if name == "error" else f"{value:.2f}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return lines


def _groups(runs: list[dict], *names: str) -> dict[str, list[dict]]:
    """Return the runs by their values of these names, as one text."""
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(" | ".join(run[name] for name in names), []).append(run)
    return groups


def disentanglement() -> list[Goal]:
    """Return the targets of disentanglement.py."""
    path = HERE / "disentanglement.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    found = _groups(runs, "method")
    if not {"VAE", "VAE, beta 4", "BetaTCVAE, beta 4"} <= found.keys():
        return []
    gap, error = (
        {method: statistics.median([run[name] for run in group]) for method, group in found.items()}
        for name in ("MIG", "error")
    )
    checks = [
        ("MIG of the VAE with beta 4", gap["VAE, beta 4"], f"> {gap['VAE']:.3f}", "the VAE with beta 1"),
        ("MIG of BetaTCVAE", gap["BetaTCVAE, beta 4"], f"> {gap['VAE, beta 4']:.3f}", "the VAE with beta 4"),
        ("error of BetaTCVAE", error["BetaTCVAE, beta 4"], f"<= {1.1 * error['VAE, beta 4']:.3f}", "110 % of beta 4"),
    ]
    goals = []
    for what, value, target, of in checks:
        goals.append(Goal("disentanglement", f"{what}, against {of}", f"{value:.3f}", target, reached(target, value)))
    return goals


def _composition(runs: list[dict]) -> list[str]:
    names = ("person", "job", "skin_tone", "all", "error")
    lines = ["| held out | | person | job | skin tone | all three | squared error |", "|---|---|---|---|---|---|---|"]
    for group, of_group in _groups(runs, "kind", "method").items():
        means = {name: statistics.mean([run[name] for run in of_group]) for name in names}
        cells = [f"{means[name]:.1f}" if name == "error" else f"{means[name]:.0%}" for name in names]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return lines


def _mae_probe(runs: list[dict]) -> list[str]:
    lines = [
        "| data | features of | number | weights of the encoder | accuracy, percent | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    for data, of_data in _groups(runs, "data").items():
        methods = _groups(of_data, "method")
        accuracies = _spread([[100 * run["accuracy"] for run in group] for group in methods.values()], max, 1)
        for (method, group), accuracy in zip(methods.items(), accuracies, strict=True):
            weights, seconds = group[0]["weights"], [run["cpu_seconds"] for run in group]
            cells = [f"{group[0]['features']:,}", "–" if weights is None else f"{weights:,}", accuracy]
            cells.append("–" if None in seconds else f"{statistics.mean(seconds):.0f}")
            lines.append(f"| {data} | {method} | {' | '.join(cells)} |")
    return lines


def _denoising_networks(runs: list[dict]) -> list[str]:
    lines = ["| data | | PSNR, dB | error at a period of two pixels | CPU seconds |", "|---|---|---|---|---|"]
    for run in runs:
        seconds = "–" if run["cpu_seconds"] is None else f"{run['cpu_seconds']:.0f}"
        cells = [run["data"], run["method"], f"{run['psnr']:.2f}", f"{run['period_of_two']:.2f}", seconds]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _percent(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def usage() -> list[Goal]:
    """Return the targets of discrete_codes.py: the entries in use, of codebooks with restarts and of levels."""
    path = HERE / "discrete_codes.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    goals = []
    for run in runs:
        kind = run["method"].partition(",")[0]
        if kind == "CompressiveAE" or any(other in run["method"] for other in ("no restarts", "codebook term")):
            continue
        target = {"VQVAE": ">= 0.9", "FSQVAE": ">= 1"}[kind]
        what = f"{run['method']}: share of the entries that the training emoji use"
        goals.append(Goal("discrete_codes", what, f"{run['usage']:.4g}", target, reached(target, run["usage"])))
    return goals


def _spread(values: list[list[float]], best: Callable[[list[float]], float], decimals: int) -> list[str]:
    """Return each list as its mean and, of several values, its deviation, the best mean in bold; "–" without values."""
    greatest = best([statistics.mean(each) for each in values if each])
    cells = []
    for each in values:
        if not each:
            cells.append("–")
            continue
        mean = statistics.mean(each)
        text = f"{mean:.{decimals}f}" + (f" ± {statistics.pstdev(each):.{decimals}f}" if len(each) > 1 else "")
        cells.append(f"**{text}**" if mean == greatest else text)
    return cells


@dataclasses.dataclass
class Outliers:
    """Measurements of outliers.py by detector and set, for the sets that `OURS` was scored on."""

    report: dict

    OURS = "EnsembleDetector"

    @property
    def sets(self) -> list[str]:
        return list(self.report["runs"][self.OURS])

    @property
    def detectors(self) -> list[str]:
        """The detectors that were scored on every set, by decreasing mean."""
        whole = [name for name, runs in self.report["runs"].items() if runs.keys() >= set(self.sets)]
        return sorted(whole, key=self.mean, reverse=True)

    def auroc(self, detector: str, data: str) -> float:
        return _mean(self.report["runs"][detector][data]["auroc"])

    def mean(self, detector: str) -> float:
        return _mean([self.auroc(detector, data) for data in self.sets])

    def rank(self, detector: str) -> float:
        """The mean rank among all detectors; 1 is best, and equal scores share the mean of their ranks."""
        ranks = []
        for data in self.sets:
            ours, all_scores = self.auroc(detector, data), [self.auroc(name, data) for name in self.detectors]
            ranks.append(sum(other > ours for other in all_scores) + (all_scores.count(ours) + 1) / 2)
        return _mean(ranks)

    def splits(self, detector: str) -> str:
        """The number of splits, as a range where the sets differ."""
        counts = {len(self.report["runs"][detector][data]["auroc"]) for data in self.sets}
        return str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"

    def shared(self, detector: str) -> list[str]:
        """The sets that a detector was scored on, too."""
        return [data for data in self.sets if data in self.report["runs"].get(detector, {})]

    def lead(self, detector: str) -> float:
        """The mean over the shared sets of our AUROC minus a detector's, on the splits that both have seen."""
        leads = []
        for data in self.shared(detector):
            pair = [self.report["runs"][name][data]["auroc"] for name in (self.OURS, detector)]
            both = min(map(len, pair))
            leads.append(_mean(pair[0][:both]) - _mean(pair[1][:both]))
        return _mean(leads)

    def seconds(self, detector: str) -> float:
        return _mean([_mean(self.report["runs"][detector][data]["fit_cpu_seconds"]) for data in self.sets])

    def table(self) -> list[str]:
        """Return the table of detectors, and the table of the AUROC per set."""
        lines = [
            "| detector | mean AUROC | our lead on the same splits | mean rank | CPU seconds per fit | splits |",
            "|---|---|---|---|---|---|",
        ]
        for name in self.detectors:
            lead = "" if name == self.OURS else f"{self.lead(name):+.4f}".replace("-", "−")
            numbers = f"{self.rank(name):.1f} | {self.seconds(name):.2f} | {self.splits(name)}"
            lines.append(f"| {name} | {self.mean(name):.4f} | {lead} | {numbers} |")
        lines += ["", f"AUROC on {len(self.sets)} sets, mean of the splits:", ""]
        lines += [f"| set | {' | '.join(self.detectors)} |", f"|---|{'---|' * len(self.detectors)}"]
        for data in self.sets:
            cells = [f"{self.auroc(name, data):.3f}" for name in self.detectors]
            cells = [f"**{cell}**" if cell == max(cells) else cell for cell in cells]
            lines.append(f"| {data} | {' | '.join(cells)} |")
        return lines


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def outliers() -> tuple[list[str], list[Goal]]:
    path = HERE / "outliers.json"
    if not path.exists():
        return [], []
    found = Outliers(json.loads(path.read_text(encoding="utf-8")))
    runs = found.report["runs"]
    dates = sorted(run["date"] for of_detector in runs.values() for run in of_detector.values())
    ours, peer, sets = found.OURS, "PyOD AutoEncoder", len(found.sets)
    checks = [(f"{ours}: mean AUROC over {sets} of the 17 sets", found.mean(ours), ">= 0.82")]
    if both := found.shared(peer):
        what = f"{ours}: mean AUROC minus the mean of {peer} on the same splits of {len(both)} sets"
        checks.append((what, found.lead(peer), "> 0"))
    if linear := runs.get("LinearAE"):
        excess = max(abs(value) for run in linear.values() for value in run["excess"])
        what = f"LinearAE: largest difference between its error and PCA's on {len(linear)} sets, share of the variance"
        checks.append((what, excess, "<= 0.01"))
    goals = [Goal("outliers", what, f"{value:.4f}", target, reached(target, value)) for what, value, target in checks]
    lines = [
        "## Outliers",
        "",
        f"`python {found.report['script']}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, "
        f"{found.report['cores']} cores, Keras {found.report['versions']['keras']}, PyOD "
        f"{found.report['versions']['pyod']}",
        "",
        "| | ours | target | reached |",
        "|---|---|---|---|",
        *(f"| {goal.what} | {goal.ours} | {goal.goal} | {goal.met} |" for goal in goals),
        "",
        *found.table(),
        *_tried(path),
        "",
    ]
    return lines, goals


def _tried(path: Path) -> list[str]:
    """Return the lines that were written by hand beside a result."""
    text = path.with_suffix(".md")
    return ["", *text.read_text().splitlines()] if text.exists() else []


def _pictures(path: Path) -> list[str]:
    """Return the pictures of a result: their names begin with its name, and with no longer name of a result."""
    names = sorted((other.stem for other in path.parent.glob("*.json")), key=len)
    lines = []
    for picture in sorted(path.parent.glob(f"{path.stem}*.png")):
        if [name for name in names if picture.stem.startswith(name)][-1] == path.stem:
            lines += ["", f"![{picture.stem.replace('_', ' ')}]({picture.relative_to(HERE).as_posix()})"]
    return lines


def published(column: str) -> list[str]:
    """Return a table of `PUBLISHED`: what others report, ours, and the minutes that ours took."""
    lines = [f"| | published | {column} | minutes |", "|---|---|---|---|"]
    for section, what, title, source, unit in PUBLISHED:
        rows = json.loads((HERE / "papers" / "results" / f"{section}.json").read_text(encoding="utf-8"))["rows"]
        # Of equal rows the last one trained longest; earlier results say "centred" and append a standard error.
        row = [row for row in rows if row["what"].strip().replace("centred", "centered").startswith(what)][-1]
        minutes = sum(row["minutes"] for row in rows if row["minutes"]) if not row["minutes"] else row["minutes"]
        decimals = max(2, len(row["published"].partition(".")[2]))
        ours = f"{row['ours']:.{decimals}f}".replace("-", "−")
        ours += "" if row.get("deviation") is None else f" ± {row['deviation']:.{decimals}f}"
        theirs = row["published"].replace("-", "−")
        lines.append(f"| {title} | {theirs}{unit} ({source}) | {ours}{unit} | {minutes:.0f} |")
    return lines


def page(goals: list[Goal]) -> list[str]:
    """Return the page "What we measured" of the site."""
    judged = [goal for goal in goals if goal.met]
    missed = [goal for goal in judged if goal.met == MISSED]
    lines = [
        "# What we measured",
        "",
        f"**{len(judged) - len(missed)} of {len(judged)} targets are met.** A target is a published number with some",
        "allowance for less compute, the speed of a peer, or a trivial answer that a model must beat.",
        "[Every measurement](../benchmarks/RESULTS.md) lists all of them, each with the command that printed it, its",
        "date and its machine.",
        "",
        "## Published beside ours",
        "",
        "On MNIST, with one seed, or the mean ± standard deviation of several. The minutes are ours, on two CPU cores.",
        "Higher is better for log-likelihoods, lower for errors and −log p(x).",
        "",
        *published("ours"),
        "",
        "The published numbers come from the papers, tutorials or libraries named beside them. Most took more compute:",
        "the published classifier was pretrained for 585 minutes, and the first RBM was trained for 122.",
        "",
        "## Missed targets",
        "",
        "`<=` and `<` mark upper bounds, `>=` lower bounds.",
        "",
    ]
    for section in dict.fromkeys(goal.section for goal in missed):
        title, reading = SECTIONS[section]
        lines += [f"### {title}", "", *textwrap.wrap(reading, 120, break_on_hyphens=False), ""]
        lines += ["| | measured | target |", "|---|---|---|"]
        lines += [f"| {goal.what} | {goal.ours} | {goal.goal} |" for goal in missed if goal.section == section]
        lines += [""]
    lines += [
        "[Every measurement](../benchmarks/RESULTS.md) says what we tried for each of them.",
        "",
        "This page is written by `python benchmarks/results.py`.",
    ]
    return lines


def _script(result: str) -> str:
    """Return the script that wrote a result: the longest name that the result's name begins with."""
    names = [path.stem for path in (HERE / "speed").glob("*.py") if result.startswith(path.stem)]
    return max(names, key=len)


def _ratios(value: dict, name: str = "") -> list[tuple[str, dict]]:
    """Return every spread with a goal in a report, or why there is none, with the names on the way to it."""
    if "goal" in value and ("median" in value or "not_measured" in value):
        return [(name, value)]
    found = []
    for key, part in value.items():
        if isinstance(part, dict):
            found += _ratios(part, name if key in ("results", "ratios") else f"{name}, {key}".removeprefix(", "))
    return found


def documents() -> dict[Path, str]:
    """Return the documents by their paths."""
    of_papers, goals = papers()
    of_defaults, judged = defaults()
    of_speed, more = speed()
    tables = compared()
    of_outliers, found = outliers()
    found += sparse_features()[1]
    lines = [
        "# Results",
        "",
        "`python benchmarks/results.py` writes this file from the numbers that the scripts saved in `papers/results`,",
        "`speed/results`, `defaults.json` and `outliers.json`. Other work may have run on the machine at the same",
        "time.",
        "",
        "## Papers",
        "",
        "`python -m benchmarks.papers --all` runs these tables, and continues where it was interrupted. A number from",
        "several seeds is their mean ± standard deviation; the minutes are of one run.",
        "",
        *of_papers,
        *of_defaults,
        *(line for lines, _ in tables.values() for line in lines),
        *of_outliers,
        "## Speed",
        "",
        "The docstring of each script says what it compares. `<=` and `<` mark upper bounds, `>=` lower bounds.",
        "",
        *of_speed,
    ]
    return {
        HERE / "RESULTS.md": "\n".join(lines).rstrip() + "\n",
        PAGE: "\n".join(page(goals + judged + found + usage() + disentanglement() + more)) + "\n",
        README: _between("results", published("aezoo"), README),
        DETECTION: _between("outliers", _detectors(), DETECTION),
        GROWTH: _growing(),
        SPEED: _between("peers", _peers(), SPEED),
        **{
            PAGE.parent / place: _between(name, tables[name][1] if name in tables else UNPUBLISHED, PAGE.parent / place)
            for name, (_, _, place) in COMPARED.items()
        },
    }


def _detectors() -> list[str]:
    """Return the tables of the page on anomalies."""
    path = HERE / "outliers.json"
    return Outliers(json.loads(path.read_text(encoding="utf-8"))).table() if path.exists() else []


def _peers() -> list[str]:
    """Return the table of the page on speed: seconds per epoch of each contender, and its share of the roof."""
    report = json.loads((HERE / "speed" / "results" / "peers.json").read_text(encoding="utf-8"))
    groups = {
        batch_size: report["measured"][f"Autoencoder, batch {batch_size}"]["seconds"]["wall"]
        for batch_size in (128, 1024)
        if f"Autoencoder, batch {batch_size}" in report["measured"]
    }
    heads = " | ".join(f"batch {size:,} | share of the roof" for size in groups)
    lines = [f"| | {heads} |", "|---|" + "---|---|" * len(groups)]
    for name in next(iter(groups.values()), {}):
        cells = []
        for wall in groups.values():
            epoch = statistics.median(wall[name]) / report["settings"]["epochs"]
            share = statistics.median(a / b for a, b in zip(wall["GEMMs"], wall[name], strict=True))
            cells.append(f"{epoch:.2f} s | {share:.2f}")
        shown = {"aezoo": "aezoo, short training", "aezoo, jit_compile=True": "aezoo, long training (XLA)"}
        shown["GEMMs"] = "matrix products alone"
        lines.append(f"| {shown.get(name, name)} | {' | '.join(cells)} |")
    return lines


def _growth() -> list[str]:
    """Return the table of the page on growth: measured and theoretical slopes."""
    path = HERE / "speed" / "results" / "growth.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}
    found: dict[str, list[str]] = {}
    for name, result in results.items():
        kind, where = name.split(": slope in ")
        if kind == "time" and result["end"] == "small":
            continue
        panel, values = where.split(", ", 1)
        found.setdefault(panel, [])
        found[panel] += [values, f"{result['median']:.2f}", str(result["theory"])]
    width = max(map(len, found.values()), default=0)
    heads = ["time, from … to", "slope", "theory", "memory, from … to", "slope", "theory"][:width]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * width]
    lines += [f"| {panel} | {' | '.join([*cells, *[''] * (width - len(cells))])} |" for panel, cells in found.items()]
    return lines if found else UNPUBLISHED


def _workers() -> list[str]:
    """Return the tables of the page on growth: the cost of a step on several processes, and its model."""
    path = HERE / "speed" / "results" / "workers.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "fit" not in report:
        return UNPUBLISHED
    cost, fit = report["cost"], report["fit"]
    lines = ["| parameters | one process, ms per step | added by the second, ms per step |", "|---|---|---|"]
    for row in zip(cost["parameters"], cost["one process"], cost["seconds per step"], strict=True):
        lines.append(f"| {row[0]:,} | {1e3 * row[1]:.1f} | {1e3 * row[2]:.1f} |")
    fitted = f"Fitted: a = {1e3 * fit['fixed']:.2f} ms, b = {1e9 * fit['per parameter']:.1f} ns per parameter."
    lines += ["", fitted, ""]
    head = " | ".join(f"speedup of {n}" for n in report["model"][0]["speedup"])
    lines += [f"| network | parameters | {head} | two are faster from batch |", "|---|---|" + "---|" * 5]
    for row in report["model"]:
        speedups = " | ".join(f"{speedup:.2f}" for speedup in row["speedup"].values())
        lines.append(f"| {row['network']} | {row['parameters']:,} | {speedups} | {row['batch']:,} |")
    return lines


def _growing() -> str:
    """Return the text of the page on growth."""
    return _between("workers", _workers(), GROWTH, _between("growth", _growth(), GROWTH))


def _between(name: str, lines: list[str], path: Path, text: str | None = None) -> str:
    """Return the text of a document, or the given text, with these lines between its two comments of a name."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
        lambda match: "\n".join([match[1], *lines, "", match[2]]),
        path.read_text(encoding="utf-8") if text is None else text,
        flags=re.DOTALL,
    )


def main() -> None:
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
    figures = GROWTH.parent / "figures"
    shutil.copy(HERE / "speed" / "results" / "growth.png", figures / "growth.png")
    shutil.copy(HERE / "papers" / "results" / "ufldl_patches.png", figures / "sparse_edges.png")


if __name__ == "__main__":
    main()
