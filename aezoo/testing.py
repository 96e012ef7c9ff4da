"""The conformance harness: what must be true of every autoencoder's train step, as checks that anyone can run.

    >>> import numpy as np, aezoo, aezoo.testing
    >>> x = np.random.default_rng(0).random((21, 6, 6, 1), "float32")
    >>> case = aezoo.testing.Case(lambda **kwargs: aezoo.Autoencoder(latent_dim=3, **kwargs), x)
    >>> aezoo.testing.epoch_means(case)

Each check takes a `Case` and raises an `AssertionError` that says what is not as it must be. `CHECKS` lists them all,
to be given to `pytest.mark.parametrize`. `replicas` wants two devices: call `two_cpu_devices()` before TensorFlow is
used.

`execution` sees that graphs do what eager execution does; checks to which that makes no difference run eagerly, since a
graph takes longer to make than to run.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import inspect
import json
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo.layers import networks
from aezoo.saving import warmup
from aezoo.schedules import Constant, Scheduled
from aezoo.training.batch import Batch

Weights = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A model to be checked, and what to check it with.

    Attributes:
        make: Makes a new, uncompiled model, always of the same configuration; takes `dtype`.
        x: Samples that it takes, (n, ...) float32, n odd and at least 19.
        quiet: Makes the same model with its noise switched off, where it draws noise; `make` otherwise.
        mean_over_samples: False if a penalty is not a mean over samples, so that two half batches are not one whole.
        empty_replica: False if the model fails on a replica that has no sample in the last batch, as TensorFlow's fused
            convolution does.
        learns_target: False if the model learns the distribution of x, which has no target.
        takes_loss: False if a loss given to `compile` cannot stand in for the model's own.
        score: The reports of `evaluate` that sum up to the mean of `score_samples`.
        inputs: Values of the inputs of signatures other than x and z, by name.
        learning_rate: Of plain gradient descent; adaptive optimisers would hide a gradient of the wrong size.
    """

    make: Callable[..., keras.Model]
    x: np.ndarray
    quiet: Callable[..., keras.Model] | None = None
    mean_over_samples: bool = True
    empty_replica: bool = True
    learns_target: bool = True
    takes_loss: bool = True
    score: tuple[str, ...] = ("reconstruction",)
    inputs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    learning_rate: float = 1e-3

    def model(self, *, quiet: bool = False, dtype: Any = None, seed: int = 0, **compile: Any) -> keras.Model:
        """Makes a compiled model with weights that follow from the seed; a quiet one makes single steps."""
        keras.utils.set_random_seed(seed)
        make = self.quiet if quiet and self.quiet else self.make
        model = make() if dtype is None else make(dtype=dtype)
        if quiet:
            model.default_steps = 1  # the graph is smaller; `execution` compares
        model.build((None, *self.x.shape[1:]))
        model.compile(**{"optimizer": keras.optimizers.SGD(self.learning_rate), **compile})
        model.initialize_from(self.x)  # which `fit` would do with the samples it is given, others in each comparison
        return model


