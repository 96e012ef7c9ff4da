"""The SavedModel and ONNX (the harness loads it where there is neither aezoo nor keras)."""

import functools
import json
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

import aezoo
from aezoo.saving import export

SIGNATURES = {
    "serving_default": ("x", "reconstruction"),
    "encode": ("x", "code"),
    "decode": ("z", "reconstruction"),
    "score": ("x", "score"),
}


@pytest.fixture(scope="module")
def model(x):
    model = aezoo.KSparseAE(latent_dim=8, k=2)
    model.compile("adam", run_eagerly=True)
    model.fit(x, verbose=0)
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model" / "1"
    model.export(folder)
    return folder


def test_signatures_have_names_and_take_any_batch(model, folder, x):
    loaded = tf.saved_model.load(folder)
    assert set(loaded.signatures) == set(SIGNATURES)
    z = np.asarray(model.encode(x))
    expected = {
        "serving_default": model.reconstruct(x),
        "encode": z,
        "decode": model.decode(z),
        "score": ((x - model.reconstruct(x).numpy()) ** 2).sum(axis=(1, 2, 3)),
    }
    for name, (given, gives) in SIGNATURES.items():
        function = loaded.signatures[name]
        (spec,) = function.structured_input_signature[1].values()
        assert spec.shape.as_list() == ([None, 8] if given == "z" else [None, 6, 6, 1])
        assert list(function.structured_outputs) == [gives]
        assert function.structured_outputs[gives].shape[0] is None
        for size in (1, 21):
            data = {"x": x, "z": z}[given][:size]
            got = function(**{given: tf.constant(data)})[gives]
            np.testing.assert_allclose(got, expected[name][:size], rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_file_lists_the_signatures(folder):
    """What `saved_model_cli show` prints and a server reads."""
    (graph,) = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs
    assert set(SIGNATURES) <= set(graph.signature_def)
    for name, (given, gives) in SIGNATURES.items():
        definition = graph.signature_def[name]
        assert (list(definition.inputs), list(definition.outputs)) == ([given], [gives])
        shape = [dim.size for dim in definition.inputs[given].tensor_shape.dim]
        assert shape == ([-1, 8] if given == "z" else [-1, 6, 6, 1])


def test_a_loaded_model_exports(model, x, tmp_path):
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras").export(tmp_path / "1")
    got = tf.saved_model.load(tmp_path / "1").signatures["encode"](x=tf.constant(x))["code"]
    np.testing.assert_allclose(got, model.encode(x), rtol=1e-5, atol=1e-6)


def small(x, latent_dim):
    model = aezoo.Autoencoder(latent_dim=latent_dim)
    model(x)
    return model


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_exporting_again_replaces_all_of_the_old(x, tmp_path):
    small(x, 2).export(tmp_path / "1")
    left_over = tmp_path / "1" / "variables" / "left_over"
    left_over.write_text("of the old")
    marker = tmp_path / "1" / export.MARKER
    content = json.loads(marker.read_text())
    marker.write_text(json.dumps({**content, "files": [*content["files"], "variables/left_over"]}))
    small(x, 3).export(tmp_path / "1")
    assert not left_over.exists()
    assert tf.saved_model.load(tmp_path / "1").signatures["encode"](x=tf.constant(x))["code"].shape == (21, 3)
    assert files(tmp_path) == ["1"]


def test_a_folder_with_other_things_is_left_alone(x, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"lost \(notes\.txt\)"):
        small(x, 2).export(tmp_path)
    assert files(tmp_path) == ["notes.txt"]


@pytest.mark.slow_cases("assets/app.js", "saved_model.pb")
@pytest.mark.parametrize("name", ["assets/app.js", "variables/mine.csv", "assets.extra/mine.json", "saved_model.pb"])
def test_only_what_this_library_exported_is_replaced(name, x, tmp_path, monkeypatch):
    """A folder of the user's whose names a SavedModel has too, and a file of the user's in one of ours."""
    mine, model = tmp_path / "web" / name, small(x, 2)
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(model, "signatures", lambda: pytest.fail("it got as far as tracing"))
        with pytest.raises(FileExistsError, match=f"lost \\({re.escape(name)}\\)"):
            model.export(tmp_path / "web")
    mine.unlink()
    mine.parent.rmdir() if mine.parent != tmp_path / "web" else None
    model.export(tmp_path / "web", warmup=False)
    if name != "saved_model.pb":
        mine.write_text("mine")
        with pytest.raises(FileExistsError, match=f"lost \\({re.escape(name)}\\)"):
            model.export(tmp_path / "web")
        assert mine.read_text() == "mine"


def test_the_marker_names_all_files(folder):
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    content = json.loads((folder / "assets.extra" / "aezoo.json").read_text())
    assert content == {"aezoo": aezoo.__version__, "files": found}


def test_onnx_without_its_packages(x, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'aezoo\[onnx\]'"):
        small(x, 2).export(tmp_path / "model.onnx", format="onnx")


def test_an_export_that_fails_leaves_the_old_one(x, tmp_path, monkeypatch):
    small(x, 2).export(tmp_path / "1")

    def breaks(self, path, **kwargs):
        pathlib.Path(path).mkdir()
        (pathlib.Path(path) / "half").write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", breaks)
    for name in ("1", "2"):
        with pytest.raises(OSError, match="no space left"):
            small(x, 3).export(tmp_path / name)
    assert files(tmp_path) == ["1"]
    assert tf.saved_model.load(tmp_path / "1").signatures["encode"](x=tf.constant(x))["code"].shape == (21, 2)


def test_export_in_half_precision_gives_single_precision(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=3, dtype="mixed_float16")
    model(x)
    model.export(tmp_path / "1")
    got = tf.saved_model.load(tmp_path / "1").signatures["serving_default"](x=tf.constant(x))["reconstruction"]
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, model.reconstruct(x), atol=2e-3)


def written(folder):
    """The arrays of a SavedModel by name."""
    checkpoint = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    names = [name for name in checkpoint.get_variable_to_shape_map() if not name.startswith(("_CHECKPOINT", "save_"))]
    return {name: checkpoint.get_tensor(name) for name in names}


@pytest.mark.slow_cases("tied")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: aezoo.Autoencoder(latent_dim=8, hidden_dims=(30,), seed=0), marks=pytest.mark.slow),
        pytest.param(lambda: aezoo.Autoencoder(latent_dim=8, filters=(4,), seed=0), marks=pytest.mark.slow),
        lambda: aezoo.DenoisingAE(latent_dim=30, tied=True, seed=0),
        pytest.param(lambda: aezoo.KSparseAE(latent_dim=30, k=4, seed=0), marks=pytest.mark.slow),
        pytest.param(lambda: aezoo.RBM(30, seed=0), marks=pytest.mark.slow),
    ],
    ids=["mlp", "conv", "tied", "k-sparse", "rbm"],
)
def test_half_precision_and_every_kernel_once(make, x, tmp_path):
    model = make()
    model.build((None, *x.shape[1:]))
    kernels = [v for v in model.trainable_variables if len(v.shape) >= 2]
    sizes = sorted(int(np.prod(v.shape)) for v in kernels)
    outputs = []
    for name, half, dtype in (("1", False, "float32"), ("2", True, "float16")):
        model.export(tmp_path / name, half=half)
        arrays = [array for array in written(tmp_path / name).values() if array.ndim >= 2]
        assert sorted(array.size for array in arrays) == sizes
        assert {array.dtype.name for array in arrays} == {dtype}
        loaded = tf.saved_model.load(tmp_path / name)
        outputs.append(loaded.signatures["serving_default"](x=tf.constant(x))["reconstruction"])
    assert outputs[1].dtype == tf.float32
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-3)
    for kernel in kernels:  # what is stored is used, and nothing else is rounded
        kernel.assign(kernel.numpy().astype("float16"))
    np.testing.assert_allclose(outputs[1], model.reconstruct(x), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_saving_and_exporting_does_not_disturb_training(x, tmp_path):
    models = [aezoo.DenoisingAE(latent_dim=3, seed=0) for _ in range(2)]
    for i, model in enumerate(models):
        model.compile("adam", run_eagerly=True)
        model.fit(x, epochs=1, shuffle=False, verbose=0)
        if i:
            model.export(tmp_path / "1")
            model.save(tmp_path / "model.keras")
        model.fit(x, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(*(model.variables for model in models), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# === ONNX and LiteRT ===


class Lgamma(aezoo.Autoencoder):
    """A model whose score neither ONNX nor LiteRT has an operation for."""

    def scores(self, x, **unused):
        return tf.reduce_sum(tf.math.lgamma(x + 1.0), axis=(1, 2, 3))


CONVERTED = {
    "tied": lambda: aezoo.Autoencoder(latent_dim=3, hidden_dims=(8,), tied=True),
    "conv": lambda: aezoo.Autoencoder(latent_dim=3, filters=(4,)),
    "denoising": lambda: aezoo.DenoisingAE(latent_dim=3),
    "k-sparse": lambda: aezoo.KSparseAE(latent_dim=8, k=2),
    "vae": lambda: aezoo.VAE(latent_dim=3),
    "rbm": lambda: aezoo.RBM(5),
    "compressive": lambda: aezoo.CompressiveAE(latent_dim=2),
    "in space": lambda: aezoo.CompressiveAE(latent_dim=2, spatial=True, filters=()),
    "missing": lambda: aezoo.Autoencoder(latent_dim=3, missing="mask"),
    "conditional": lambda: aezoo.ConditionalVAE(latent_dim=3, num_classes=3),
    "resized": lambda: aezoo.VAE(latent_dim=3, filters=(4, 4, 4), upsampling="resize"),
    "discrete": lambda: aezoo.VQVAE(4, codebook_size=5, filters=(4,)),
}


# Their networks and operations are in another one of `CONVERTED` or in `missing_test.py`, or are plain convolutions;
# `conditional_test.py` has an export with conditions.
OTHERS = {
    "conditional",
    "discrete",
    "resized",
    "tied",
    "denoising",
    "compressive",
    "in space",
    "missing",
    "conv",
    "rbm",
    "vae",
}
converted = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in OTHERS else ()) for name in CONVERTED]
)


