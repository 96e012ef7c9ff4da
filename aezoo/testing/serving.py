"""Calls of a SavedModel as in a server, without aezoo and Keras."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE

import numpy as np
import tensorflow as tf

from aezoo.saving import warmup

# Dtypes that TensorFlow Serving's predict API supports, also in JSON.
_SERVED = {*"float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 bool string".split()}


def servable(folder: str | os.PathLike[str]) -> None:
    """Check that TensorFlow Serving can serve a SavedModel in a folder `<name>/<version>`, with its warm-up requests.

    Requests run as in the server: in a session of the graph, on the tensors that the signatures name.

    Args:
        folder: The folder of the version.
    """
    folder = Path(folder)
    assert folder.name.isdecimal(), f"{folder.name} is not a version number"
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        assert (folder / name).is_file(), f"{folder} has no {name}"
    requests = list(warmup.read(folder / warmup.IN_SAVED_MODEL))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        signatures = {name: value for name, value in graph.signature_def.items() if not name.startswith("__")}
        assert "serving_default" in signatures, f"{folder} has no signature serving_default"
        python = {op for op in graph.meta_info_def.stripped_op_list.op if "PyFunc" in op.name}
        assert not python, f"{folder} needs Python for {python}"
        for name, signature in signatures.items():
            assert signature.method_name == "tensorflow/serving/predict", f"{name} is not for the predict API"
            for kind, tensors in (("input", signature.inputs), ("output", signature.outputs)):
                assert tensors, f"{name} has no {kind}"
                for key, tensor in tensors.items():
                    dtype, shape = tf.as_dtype(tensor.dtype).name, tf.TensorShape(tensor.tensor_shape)
                    assert dtype in _SERVED, f"{kind} {key} of {name} is {dtype}, which the server does not support"
                    scalar = kind == "input" and shape.rank == 0
                    assert scalar or shape[0] is None, f"{kind} {key} of {name} has shape {shape}: no batch axis"
        for request in requests:
            assert request.model == folder.parent.name, f"a warm-up request is for the model {request.model}"
            signature = signatures[request.signature]
            assert set(request.inputs) == set(signature.inputs), f"a warm-up request has {set(request.inputs)}"
            outputs = {key: tensor.name for key, tensor in signature.outputs.items()}
            inputs = {signature.inputs[key].name: value for key, value in request.inputs.items()}
            for key, value in session.run(outputs, inputs).items():
                finite = value.dtype == object or np.isfinite(value).all()  # strings are objects
                assert finite, f"a warm-up of {request.signature} returns a {key} that is not finite"


_ELSEWHERE = """
import sys, traceback
import numpy as np, tensorflow as tf
tf.config.set_visible_devices([], "GPU")
for name in ["aezoo", *sys.modules]:  # TensorFlow may import Keras, but from here on nothing can
    if name.split(".")[0] in ("keras", "aezoo"):
        sys.modules[name] = None

def call(folder):
    model = tf.saved_model.load(folder + "/1")
    arrays = np.load(folder + "/inputs.npz")
    outputs = {}
    for name, function in model.signatures.items():
        specs = function.structured_input_signature[1]
        for size in (1, 5):
            inputs = {}
            for key, spec in specs.items():
                value = arrays[f"{name}|{key}"]
                inputs[key] = tf.cast(value[:size] if value.ndim else value, spec.dtype)
            for key, value in function(**inputs).items():
                value = value.numpy()
                outputs[f"{name}|{size}|{key}"] = value.astype("S") if value.dtype == object else value
    np.savez(folder + "/outputs.npz", **outputs)

for line in sys.stdin:
    try:
        call(line.rstrip("\\n"))
        print("done", flush=True)
    except Exception:
        print(repr(traceback.format_exc()[-2000:]), flush=True)
"""


@functools.cache
def _elsewhere() -> subprocess.Popen[str]:
    """Start a process without aezoo and Keras that calls the SavedModels in folders it reads; it ends with this one."""
    process = subprocess.Popen([sys.executable, "-c", _ELSEWHERE], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True)
    atexit.register(process.communicate)
    return process


def called_elsewhere(folder: str) -> Mapping[str, np.ndarray]:
    """Return the outputs of the SavedModel in `folder`/1 for `folder`/inputs.npz, from a process without aezoo."""
    process = _elsewhere()
    timer = threading.Timer(300, process.kill)
    timer.start()
    print(folder, file=process.stdin, flush=True)
    answer = process.stdout.readline().strip()  # type: ignore[union-attr]  # it is a pipe
    timer.cancel()
    assert answer == "done", f"calling the SavedModel in another process failed: {answer or 'the process ended'}"
    return np.load(Path(folder) / "outputs.npz")
