"""Checks of the contract for training steps, one per property."""

from __future__ import annotations

import dataclasses
import inspect
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import _keras
from aezoo._typing import ArrayLike, Data, Tensor
from aezoo.layers import batch_normalization, networks
from aezoo.schedules import Constant, Scheduled
from aezoo.testing.case import Case, two_replicas
from aezoo.testing.comparing import by_single_steps, fit, same, same_history, same_trainable, trainable, weights_of
from aezoo.testing.serving import called_elsewhere, servable
from aezoo.training.batch import Batch

# === Properties of the contract ===


def replicas(case: Case) -> None:
    """Check property 1: one and two replicas give equal weights and logs, also if one gets no samples at the end."""
    count = len(case.x) // 8 * 8 + (1 if case.empty_replica else 3)
    few = case.data(slice(count))
    metrics = ["mse"] if case.x.dtype.kind == "f" else []  # none of the probabilities of tokens
    one = case.model(quiet=True, metrics=metrics, run_eagerly=True)
    with two_replicas().scope():
        two = case.model(quiet=True, metrics=metrics)
    weighted = {"sample_weight": np.linspace(0, 2, count, dtype="float32"), "validation_data": (few,)}
    calls: tuple[tuple[Any, dict[str, Any]], ...] = ((few, weighted), (case.data(), {}))
    for x, options in calls:
        expected, got = (fit(model, x, epochs=1, **options) for model in (one, two))
        same("two replicas", expected[0], got[0])
        same_history("two replicas", expected[1], got[1])
        two.run_eagerly = True  # one graph shows that replicas wait for each other in a graph; another takes seconds
        _keras.exchange_functions(two, None)


def mixed_precision(case: Case) -> None:
    """Check property 2: `mixed_float16` trains, and weights change as in single precision."""
    half = case.model(quiet=True, dtype="mixed_float16")
    assert isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer), "compile did not wrap the optimizer"
    # With the default initial scale, 2**15, early steps may overflow and be skipped, as they should.
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(case.learning_rate), initial_scale=2**6)
    half = case.model(quiet=True, dtype="mixed_float16", optimizer=optimizer, run_eagerly=True)
    single = by_single_steps(case)
    for variable in half.trainable_variables:
        assert variable.dtype == "float32", f"{variable.path} is stored as {variable.dtype}"
    history = fit(half, case.data())[1]
    for name, values in single.history.items():
        assert np.allclose(values, history[name], rtol=0.02, atol=0.02), (
            f"mixed_float16: {name} is {history[name]} instead of {values}"
        )
    for before, variable, a, b in zip(single.start, half.trainable_variables, single.end, trainable(half), strict=True):
        way, difference = np.linalg.norm(a - before), np.linalg.norm(a - b)
        assert difference <= 0.1 * way + 1e-5, (
            f"mixed_float16: {variable.path} moved by {np.linalg.norm(b - before):.3g} instead of {way:.3g}, "
            f"or in another direction"
        )


def execution(case: Case) -> None:
    """Check property 3: XLA, graphs of one or several steps, and resident data give the same weights as eager steps."""
    expected = by_single_steps(case)
    for options in ({"jit_compile": True}, {"steps_per_execution": 1}, {"steps_per_execution": 8}):
        model = case.model(quiet=True, **options)
        weights, history = fit(model, case.data())
        assert getattr(model, next(iter(options))), f"{options} was not accepted"
        same(str(options), expected.weights, weights)
        same_history(str(options), expected.history, history)
    model = case.model(quiet=True)
    if model.hindrance_of_resident_data({}):  # such as a train_step of its own
        return
    weights, history = fit(model, case.data(), resident=True)
    same("resident=True", expected.weights, weights)
    same_history("resident=True", expected.history, history)


