"""How many steps TensorFlow is given at a time."""

import re

import keras
import numpy as np
import pytest

from aezoo import Autoencoder
from aezoo.training.execution import has_batch_hooks


class Calls(keras.callbacks.Callback):
    """Counts how often Keras calls the graph in an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        graph, self.calls = self.model.train_function, 0

        def counted(iterator):
            self.calls += 1
            return graph(iterator)

        self.model.train_function, self.graph = counted, graph

    def on_epoch_end(self, epoch, logs=None):
        self.model.train_function = self.graph


@pytest.fixture
def x():
    return np.random.default_rng(0).random((84, 6), "float32")  # 21 steps of 4, which 8 does not divide


def fitted(x, *callbacks, **compiled):
    model = Autoencoder(3, seed=0)
    model.compile("adam", **compiled)
    calls = Calls()
    history = model.fit(x, batch_size=4, shuffle=False, verbose=0, callbacks=[calls, *callbacks]).history
    return model, calls.calls, history


def test_eight_steps_are_one_call_and_the_same_as_single_ones(x):
    batches = []
    each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    together, calls, history = fitted(x)
    alone, calls_alone, history_alone = fitted(x, each)
    assert calls <= 4 and 21 <= calls_alone <= 22  # the last may only find that there is no more
    assert batches == list(range(21)), "a callback that looks at steps sees each"
    for a, b in zip(together.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert history["loss"] == pytest.approx(history_alone["loss"], rel=1e-6)
    assert together.optimizer.iterations == 21


def test_what_compile_was_told_stands(x):
    assert 11 <= fitted(x, steps_per_execution=2)[1] <= 12
    assert fitted(x)[0].steps_per_execution == 1, "what comes after `fit` finds what it was compiled with"


@pytest.mark.slow  # resident_test.py has one of a model that is fitted with calls of an epoch, and without
def test_one_model_is_fitted_both_ways(x):
    model = fitted(x)[0]
    seen = []
    model.fit(
        x,
        batch_size=4,
        verbose=0,
        validation_data=(x,),
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))],
    )
    assert seen == list(range(21))
    history = model.fit(x, batch_size=4, verbose=0, validation_data=(x,)).history
    evaluated = model.evaluate(x, batch_size=4, verbose=0, return_dict=True)["loss"]
    assert history["val_loss"] == pytest.approx([evaluated], rel=1e-6)
    assert model.train_on_batch(x[:4])[0] > 0
    assert model.predict(x, batch_size=4, verbose=0).shape == x.shape
    assert model.optimizer.iterations == 64


def test_a_number_of_steps_is_kept_to(x):
    model = Autoencoder(3)
    model.compile("adam")
    model.fit(x, batch_size=4, epochs=2, steps_per_epoch=3, validation_data=(x,), verbose=0)
    assert model.optimizer.iterations == 6


@pytest.mark.parametrize(
    ("callback", "looks"),
    [
        (keras.callbacks.ModelCheckpoint("model.keras"), False),
        (keras.callbacks.ModelCheckpoint("model.keras", save_freq=10), True),
        (keras.callbacks.TensorBoard(), False),
        (keras.callbacks.TensorBoard(update_freq="batch"), True),
        (keras.callbacks.EarlyStopping(), False),
        (keras.callbacks.TerminateOnNaN(), True),
        (keras.callbacks.LambdaCallback(on_epoch_end=print), False),
    ],
)
def test_which_callbacks_look_at_steps(callback, looks):
    assert has_batch_hooks(callback) == looks


def test_a_step_is_traced_once(x, monkeypatch):
    """Twice, where the optimizer makes its variables in the graph."""
    traced = []
    step = Autoencoder.train_step
    monkeypatch.setattr(Autoencoder, "train_step", lambda model, data: (traced.append(0), step(model, data))[1])
    model = Autoencoder(latent_dim=2)
    model.compile("adam")
    model.fit(x, epochs=2, verbose=0)
    assert len(traced) == 1


def test_the_progress_bar_ends_where_the_steps_do(x, capsys):
    model = Autoencoder(3)
    model.compile("adam")
    model.fit(x, batch_size=4)
    model.evaluate(x, batch_size=4)
    model.evaluate(x, batch_size=4, callbacks=keras.callbacks.History())
    bars = [int(done) for done in re.findall(r"(\d+)/21", capsys.readouterr().out)]
    assert bars.count(21) >= 3 and max(bars) == 21
    model.fit(x, batch_size=4, verbose=2)
    assert re.match(r"21/21 - .*loss: ", capsys.readouterr().out)
    model.fit(x, batch_size=4, verbose=0)
    assert not capsys.readouterr().out
