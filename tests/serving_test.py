"""A SavedModel behind TensorFlow Serving, as its documentation describes the API, and in other runtimes."""

import contextlib
import io
import json
import os
import pathlib
import re
import shlex
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import testing
from aezoo.cli import program

ROOT = pathlib.Path(__file__).parents[1]
CASES = {
    "mlp": lambda: aezoo.Autoencoder(latent_dim=8, hidden_dims=(30,), seed=0),
    "tied": lambda: aezoo.DenoisingAE(latent_dim=30, tied=True, seed=0),
    "conv": lambda: aezoo.Autoencoder(latent_dim=8, filters=(4,), seed=0),
    "k-sparse": lambda: aezoo.KSparseAE(latent_dim=30, k=4, seed=0),
    "vae": lambda: aezoo.VAE(latent_dim=3, hidden_dims=(16,), seed=0),
    "half": lambda: aezoo.Autoencoder(latent_dim=8, hidden_dims=(30,), seed=1),
}


@pytest.fixture(scope="module")
def exported(x, tmp_path_factory):
    """Gives a model and its SavedModel, by the name of the case."""
    made = {}

    def get(name):
        if name not in made:
            model = CASES[name]()
            model(x)
            folder = tmp_path_factory.mktemp("served") / name / "1"
            model.export(folder, half=name == "half")
            if name == "half":
                for kernel in model.trainable_variables:
                    kernel.assign(kernel.numpy().astype("float16") if len(kernel.shape) > 1 else kernel)
            made[name] = model, folder
        return made[name]

    return get


