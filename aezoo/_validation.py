"""Checks of arguments, networks and data, each with an error of one sentence that says what to do."""

from __future__ import annotations

import math
import numbers
import re
import textwrap
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from aezoo import losses
from aezoo._typing import Array, Shape, Tensor
from aezoo.layers import networks
from aezoo.preprocessing.base import Preprocessing

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder
    from aezoo.training.gate import Rules, Spec
    from aezoo.training.trainer import Trainer

#: Code that scales features to mean 0 and variance 1, for messages.
STANDARDIZED = "(x - x.mean(0)) / (x.std(0) + 1e-6)"
#: Names of other inputs of verbs, samplers and signatures, which a condition cannot have.
TAKEN_NAMES = frozenset(
    ("x", "z", "n", "seed", "x_a", "x_b", "steps", "eta", "samples", "batch_size", "training", "observed", "self")
)
# The largest root mean square of a feature that networks can learn from.
_LARGEST = 30.0


# === Arguments ===


def check_network_arguments(
    latent_dim: int | None,
    hidden_dims: Sequence[int],
    filters: Sequence[int],
    encoder: keras.Model | None,
    decoder: keras.Model | None,
    tied: bool,
) -> None:
    """Check the arguments that choose the networks of a model."""
    if encoder is None:
        if latent_dim is None:
            raise ValueError("Give latent_dim (the number of code units), or an encoder of your own.")
        if decoder is not None:
            raise ValueError("A decoder was given without an encoder: give both, or neither.")
    elif latent_dim is not None or hidden_dims or filters:
        raise ValueError("An encoder of your own was given: leave out latent_dim, hidden_dims and filters.")
    if decoder is not None and tied:
        raise ValueError("tied=True makes the decoder from the encoder: leave out the decoder of your own.")
    if tied and filters:
        raise ValueError("tied=True needs a dense encoder, but filters are given: set tied=False or filters=().")
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if network is not None and not isinstance(network, keras.layers.Layer):
            raise ValueError(f"{name} must be a Keras model or layer, but it is {network!r}.")


def check_hidden_layers(
    hidden_dims: Sequence[int],
    filters: Sequence[int],
    encoder: keras.Model | None,
    tied: bool,
    dropout: float,
    normalization: str | None,
    kernel_size: int,
    upsampling: str,
    residual: int,
) -> None:
    """Check the arguments that describe the hidden layers of the default networks."""
    check_fraction("dropout", dropout, below_1=True)
    if normalization is not None:
        check_choice("normalization", normalization, ("batch", "layer"))
    check_int("kernel_size", kernel_size, 1)
    check_choice("upsampling", upsampling, ("transpose", "resize"))
    check_int("residual", residual, 0)
    asked = {"dropout": dropout, "normalization": normalization, "residual": residual}
    asked = {name: value for name, value in asked.items() if value}
    if asked and encoder is not None:
        raise ValueError(f"An encoder of your own was given: put the layers of {' and '.join(asked)} into it.")
    for name, value in asked.items():
        layers = filters if name == "residual" else (*hidden_dims, *filters)
        if not layers:
            which = "filters" if name == "residual" else "hidden_dims or filters"
            raise ValueError(f"{name}={value!r} applies to hidden layers, but the model has none: give {which}.")
    if tied and normalization:
        raise ValueError("tied=True transposes only kernels: set tied=False, or leave out the normalization.")


#: Arguments of `Autoencoder` that describe its hidden layers, and all arguments that choose its networks.
HIDDEN_LAYERS = ("hidden_dims", "filters", "dropout", "normalization", "kernel_size", "upsampling", "residual")
ACTIVATIONS = ("activation", "code_activation", "output_activation")
NETWORK_ARGUMENTS = (*HIDDEN_LAYERS, *ACTIVATIONS, "tied", "encoder", "decoder", "missing")


def check_left_out(model: Autoencoder, names: Iterable[str], kwargs: Mapping[str, Any], because: str) -> None:
    """Check that a model is not given some arguments.

    Args:
        model: A model.
        names: Names of the arguments.
        kwargs: Arguments of its constructor.
        because: Clause after the name of its class that says why.

    Raises:
        ValueError: If one of the arguments has a value that counts as true.
    """
    for name in names:
        if kwargs.get(name):
            raise ValueError(f"{type(model).__name__} {because}: leave out {name}.")


