"""Checks that stop before the first step, each with one sentence that says what is wrong and what to do."""

from __future__ import annotations

import itertools
import math
import numbers
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from aezoo import losses
from aezoo.layers import Quantizer, TopK, networks

# What a failed assertion of a tf.data pipeline says is found again between these two.
_OPEN, _CLOSE = "<<aezoo: ", ">>"
# Single precision turns 1.0 into 1.0000001 in a resized or rescaled image.
_SLACK = 1e-5
_EMPTY = "The data set is empty: there are no samples."
_NOT_FINITE = "The data contain NaN or infinite values: remove or replace them before training."


# === Arguments ===


def network_arguments(
    latent_dim: int | None,
    hidden_dims: Sequence[int],
    filters: Sequence[int],
    encoder: Any,
    decoder: Any,
    tied: bool,
) -> None:
    """Checks the arguments that say which networks a model has."""
    if encoder is None:
        if latent_dim is None:
            raise ValueError("Give latent_dim (the number of code units), or an encoder and a decoder of your own.")
        if decoder is not None:
            raise ValueError("A decoder was given without an encoder: give both, or neither.")
    elif latent_dim is not None or hidden_dims or filters:
        raise ValueError("An encoder of your own was given: latent_dim, hidden_dims and filters must not be.")
    if encoder is not None and decoder is None and not tied:
        raise ValueError("An encoder was given without a decoder: give both, or tied=True for W' = Wᵀ.")
    if decoder is not None and tied:
        raise ValueError("tied=True makes the decoder from the encoder: do not give a decoder of your own too.")
    if tied and filters:
        raise ValueError("tied=True needs a dense encoder, which convolutions are not: set tied=False or filters=().")
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if network is not None and not isinstance(network, keras.layers.Layer):
            raise ValueError(f"{name} must be a Keras model or layer, but it is {network!r}.")


#: The arguments of `Autoencoder` that choose its networks.
NETWORK_ARGUMENTS = (
    *("hidden_dims", "filters", "tied", "encoder", "decoder"),
    *("activation", "code_activation", "output_activation"),
)


def no_networks(model: Any, kwargs: Any) -> None:
    """Checks that a model whose networks are given by what it is gets no arguments for others."""
    for name in kwargs.keys() - {"seed", "name", "dtype", "trainable"}:
        raise TypeError(f"{type(model).__name__} got an unexpected keyword argument {name!r}.")


def precision(model: Any) -> None:
    """Checks that a model does not compute in double precision, which its float32 statistics do not go with."""
    if "float64" in (model.compute_dtype, model.variable_dtype):
        raise ValueError(
            "aezoo's models compute in single or half precision, not in float64: give dtype='float32' or "
            "'mixed_float16', or leave keras.config.set_floatx at 'float32'."
        )


def _number(name: str, value: Any) -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, but it is {value!r}.")


def whole(name: str, value: Any, low: int | None = None) -> int:
    """Checks that a value is a whole number, at least `low`, and returns it as an int."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, but it is {value!r}.")
    if low is not None:
        at_least(name, value, low)
    return int(value)


def whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    """Checks that a value is a sequence of whole numbers of at least 1, and returns it as a tuple."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ValueError(f"{name} must be a sequence of whole numbers, such as (500, 250), but it is {values!r}.")
    return tuple(whole(f"Every number in {name}", value, 1) for value in values)


def inside(name: str, value: float, low: float, high: float) -> None:
    """Checks that low < value < high."""
    _number(name, value)
    if not low < value < high:
        raise ValueError(f"{name} must be inside ({low:g}, {high:g}), but {name}={value!r}.")


def at_least(name: str, value: float, low: float) -> None:
    """Checks that value >= low."""
    _number(name, value)
    if not value >= low:
        raise ValueError(f"{name} must be at least {low:g}, but it is {value!r}.")


def fraction(name: str, value: float, below_1: bool = False) -> None:
    """Checks that 0 <= value <= 1, or 0 <= value < 1."""
    at_least(name, value, 0)
    if value > 1 or (below_1 and value == 1):
        raise ValueError(f"{name} must be {'less than' if below_1 else 'at most'} 1, but it is {value!r}.")


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Checks that a value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(map(repr, choices))}.")


# === Networks ===


def known_shape(x_shape: tuple[int | None, ...]) -> None:
    """Checks that the networks can be built for samples of this shape."""
    if not x_shape:
        raise ValueError("The samples are single numbers: give them as (n, 1), x.reshape(-1, 1).")
    if None in x_shape:
        raise ValueError(
            f"Samples of shape {x_shape} have no fixed number of features, which the default networks need: "
            "give an encoder and a decoder of your own, or resize the samples."
        )


def call_network(role: str, network: Any, x: Any) -> Any:
    """Calls a network on a symbolic input, and says in one sentence if it does not take it."""
    try:
        return network(x)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        made_by = "the input" if role == "encoder" else "the encoder's output"
        raise ValueError(
            f"The {role} {network.name!r} does not take {made_by} of shape {tuple(x.shape[1:])} ({reason}): "
            f"change its input shape."
        ) from error


