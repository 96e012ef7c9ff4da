"""Constructor arguments of a model: read, shown and changed in a fresh copy."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from aezoo import _keras, schedules

if TYPE_CHECKING:
    from aezoo.models.autoencoder import Autoencoder

_NETWORKS = ("encoder", "decoder")


def given(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the constructor arguments that a caller passed, except those that are None.

    Args:
        cls: The class of a model.
        args: Positional arguments of its constructor.
        kwargs: Keyword arguments of its constructor.
    """
    try:
        bound = inspect.signature(cls).bind_partial(*args, **kwargs).arguments
    except TypeError:  # the constructor explains what is wrong
        return frozenset()
    return frozenset(name for name, value in bound.items() if value is not None)


def of(model: Autoencoder) -> dict[str, Any]:
    """Return the constructor arguments of a model by name, with the values that a caller would pass.

    Arguments that were left out and whose default, None, follows from others are None.

    Args:
        model: A model; only its configuration and the networks that you passed are read.

    Example:
        >>> import aezoo
        >>> arguments = of(aezoo.KSparseAE(16, k=4, activation="tanh"))
        >>> arguments["latent_dim"], arguments["k"], arguments["k_schedule"], arguments["activation"]
        (16, 4, None, 'tanh')
    """
    config, derived = model.get_config(), _derived(model)
    found = {}
    for name, parameter in inspect.signature(type(model)).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name in _NETWORKS:
            found[name] = getattr(model, f"_given_{name}")
        elif name == "preprocessing":
            found[name] = model.preprocessing
        elif name in derived:
            found[name] = None
        elif name in config:
            found[name] = _deserialized(config[name])
    return {**found, "name": model.name, "dtype": model.dtype_policy.name}


def _derived(model: Autoencoder) -> set[str]:
    """Return the names of arguments whose default is None and that were left out; a model may derive a value."""
    parameters = inspect.signature(type(model)).parameters.values()
    return {p.name for p in parameters if p.default is None and p.name not in model._given_arguments}


def _deserialized(value: object) -> object:
    """Return the object that a part of a configuration describes, and a constant schedule as its number."""
    if isinstance(value, dict) and "class_name" in value:
        value = keras.saving.deserialize_keras_object(value)
    return value.value if isinstance(value, schedules.Constant) else value


def shown(model: Autoencoder) -> str:
    """Return a model as the call that makes it, with the arguments that differ from their defaults.

    Args:
        model: A model.

    Example:
        >>> import aezoo
        >>> shown(aezoo.VAE(2, hidden_dims=(32, 8), beta=1.0))
        'VAE(latent_dim=2, hidden_dims=(32, 8))'
    """
    parameters = inspect.signature(type(model)).parameters
    given = []
    for name, value in of(model).items():
        if name == "dtype":
            changed = value != keras.config.dtype_policy().name
        elif name == "name":  # Keras makes a name from the name of the class
            changed = not re.fullmatch(rf"{_automatic_name(type(model))}(_\d+)?", value)
        else:
            changed = repr(_plain(value)) != repr(_plain(parameters[name].default))
        if changed:
            given.append(f"{name}={_plain(value)!r}")
    return f"{type(model).__name__}({', '.join(given)})"


def _automatic_name(cls: type) -> str:
    """Return the name that Keras gives to the first object of a class: "k_sparse_ae" for `KSparseAE`."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", cls.__name__))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _plain(value: object) -> object:
    """Return a sequence as a tuple, so that a list and a tuple of the same entries look alike."""
    return tuple(value) if isinstance(value, list) else value


def fresh(model: Autoencoder, seed: int | None = None, **changes: Any) -> Autoencoder:
    """Return an untrained copy of a model, compiled as the model is.

    Args:
        model: A model; it is not changed.
        seed: Seed of the copy if the model has none.
        **changes: Constructor arguments of the copy that differ from the arguments of the model.

    Raises:
        ValueError: If the model does not accept an argument.

    Example:
        >>> import aezoo
        >>> fresh(aezoo.Autoencoder(8, hidden_dims=(32,)), latent_dim=2)
        Autoencoder(latent_dim=2, hidden_dims=(32,))
    """
    config = model.get_config()
    config.update({name: None for name in _derived(model) & config.keys()})
    if config.get("seed") is None:
        config["seed"] = seed
    for name in _NETWORKS:  # from this process, not from a file, so that Lambda layers are trusted
        if name not in changes and isinstance(config.get(name), dict):
            config[name] = keras.saving.deserialize_keras_object(config[name], safe_mode=False)
    if changes.keys() & set(_NETWORKS):
        config.pop("ties", None)
    config.pop("prior", None)  # of the codes of the trained model
    if model.preprocessing is not None:  # itself: it is not trained
        config["preprocessing"] = model.preprocessing
    copy = type(model).from_config({**config, **changes})
    if model.compiled:
        # Pass functions themselves, not their names: functions of a live model need not be registered.
        copy.compile(**keras.tree.map_structure(_again, _keras.compile_arguments(model)))
    return copy


def _again(part: object) -> object:
    """Return a fresh copy of an optimizer or metric, and any other argument of `compile` unchanged."""
    if isinstance(part, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        return type(part).from_config(part.get_config())
    return part
