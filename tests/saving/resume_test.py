"""The state of a training in a file; that a training resumes from it is tested with those that use it."""

import json

import h5py
import keras
import numpy as np
import pytest

import aezoo
from aezoo.saving.resume import TrainingState

ADVICE = "delete it to start anew"


def compiled(seed, latent_dim=2, rate=0.01):
    model = aezoo.DenoisingAE(latent_dim, seed=seed)
    model.build((None, 6))
    model.compile(keras.optimizers.Adam(rate), run_eagerly=True)
    return model


def state(folder, **configuration):
    return TrainingState(folder / "mine.weights.h5", configuration, ADVICE)


@pytest.fixture
def saved(tmp_path):
    """A model that was trained, the state of which is in a folder."""
    model = compiled(seed=0)
    model.fit(np.random.default_rng(0).random((20, 6), "float32"), epochs=2, verbose=0)
    state(tmp_path, a=1, b=[1, 2]).save(model, epoch=2, history={"loss": [2.0, 1.0]})
    return model


def everything(model):
    return [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]


def test_all_of_a_training_comes_back(saved, tmp_path):
    model = compiled(seed=1)
    notes = state(tmp_path, a=1, b=[1, 2]).restore(model)
    assert notes["epoch"] == 2 and notes["history"] == {"loss": [2.0, 1.0]}
    assert int(model.epoch.numpy()) == 2 and int(model.optimizer.iterations.numpy()) == 2
    for a, b in zip(everything(saved), everything(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.weights.h5"]


def test_where_nothing_was_saved_the_model_is_as_it_is(tmp_path):
    model = compiled(seed=0)
    before = everything(model)
    assert state(tmp_path / "none", a=1).restore(model) is None
    for a, b in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list(tmp_path.iterdir())


def test_the_state_of_another_training_is_not_taken(saved, tmp_path):
    model = compiled(seed=1)
    before = everything(model)
    with pytest.raises(ValueError, match=rf"backup of a training with other b \(\[1, 2\], not 3\): .*or {ADVICE}\."):
        state(tmp_path, a=1, b=3).restore(model)
    for a, b in zip(before, everything(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_rate_that_was_moved_while_training_is_no_difference(tmp_path):
    model = compiled(seed=0, rate=0.01)
    model.optimizer.learning_rate = 0.001
    begun = {"optimizer": {"class": "Adam", "learning_rate": 0.01}}
    state(tmp_path, **begun).save(model, epoch=1)
    resumed = state(tmp_path, optimizer={"class": "Adam", "learning_rate": 0.001})
    assert resumed.restore(compiled(seed=0, rate=0.001))["epoch"] == 1
    assert resumed.configuration == begun, "the next state must say with what the training began"
    with pytest.raises(ValueError, match="learning_rate"):
        state(tmp_path, optimizer={"class": "Adam", "learning_rate": 0.02}).restore(compiled(seed=0, rate=0.02))


def notes(path, change):
    with h5py.File(path, "a") as file:
        said = json.loads(file["aezoo_backup"].asstr()[()])
        del file["aezoo_backup"]
        if (changed := change(said)) is not None:
            file["aezoo_backup"] = changed


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_bytes(b""),
        lambda path: notes(path, lambda said: None),
        lambda path: notes(path, lambda said: "{"),
        lambda path: notes(path, lambda said: "[]"),
        lambda path: notes(path, lambda said: json.dumps({**said, "epoch": "x"})),
        lambda path: notes(path, lambda said: json.dumps({**said, "run": 3})),
        lambda path: notes(path, lambda said: json.dumps({**said, "rate": None})),
    ],
    ids=range(8),
)
def test_a_damaged_file_is_named(saved, tmp_path, damage):
    path = tmp_path / "mine.weights.h5"
    damage(path)
    with pytest.raises(ValueError, match=rf"mine\.weights\.h5' is damaged, or not a backup .*: {ADVICE}\."):
        state(tmp_path, a=1, b=[1, 2]).restore(compiled(seed=1))


def test_weights_of_another_model_are_named(saved, tmp_path):
    with pytest.raises(ValueError, match=rf"is damaged, or the backup of another model: {ADVICE}"):
        state(tmp_path, a=1, b=[1, 2]).restore(compiled(seed=1, latent_dim=3))


def test_a_write_that_was_killed_leaves_the_state_before(saved, tmp_path, monkeypatch):
    before = (tmp_path / "mine.weights.h5").read_bytes()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        state(tmp_path, a=1, b=[1, 2]).save(saved, epoch=3)
    assert (tmp_path / "mine.weights.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.weights.h5"]


def test_it_is_removed_with_what_a_killed_write_has_left(saved, tmp_path):
    leftover = tmp_path / ".mine.weights.h5-12345678.aezoo"
    leftover.mkdir()
    (leftover / "aezoo.lock").touch()
    (tmp_path / "other.weights.h5").touch()
    for _ in range(2):
        state(tmp_path).remove()
        assert [path.name for path in tmp_path.iterdir()] == ["other.weights.h5"]
