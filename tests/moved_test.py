"""Old names: of modules, and of what a variant of the user's own overrides."""

import importlib
import pickle
import sys

import numpy as np
import pytest

import aezoo
from aezoo import _moved


@pytest.mark.parametrize("old", _moved.MOVED)
def test_an_old_module_is_the_new_one(old):
    for name in [name for name in sys.modules if name == old]:
        del sys.modules[name]
    with pytest.warns(DeprecationWarning, match="has moved to"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(_moved.MOVED[old])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_was_pickled_under_an_old_name_loads():
    data = pickle.dumps(aezoo.RBM, protocol=0).replace(b"caezoo.models.rbm\n", b"caezoo.pretraining.rbm\n")
    assert b"pretraining.rbm" in data and pickle.loads(data) is aezoo.RBM
    assert aezoo.checks is importlib.import_module("aezoo._validation")


def test_a_variant_of_before_trains_and_warns():
    with pytest.warns(DeprecationWarning) as warned:

        class Old(aezoo.Autoencoder):
            term_names = ("reconstruction", "activity")
            measure_names = ("largest",)

            @property
            def paper_loss(self):
                return aezoo.losses.SquaredError()

            def penalties(self, batch, code, training):
                assert training in (True, False)
                largest = batch.mean(np.ones(1) * 2.0)
                return {"activity": batch.mean(aezoo.losses.as_float32(code)[:, 0] ** 2), "largest": largest}

    assert {str(w.message).split(" ")[0] for w in warned} == {"Old.measure_names", "Old.paper_loss", "Old.penalties"}
    model = Old(2)
    model.compile(optimizer="sgd", run_eagerly=True)
    x = np.random.default_rng(0).random((4, 3), "float32")
    history = model.fit(x, verbose=0).history
    assert set(history) == {"loss", "reconstruction", "activity", "largest"}
    with pytest.warns(DeprecationWarning, match="default_loss"):
        assert isinstance(aezoo.Autoencoder(2).paper_loss, aezoo.losses.SquaredError)
    with pytest.warns(DeprecationWarning, match="as_float32"):
        assert aezoo.losses.in_float32 is aezoo.losses.as_float32
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = model.nothing