def two_cpu_devices() -> None:
    """Splits the CPU in two logical devices, so that two replicas can be tried on one machine, and hides GPUs.

    The checks compare numbers that are equal on a CPU. A GPU rounds the factors of products to TF32 unless it is told
    not to, and adds up in the order in which its threads arrive.

    Raises:
        RuntimeError: If TensorFlow has been used already.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@functools.cache
def two_replicas() -> tf.distribute.Strategy:
    """Two replicas on the devices of `two_cpu_devices`, always the same strategy.

    TensorFlow numbers the collectives of each strategy from the same start: a second strategy on the same devices, with
    weights of other shapes, fails.
    """
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) >= 2, "call aezoo.testing.two_cpu_devices() before TensorFlow is first used"
    return tf.distribute.MirroredStrategy(devices[:2])


def _weights(model: keras.Model | keras.Optimizer) -> Weights:
    """Every variable of a model, trainable or state; numbered, since layers of a second model have other names."""
    return {f"variable {i} ({v.name})": v.numpy() for i, v in enumerate(model.variables)}


def _trainable(model: keras.Model) -> list[np.ndarray]:
    return [v.numpy() for v in model.trainable_variables]


def _same_trainable(what: str, expected: keras.Model, got: keras.Model) -> None:
    for variable, a, b in zip(expected.trainable_variables, _trainable(expected), _trainable(got), strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-6), (
            f"{what}: {variable.path} differs by up to {np.max(np.abs(a - b)):.3g}"
        )


def _fit(model: keras.Model, x: Any, y: Any = None, epochs: int = 2, **kwargs: Any) -> tuple[Weights, dict]:
    if not isinstance(x, tf.data.Dataset):
        kwargs = {"batch_size": 8, "shuffle": False, **kwargs}
    history = model.fit(x, y, epochs=epochs, verbose=0, **kwargs).history
    return _weights(model), history


def _same(what: str, expected: Weights, got: Weights, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    assert len(expected) == len(got), f"{what}: {len(got)} variables instead of {len(expected)}"
    for (name, a), b in zip(expected.items(), got.values(), strict=True):
        difference = np.max(np.abs(a.astype("float64") - b)) if a.size else 0.0
        assert np.allclose(a, b, rtol=rtol, atol=atol), f"{what}: {name} differs by up to {difference:.3g}"


def _same_history(what: str, expected: dict, got: dict, rtol: float = 1e-5) -> None:
    assert set(expected) == set(got), f"{what}: reports {sorted(got)} instead of {sorted(expected)}"
    for name in expected:
        # The gap is a difference of two numbers that are compared themselves, and as exact as they are.
        atol = 1e-5 * np.max(np.abs(expected["free_energy"])) if name == "free_energy_gap" else 1e-6
        assert np.allclose(expected[name], got[name], rtol=rtol, atol=atol), (
            f"{what}: {name} is reported as {got[name]} instead of {expected[name]}"
        )


@dataclasses.dataclass(frozen=True)
class _Fitted:
    start: list[np.ndarray]
    end: list[np.ndarray]
    weights: Weights
    history: dict


@functools.lru_cache(maxsize=2)
def _by_single_steps(case: Case) -> _Fitted:
    """What two epochs of a quiet model make of it, which several checks compare with."""
    model = case.model(quiet=True)
    start = _trainable(model)
    weights, history = _fit(model, case.x)
    return _Fitted(start, _trainable(model), weights, history)


# === The lines of the contract ===


def replicas(case: Case) -> None:
    """1. One replica and two give the same weights and the same reports, with a last batch that one of them lacks."""
    few = case.x[: len(case.x) // 8 * 8 + (1 if case.empty_replica else 3)]
    one = case.model(quiet=True, metrics=["mse"], run_eagerly=True)
    with two_replicas().scope():
        two = case.model(quiet=True, metrics=["mse"])
    for x, options in (
        (case.x, {"validation_data": (few,)}),
        (few, {"sample_weight": np.linspace(0, 2, len(few), dtype="float32")}),
    ):
        expected, got = (_fit(model, x, epochs=1, **options) for model in (one, two))
        _same("two replicas", expected[0], got[0])
        _same_history("two replicas", expected[1], got[1])


def mixed_precision(case: Case) -> None:
    """2. `mixed_float16` trains: the weights move as they do in single precision."""
    half = case.model(quiet=True, dtype="mixed_float16")
    assert isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer), "compile did not wrap the optimizer"
    # The usual first scale, 2**15, may overflow at first and skip steps, as it should.
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(case.learning_rate), initial_scale=2**6)
    half = case.model(quiet=True, dtype="mixed_float16", optimizer=optimizer, run_eagerly=True)
    single = _by_single_steps(case)
    for variable in half.trainable_variables:
        assert variable.dtype == "float32", f"{variable.path} is stored as {variable.dtype}"
    history = _fit(half, case.x)[1]
    for name, values in single.history.items():
        assert np.allclose(values, history[name], rtol=0.02, atol=0.02), (
            f"mixed_float16: {name} is {history[name]} instead of {values}"
        )
    for before, variable, a, b in zip(
        single.start, half.trainable_variables, single.end, _trainable(half), strict=True
    ):
        way, difference = np.linalg.norm(a - before), np.linalg.norm(a - b)
        assert difference <= 0.1 * way + 1e-5, (
            f"mixed_float16: {variable.path} moved by {np.linalg.norm(b - before):.3g} instead of {way:.3g}, "
            f"or elsewhere"
        )


def execution(case: Case) -> None:
    """3. XLA, eager execution and several steps an execution give the same weights as single steps."""
    expected = _by_single_steps(case)
    for options in ({"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 8}):
        model = case.model(quiet=True, **options)
        weights, history = _fit(model, case.x)
        assert getattr(model, next(iter(options))), f"{options} was not accepted"
        _same(str(options), expected.weights, weights)
        _same_history(str(options), expected.history, history)


def accumulation(case: Case) -> None:
    """3. Gradients accumulated over two half batches equal those of the whole batch."""
    if not case.mean_over_samples:
        return
    x = case.x[:16]
    whole = case.model(quiet=True, run_eagerly=True)
    _fit(whole, x, batch_size=16, epochs=1)
    optimizer = keras.optimizers.SGD(case.learning_rate, gradient_accumulation_steps=2)
    halves = case.model(quiet=True, optimizer=optimizer, run_eagerly=True)
    _fit(halves, x, batch_size=8, epochs=1)
    _same_trainable("accumulated gradients", whole, halves)


def epoch_means(case: Case) -> None:
    """4. What is reported is the mean over the samples of the epoch, a short last batch weighted as short."""
    model = case.model(quiet=True, optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    history = _fit(model, case.x, epochs=1, validation_data=(case.x[::-1],))[1]
    assert "loss" in history and len(history) >= 4, f"only {sorted(history)} is reported"
    reported = [name for name in history if not name.startswith("val_") and name not in ("loss", "free_energy_gap")]
    terms = [name for name in reported if name not in model.metric_names]
    assert len(reported) == len(terms) + len(model.metric_names), f"of {model.metric_names} some are not reported"
    assert np.isclose(history["loss"][0], sum(history[name][0] for name in terms), rtol=1e-5), (
        f"the loss {history['loss'][0]} is not the sum of its terms {terms}"
    )
    # Afresh: chains go on, and this is about the numbers of the same steps.
    model = case.model(quiet=True, optimizer=keras.optimizers.SGD(0.0))
    batches = [case.x[i : i + 8] for i in range(0, len(case.x), 8)]
    logs = []
    for batch in batches:
        model.reset_metrics()
        step = model.train_step(tf.constant(batch))
        logs.append({name: float(value) for name, value in step.items()})
    means = [name for name in reported if isinstance(model.tracker(name), keras.metrics.Mean)]
    for name in ["loss", *means]:
        mean = np.average([log[name] for log in logs], weights=[len(batch) for batch in batches])
        assert mean != 0, f"{name} is 0"
        assert np.isclose(history[name][0], mean, rtol=1e-5), (
            f"{name} is reported as {history[name][0]}, but the mean over the samples is {mean}"
        )


def sample_weights(case: Case) -> None:
    """Sample weights count: weight 0 is as if the sample were not there, weight 2 as if it were there twice."""
    x = case.x[:8]
    weight = np.array([0, 2, 1, 1, 1, 1, 1, 1], "float32")
    weighted, repeated = (case.model(quiet=True, run_eagerly=True) for _ in range(2))
    for model in (weighted, repeated):
        model.initialize_from(x)  # from the same data: this is about the steps
    _fit(weighted, x, sample_weight=weight, epochs=1)
    _fit(repeated, np.concatenate([x[1:2], x[1:]]), epochs=1)
    _same_trainable("sample weights", repeated, weighted)


def saving(case: Case) -> None:
    """5. save, load and fit go on bit for bit as if training had never stopped; weights that do not fit do not load."""
    whole = case.model(optimizer="adam", run_eagerly=True)
    _fit(whole, case.x, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        before = [_weights(part) for part in (whole, whole.optimizer)]
        whole.save(path)
        for expected, part in zip(before, (whole, whole.optimizer), strict=True):
            _same("by saving", expected, _weights(part), rtol=0, atol=0)
        expected, expected_history = _fit(whole, case.x, epochs=1)
        keras.utils.set_random_seed(1)
        loaded = keras.saving.load_model(path)
        got, history = _fit(loaded, case.x, epochs=1)
        _same("after loading", expected, got, rtol=0, atol=0)
        _same_history("after loading", expected_history, history, rtol=0)
        for a, b in zip(whole.optimizer.variables, loaded.optimizer.variables, strict=True):
            assert np.array_equal(a.numpy(), b.numpy()), f"after loading: the optimizer's {a.path} differs"
        _does_not_load_half(path, Path(folder) / "half.keras")


def _does_not_load_half(path: Path, damaged: Path) -> None:
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(damaged, "w") as half:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                config = json.loads(content)
                shape = config["build_config"]["input_shape"]
                shape[-1] += 1
                content = json.dumps(config).encode()
            half.writestr(name, content)
    try:
        keras.saving.load_model(damaged)
    except Exception:
        return
    raise AssertionError("a file whose weights do not fit its configuration was loaded")


def configuration(case: Case) -> None:
    """5. Every constructor argument is in `get_config`, and a model made from it has the same configuration."""
    model = case.make()
    config = model.get_config()
    for kind in type(model).__mro__:
        if kind is keras.Model:
            break
        for name, parameter in inspect.signature(kind.__init__).parameters.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name == "self":
                continue
            if kind is type(model) or name in inspect.signature(type(model).__init__).parameters:
                assert name in config, f"the argument {name} is not in get_config"
    again = type(model).from_config(config)
    assert json.dumps(again.get_config(), default=str) == json.dumps(config, default=str), (
        "from_config(get_config()) has another configuration"
    )


# What TensorFlow Serving's predict API takes and gives, in JSON too.
_SERVED = {*"float32 float64 int8 int16 int32 int64 uint8 uint32 uint64 bool string".split()}


def servable(folder: Any) -> None:
    """What TensorFlow Serving demands of a SavedModel in a folder `<name>/<version>`, and its warm-up requests.

    These are run as the server runs them, in a session of the graph, on the tensors that the signatures name.

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
                    assert dtype in _SERVED, f"{kind} {key} of {name} is {dtype}, which the server does not know"
                    scalar = kind == "input" and shape.rank == 0
                    assert scalar or shape[0] is None, f"{kind} {key} of {name} has shape {shape}: no batch axis"
        for request in requests:
            assert request.model == folder.parent.name, f"a warm-up request is for the model {request.model}"
            signature = signatures[request.signature]
            assert set(request.inputs) == set(signature.inputs), f"a warm-up request gives {set(request.inputs)}"
            outputs = {key: tensor.name for key, tensor in signature.outputs.items()}
            inputs = {signature.inputs[key].name: value for key, value in request.inputs.items()}
            for key, value in session.run(outputs, inputs).items():
                assert np.isfinite(value).all(), f"warming up, {request.signature} gives a {key} that is not finite"


