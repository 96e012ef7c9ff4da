"""Code that relies on undocumented behavior of Keras, TensorFlow and TensorFlow Datasets.

Private names, attributes that are replaced from outside and the internals of `.keras` files are used here and nowhere
else (`tests/architecture_test.py` checks it). Each function names what it relies on, and `tests/keras_seam_test.py` has
a test of each that fails when a new release behaves differently.
"""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo._typing import Tensor

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
"""Members of a `.keras` file that describe the model and hold its weights."""

# === Models and training ===


def compile_arguments(model: keras.Model) -> dict[str, Any]:
    """Return the arguments of `compile` by name, unchanged; {} for a model that is not compiled.

    `model.loss` is not reliable: a second `compile(loss=None)` keeps the loss of the first. Keras' public
    `get_compile_config` returns names instead of functions.

    Relies on: `_compile_config.config` of a compiled model.
    """
    return dict(model._compile_config.config) if model.compiled else {}


def compilation(model: keras.Model) -> object:
    """Return an object that changes with each `compile`, or None for a model that is not compiled.

    Relies on: `_compile_config` of a compiled model.
    """
    return model._compile_config if model.compiled else None


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """Return the metric that averages the loss of a compiled model over an epoch.

    Relies on: a `keras.metrics.Mean` named "loss" before all others in `model.metrics`.
    """
    return next(metric for metric in model.metrics if metric.name == "loss")


def add_to_mean(metric: keras.metrics.Mean, total: Tensor, count: Tensor) -> None:
    """Add a sum and a number of values to a `keras.metrics.Mean`, whose own method accepts values only.

    Args:
        metric: The metric.
        total: Sum of the values, a scalar.
        count: Number of values, a scalar.

    Relies on: the variables `total` and `count`, whose quotient is the result, also over replicas.
    """
    metric.total.assign_add(ops.cast(total, metric.dtype))
    metric.count.assign_add(ops.cast(count, metric.dtype))


def begin_at(model: keras.Model, epoch: int | None) -> None:
    """Make `fit` start at an epoch; call it from `on_train_begin`. None restores the default.

    Relies on: `_initial_epoch`, which Keras' own `BackupAndRestore` also sets, and which outlives `fit`.
    """
    model._initial_epoch = epoch