def check_no_networks(model: Autoencoder, kwargs: Mapping[str, Any]) -> None:
    """Check that a model with fixed networks gets no arguments for networks."""
    for name in kwargs.keys() - {"seed", "name", "dtype", "trainable", "on_divergence", "preprocessing"}:
        raise TypeError(f"{type(model).__name__} got an unexpected keyword argument {name!r}.")


def check_precision(model: Trainer) -> None:
    """Check that a model does not compute in double precision, which does not fit its float32 statistics."""
    if "float64" in (model.compute_dtype, model.variable_dtype):
        raise ValueError(
            "aezoo's models compute in single or half precision, not in float64: give dtype='float32' or "
            "'mixed_float16', or set keras.config.set_floatx('float32')."
        )


def check_preprocessing(model: Trainer, preprocessing: object) -> None:
    """Check that a model can use preprocessing: it is fitted, and makes samples of the shape of a built model."""
    if not isinstance(preprocessing, Preprocessing):
        raise ValueError(f"preprocessing must be one of aezoo.preprocessing, but it is {preprocessing!r}.")
    if not preprocessing.is_fitted:
        raise ValueError(f"The preprocessing {preprocessing.name!r} is not fitted: call its fit(raw) first.")
    if model.built and not shapes_match(preprocessing.sample_shape, model.x_shape):
        raise ValueError(
            f"The preprocessing makes samples of shape {preprocessing.sample_shape}, but {model.name!r} was built for "
            f"{model.x_shape}: fit it on the data that the model was trained on."
        )


def _number(name: str, value: object) -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, but it is {value!r}.")
    if math.isinf(value):
        raise ValueError(f"{name} must be finite, but it is {value!r}.")


def check_int(name: str, value: object, low: int | None = None) -> int:
    """Check that a value is a whole number, at least `low`, and return it as an int."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, but it is {value!r}.")
    if low is not None:
        check_at_least(name, value, low)  # type: ignore[arg-type]  # `numbers` is not typed for int
    return int(value)


def check_ints(name: str, values: object) -> tuple[int, ...]:
    """Check that a value is a sequence of whole numbers of at least 1, and return it as a tuple."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ValueError(f"{name} must be a sequence of whole numbers, such as (500, 250), but it is {values!r}.")
    return tuple(check_int(f"Every number in {name}", value, 1) for value in values)


def check_open_interval(name: str, value: float, low: float, high: float) -> None:
    """Check that low < value < high."""
    _number(name, value)
    if not low < value < high:
        raise ValueError(f"{name} must be inside ({low:g}, {high:g}), but {name}={value!r}.")


def check_at_least(name: str, value: float, low: float) -> None:
    """Check that value >= low."""
    _number(name, value)
    if not value >= low:
        raise ValueError(f"{name} must be at least {low:g}, but it is {value!r}.")


def check_fraction(name: str, value: float, below_1: bool = False) -> None:
    """Check that 0 <= value <= 1, or 0 <= value < 1."""
    check_at_least(name, value, 0)
    if value > 1 or (below_1 and value == 1):
        raise ValueError(f"{name} must be {'less than' if below_1 else 'at most'} 1, but it is {value!r}.")