_ELSEWHERE = """
import sys, traceback
import numpy as np, tensorflow as tf
tf.config.set_visible_devices([], "GPU")
for name in ["aezoo", *sys.modules]:  # TensorFlow itself may import Keras: from here on nobody can
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
                outputs[f"{name}|{size}|{key}"] = value.numpy()
    np.savez(folder + "/outputs.npz", **outputs)

for line in sys.stdin:
    try:
        call(line.rstrip("\\n"))
        print("done", flush=True)
    except Exception:
        print(repr(traceback.format_exc()[-2000:]), flush=True)
"""


@functools.cache
def _elsewhere() -> subprocess.Popen:
    """A process without aezoo and keras that calls the SavedModels of the folders it is told; it ends with this one."""
    process = subprocess.Popen([sys.executable, "-c", _ELSEWHERE], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True)
    atexit.register(process.communicate)
    return process


def _called_elsewhere(folder: str) -> Mapping[str, np.ndarray]:
    """What the signatures of the SavedModel in `folder`/1 give for `folder`/inputs.npz."""
    process = _elsewhere()
    timer = threading.Timer(300, process.kill)
    timer.start()
    print(folder, file=process.stdin, flush=True)
    answer = process.stdout.readline().strip()
    timer.cancel()
    assert answer == "done", f"loading the SavedModel elsewhere failed: {answer or 'its process ended'}"
    return np.load(Path(folder) / "outputs.npz")


