"""Rules that no test of a single module sees: where private names stand, and which way imports run."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "aezoo"


def module(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}

# === Private names ===

SEAM = "aezoo._keras"
#: Modules that still have private names, each to be taken from this list with its last one.
#: Private names of other packages than Keras, TensorFlow and TensorFlow Datasets, and who needs them.
OTHERS = {
    ("aezoo.sklearn.base", "_validate_data"),  # scikit-learn before 1.6 has no public name of it
    ("aezoo.cli.arguments", "_ArgumentGroup"),  # nor has argparse of the type
}

PRIVATE = re.compile(r"_[a-zA-Z]\w*(?<!__)")
#: What a string with a name stands in where it is an attribute's.
REFLECTION = {"delattr", "getattr", "hasattr", "setattr", "get", "pop", "setdefault"}
#: What is replaced on Keras' objects or relied on without being promised, though no name says so.
UNPROMISED = re.compile(
    r"tf\.__internal__\..+|tf\.raw_ops\.Resource\w+|keras\.export\.ExportArchive|.+\.(test|train)_function = None"
    r"|[\w.]*strategy\.experimental_distribute_dataset = .+|keras\.Variable\.__init__ = .+"
    r"|(?!self\.).+\.count\.assign_add|vars\(\w*(adam|optimizer)\).*|layer\.call = .+|.*\bcallbacks\[:\] = .+"
)


@cache
def own_attributes():
    """The names of all methods and attributes of the package's own classes."""
    names = set()
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef):
            names.update(part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.ClassDef)))
            stored = (part for statement in node.body for part in ast.walk(statement) if isinstance(part, ast.Name))
            names.update(part.id for part in stored if isinstance(part.ctx, ast.Store))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
    return names