def check_choice(name: str, value: str | None, choices: Sequence[str | None]) -> None:
    """Check that a value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(map(repr, choices))}.")


# === Networks ===


def check_known_shape(x_shape: Shape) -> None:
    """Check that the default networks can be built for samples of this shape."""
    if not x_shape:
        raise ValueError("The samples are single numbers: give them as (n, 1), x.reshape(-1, 1).")
    if None in x_shape:
        raise ValueError(
            f"Samples of shape {x_shape} have no fixed number of features, which the default networks need: "
            "give an encoder and a decoder of your own, or resize the samples."
        )


def call_network(role: str, network: keras.layers.Layer, x: Tensor, outputs: int = 1) -> Tensor:
    """Call a network on a symbolic input, with an error of one sentence if it does not accept the input.

    Args:
        role: "encoder" or "decoder".
        network: A Keras model or layer.
        x: A symbolic input.
        outputs: Number of outputs that the caller needs. Only 1 is checked; for more, the caller checks.

    Returns:
        The output of the network.

    Raises:
        ValueError: If the network fails, or has several outputs although one is needed.
    """
    try:
        made = network(x)
    except Exception as error:
        made_by = "the input" if role == "encoder" else "the encoder's output"
        raise ValueError(
            f"The {role} {network.name!r} does not accept {made_by} of shape {tuple(x.shape[1:])} ({_reason(error)}): "
            f"change its input shape."
        ) from error
    if outputs == 1 and isinstance(made, (list, tuple, dict)):
        also = " A VAE takes an encoder with two, μ and log σ², as VAE(encoder=...)." if role == "encoder" else ""
        raise ValueError(
            f"The {role} {network.name!r} has {len(made)} outputs, but it must have one: give "
            f"keras.Model({role}.input, {role}.output[0]), with the index of the right output.{also}"
        )
    return made


def _reason(error: Exception) -> str:
    """Return the reason of an error on one line: Keras prints it in bold after a line with the location."""
    bold = re.search("\x1b\\[1m(.*?)\x1b\\[0m", str(error), re.DOTALL)
    text = (bold[1] if bold else str(error)).strip().rstrip(".")
    return textwrap.shorten(text, 240, placeholder=" ...") or type(error).__name__


def check_reconstruction_shape(x_shape: Shape, reconstruction_shape: Shape) -> None:
    """Check that a reconstruction has the shape of its input."""
    if len(x_shape) != len(reconstruction_shape) or any(
        None not in (a, b) and a != b for a, b in zip(x_shape, reconstruction_shape, strict=True)
    ):
        raise ValueError(
            f"The decoder returns reconstructions of shape {reconstruction_shape} for inputs of shape {x_shape}: "
            "end it with a layer that returns the input's shape, such as Reshape."
        )


def are_comparable(model: Autoencoder) -> bool:
    """Return whether samples can be the targets of a model's reconstructions."""
    fits = shapes_match(model.x_shape, model.y_shape)
    classes = losses.takes_classes(model.reconstruction_loss) and "int" in model.input_dtype
    return fits or (classes and shapes_match(model.x_shape, model.y_shape[:-1]))


def check_comparable(
    model: Autoencoder, x: Array, advice: str = "there is no score of samples alone, use evaluate(x, y)"
) -> None:
    """Check that samples can be the targets of a model's reconstructions."""
    if not are_comparable(model):
        raise ValueError(
            f"Reconstructions of {model.name!r} have shape {model.y_shape}, but the samples have shape "
            f"{model.x_shape}: {advice}."
        )


def check_replicas(model: Trainer) -> None:
    """Check that Keras can train or evaluate a model on the replicas of its strategy."""
    if model.distribute_strategy.num_replicas_in_sync > 1 and model.steps_per_execution > 1:
        raise ValueError(
            f"steps_per_execution={model.steps_per_execution} fails in Keras with several replicas: leave it at 1."
        )


def check_declared(model: Trainer, reported: Mapping[str, Any]) -> None:
    """Check that an objective returns exactly the terms and metrics that its class declares."""
    names = {*model.term_names, *model.metric_names}
    kind = type(model).__name__
    if extra := sorted(reported.keys() - names):
        raise ValueError(
            f"The objective of {kind} returns {', '.join(map(repr, extra))}, which it does not declare: name it in "
            "term_names to minimize it, or in metric_names to report it."
        )
    if missing := sorted(names - reported.keys()):
        raise ValueError(
            f"{kind} declares {', '.join(map(repr, missing))} in term_names or metric_names, but its objective does "
            "not return it."
        )
    for name in model.term_names:
        shape = getattr(reported[name], "shape", ())
        if getattr(shape, "rank", 0) is not None and len(shape):
            raise ValueError(
                f"{name!r} of {kind} has shape {tuple(shape)} and must be a single number: take batch.mean of one "
                "value per sample."
            )


def check_built(model: Autoencoder) -> None:
    """Check that a model is built."""
    if not hasattr(model, "built"):
        raise TypeError(
            f"{type(model).__name__} is not a model of aezoo: give a model, or for a stack the result of its `unroll`."
        )
    if not model.built:
        raise ValueError(f"{model.name!r} has no weights yet: fit it, or call it on a batch, before this.")


