"""Writing a model for ONNX Runtime and for LiteRT, with the signatures of a SavedModel."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from aezoo import _files, _keras
from aezoo.version import __version__

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

# What the signature is called that has a name by TensorFlow Serving.
_RECONSTRUCT = {"serving_default": "reconstruct"}
# By what files of ONNX are known as ours, among what an ONNX model says of itself.
_MARK = "aezoo"

Signature = tuple[Callable[..., dict[str, Any]], list[tf.TensorSpec]]


def onnx(
    model: Autoencoder,
    path: str | os.PathLike[str],
    signatures: str | Sequence[str] | None = None,
    verbose: bool | None = None,
    opset_version: int | None = None,
) -> None:
    """Write signatures of a model as ONNX, each in a file of its own.

    Args:
        model: A built model with a method `signatures`.
        path: A file `NAME.onnx` of one signature, by default `reconstruct`; or a folder, of one file for each.
        signatures: Names of signatures; None takes those of samples and codes.
        verbose: Whether the converter says what it does.
        opset_version: The version of ONNX' operations; None takes the converter's default.

    Raises:
        ImportError: If the converter is not installed.
        ValueError: If there is no such signature, or ONNX has no operation for a part of it.
    """
    if not all(map(importlib.util.find_spec, ("onnx", "tf2onnx"))):
        raise ImportError("The export to ONNX needs onnx and tf2onnx: pip install 'aezoo[onnx]'")
    path = Path(path)
    one_file = path.suffix == ".onnx"
    chosen = chosen_signatures(model, "serving_default" if one_file and signatures is None else signatures)
    if one_file and len(chosen) > 1:
        raise ValueError(
            f"{path.name} is one file, of one signature, but {len(chosen)} are asked for: name a folder, "
            f"{path.with_suffix('').name!r}."
        )
    _files.check(path, _foreign)
    written = {name: as_onnx(name, signature, verbose, opset_version) for name, signature in chosen.items()}
    with _files.atomic_write(path, _foreign) as unfinished:
        if one_file:
            (content,) = written.values()
            unfinished.write_bytes(content)
        else:
            unfinished.mkdir()
            for name, content in written.items():
                (unfinished / f"{_RECONSTRUCT.get(name, name)}.onnx").write_bytes(content)


def litert(
    model: Autoencoder,
    path: str | os.PathLike[str],
    signatures: str | Sequence[str] | None = None,
    verbose: bool | None = None,
    **options: Any,
) -> None:
    """Write signatures of a model as one LiteRT file.

    What LiteRT has no operation for is left to TensorFlow's, with a warning: the interpreter then needs the Flex
    delegate.

    Args:
        model: A built model with a method `signatures`.
        path: A file `NAME.tflite`.
        signatures: Names of signatures; None takes those of samples and codes.
        verbose: Whether the converter says what it does.
        **options: Attributes of `tf.lite.TFLiteConverter`, `optimizations` for example.

    Raises:
        ValueError: If there is no such signature, the file has another ending, an option is unknown, or a part of the
            model cannot be converted.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        raise ValueError(f"The name of a LiteRT file ends with .tflite, but this one is {path.name!r}.")
    chosen = chosen_signatures(model, signatures)
    _files.check(path)
    with tempfile.TemporaryDirectory() as folder, _quiet(verbose):
        _keras.export_archive(chosen).write_out(folder, verbose=False)
        content, needed = _as_litert(folder, list(chosen), options)
        if not needed and not options:
            _check_litert(model, content, chosen)
    if needed:
        warnings.warn(
            f"The LiteRT file needs operations of TensorFlow ({needed}), which an interpreter has by the Flex delegate "
            "alone.",
            stacklevel=3,
        )
    with _files.atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def _check_litert(model: Autoencoder, content: bytes, chosen: Mapping[str, Signature]) -> None:
    """Run each signature on made-up inputs: the converter writes some operations, such as Lgamma, as nothing."""
    x = np.asarray(model.dummy_inputs(2))
    made: dict[str, Any] = {"x": x, **{name: np.asarray(values) for name, values in model.dummy_conditions(2).items()}}
    try:
        made["z"] = np.asarray(model.encode(x, **{name: made[name] for name in model.condition_names}))
        expected = {name: function(*(made[s.name] for s in specs)) for name, (function, specs) in chosen.items()}
    except Exception:  # the model does not take made-up samples
        return
    interpreter = tf.lite.Interpreter(model_content=content)
    for name, (_, specs) in chosen.items():
        inputs = {spec.name: made[spec.name].astype(spec.dtype.as_numpy_dtype) for spec in specs}
        try:
            got = interpreter.get_signature_runner(name)(**inputs)
            alike = all(np.allclose(got[key], value, rtol=1e-2, atol=1e-2) for key, value in expected[name].items())
        except Exception:
            alike = False
        if not alike:
            raise ValueError(
                f"The signature {name!r} cannot be written for LiteRT, whose converter makes other numbers of it: "
                "leave it out, signatures=('encode', 'decode') for example."
            )


