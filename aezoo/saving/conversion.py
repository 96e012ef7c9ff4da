"""Export of models to ONNX Runtime and LiteRT, with the signatures of a SavedModel."""

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
from aezoo._errors import first_line
from aezoo._typing import Data
from aezoo.saving import raw, warmup
from aezoo.version import __version__

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.preprocessing.base import Preprocessing

# TensorFlow Serving fixes the name of the default signature; users write "reconstruct".
_RECONSTRUCT = {"serving_default": "reconstruct"}
# The metadata key that marks an ONNX file as written by aezoo.
_MARK = "aezoo"
# Samples that run at once when the ranges of activations are recorded.
_CALIBRATED = 32
# The mean error of a quantized signature, in standard deviations of its results, above which `export` warns.
_INEXACT = 0.2

Signature = tuple[Callable[..., dict[str, Any]], list[tf.TensorSpec]]


def onnx(
    model: Autoencoder,
    path: str | os.PathLike[str],
    signatures: str | Sequence[str] | None = None,
    verbose: bool | None = None,
    opset_version: int | None = None,
    preprocessing: bool = True,
) -> None:
    """Write signatures of a model as ONNX, one file per signature.

    All inputs and outputs of an ONNX file have distinct names: the reconstruction of a raw column "age" is the output
    "age_reconstruction".

    Args:
        model: A built model with a method `signatures`.
        path: A file `NAME.onnx` for one signature, `reconstruct` by default; or a folder for one file per signature.
        signatures: Names of signatures; None selects the signatures whose inputs are samples, codes and conditions.
        verbose: Whether to show the converter's log and warnings.
        opset_version: Version of the ONNX operator set; None selects the converter's default.
        preprocessing: Whether the signatures of a model with preprocessing take and return raw values.

    Raises:
        ImportError: If the converter is not installed.
        ValueError: If there is no such signature, or ONNX lacks an operation that it needs.
    """
    if not all(map(importlib.util.find_spec, ("onnx", "tf2onnx"))):
        raise ImportError("The export to ONNX needs onnx and tf2onnx: pip install 'aezoo[onnx]'")
    path = Path(path)
    one_file = path.suffix == ".onnx"
    own = _numeric(model, "ONNX") if preprocessing else None
    chosen = chosen_signatures(model, "serving_default" if one_file and signatures is None else signatures, own)
    if one_file and len(chosen) > 1:
        raise ValueError(
            f"{path.name} is one file, which holds one signature, but {len(chosen)} were requested: name a folder, "
            f"such as {path.with_suffix('').name!r}."
        )
    _files.check(path, _foreign)
    chosen = {name: _with_distinct_names(*signature) for name, signature in chosen.items()}
    written = {name: as_onnx(name, signature, verbose, opset_version) for name, signature in chosen.items()}
    with _files.atomic_write(path, _foreign) as unfinished:
        if one_file:
            (content,) = written.values()
            unfinished.write_bytes(content)
        else:
            unfinished.mkdir()
            for name, content in written.items():
                (unfinished / f"{_RECONSTRUCT.get(name, name)}.onnx").write_bytes(content)


def _with_distinct_names(function: Callable[..., dict[str, Any]], specs: list[tf.TensorSpec]) -> Signature:
    """Return a signature whose outputs have no name of an input."""
    inputs = {spec.name for spec in specs}

    def distinct(*values: Any) -> dict[str, Any]:
        outputs = function(*values)
        return {f"{name}_reconstruction" if name in inputs else name: value for name, value in outputs.items()}

    return distinct, specs


