"""The requirements in setup.cfg: aezoo declares what it imports, and imports what it declares."""

import ast
import configparser
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
# Distributions that do not have the name of the module that they install.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}
# Type checkers know this module without its installation.
TYPES = {"typing-extensions"}
# Extras for work on aezoo: what aezoo itself imports belongs in another one.
FOR_WORK = {"benchmarks", "dev", "docs", "notebooks", "test"}


def requirements(text):
    """Parse requirements, one per line, into a dictionary by the name of the distribution."""
    parsed = map(Requirement, text.split("\n")[1:])
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


REQUIRED = requirements(SETUP["options"]["install_requires"])
EXTRAS = {name: requirements(text) for name, text in SETUP["options.extras_require"].items()}


def guarded(node):
    """Return whether a file can be imported without what is imported in a node of its syntax tree."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    if isinstance(node, ast.Try):
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        return "ImportError" in caught or "ModuleNotFoundError" in caught
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def imports(tree, optional=False):
    """Yield each distribution that a syntax tree imports, with whether the file can be imported without it."""
    for node in ast.iter_child_nodes(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for module in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"aezoo"}:
            yield canonicalize_name(DISTRIBUTIONS.get(module, module)), optional
        yield from imports(node, optional or guarded(node))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os, numpy.linalg\nfrom . import x\nfrom aezoo import y", {("numpy", False)}),
        ("class A:\n    import sklearn.svm", {("scikit-learn", False)}),
        ("def f():\n    if x:\n        from PIL import Image", {("pillow", True)}),
        ("if TYPE_CHECKING:\n    import numpy", {("numpy", True)}),
        ("if sys.platform:\n    import numpy", {("numpy", False)}),
        ("try:\n    import numpy\nexcept (ImportError, OSError):\n    pass", {("numpy", True)}),
        ("try:\n    import numpy\nexcept OSError:\n    pass", {("numpy", False)}),
    ],
)
def test_imports_are_found(source, expected):
    assert set(imports(ast.parse(source))) == expected


@pytest.fixture(scope="module")
def imported():
    """Each distribution that aezoo imports, with whether a file can do without it, and the files that import it."""
    found = {}
    for path in (ROOT / "aezoo_command.py", *(ROOT / "aezoo").rglob("*.py")):
        for use in imports(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(use, []).append(path.relative_to(ROOT).as_posix())
    return found


def test_what_aezoo_imports_is_declared(imported):
    optional = TYPES.union(REQUIRED, *(names for extra, names in EXTRAS.items() if extra not in FOR_WORK))
    missing = {use: files for use, files in imported.items() if use[0] not in (optional if use[1] else REQUIRED)}
    assert not missing


def test_what_is_required_is_imported(imported):
    assert set(REQUIRED) - {name for name, _ in imported} == {"importlib-resources"}


def test_tensorflow_datasets_needs_importlib_resources_undeclared():
    # Once this fails, setup.cfg need not require it any more.
    found = importlib.util.find_spec("tensorflow_datasets").origin
    assert "import importlib_resources\n" in Path(found).with_name("core").joinpath("dataset_builder.py").read_text()
    declared = map(Requirement, importlib.metadata.requires("tensorflow-datasets"))
    here = [one for one in declared if not one.marker or one.marker.evaluate({"extra": ""})]
    assert "absl-py" in {canonicalize_name(one.name) for one in here}
    assert "importlib-resources" not in {canonicalize_name(one.name) for one in here}


def test_the_oldest_versions_are_the_lower_bounds():
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    declared = REQUIRED | EXTRAS["compression"] | {"pytest": EXTRAS["test"]["pytest"]}
    bounds = {
        name: bound.version
        for name, requirement in declared.items()
        for bound in requirement.specifier
        if bound.operator == ">="
    }
    assert len(bounds) > 8
    assert bounds.keys() <= oldest.keys()
    for name, bound in bounds.items():
        assert Version(oldest[name]) == Version(bound), name


def test_keras_has_an_upper_bound():
    assert [bound.operator for bound in REQUIRED["keras"].specifier].count("<") == 1
