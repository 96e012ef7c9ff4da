"""How much of the public surface says its types, and what a checker makes of a user's code."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: The largest share of `Any`: TensorFlow and Keras have no types, and what is passed on to them has none either.
MOST = 0.1


def public_functions(node, public=True):
    """Yield the functions that no underscore hides, without functions inside of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from public_functions(child, public and not child.name.startswith("_"))
        elif not isinstance(child, ast.FunctionDef):
            yield from public_functions(child, public)
        elif public and (not child.name.startswith("_") or child.name.endswith("__")):
            yield child


def annotations(function):
    """Return the annotations of the parameters, including * and **, and the annotation of the returned value."""
    given = function.args
    stars = [star for star in (given.vararg, given.kwarg) if star]
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *stars]
    return [each.annotation for each in named if each.arg not in ("self", "cls")], function.returns


def says_nothing(annotation):
    return annotation is None or ast.unparse(annotation).strip("'\"") in ("Any", "typing.Any")


def parameters_and_returns(source):
    found = [annotations(function) for function in public_functions(ast.parse(source))]
    parameters = [annotation for of_one, _ in found for annotation in of_one]
    return parameters, [returned for _, returned in found if returned is not None]


def test_the_public_surface_says_its_types():
    parameters, returns = [], []
    for path in (ROOT / "aezoo").rglob("*.py"):
        of_module = parameters_and_returns(path.read_text(encoding="utf-8"))
        parameters += of_module[0]
        returns += of_module[1]
    assert len(parameters) > 1000 and len(returns) > 500
    for what, given in (("parameters", parameters), ("returned values", returns)):
        share = sum(map(says_nothing, given)) / len(given)
        assert share < MOST, (
            f"{share:.1%} of {len(given)} public {what} are Any: give them the types of aezoo/_typing.py"
        )


def test_what_is_counted():
    source = """
def seen(a, b: Any, c: "Any", d: Tensor, *args: Any, e: dict[str, Any] | None = None, **kwargs: Any) -> Any:
    def inside(x: Any) -> Any: ...
def _hidden(x: Any) -> Any: ...
class Seen:
    def __init__(self, x: int): ...
    @classmethod
    def of(cls, x: typing.Any) -> int: ...
    def _hidden(self, x: Any) -> Any: ...
class _Hidden:
    def method(self, x: Any) -> Any: ...
"""
    parameters, returns = parameters_and_returns(source)
    assert [says_nothing(each) for each in parameters] == [True, True, True, False, False, True, True, False, True]
    assert [says_nothing(each) for each in returns] == [True, False]


@pytest.mark.slow
def test_a_users_code_under_the_strict_setting(tmp_path):
    """As a user's checker reads it: without our settings, so that Keras and TensorFlow are `Any` altogether."""
    pytest.importorskip("mypy")
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    command = [sys.executable, "-m", "mypy", "--config-file=", *options, str(ROOT / "tests" / "users_types.py")]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    checked = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert checked.returncode == 0, checked.stdout + checked.stderr
