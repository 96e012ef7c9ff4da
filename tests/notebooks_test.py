"""The notebooks run on bundled data alone, and are committed with their outputs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHORT = FOLDER / "02_pca_and_linear_autoencoders.ipynb"
LONG = [path for path in NOTEBOOKS if path != SHORT]
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(*arguments, **environment):
    # In a process of its own, so that the warnings of Jupyter's libraries stay there.
    environment = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "", **environment}
    kept = ("HOME", "LANG", "PYTHONPATH", "TMPDIR")
    environment |= {name: os.environ[name] for name in kept if name in os.environ}
    command = [sys.executable, FOLDER / "execute.py", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Execute notebooks and their solutions on bundled data; return the process and the folder of the results."""

    def run(*paths):
        folder, empty, solved = (tmp_path_factory.mktemp(name) for name in ("executed", "empty", "solved"))
        copies = [with_solutions(path, solved) for path in paths]
        done = execute(*copies, "--output", folder, TFDS_DATA_DIR=str(empty))
        assert not list(empty.iterdir()), "it tried to download data"
        return done, folder

    return run


def check(path, folder):
    texts = [output.text for output in outputs(folder / path.name) if output.output_type == "stream"]
    if "fallback=" in path.read_text():
        assert sum(text.count("the bundled 'digits' are used") for text in texts) == 1
    count = len(nbformat.read(path, as_version=4).cells)
    assert pictures(folder / path.name, count) == pictures(path)


def with_solutions(path, folder):
    """Write a copy of a notebook with the solutions of its exercises as cells at the end, and return its path."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(solution) for solution in solutions(notebook)]
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


def solutions(notebook):
    hidden = re.findall(r"<details>(.*?)</details>", notebook.cells[-1].source, re.DOTALL)
    return [block for text in hidden for block in re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)]


@pytest.fixture(scope="module")
def short_and_bad(run, tmp_path_factory):
    """Execute one short notebook and two that fail by one command, which imports TensorFlow once for all."""
    bad = []
    for source in ("1 / 0", "import sys; print('noise', file=sys.stderr)"):
        bad.append(tmp_path_factory.mktemp("bad") / f"bad{len(bad)}.ipynb")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, bad[-1])
    return *run(bad[0], SHORT, bad[1]), bad


@pytest.mark.slow
def test_the_short_one_runs_on_bundled_data(short_and_bad):
    done, folder, _ = short_and_bad
    assert (folder / SHORT.name).exists(), done.stderr[-4000:]
    check(SHORT, folder)


@pytest.mark.slow
def test_a_failing_or_noisy_cell_fails(short_and_bad):
    done, folder, bad = short_and_bad
    assert done.returncode == 1
    assert [path.name for path in folder.iterdir()] == [SHORT.name]
    for path in bad:
        assert nbformat.read(path, as_version=4).cells[0].source in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("paths", (LONG[::2], LONG[1::2]), ids=("odd", "even"))  # which can run side by side
def test_run_on_bundled_data(paths, run):
    done, folder = run(*paths)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    for path in paths:
        check(path, folder)


def outputs(path, cells=None):
    notebook = nbformat.read(path, as_version=4)
    return [output for cell in notebook.cells[:cells] if cell.cell_type == "code" for output in cell.outputs]


def pictures(path, cells=None):
    return sum("image/png" in output.get("data", {}) for output in outputs(path, cells))


@each
def test_is_committed_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "python notebooks/execute.py"
    assert pictures(path), "a notebook without a picture"
    assert path.stat().st_size <= 1.5 * 2**20


@each
def test_has_no_noise_and_no_path_of_a_machine(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error" and output.get("name") != "stderr", output
            for kind in list(output.get("data", {})):
                if kind.startswith("image/"):  # base64, in which any four letters may stand
                    del output["data"][kind]
    found = re.search(r"/(home|root|tmp|work|Users)\b|\b0x[0-9a-f]{6}", nbformat.writes(notebook))
    assert not found, f"{found[0]} is of one machine"


@each
def test_stands_in_the_list(path):
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert f"({path.name})" in (FOLDER / "README.md").read_text()


@each
def test_teaches(path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "**After this notebook you can**" in notebook.cells[0].source, "objectives"
    assert "on two cores" in notebook.cells[0].source, "how long it takes"
    assert text.count("**What you should see.**") >= pictures(path) / 2, "pictures without a word on what to see"
    exercises = re.findall(r"^\d\. \*\*", text.partition("## Exercises")[2], re.MULTILINE)
    assert len(exercises) == 3 == text.count("<summary>Solution</summary>") == len(solutions(notebook))
    assert re.search(r"^- .+", text.partition("## References")[2], re.MULTILINE)
    assert "sys.path" not in path.read_text(), "it would not run outside a clone"
