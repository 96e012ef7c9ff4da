"""Options from constructors, and the readers of their values."""

import argparse
import inspect
from collections.abc import Sequence
from typing import Literal

import keras
import pytest

import aezoo
from aezoo import _validation
from aezoo.cli import arguments, defaults, own_data, program
from aezoo.cli import train as command
from aezoo.schedules import Linear, Schedule


@pytest.mark.parametrize("name", defaults.MODELS)
def test_every_constructor_argument_is_an_option_with_help(name, capsys):
    cls = getattr(aezoo, defaults.MODELS[name].class_name)
    wanted = {
        parameter
        for base in cls.__mro__[: cls.__mro__.index(keras.Model)]
        for parameter in inspect.signature(base.__init__).parameters
    } - {"self", "kwargs", "encoder", "decoder", "preprocessing", *own_data.OPTIONS}
    wanted -= {*cls.fixed_arguments, *defaults.MODELS[name].without}
    with pytest.raises(SystemExit) as stop:
        program.main(["train", name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for argument in wanted:
        assert f"--{argument.replace('_', '-')}" in text
    for argument in command._arguments(name):
        assert argument.help, f"{argument.name} has no text in the docstring"


def test_the_arguments_that_a_model_sets_itself_cannot_be_set_to_another_value():
    values = {"hidden_dims": (3,), "filters": (4,), "dropout": 0.5, "normalization": "batch", "tied": True}
    values |= {"residual": 1, "activation": "tanh"}
    for name, entry in defaults.MODELS.items():
        cls = getattr(aezoo, entry.class_name)
        for argument in values.keys() & {*cls.fixed_arguments}:
            with pytest.raises((TypeError, ValueError)):
                cls(2, **{argument: values[argument]})
        fixed = ["linear", "rbm", "dbn", "sequence", "sketch-rnn", "conditional", "masked"]
        fixed += ["top-k", "batch-top-k", "matryoshka", "jump-relu", "gated", "beta-tc-vae", "factor-vae", "mmd-vae"]
        fixed += ["hyperprior", "ladder-vae"]
        assert bool(cls.fixed_arguments) == (name in fixed), name


def test_the_hidden_layers_that_a_stack_leaves_out_are_all_that_there_are():
    assert defaults._HIDDEN_LAYERS == _validation.HIDDEN_LAYERS  # which defaults cannot import without TensorFlow


def test_schedules_are_read():
    assert arguments.schedule("100:25:20") == Linear(100, 25, 20)
    assert arguments.schedule("25") == 25 and isinstance(arguments.schedule("25"), int)
    assert arguments.schedule("0.5") == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", ""], "--output: expected a name, not ''"),
        (["--epochs", "1" + 30 * "0"], "--epochs: invalid positive whole number value: '1000"),
        (["--batch-size", "1" + 400 * "0"], "--batch-size: invalid positive whole number value: '1000"),
        (["--batch-size", "1e30"], "--batch-size: invalid positive whole number value: '1e30'"),
        (["--limit", "9" * 5000], "--limit: invalid positive whole number value: '999"),
        (["--latent-dim", "1" + 30 * "0"], "--latent-dim: invalid whole number value: '1000"),
        (["--latent-dim", "inf"], "--latent-dim: invalid whole number value: 'inf'"),
        (["--corruption", "0.1:0.2:" + 400 * "9"], "--corruption: expected a number or START:END:EPOCHS"),
        (["--corruption", 400 * "9"], "--corruption: expected a number or START:END:EPOCHS"),
        (["--learning-rate", "inf"], "--learning-rate: invalid positive number value: 'inf'"),
        (["--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["--latent", "3"], "unrecognized arguments: --latent"),
        (["--latent-dim", "many"], "--latent-dim: invalid whole number value: 'many'"),
        (["--latent-dim", "2.5"], "--latent-dim: invalid whole number value: '2.5'"),
        (["--hidden-dims", "5,x"], "--hidden-dims: invalid list of numbers value: '5,x'"),
        (["--activation", "nope"], "--activation: Keras has no activation 'nope'"),
        (["--corruption", "0.1:0.2"], "--corruption: expected a number or START:END:EPOCHS"),
        (["--corruption", "0.1:0.2:0"], "--corruption: expected a number or START:END:EPOCHS"),
        (["--corruption", "nan"], "--corruption: expected a number or START:END:EPOCHS"),
        (["--emphasis", "1"], "--emphasis: expected 2 numbers"),
        (["--epochs", "0"], "--epochs: invalid positive whole number value: '0'"),
        (["--learning-rate", "-1"], "--learning-rate: invalid positive number value: '-1'"),
        (["--seed", "-1"], "--seed: invalid seed value: '-1'"),
    ],
)
def test_options_that_cannot_be_read(options, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        program.main(["train", "denoising", "--output", str(tmp_path / "a"), *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "option", "choices"),
    [
        ("autoencoder", "on-divergence", ("raise", "warn")),
        ("autoencoder", "missing", ("error", "mask", "learn")),
        ("denoising", "noise", ("masking", "gaussian", "salt_and_pepper")),
        ("sparse", "penalty", ("kl", "l1")),
        ("contractive", "method", ("auto", "exact", "hutchinson")),
        (
            "vae",
            "likelihood",
            ("bernoulli", "gaussian", "poisson", "negative_binomial", "zero_inflated_negative_binomial"),
        ),
        ("rbm", "visible", ("bernoulli", "gaussian", "softmax")),
        ("rbm", "hidden", ("bernoulli", "gaussian", "relu")),
    ],
)
def test_choices_are_those_of_the_annotation(model, option, choices, capsys):
    name = option.replace("-", "_")
    (argument,) = (found for found in command._arguments(model) if found.name == name)
    assert argument.metavar == "|".join(choices)
    assert [argument.parse(choice) for choice in choices] == list(choices)
    with pytest.raises(SystemExit) as stop:
        program.main(["train", model, f"--{option}", "l3"])
    assert stop.value.code == 2
    assert f"--{option}: expected one of {', '.join(choices)}, not 'l3'" in capsys.readouterr().err


def test_schedules_are_recognized_by_their_alias():
    for model, name in (("denoising", "corruption"), ("k-sparse", "k_schedule"), ("vae", "beta")):
        (argument,) = (found for found in command._arguments(model) if found.name == name)
        assert argument.parse is arguments.schedule, name


# === Classes of a user's own ===


class Described(aezoo.Autoencoder):
    """A model.

    Args:
        kind: Which kind.
        sizes: How many.
    """

    def __init__(
        self,
        depth: int,
        *,
        kind: Literal["a", "b"] = "a",
        sizes: Sequence[int] = (3, 4),
        pair: tuple[float, float] = (0.5, 1.0),
        level: "float | Schedule" = 0.5,
        loss: keras.losses.Loss | None = None,
        names: tuple[str, ...] = (),
        epochs: int = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)


class Bare(aezoo.Autoencoder):
    def __init__(self, latent_dim=None, beta=0.5, wide=False, title="none", scales=(0.5, 1.0), initial=None, table={}):  # noqa: B006
        super().__init__(latent_dim)


def parsed(cls, *given):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for argument in arguments.of_class(cls, command._NO_OPTION):
        argument.add_to(parser, chosen=argument.name == "latent_dim")
    return vars(parser.parse_args([*map(str, given)]))


def test_annotated_arguments_of_a_users_own_class():
    given = ["--depth", 2, "--kind", "b", "--sizes", "5,6", "--pair", "0,1", "--level", "1:0:5", "--latent-dim", 7]
    expected = {"depth": 2, "kind": "b", "sizes": (5, 6), "pair": (0.0, 1.0), "level": Linear(1, 0, 5)}
    assert parsed(Described, *given) == {**expected, "latent_dim": 7}
    options = {argument.name: argument for argument in arguments.of_class(Described, command._NO_OPTION)}
    assert options["kind"].metavar == "a|b" and options["kind"].help == "Which kind"
    assert {"tied", "activation"} <= set(options), "those of the bases that **kwargs pass on"
    assert not {"loss", "names", "epochs", "encoder", "seed", "self", "kwargs"} & set(options)


def test_arguments_without_annotations_are_read_as_their_defaults():
    given = ["--beta", "0.25", "--wide", "--title", "x", "--scales", "1,2.5", "--initial", "zeros"]
    expected = {"beta": 0.25, "wide": True, "title": "x", "scales": (1.0, 2.5), "initial": "zeros"}
    assert parsed(Bare, *given) == expected
    assert parsed(Bare, "--latent-dim", 3, "--initial", "0.5") == {"latent_dim": 3, "initial": 0.5}
    names = {argument.name for argument in arguments.of_class(Bare)}
    assert names == {"latent_dim", "beta", "wide", "title", "scales", "initial"}, "there are no **kwargs to pass on"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "the following arguments are required: --depth"),
        (["--depth", "1", "--kind", "c"], "--kind: expected one of a, b, not 'c'"),
        (["--depth", "1", "--level", "x"], "--level: expected a number or START:END:EPOCHS"),
    ],
)
def test_arguments_of_a_users_own_class_that_cannot_be_read(given, message, capsys):
    with pytest.raises(SystemExit):
        parsed(Described, *given)
    assert message in capsys.readouterr().err


def test_an_argument_that_cannot_be_written_needs_a_default():
    class Networked(aezoo.Autoencoder):
        def __init__(self, prior: keras.Model):
            super().__init__(2)

    with pytest.raises(ValueError, match=r"Networked\(prior\) has no default and its type .*: give it a default"):
        arguments.of_class(Networked)