def accumulation(case: Case) -> None:
    """Check property 3: gradients accumulated over two half batches equal the gradients of the whole batch."""
    if not case.mean_over_samples:
        return
    x = case.data(slice(16))
    whole = case.model(quiet=True, run_eagerly=True)
    fit(whole, x, batch_size=16, epochs=1)
    optimizer = keras.optimizers.SGD(case.learning_rate, gradient_accumulation_steps=2)
    halves = case.model(quiet=True, optimizer=optimizer, run_eagerly=True)
    fit(halves, x, batch_size=8, epochs=1)
    advice = "a term or a state that is not a mean over samples, such as codes' variance, needs mean_over_samples=False"
    same_trainable(f"accumulated gradients ({advice})", whole, halves)


def epoch_means(case: Case) -> None:
    """Check property 4: logs are means over the samples of an epoch, with a short last batch weighted by its size."""
    model = case.model(quiet=True, optimizer=keras.optimizers.SGD(0.0), run_eagerly=True)
    history = fit(model, case.data(), epochs=1, validation_data=(case.data(slice(None, None, -1)),))[1]
    assert "loss" in history and len(history) >= 4, f"only {sorted(history)} is reported"
    reported = [name for name in history if not name.startswith("val_") and name not in ("loss", "free_energy_gap")]
    terms = [name for name in reported if name not in model.metric_names]
    assert len(reported) == len(terms) + len(model.metric_names), f"some of {model.metric_names} are not reported"
    assert np.isclose(history["loss"][0], sum(history[name][0] for name in terms), rtol=1e-5), (
        f"the loss {history['loss'][0]} is not the sum of its terms {terms}"
    )
    # Use a new model, since Markov chains continue and the steps must be the same.
    model = case.model(quiet=True, optimizer=keras.optimizers.SGD(0.0))
    batches = [case.data(slice(i, i + 8)) for i in range(0, len(case.x), 8)]
    logs = []
    for batch in batches:
        model.reset_metrics()
        step = model.train_step((keras.tree.map_structure(tf.constant, batch),))
        logs.append({name: float(value) for name, value in step.items()})
    means = [name for name in reported if isinstance(model.tracker(name), keras.metrics.Mean)]
    sizes = [min(8, len(case.x) - i) for i in range(0, len(case.x), 8)]
    for name in ["loss", *means]:
        mean = np.average([log[name] for log in logs], weights=sizes)
        assert mean != 0, f"{name} is 0"
        assert np.isclose(history[name][0], mean, rtol=1e-5), (
            f"{name} is reported as {history[name][0]}, but the mean over the samples is {mean}"
        )


def sample_weights(case: Case) -> None:
    """Check that weight 0 has the effect of leaving a sample out, and weight 2 of repeating it."""
    x = case.x[:8]
    weight = np.array([0, 2, 1, 1, 1, 1, 1, 1], "float32")
    weighted, repeated = (case.model(quiet=True, run_eagerly=True) for _ in range(2))
    for model in (weighted, repeated):
        model.initialize_from(x)  # start both from the same data, since only the steps are compared
    fit(weighted, case.data(slice(8)), sample_weight=weight, epochs=1)
    fit(repeated, case.data([1, 1, 2, 3, 4, 5, 6, 7]), epochs=1)
    same_trainable("sample weights", repeated, weighted)