def same_shape(x_shape: tuple[int | None, ...], reconstruction_shape: tuple[int | None, ...]) -> None:
    """Checks that a reconstruction has the shape of its input."""
    if len(x_shape) != len(reconstruction_shape) or any(
        None not in (a, b) and a != b for a, b in zip(x_shape, reconstruction_shape, strict=True)
    ):
        raise ValueError(
            f"The decoder gives reconstructions of shape {reconstruction_shape} for inputs of shape {x_shape}: "
            "end it with a layer that gives the input's shape (such as Reshape)."
        )


def replicas(model: Any) -> None:
    """Checks that Keras can train or evaluate a model on as many replicas as its strategy has."""
    if model.distribute_strategy.num_replicas_in_sync > 1 and model.steps_per_execution > 1:
        raise ValueError(
            f"steps_per_execution={model.steps_per_execution} fails in Keras where there are several replicas: leave "
            "it at 1."
        )


def built(model: Any) -> None:
    """Checks that a model has its networks."""
    if not hasattr(model, "built"):
        raise TypeError(f"{type(model).__name__} is no model of aezoo; of a stack, give what its `unroll` returns.")
    if not model.built:
        raise ValueError(f"{model.name!r} has no weights yet: fit it, or call it on a batch, before this.")


# === Data ===


def kind(x: Any) -> None:
    """Checks that samples are floating-point numbers."""
    if isinstance(x, tf.data.Dataset):
        raise ValueError("Expected samples as one array, not a data set: use model.predict or model.encoder.predict.")
    _check_dtype(x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype)


def array(x: Any) -> None:
    """Checks that an array has samples, of floating-point numbers."""
    kind(x)
    if 0 in x.shape:
        raise ValueError(_EMPTY)


def _check_dtype(dtype: Any) -> None:
    name = getattr(dtype, "name", str(dtype))
    if name == "bool" or "int" in name:
        raise ValueError(
            f"The samples are {name}, not floating-point: scale them first, for example x.astype('float32') / 255."
        )
    if "float" not in name:
        raise ValueError(f"The samples are {name}, not floating-point: convert them with x.astype('float32').")


def sample_shape(model: Any, shape: Any) -> None:
    """Checks that samples have the shape that a built model takes."""
    if model.built and not _fits(tuple(shape[1:]), model.x_shape):
        one = ": a single sample is x[None]" if _fits(tuple(shape), model.x_shape) else ""
        raise ValueError(
            f"The samples have shape {tuple(shape[1:])}, but {model.name!r} was built for {model.x_shape}{one}."
        )


def code_shape(model: Any, shape: Any) -> None:
    """Checks that codes have the shape that a built model gives."""
    if not _fits(tuple(shape[1:]), model.code_shape):
        raise ValueError(f"The codes have shape {tuple(shape[1:])}, but those of {model.name!r} {model.code_shape}.")


def _fits(shape: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(shape, wanted, strict=True))


def _check_shapes(model: Any, x_shape: Any, y_shape: Any) -> None:
    sample_shape(model, x_shape)
    if y_shape is not None and not _fits(tuple(y_shape[1:]), tuple(x_shape[1:])):
        raise ValueError(
            f"The targets have shape {tuple(y_shape[1:])}, but reconstructions have shape {tuple(x_shape[1:])}; if "
            "they are labels, leave them out: fit(x), or dataset.map(lambda image, label: image)."
        )


def target_range(model: Any) -> tuple[float, float] | None:
    """The values that a model can reconstruct, or None where there is no bound."""
    decoder = model.decoder
    activation = model.output_activation if decoder is None else networks.output_activation(decoder)
    activation = keras.activations.get(activation)
    if activation is keras.activations.sigmoid or isinstance(model.reconstruction_loss, losses.CrossEntropy):
        return 0.0, 1.0
    return (-1.0, 1.0) if activation is keras.activations.tanh else None


_CODES = {
    keras.activations.sigmoid: (0.0, 1.0),
    keras.activations.hard_sigmoid: (0.0, 1.0),
    keras.activations.softmax: (0.0, 1.0),
    keras.activations.tanh: (-1.0, 1.0),
}


def codes_in_range(below: Any, above: Any) -> None:
    """Checks that the codes of one model can be reconstructed by another that learns from them."""
    bounds = target_range(above)
    last = networks.output_activation(below.encoder, (keras.layers.Dropout, Quantizer, TopK))
    reached = _CODES.get(last, (-math.inf, math.inf))
    if bounds and last is not None and not (bounds[0] <= reached[0] and reached[1] <= bounds[1]):
        raise ValueError(
            f"The codes of {below.name!r} ({last.__name__}) go outside [{bounds[0]:g}, {bounds[1]:g}], which is all "
            f"that {above.name!r} reconstructs: give it output_activation='linear' (an RBM: visible='gaussian')."
        )


def _out_of_range(model: Any, low: Any, high: Any) -> str:
    return (
        f"The targets go outside [{low:g}, {high:g}], which is all that this model's output can reach: scale them, or "
        f"choose {model.unbounded}."
    )