# === Other runtimes ===


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_openvino_gives_the_same_numbers(name, exported, x):
    openvino = pytest.importorskip("openvino")
    model, folder = exported(name)
    core = openvino.Core()
    network = core.compile_model(core.read_model(folder), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert [port.get_any_name() for port in (*network.inputs, *network.outputs)] == ["x", "reconstruction"]
    for size in (1, 21):
        got = network({"x": x[:size]})["reconstruction"]
        np.testing.assert_allclose(got, model.reconstruct(x[:size]), rtol=1e-5, atol=1e-5)


@pytest.mark.slow_cases("mlp")
@pytest.mark.parametrize("name", ["mlp", pytest.param("tied", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_litert_gives_the_same_numbers_from_every_signature(name, exported, x):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    model, folder = exported(name)
    interpreter = litert.Interpreter(model_content=tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    values = {"x": x, "z": model.encode(x).numpy()}
    assert set(interpreter.get_signature_list()) == set(model.signatures())
    for signature, (function, (given,), output) in model.signatures().items():
        run = interpreter.get_signature_runner(signature)
        for size in (1, 21):
            value = values[given][:size]
            np.testing.assert_allclose(run(**{given: value})[output], function(value), rtol=1e-5, atol=1e-5)


# === What the server demands ===


def test_what_cannot_be_served(exported, tmp_path):
    _, folder = exported("mlp")
    testing.servable(folder)
    for place, message in (("mlp/latest", "latest is not a version number"), ("other/1", "is for the model mlp")):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).symlink_to(folder)
        with pytest.raises(AssertionError, match=message):
            testing.servable(tmp_path / place)


@pytest.mark.slow_cases("vae_emoji", "vq_vae_emoji")
@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, id=folder.parent.name, marks=[pytest.mark.slow] * folder.parent.name.startswith("sketch"))
        for folder in sorted(ROOT.glob("saved_models/*/1"))
    ],
)
def test_the_shelf_can_be_served(folder):
    testing.servable(folder)


def served(folder, name, inputs):
    """What a signature gives for named arrays, by name."""
    return {key: value.numpy() for key, value in tf.saved_model.load(folder).signatures[name](**inputs).items()}


def rest(folder, body):
    """What the server's REST API answers, by its documentation (api_rest.md, Predict API)."""
    request = json.loads(body)
    name = request.pop("signature_name", "serving_default")
    (form, given), *others = request.items()
    assert not others and form in ("instances", "inputs")
    specs = tf.saved_model.load(folder).signatures[name].structured_input_signature[1]
    if form == "instances" and isinstance(given[0], dict):
        given = {key: [instance[key] for instance in given] for key in given[0]}
    if not isinstance(given, dict):
        assert len(specs) == 1, "a list stands for the only input"
        given = dict.fromkeys(specs, given)
    assert given.keys() == specs.keys()
    inputs = {key: tf.constant(np.array(value, specs[key].dtype.as_numpy_dtype)) for key, value in given.items()}
    for key, value in inputs.items():
        assert specs[key].shape.is_compatible_with(value.shape)
        assert value.dtype.is_floating or np.array_equal(value, np.array(given[key])), "an integer is wanted"
    (output,) = served(folder, name, inputs).values()  # of one output its name is left out
    assert form == "inputs" or len(output) == len(next(iter(inputs.values())))
    return {{"instances": "predictions", "inputs": "outputs"}[form]: output.tolist()}


# === The page on serving ===


def page():
    return (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", page(), re.DOTALL)


def commands():
    """Return the commands of the page, as lists of words."""
    lexer = shlex.shlex("".join(blocks("bash")).replace("\\\n", ""), posix=True, punctuation_chars="\n")
    lexer.whitespace, lexer.whitespace_split = " ", True
    found = [[]]
    for word in lexer:
        if word.strip("\n"):
            found[-1].append(word)
        else:
            found.append([])
    return [command for command in found if command]


def test_the_page_mounts_existing_folders(capsys, tmp_path, monkeypatch):
    one, whole = (command for command in commands() if command[:2] == ["docker", "run"])
    mounted = [dict(part.split(":") for part in command if part.startswith("$PWD/")) for command in (one, whole)]
    (name,) = [part.partition("=")[2] for part in one if part.startswith("MODEL_NAME=")]
    assert mounted[0] == {f"$PWD/saved_models/{name}": f"/models/{name}"}
    assert (ROOT / "saved_models" / name / "1" / "saved_model.pb").is_file()
    assert mounted[1]["$PWD/saved_models"] == "/models"
    assert f"--model_config_file={mounted[1]['$PWD/models.config']}" in whole
    (config,) = (command for command in commands() if command[0] == "aezoo")
    assert config[-2:] == [">", "models.config"]
    monkeypatch.chdir(ROOT)
    assert program.main(config[1:-2]) in (0, None)
    assert f'base_path: "/models/{name}"' in capsys.readouterr().out


@pytest.mark.slow
def test_the_requests_of_the_page_are_answered_as_it_says():
    if not (os.environ.get("TFDS_DATA_DIR") or os.environ.get("AEZOO_MNIST_RAW")):
        pytest.skip("needs MNIST, prepared: TFDS_DATA_DIR")
    answers = [json.loads(block) for block in blocks("json")]
    written = ""
    for command in commands():
        if command[:2] == ["python", "-c"]:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(command[2], {})
            written = output.getvalue()
        if command[0] == "curl":
            body = command[command.index("-d") + 1]
            name = re.fullmatch(r"http://localhost:8501/v1/models/(\w+):predict", command[-1])[1]
            got = rest(ROOT / "saved_models" / name / "1", written if body.startswith("@") else body)
            if body.startswith("@"):
                expected = answers.pop(0)
                assert got.keys() == expected.keys()
                np.testing.assert_allclose(got["predictions"], expected["predictions"], rtol=1e-3)
            else:
                assert np.shape(got["outputs"]) == (json.loads(body)["inputs"]["n"], 28, 28, 1)
    assert not answers, "an answer without a request"


def test_the_client_of_the_page(exported, x):
    """Against a server of its own that has the service of TensorFlow Serving."""
    grpc = pytest.importorskip("grpc")
    predict = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    from tensorflow_serving.apis import prediction_service_pb2_grpc as service

    model, folder = exported("vae")
    seen = []

    class Servicer(service.PredictionServiceServicer):
        def Predict(self, request, context):
            seen.append(request.model_spec.name)
            inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
            response = predict.PredictResponse()
            for key, value in served(folder, request.model_spec.signature_name, inputs).items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

    code, _ = blocks("python")
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    names = {"x_test": x}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code.replace("localhost:8500", f"localhost:{port}"), names)
    server.stop(None)
    assert seen == ["autoencoder_mnist"]
    np.testing.assert_allclose(names["code"], model.encode(x[: len(names["code"])]), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_page_measures_8_bit_integers(tmp_path, monkeypatch):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(blocks("python")[1], names)
    model, x, error = names["model"], names["x_test"], names["error"]
    interpreter = litert.Interpreter("small.tflite")
    details = interpreter.get_tensor_details()
    kernels = [each["dtype"] for each in details if len(each["shape"]) == 2 and min(each["shape"]) > 1]
    assert set(kernels) == {np.int8}
    for name, signature, verb in (
        ("encode", "encode", model.encode),
        ("reconstruct", "serving_default", model.reconstruct),
    ):
        (got,) = interpreter.get_signature_runner(signature)(x=x).values()
        expected = np.asarray(verb(x))
        difference = np.abs(got - expected)
        wanted = {"mean": difference.mean(), "max": difference.max(), "std": expected.std()}
        assert error[name] == pytest.approx(wanted, rel=1e-4)
        assert 0 < error[name]["mean"] < 0.05 * error[name]["std"]
    with pytest.warns(UserWarning, match="In 8-bit integers the results of 'score' differ by .* on average"):
        model.export("all.tflite", format="litert", quantize=names["x_train"][:200])
