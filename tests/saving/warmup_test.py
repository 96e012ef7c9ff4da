"""Warm-up requests, parsed by the server's own messages and byte by byte."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing
from aezoo.saving import warmup

FILE = "assets.extra/tf_serving_warmup_requests"


def exported(model, x, folder, **kwargs):
    model(x)
    model.export(folder, **kwargs)
    return folder


def records(folder):
    return list(tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator())


def test_the_server_reads_them(x, tmp_path):
    log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    model = aezoo.VAE(latent_dim=3)
    exported(model, x, tmp_path / "vae_mnist" / "7", warmup=x[:5])
    logs = [log.PredictionLog.FromString(record) for record in records(tmp_path / "vae_mnist" / "7")]
    assert {parsed.WhichOneof("log_type") for parsed in logs} == {"predict_log"}
    seen = {}
    for parsed in logs:
        request = parsed.predict_log.request
        assert request.model_spec.name == "vae_mnist"
        assert not request.model_spec.HasField("version")
        ((name, value),) = request.inputs.items()
        seen[request.model_spec.signature_name, value.tensor_shape.dim[0].size] = name, tf.make_ndarray(value)
        assert parsed == log.PredictionLog.FromString(parsed.SerializeToString())  # nothing that it does not know
        assert not parsed.predict_log.HasField("response")
    assert set(seen) == {(name, size) for name in ("serving_default", "encode", "decode", "score") for size in (1, 5)}
    for (signature, size), (name, value) in seen.items():
        assert name == ("z" if signature == "decode" else "x")
        expected = model.encode(x[:size]) if name == "z" else x[:size]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_their_bytes(tmp_path):
    """Against the wire format by hand: PredictionLog.predict_log = 6, PredictLog.request = 1, and so on."""
    warmup.write(tmp_path / "file", [warmup.Request("m" * 200, "encode", {"x": np.float32([0.5])})])
    (record,) = tf.data.TFRecordDataset(str(tmp_path / "file")).as_numpy_iterator()
    tensor = b"\x08\x01" + b"\x12\x04\x12\x02\x08\x01" + b"\x2a\x04" + np.float32(0.5).tobytes()
    spec = b"\x0a\xc8\x01" + b"m" * 200 + b"\x1a\x06encode"
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(tensor)]) + tensor
    request = b"\x0a\xd3\x01" + spec + b"\x12" + bytes([len(entry)]) + entry
    assert len(spec) == 0x53 + 0x80
    size = bytes([len(request) & 0x7F | 0x80, len(request) >> 7])
    inner = b"\x0a" + size + request
    assert record == b"\x32" + bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7]) + inner


def test_what_was_written_is_read(tmp_path):
    values = {
        "x": np.arange(300, dtype="float32").reshape(2, 150),
        "n": np.int32(4),
        "same": np.full((3, 2), 7, "int64"),
    }
    written = [warmup.Request("model", "sample", values), warmup.Request("ä", "encode", {"z": np.zeros((0, 2))})]
    warmup.write(tmp_path / "file", written)
    for a, b in zip(written, warmup.read(tmp_path / "file"), strict=True):
        assert (a.model, a.signature, list(a.inputs)) == (b.model, b.signature, list(b.inputs))
        for key, value in a.inputs.items():
            np.testing.assert_array_equal(value, b.inputs[key])
            assert value.dtype == b.inputs[key].dtype


def test_made_up_samples_take_no_room(tmp_path):
    model = aezoo.Autoencoder(latent_dim=2)
    folder = exported(model, np.zeros((1, 50, 50, 3), "float32"), tmp_path / "model" / "1")
    assert (folder / FILE).stat().st_size < 2000
    testing.servable(folder)


@pytest.mark.slow
def test_images_of_any_size(tmp_path):
    model = aezoo.CompressiveAE(latent_dim=2, filters=(3,), spatial=True)
    folder = exported(model, np.zeros((1, 8, 8, 1), "float32"), tmp_path / "codec" / "1")
    testing.servable(folder)
    shapes = {request.inputs["x"].shape for request in warmup.read(folder / FILE) if "x" in request.inputs}
    assert shapes == {(1, 64, 64, 1), (2, 64, 64, 1)}
    assert {path.name for path in (folder / "assets.extra").iterdir()} == {
        "aezoo.json",
        "codec.json",
        "tf_serving_warmup_requests",
    }
    exported(model, np.zeros((1, 8, 8, 1), "float32"), folder, warmup=np.ones((1, 12, 16, 1)))
    assert {request.inputs["x"].shape for request in warmup.read(folder / FILE) if "x" in request.inputs} == {
        (1, 12, 16, 1)
    }


def test_a_model_that_does_not_take_what_was_made_up(tmp_path):
    """Its network takes thousands of steps."""
    layers = keras.layers
    encoder = keras.Sequential([keras.Input((None, 1)), layers.Reshape((-1, 1000)), layers.Dense(1)])
    decoder = keras.Sequential([keras.Input((None, 1)), layers.Dense(1000), layers.Reshape((-1, 1))])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    x = np.zeros((2, 1000, 1), "float32")
    model.build((None, None, 1))
    with pytest.raises(ValueError, match=r"does not accept dummy samples of shape \(64, 1\): .* warmup=x\[:8\]"):
        model.export(tmp_path / "model" / "1")
    model.export(tmp_path / "model" / "1", warmup=x)
    testing.servable(tmp_path / "model" / "1")


def test_without(x, tmp_path):
    folder = exported(aezoo.Autoencoder(latent_dim=2), x, tmp_path / "1", warmup=False)
    assert not (folder / FILE).exists()


def test_samples_of_another_shape(x, tmp_path):
    with pytest.raises(ValueError, match="was built for"):
        exported(aezoo.Autoencoder(latent_dim=2), x, tmp_path / "1", warmup=x[:, :3])
    assert not (tmp_path / "1").exists()


def test_the_name_of_the_model(x, tmp_path):
    for folder, name in (("first/1", "first"), ("second", "second")):
        exported(aezoo.Autoencoder(latent_dim=2), x, tmp_path / folder)
        assert {request.model for request in warmup.read(tmp_path / folder / FILE)} == {name}