def guard(model: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Checks data for `fit` and `evaluate`.

    Arrays are checked here and now, a `tf.data.Dataset` batch by batch on its way, of anything else the first batch.

    Args:
        model: The model.
        x: Whatever `keras.Model.fit` takes as x.
        y: Targets, where x is an array.

    Returns:
        x, to be used in its place, and the shape of its first batch.

    Raises:
        ValueError: If the data cannot be used.
    """
    if isinstance(x, tf.data.Dataset):
        return _guard_dataset(model, x)
    if isinstance(x, tf.distribute.DistributedDataset):
        spec = keras.tree.flatten(x.element_spec)[0]
        return x, getattr(spec, "_value_specs", [spec])[0].shape
    if isinstance(x, keras.utils.PyDataset):
        if not len(x):
            raise ValueError(_EMPTY)
        return x, _guard_element(model, x[0])
    if hasattr(x, "__next__"):
        try:
            first = next(x)
        except StopIteration:
            raise ValueError(_EMPTY) from None
        shape = _guard_element(model, first)
        # Keras takes no other kind of iterator, and of it only tuples.
        every = itertools.chain([first], x)
        return (element if isinstance(element, tuple) else (element,) for element in every), shape
    if x is None or isinstance(x, (tuple, list, dict)) or not hasattr(x, "shape"):
        raise ValueError(
            f"Expected samples as one array, a tf.data.Dataset, a keras.utils.PyDataset or a generator, "
            f"but got {type(x).__name__}."
        )
    _guard_arrays(model, x, y)
    return x, x.shape


def _one_tensor(x: Any) -> None:
    if isinstance(x, dict):
        raise ValueError(
            f"The elements of the data are dicts ({', '.join(map(repr, x))}): take out the samples, for example "
            f"dataset.map(lambda element: element[{next(iter(x), 'image')!r}])."
        )


def step(model: Any, x: Any, y: Any) -> None:
    """Checks what can be seen of a batch without its numbers, for those that come by another way than `fit`."""
    _one_tensor(x)
    kind(x)
    _check_shapes(model, x.shape, None if y is None else y.shape)


def weights(sample_weight: Any, class_weight: Any) -> None:
    """Checks the weights that `fit` is given."""
    if class_weight is not None:
        raise ValueError("class_weight needs labels, which an autoencoder has none of: give sample_weight.")
    if sample_weight is not None and np.ndim(sample_weight) != 1:
        raise ValueError(f"Give one weight a sample, (n,), not weights of shape {np.shape(sample_weight)}.")


def _guard_element(model: Any, element: Any) -> Any:
    x, y, _ = keras.utils.unpack_x_y_sample_weight(element)
    _one_tensor(x)
    _guard_arrays(model, x, y)
    return x.shape


def _guard_arrays(model: Any, x: Any, y: Any) -> None:
    array(x)
    _check_shapes(model, x.shape, None if y is None else y.shape)
    if y is not None and y is not x:
        _finite_range(x)
    values(model, x if y is None else y)


def _finite_range(array: Any) -> tuple[float, float]:
    low, high = float(np.min(array)), float(np.max(array))  # NaN and infinity come out in one of them
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(_NOT_FINITE)
    return low, high


def values(model: Any, x: Any) -> None:
    """Checks that samples, of any dtype and number, are finite and what the model can reconstruct."""
    if math.prod(np.shape(x)):
        (low, high), bounds = _finite_range(x), target_range(model)
        if bounds and (low < bounds[0] - _SLACK or high > bounds[1] + _SLACK):
            raise ValueError(f"{_out_of_range(model, *bounds)} Theirs are from {low:g} to {high:g}.")


def _guard_dataset(model: Any, dataset: tf.data.Dataset) -> tuple[tf.data.Dataset, Any]:
    x, y, _ = keras.utils.unpack_x_y_sample_weight(dataset.element_spec)
    _one_tensor(x)
    if int(dataset.cardinality()) == 0:
        raise ValueError(_EMPTY)
    _check_dtype(x.dtype)
    _check_shapes(model, x.shape, None if y is None else y.shape)
    bounds = target_range(model)

    def check(*element: Any) -> Any:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(element)
        assertions = [tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(x)), [_OPEN + _NOT_FINITE + _CLOSE])]
        if bounds:
            target = x if y is None else y
            in_range = (tf.reduce_min(target) >= bounds[0] - _SLACK) & (tf.reduce_max(target) <= bounds[1] + _SLACK)
            assertions.append(tf.debugging.Assert(in_range, [_OPEN + _out_of_range(model, *bounds) + _CLOSE]))
        with tf.control_dependencies(assertions):
            return tf.nest.map_structure(tf.identity, element[0] if len(element) == 1 else element)

    return dataset.map(check), x.shape


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turns the failure of a check inside a `tf.data` pipeline into its sentence."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(f"{_OPEN}(.*?){_CLOSE}", error.message)
        if not found:
            raise
        raise ValueError(found.group(1).replace("\\'", "'")) from None  # TensorFlow escapes quotes