def chosen_signatures(model: Autoencoder, names: str | Sequence[str] | None) -> dict[str, Signature]:
    """Return signatures by name, each a function that returns its outputs by name, and what it takes.

    Args:
        model: A built model with a method `signatures`.
        names: Which; None takes those of samples and codes.

    Raises:
        ValueError: If there is no such signature.
    """
    there = model.signatures()
    if names is None:
        tensors = {"x", "z", *model.condition_names}
        names = [name for name, (_, specs, _) in there.items() if specs.keys() <= tensors]
    names = [names] if isinstance(names, str) else list(names)
    names = [next((name for name, alias in _RECONSTRUCT.items() if alias == given), given) for given in names]
    for name in names:
        if name not in there:
            known = ", ".join(repr(_RECONSTRUCT.get(each, each)) for each in there)
            raise ValueError(f"The model has no signature {name!r}, but {known}.")
    if not names:
        raise ValueError("Name at least one signature.")
    return {name: (_named(*there[name][::2]), list(there[name][1].values())) for name in names}


def _named(function: Callable[..., Any], output: str) -> Callable[..., dict[str, Any]]:
    def named(*inputs: Any) -> dict[str, Any]:
        return {output: function(*inputs)}

    return named


@contextlib.contextmanager
def _quiet(verbose: bool | None) -> Iterator[None]:
    """Keep converters from saying what they do, and from warning of what is theirs to change."""
    if verbose:
        yield
        return
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


# === ONNX ===


def as_onnx(name: str, signature: Signature, verbose: bool | None = None, opset: int | None = None) -> bytes:
    """Return one signature as an ONNX model.

    Args:
        name: Its name, for errors.
        signature: A function that returns its outputs by name, and what it takes.
        verbose: Whether the converter says what it does.
        opset: The version of ONNX' operations; None takes the converter's default.

    Raises:
        ValueError: If ONNX has no operation for a part of it.
    """
    import onnx
    import tf2onnx

    function, specs = signature
    with _quiet(verbose):
        graph = tf.function(function, specs, autograph=False)
        made, _ = tf2onnx.convert.from_function(
            graph, input_signature=specs, opset=opset, custom_op_handlers={"Log1p": (_log1p, [])}
        )
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    if unknown := sorted({op for op in _operations(made.graph) if op not in known}):
        raise ValueError(
            f"The signature {name!r} cannot be written as ONNX, which has no operation {', '.join(unknown)}: leave it "
            "out, signatures=('encode', 'decode') for example."
        )
    onnx.helper.set_model_props(made, {_MARK: __version__})
    return made.SerializeToString()


def _operations(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.HasField("g"):  # the body of a loop or a branch
                yield from _operations(attribute.g)


def _log1p(graph: Any, node: Any, name: str, args: Any) -> None:
    """Write log1p(x), which ONNX does not have, as log(1 + x); by cross-entropies x is never close to -1."""
    one = graph.make_const(f"{name}_one", np.ones((), "float32")).output[0]
    node.type = "Log"
    graph.insert_new_node_on_input(node, "Add", [node.input[0], one])


def _foreign(folder: Path) -> list[str]:
    """Return the files in a folder that `onnx` did not write."""
    import onnx

    def ours(name: str) -> bool:
        if not name.endswith(".onnx"):
            return False
        try:
            made = onnx.load(folder / name, load_external_data=False)
        except Exception:  # it is no ONNX at all
            return False
        return any(prop.key == _MARK for prop in made.metadata_props)

    return [name for name in _files.files(folder) if not ours(name)]


# === LiteRT ===


def _as_litert(folder: str, names: list[str], options: dict[str, Any]) -> tuple[bytes, str]:
    """Convert a SavedModel; return the file, and which operations of TensorFlow it needs, "" if none."""

    def convert(names: list[str], *sets: Any) -> bytes:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
        converter.target_spec.supported_ops = list(sets)
        _set(converter, options)
        return converter.convert()

    own, of_tensorflow = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS
    try:
        return convert(names, own), ""
    except (AttributeError, TypeError, ValueError):
        raise
    except Exception as error:  # the converter's own class has no public name
        missing = _missing(error)
    try:
        return convert(names, own, of_tensorflow), missing
    except Exception as error:
        missing = _missing(error)
    for name in names:
        try:
            convert([name], own, of_tensorflow)
        except Exception as error:
            missing = _missing(error)
            break
    raise ValueError(
        f"The signature {name!r} cannot be written for LiteRT ({missing}): leave it out, signatures=('encode', "
        "'decode') for example."
    )


def _set(converter: Any, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if not hasattr(converter, name):
            raise ValueError(f"The converter to LiteRT has no option {name!r}.")
        if isinstance(value, dict):  # such as target_spec
            _set(getattr(converter, name), value)
        else:
            setattr(converter, name, value)


def _missing(error: Exception) -> str:
    """The operations that an error of the converter names, or else its first line."""
    found = sorted(set(re.findall(r"'?tf\.(\w+)'? op", str(error))))
    return ", ".join(found) or (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
