"""The documents: the site builds and has every public name, links lead somewhere, the code of the pages runs."""

import argparse
import functools
import importlib
import importlib.util
import inspect
import itertools
import json
import re
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA

import aezoo
from aezoo import testing
from aezoo.cli import defaults, program, train

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *(
        path
        for folder in ("docs", "notebooks", "benchmarks", "saved_models")
        for kind in ("md", "ipynb")
        for path in sorted((ROOT / folder).rglob(f"*.{kind}"))
        if ".ipynb_checkpoints" not in path.parts
    ),
]


def text(path):
    """The Markdown of a document or of a notebook's text cells, without its settings and its blocks of code."""
    content = re.sub(r"\A---\n.*?\n---\n+", "", path.read_text(), flags=re.DOTALL)
    if path.suffix == ".ipynb":
        cells = json.loads(content)["cells"]
        content = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", content, flags=re.MULTILINE | re.DOTALL)


# === The reference ===


def resolve(name):
    """What a dotted name of the package stands for."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        return functools.reduce(getattr, parts[i:], found)
    raise ModuleNotFoundError(name)


def public(module):
    """The public classes and functions of a module, by name."""
    listed = getattr(module, "__all__", None)
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isroutine(value))
        and (name in listed if listed is not None else name[0] != "_" and value.__module__ == module.__name__)
    }


@functools.cache
def names():
    """Every public class and function, by name: those that `aezoo` imports for its users, and those of its modules."""
    found = {}
    for name in (*aezoo.__all__, "sklearn", "testing"):
        value = getattr(aezoo, name)
        if inspect.ismodule(value):
            found.update(public(value))
        elif name != "__version__":
            found[f"aezoo.{name}"] = value
    return found


@functools.cache
def hooks():
    """The script that generates pages of the site."""
    pytest.importorskip("griffe", reason='needs pip install -e ".[docs]"')
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def generated():
    """Return the pages of the site that are not in `docs`, by their path."""
    return {**hooks().api_pages(), **hooks().notebook_pages(), **hooks().card_pages(), "measurements.md": ""}


@functools.cache
def shown():
    """The names in the reference: each `::: name` of a generated page."""
    pages = "\n".join(page for place, page in generated().items() if place.startswith("api/"))
    return set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))


def test_every_public_name_has_a_page():
    assert len(names()) > 100
    assert sorted(set(names()) - shown()) == []
    for name in names():
        pages = [page for place, page in generated().items() if place.endswith(f"/{name.rpartition('.')[2]}.md")]
        assert any(f"::: {name}\n" in page for page in pages), name


def test_every_public_name_stands_in_the_overview_with_its_first_sentence():
    rows = dict(re.findall(r"^\| \[`(.+?)`\]\([^)]*\) \| (.+) \|$", generated()["api/index.md"], re.MULTILINE))
    for name, value in names().items():
        sentence = rows[name.removeprefix("aezoo.")]
        assert " ".join(inspect.getdoc(value).split()).replace("|", "\\|").startswith(sentence), name
        assert len(sentence) > 8


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason='needs pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    build = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    return folder


@pytest.mark.slow  # a minute, and the workflow `docs` builds the site as well
def test_the_site_builds_and_shows_a_page_per_name_notebook_and_preset(site):
    assert 'id="aezoo.KSparseAE"' in (site / "api" / "models" / "KSparseAE" / "index.html").read_text()
    for place in generated():
        page = site / (place.removesuffix("index.md") if place.endswith("index.md") else place.removesuffix(".md"))
        assert place.endswith(".png") or (page / "index.html").exists(), place
    formulas = (site / "notebooks" / "01_what_is_an_autoencoder" / "index.html").read_text()
    assert 'class="arithmatex"' in formulas


@pytest.mark.slow
def test_the_site_needs_no_other_server(site):
    for page in (site / "index.html", site / "notebooks" / "01_what_is_an_autoencoder" / "index.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"?([^\s\">]+)", page.read_text())
        assert len(loaded) > 5
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []


def test_links_to_the_repository_lead_to_the_site():
    relinked = hooks().relinked
    page = (
        "[a](../notebooks/03_denoising.ipynb) [b](../LICENSE) [c](b.md#d) ![e](../saved_models/rbm_mnist/picture.png)"
    )
    page = page.replace("b.md", "inputs.md")
    site = "[a](notebooks/03_denoising.md) b [c](inputs.md#d) ![e](presets/rbm_mnist.png)"
    assert relinked(page, "start.md", "") == site
    assert relinked(page, "start.md", "https://github.com/o/r") == site.replace(
        " b ", " [b](https://github.com/o/r/blob/main/LICENSE) "
    )
    assert relinked("![p](picture.png)", "presets/rbm_mnist.md", "") == "![p](rbm_mnist.png)"
    page = "[g](../docs/guide/sparse.md)"
    assert relinked(page, "notebooks/04_sparse_and_k_sparse.md", "") == "[g](../guide/sparse.md)"
    assert relinked("```\n[b](../LICENSE)\n```", "start.md", "") == "```\n[b](../LICENSE)\n```"


def test_every_public_name_is_described():
    assert [name for name, value in names().items() if not inspect.getdoc(value)] == []


def test_every_public_name_has_an_example():
    for name, value in names().items():
        # The checks of `testing` have one in common.
        example = testing.__doc__ if name.startswith("aezoo.testing.") else value.__doc__
        assert ">>>" in example or "```python" in example, name


@pytest.mark.slow
def test_examples_that_are_no_doctests_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (x, y), _ = aezoo.datasets.load("digits")
    x, y = x[:40].reshape(40, 64), y[:40]
    pca = PCA(8).fit(x)
    tied, untied, denoising = aezoo.Autoencoder(8, tied=True), aezoo.Autoencoder(8), aezoo.DenoisingAE(8)
    k_sparse = [aezoo.KSparseAE(16, k=k) for k in (2, 4)]
    rbm, vae, two_units = aezoo.RBM(8), aezoo.VAE(2), aezoo.Autoencoder(2)
    for model in (tied, untied, denoising, *k_sparse, rbm, vae, two_units):
        model.compile(optimizer="adam")
        model.build(x.shape)
    onnx = importlib.util.find_spec("tf2onnx") is not None
    for name, value in names().items():
        if name.startswith("aezoo.explorer.") and not onnx:
            continue
        for block in re.findall(r"```python\n(.*?) *```", inspect.getdoc(value), re.DOTALL):
            known = {"aezoo": aezoo, "x": x, "x_train": x, "x_test": x, "y": y, "y_test": y, "pca": pca}
            known |= {"model": tied, "untied": untied, "denoising": denoising, "models": k_sparse}
            known |= {"rbm": rbm, "vae": vae, "two_units": two_units}
            known["by_pca"] = pca.inverse_transform(pca.transform(x))
            exec(compile(textwrap.dedent(block), name, "exec"), known)
    written = {"explorer.html", "filters.png", "history.png", "reconstructions.png"}
    assert {path.name for path in tmp_path.iterdir()} == written if onnx else written - {"explorer.html"}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_pages(path):
    place = path.relative_to(ROOT / "docs").as_posix()
    assert re.search(rf"[ :-] {place}$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE), "it is not in the navigation"
    assert text(path).startswith("# ")
    for name in re.findall(r"\]\[(aezoo[\w.]*)\]", text(path)):
        value = resolve(name)
        owner = name.rpartition(".")[0]
        assert inspect.ismodule(value) or name in shown() or owner in shown(), f"{name} stands on no page"


def test_names_in_docstrings_and_documents_exist():
    found = set()
    for path in (*(ROOT / "aezoo").rglob("*.py"), *DOCUMENTS):
        found |= set(re.findall(r"`(aezoo(?:\.\w+)+)`", path.read_text()))
    assert len(found) > 20
    for name in sorted(found):
        resolve(name)


def options(parser, path=()):
    """The commands of a parser and their options, by the words that lead there."""
    found = {path: {option for action in parser._actions for option in action.option_strings}}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found |= options(child, (*path, name))
    return found


def test_the_page_of_the_command_line_has_every_command_and_option():
    page = (ROOT / "docs" / "command_line.md").read_text()
    sections = dict(
        re.findall(r"^## aezoo ([a-z ]+?)(?: [A-Z][^\n]*)?\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    )
    parser = argparse.ArgumentParser()
    train._add_training_options(parser, aezoo.Autoencoder)
    commands = options(program._parser([]))
    commands[("train",)] |= options(parser)[()]
    for path, flags in commands.items():
        if not path or path[-1] in defaults.MODELS:
            continue  # the options of a model are the arguments of its constructor
        section = sections.get(" ".join(path), "")
        assert section, f"aezoo {' '.join(path)} has no section"
        missing = {flag for flag in flags - {"-h", "--help"} if f"`{flag}" not in section}
        assert not missing, f"aezoo {' '.join(path)}: {missing}"


# === Links ===


def anchors(path):
    """What a # of a link to a document may name: its headings, as GitHub and mkdocs write them."""
    headings = re.findall(r"^#+ (.*)$", text(path), re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def broken(path):
    """The links of a document within the repository that lead nowhere."""
    content = re.sub(r"`[^`\n]*`", "", text(path))
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", content) + re.findall(r"\b(?:src|href)=[\"']([^\"']+)", content)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        inside = there.is_relative_to(ROOT) and there.exists()
        if not inside and path.is_relative_to(ROOT / "docs") and there.is_relative_to(ROOT / "docs"):
            inside = there.relative_to(ROOT / "docs").as_posix() in generated()
        if not inside or (anchor and anchor not in anchors(there)):
            yield target


def test_links_are_found_broken(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A `heading`, so\n[a](page.md#a-heading-so) ![b](b.png) [c](#no)\n[d](page.md) [e](../e) [f](https://f.org/g)\n"
        "```\n[g](g.md)\n```\n`[h](h.md)` <img src='i.png'>\n"
    )
    assert list(broken(page)) == ["b.png", "#no", "../e", "i.png"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(path):
    assert list(broken(path)) == []


# === The guide ===

GUIDE = (ROOT / "docs" / "your_own_variant.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def run(*blocks):
    module = types.ModuleType("variant")
    for block in blocks:
        exec(compile(block, "docs/your_own_variant.md", "exec"), vars(module))
    return module


@pytest.fixture(scope="module")
def variant():
    return run(*BLOCKS[:3])


def test_the_guide_is_as_short_as_it_says():
    lines = list(itertools.chain.from_iterable(block.splitlines() for block in BLOCKS[:2]))
    assert len(lines) <= int(re.search(r"in (\d+)\s+lines", GUIDE)[1])
    assert f"runs {len(testing.CHECKS) + 1} tests" in GUIDE
    assert "two_cpu_devices" in BLOCKS[3]


# `replicas` of the guide's mistake, below, is in the gate.
@pytest.mark.parametrize(
    "check",
    (
        pytest.param(testing.replicas, marks=pytest.mark.slow),
        testing.epoch_means,
        testing.configuration,
        pytest.param(testing.saving, marks=pytest.mark.slow),
    ),
)
def test_the_guide_passes(variant, check):
    variant.test_conformance(check)


def test_the_equation_of_the_guide(variant):
    variant.test_the_equation()


@pytest.fixture(scope="module")
def examples():
    return run(*BLOCKS[4:8])


QUICK = (testing.declared, testing.weight_zero, testing.scores, testing.bad_input, testing.configuration)
EVERY = [pytest.param(check, marks=() if check in QUICK else pytest.mark.slow) for check in testing.CHECKS]


@pytest.mark.parametrize("check", EVERY)
def test_the_vq_vae_of_the_guide_passes(examples, check):
    x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    check(testing.Case(lambda **kwargs: examples.VQVAE(latent_dim=8, seed=0, **kwargs), x))


@pytest.mark.parametrize("check", EVERY)
def test_the_conditional_model_of_the_guide_passes(examples, check):
    x, label = np.random.default_rng(0).random((21, 6, 6, 1), "float32"), np.arange(21, dtype="int32") % 10
    check(testing.Case(lambda **kwargs: examples.LabeledAE(latent_dim=4, **kwargs), x, conditions={"label": label}))


@pytest.mark.parametrize("arguments", [{"hidden_dims": (7,)}, {"filters": (4,)}, {"output_activation": "linear"}])
def test_networks_of_the_guides_conditional_model_follow_their_arguments(examples, arguments):
    model = examples.LabeledAE(latent_dim=4, **arguments)
    model.build((None, 8, 8, 1))
    plain = examples.LabeledAE(latent_dim=4)
    plain.build((None, 8, 8, 1))
    assert (model.decoder.count_params(), model.output_bounds) != (plain.decoder.count_params(), plain.output_bounds)
    assert "tied" not in inspect.signature(examples.LabeledAE).parameters


@pytest.mark.slow_cases("saving", "replicas")
@pytest.mark.parametrize(
    "check", [testing.sample_weights, testing.saving, testing.replicas], ids=lambda check: check.__name__
)
def test_the_model_of_the_guide_with_a_state_passes(examples, check):
    x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    check(testing.Case(lambda **kwargs: examples.CenteredCodeAE(latent_dim=4, **kwargs), x, mean_over_samples=False))
    model = examples.CenteredCodeAE(latent_dim=4, seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    model.fit(x, batch_size=21, epochs=1, verbose=0)
    np.testing.assert_allclose(model.center, 0.1 * np.mean(model.encode(x), axis=0), rtol=1e-4)


@pytest.mark.parametrize("check", (testing.epoch_means, testing.verbs, testing.accumulation))
def test_the_model_of_the_guide_that_undoes_a_reflection(examples, check):
    x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    check(testing.Case(lambda **kwargs: examples.MirrorAE(latent_dim=4, **kwargs), x))
    model = examples.MirrorAE(latent_dim=4, seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    trained = model.fit(x, epochs=1, verbose=0).history["loss"][0]
    against = np.sum((x - np.asarray(model.reconstruct(x[:, :, ::-1]))) ** 2) / len(x)
    assert trained == pytest.approx(against, rel=1e-5)


def test_the_vq_vae_of_the_guide_is_as_short_as_it_says_ties_and_reports(examples):
    assert len([line for line in BLOCKS[4].splitlines() if line and not line.startswith(("import", "from"))]) <= 40
    (x, _), (x_test, y_test) = aezoo.datasets.load("digits")
    model = examples.VQVAE(latent_dim=16, tied=True, seed=0)
    model.compile(optimizer="adam")
    model.fit(x, epochs=2, batch_size=64, verbose=0)
    code = np.asarray(model.encode(x_test))
    book = model.quantizer.book.numpy()
    assert len(np.unique(code.reshape(-1, 2).round(5), axis=0)) <= len(book)
    distances = np.linalg.norm(np.asarray(model.features(x_test)).reshape(-1, 1, 2) - book, axis=2)
    np.testing.assert_allclose(code.reshape(-1, 2), book[distances.argmin(axis=1)], atol=1e-5)
    report = aezoo.evaluation.report(model, (x_test, y_test))
    assert report["jacobian_norm"] is None and report["reconstruction_error"] > 0


@pytest.mark.slow
def test_the_mistake_that_the_guide_speaks_of_is_found():
    assert "batch.per_replica(weights)" in BLOCKS[0]
    wrong = run(BLOCKS[0].replace("batch.per_replica(weights)", "weights").replace('"mine"', '"wrong"'), BLOCKS[1])
    with pytest.raises(AssertionError, match="two replicas"):
        wrong.test_conformance(testing.replicas)


PAGES = (
    "anomaly_detection",
    "compression",
    "measuring",
    "missing_values",
    "networks",
    "presets",
    "scikit_learn",
    "speed",
)


@functools.cache
def blocks_of(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


def run_page(page):
    """Run the code of a page, each training for one epoch."""
    module = types.ModuleType(page)
    code = re.sub(r"\bepochs=\d+, (?!end|start)", "epochs=1, ", "\n".join(blocks_of(page)))
    exec(compile(code, f"docs/{page}.md", "exec"), vars(module))
    return module


def test_every_page_with_code_is_run():
    elsewhere = {"index", "inputs", "many_workers", "serving", "sketches", "start", "your_own_variant"}
    have_code = {path.stem for path in DOCS if path.parent == ROOT / "docs" and "```python" in path.read_text()}
    assert have_code - {"concepts", "recipes", "explorer"} == {*PAGES, *elsewhere}


SLOW = ("anomaly_detection", "compression", "measuring", "missing_values", "scikit_learn")


@pytest.mark.slow_cases("networks")
@pytest.mark.parametrize("page", [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in PAGES])
def test_the_code_of_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(page)


@pytest.mark.slow
def test_the_code_of_the_page_on_sketches_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = run_page("sketches")
    assert module.path.shape[:2] == (1, 10)
    assert module.as_others.shape == (3, *module.x_train.shape[1:])
    assert module.padded.shape[1:] == (100, 5)


@pytest.mark.slow
def test_the_numbers_in_comments_of_the_five_minute_start_are_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = run_page("start")
    assert module.code.shape == (355, 100)
    assert (np.count_nonzero(module.code, axis=1) == 10).all()
    assert module.x_again.shape == (355, 8, 8, 1)
    config = module.trained.get_config()
    assert (config["latent_dim"], config["k"]) == (1000, 25)


@pytest.mark.slow
def test_the_page_of_inputs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = run_page("inputs")
    assert len(list((tmp_path / "photos").iterdir())) == 32
    assert module.colorizer.reconstruct(module.gray).shape == (64, 8, 8, 3)
    assert np.isfinite(module.completed).all()
    assert module.text.reconstruct(module.tokens).shape == (64, 12, 50)
