"""Pretraining that is stopped, by kill -9 or otherwise, and started again.

This file is also the program that is killed: run with `ARGUMENTS` = (folder, result, when) it pretrains `stack()` with
the checkpoints in the folder, kills itself at the moment that `when` names, and otherwise writes its state to `result`.
"""

import multiprocessing
import os
import re
import runpy
import shutil
import signal
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import _files
from aezoo.pretraining.checkpoint import Checkpoint
from aezoo.saving import resume
from aezoo.schedules import Linear

EPOCHS = [3, 2, 2]
# Each process is a fork of one that has imported TensorFlow, and done nothing with it.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["aezoo"])


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def stack():
    """Noise, schedules, chains, offsets, momentum: all that has a state. The seeds are Keras' and Python's."""
    keras.utils.set_random_seed(0)
    pretrained = aezoo.StackedAE(
        [
            aezoo.DenoisingAE(12, corruption=Linear(0.1, 0.5, 3)),
            aezoo.KSparseAE(10, k=3, k_schedule=Linear(9, 3, 2)),
            aezoo.RBM(6, visible="gaussian", persistent=True, chains=7, centering=True, sparsity_target=0.2),
        ]
    )
    return eagerly(pretrained)


def eagerly(stack):
    """Compiles the stages without graphs: tracing them is most of the time of a small training."""
    for stage in stack.stages:
        stage.compile(stage.default_optimizer(), run_eagerly=True)
    return stack


def images():
    return np.random.default_rng(0).random((70, 8, 8, 1), "float32")


def state(stages):
    """Every variable: weights, epochs, schedules, chains, random states and what the optimizers know."""
    return {
        # Keras numbers models, and names what an optimizer knows of a variable after its model.
        f"{i} {j} {re.sub('.*_(kernel|bias)_', '', v.name)}": v.numpy()
        for i, stage in enumerate(stages)
        for j, v in enumerate([*stage.variables, *(stage.optimizer.variables if stage.compiled else [])])
    }


def assert_same(expected, got):
    assert list(expected) == list(got)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


class Stop(keras.callbacks.Callback):
    """Stops a run at one moment: a stage, an epoch of it, and a batch, or the epoch's end where there is none."""

    def __init__(self, stages, action, stage, epoch, batch=None):
        super().__init__()
        self.stages, self.action, self.stage, self.moment = stages, action, stage, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.model is self.stages[self.stage] and self.moment == (self.epoch, batch):
            self.action()

    def on_epoch_end(self, epoch, logs=None):
        if self.model is self.stages[self.stage] and self.moment == (epoch, None):
            self.action()


def run(stack, folder, callbacks=(), **kwargs):
    arguments = {"epochs": EPOCHS, "batch_size": 32, "verbose": 0, **kwargs}
    return stack.pretrain(images(), checkpoint_dir=folder, callbacks=list(callbacks), **arguments)