def saving(case: Case) -> None:
    """Check property 5: after save and load, `fit` continues bit for bit; weights that do not fit do not load."""
    whole = case.model(optimizer="adam", run_eagerly=True)
    fit(whole, case.data(), epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        before = [weights_of(part) for part in (whole, whole.optimizer)]
        whole.save(path)
        for expected, part in zip(before, (whole, whole.optimizer), strict=True):
            same("by saving", expected, weights_of(part), rtol=0, atol=0)
        expected, expected_history = fit(whole, case.data(), epochs=1)
        keras.utils.set_random_seed(1)
        loaded = keras.saving.load_model(path)
        got, history = fit(loaded, case.data(), epochs=1)
        same("after loading", expected, got, rtol=0, atol=0)
        same_history("after loading", expected_history, history, rtol=0)
        for a, b in zip(whole.optimizer.variables, loaded.optimizer.variables, strict=True):
            assert np.array_equal(a.numpy(), b.numpy()), f"after loading: the optimizer's {a.path} differs"
        if case.x.dtype.kind == "f":  # weights for tokens fit any number of steps
            _does_not_load_half(path, Path(folder) / "half.keras")


def _does_not_load_half(path: Path, damaged: Path) -> None:
    _keras.widened_keras_file(path, damaged)
    try:
        keras.saving.load_model(damaged)
    except Exception:
        return
    raise AssertionError("a file whose weights do not fit its configuration was loaded")


def configuration(case: Case) -> None:
    """Check property 5: every constructor argument is in `get_config`, and `from_config` restores it."""
    model = case.make()
    config = model.get_config()
    for kind in type(model).__mro__:
        if kind is keras.Model:
            break
        for name, parameter in inspect.signature(kind.__init__).parameters.items():  # type: ignore[misc]
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or name == "self":
                continue
            if kind is type(model) or name in inspect.signature(type(model).__init__).parameters:
                # `preprocessing` is left out if it is None.
                assert name in config or name == "preprocessing", f"the argument {name} is not in get_config"
    again = type(model).from_config(config)
    assert json.dumps(again.get_config(), default=str) == json.dumps(config, default=str), (
        "from_config(get_config()) has another configuration"
    )


def exporting(case: Case) -> None:
    """Check property 6: every signature of an export works without aezoo and Keras, for any batch size.

    The results must equal the model's own, and TensorFlow Serving must be able to serve the export.
    """
    model = case.model(run_eagerly=True)
    fit(model, case.data(), epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        keras.saving.load_model(Path(folder) / "model.keras").export(Path(folder) / "1")
        servable(Path(folder) / "1")
        x, conditions = case.x[:5], case.conditions_of(slice(5))
        z = np.asarray(model.encode(x, **conditions))
        known = {"x": x, "z": z, **conditions, **case.inputs}
        inputs = {f"{name}|{key}": known[key] for name, (_, specs, _) in model.signatures().items() for key in specs}
        np.savez(Path(folder) / "inputs.npz", **inputs)  # type: ignore[arg-type]
        outputs = called_elsewhere(folder)
        for name, (function, specs, output) in model.signatures().items():
            for size in (1, 5):
                got = outputs[f"{name}|{size}|{output}"]
                values = [known[key] for key in specs]
                expected = np.asarray(function(*(value[:size] if value.ndim else value for value in values)))
                assert got.shape == expected.shape, f"{name} returns shape {got.shape}, not {expected.shape}"
                assert np.allclose(expected, got, rtol=1e-5, atol=1e-5), (
                    f"{name} differs by up to {np.max(np.abs(expected - got)):.3g}"
                )


def tracing(case: Case) -> None:
    """Check property 7: scheduled values change within one traced graph, and follow their schedules."""
    model = case.model()
    traces = []
    objective = model.objective

    def counted(batch: Batch, training: bool) -> tuple[dict[str, Tensor], Tensor]:
        traces.append(training)
        return objective(batch, training)

    model.objective = counted
    x = case.data(slice(16))
    fit(model, x, epochs=1)
    once = len(traces)
    fit(model, x, epochs=3)
    assert len(traces) == once, f"the graph was traced {len(traces) - once} more times in later epochs"
    for layer in _keras.all_layers(model):
        if isinstance(layer, Scheduled):
            value, expected = float(layer.value.numpy()), layer.schedule(3)
            assert np.isclose(value, expected), f"{layer.schedule} is at {value}, not {expected}, in epoch 4"
            assert isinstance(layer.schedule, Constant) or value != layer.schedule(0), "a schedule did not move"


def data_forms(case: Case) -> None:
    """Check property 8: `fit(x)`, `fit(x, x)` and data sets of both give the same weights, also with loss "mse"."""

    def dataset(data: Data) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(data).batch(8)

    by_mse: dict[str, Any] = {"loss": "mse", "metrics": ["mse"]}
    for options in ({}, by_mse) if case.takes_loss else ({},):
        x = case.data()
        forms: dict[str, tuple[Any, ...]] = {
            "fit(x)": (x,),
            "fit(x, x)": (x, case.x),
            "fit(Dataset of x)": (dataset(x),),
            "fit(Dataset of (x, x))": (dataset((x, case.x)),),
        }
        if len(case.conditions) == 1:
            (condition,) = case.conditions.values()
            forms["fit(x, condition)"] = (case.x, condition)
            forms["fit(Dataset of (x, condition))"] = (dataset((case.x, condition)),)
        results = {}
        model = case.model(quiet=True, run_eagerly=True, **options)
        start, untrained = [(variable, variable.numpy()) for variable in model.variables], trainable(model)
        for name, data in forms.items():
            for variable, value in start:  # including its epoch and its random state
                variable.assign(value)
            results[name] = fit(model, *data, epochs=1)  # type: ignore[misc]
            assert any(not np.array_equal(a, b) for a, b in zip(untrained, trainable(model), strict=True)), (
                f"{name} with {options} left every weight unchanged"
            )
        expected = results["fit(x)"]
        for name, got in results.items():
            same(f"{name} with {options}", expected[0], got[0])
            same_history(f"{name} with {options}", expected[1], got[1])
        if options:
            history = expected[1]
            assert np.allclose(history["mse"], history["reconstruction"], rtol=1e-4), (
                f"the metric mse {history['mse']} is not the loss mse {history['reconstruction']}"
            )


def target(case: Case) -> None:
    """Check that `fit(x, y)` trains x → y, or ignores y for a model that has no targets."""
    y = case.x[::-1].copy()
    a, b = by_single_steps(case).weights, fit(case.model(quiet=True, run_eagerly=True), case.data(), y)[0]
    differs = any(not np.allclose(a[name], b[name]) for name in a)
    assert differs == case.learns_target, f"the target made {'a' if differs else 'no'} difference"


def determinism(case: Case) -> None:
    """Check property 9: equal seeds give equal weights, bit for bit; another seed gives other weights."""
    first = fit(case.model(), case.data(), shuffle=True)[0]
    second = fit(case.model(), case.data(), shuffle=True)[0]
    same("the same seed", first, second, rtol=0, atol=0)
    other = fit(case.model(seed=1, run_eagerly=True), case.data(), epochs=1, shuffle=True)[0]
    assert any(not np.array_equal(a, b) for a, b in zip(first.values(), other.values(), strict=True)), (
        "another seed gave the same weights"
    )


def bad_input(case: Case) -> None:
    """Check property 10: invalid data fail before the first step, with one sentence that says what to do."""
    nan, infinite = case.x.copy(), case.x.copy()
    nan[-1].flat[0], infinite[-1].flat[-1] = np.nan, np.inf
    labels = np.arange(len(case.x))
    slices = tf.data.Dataset.from_tensor_slices
    bad: dict[str, tuple[Any, str]] = {
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
    start = trainable(model)
    if networks.output_activation(model.decoder) is keras.activations.sigmoid:
        bad["values outside [0, 1]"] = (case.x * 255, "outside [0, 1]")
        bad["values outside [0, 1] in a data set"] = (slices(case.x * 255).batch(8), "outside [0, 1]")
    if case.conditions:
        arrays = {what: pair for what, pair in bad.items() if isinstance(pair[0], np.ndarray)}
        bad = {what: (case.data(slice(len(x)), x), message) for what, (x, message) in arrays.items()}
        bad |= _bad_conditions(case, model)
    for what, (x, message) in bad.items():
        try:
            model.fit(x, verbose=0)
        except ValueError as error:
            text = str(error)
            assert message in text, f"{what}: the message does not say {message!r}: {text}"
            assert "\n" not in text and len(text) < 400, f"{what}: the message is not one sentence: {text}"
        else:
            raise AssertionError(f"{what}: accepted without an error")
        for a, b in zip(start, trainable(model), strict=True):
            assert np.array_equal(a, b), f"{what}: noticed only after a step"


def _bad_conditions(case: Case, model: keras.Model) -> dict[str, tuple[Data, str]]:
    """Return data with a condition that `fit` must refuse, and a part of the message."""
    bad: dict[str, tuple[Data, str]] = {}
    for name, values in case.conditions.items():
        bounds = model.condition_bounds(name)
        assert bounds is not None or values.dtype.kind not in "iu", (
            f"condition_bounds({name!r}) returns None, so that an integer which is no class would be accepted: return "
            "the least and the largest class"
        )
        value, message = (np.nan, "NaN") if bounds is None else (bounds[1] + 1, f"{name} must be in")
        wrong = np.full(values.shape, value, np.result_type(values.dtype, "int8"))
        bad[f"a {name} of {value:g}"] = {"x": case.x, **case.conditions, name: wrong}, message
    return bad


def bad_input_of_verbs(case: Case) -> None:
    """Check property 10: every verb refuses the data that `fit` refuses, instead of returning numbers or NaN."""
    model = case.model(run_eagerly=True)
    nan = case.x.copy()
    nan[1].flat[0] = np.nan
    wrong = {
        "NaN": (nan, "NaN"),
        "integers": ((case.x * 255).astype("int32"), "floating-point"),
        "samples of another shape": (case.x[:, None], "was built for"),
    }
    verbs: dict[str, Callable[[Any], Any]] = {
        "evaluate": lambda x: model.evaluate(case.data(x=x), verbose=0),
        "predict": lambda x: model.predict(case.data(x=x), verbose=0),
        "train_on_batch": lambda x: model.train_on_batch(case.data(x=x)),
        "test_on_batch": lambda x: model.test_on_batch(case.data(x=x)),
        "encode": lambda x: model.encode(x, **case.conditions),
        "reconstruct": lambda x: model.reconstruct(x, **case.conditions),
        "score_samples": lambda x: model.score_samples(x, **case.conditions),
    }
    for what, (x, message) in wrong.items():
        for name, verb in verbs.items():
            try:
                verb(x)
            except ValueError as error:
                assert message in str(error), f"{name} of {what}: the message does not say {message!r}: {error}"
            else:
                raise AssertionError(f"{name} accepted {what} without an error")


def declared(case: Case) -> None:
    """Check property 11: `objective` returns exactly the names in `term_names` and `metric_names`."""
    model = case.model(run_eagerly=True)
    names = {*model.term_names, *model.metric_names}
    for training in (True, False):
        reported, _ = model.objective(_batch(case, slice(8)), training)
        assert set(reported) == names, f"the objective returns {sorted(reported)}, but declared are {sorted(names)}"


def scores(case: Case) -> None:
    """Check property 12: a score does not depend on the other samples; a loss without values per sample is refused."""
    model = case.model(run_eagerly=True)

    def score(rows: slice) -> np.ndarray:
        return np.asarray(model.score_samples(case.x[rows], **case.conditions_of(rows)))

    together = score(slice(6))
    alone = np.concatenate([score(slice(i, i + 1)) for i in range(6)])
    assert np.allclose(together, alone, rtol=1e-4, atol=1e-5), f"scores {together} become {alone} one by one"
    if not case.takes_loss:
        return
    model = case.model(loss=lambda y, y_pred: keras.ops.mean(keras.ops.abs(y - y_pred)), run_eagerly=True)
    try:
        got = score(slice(6))
    except ValueError:
        return
    assert np.allclose(together, got, rtol=1e-4), "a loss of the whole batch became part of the score of every sample"


def divergence(case: Case) -> None:
    """Check property 14: the first loss that is not finite ends training, names its term and keeps the weights."""
    expected, model = (case.model(quiet=True, run_eagerly=True) for _ in range(2))
    fit(expected, case.data(slice(16)), epochs=1)
    objective, name = model.objective, model.term_names[-1]
    steps = tf.Variable(0, trainable=False)

    def poisoned(batch: Batch, training: bool) -> tuple[dict[str, Tensor], Tensor]:
        reported, y_pred = objective(batch, training)
        steps.assign_add(1)
        reported[name] += tf.where(steps > 2, np.inf, 0.0)
        return reported, y_pred

    model.objective = poisoned
    try:
        fit(model, case.data())
    except ValueError as error:
        assert f"in epoch 1 the term {name!r}" in str(error), f"the message does not name {name!r}: {error}"
    else:
        raise AssertionError("training continued after a loss that was not finite")
    for variable, a, b in zip(model.variables, expected.variables, model.variables, strict=True):
        if "float" in variable.dtype:
            assert np.allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6), (
                f"{variable.path} is not as it was before the step that diverged"
            )


def verbs(case: Case) -> None:
    """Check the results of the verbs and their shapes."""
    model = case.model(run_eagerly=True)
    fit(model, case.data(), epochs=1)
    model.run_eagerly = False
    x, data, conditions = case.x[:6], case.data(slice(6)), case.conditions_of(slice(6))
    z = model.encode(x, **conditions)
    reconstruction = np.asarray(model.reconstruct(x, **conditions))
    wanted = (6, *model.code_shape)  # None for a model of images of several sizes
    assert len(z.shape) == len(wanted) and all(b in (None, a) for a, b in zip(z.shape, wanted, strict=True)), (
        f"encode returns shape {z.shape}"
    )
    assert reconstruction.shape == x.shape, f"reconstruct returns shape {reconstruction.shape}"
    pairs = {"model(x)": model(data), "predict(x)": model.predict(data, verbose=0)}
    decoded = np.asarray(model.decode(z, **conditions))
    if case.decodes:
        pairs["decode(encode(x))"] = decoded
    if case.decodes and not conditions:
        code = model.encoder.predict(x, verbose=0)
        pairs["decoder.predict(encoder.predict(x))"] = model.decoder.predict(code, verbose=0)
    for name, values in pairs.items():
        assert np.allclose(reconstruction, values, atol=1e-5), f"{name} is not reconstruct(x)"
    scores = np.asarray(model.score_samples(x, **conditions))
    assert scores.shape == (6,), f"score_samples returns shape {scores.shape}"
    quiet = case.model(quiet=True, run_eagerly=True)
    quiet.build_for(data)
    numbers = [variable for variable in quiet.weights if "float" in variable.dtype]  # integers count draws of noise
    before = [variable.numpy() for variable in numbers]
    reports = quiet.evaluate(data, return_dict=True, verbose=0)
    for variable, value in zip(numbers, before, strict=True):
        assert np.array_equal(variable.numpy(), value), f"evaluate changes {variable.path}"
    value = sum(reports[name] for name in case.score)
    scores = np.asarray(quiet.score_samples(x, **conditions))
    assert np.isclose(scores.mean(), value, rtol=1e-4), (
        f"score_samples is not the {' + '.join(case.score)} that evaluate reports"
    )
    path = np.asarray(model.interpolate(x[:2], x[2:4], steps=5, **case.conditions_of([0, 1])))
    assert path.shape == (2, 5, *x.shape[1:]), f"interpolate returns shape {path.shape}"
    assert np.allclose(path[:, 0], decoded[:2], atol=1e-5), "a path does not start at its first sample"
    if not conditions:
        assert np.allclose(path[:, -1], decoded[2:4], atol=1e-5), "a path does not end at its second sample"


def _batch(case: Case, rows: slice | np.ndarray | list[int], weight: ArrayLike | None = None) -> Batch:
    """Return rows of a case as the batch of a step."""
    conditions = {name: tf.constant(values) for name, values in case.conditions_of(rows).items()}
    weight = None if weight is None else tf.constant(weight, "float32")
    return Batch.of(tf.constant(case.x[rows]), weight=weight, conditions=conditions)


@dataclasses.dataclass(frozen=True)
class _Step:
    """Terms of a batch with sample weights; by path, the gradients of their sum and the other variables afterwards."""

    terms: dict[str, float]
    gradients: list[tuple[str, np.ndarray]]
    state: list[tuple[str, np.ndarray]]


def _weighted_steps(
    case: Case, *batches: tuple[slice | np.ndarray | list[int], ArrayLike]
) -> tuple[list[_Step], keras.Model]:
    """Return a step of the same model for each of several rows and sample weights, and the model as it was before."""
    model = case.model(quiet=True, run_eagerly=True)
    start = [(variable, variable.numpy()) for variable in model.variables]
    steps = []
    for rows, weight in batches:
        batch = _batch(case, rows, weight)
        with tf.GradientTape() as tape:
            with batch_normalization.weighted(batch.weight):  # as a step does
                reported = model.objective(batch, training=True)[0]
            loss = sum(reported[name] for name in model.term_names)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        steps.append(
            _Step(
                {name: float(reported[name]) for name in model.term_names},
                [(v.path, tf.convert_to_tensor(g).numpy()) for v, g in zip(variables, gradients, strict=True)],
                [(variable.path, variable.numpy()) for variable in model.non_trainable_variables],
            )
        )
        for variable, value in start:
            variable.assign(value)
    return steps, model


def _same_step(what: str, expected: _Step, got: _Step, factor: float) -> None:
    for name, value in expected.terms.items():
        assert np.isclose(got.terms[name], factor * value, rtol=1e-4, atol=1e-6), (
            f"{what}: the term {name} is {got.terms[name]} instead of {factor:g} times {value}: {_SHARES}"
        )
    for (path, a), (_, b) in zip(expected.gradients, got.gradients, strict=True):
        scale = factor * np.max(np.abs(a), initial=0)
        assert np.allclose(b, factor * a, rtol=1e-3, atol=1e-5 * scale + 1e-7), (
            f"{what}: the gradient of {path} is not {factor:g} times the expected one: {_SHARES}"
        )


_SHARES = "a term is batch.mean of one value per sample, or batch.per_replica of a value that is equal on all replicas"


def weight_scale(case: Case) -> None:
    """Check that scaling all sample weights by c scales every term and its gradient by c."""
    weight = np.array([1, 2, 1, 0.5, 1, 1], "float32")
    (once, thrice), _ = _weighted_steps(case, (slice(6), weight), (slice(6), 3 * weight))
    _same_step("all weights times 3", once, thrice, 3)


def weight_zero(case: Case) -> None:
    """Check that a weight of zero leaves a sample out of every term and statistic, and that a batch of them is ignored.

    The terms are still divided by the size of the batch, as in Keras: with 2 of 8 samples left out, they are 6/8 of the
    terms of the other 6.
    """
    weight = np.array([1, 0, 1, 1, 1, 1, 0, 1], "float32")
    x = case.x[:8]
    (rest, whole), model = _weighted_steps(case, (np.flatnonzero(weight), np.ones(6)), (slice(8), weight))
    _same_step("2 of 8 weights are zero", rest, whole, 6 / 8)
    for (path, a), (_, b) in zip(rest.state, whole.state, strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=1e-6), f"2 of 8 weights are zero: {path} differs"
    model.initialize_from(x)
    start = trainable(model)
    fit(model, case.data(slice(8)), sample_weight=np.zeros(8, "float32"), epochs=1)
    for variable, a, b in zip(model.trainable_variables, start, trainable(model), strict=True):
        assert np.array_equal(a, b), f"a batch of weight zero changed {variable.path} to {b}"


def mask(case: Case) -> None:
    """Check that steps outside Keras' mask of a reconstruction do not count in its error; axis 1 holds the steps."""
    losses = (None, "mse") if case.takes_loss else (None,)
    for model in (case.model(run_eagerly=True, loss=loss) for loss in losses):
        if model.reconstruction_loss is None or case.x.ndim < 3:
            continue
        batch = _batch(case, slice(6))
        y_pred = np.asarray(model(case.data(slice(6))))
        counts = np.arange(case.x.shape[1]) < np.arange(1, 7)[:, None]  # one step of the first sample, two of the next
        other = y_pred.copy()
        other[~counts] = 0.5

        def error(
            values: np.ndarray, mask: np.ndarray | None, model: keras.Model = model, batch: Batch = batch
        ) -> float:
            masked = tf.constant(values)
            if mask is not None:
                _keras.set_mask(masked, tf.constant(mask))
            return float(model.reconstruction(batch, masked))

        assert not np.isclose(error(y_pred, None), error(other, None), rtol=1e-5), "the steps do not affect the error"
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