def exporting(case: Case) -> None:
    """6. A process without aezoo and keras gets the same numbers from every signature, for any batch size.

    And TensorFlow Serving can serve it.
    """
    model = case.model(run_eagerly=True)
    _fit(model, case.x, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        keras.saving.load_model(Path(folder) / "model.keras").export(Path(folder) / "1")
        servable(Path(folder) / "1")
        x, z = case.x[:5], np.asarray(model.encode(case.x[:5]))
        known = {"x": x, "z": z, **case.inputs}
        inputs = {f"{name}|{key}": known[key] for name, (_, specs, _) in model.signatures().items() for key in specs}
        np.savez(Path(folder) / "inputs.npz", **inputs)
        outputs = _called_elsewhere(folder)
        for name, (function, specs, output) in model.signatures().items():
            for size in (1, 5):
                got = outputs[f"{name}|{size}|{output}"]
                values = [known[key] for key in specs]
                expected = np.asarray(function(*(value[:size] if value.ndim else value for value in values)))
                assert got.shape == expected.shape, f"{name} gives shape {got.shape}, not {expected.shape}"
                assert np.allclose(expected, got, rtol=1e-5, atol=1e-5), (
                    f"{name} differs by up to {np.max(np.abs(expected - got)):.3g}"
                )


def tracing(case: Case) -> None:
    """7. Values that change in training change in one traced graph, and follow their schedules."""
    model = case.model()
    traces = []
    objective = model.objective

    def counted(batch: Any, training: bool) -> Any:
        traces.append(training)
        return objective(batch, training)

    model.objective = counted
    x = case.x[:16]
    _fit(model, x, epochs=1)
    once = len(traces)
    _fit(model, x, epochs=3)
    assert len(traces) == once, f"the graph was traced {len(traces) - once} more times in later epochs"
    for layer in model._flatten_layers():
        if isinstance(layer, Scheduled):
            value, expected = float(layer.value.numpy()), layer.schedule(3)
            assert np.isclose(value, expected), f"{layer.schedule} stands at {value}, not {expected}, in epoch 4"
            assert isinstance(layer.schedule, Constant) or value != layer.schedule(0), "a schedule did not move"


def data_forms(case: Case) -> None:
    """8. `fit(x)`, `fit(x, x)` and data sets of either give the same weights, with the paper's loss and with "mse"."""

    def dataset(data: Any) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(data).batch(8)

    by_mse = {"loss": "mse", "metrics": ["mse"]}
    for options in ({}, by_mse) if case.takes_loss else ({},):
        forms: dict[str, tuple] = {
            "fit(x)": (case.x,),
            "fit(x, x)": (case.x, case.x),
            "fit(Dataset of x)": (dataset(case.x),),
            "fit(Dataset of (x, x))": (dataset((case.x, case.x)),),
        }
        results = {}
        model = case.model(quiet=True, run_eagerly=True, **options)
        start, untrained = [(variable, variable.numpy()) for variable in model.variables], _trainable(model)
        for name, data in forms.items():
            for variable, value in start:  # of its epoch and its random state too
                variable.assign(value)
            results[name] = _fit(model, *data, epochs=1)
            assert any(not np.array_equal(a, b) for a, b in zip(untrained, _trainable(model), strict=True)), (
                f"{name} with {options} left every weight where it was"
            )
        expected = results["fit(x)"]
        for name, got in results.items():
            _same(f"{name} with {options}", expected[0], got[0])
            _same_history(f"{name} with {options}", expected[1], got[1])
        if options:
            history = expected[1]
            assert np.allclose(history["mse"], history["reconstruction"], rtol=1e-4), (
                f"the metric mse {history['mse']} is not the loss mse {history['reconstruction']}"
            )


def target(case: Case) -> None:
    """`fit(x, y)` trains x → y, or does not look at y where there is no target."""
    y = case.x[::-1].copy()
    a, b = _by_single_steps(case).weights, _fit(case.model(quiet=True, run_eagerly=True), case.x, y)[0]
    differs = any(not np.allclose(a[name], b[name]) for name in a)
    assert differs == case.learns_target, f"the target made {'a' if differs else 'no'} difference"


def determinism(case: Case) -> None:
    """9. The same seed gives the same weights, bit for bit; another seed gives others."""
    first = _fit(case.model(), case.x, shuffle=True)[0]
    second = _fit(case.model(), case.x, shuffle=True)[0]
    _same("the same seed", first, second, rtol=0, atol=0)
    other = _fit(case.model(seed=1, run_eagerly=True), case.x, epochs=1, shuffle=True)[0]
    assert any(not np.array_equal(a, b) for a, b in zip(first.values(), other.values(), strict=True)), (
        "another seed gave the same weights"
    )


def bad_input(case: Case) -> None:
    """10. Wrong data stop before the first step, with a sentence that says what was wrong and what to do."""
    nan, infinite = case.x.copy(), case.x.copy()
    nan[-1].flat[0], infinite[-1].flat[-1] = np.nan, np.inf
    labels = np.arange(len(case.x))
    slices = tf.data.Dataset.from_tensor_slices
    bad = {
        "integer images": ((case.x * 255).astype("uint8"), "floating-point"),
        "integer images in a data set": (slices((case.x * 255).astype("uint8")).batch(8), "floating-point"),
        "NaN": (nan, "NaN"),
        "infinity": (infinite, "NaN or infinite"),
        "NaN in a data set": (slices(nan).batch(len(nan)), "NaN"),
        "no samples": (case.x[:0], "empty"),
        "an empty data set": (slices(case.x).batch(8).take(0), "empty"),
        "labels as targets": (slices((case.x, labels)).batch(8), "labels"),
        "samples of another shape": (case.x[:, None], "was built for"),
    }
    model = case.model(run_eagerly=True)
    start = _trainable(model)
    if networks.output_activation(model.decoder) is keras.activations.sigmoid:
        bad["values outside [0, 1]"] = (case.x * 255, "outside [0, 1]")
        bad["values outside [0, 1] in a data set"] = (slices(case.x * 255).batch(8), "outside [0, 1]")
    for what, (x, message) in bad.items():
        try:
            model.fit(x, verbose=0)
        except ValueError as error:
            text = str(error)
            assert message in text, f"{what}: the message does not say {message!r}: {text}"
            assert "\n" not in text and len(text) < 400, f"{what}: the message is not one sentence: {text}"
        else:
            raise AssertionError(f"{what}: accepted without an error")
        for a, b in zip(start, _trainable(model), strict=True):
            assert np.array_equal(a, b), f"{what}: noticed only after a step"


def bad_input_of_verbs(case: Case) -> None:
    """10. What `fit` refuses, every verb refuses: no number, and no NaN, comes of it in silence."""
    model = case.model(run_eagerly=True)
    nan = case.x.copy()
    nan[1].flat[0] = np.nan
    wrong = {
        "NaN": (nan, "NaN"),
        "integers": ((case.x * 255).astype("int32"), "floating-point"),
        "samples of another shape": (case.x[:, None], "was built for"),
    }
    verbs: dict[str, Callable[[Any], Any]] = {
        "evaluate": lambda x: model.evaluate(x, verbose=0),
        "predict": lambda x: model.predict(x, verbose=0),
        "train_on_batch": model.train_on_batch,
        "test_on_batch": model.test_on_batch,
        "encode": model.encode,
        "reconstruct": model.reconstruct,
        "score_samples": model.score_samples,
    }
    for what, (x, message) in wrong.items():
        for name, verb in verbs.items():
            try:
                verb(x)
            except ValueError as error:
                assert message in str(error), f"{name} of {what}: the message does not say {message!r}: {error}"
            else:
                raise AssertionError(f"{name} took {what} without an error")


def declared(case: Case) -> None:
    """11. The names that `objective` returns are those of `term_names` and `metric_names`: no term gets lost."""
    model = case.model(run_eagerly=True)
    names = {*model.term_names, *model.metric_names}
    for training in (True, False):
        reported, _ = model.objective(Batch.of(tf.constant(case.x[:8])), training)
        assert set(reported) == names, f"the objective returns {sorted(reported)}, but declared are {sorted(names)}"


def scores(case: Case) -> None:
    """12. A score is that of its sample, whatever is beside it; a loss without one per sample is refused there."""
    model = case.model(run_eagerly=True)
    together = np.asarray(model.score_samples(case.x[:6]))
    alone = np.concatenate([np.asarray(model.score_samples(case.x[i : i + 1])) for i in range(6)])
    assert np.allclose(together, alone, rtol=1e-4, atol=1e-5), f"scores {together} become {alone} one by one"
    if not case.takes_loss:
        return
    model = case.model(loss=lambda y, y_pred: keras.ops.mean(keras.ops.abs(y - y_pred)), run_eagerly=True)
    try:
        got = np.asarray(model.score_samples(case.x[:6]))
    except ValueError:
        return
    assert np.allclose(together, got, rtol=1e-4), "a loss of the whole batch became part of the score of every sample"


def divergence(case: Case) -> None:
    """14. The first loss that is not finite ends training, names its term and leaves the weights before it."""
    expected, model = (case.model(quiet=True, run_eagerly=True) for _ in range(2))
    _fit(expected, case.x[:16], epochs=1)
    objective, name = model.objective, model.term_names[-1]
    steps = tf.Variable(0, trainable=False)

    def poisoned(batch: Any, training: bool) -> Any:
        reported, y_pred = objective(batch, training)
        steps.assign_add(1)
        reported[name] += tf.where(steps > 2, np.inf, 0.0)
        return reported, y_pred

    model.objective = poisoned
    try:
        _fit(model, case.x)
    except ValueError as error:
        assert f"in epoch 1 the term {name!r}" in str(error), f"the message does not name {name!r}: {error}"
    else:
        raise AssertionError("training went on after a loss that was not finite")
    for variable, a, b in zip(model.variables, expected.variables, model.variables, strict=True):
        if "float" in variable.dtype:
            assert np.allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6), (
                f"{variable.path} is not as it was before the step that diverged"
            )


