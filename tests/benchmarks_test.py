"""The scripts in benchmarks run, and the documents say what they left; what they measure is not for a test."""

import importlib.util
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from aezoo import datasets, sketches

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
HELPERS = {"reporting", "timing", "torch_models"}
HELPERS |= {"__main__", "configurations", "mnist_variations", "one_layer", "runner"}
#: Packages that the tests do not install.
NEEDS = {"vae": "pythae", "vector_quantization": "vector_quantize_pytorch"}


def scripts(folder):
    names = sorted(path.stem for path in (BENCHMARKS / folder).glob("*.py") if path.stem not in HELPERS)
    return [name for name in names if folder != "speed" or importlib.util.find_spec(NEEDS.get(name, "sys"))]


@pytest.fixture
def run(monkeypatch):
    """Runs a script in this process, which has imported TensorFlow; those that it starts see no GPU either."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def run(folder, name, *arguments):
        script = str(BENCHMARKS / folder / f"{name}.py")
        monkeypatch.syspath_prepend(BENCHMARKS / folder)
        monkeypatch.setattr(sys, "argv", [script, "--quick", *arguments])
        runpy.run_path(script, run_name="__main__")

    return run


def some(names, gate):
    """All names, those that are not for the gate marked as slow."""
    return [pytest.param(name, marks=[] if name in gate else [pytest.mark.slow], id=name) for name in names]


@pytest.mark.parametrize("name", some(scripts("speed"), gate={"divergence"}))
def test_speed(run, name, tmp_path):
    output = tmp_path / f"{name}.json"
    run("speed", name, "--output", str(output))
    assert list(results()._ratios(json.loads(output.read_text()))), "there is nothing that RESULTS.md could show"
    if name == "growth":
        assert output.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.slow
def test_speed_of_some_models_beside_pythae(run, tmp_path):
    pytest.importorskip("pythae")
    output = tmp_path / "vae.json"
    run("speed", "vae", "--only", "FactorVAE", "MMDVAE", "--output", str(output))
    report = json.loads(output.read_text())
    assert list(report["results"]) == ["FactorVAE 784-400-40", "MMDVAE 784-400-40"]
    assert all(found["median"] > 0 and found["goal"] == 1 for found in report["results"].values())


@pytest.mark.slow
def test_speed_of_some_sparse_codes(run, tmp_path):
    output = tmp_path / "batch_top_k.json"
    run("speed", "batch_top_k", "--only", "gated", "JumpReLU", "--output", str(output))
    report = json.loads(output.read_text())
    assert list(report["seconds"]) == ["gated", "JumpReLU"]
    assert all(clocks["wall"]["aezoo"][0] > 0 for clocks in report["seconds"].values())
    assert len(report["results"]) == 8


@pytest.fixture
def papers(monkeypatch):
    """Imports a module of benchmarks/papers."""
    monkeypatch.syspath_prepend(BENCHMARKS / "papers")
    return importlib.import_module


@pytest.fixture
def tables(monkeypatch):
    """Runs `python -m benchmarks.papers` in this process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(BENCHMARKS.parent)
    monkeypatch.syspath_prepend(BENCHMARKS / "papers")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["papers", "--quick", *arguments])
        runpy.run_module("benchmarks.papers", run_name="__main__")

    return run


