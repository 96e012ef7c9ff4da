"""Signatures and docstrings of classes have the arguments of those that they extend."""

import inspect

import pytest

import aezoo
from aezoo import _docstrings
from aezoo.models.conditional import ConditionalVAE

MODELS = [
    *(aezoo.Autoencoder, aezoo.DenoisingAE, aezoo.SparseAE, aezoo.KSparseAE, aezoo.ContractiveAE, aezoo.LinearAE),
    *(aezoo.VAE, ConditionalVAE, aezoo.CompressiveAE, aezoo.SequenceAE, aezoo.SketchRNN, aezoo.RBM),
]


class Mine(aezoo.SparseAE):
    """A variant of a user.

    Args:
        beta: How much.

    Example:
        None.
    """

    def __init__(self, *args, beta=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.beta = beta


def test_a_signature_has_the_arguments_of_all_classes():
    parameters = inspect.signature(aezoo.SparseAE).parameters
    assert [*parameters][:5] == ["latent_dim", "penalty", "target", "weight", "activation"]
    assert {"hidden_dims", "filters", "dropout", "encoder", "seed", "on_divergence"} <= parameters.keys()
    assert parameters["activation"].default == "sigmoid"  # its own, not the base's "relu"
    assert [*parameters][-1] == "kwargs"  # of keras.Model


def test_the_signature_of_a_users_class():
    parameters = inspect.signature(Mine).parameters
    assert {"beta", "penalty", "hidden_dims"} <= parameters.keys()
    assert parameters["latent_dim"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters["penalty"].kind is inspect.Parameter.KEYWORD_ONLY
    without = type("Without", (Mine,), {})
    assert inspect.signature(without) == inspect.signature(Mine)
    closed = type("Closed", (Mine,), {"__init__": lambda self, units: Mine.__init__(self, units)})
    assert [*inspect.signature(closed).parameters] == ["units"]


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_what_a_signature_says_is_taken(cls):
    parameters = inspect.signature(cls).parameters.values()
    required = {p.name: 30 for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    required = required or {"latent_dim": 30}
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    cls(**{**defaults, **required})


def test_arguments_that_a_class_fixes_are_not_shown():
    assert not {"hidden_dims", "activation", "encoder"} & inspect.signature(aezoo.LinearAE).parameters.keys()
    assert {"tied", "seed"} <= inspect.signature(aezoo.LinearAE).parameters.keys()
    assert not {"latent_dim", "tied", "filters"} & inspect.signature(aezoo.RBM).parameters.keys()


def test_an_argument_that_a_class_names_itself_is_shown_though_a_base_fixes_it():
    class Deep(aezoo.LinearAE):
        def __init__(self, latent_dim, *, hidden_dims=(8,), **kwargs):
            super().__init__(latent_dim, **kwargs)

    assert list(inspect.signature(Deep).parameters)[:2] == ["latent_dim", "hidden_dims"]
    assert "filters" not in inspect.signature(Deep).parameters


def test_an_instance_keeps_the_signature_of_its_call():
    parameters = inspect.signature(aezoo.SparseAE(3)).parameters
    assert next(iter(parameters)) == "x" and "latent_dim" not in parameters


@pytest.mark.parametrize("cls", [*MODELS, Mine], ids=lambda cls: cls.__name__)
def test_every_argument_of_a_signature_is_described_once(cls):
    described = _docstrings.arguments(cls)
    shown = [name for name in inspect.signature(cls).parameters if name != "kwargs"]
    assert [name for name in shown if not described.get(name)] == []
    text = inspect.getdoc(cls)
    for name in shown:
        assert text.count(f"\n    {name}: ") == 1, name
    assert text.count("    **kwargs: ") == 1
    assert text.count("Example:") == 1


def test_a_docstring_without_arguments_stays_as_it_is():
    class Bare(aezoo.SparseAE):
        """Nothing more."""

    assert Bare.__doc__ == "Nothing more."
    assert type("Silent", (aezoo.SparseAE,), {}).__doc__ is None


def test_keras_still_reads_the_constructor():
    assert [*inspect.signature(aezoo.SparseAE.__init__).parameters][-1] == "kwargs"
    assert "hidden_dims" not in inspect.signature(aezoo.SparseAE.__init__).parameters
