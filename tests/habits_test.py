"""The files around the code: scripts, workflows, templates, pins, versions and dates agree with each other."""

import configparser
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "aezoo" / "version.py").read_text())[1]
SCRIPTS = ("nightly", "oldest", "run", "slow")
WORKFLOWS = ("docs", "nightly", "oldest", "release", "tests")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def parsed(name):
    return yaml.safe_load(read(name))


def shell(command):
    return subprocess.run(["bash", "-c", command], cwd=ROOT, check=True, capture_output=True, text=True).stdout


# === Scripts ===


def test_every_script_is_known():
    assert {path.name for path in (ROOT / ".ci").iterdir()} == {*SCRIPTS, "common", "oldest.txt"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run(name):
    assert os.access(ROOT / ".ci" / name, os.X_OK)
    shell(f"bash -n .ci/{name}")
    lines = read(f".ci/{name}").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert 'source "$(dirname "$0")/common"' in lines
    assert all((ROOT / path).exists() for path in re.findall(r"tests/\w+\.py", "\n".join(lines)))
    assert f"`.ci/{name}`" in read("CONTRIBUTING.md")


def test_scripts_read_the_test_command_from_the_readme():
    block = re.search(r"<!-- test command -->\n```bash\n(.+?)\n```", read("README.md"), re.DOTALL)[1]
    install, test = shell('source .ci/common; printf "%s\\0%s" "$install_command" "$test_command"').split("\0")
    assert f"{install} && {test}" == block
    assert 'run "$install_command"\n' in read(".ci/run")
    assert '\nrun "$test_command" || failed=1\n' in read(".ci/run")


def test_pins_agree():
    pins = {line for line in SETUP["options.extras_require"]["dev"].split() if "==" in line}
    assert {pin.partition("==")[0] for pin in pins} == {"mypy", "ruff"}
    # What .ci/run installs.
    command = re.search(r"pip install --quiet \$\((grep .+)\)", read(".ci/run"))[1]
    assert set(shell(command).split()) == pins
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook.get("additional_dependencies") for hook in repository["hooks"]}
    (ruff,) = (pin for pin in pins if pin.startswith("ruff"))
    assert hooks == {"ruff-check": [ruff], "ruff-format": [ruff], "subject": None}


def test_a_subject_has_at_most_72_characters():
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    refused = re.compile(repository["hooks"][-1]["entry"], re.MULTILINE | re.DOTALL)  # as pygrep --multiline does
    assert refused.search("x" * 73 + "\n\nbody")
    assert not refused.search("x" * 72 + "\n\n" + "body " * 30)


@pytest.mark.slow
def test_slow_tests_run_only_when_selected(tmp_path):
    (tmp_path / "some_test.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_long(): pass\n\ndef test_short(): pass\n"
    )

    def collected(*arguments):
        # As in `.ci/slow`: its arguments come after those of pyproject.toml. No plugin but the one that these need.
        command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-n0"]
        command += ["--collect-only", "-p", "xdist.plugin", "-p", "no:cacheprovider", *arguments, tmp_path]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    assert re.findall(r"::(\w+)", collected()) == ["test_short"]
    assert re.findall(r"::(\w+)", collected("-m", "slow")) == ["test_long"]
    assert re.search(r"^\S+/pytest -m slow ", read(".ci/slow"), re.MULTILINE)
    (tmp_path / "other_test.py").write_text("import pytest\n\n@pytest.mark.slwo\ndef test_typo(): pass\n")
    everything = collected("-m", "")
    assert re.findall(r"::(\w+)", everything) == ["test_long", "test_short"]
    assert "'slwo' not found in `markers`" in everything


# === GitHub ===


def test_every_workflow_is_known():
    assert {path.stem for path in (ROOT / ".github" / "workflows").iterdir()} == set(WORKFLOWS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows(name):
    workflow = parsed(f".github/workflows/{name}.yml")
    assert workflow["name"] == name
    assert workflow[True]  # "on", which is a boolean of YAML 1.1
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        assert job["timeout-minutes"] <= 120
        assert set(job.get("needs", ())) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert len({"run", "uses"} & set(step)) == 1
            assert re.fullmatch(r"[\w-]+/[\w-]+@(release/)?v\d+", step.get("uses", "an/action@v1"))
            for script in re.findall(r"\.ci/(\w+)", step.get("run", "")):
                assert script in SCRIPTS


def runs(name, job):
    steps = parsed(f".github/workflows/{name}.yml")["jobs"][job]["steps"]
    return [step["run"] for step in steps if "run" in step]


def test_workflows_run_the_scripts():
    assert runs("tests", "gate") == [".ci/run"]
    assert runs("oldest", "oldest") == [".ci/oldest"]
    assert runs("nightly", "nightly") == [".ci/nightly"]
    assert runs("nightly", "slow") == [".ci/slow"]
    assert runs("release", "test") == [".ci/run", ".ci/slow"]
    assert runs("docs", "build")[-1] == "mkdocs build --strict"
    assert parsed(".github/workflows/nightly.yml")[True]["schedule"]


def test_a_release_publishes_what_was_tested():
    workflow = parsed(".github/workflows/release.yml")
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert {name for name, job in jobs.items() if "permissions" in job} == {"publish"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert set(jobs["publish"]["needs"]) == {"test", "build"}
    assert "secrets." not in read(".github/workflows/release.yml")


def test_python_versions_agree():
    classifiers = re.findall(r":: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    first, last = (int(version.partition(".")[2]) for version in (classifiers[0], classifiers[-1]))
    assert classifiers == [f"3.{minor}" for minor in range(first, last + 1)]
    assert SETUP["options"]["python_requires"] == f">={classifiers[0]}"
    assert parsed(".github/workflows/tests.yml")["jobs"]["gate"]["strategy"]["matrix"]["python"] == classifiers
    assert f'target-version = "py{classifiers[0].replace(".", "")}"\n' in read("pyproject.toml")
    assert f"Python {classifiers[0]} or newer" in read("README.md")


@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_forms(name):
    form = parsed(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "labels", "body"} == set(form)
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) >= 2
    for field in fields:
        assert field["type"] == "textarea"
        assert field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize("name", [".github/PULL_REQUEST_TEMPLATE.md", "CONTRIBUTING.md", "RELEASING.md"])
def test_paths_in_documents_exist(name):
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", read(name), flags=re.MULTILINE | re.DOTALL))
    paths = [span for span in spans if re.fullmatch(r"[\w.-]+/[\w./-]*|[\w-]+\.(md|cfg|cff|toml|yaml)", span)]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


# === Versions ===


def released():
    """The versions of CHANGELOG.md with their dates, from the newest to the oldest."""
    return re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), re.MULTILINE)


def test_the_changelog_names_every_release():
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings == ["Unreleased", *(f"{version} - {date}" for version, date in released())]
    versions = [tuple(map(int, version.split("."))) for version, _ in released()]
    dates = [datetime.date.fromisoformat(date) for _, date in released()]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", read("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_version_is_the_newest_of_the_changelog():
    assert released()[0][0] == VERSION


def test_the_citation_is_of_this_version():
    citation = parsed("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["date-released"]) == released()[0]
    assert citation["license"] == SETUP["metadata"]["license"]
    assert [author["name"] for author in citation["authors"]] == [SETUP["metadata"]["author"]]
    assert {"message", "title"} <= set(citation)
    assert set(citation["keywords"]) <= set(SETUP["metadata"]["keywords"].split("\n"))