def verbs(case: Case) -> None:
    """The verbs give what they promise, of the shapes that they promise."""
    model = case.model(run_eagerly=True)
    _fit(model, case.x, epochs=1)
    model.run_eagerly = False
    x = case.x[:6]
    z = model.encode(x)
    reconstruction = np.asarray(model.reconstruct(x))
    wanted = (6, *model.code_shape)  # None where images of several sizes are taken
    assert len(z.shape) == len(wanted) and all(b in (None, a) for a, b in zip(z.shape, wanted, strict=True)), (
        f"encode gives shape {z.shape}"
    )
    assert reconstruction.shape == x.shape, f"reconstruct gives shape {reconstruction.shape}"
    pairs = {
        "decode(encode(x))": model.decode(z),
        "model(x)": model(x),
        "predict(x)": model.predict(x, verbose=0),
        "decoder.predict(encoder.predict(x))": model.decoder.predict(model.encoder.predict(x, verbose=0), verbose=0),
    }
    for name, values in pairs.items():
        assert np.allclose(reconstruction, values, atol=1e-5), f"{name} is not reconstruct(x)"
    scores = np.asarray(model.score_samples(x))
    assert scores.shape == (6,), f"score_samples gives shape {scores.shape}"
    quiet = case.model(quiet=True, run_eagerly=True)
    reports = quiet.evaluate(x, return_dict=True, verbose=0)
    value = sum(reports[name] for name in case.score)
    scores = np.asarray(quiet.score_samples(x))
    assert np.isclose(scores.mean(), value, rtol=1e-4), (
        f"score_samples is not the {' + '.join(case.score)} that evaluate reports"
    )
    path = np.asarray(model.interpolate(x[:2], x[2:4], steps=5))
    assert path.shape == (2, 5, *x.shape[1:]), f"interpolate gives shape {path.shape}"
    assert np.allclose(path[:, 0], reconstruction[:2], atol=1e-5), "a path does not start at its first sample"
    assert np.allclose(path[:, -1], reconstruction[2:4], atol=1e-5), "a path does not end at its second sample"