def litert(
    model: Autoencoder,
    path: str | os.PathLike[str],
    signatures: str | Sequence[str] | None = None,
    verbose: bool | None = None,
    preprocessing: bool = True,
    quantize: Data | None = None,
    **options: Any,
) -> None:
    """Write signatures of a model as one LiteRT file.

    Where LiteRT lacks an operation, the file uses TensorFlow's and a warning names it: the interpreter then needs the
    Flex delegate. Unless it does, or `quantize` or `options` are given, the results of the file are compared with the
    model on dummy samples; a warning says if the model does not accept these. With `quantize` a warning names each
    signature whose mean error on these samples is above a fifth of its standard deviation.

    Args:
        model: A built model with a method `signatures`.
        path: A file `NAME.tflite`.
        signatures: Names of signatures; None selects the signatures whose inputs are samples, codes and conditions.
        verbose: Whether to show the converter's log and warnings.
        preprocessing: Whether the signatures of a model with preprocessing take and return raw values.
        quantize: Typical samples, (n, *input_shape), or a dict of "x" and of the conditions; their ranges become the
            scales of weights and activations in 8-bit integers. Inputs and outputs stay in single precision.
        **options: Attributes of `tf.lite.TFLiteConverter`, such as `optimizations`.

    Raises:
        ValueError: If there is no such signature, the file name does not end with `.tflite`, an option is unknown, the
            samples do not fit the model, a part of the model cannot be converted, or the file returns other results
            than the model.
    """
    path = Path(path)
    if path.suffix != ".tflite":
        raise ValueError(f"The name of a LiteRT file must end with .tflite, but it is {path.name!r}.")
    own = _numeric(model, "LiteRT") if preprocessing else None
    chosen = chosen_signatures(model, signatures, own)
    _files.check(path)
    samples = None
    if quantize is not None:
        made = warmup.requests(model, "", quantize, preprocessing=own, argument="quantize")
        samples = {name: inputs for _, name, inputs in made}  # the last request of each signature has all samples
    with tempfile.TemporaryDirectory() as folder, _quiet(verbose):
        _keras.export_archive(chosen).write_out(folder, verbose=False)
        content, needed = _as_litert(folder, list(chosen), options, samples)
        errors = {} if quantize is None else litert_error(model, content, quantize, preprocessing, "quantize")
        compared = bool(needed or options or samples) or _check_litert(model, content, chosen, own)
    for name, error in _inexact(errors).items():
        warnings.warn(
            f"In 8-bit integers the results of {name!r} differ by {error['mean']:.3g} on average, and their standard "
            f"deviation is only {error['std']:.3g}: leave it out by naming the other signatures.",
            stacklevel=3,
        )
    if not compared:
        warnings.warn(
            "The results of the LiteRT file were not compared with the model, which does not accept dummy samples: "
            "compare them on samples of your own.",
            stacklevel=3,
        )
    if needed:
        warnings.warn(
            f"The LiteRT file needs operations of TensorFlow ({needed}), which an interpreter has only with the Flex "
            "delegate.",
            stacklevel=3,
        )
    with _files.atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def _inexact(errors: Mapping[str, Mapping[str, float]]) -> dict[str, Mapping[str, float]]:
    """Return the signatures, and their errors, that quantization makes useless."""
    return {name: error for name, error in errors.items() if error["mean"] > _INEXACT * error["std"] > 0}


def _numeric(model: Autoencoder, format: str) -> Preprocessing | None:
    """Return the preprocessing of a model, after a check that a format has its dtypes."""
    own = model.preprocessing
    if strings := [name for name, spec in (own.raw_specs.items() if own else ()) if spec.dtype == tf.string]:
        raise ValueError(
            f"The preprocessing of {model.name!r} takes strings ({', '.join(strings[:5])}), which {format} cannot "
            "convert: export the network alone with preprocessing=False."
        )
    return own


def _check_litert(
    model: Autoencoder, content: bytes, chosen: Mapping[str, Signature], own: Preprocessing | None
) -> bool:
    """Run each signature on dummy samples and compare, since the converter silently drops operations such as Lgamma.

    Returns:
        Whether the model accepts dummy samples; if not, nothing is compared.

    Raises:
        ValueError: If the interpreter cannot run a signature, or returns other results than the model.
    """
    try:
        requests = warmup.requests(model, "", preprocessing=own)
    except ValueError:
        return False
    interpreter = tf.lite.Interpreter(model_content=content)
    for _, name, inputs in requests:
        if name not in chosen:
            continue
        function, specs = chosen[name]
        values = {spec.name: np.asarray(inputs[spec.name], spec.dtype.as_numpy_dtype) for spec in specs}
        expected = function(*values.values())
        try:
            got = interpreter.get_signature_runner(name)(**values)
        except (RuntimeError, ValueError) as error:
            problem = f"whose interpreter cannot run it ({first_line(error)})"
            raise ValueError(_refusal(name, problem)) from error
        if not all(
            got[key].shape == value.shape and np.allclose(got[key], value, rtol=1e-2, atol=1e-2)
            for key, value in expected.items()
        ):
            raise ValueError(_refusal(name, "whose converter changes its results"))
    return True


def _refusal(name: str, problem: str) -> str:
    return (
        f"The signature {name!r} cannot be written for LiteRT, {problem}: leave it out, for example with "
        "signatures=('encode', 'decode')."
    )


