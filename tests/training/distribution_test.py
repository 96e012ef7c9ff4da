"""Two processes that train together, on the loopback interface.

This file is also the program that they run: `python workers_test.py FOLDER TASK...`, with `TF_CONFIG` as everyone
writes it, writes what came of each task to FOLDER.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
import aezoo.testing
from aezoo.training import distribution

X = np.random.default_rng(0).random((51, 12), "float32")
FIT = {"batch_size": 8, "shuffle": False, "verbose": 0}


def compiled(strategy, make, optimizer="adam", **options):
    with strategy.scope():
        model = make()
        model.compile(optimizer, **options)
    return model


def plain():
    return aezoo.Autoencoder(5, seed=0)


def training(strategy, folder):
    """A model fitted and evaluated, a stack and a DBN pretrained: all their variables and all that they report.

    Among them are the models whose state is reduced over replicas: units since they were last active, mean activations,
    persistent chains and offsets.
    """
    model = compiled(strategy, lambda: aezoo.KSparseAE(20, k=3, aux_weight=0.1, dead_after=30, seed=0), metrics=["mse"])
    history = model.fit(X, validation_data=(X[:21],), **FIT).history
    reports = model.evaluate(X[:13], batch_size=4, return_dict=True, verbose=0)
    history |= {f"evaluated {report}": value for report, value in reports.items()}
    with strategy.scope():
        stack = aezoo.StackedAE([aezoo.SparseAE(6, weight=1.0, seed=0), aezoo.DenoisingAE(3, seed=1)])
        dbn = aezoo.DBN([aezoo.RBM(6, persistent=True, centering=True, seed=0)])
    of_stack = stack.pretrain(X, epochs=2, batch_size=8, checkpoint_dir=folder / "stack", verbose=0)
    of_dbn = dbn.pretrain(tf.data.Dataset.from_tensor_slices(X).batch(8), epochs=1, verbose=0)
    results = {}
    models = [model, *stack.stages, *dbn.rbms]
    for model, logs in zip(models, [history, *of_stack, *of_dbn], strict=True):
        name = type(model).__name__
        results |= {f"{name} {i}": v.numpy() for i, v in enumerate([*model.variables, *model.optimizer.variables])}
        results |= {f"{name} {report}": np.array(values) for report, values in logs.items()}
    return results


def sharding(strategy, folder):
    """The mean error over an epoch that changes nothing, of data that each process shuffles with no seed of its own."""
    np.random.seed(os.getpid())
    tf.random.set_seed(os.getpid())
    model = compiled(strategy, plain, keras.optimizers.SGD(0.0))
    losses = model.fit(X, epochs=2, batch_size=8, verbose=0).history["loss"]
    return {"losses": np.array(losses), "errors": model.score_samples(X).numpy()}


def interrupted(strategy, folder):
    """A training with backups, of which the second process is killed in the third epoch if FOLDER says so."""

    def kill(epoch, logs):
        if epoch == 2 and (folder / "kill").exists() and not distribution.is_chief(strategy):
            os.kill(os.getpid(), signal.SIGKILL)

    began = []
    model = compiled(strategy, lambda: aezoo.DenoisingAE(5, seed=0))
    backup = aezoo.callbacks.BackupAndRestore(folder / "backup")
    callbacks = [
        backup,
        keras.callbacks.LambdaCallback(on_epoch_begin=kill),
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: began.append(epoch)),
    ]
    model.fit(X, epochs=3, callbacks=callbacks, **FIT)
    return {"began": np.array(began), **{f"{i}": v.numpy() for i, v in enumerate(model.variables)}}


def alone(strategy, folder):
    """The variables of a model that is fitted by one process."""
    model = compiled(strategy, plain)
    model.fit(X, epochs=2, **FIT)
    return {f"{i}": v.numpy() for i, v in enumerate(model.variables)}


def cluster(folder, *tasks, workers=2):
    """Starts the processes; their output goes to files."""
    with socket.socket() as a, socket.socket() as b:
        for s in (a, b):
            s.bind(("localhost", 0))
        addresses = [f"localhost:{s.getsockname()[1]}" for s in (a, b)][:workers]
    processes = []
    for index in range(workers):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        with (folder / f"{index}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [sys.executable, __file__, str(folder), *tasks],
                    env={**os.environ, "TF_CONFIG": json.dumps(config), "CUDA_VISIBLE_DEVICES": ""},
                    stdout=log,
                    stderr=log,
                )
            )
    return processes


def results(folder, *tasks, timeout=300):
    """What the two processes report of each task."""
    processes = cluster(folder, *tasks)
    try:
        for index, process in enumerate(processes):
            assert process.wait(timeout) == 0, (folder / f"{index}.log").read_text()[-3000:]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return {task: [dict(np.load(folder / f"{task} {index}.npz")) for index in (0, 1)] for task in tasks}


def assert_same(expected, got, **tolerance):
    assert list(expected) == list(got)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, err_msg=name, **tolerance)


@pytest.mark.slow  # keras_seam_test.py has a smaller one
def test_pipelines_of_arrays_keep_the_optimisations_without_which_tensorflow_crashes(monkeypatch):
    strategy = aezoo.testing.two_replicas()
    distribute, optimised = strategy.extended._experimental_distribute_dataset, []

    def spy(dataset, options):
        optimised.append(dataset.options().experimental_optimization.apply_default_optimizations)
        return distribute(dataset, options)

    monkeypatch.setattr(strategy.extended, "_experimental_distribute_dataset", spy)
    compiled(strategy, plain).fit(X, validation_data=(X,), **FIT)
    compiled(strategy, plain).predict(X, verbose=0)  # another model of the same strategy
    assert optimised == [True] * 3


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What two processes report that go on where one of two others was killed, and then do the other tasks."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "kill").touch()
    chief, killed = cluster(folder, "interrupted")
    try:
        assert killed.wait(120) == -signal.SIGKILL
        start = time.monotonic()
        assert chief.wait(60) != 0
        assert time.monotonic() - start < 60
    finally:
        chief.kill()
        killed.kill()
    (folder / "kill").unlink()
    both = results(folder, "interrupted", "training", "sharding")
    assert not list((folder / "backup").iterdir())
    return both


@pytest.mark.slow
def test_two_processes_train_as_two_local_replicas_do(reports, tmp_path):
    first, second = map(dict, reports["training"])
    assert first.pop("written") > 0
    assert second.pop("written") == 0, "a process that is not the chief wrote a checkpoint"
    assert_same(first, second, rtol=0, atol=0)
    assert_same(training(aezoo.testing.two_replicas(), tmp_path), first, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_each_sample_is_seen_once_an_epoch_though_no_process_has_a_seed(reports):
    for got in reports["sharding"]:
        np.testing.assert_allclose(got["losses"], got["errors"].mean(), rtol=1e-5)


@pytest.mark.slow
def test_a_killed_process_stops_the_other_and_both_go_on_when_started_again(reports, tmp_path):
    got, other = map(dict, reports["interrupted"])
    assert list(got.pop("began")) == [2], "it did not go on after the last finished epoch"
    expected = interrupted(aezoo.testing.two_replicas(), tmp_path)
    assert list(expected.pop("began")) == [0, 1, 2]
    del other["began"]
    assert got.pop("written") > 0
    assert other.pop("written") == 0, "a process that is not the chief wrote a backup"
    assert_same(got, other, rtol=0, atol=0)
    assert_same(expected, got, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_single_process_trains_as_without_a_strategy(tmp_path):
    (process,) = cluster(tmp_path, "alone", workers=1)
    assert process.wait(120) == 0, (tmp_path / "0.log").read_text()[-3000:]
    expected = alone(tf.distribute.get_strategy(), tmp_path)
    got = dict(np.load(tmp_path / "alone 0.npz"))
    assert got.pop("written") >= 0
    assert_same(expected, got, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    written = []
    original = distribution.atomic_write
    distribution.atomic_write = lambda path: written.append(path) or original(path)
    folder, index = Path(sys.argv[1]), strategy.cluster_resolver.task_id
    for task in sys.argv[2:]:
        found = globals()[task](strategy, folder)
        np.savez(folder / f"{task} {index}.npz", **found, written=len(written))
        written.clear()