def is_validation_of_fit(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the keyword arguments of `evaluate` show that `fit` calls it, with data that `fit` has prepared.

    Relies on: the argument `_use_cached_eval_dataset`.
    """
    return bool(kwargs.get("_use_cached_eval_dataset"))


def exchange_functions(model: keras.Model, new: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """Give a model other functions of `fit` and `evaluate`, or let Keras build new ones for None; return the old ones.

    Relies on: `train_function` and `test_function`, which Keras builds if they are None.
    """
    old = model.train_function, model.test_function
    model.train_function, model.test_function = new or (None, None)
    return old


def replace_callbacks(callbacks: keras.callbacks.CallbackList, new: Iterable[keras.callbacks.Callback]) -> None:
    """Replace the callbacks in a list.

    Relies on: the list `callbacks`, which every event is sent to, and `model`.
    """
    callbacks.callbacks[:] = new
    callbacks.set_model(callbacks.model)


def device_memory() -> int | None:
    """Return the memory in bytes that TensorFlow may use on the first GPU, or None without a GPU.

    Relies on: `memory_limit` of the devices in `tensorflow.python.client.device_lib`.
    """
    if not tf.config.list_logical_devices("GPU"):
        return None
    from tensorflow.python.client import device_lib

    return next(device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")


# === Layers ===


def all_layers(layer: keras.layers.Layer) -> list[Any]:
    """Return a layer and all layers inside it, each once.

    Relies on: `_flatten_layers`; the public `layers` has only the children of models.
    """
    return list(layer._flatten_layers())


@contextmanager
def variables_replaced(layer: keras.layers.Layer, *variables: Any) -> Iterator[None]:
    """Remove variables from a built layer; inside the context, variables set as its attributes replace them.

    Relies on: `_tracker`, which a built layer has locked, and `_untrack_variable`.
    """
    layer._tracker.unlock()
    for variable in variables:
        layer._untrack_variable(variable)
    try:
        yield
    finally:
        layer._tracker.lock()


def inputs_as_given(network: keras.layers.Layer) -> Tensor | None:
    """Return the symbolic inputs of a functional model in their original structure, or None for other layers.

    Relies on: `_inputs_struct` of a functional model; `input` has the structure only after the model was called.
    """
    return getattr(network, "_inputs_struct", None)


def replace_call(layer: keras.layers.Layer, call: Callable[..., Any]) -> None:
    """Replace the function that a layer computes.

    Args:
        layer: The layer, built or not.
        call: A function with the signature of `layer.call`.

    Relies on: Keras looking up `call` on the instance, and reading its signature only when the layer is created.
    """
    layer.call = call  # type: ignore[method-assign]


def producer(tensor: Tensor) -> tuple[Any, list[Any]]:
    """Return the layer or operation that computed a symbolic tensor, and the tensors that it was called on.

    Relies on: `_keras_history`, and `_inbound_nodes` with their `input_tensors`; the public `input` of a layer is the
    input of its first call.
    """
    operation, node, _ = tensor._keras_history
    return operation, list(operation._inbound_nodes[node].input_tensors)


def output_index(tensor: Tensor) -> int:
    """Return the index of a symbolic tensor among the outputs of the layer or operation that computed it.

    Relies on: `_keras_history`.
    """
    return int(tensor._keras_history[2])


# === Marks on tensors ===


def mask_of(tensor: Tensor) -> Tensor | None:
    """Return the mask that Keras has put on a tensor, or None.

    Relies on: `_keras_mask`.
    """
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor: Tensor, mask: Tensor) -> None:
    """Put a mask on a tensor, as a layer does.

    Relies on: `_keras_mask`.
    """
    tensor._keras_mask = mask


def keras_logits(tensor: Tensor) -> Tensor | None:
    """Return the logits that Keras attached to the output of a sigmoid or softmax, or None.

    Relies on: `_keras_logits`.
    """
    return getattr(tensor, "_keras_logits", None)


def mark_logits(tensor: Tensor, logits: Tensor) -> None:
    """Mark a tensor as the sigmoid of logits, for Keras' cross-entropy and for `sigmoid_logits`.

    Relies on: `_keras_logits`, which Keras' cross-entropy prefers to the tensor itself.
    """
    tensor._sigmoid_logits = tensor._keras_logits = logits


def sigmoid_logits(tensor: Tensor) -> Tensor | None:
    """Return the logits that `mark_logits` attached to a tensor, or None.

    Relies on: tensors accepting attributes; the mark is aezoo's own.
    """
    return getattr(tensor, "_sigmoid_logits", None)


def mark_class_logits(tensor: Tensor, logits: Tensor) -> None:
    """Mark a tensor as the softmax of logits, for `class_logits`.

    Relies on: tensors accepting attributes; the mark is aezoo's own.
    """
    tensor._class_logits = logits


def class_logits(tensor: Tensor) -> Tensor | None:
    """Return the logits that `mark_class_logits` attached to a tensor, or None.

    Relies on: tensors accepting attributes; the mark is aezoo's own.
    """
    return getattr(tensor, "_class_logits", None)


# === Optimizers ===


def variable_index(optimizer: keras.Optimizer, variable: keras.Variable) -> int:
    """Return the index of a variable among the variables of a built optimizer; works inside `update_step`, too.

    Relies on: `_get_variable_index`.
    """
    return optimizer._get_variable_index(variable)


def adam_slots(optimizer: keras.Optimizer, variable: keras.Variable) -> tuple[tf.Variable, tf.Variable]:
    """Return both moments that a built Adam keeps for a variable.

    Args:
        optimizer: A built Adam.
        variable: One of its variables.

    Raises:
        LookupError: If this version of Keras keeps the moments elsewhere.

    Relies on: `_momentums` and `_velocities`, in the order of `variable_index`.
    """
    try:
        index = variable_index(optimizer, variable)
        return optimizer._momentums[index].value, optimizer._velocities[index].value
    except (AttributeError, LookupError, TypeError) as error:
        raise LookupError(
            f"{type(optimizer).__name__} of Keras {keras.__version__} does not keep its moments where aezoo looks for "
            "them: install a version of Keras that the requirements of aezoo allow."
        ) from error


def adam_step(
    variable: tf.Variable,
    moments: tuple[tf.Variable, tf.Variable],
    gradient: Tensor,
    step: Tensor,
    learning_rate: Tensor,
    beta_1: Tensor,
    beta_2: Tensor,
    epsilon: Tensor,
) -> None:
    """Take a step of Adam in one pass over the weights.

    Args:
        variable: The weights, which are updated in place.
        moments: First and second moment, of the shape of the weights, which are updated in place.
        gradient: Gradient, of the shape and dtype of the weights.
        step: Number of this step, counted from 1; a scalar of the dtype of the weights, like the following arguments.
        learning_rate: Learning rate.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Constant added to the root of the second moment before bias correction.

    Relies on: the operation `ResourceApplyAdam`, and `handle` of a variable.
    """
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moments[0].handle,
        v=moments[1].handle,
        beta1_power=beta_1**step,
        beta2_power=beta_2**step,
        lr=learning_rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=gradient,
    )


@contextmanager
def replaced_update_step(optimizer: keras.Optimizer, function: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """Make `optimizer.apply` call another function instead of `update_step` inside the context.

    This bypasses Keras' tracking of attributes, so that the user's optimizer is otherwise unchanged. Contexts of
    several replicas may overlap.

    Args:
        optimizer: The optimizer itself, not a `LossScaleOptimizer` around it.
        function: Function of gradient, variable and learning rate.

    Relies on: `apply` calling `self.update_step` with these three for every variable that has a gradient.
    """
    attributes: dict[str, Any] = optimizer.__dict__
    attributes["update_step"] = function
    try:
        yield
    finally:
        attributes.pop("update_step", None)


# === Strategies ===


def in_multi_worker_mode(strategy: tf.distribute.MultiWorkerMirroredStrategy) -> bool:
    """Return whether a strategy has several processes.

    Relies on: `extended._in_multi_worker_mode`. The environment, which names the processes too, may have changed since.
    """
    return strategy.extended._in_multi_worker_mode()


def supports_no_merge_call() -> bool:
    """Return whether replicas of the current strategy update independently, so that a step may be in a branch.

    Relies on: `tf.__internal__.distribute`.
    """
    return tf.__internal__.distribute.strategy_supports_no_merge_call()


def distribute_with(strategy: tf.distribute.Strategy, options: tf.data.Options) -> None:
    """Make a strategy set options of each data set that it distributes; a second call changes nothing.

    Relies on: Keras calling `experimental_distribute_dataset` of the strategy for the data sets that it makes from
    arrays.
    """
    if "experimental_distribute_dataset" in vars(strategy):
        return
    distribute = strategy.experimental_distribute_dataset

    def with_options(dataset: tf.data.Dataset, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        return distribute(dataset.with_options(options), *args, **kwargs)

    strategy.experimental_distribute_dataset = with_options


def replica_spec(spec: tf.TypeSpec) -> tf.TypeSpec:
    """Return the spec of one replica's part of an element of a `tf.distribute.DistributedDataset`.

    Args:
        spec: A part of its `element_spec`.

    Relies on: `_value_specs`, if there are several replicas.
    """
    return getattr(spec, "_value_specs", [spec])[0]


# === Files ===


def stripped_keras_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    store: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> None:
    """Copy a `.keras` file without the optimizer and the arguments of `compile`.

    Args:
        source: The file.
        target: The new file.
        store: Function that converts the values of a weight before they are written.

    Relies on: `compile_config` in the configuration, `optimizer` among the weights, and Keras casting weights to the
    dtype of the model that it loads them into, and following links in HDF5.
    """
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as stripped:
        for name in whole.namelist():
            data = whole.read(name)
            if name == CONFIG:
                config = json.loads(data, object_pairs_hook=_known_to_older_keras)
                config.pop("compile_config", None)
                data = json.dumps(config).encode()
            elif name == WEIGHTS:
                data = _without_optimizer(data, store)
            stripped.writestr(name, data)


def _known_to_older_keras(config: list[tuple[str, Any]]) -> dict[str, Any]:
    """Drop entries of a configuration that older versions of Keras refuse and newer ones have as a default."""
    newer = {"quantization_config", "input_axes", "output_axes"}  # entries of layers and initializers
    return {name: value for name, value in config if not (value is None and name in newer)}


def _without_optimizer(weights: bytes, store: Callable[[np.ndarray], np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as source, h5py.File(buffer, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if "optimizer" in name.split("/"):  # of the model, or of a model inside it
                return
            if isinstance(item, h5py.Group):
                new = target.require_group(name)
            else:
                values = store(np.asarray(item[()]))
                # Tied kernels are written once; further uses are links.
                new = written.setdefault((values.dtype, values.shape, values.tobytes()), name)
                target[name] = target[new] if new != name else values
                new = target[name]
            for key, value in item.attrs.items():
                new.attrs[key] = value

        written: dict[Any, str] = {}
        source.visititems(copy)
        for key, value in source.attrs.items():
            target.attrs[key] = value
    return buffer.getvalue()


def widened_keras_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a `.keras` file as if its model had been built for one more feature, so that its weights do not fit.

    Relies on: `input_shape` in `build_config` of the configuration.
    """
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as widened:
        for name in whole.namelist():
            data = whole.read(name)
            if name == CONFIG:
                config = json.loads(data)
                config["build_config"]["input_shape"][-1] += 1
                data = json.dumps(config).encode()
            widened.writestr(name, data)


_MAKING_VARIABLES = threading.RLock()


@contextmanager
def before_each_variable(function: Callable[[tuple[Any, ...]], None]) -> Iterator[None]:
    """Call a function with the shape of each variable that Keras creates in this thread, before it is created.

    Args:
        function: Function of the shape, whose parts may be of any type if a file is damaged. Its errors reach the code
            that creates the variable; Keras ignores some errors of layers.

    Relies on: `keras.Variable.__init__`, whose first arguments are an initializer and a shape; an initializer that is
    an array comes without a shape.
    """
    thread, make = threading.get_ident(), keras.Variable.__init__

    def looked_at(
        self: keras.Variable, initializer: object, shape: tuple[Any, ...] | None = None, *args: Any, **kwargs: Any
    ) -> None:
        if threading.get_ident() == thread:
            function(tuple(shape) if isinstance(shape, (tuple, list)) else (shape,))
        make(self, initializer, shape, *args, **kwargs)

    with _MAKING_VARIABLES:
        keras.Variable.__init__ = looked_at  # type: ignore[method-assign]
        try:
            yield
        finally:
            keras.Variable.__init__ = make  # type: ignore[method-assign]


def export_archive(
    endpoints: Mapping[str, tuple[Callable[..., Any], list[tf.TensorSpec]]],
    resources: keras.layers.Layer | None = None,
) -> keras.export.ExportArchive:
    """Return an archive of functions, whose `write_out` writes them as the signatures of a SavedModel.

    Args:
        endpoints: Signatures by name: a function that returns a dict of tensors, and the specs of its inputs.
        resources: Layer with lookup tables that the functions read, which are no variables.

    Relies on: `add_endpoint` finding the variables that a function reads. `track(model)`, which the documentation
    requires, would write every variable twice.
    """
    archive = keras.export.ExportArchive()
    if resources is not None:
        archive.track(resources)
    for name, (function, specs) in endpoints.items():
        archive.add_endpoint(name, function, specs)
    return archive


# === TensorFlow Datasets ===


@contextmanager
def tfds_gives_up_early(retries: int) -> Iterator[None]:
    """Keep TensorFlow Datasets from waiting for minutes on a machine without network.

    It retries ten times, with waits that double. Up to version 4.9.7 it also queries a bucket whenever it opens a data
    set that is not prepared; later versions do not.

    Args:
        retries: Number of retries of a download.

    Relies on: `downloader.MAX_RETRIES` and `gcs_utils._is_gcs_disabled`, read at each download.
    """
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import gcs_utils

    before = getattr(gcs_utils, "_is_gcs_disabled", True), downloader.MAX_RETRIES
    gcs_utils._is_gcs_disabled, downloader.MAX_RETRIES = True, retries
    try:
        yield
    finally:
        gcs_utils._is_gcs_disabled, downloader.MAX_RETRIES = before