@pytest.fixture(scope="module")
def loaded(x, tmp_path_factory):
    """A function from a name in `CONVERTED` to what `trained_and_loaded` gives, which both formats share."""
    return functools.cache(lambda name: trained_and_loaded(CONVERTED[name], x, tmp_path_factory.mktemp("loaded")))


def trained_and_loaded(make, x, folder):
    """A trained model that has been loaded, and never called; and what its signatures take, by name."""
    model, labels = make(), (np.arange(len(x)) % 3).astype("int32")
    conditions = dict.fromkeys(model.condition_names, labels)
    model.compile("adam", run_eagerly=True)
    model.fit({"x": x, **conditions} if conditions else x, verbose=0)
    model.save(folder / "model.keras")
    model = keras.saving.load_model(folder / "model.keras")
    if model.missing != "error":
        x = np.where(np.random.default_rng(0).random(x.shape) < 0.1, np.nan, x).astype("float32")
    z = np.asarray(model.encode(x, **conditions))
    return model, {"x": x, "z": z.astype("int32") if isinstance(model, aezoo.CompressiveAE) else z, **conditions}


def compare(model, values, size, run):
    """Compares what `run` gives for each signature of samples or codes, by the names of its outputs."""
    for name, (function, specs, output) in model.signatures().items():
        if name not in ("sample", "decode_indices"):
            inputs = {key: values[key][:size] for key in specs}
            got = run(name, inputs)
            assert list(got) == [output]
            np.testing.assert_allclose(got[output], function(*inputs.values()), rtol=1e-4, atol=1e-5, err_msg=name)