# === Data ===


def check_sample_shape(model: Autoencoder | Rules, shape: Shape) -> None:
    """Check that samples have the shape that a model was built for."""
    if model.built and model.x_shape is not None and not shapes_match(tuple(shape[1:]), model.x_shape):
        one = ": give a single sample as x[None]" if shapes_match(tuple(shape), model.x_shape) else ""
        raise ValueError(
            f"The samples have shape {tuple(shape[1:])}, but {model.name!r} was built for {model.x_shape}{one}."
        )


def check_condition(name: str, given: Spec, wanted: Spec) -> None:
    """Check that the shape per sample and the dtype of a condition are what a network accepts."""
    if not shapes_match(given.shape, wanted.shape):
        is_one_hot = not wanted.shape and len(given.shape) == 1
        advice = f": give one integer per sample, such as {name}.argmax(axis=-1)" if is_one_hot else ""
        raise ValueError(f"{name} has shape {given.shape} per sample, but the model takes {wanted.shape}{advice}.")
    if "int" in wanted.dtype and "int" not in given.dtype and given.dtype != "bool":
        texts = given.dtype.startswith(("str", "<U", "object", "bytes"))
        advice = f": convert texts with np.unique({name}, return_inverse=True)[1]" if texts else ""
        raise ValueError(f"{name} must be integers, not {'texts' if texts else given.dtype}{advice}.")


def check_code_shape(model: Autoencoder, shape: Shape) -> None:
    """Check that codes have the shape of a built model's codes."""
    if not shapes_match(tuple(shape[1:]), model.code_shape):
        raise ValueError(
            f"The codes have shape {tuple(shape[1:])}, but codes of {model.name!r} have shape {model.code_shape}."
        )


def shapes_match(shape: Shape, wanted: Shape) -> bool:
    """Return whether two shapes are equal, where None stands for any size."""
    return len(shape) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(shape, wanted, strict=True))


def check_condition_name(name: Any, taken: Collection[str]) -> None:
    """Check that a condition has the name of an input that verbs and signatures do not have already."""
    if not isinstance(name, str) or not name.isidentifier() or name in taken:
        raise ValueError(f"condition must be an unused identifier, such as 'label', but it is {name!r}.")


def check_conditions(conditions: Any, taken: Collection[str]) -> dict[str, int]:
    """Check conditions, {name: number of classes}, and return them; {} for None."""
    if conditions is None:
        return {}
    if not isinstance(conditions, Mapping) or not conditions:
        raise ValueError(f"conditions must be a dict such as {{'shape': 3, 'size': 6}}, but it is {conditions!r}.")
    for name in conditions:
        check_condition_name(name, taken)
    return {name: check_int(f"conditions[{name!r}]", count, 1) for name, count in conditions.items()}


def check_codes_in_range(below: Autoencoder, above: Autoencoder) -> None:
    """Check that a model can reconstruct the codes of another model, which it learns from."""
    bounds, found = above.output_bounds, networks.output_range(below.encoder)
    if bounds is None or found is None:
        return
    name, (low, high) = found
    if low < bounds[0] or high > bounds[1]:
        raise ValueError(
            f"The codes of {below.name!r} ({name}) go outside [{bounds[0]:g}, {bounds[1]:g}], but {above.name!r} "
            "reconstructs only this range: give it output_activation='linear' (an RBM: visible='gaussian')."
        )


def check_scale(model: Autoencoder, x: np.ndarray) -> None:
    """Warn if features that a model reconstructs without bounds are far from mean 0 and variance 1.

    Args:
        model: The model.
        x: Some of the samples, (n, *input_shape).
    """
    largest = float(np.sqrt(np.mean(np.square(np.nan_to_num(x)), axis=0)).max())
    if largest > _LARGEST:
        warnings.warn(
            f"{type(model).__name__} expects features of mean 0 and variance 1, but these have root mean squares of up "
            f"to {largest:.3g}: use {STANDARDIZED}, with the mean and deviation of the training data.",
            stacklevel=4,
        )