def test_tables_resume(tables, papers, tmp_path, monkeypatch):
    """A run is not repeated unless its configuration has changed."""
    table = papers("k_sparse").TABLE
    options = ["--only", "k_sparse", "--results", str(tmp_path), "--rows", "raw pixels"]
    path = tmp_path / "k_sparse.json"
    path.write_text('{"rows": [], "options": {"k": 25}}')  # of an earlier script
    tables(*options)
    first = json.loads(path.read_text())
    tables(*options, "k-sparse, k = 25")
    second = json.loads(path.read_text())
    assert [run["row"] for run in second["runs"]] == ["raw pixels", "k-sparse, k = 25"]
    assert second["runs"][0] == first["runs"][0], "a finished run is kept"
    assert second["runs"][1]["active"] == 9, "of k = 3 and α = 3"
    assert [row["target"] for row in second["rows"]] == ["–", "<= 1.4", "<= 0"]
    monkeypatch.setitem(table.configurations, "raw pixels", {"model": "pixels", "changed": 1})
    monkeypatch.setitem(table.configurations, "k-sparse, k = 25", {"model": "pixels"})
    tables(*options[:-1], "k-sparse, k = 25")
    kept = [run["row"] for run in json.loads(path.read_text())["runs"]]
    assert kept == ["raw pixels", "k-sparse, k = 25"], "a run stays until its row runs again"
    tables(*options)
    third = json.loads(path.read_text())["runs"]
    assert [run["configuration"].get("changed") for run in third] == [None, 1], "the changed row ran again"