def kill_in_the_middle_of_writing(nth):
    """The nth file of weights is left half-written."""
    save, count = keras.Model.save_weights, [0]

    def save_weights(self, filepath, *args, **kwargs):
        save(self, filepath, *args, **kwargs)
        count[0] += 1
        if count[0] == nth:
            os.truncate(filepath, Path(filepath).stat().st_size // 2)
            kill()

    keras.Model.save_weights = save_weights


def kill_before_renaming(nth):
    """The nth file or folder is complete, but has not taken the place of the one before."""
    replace, count = os.replace, [0]

    def killed(a, b, **kwargs):
        count[0] += 1
        if count[0] == nth:
            kill()
        return replace(a, b, **kwargs)

    os.replace = os.rename = killed


def main(folder, result, when):
    pretrained, callbacks = stack(), []
    if "writing" in when:
        kill_in_the_middle_of_writing(when["writing"])
    elif "renaming" in when:
        kill_before_renaming(when["renaming"])
    elif when:
        callbacks.append(Stop(pretrained.stages, kill, **when))
    histories = run(pretrained, folder or None, callbacks)
    np.savez(result, **state(pretrained.stages), trained=[len(h.get("loss", [])) for h in histories])


def start(folder, result, **when):
    arguments = (__file__, {"ARGUMENTS": (folder, result, when)}, "__main__")
    process = PROCESSES.Process(target=runpy.run_path, args=arguments)
    process.start()
    return process


def finish(process, killed):
    process.join(300)
    assert process.exitcode == (-signal.SIGKILL if killed else 0)


# === Really killed ===


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The state after a run that was never stopped, and that of one that was killed again and again; its folder."""
    folder = tmp_path_factory.mktemp("killed")
    whole = start("", folder / "whole.npz")
    early = start(folder / "early", folder / "early.npz", renaming=1)
    moments = [
        {"writing": 2},  # the second epoch of the first stage
        {"stage": 0, "epoch": 2},  # it is over, and saved: nothing of the second stage is
        {"stage": 1, "epoch": 0, "batch": 1},
        {"stage": 2, "epoch": 1, "batch": 1},
        {},
    ]
    for when in moments:
        finish(start(folder / "run", folder / "killed.npz", **when), killed=bool(when))
    finish(whole, killed=False)
    finish(early, killed=True)
    return np.load(folder / "whole.npz"), np.load(folder / "killed.npz"), folder / "run"


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_weights_bit_for_bit(killed):
    whole, resumed = ({name: value for name, value in result.items()} for result in killed[:2])
    assert list(whole.pop("trained")) == EPOCHS
    assert list(resumed.pop("trained")) == [0, 0, 1]  # at most the epoch in hand was lost
    names = {name.split()[-1] for name in whole}
    assert names >= {
        "kernel",
        "epoch",
        "state",
        "chain",
        "visible_offset",
        "momentum_value",
        "iteration",
        "value",
        "velocity",
    }
    assert [int(v) for name, v in whole.items() if name.endswith(" epoch")] == EPOCHS
    assert all(np.isfinite(v).all() for v in whole.values())
    assert next(v for name, v in whole.items() if name.endswith(" chain")).any()
    assert_same(whole, resumed)


@pytest.mark.slow
def test_a_finished_run_does_nothing_and_more_epochs_go_on(killed):
    _, result, folder = killed
    expected = {name: value for name, value in result.items() if name != "trained"}
    manifest = (folder / "stack.json").read_bytes()
    again = stack()
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    histories = run(again, folder, [count])
    assert not steps and [history.get("loss", []) for history in histories] == [[], [], []]
    assert_same(expected, state(again.stages))
    histories = run(again, folder, [count], epochs=[3, 3, 2])
    assert len(steps) == 3 and [len(history.get("loss", [])) for history in histories] == [0, 1, 0]
    got = state(again.stages)
    for name, value in expected.items():
        if not name.startswith("1 "):
            np.testing.assert_array_equal(got[name], value)
    assert [int(stage.epoch.numpy()) for stage in again.stages] == [3, 3, 2]
    assert (folder / "stack.json").read_bytes() == manifest
    # Nor does a run of fewer epochs take anything back.
    fewer = stack()
    run(fewer, folder, [count], epochs=1)
    assert len(steps) == 3
    assert_same(got, state(fewer.stages))


@pytest.mark.slow
def test_killed_before_anything_was_saved(killed):
    """In the act of writing what the folder is for; the next run starts as if it had never been."""
    folder = killed[2].parent / "early"
    again = stack()
    histories = run(again, folder, epochs=[1, 0, 0])
    assert [len(history.get("loss", [])) for history in histories] == [1, 0, 0]


# === Stopped otherwise ===


def small(seeded=True):
    seeds = [{"seed": 1}, {"seed": 2}] if seeded else [{}, {}]
    return eagerly(aezoo.StackedAE([aezoo.DenoisingAE(5, **seeds[0]), aezoo.DenoisingAE(4, **seeds[1])]))


def pretrain(stack, x, folder=None, callbacks=(), **kwargs):
    arguments = {"epochs": 2, "batch_size": 8, "optimizer": keras.optimizers.Adam(0.01), "verbose": 0, **kwargs}
    return stack.pretrain(x, checkpoint_dir=folder, callbacks=callbacks, **arguments)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def uninterrupted(x):
    whole = small()
    pretrain(whole, x)
    return state(whole.stages)


@pytest.mark.slow_cases("later epoch")
@pytest.mark.parametrize(
    ("moment", "compiled"),
    [
        ({"stage": 0, "epoch": 1, "batch": 1}, False),
        pytest.param({"stage": 1, "epoch": 0, "batch": 1}, False, marks=pytest.mark.slow),
        pytest.param({"stage": 1, "epoch": 0, "batch": 1}, True, marks=pytest.mark.slow),
        pytest.param({"stage": 1, "epoch": 0}, True, marks=pytest.mark.slow),
    ],
    ids=["later epoch", "first epoch of a layer", "first epoch, compiled before", "end of an epoch"],
)
def test_ctrl_c_and_the_same_cell_again(x, uninterrupted, tmp_path, moment, compiled):
    """The models are the same objects, half-trained; the folder says where they were when the epoch began."""
    stopped, kwargs = small(), {}
    if compiled:  # their optimizers are kept, half-trained too
        kwargs["optimizer"] = None
        for stage in stopped.stages:
            stage.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    with pytest.raises(KeyboardInterrupt):
        pretrain(stopped, x, tmp_path, [Stop(stopped.stages, interrupt, **moment)], **kwargs)
    pretrain(stopped, x, tmp_path, **kwargs)
    assert_same(uninterrupted, state(stopped.stages))


@pytest.mark.slow
def test_ctrl_c_and_new_models_of_other_initial_weights(x, uninterrupted, tmp_path):
    """What counts are the weights that the run began with, also those of a layer that it had not come to."""
    first, second = small(), small(seeded=False)
    moment = {"stage": 0, "epoch": 1, "batch": 1}
    seeds = [stage.get_config() for stage in first.stages]
    for config in seeds:
        config["seed"] = None
    begun = eagerly(aezoo.StackedAE([aezoo.DenoisingAE.from_config(config) for config in seeds]))
    shape = x.shape[1:]
    for given, stage in zip(first.stages, begun.stages, strict=True):
        for model in (given, stage):
            model.build((None, *shape))
        shape = given.code_shape
        for a, b in zip(given.variables, stage.variables, strict=True):
            b.assign(a)
    with pytest.raises(KeyboardInterrupt):
        pretrain(begun, x, tmp_path, [Stop(begun.stages, interrupt, **moment)])
    pretrain(second, x, tmp_path)
    assert_same(uninterrupted, state(second.stages))


@pytest.mark.slow
def test_a_layer_that_a_callback_stopped_early_is_finished(x, tmp_path):
    """Else the layer would be trained on when a later one was interrupted, and end elsewhere."""

    def enough(stack):
        def stop(epoch, logs):
            stack.stages[0].stop_training = True

        return keras.callbacks.LambdaCallback(on_epoch_end=stop)

    whole, stopped, again = small(), small(), small()
    pretrain(whole, x, callbacks=[[enough(whole)], []], epochs=[3, 2])
    moment = Stop(stopped.stages, interrupt, stage=1, epoch=1, batch=0)
    with pytest.raises(KeyboardInterrupt):
        pretrain(stopped, x, tmp_path, [[enough(stopped)], [moment]], epochs=[3, 2])
    pretrain(again, x, tmp_path, [[enough(again)], []], epochs=[3, 2])
    assert [int(stage.epoch.numpy()) for stage in whole.stages] == [1, 2]
    assert_same(state(whole.stages), state(again.stages))


@pytest.mark.slow
def test_what_a_callback_changes_at_the_end_of_an_epoch_is_saved(x, tmp_path):
    """Such as the learning rate that ReduceLROnPlateau sets."""

    def slower(epoch, logs):
        optimizer = current[0].stages[0].optimizer
        optimizer.learning_rate = float(optimizer.learning_rate) / 2

    current = [small()]
    slow = keras.callbacks.LambdaCallback(on_epoch_end=slower)
    pretrain(current[0], x, callbacks=[[slow], []], epochs=[3, 1])
    expected = state(current[0].stages)
    current[0] = small()
    with pytest.raises(KeyboardInterrupt):
        stop = Stop(current[0].stages, interrupt, stage=0, epoch=2, batch=0)
        pretrain(current[0], x, tmp_path, [[slow, stop], []], epochs=[3, 1])
    current[0] = small()
    pretrain(current[0], x, tmp_path, [[slow], []], epochs=[3, 1])
    assert_same(expected, state(current[0].stages))


@pytest.mark.slow
def test_without_a_folder_pretraining_goes_on_from_where_the_stages_are(x):
    stopped = small()
    with pytest.raises(KeyboardInterrupt):
        pretrain(stopped, x, callbacks=[Stop(stopped.stages, interrupt, stage=0, epoch=1, batch=1)])
    assert [int(stage.epoch.numpy()) for stage in stopped.stages] == [1, 0]
    pretrain(stopped, x)
    assert [int(stage.epoch.numpy()) for stage in stopped.stages] == [3, 2]


@pytest.mark.slow
def test_a_stack_that_was_trained_before_is_trained_as_many_epochs_more(x, tmp_path):
    trained = small()
    pretrain(trained, x, epochs=1, optimizer=None)
    expected = small()
    pretrain(expected, x, epochs=1, optimizer=None)
    pretrain(expected, x, epochs=2, optimizer=None)
    with pytest.raises(KeyboardInterrupt):
        moment = Stop(trained.stages, interrupt, stage=1, epoch=2, batch=0)
        pretrain(trained, x, tmp_path, [moment], optimizer=None)
    pretrain(trained, x, tmp_path, optimizer=None)
    assert [int(stage.epoch.numpy()) for stage in trained.stages] == [3, 3]
    assert_same(state(expected.stages), state(trained.stages))


def test_networks_of_the_users_own_made_again(x, tmp_path):
    """As when a cell of a notebook is run again: Keras numbers the names of the new layers on."""

    def own():
        encoder = keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(4, "sigmoid", kernel_initializer="ones"),
            ]
        )
        decoder = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(36, "sigmoid"), keras.layers.Reshape((6, 6, 1))]
        )
        return eagerly(aezoo.StackedAE([aezoo.DenoisingAE(encoder=encoder, decoder=decoder, seed=1)]))

    first, second = own(), own()
    pretrain(first, x, tmp_path)
    pretrain(second, x, tmp_path)
    assert_same(state(first.stages), state(second.stages))


@pytest.fixture(scope="module")
def begun(x, tmp_path_factory):
    """The folder of a pretraining of one epoch a layer."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    pretrain(small(), x, folder, epochs=1)
    return folder


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": "sgd"}, r"with other layer 1 optimizer \(Adam, not SGD\)"),
        ({"optimizer": keras.optimizers.Adam(1e-5)}, r"layer 1 optimizer learning_rate \(0\.0\d+, not [\d.]+e-0[56]\)"),
        ({"loss": "mse"}, r"layer 2 loss \(CrossEntropy, not 'mse'\)"),
        ({"activation": "tanh"}, r"another stack, layer 2 with another activation \('sigmoid', not 'tanh'\)"),
        ({"data": tf.data.Dataset}, r"data shape \(\[21, 6, 6, 1\], not None\)"),
    ],
)
def test_what_differs_from_the_run_in_the_folder_is_said(changed, message, x, tmp_path, begun):
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed, again = dict(changed), small()
    if "activation" in changed:
        again = eagerly(aezoo.StackedAE([aezoo.DenoisingAE(5, seed=1), aezoo.DenoisingAE(4, seed=2, **changed)]))
        changed = {}
    if loss := changed.pop("loss", None):
        again.stages[1].compile("adam", loss, run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices(x).batch(8) if changed.pop("data", None) else x
    with pytest.raises(ValueError, match=message):
        pretrain(again, data, tmp_path, **changed)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_what_is_not_ours_stays_in_the_folder(x, tmp_path):
    pretrain(small(), x, tmp_path, epochs=1)
    mine = [tmp_path / ".git-notes" / "a", tmp_path / "epoch-1.weights.h5", tmp_path / "layer-7.weights.h5"]
    leftovers = [tmp_path / ".layer-1.weights.h5-12345678.aezoo", tmp_path / ".layer-2.weights.h5-12345678.aezoo"]
    for path in (*mine, *(leftover / "aezoo.lock" for leftover in leftovers)):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    pretrain(small(), x, tmp_path, epochs=2)
    assert all(path.exists() for path in mine) and not any(path.exists() for path in leftovers)
    Checkpoint.remove(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.relative_to(tmp_path).parts[0] for path in mine
    )
    Checkpoint.remove(tmp_path)  # and once more where there is none


@pytest.mark.slow
def test_one_process_at_a_time(x, tmp_path):
    pretrain(small(), x, tmp_path, epochs=1)
    lock = _files.hold(tmp_path / _files.LOCK)
    with pytest.raises(BlockingIOError, match=r"Another process trains in .*choose another checkpoint_dir"):
        pretrain(small(), x, tmp_path, epochs=2)
    lock.release()
    pretrain(small(), x, tmp_path, epochs=2)
    assert _files.LOCK not in [path.name for path in tmp_path.iterdir()]


@pytest.mark.slow
def test_nothing_but_the_checkpoints_is_left_in_the_folder(x, tmp_path):
    stopped = small()
    with pytest.raises(KeyboardInterrupt):
        pretrain(stopped, x, tmp_path / "a" / "run", [Stop(stopped.stages, interrupt, stage=0, epoch=0, batch=1)])
    pretrain(stopped, x, tmp_path / "a" / "run")
    names = {path.name for path in (tmp_path / "a" / "run").rglob("*")}
    assert names >= {"layer-1.weights.h5", "layer-2.weights.h5", "stack.json"}
    assert not [name for name in names if name.startswith(".")]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]


