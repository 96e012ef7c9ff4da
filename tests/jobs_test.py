"""The pages of jobs: their code runs, and prints the text that they show; their commands run, too."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from aezoo.cli import program

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "jobs").glob("*.md"))
QUICK: tuple[str, ...] = ()  # own_data_test.py trains on a table
#: Packages that no extra of aezoo installs: without them, the blocks that import them are left out. Both need
#: tensorboard, too.
OPTIONAL = ("keras_tuner", "mlflow")
WHOLE = ("conditions_and_text", "preset_as_extractor", "robustness", "serve")  # assert what trained models do


def code(path):
    """Return the code of a page; each training is for one epoch, unless the page needs trained models."""
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    missing = [f"import {name}\n" for name in OPTIONAL if not all(map(importlib.util.find_spec, (name, "tensorboard")))]
    whole = "\n".join(block for block in blocks if not any(line in block for line in missing))
    return whole if path.stem in WHOLE else re.sub(r"\bepochs=\d+\b", "epochs=1", whole)


def commands(path):
    """Return the commands of aezoo on a page, as lists of words; each training is for one epoch."""
    blocks = re.findall(r"^```bash\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(re.sub(r"--epochs \d+", "--epochs 1", line)) for line in lines if line.startswith("aezoo ")]


EACH = [pytest.param(page, id=page.stem, marks=() if page.stem in QUICK else pytest.mark.slow) for page in PAGES]


@pytest.mark.parametrize("path", EACH)
def test_the_code_of_a_page_runs(path, run_code, capsys):
    run_code(code(path), path.stem)
    printed = capsys.readouterr().out
    for text in re.findall(r"^```text\n(.+?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        assert text in printed
    for _, *words in commands(path):
        assert program.main(words) == 0


@pytest.mark.parametrize("page", ["photographs", "series", "table"])
def test_a_page_on_data_of_ones_own_has_a_command_that_trains(page):
    (_, train, _, data, *_), (_, score, run, *_) = commands(DOCS / "jobs" / f"{page}.md")
    assert (train, data, score, run.split("/")[0]) == ("train", "--data", "score", "runs")