def _weighted_step(case: Case, x: np.ndarray, weight: Any) -> tuple[dict[str, float], list[np.ndarray], keras.Model]:
    """The terms of a batch with sample weights, the gradient of their sum, and the model after that training step."""
    model = case.model(quiet=True, run_eagerly=True)
    batch = Batch.of(tf.constant(x), weight=tf.constant(weight, "float32"))
    with tf.GradientTape() as tape:
        reported = model.objective(batch, training=True)[0]
        loss = sum(reported[name] for name in model.term_names)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    terms = {name: float(reported[name]) for name in model.term_names}
    return terms, [tf.convert_to_tensor(gradient).numpy() for gradient in gradients], model


def _same_step(what: str, expected: Any, got: Any, factor: float) -> None:
    for name, value in expected[0].items():
        assert np.isclose(got[0][name], factor * value, rtol=1e-4, atol=1e-6), (
            f"{what}: the term {name} is {got[0][name]} instead of {factor:g} times {value}: {_SHARES}"
        )
    for variable, a, b in zip(expected[2].trainable_variables, *(step[1] for step in (expected, got)), strict=True):
        scale = factor * np.max(np.abs(a), initial=0)
        assert np.allclose(b, factor * a, rtol=1e-3, atol=1e-5 * scale + 1e-7), (
            f"{what}: the gradient of {variable.path} is not {factor:g} times what it was: {_SHARES}"
        )