@pytest.mark.slow
def test_a_persistent_chain_and_its_random_state_go_on(x, tmp_path):
    """With graphs; of several steps at once where no callback looks at single ones."""

    def dbn():
        return aezoo.DBN([aezoo.RBM(5, persistent=True, chains=6, centering=True, seed=1), aezoo.RBM(3, seed=2)])

    whole, stopped, again = dbn(), dbn(), dbn()
    pretrain(whole, x, epochs=[3, 1], optimizer=None)
    with pytest.raises(KeyboardInterrupt):
        moment = Stop(stopped.stages, interrupt, stage=0, epoch=2, batch=0)
        pretrain(stopped, x, tmp_path, [moment], epochs=[3, 1], optimizer=None)
    pretrain(again, x, tmp_path, epochs=[3, 1], optimizer=None)
    assert_same(state(whole.stages), state(again.stages))


def _stack(tmp_path, x, **options):
    dbn = eagerly(aezoo.DBN([aezoo.RBM(5, seed=0), aezoo.RBM(3, seed=1)]))
    options = {"epochs": 1, "batch_size": 10, "checkpoint_dir": tmp_path / "run", "verbose": 0, **options}
    return dbn.pretrain(x, **options)


@pytest.mark.slow
def test_another_run_does_not_go_on_in_the_folder_of_one(tmp_path):
    x = np.random.default_rng(0).random((40, 6), "float32")
    _stack(tmp_path, x)
    _stack(tmp_path, x, batch_size=np.int64(10), seed=np.int64(0))  # the same goes on
    for changed, what in (({"seed": 7}, "seed"), ({"batch_size": 20}, "batch_size"), ({}, "data")):
        with pytest.raises(ValueError, match=f"with other {what}"):
            _stack(tmp_path, x if changed else 1 - x, **changed)


@pytest.mark.slow
def test_a_damaged_checkpoint_says_so(tmp_path):
    x = np.random.default_rng(0).random((40, 6), "float32")
    _stack(tmp_path, x)
    path = tmp_path / "run" / "layer-1.weights.h5"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"is damaged, .*choose another checkpoint_dir"):
        _stack(tmp_path, x)


@pytest.mark.slow
def test_a_state_that_does_not_say_whether_its_layer_is_done(tmp_path):
    x = np.random.default_rng(0).random((40, 6), "float32")
    _stack(tmp_path, x)
    path = tmp_path / "run" / "layer-2.weights.h5"
    rbm = aezoo.RBM(3)
    rbm.build((None, 5))
    rbm.compile(rbm.default_optimizer())
    resume.TrainingState(path, {}, "").save(rbm, 1, finished="soon")
    with pytest.raises(ValueError, match=r"layer-2\.weights\.h5' is damaged or missing: choose another checkpoint_dir"):
        _stack(tmp_path, x)


if __name__ == "__main__":
    main(*ARGUMENTS)  # noqa: F821