@pytest.mark.slow
def test_tables_share_trained_weights(papers, tmp_path):
    one_layer, runner = papers("one_layer"), papers("runner")
    configuration = runner.small(papers("configurations").LAYERS["k-sparse, k = 25"])
    x = np.random.default_rng(0).random((200, 4, 4, 1), "float32")
    setting = runner.Setting(quick=True, weights=tmp_path)
    first, minutes = one_layer.trained(configuration, x, setting)
    second, same = one_layer.trained({**configuration, "alpha": 2.0}, x, setting)
    assert same == minutes, "α does not change the training, so it is not repeated"
    for a, b in zip(first.encoder.get_weights(), second.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [int(np.sum(one_layer.codes(model, x)[0] != 0)) for model in (first, second)] == [9, 6]
    one_layer.trained({**configuration, "learning_rate": 0.1}, x, setting)
    assert len(list(tmp_path.glob("*.h5"))) == 2, "another rate is another training"


def test_all_results_have_a_command():
    module = runpy.run_module("benchmarks.papers", run_name="papers")
    saved = {path.stem for path in (BENCHMARKS / "papers" / "results").glob("*.json")}
    assert saved <= {*module["TABLES"], *module["SCRIPTS"]}


@pytest.mark.slow
def test_all_tables(tables, tmp_path):
    names = runpy.run_module("benchmarks.papers", run_name="papers")["TABLES"]
    tables("--only", *names, "--results", str(tmp_path))
    module = results()
    for name in names:
        written = json.loads((tmp_path / f"{name}.json").read_text())
        assert {run["seed"] for run in written["runs"]} == {0} and written["rows"], name
        assert all(np.isfinite(row["ours"]) for row in written["rows"])
    tables("--only", "ufldl", "vae", "--results", str(tmp_path), "--trials")
    lines = module._trials(tmp_path / "vae.json")
    assert lines[1] == "Trials on the last 10,000 training images (nll):" and "learning_rate 0.001: " in " ".join(lines)


def test_a_table_has_means_and_paired_intervals(papers):
    tables = papers("runner")
    rng = np.random.default_rng(0)
    both, a, b = (rng.random(5000) < share for share in (0.02, 0.01, 0.004))
    wrong = {"A": both | a, "B": both | b}
    assert (tables.unpacked(tables.packed(wrong["A"])) == wrong["A"]).all()
    runs = tables.Runs(
        {"row": row, "seed": seed, "wrong": tables.packed(wrong[row]), "error": error, "minutes": 1.0}
        for row, errors in {"A": [3.0, 4.0, 5.0], "B": [1.0]}.items()
        for seed, error in enumerate(errors)
    )
    (mean,) = runs.row("A", "error", "A, error", target="<= 4")
    assert (mean.ours, mean.deviation, mean.seeds, mean.minutes) == (4.0, 1.0, 3, 1.0)
    assert runs.row("B", "error", "B")[0].deviation is None and runs.row("C", "error", "C") == []
    difference, low, high = tables.paired([wrong["A"]], [wrong["B"]])
    n, only_a, only_b = 5000, (wrong["A"] & ~wrong["B"]).sum(), (wrong["B"] & ~wrong["A"]).sum()
    error = 100 * np.sqrt(only_a + only_b - (only_a - only_b) ** 2 / n) / n  # of McNemar's paired difference
    np.testing.assert_allclose(difference, 100 * (only_a - only_b) / n)
    np.testing.assert_allclose([low, high], [difference - 1.96 * error, difference + 1.96 * error], atol=0.15 * error)
    assert runs.difference("A", "B")[0].what == f"A minus B, points ({low:+.2f} to {high:+.2f})"


def test_variations_of_mnist(papers):
    variation = papers("mnist_variations").variation
    x = np.zeros((30, 28, 28, 1), "float32")
    for i in range(30):
        x[i, 10:18, 12:16] = (i + 1) / 30  # each image is its brightness
    y = np.arange(30)
    parts = {name: variation(name, x, y, (10, 5, 15)) for name in ("basic", "rot", "bg-rand")}
    for found in parts.values():
        labels = np.concatenate([labels for _, labels in found])
        assert sorted(labels) == list(range(30)), "no image is in two parts"
        for (images, labels), size in zip(found, (10, 5, 15), strict=True):
            assert images.shape == (size, 28, 28, 1) and images.dtype == "float32"
            np.testing.assert_allclose(images[:, 14, 14, 0] >= (labels + 1) / 30 - 0.02, True)
    basic, rot, noisy = (found[0][0] for found in parts.values())
    np.testing.assert_array_equal(basic, x[parts["basic"][0][1]])
    np.testing.assert_allclose(rot.sum((1, 2, 3)), basic.sum((1, 2, 3)), rtol=0.05)
    shapes = [{(image / image.max()).round(1).tobytes() for image in images} for images in (basic, rot)]
    assert [len(found) for found in shapes] == [1, 10], "every digit is turned, each by an angle of its own"
    outside = noisy[basic == 0]
    assert 0.48 < outside.mean() < 0.52 and outside.std() > 0.28 and noisy.max() <= 1
    with pytest.raises(ValueError, match="Unknown variation 'bg'"):
        variation("bg", x, y, (1, 1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", scripts("papers"))
def test_papers(run, name, tmp_path):
    files = {"sketch_rnn": ["--sketches"], "sketch_classes": ["--sketches", "--words"]}.get(name, [])
    write = {"--sketches": shapes, "--words": words}
    run("papers", name, *(part for option in files for part in (option, write[option](tmp_path))))


def test_the_words_of_sketches_begin_like_the_cats(papers, tmp_path):
    """The first point, at the origin, is removed: from it a model could tell which file a sketch comes from."""
    (given, _), _ = sketches.load("shapes", max_points=9)
    x, labels, names = papers("sketch_classes").read_words(words(tmp_path), scale=50.0, steps=given.shape[1])
    np.testing.assert_allclose(x[..., :2], given[:33, :, :2], atol=0.02)  # rounded down to 1/50
    np.testing.assert_array_equal(x[..., 2:], given[:33, :, 2:])
    assert names == ["cat", "pig", "dog"] and labels.tolist() == [0] * 11 + [1] * 11 + [2] * 11


def resumed(run, folder, name, *options):
    """Run a benchmark twice; return the runs of its file, which the second time leaves as it is."""
    output = folder / f"{name}.json"
    run("", name, "--output", str(output), *options)
    written = output.read_text()
    run("", name, "--output", str(output), *options)
    assert output.read_text() == written, "finished runs are not run again"
    return json.loads(written)["runs"]


@pytest.mark.slow
def test_defaults(run, tmp_path, monkeypatch):
    runs = resumed(run, tmp_path, "defaults", "--only", "on digits|on shapes|(VAE|CD).* on breast_cancer")
    module = results()
    monkeypatch.setattr(module, "HERE", tmp_path)
    lines, goals = module.defaults()
    assert len([line for line in lines if re.search(r" \| (digits|breast_cancer|shapes) \| ", line)]) == len(runs) == 18
    assert len(goals) == sum(len(run["trivial"]) + len(run["term"]) for run in runs)
    assert {goal.met for goal in goals} == {"yes", module.MISSED}


@pytest.mark.slow
def test_imputation(run, tmp_path):
    runs = resumed(run, tmp_path, "imputation")
    assert len(runs) == 2 * 5 and {run["data"] for run in runs} == {"wine", "diabetes"}
    lines = results()._imputation(runs)
    assert len(lines) == 4 and "| wine | 10% |" in lines[2] and lines[2].count("**") == 2
    means = [run["RMSE"] for run in runs if run["method"] == "mean"]
    assert all(0.8 < error < 1.2 for error in means), "the mean of a standardized column is off by about 1"


@pytest.mark.slow
def test_sparse_features(run, tmp_path):
    runs = resumed(run, tmp_path, "sparse_features")
    assert [run["library"] for run in runs] == 6 * ["aezoo"]
    assert all(6 < run["true_L0"] < 8 and 0 <= run["F1"] <= 1 and 0 < run["MCC"] < 1 for run in runs)
    lines = results()._sparse_features(runs)
    assert len(lines) == 8 and "| Matryoshka | aezoo | " in lines[2]
    assert sum(line.count("**") for line in lines) == 2 * 3  # the best F1, MCC and EV


def test_a_perfect_code_has_perfect_measures(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import sparse_features

    truth = sparse_features.Synthetic(0)
    z, x = truth.sample(3000)
    assert truth.features == 2000 and truth.directions.shape == (2000, 128)
    # A child is active only where its parent is, and one of the children that exclude each other.
    children = (z[:, 400:] > 0).reshape(len(z), -1, 8)
    assert children.any() and not np.any(children.any(axis=2) & (z[:, truth.parents] == 0))
    assert children[:, ::2].sum(axis=2).max() == 1 < children[:, 1::2].sum(axis=2).max()
    seen = z.any(axis=0)
    found = sparse_features.measures(truth, z, x, truth.directions[seen], z[:, seen], x)
    assert found["F1"] == found["EV"] == 1 and found["MCC"] == pytest.approx(1, abs=1e-6) and found["dead"] == 0
    assert found["L0"] == pytest.approx((z > 0).sum(axis=1).mean())


@pytest.mark.slow
def test_discrete_codes(run, tmp_path):
    runs = resumed(run, tmp_path, "discrete_codes", "--methods", "VQVAE, 256 entries", "CompressiveAE, weight 10")
    lines = results()._discrete_codes(runs)
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| VQVAE, 256 entries", "| CompressiveAE, weight 10"]
    assert 0 < runs[0]["usage"] <= 1 and runs[0]["bits_under_prior"] > 0 and "usage" not in runs[1]


@pytest.mark.slow
def test_latent_diffusion(run, tmp_path):
    runs = resumed(run, tmp_path, "latent_diffusion")
    lines = results()._latent_diffusion(runs)
    assert len(runs) == 6 + 4 == len(lines) - 2 and "| `vae_emoji` | flow | " in "".join(lines)
    copies = [one["from_training"] for one in runs if one["method"] == "training emoji"]
    assert copies == [0, 0] and all(one["distance"] > 0 for one in runs)


@pytest.mark.slow
def test_int8(run, tmp_path):
    runs = resumed(run, tmp_path, "int8")
    modes = ["single precision", "weights", "weights and activations"]
    assert [(each["preset"], each["mode"]) for each in runs] == [(p, m) for p in ("Autoencoder", "VAE") for m in modes]
    for exact, _, integers in (runs[:3], runs[3:]):
        assert max(exact["errors"].values()) < 1e-4 < 1e-3 < min(integers["errors"].values())
    lines = results()._int8(runs)
    assert len(lines) == 4 and lines[2].startswith("| `Autoencoder` | ") and lines[2].count("%") == 6


@pytest.mark.slow
def test_disentanglement(run, tmp_path):
    methods = "VAE", "BetaTCVAE, beta 4"
    options = ("--models", str(tmp_path), "--picture", str(tmp_path / "units.png"))
    runs = resumed(run, tmp_path, "disentanglement", "--methods", *methods, *options)
    lines = results()._disentanglement(runs)
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {method}" for method in methods]
    assert all(0 <= one["MIG"] <= 1 and set(one["gaps"]) == set(datasets.SPRITE_FACTORS) for one in runs)
    assert (tmp_path / "units.png").stat().st_size > 1000


@pytest.mark.slow
def test_composition(run, tmp_path):
    runs = resumed(run, tmp_path, "composition", "--picture", str(tmp_path / "people.png"))
    assert {(one["kind"], one["method"]) for one in runs} >= {("pairs", "ConditionalVAE"), ("triples", "sum of codes")}
    assert all(one["all"] == 0 for one in runs if one["method"] == "nearest seen")  # a picture of another combination
    assert len(results()._composition(runs)) == 2 + 8
    assert (tmp_path / "people.png").stat().st_size > 1000


@pytest.mark.slow
def test_denoising_networks(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 40, 50), "uint8")
    np.savez(tmp_path / "photographs.npz", images=images)
    options = ("--photographs", str(tmp_path / "photographs.npz"), "--picture", str(tmp_path / "networks.png"))
    runs = resumed(run, tmp_path, "denoising_networks", *options)
    assert len(runs) == 12 and {each["data"] for each in runs} == {"emoji", "photographs, gray"}
    for given, filtered in (runs[:2], runs[6:8]):
        assert given["psnr"] == pytest.approx(20, abs=0.2) and given["period_of_two"] == pytest.approx(1, abs=0.1)
        assert given["psnr"] < filtered["psnr"] + 0.3  # of random pixels, the best filter hardly filters
    assert len(results()._denoising_networks(runs)) == 14
    assert (tmp_path / "networks.png").stat().st_size > 1000


@pytest.mark.slow
def test_mae_probe(run, tmp_path):
    rng = np.random.default_rng(0)
    images = {f"x_{part}": rng.integers(0, 256, (n, 32, 32, 3), "uint8") for part, n in (("train", 200), ("test", 50))}
    labels = {f"y_{part}": rng.integers(0, 10, n).astype("uint8") for part, n in (("train", 200), ("test", 50))}
    np.savez(tmp_path / "cifar10_train10k_test1k.npz", **images, **labels)
    methods = "pixels", "PCA", "MaskedAE", "MaskedAE, untrained"
    runs = resumed(run, tmp_path, "mae_probe", "--cifar10", str(tmp_path), "--methods", *methods)
    found = {(one["data"], one["method"]): one for one in runs}
    rows = "pixels", "PCA", "MaskedAE, mean of the patches", "MaskedAE, all patches", "MaskedAE, untrained"
    assert list(found) == [(data, row) for data in ("digits", "CIFAR-10 excerpt") for row in rows]
    assert [one["features"] for one in runs] == [64, 64, 64, 1024, 64, 3072, 64, 64, 1024, 64]
    assert found["digits", "pixels"]["accuracy"] > 0.7 and found["digits", "PCA"]["accuracy"] > 0.7
    assert found["CIFAR-10 excerpt", "pixels"]["accuracy"] < 0.4, "the labels are random"
    lines = results()._mae_probe(runs)
    assert len(lines) == 2 + 10 and sum("**" in line for line in lines) >= 2


def test_a_file_with_runs_of_other_settings_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from saved_runs import SavedRuns

    def saved(**settings):
        return SavedRuns("script.py", tmp_path / "runs.json", ("data", "seed"), settings, {"keras": "3"})

    saved(seeds=1, steps=8).add(("wine", 0), error=0.5)
    more = saved(seeds=2, steps=8)
    assert ("wine", 0) in more and ("wine", 1) not in more
    with pytest.raises(SystemExit, match=r"'steps': 8}, not .*'steps': 9}: give another file"):
        saved(seeds=1, steps=9)
    assert json.loads((tmp_path / "runs.json").read_text())["runs"][0]["error"] == 0.5


@pytest.mark.slow
def test_single_cell(run, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("worm_neuron_counts", "mouse_bladder_2100_counts"):
        counts = scipy.sparse.csr_matrix(rng.poisson(0.5, (60, 80)).astype("uint16"))
        parts = {part: getattr(counts, part) for part in ("data", "indices", "indptr", "shape")}
        np.savez(tmp_path / f"{name}.npz", **parts, label=rng.integers(0, 3, 60))
    output = tmp_path / "single_cell.json"
    run("", "single_cell", "--data", str(tmp_path), "--output", str(output))
    lines = results()._single_cell(json.loads(output.read_text())["runs"])
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| PCA, 10 components",
        "| PCA, 50 components",
        "| VAE, NB",
        "| VAE, ZINB",
    ]


@pytest.mark.parametrize("detectors", some(["PCA error", "(Ensemble|(?!PyOD).*AE|RBM)"], gate={"PCA error"}))
def test_outliers(run, tmp_path, detectors):
    runs = resumed(run, tmp_path, "outliers", "--only", f"^{detectors}.* on")
    assert all(len(found["plane"]["auroc"]) == 1 for found in runs.values())
    assert list(runs) == ["PCA error"] if detectors == "PCA error" else len(runs) == 8
    assert runs[next(iter(runs))]["plane"]["auroc"][0] > 0.9, "the outliers are far from the other rows"


def test_the_table_of_outliers():
    """Means over sets of means over splits, ranks among the detectors of all sets, and leads on the same splits."""
    scores = {
        "EnsembleDetector": {"one": [0.9, 0.7], "two": [0.6, 0.6]},
        "B": {"one": [0.8], "two": [0.9], "three": [0.1]},
        "C": {"one": [1.0]},
    }
    runs = {
        name: {data: {"auroc": auroc, "fit_cpu_seconds": [1.0, 3.0]} for data, auroc in found.items()}
        for name, found in scores.items()
    }
    found = results().Outliers({"runs": runs})
    lines = found.table()
    assert lines[2] == "| B | 0.8500 | −0.1000 | 1.2 | 2.00 | 1 |"
    assert lines[3] == "| EnsembleDetector | 0.7000 |  | 1.8 | 2.00 | 2 |"
    assert lines[-2:] == ["| one | **0.800** | **0.800** |", "| two | **0.900** | 0.600 |"]
    np.testing.assert_allclose(found.lead("C"), 0.9 - 1.0)


def shapes(folder):
    """Synthetic shapes in a file of sketch-rnn's format."""
    (x, _), (x_test, _) = sketches.load("shapes", max_points=9)
    arrays = {}
    for name, part in (("train", x[:50]), ("valid", x_test[:10]), ("test", x_test[10:20])):
        arrays[name] = np.empty(len(part), dtype=object)
        arrays[name][:] = [(sketch * [50, 50, 1]).astype("int16") for sketch in sketches.stroke3(part)]
    np.savez(folder / "shapes.npz", **arrays)
    return str(folder / "shapes.npz")


def words(folder):
    """The first 33 of the synthetic shapes in a file of words, each with a point at the origin before it."""
    (x, _), _ = sketches.load("shapes", max_points=9)
    each = [np.concatenate([[[0, 0, 0]], sketch * [50, 50, 1]]) for sketch in sketches.stroke3(x[:33])]
    np.savez(
        folder / "words.npz",
        strokes=np.concatenate(each).astype("int16"),
        lengths=np.array([len(sketch) for sketch in each]),
        label=np.repeat(np.arange(3, dtype="uint16"), 11),
        words=np.array(["cat", "pig", "dog"]),
    )
    return str(folder / "words.npz")


def results():
    spec = importlib.util.spec_from_file_location("results", BENCHMARKS / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documents_are_those_of_the_numbers():
    for path, text in results().documents().items():
        assert path.read_text() == text, f"{path.name} is out of date: python benchmarks/results.py"
        for script in set(re.findall(r"python (benchmarks/\S+\.py)", text)):
            assert (BENCHMARKS.parent / script).exists(), f"{path.name} names {script}, which is not there"