_SHARES = "a term is batch.mean of one value per sample, or batch.share of a value that all replicas know"


def weight_scale(case: Case) -> None:
    """All sample weights times c scale every term and its gradient by c."""
    x, weight = case.x[:6], np.array([1, 2, 1, 0.5, 1, 1], "float32")
    once, thrice = (_weighted_step(case, x, c * weight) for c in (1, 3))
    _same_step("all weights times 3", once, thrice, 3)


def weight_zero(case: Case) -> None:
    """A weight of zero leaves a sample out of every term and statistic; a batch of such samples changes nothing.

    The terms stay divided by the size of the batch, as in Keras: of 8 samples, 2 left out, they are 6/8 of those of 6.
    """
    weight = np.array([1, 0, 1, 1, 1, 1, 0, 1], "float32")
    x = case.x[:8]
    rest, whole = _weighted_step(case, x[weight > 0], np.ones(6)), _weighted_step(case, x, weight)
    _same_step("2 of 8 weights are zero", rest, whole, 6 / 8)
    for a, b in zip(*(step[2].non_trainable_variables for step in (rest, whole)), strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6), f"2 of 8 weights are zero: {a.path} differs"
    model = case.model(quiet=True, run_eagerly=True)
    model.initialize_from(x)
    start = _trainable(model)
    _fit(model, x, sample_weight=np.zeros(8, "float32"), epochs=1)
    for variable, a, b in zip(model.trainable_variables, start, _trainable(model), strict=True):
        assert np.array_equal(a, b), f"a batch of weight zero changed {variable.path} to {b}"


