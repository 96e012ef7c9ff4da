"""Warm-up requests, which TensorFlow Serving runs when it loads a model, so that no user waits for one-time work.

A record is the server's message `PredictionLog`, written here in the wire format of protocol buffers. The package
tensorflow-serving-api, which contains the message, is not used because each of its releases needs one version of
TensorFlow and appears after it. The field numbers come from its `tensorflow_serving/apis/*.proto` and never change:

    PredictionLog.predict_log = 6       PredictLog.request = 1
    PredictRequest.model_spec = 1       ModelSpec.name = 1
    PredictRequest.inputs = 2, a map    ModelSpec.signature_name = 3

An entry of a map has its key as field 1 and its value as field 2. The tests read the records with the server's own
messages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from aezoo._typing import Data
from aezoo.saving import raw

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.preprocessing.base import Preprocessing

#: Path of the requests within a SavedModel.
IN_SAVED_MODEL = Path("assets.extra") / "tf_serving_warmup_requests"


class Request(NamedTuple):
    """A call of the server's predict API.

    Attributes:
        model: The name of the model.
        signature: The name of the signature.
        inputs: The inputs of the signature by name.
    """

    model: str
    signature: str
    inputs: Mapping[str, np.ndarray]


def requests(
    model: Autoencoder,
    name: str,
    samples: Data | None = None,
    preprocessing: Preprocessing | None = None,
    signatures: Mapping[str, Any] | None = None,
    argument: str = "warmup",
) -> list[Request]:
    """Make requests for each signature whose inputs are samples or codes: one of a single row and one of all rows.

    Other signatures, such as `sample`, have scalar inputs. A server with `--enable_batching` refuses requests with
    scalar inputs, and does not load a model if it refuses one of its requests.

    Args:
        model: A built model.
        name: Name of the model on the server.
        samples: Samples, (n, *input_shape), or a dict of "x" and of the conditions; None makes them with
            `model.dummy_inputs` and `model.dummy_conditions`.
        preprocessing: Preprocessing that is part of the export: samples are then raw, or from its `dummy`.
        signatures: Signatures to make requests for; None takes `model.signatures()`.
        argument: Name of the argument of `export` that contains the samples, for messages.

    Raises:
        ValueError: If no samples are given and the model does not accept dummy samples, or the dict has other keys.
    """
    signatures = model.signatures() if signatures is None else signatures
    encode, specs, _ = signatures["encode"]
    inputs: dict[str, np.ndarray] = {}
    if samples is not None:
        given: dict[str, Any] = {"x": samples}
        if isinstance(samples, Mapping) and not (preprocessing and preprocessing.is_raw(samples)):
            given = dict(samples)
        if given.keys() != specs.keys():
            raise ValueError(
                f"{argument} needs {', '.join(specs)}, but has {', '.join(map(str, given))}: give a dict of these "
                "names, or leave it out."
            )
        if preprocessing is not None:
            inputs = preprocessing.to_arrays(given["x"])
            given["x"] = preprocessing.call(tensors(inputs))
        known = {key: np.asarray(given[key], spec.dtype.as_numpy_dtype) for key, spec in specs.items()}
        z = np.asarray(encode(*known.values()))
    else:
        if preprocessing is None:
            x = np.asarray(model.dummy_inputs(2))
        else:
            inputs = preprocessing.dummy(2)
            x = np.asarray(preprocessing.call(tensors(inputs)))
        known = {"x": x, **{key: np.asarray(values) for key, values in model.dummy_conditions(2).items()}}
        try:
            z = np.asarray(encode(*known.values()))
        except Exception as error:
            raise ValueError(
                f"The model does not accept dummy samples of shape {x.shape[1:]}: give export some of your own, for "
                "example warmup=x[:8], or warmup=False."
            ) from error
    known["z"] = z
    made = []
    for size in sorted({1, len(z)}):
        for signature, (_, specs, _) in signatures.items():
            values = {**known, **inputs} if "x" in specs else known  # a raw column may have the name "z"
            if (taken := raw.specs(preprocessing, specs).keys()) <= values.keys():
                made.append(Request(name, signature, {key: values[key][:size] for key in taken}))
    return made


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    """Return arrays by name as tensors."""
    return {name: tf.convert_to_tensor(values) for name, values in arrays.items()}


def write(path: str | os.PathLike[str], requests: Iterable[Request]) -> None:
    """Write requests to a file in the TFRecord format."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature, inputs in requests:
            spec = _message((1, name.encode()), (3, signature.encode()))
            entries = [(2, _message((1, key.encode()), (2, _tensor(value)))) for key, value in inputs.items()]
            log = _message((1, _message((1, spec), *entries)))
            writer.write(_message((6, log)))


def read(path: str | os.PathLike[str]) -> Iterator[Request]:
    """Read the requests in a file that `write` wrote."""
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        ((_, log),) = _fields(record)
        ((_, request),) = _fields(log)
        (_, spec), *entries = _fields(request)
        (_, name), (_, signature) = _fields(spec)
        inputs = {}
        for _, entry in entries:
            (_, key), (_, value) = _fields(entry)
            inputs[key.decode()] = tf.make_ndarray(TensorProto.FromString(value))
        yield Request(name.decode(), signature.decode(), inputs)


def _tensor(value: np.ndarray) -> bytes:
    """Return a serialized TensorProto, which stores equal values once."""
    first = value.reshape(-1)[:1]
    same = len(first) and (value == first).all()
    return tf.make_tensor_proto(first[0] if same else value, shape=value.shape).SerializeToString()


def _message(*fields: tuple[int, bytes]) -> bytes:
    """Return a protocol buffer of strings and messages."""
    return b"".join(_varint(number << 3 | 2) + _varint(len(content)) + content for number, content in fields)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a message that `_message` returned."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        size, at = _read_varint(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at] & 0x7F
    if data[at] < 0x80:
        return value, at + 1
    high, at = _read_varint(data, at + 1)
    return value | high << 7, at