def private_names(tree):
    """Yield the line and the text of all in a module that leans on what another package keeps to itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr) and node.attr not in own_attributes():
            yield node.lineno, node.attr
        if isinstance(node, ast.Call):
            function = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if function in REFLECTION:
                for argument in node.args:
                    text = argument.value if isinstance(argument, ast.Constant) else None
                    if isinstance(text, str) and PRIVATE.fullmatch(text) and text not in own_attributes():
                        yield node.lineno, text
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for imported in imports_of(node):
                parts = imported.split(".")
                if parts[0] != "aezoo" and (
                    parts[:2] in (["keras", "src"], ["tensorflow", "python"]) or any(map(PRIVATE.fullmatch, parts))
                ):
                    yield node.lineno, imported
        if isinstance(node, (ast.Attribute, ast.Assign, ast.Call)) and UNPROMISED.fullmatch(ast.unparse(node)):
            yield node.lineno, ast.unparse(node)


def imports_of(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def test_private_names_of_the_platform_stand_in_one_module():
    found = [
        f"{name}, line {line}: {text}"
        for name, tree in TREES.items()
        if name != SEAM
        for line, text in private_names(tree)
        if (name, text) not in OTHERS
    ]
    assert not found, f"put in {SEAM}, with a test, what no release promises:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "model._loss_tracker.reset_state()",
        "self._flatten_layers()",
        "stage.model._initial_epoch = 3",
        "getattr(y, '_keras_mask', None)",
        "kwargs.get('_use_cached_eval_dataset')",
        "import keras.src.backend",
        "from keras.src import backend",
        "from tensorflow.python.distribute import values",
        "from keras._api import v2",
        "tf.__internal__.distribute.strategy_supports_no_merge_call()",
        "tf.raw_ops.ResourceApplyAdam(var=w.handle)",
        "model.train_function = model.test_function = None",
        "self.distribute_strategy.experimental_distribute_dataset = mine",
        "vars(adam)['update_step'] = mine",
        "tracker.count.assign_add(3)",
    ],
)
def test_a_private_name_is_found(line):
    assert list(private_names(ast.parse(line)))


def listed(tree):
    """Return what `__all__` of a module names."""
    values = [
        ast.literal_eval(node.value)
        for node in tree.body
        if getattr(node, "targets", None) and "__all__" in ast.unparse(node.targets[0])
    ]
    return {name for value in values for name in value}


@pytest.mark.parametrize("name", [path.stem for path in PACKAGE.glob("[!_]*.py") if path.stem != "version"])
def test_a_public_module_lists_what_is_public(name):
    tree = TREES[f"aezoo.{name}"]
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert {each for each in defined if not each.startswith("_")} <= listed(tree)


def test_every_function_of_the_seam_is_used_and_has_a_test():
    functions = {node.name for node in TREES[SEAM].body if isinstance(node, ast.FunctionDef)}
    public = {name for name in functions if not name.startswith("_")}
    tests = (Path(__file__).parent / "keras_seam_test.py").read_text(encoding="utf-8")
    untested = {name for name in public if f"_keras.{name}" not in tests}
    assert not untested, f"tests/keras_seam_test.py does not call {sorted(untested)}"
    used = {
        node.attr
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_keras"
    }
    unused = public - used
    assert not unused, f"nothing calls {sorted(unused)} of {SEAM}"


# === Imports ===

#: The floors of the house from the bottom up: a module imports from lower floors, and from its own room, which is the
#: part of its name that stands here. A longer name goes before a shorter one.
FLOORS = (
    "_typing version",
    "_docstrings _errors _files _keras _moved _numerics _untrusted",
    "preprocessing",
    "codec datasets losses metrics schedules sketches",
    "layers optimizers",
    "_validation likelihoods",
    "priors",
    "training",
    "saving",
    "sklearn",
    "evaluation",
    "plots",
    "callbacks explorer",
    "models",
    "pretraining",
    "recipes testing",
    "__init__",
    "cli",
    "__main__",
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


def room(name):
    """The room of a module: "aezoo.layers.networks" is in "layers"."""
    parts = name.split(".")[1:] or ["__init__"]
    for length in range(len(parts), 0, -1):
        if (found := ".".join(parts[:length])) in FLOOR:
            return found
    raise AssertionError(f"{name} stands on no floor: give it one in FLOORS")


def imported(node):
    """Yield the line and the module of every import of the package below a node, but not those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            assert getattr(child, "level", 0) == 0, f"line {child.lineno}: a relative import"
            for name in imports_of(child):
                if name.split(".")[0] == "aezoo":
                    yield child.lineno, name if name in TREES else name.rpartition(".")[0]
        yield from imported(child)


@cache
def graph():
    """By module, the modules that it imports, at its top or in a function, and the line."""
    edges = {}
    for name, tree in TREES.items():
        edges[name] = {}
        for line, target in imported(tree):
            assert target in TREES, f"{name}, line {line}: there is no {target}"
            edges[name].setdefault(target, line)
            # Importing a module imports the package that it lies in, too.
            parent = target.rpartition(".")[0]
            if parent != "aezoo" and parent and not f"{name}.".startswith(f"{parent}."):
                edges[name].setdefault(parent, line)
    return edges


def test_no_modules_import_each_other():
    try:
        list(TopologicalSorter({name: list(targets) for name, targets in graph().items()}).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' → '.join(error.args[1])}")


def test_imports_run_downwards():
    upwards = [
        f"{name} on floor {FLOOR[room(name)]}, line {line}, imports {target} of floor {FLOOR[room(target)]}"
        for name, targets in graph().items()
        for target, line in targets.items()
        if room(name) != room(target) and FLOOR[room(target)] >= FLOOR[room(name)]
    ]
    assert not upwards, "\n".join(upwards)


def test_every_room_of_the_table_is_there():
    rooms = {room(name) for name in TREES}
    assert set(FLOOR) - rooms <= {"_typing"}, f"there are no longer {sorted(set(FLOOR) - rooms)}"