#: Signatures that some models have besides those that all have.
MORE = {"missing": {"impute"}, "discrete": {"indices"}}


@converted
def test_onnx_gives_the_same_numbers_from_every_signature(name, loaded, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, values = loaded(name)
    model.export(tmp_path / "model.onnx", format="onnx")
    model.export(tmp_path / "models", format="onnx")
    names = ["decode", "encode", *MORE.get(name, ()), "score"]
    assert files(tmp_path / "models") == sorted(f"{name}.onnx" for name in (*names, "reconstruct"))
    paths = {"serving_default": tmp_path / "model.onnx"}
    paths |= {name: tmp_path / "models" / f"{name}.onnx" for name in names}
    sessions = {name: runtime.InferenceSession(path) for name, path in paths.items()}

    def run(name, inputs):
        session = sessions[name]
        assert {given.name for given in session.get_inputs()} == set(inputs)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))

    for size in (1, 21):
        compare(model, values, size, run)


@converted
def test_litert_gives_the_same_numbers_from_every_signature(name, loaded, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    model, values = loaded(name)
    model.export(tmp_path / "model.tflite", format="litert")
    interpreter = litert.Interpreter(str(tmp_path / "model.tflite"))
    names = {"serving_default", "encode", "decode", "score", *MORE.get(name, ())}
    assert set(interpreter.get_signature_list()) == names
    for size in (1, 21):
        compare(model, values, size, lambda name, inputs: interpreter.get_signature_runner(name)(**inputs))


def test_signatures_are_chosen(x, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    model = small(x, 2)
    model.export(tmp_path / "encoder.onnx", format="onnx", signatures="encode", opset_version=17)
    session = runtime.InferenceSession(tmp_path / "encoder.onnx")
    (got,) = session.run(["code"], {"x": x})
    np.testing.assert_allclose(got, model.encode(x), rtol=1e-5, atol=1e-6)
    model.export(tmp_path / "two", format="onnx", signatures=("reconstruct", "decode"))
    assert files(tmp_path / "two") == ["decode.onnx", "reconstruct.onnx"]
    path = tmp_path / "encoder.tflite"
    model.export(path, format="litert", signatures="encode", optimizations=[tf.lite.Optimize.DEFAULT])
    interpreter = litert.Interpreter(str(path))
    assert interpreter.get_signature_list() == {"encode": {"inputs": ["x"], "outputs": ["code"]}}
    for format, path, signatures, message in (
        ("onnx", "a.onnx", "embed", "no signature 'embed': choose from 'reconstruct', 'encode', 'decode', 'score'"),
        (
            "onnx",
            "a.onnx",
            ("encode", "decode"),
            "is one file, which holds one signature, but 2 were requested: name a folder",
        ),
        ("onnx", "a", (), "at least one signature"),
        ("litert", "a.bin", None, r"must end with \.tflite, but it is 'a\.bin'"),
        ("tf_saved_model", "1", "encode", "can be chosen for 'onnx' and 'litert', not for 'tf_saved_model'"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            model.export(tmp_path / path, format=format, signatures=signatures)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="has no option 'optimisations'"):
        model.export(tmp_path / "a.tflite", format="litert", optimisations=[])
    assert not any((tmp_path / name).exists() for name in ("a", "a.onnx", "a.tflite", "1"))


def test_litert_in_8_bit_integers_and_how_much_it_differs(x, tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    path = tmp_path / "model.tflite"
    model = small(x, 2)
    options = {"inference_input_type": tf.int8, "inference_output_type": tf.int8}
    model.export(path, format="litert", signatures="encode", quantize=x, **options)
    runner = litert.Interpreter(str(path)).get_signature_runner("encode")
    ((_, given),), ((_, gives),) = runner.get_input_details().items(), runner.get_output_details().items()
    assert given["dtype"] == gives["dtype"] == np.int8
    scale, zero = given["quantization"]
    got = runner(x=np.clip(np.rint(x / scale) + zero, -128, 127).astype("int8"))["code"]
    scale, zero = gives["quantization"]
    code = np.asarray(model.encode(x))
    difference = np.abs(scale * (got.astype("float32") - zero) - code)
    error = aezoo.evaluation.litert_error(model, path, x)
    wanted = {"mean": difference.mean(), "max": difference.max(), "std": code.std()}
    assert error == {"encode": pytest.approx(wanted, rel=1e-4)}
    assert 0 < error["encode"]["mean"] < 0.1 * error["encode"]["std"]
    for argument, call in (
        ("quantize", lambda given: model.export(path, format="litert", quantize=given)),
        ("x", lambda given: aezoo.evaluation.litert_error(model, path, given)),
    ):
        with pytest.raises(ValueError, match=f"{argument} needs x, but has y: give a dict of these names"):
            call({"y": x})


@pytest.mark.slow
def test_what_cannot_be_converted_is_said_in_a_sentence(x, tmp_path):
    pytest.importorskip("tf2onnx")
    model = Lgamma(latent_dim=2)
    model(x)
    with pytest.raises(ValueError, match="'score' cannot be written as ONNX, which has no operation Lgamma") as error:
        model.export(tmp_path / "models", format="onnx")
    assert "\n" not in str(error.value) and files(tmp_path) == []
    model.export(tmp_path / "models", format="onnx", signatures=("encode", "decode"))
    # LiteRT drops Lgamma and leaves its output undefined: the interpreter fails on it, or returns other results.
    with pytest.raises(ValueError, match=r"'score' cannot be written for LiteRT, whose (converter|interpreter)"):
        model.export(tmp_path / "model.tflite", format="litert")
    assert not (tmp_path / "model.tflite").exists()
    model.export(tmp_path / "model.tflite", format="litert", signatures=("encode", "decode"))


def fails(**inputs):
    raise RuntimeError("no kernel for GELU\nnode 7")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (fails, r"whose interpreter cannot run it \(no kernel for GELU\): leave it out"),
        (lambda x: {"code": np.full((len(x), 2), 1e3, "float32")}, "whose converter changes its results"),
        (lambda x: {"code": np.zeros((0, 2), "float32")}, "whose converter changes its results"),
    ],
    ids=["fails", "other values", "no values"],
)
def test_a_litert_file_that_computes_something_else_is_not_written(run, message, x, tmp_path, monkeypatch):
    model = aezoo.Autoencoder(latent_dim=2)
    model.build(x.shape)
    monkeypatch.setattr(tf.lite.Interpreter, "get_signature_runner", lambda self, name: run)
    with pytest.raises(ValueError, match=f"'encode' cannot be written for LiteRT, {message}"):
        model.export(tmp_path / "model.tflite", format="litert", signatures="encode")
    assert files(tmp_path) == []


def test_results_that_litert_does_not_compare_are_a_warning(x, tmp_path, monkeypatch):
    model = aezoo.Autoencoder(latent_dim=2)
    model.build(x.shape)
    monkeypatch.setattr(model, "dummy_inputs", lambda n: np.ones((n, 5), "float32"))
    with pytest.warns(UserWarning, match="were not compared with the model, which does not accept dummy samples"):
        model.export(tmp_path / "model.tflite", format="litert", signatures="encode")
    assert (tmp_path / "model.tflite").is_file()


@pytest.mark.slow
def test_what_runs_in_python_is_converted_to_nothing(x, tmp_path):
    pytest.importorskip("tf2onnx")

    class Python(aezoo.Autoencoder):
        def scores(self, x, **unused):
            return tf.reshape(tf.numpy_function(lambda x: x[:, 0, 0, 0], [x], "float32"), (-1,))

    model = Python(latent_dim=2)
    model(x)
    for path, format, kind in (("score.onnx", "onnx", "as ONNX"), ("score.tflite", "litert", "for LiteRT")):
        with pytest.raises(ValueError, match=f"'score' cannot be written {kind}.*PyFunc") as error:
            model.export(tmp_path / path, format=format, signatures="score")
        assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("signatures", ["encode", None])
def test_onnx_encodes_sketches(signatures, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = tiny_sketch_rnn()
    model.export(tmp_path / "models", format="onnx", signatures=signatures)
    x = np.asarray(model.dummy_inputs(3))
    (code,) = runtime.InferenceSession(tmp_path / "models" / "encode.onnx").run(["code"], {"x": x})
    np.testing.assert_allclose(code, model.encode(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_sketches_need_the_operations_of_tensorflow_in_litert(tmp_path):
    with pytest.warns(UserWarning, match="needs operations of TensorFlow"):
        tiny_sketch_rnn().export(tmp_path / "model.tflite", format="litert")


def tiny_sketch_rnn():
    model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, components=1, seed=0)
    model.build((None, 3, 5))
    return model


def test_a_folder_of_onnx_is_replaced_and_nothing_else(x, tmp_path):
    pytest.importorskip("tf2onnx")
    small(x, 2).export(tmp_path / "models", format="onnx", signatures=("encode", "decode"))
    model = small(x, 3)
    model.export(tmp_path / "models", format="onnx", signatures="encode")
    assert files(tmp_path / "models") == ["encode.onnx"]
    for name in ("notes.txt", "mine.onnx"):
        (tmp_path / "models" / name).write_text("mine")
        with pytest.raises(FileExistsError, match=rf"lost \({name}\)"):
            model.export(tmp_path / "models", format="onnx")
        (tmp_path / "models" / name).unlink()


# === What a signature refuses ===


def refuses(signature, message, **inputs):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signature(**{name: tf.constant(value) for name, value in inputs.items()})


def test_signatures_check_what_they_are_sent(model, folder, x):
    signatures = tf.saved_model.load(folder).signatures
    z = np.asarray(model.encode(x))
    for name, (given, _) in SIGNATURES.items():
        value = {"x": x, "z": z}[given]
        for wrong in (np.nan, np.inf, -np.inf):
            bad = value.copy()
            bad[-1].flat[-1] = wrong
            refuses(signatures[name], f"{given} has NaN or infinite values", **{given: bad})
        other = x.reshape(21, 3, 12, 1) if given == "x" else z.reshape(42, 4)
        refuses(signatures[name], "Shape of tensor", **{given: other})
        refuses(signatures[name], "Shape of tensor", **{given: value.reshape(-1)})


def test_a_codec_encodes_no_nan(x, tmp_path):
    model = aezoo.CompressiveAE(latent_dim=2, seed=0)
    model.build(x.shape)
    model.export(tmp_path / "1", warmup=False)
    signatures = tf.saved_model.load(tmp_path / "1").signatures
    refuses(signatures["encode"], "x has NaN", x=np.full_like(x, np.nan))
    refuses(signatures["decode"], "Shape of tensor", z=np.zeros((4, 3), "int32"))
    np.testing.assert_array_equal(signatures["encode"](x=tf.constant(x))["code"], model.encode(x))


@pytest.mark.parametrize("kind", ["vae", pytest.param("sketches", marks=pytest.mark.slow)])
def test_samples_are_drawn_within_limits(kind, x, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_MOST_VALUES", 20 * 36)
    if kind == "vae":
        model, most, more = aezoo.VAE(latent_dim=2, seed=0), 20, {}
        model.build(x.shape)
    else:
        model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, components=1, seed=0)
        model.build((None, 3, 5))
        most, more = 48, {"temperature": np.float32(0.5)}
    seed = np.int64(0)
    model.export(tmp_path / "1", warmup=False)
    sample = tf.saved_model.load(tmp_path / "1").signatures["sample"]
    assert export.most_samples(model.x_shape) == most
    (drawn,) = sample(n=tf.constant(most), seed=tf.constant(seed), **more).values()
    assert drawn.shape == (most, *model.x_shape)
    for n in (0, -1, most + 1, 2**31 - 1):
        refuses(sample, f"n must be in .1, {most}.", n=np.int32(n), seed=seed, **more)
    assert model.sample(most + 1).shape[0] == most + 1, "whoever has the model may draw what memory holds"
    refused = (-1.0, "must be at least 0"), (np.nan, "has NaN"), (np.inf, "has NaN or infinite")
    for temperature, message in refused if more else ():
        refuses(sample, f"temperature {message}", n=1, seed=seed, temperature=np.float32(temperature))
    monkeypatch.undo()
    assert export.most_samples((28, 28, 1)) == 10_000 and export.most_samples((512, 512, 3)) == 42
