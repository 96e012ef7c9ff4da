"""`fit`, `evaluate`, `predict` and the single steps read their arguments in one place."""

import numpy as np
import pytest

import aezoo
from aezoo.training.data import FitRequest

X = np.random.default_rng(0).random((8, 4), "float32")


@pytest.fixture
def model():
    model = aezoo.Autoencoder(2, seed=0)
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.parametrize("verb", ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch"])
def test_every_verb_makes_a_request(model, verb, monkeypatch):
    made = []

    def of(cls, model, verb, *args, **kwargs):
        made.append(original(model, verb, *args, **kwargs))
        return made[-1]

    original = FitRequest.of
    monkeypatch.setattr(FitRequest, "of", classmethod(of))
    options = {} if verb.endswith("_on_batch") else {"verbose": 0}
    getattr(model, verb)(X, **options)
    np.testing.assert_array_equal(made[0].samples, X)
    assert {name: made[0].options[name] for name in options} == options


def test_pretraining_makes_a_request(model, monkeypatch):
    verbs = []
    original = FitRequest.of
    monkeypatch.setattr(
        FitRequest,
        "of",
        classmethod(
            lambda cls, model, verb, *args, **kwargs: verbs.append(verb) or original(model, verb, *args, **kwargs)
        ),
    )
    aezoo.StackedAE([model]).pretrain(X, epochs=1, verbose=0)
    assert "fit" in verbs


def test_a_request_is_not_changed(model):
    request = FitRequest.of(model, "fit", X, epochs=3)
    assert request.replace(epochs=5).options["epochs"] == 5 and request.options["epochs"] == 3
    with pytest.raises(AttributeError):
        request.options = {}