def mask(case: Case) -> None:
    """Steps that Keras' mask of a reconstruction leaves out do not count in its error; the first axis has the steps."""
    losses = (None, "mse") if case.takes_loss else (None,)
    for model in (case.model(run_eagerly=True, loss=loss) for loss in losses):
        if model.reconstruction_loss is None or case.x.ndim < 3:
            continue
        batch = Batch.of(tf.constant(case.x[:6]))
        y_pred = np.asarray(model(case.x[:6]))
        counts = np.arange(case.x.shape[1]) < np.arange(1, 7)[:, None]  # of the first sample one step, ...
        other = y_pred.copy()
        other[~counts] = 0.5

        def error(values: np.ndarray, mask: np.ndarray | None, model: Any = model, batch: Any = batch) -> float:
            masked = tf.constant(values)
            if mask is not None:
                masked._keras_mask = tf.constant(mask)
            return float(model.reconstruction(batch, masked))

        assert not np.isclose(error(y_pred, None), error(other, None), rtol=1e-5), "there is nothing to leave out"
        assert np.isclose(error(y_pred, counts), error(other, counts), rtol=1e-5), "masked steps count in the error"
        whole = error(y_pred, np.ones_like(counts))
        assert np.isclose(whole, error(y_pred, None), rtol=1e-5), "a mask of all steps changes the error"


CHECKS: tuple[Callable[[Case], None], ...] = (
    replicas,
    mixed_precision,
    execution,
    accumulation,
    epoch_means,
    sample_weights,
    saving,
    configuration,
    exporting,
    tracing,
    data_forms,
    target,
    determinism,
    bad_input,
    bad_input_of_verbs,
    declared,
    scores,
    divergence,
    verbs,
    weight_scale,
    weight_zero,
    mask,
)