def chosen_signatures(
    model: Autoencoder, names: str | Sequence[str] | None, preprocessing: Preprocessing | None = None
) -> dict[str, Signature]:
    """Return signatures by name: each a function that returns a dict of outputs, and the specs of its inputs.

    Args:
        model: A built model with a method `signatures`.
        names: Names of signatures; None selects the signatures whose inputs are samples, codes and conditions.
        preprocessing: Preprocessing, for signatures that take and return raw values.

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
            raise ValueError(f"The model has no signature {name!r}: choose from {known}.")
    if not names:
        raise ValueError("Name at least one signature.")
    chosen = {}
    for name in names:
        function, specs, output = there[name]
        named = _named(function, output)
        named, specs = raw.signature(model, preprocessing, named, specs)
        chosen[name] = (named, list(specs.values()))
    return chosen


def _named(function: Callable[..., Any], output: str) -> Callable[..., dict[str, Any]]:
    def named(*inputs: Any) -> dict[str, Any]:
        return {output: function(*inputs)}

    return named


@contextlib.contextmanager
def _quiet(verbose: bool | None) -> Iterator[None]:
    """Silence the log of the converters, and warnings about their own code."""
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
        name: Name of the signature, for messages.
        signature: A function that returns its outputs by name, and the specs of its inputs.
        verbose: Whether to show the converter's log and warnings.
        opset: Version of the ONNX operator set; None selects the converter's default.

    Raises:
        ValueError: If ONNX lacks an operation that the signature needs.
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
            "out, for example with signatures=('encode', 'decode')."
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
    """Write log1p(x), which ONNX lacks, as log(1 + x); cross-entropies never bring x close to -1."""
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
        except Exception:  # not an ONNX file
            return False
        return any(prop.key == _MARK for prop in made.metadata_props)

    return [name for name in _files.files(folder) if not ours(name)]


# === LiteRT ===


def litert_error(
    model: Autoencoder, file: str | bytes, x: Data, preprocessing: bool = True, argument: str = "x"
) -> dict[str, dict[str, float]]:
    """Compare a LiteRT file with the model; see `aezoo.evaluation.litert_error`.

    Args:
        model: A built model.
        file: Path or content of the file.
        x: Samples, (n, *input_shape), or a dict of "x" and of the conditions.
        preprocessing: Whether the model's preprocessing is part of the file.
        argument: Name of the argument that contains the samples, for messages.
    """
    with _quiet(None):  # the class is deprecated, and its successor an optional package
        interpreter = tf.lite.Interpreter(**{"model_content" if isinstance(file, bytes) else "model_path": file})
    signatures = interpreter.get_signature_list()
    own = model.preprocessing if preprocessing else None
    functions = chosen_signatures(model, list(signatures), own)
    requests = warmup.requests(model, "", x, preprocessing=own, argument=argument)
    found = {}
    for name, inputs in {name: inputs for _, name, inputs in requests if name in functions}.items():
        function, specs = functions[name]
        expected = function(*(inputs[spec.name] for spec in specs))
        for output, got in _run(interpreter.get_signature_runner(name), inputs).items():
            wanted = np.asarray(expected[output])
            difference = np.abs(got - wanted)
            label = _RECONSTRUCT.get(name, name)
            found[label if len(expected) == 1 else f"{label}/{output}"] = {
                "mean": float(difference.mean()),
                "max": float(difference.max()),
                "std": float(wanted.std()),
            }
    return found


def _run(runner: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a signature, also if its inputs and outputs are integers (`inference_input_type`)."""
    given = {}
    for name, detail in runner.get_input_details().items():
        scale, zero = detail["quantization"]
        value = inputs[name]
        if scale and np.issubdtype(detail["dtype"], np.integer):
            limits = np.iinfo(detail["dtype"])
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        given[name] = np.asarray(value, detail["dtype"])
    results = {}
    for name, value in runner(**given).items():
        scale, zero = runner.get_output_details()[name]["quantization"]
        results[name] = (value.astype("float32") - zero) * scale if scale and value.dtype.kind in "iu" else value
    return results


def _as_litert(
    folder: str, names: list[str], options: dict[str, Any], samples: Mapping[str, Mapping[str, np.ndarray]] | None
) -> tuple[bytes, str]:
    """Convert a SavedModel; return the file and the names of the TensorFlow operations it needs, "" if none.

    Args:
        folder: The SavedModel.
        names: Names of signatures.
        options: Attributes of the converter.
        samples: Inputs of each signature, to compute in 8-bit integers; None computes in single precision.
    """

    def convert(names: list[str], *sets: Any) -> bytes:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
        converter.target_spec.supported_ops = list(sets)
        if samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: _batches(names, samples)
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
        f"The signature {name!r} cannot be written for LiteRT ({missing}): leave it out, for example with "
        "signatures=('encode', 'decode')."
    )


def _batches(
    names: list[str], samples: Mapping[str, Mapping[str, np.ndarray]]
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield batches of inputs for each signature, as the converter reads them.

    All have one size, and the last overlaps the one before: the converter cannot resize several inputs at once.
    """
    for name in names:
        n = min(map(len, samples[name].values()))
        for start in range(0, n, _CALIBRATED):
            rows = slice(max(0, min(start, n - _CALIBRATED)), start + _CALIBRATED)
            yield name, {key: value[rows] for key, value in samples[name].items()}


def _set(converter: Any, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if not hasattr(converter, name):
            raise ValueError(
                f"The LiteRT converter has no option {name!r}: give attributes of tf.lite.TFLiteConverter."
            )
        if isinstance(value, dict):  # such as target_spec
            _set(getattr(converter, name), value)
        else:
            setattr(converter, name, value)


def _missing(error: Exception) -> str:
    """Return the operations that an error of the converter names, or else its first line."""
    found = sorted(set(re.findall(r"'?tf\.(\w+)'? op", str(error))))
    return ", ".join(found) or first_line(error)
