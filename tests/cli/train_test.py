"""`aezoo train`."""

import contextlib
import io
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import keras
import numpy as np
import pytest

import aezoo
from aezoo import datasets, evaluation
from aezoo.cli import defaults, program
from aezoo.cli import train as command
from aezoo.layers import networks
from aezoo.schedules import Linear

PICTURES = {"rbm": ["samples.png"]}
GENERATIVE = ("vae", "beta-tc-vae", "factor-vae", "mmd-vae", "ladder-vae")
PICTURES |= {key: ["samples.png", "interpolation.png"] for key in GENERATIVE}
FILES = ["1", "filters.png", "history.png", "metrics.json", "model.keras", "reconstructions.png"]
# Models of other data, of a label beside them, and of codes of patches.
OTHERS = ("sequence", "sketch-rnn", "conditional", "masked")
SMALL = ["--dataset", "digits", "--limit", "100", "--epochs", "1"]
PNG = b"\x89PNG\r\n\x1a\n"


def train(output, *options, model="autoencoder"):
    return program.main(["train", model, *SMALL, "--quiet", "--output", str(output), *map(str, options)])


def results(output):
    return json.loads((output / "metrics.json").read_text())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Only the class distinguishes these from the runs of "autoencoder", "k-sparse", "vae" and "stacked".
# codec_test.py has one of a compressive model, own_data_test.py of a stack.
ALIKE = {"sparse", "denoising", "rbm", "contractive", "linear", "dbn", "compressive", "hyperprior", "fsq-vae", "vq-vae"}
ALIKE |= {"stacked", "top-k", "batch-top-k", "matryoshka", "jump-relu", "gated", "beta-tc-vae", "factor-vae", "mmd-vae"}
ALIKE |= {"ladder-vae"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ())
        for name in defaults.MODELS
        if name not in OTHERS
    ],
)
def trained(request, tmp_path_factory, no_graphs):
    """A model's name, the folder of its run, and what the run printed.

    Only one of them with graphs: the conformance tests and those of stacks train and export the others.
    """
    output = tmp_path_factory.mktemp(request.param) / "run"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        options = ["--pretrain-epochs", "2"] if defaults.MODELS[request.param].stack else []
        options += ["--layers", "9,4"] if request.param == "dbn" else []
        if request.param != "autoencoder":
            no_graphs(patch)
        assert program.main(["train", request.param, *SMALL, *options, "--output", str(output)]) == 0
    return request.param, output, printed.getvalue()


@pytest.fixture
def interrupt(monkeypatch):
    """Makes training raise at the start of a given epoch."""

    def interrupt(epoch, error=KeyboardInterrupt):
        move = aezoo.Autoencoder.update_schedules

        def raise_then(model):
            if int(model.epoch.numpy()) == epoch:
                raise error
            move(model)

        monkeypatch.setattr(aezoo.Autoencoder, "update_schedules", raise_then)

    return interrupt


@pytest.mark.slow_cases("k-sparse")
def test_every_model_writes_all_files_and_nothing_beside_them(trained):
    name, output, _ = trained
    assert names(output) == sorted([*FILES, *PICTURES.get(name, [])])
    assert names(output.parent) == ["run"]
    for path in output.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
    assert name != "autoencoder" or (output / "1" / "saved_model.pb").exists()


@pytest.mark.slow_cases("conditional")
@pytest.mark.parametrize("name", ["conditional", pytest.param("masked", marks=pytest.mark.slow)])
def test_models_of_labels_and_of_patches_are_trained_too(name, tmp_path, no_graphs, monkeypatch, capsys):
    no_graphs(monkeypatch)
    output = tmp_path / "run"
    assert program.main(["train", name, *SMALL, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "reconstruction error" in printed and {"1", "model.keras", "reconstructions.png"} <= {*names(output)}
    assert ("samples.png" in names(output)) == (name == "conditional")
    if name == "conditional":
        loaded = keras.saving.load_model(output / "model.keras")
        assert loaded.condition_names == ("label",) and loaded.sample(2, label=7).shape == (2, 8, 8, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_emoji_are_trained_on(tmp_path):
    output = tmp_path / "run"
    small = ["--dataset", "emoji", "--limit", "40", "--epochs", "1", "--latent-dim", "4", "--quiet"]
    assert program.main(["train", "vae", *small, "--output", str(output)]) == 0
    assert (results(output)["dataset"], results(output)["test_samples"]) == ("emoji", 40)
    assert keras.saving.load_model(output / "model.keras").y_shape == (64, 64, 3)


def test_metrics_are_those_of_the_saved_model_and_of_the_table(trained):
    _, output, printed = trained
    model = keras.saving.load_model(output / "model.keras")
    metrics = results(output)["metrics"]
    (x_train, y_train), (x_test, y_test) = datasets.load("digits")
    x_train, y_train, x_test, y_test = (a[:100] for a in (x_train, y_train, x_test, y_test))
    z_train, z_test = (np.asarray(model.encode(x)) for x in (x_train, x_test))
    threshold = metrics["activity_threshold"]
    p = np.clip(model.reconstruct(x_test), 1e-7, 1 - 1e-7)
    if isinstance(model, aezoo.DenoisingAE | aezoo.ContractiveAE | aezoo.VAE):
        errors = -x_test * np.log(p) - (1 - x_test) * np.log1p(-p)
    else:
        errors = (model.reconstruct(x_test) - x_test) ** 2
    if isinstance(model, aezoo.SparseCodeAE):
        errors /= np.sum(np.var(x_train, axis=0))
    expected = {
        "reconstruction_error": np.mean(np.sum(errors, axis=(1, 2, 3))),
        "mean_squared_error": np.mean((model.reconstruct(x_test) - x_test) ** 2),
        "probe_error_codes": evaluation.linear_probe(z_train, y_train, z_test, y_test),
        "probe_error_pixels": evaluation.linear_probe(x_train, y_train, x_test, y_test),
        "l0": evaluation.l0(z_test, threshold),
        "dead_units": evaluation.dead_units(z_test, threshold),
        "activity_threshold": 0.1 if networks.output_activation(model.encoder) is keras.activations.sigmoid else 0.0,
    }
    assert {key: metrics[key] for key in expected} == pytest.approx(expected, rel=1e-4)
    report = evaluation.report(model, (x_test, y_test), train=(x_train, y_train))
    whole = {**report.as_dict(), "activity_threshold": expected["activity_threshold"]}
    # All runs but one are eager, while this report runs graphs, so that the last bits differ.
    assert metrics.keys() == whole.keys()
    for measure, value in whole.items():
        assert metrics[measure] == (value if value is None else pytest.approx(value, rel=1e-4, abs=1e-8)), measure
    assert f"\n{report}\n" in printed


def test_the_configuration_is_written(trained):
    name, output, _ = trained
    written = results(output)
    model = keras.saving.load_model(output / "model.keras")
    assert written["model"] == name
    entry = defaults.MODELS[name]
    units = "hidden_units" if name == "rbm" else "latent_dim"
    assert written["class"] == type(model).__name__ == ("Autoencoder" if entry.stack else entry.class_name)
    if entry.stack:
        layers = [9, 4] if name == "dbn" else [64, 32, 16]  # what was asked for, and the default
        assert (written["layers"], written["pretrain_epochs"]) == (layers, 2)
    else:
        assert written["arguments"][units] == model.latent_dim
    assert written["arguments"]["seed"] == written["seed"] == 0
    assert (written["dataset"], written["limit"], written["epochs"], written["batch_size"]) == ("digits", 100, 1, 64)
    assert (written["train_samples"], written["test_samples"], written["epochs_trained"]) == (100, 100, 1)
    assert written["versions"]["aezoo"] == aezoo.__version__
    assert written["learning_rate"] == pytest.approx(model.optimizer.learning_rate.numpy())
    assert not written["interrupted"]


@pytest.mark.usefixtures("light")
def test_options_reach_the_constructor(tmp_path):
    options = ["--latent-dim", 20, "--hidden-dims", "30,24", "--k", 4, "--k-schedule", "10:4:3", "--no-tied"]
    options += ["--activation", "tanh", "--aux-weight", 0, "--learning-rate", 0.01, "--batch-size", 50, "--seed", 7]
    assert train(tmp_path / "a", *options, model="k-sparse") == 0
    model = keras.saving.load_model(tmp_path / "a" / "model.keras")
    assert (model.latent_dim, model.hidden_dims, model.tied, model.seed) == (20, (30, 24), False, 7)
    assert (model.top_k.k, model.top_k.k_in_training.schedule) == (4, Linear(10, 4, 3))
    assert model.activation == "tanh"
    assert results(tmp_path / "a")["batch_size"] == 50


@pytest.mark.usefixtures("light")
def test_a_denoising_model_takes_a_schedule_and_a_pair(tmp_path):
    assert train(tmp_path / "a", "--corruption", "0.1:0.3:5", "--emphasis", "1,0.5", model="denoising") == 0
    model = keras.saving.load_model(tmp_path / "a" / "model.keras")
    assert model.corruption.level.schedule == Linear(0.1, 0.3, 5)
    assert model.emphasis == (1.0, 0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("light")
def test_convolutions(tmp_path):
    assert train(tmp_path / "a", "--filters", "4,8", "--latent-dim", 8) == 0
    assert keras.saving.load_model(tmp_path / "a" / "model.keras").filters == (4, 8)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("k-sparse", ["--k", "9", "--latent-dim", "8"], "k=9 .* would keep .* choose a smaller k"),
        ("denoising", ["--corruption", "2"], r"The level of masking corruption must be in \[0, 1\]"),
        ("sparse", ["--target", "1"], r"target must be inside \(0, 1\)"),
        ("autoencoder", ["--dataset", "digitz"], "Unknown data set 'digitz'.*Did you mean 'digits'"),
        ("autoencoder", ["--learning-rate", "1e30", "--output-activation", "linear"], "Training diverged"),
    ],
)
def test_errors_are_one_line(model, options, message, capsys, tmp_path):
    assert train(tmp_path / "a", *options, model=model) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"aezoo: error: .*{message}.*\n", error), error
    assert names(tmp_path) == []


@pytest.mark.usefixtures("light")
def test_an_output_that_is_there_is_refused_before_training_and_replaced_on_demand(capsys, tmp_path, monkeypatch):
    output = tmp_path / "a"
    assert train(output, "--seed", 1) == 0
    (output / "notes.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(command, "_load", lambda *_: pytest.fail("it got as far as loading data"))
        assert train(output, "--seed", 2) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert results(output)["seed"] == 1
    assert train(output, "--seed", 2, "--overwrite") == 0
    assert results(output)["seed"] == 2
    assert names(output) == FILES
    assert names(tmp_path) == ["a"]


def test_overwrite_spares_what_is_not_a_run(capsys, tmp_path, monkeypatch):
    output = tmp_path / "a"
    output.mkdir()
    (output / "thesis.tex").write_text("")
    assert train(output, "--overwrite") == 2
    assert "was not written by aezoo train" in capsys.readouterr().err
    assert names(output) == ["thesis.tex"]
    for path in (output / "thesis.tex", output / "thesis.tex" / "below"):
        assert train(path, "--overwrite") == 2
        assert "thesis.tex exists and is not a folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert train(".") == 2
    assert "is the working directory" in capsys.readouterr().err


@pytest.mark.usefixtures("light")
def test_the_old_run_stays_until_the_new_one_is_complete(tmp_path, monkeypatch):
    output = tmp_path / "a"
    output.mkdir()
    (output / "model.keras").write_text("old")
    (output / "metrics.json").write_text("old")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(aezoo.plots, "filters", full_disk)
    assert train(output, "--seed", 2, "--overwrite") == 2
    assert names(output) == ["metrics.json", "model.keras"]


@pytest.mark.usefixtures("light")
def test_a_picture_that_cannot_be_drawn_is_left_out(capsys, tmp_path, monkeypatch):
    def no_picture(*_):
        raise ValueError("no kernel\nto show")

    monkeypatch.setattr(aezoo.plots, "filters", no_picture)
    assert train(tmp_path / "a") == 0
    assert "filters.png was not drawn: no kernel to show\n" in capsys.readouterr().out
    assert names(tmp_path / "a") == sorted(set(FILES) - {"filters.png"})


@pytest.mark.usefixtures("light")
def test_a_data_set_without_labels_has_no_probe(tmp_path, monkeypatch):
    load = datasets.load
    monkeypatch.setattr(datasets, "load", lambda name: tuple((x, None) for x, _ in load(name)))
    assert train(tmp_path / "a") == 0
    assert results(tmp_path / "a")["metrics"]["probe_error_codes"] is None


@pytest.mark.usefixtures("light")
def test_an_interrupted_training_is_evaluated_and_written(capsys, tmp_path, interrupt):
    interrupt(epoch=2)
    assert train(tmp_path / "a", "--epochs", 5) == 130
    assert "after 2 of 5 epochs" in capsys.readouterr().out
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == FILES
    written = results(tmp_path / "a")
    assert (written["epochs"], written["epochs_trained"], written["interrupted"]) == (5, 2, True)


def test_a_training_interrupted_in_its_first_epoch_writes_nothing(capsys, tmp_path, interrupt):
    interrupt(epoch=0)
    assert train(tmp_path / "a", "--epochs", 5) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert names(tmp_path) == []


@pytest.mark.usefixtures("light")
def test_a_second_interrupt_writes_nothing_and_the_same_command_goes_on(capsys, tmp_path, interrupt, monkeypatch):
    def again(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(aezoo.plots, "filters", again)
        assert train(tmp_path / "a") == 130
    assert names(tmp_path) == [".a-backup"]
    interrupt(epoch=0, error=AssertionError("it began anew"))
    assert train(tmp_path / "a") == 0  # every epoch is finished: only the evaluation is left
    assert names(tmp_path) == ["a"]
    assert results(tmp_path / "a")["epochs_trained"] == 1


@pytest.mark.usefixtures("light")
def test_a_backup_of_another_configuration_is_not_used(capsys, tmp_path, interrupt):
    interrupt(epoch=1, error=OSError("died"))
    assert train(tmp_path / "a", "--epochs", 3) == 2
    assert names(tmp_path) == [".a-backup"]
    capsys.readouterr()
    for options, differs in {
        ("--epochs", 3, "--latent-dim", 5): r"latent_dim \(32, not 5\)",
        ("--epochs", 3, "--learning-rate", 0.1): r"learning_rate \(None, not 0\.1\)",
        ("--epochs", 3, "--activation", "tanh"): r"activation \('relu', not 'tanh'\)",
        ("--epochs", 4): r"epochs \(3, not 4\)",
        ("--epochs", 3, "--limit", 90): r"limit \(100, not 90\) and data shape .* and data checksum",
    }.items():
        assert train(tmp_path / "a", *options) == 2
        error = capsys.readouterr().err
        assert re.search(rf"unfinished training with other {differs}.*use the same values to resume it", error), error
    assert names(tmp_path / ".a-backup") == ["aezoo.lock", "run.json", "training.weights.h5"]
    assert train(tmp_path / "a", "--epochs", 3, "--latent-dim", 5, "--overwrite") == 2  # which dies, too
    said = capsys.readouterr().out
    assert "Resuming" not in said and "Replacing " in said and "other latent_dim (32, not 5)" in said
    interrupt(epoch=2, error=OSError("died"))
    assert train(tmp_path / "a", "--epochs", 3) == 2
    assert "latent_dim (5, not 32)" in capsys.readouterr().err


@pytest.mark.usefixtures("light")
@pytest.mark.slow  # others stop a training in this process
def test_a_killed_training_leaves_nothing_and_the_same_command_goes_on(script, capsys, tmp_path):
    output = tmp_path / "a"
    command = ["train", "autoencoder", *SMALL, "--epochs", "20", "--quiet", "--output", str(output)]
    with (tmp_path / "error").open("w") as error:
        process = script(*command, stdout=subprocess.DEVNULL, stderr=error)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / ".a-backup" / "training.weights.h5").exists():  # the other process has the lock
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "error").read_text() == ""  # neither warnings nor what TensorFlow logs
    (tmp_path / "error").unlink()
    assert names(tmp_path) == [".a-backup"]
    for name in ("run.json", "training.weights.h5"):
        file = tmp_path / ".a-backup" / name
        whole = file.read_bytes()
        file.write_bytes(whole[:100])
        assert program.main(command) == 2
        assert re.search(r"\.a-backup\S* is damaged.*: remove it to start anew", capsys.readouterr().err)
        file.write_bytes(whole)
    assert program.main(command) == 0
    finished = int(re.search(r"Resuming after epoch (\d+)", capsys.readouterr().out).group(1))
    assert 1 <= finished < 20
    assert results(output)["epochs_trained"] == 20
    assert int(keras.saving.load_model(output / "model.keras").epoch) == 20
    assert names(tmp_path) == ["a"] and names(output) == FILES


@pytest.mark.usefixtures("light")
def test_a_kill_at_the_first_backup_starts_anew(tmp_path, monkeypatch):
    """Each file of a backup is complete or not there, and the one that says of which run it is comes first."""
    output = tmp_path / "a"

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    for target in ("_new_model", "_Backup._save"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(f"aezoo.cli.train.{target}", killed)
            patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # nor is anything tidied up
            patch.setattr("pathlib.Path.rmdir", lambda *_, **__: None)
            train(output)
        assert names(tmp_path) == [".a-backup"]
        leftover = tmp_path / ".a-backup" / ".training.weights.h5-12345678.aezoo"
        leftover.mkdir()
        (leftover / "aezoo.lock").touch()
    assert train(output) == 0
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("light")
def test_two_commands_do_not_train_for_the_same_output(capsys, tmp_path, monkeypatch):
    load, inside = command._load, []

    def load_meanwhile(arguments):
        if not inside:
            inside.append(train(tmp_path / "runs" / "a", "--seed", 3))
        return load(arguments)

    monkeypatch.setattr(command, "_load", load_meanwhile)
    assert train(tmp_path / "runs" / "a") == 0
    assert inside == [2]
    assert re.search(r"Another aezoo train is writing .*a: wait .* choose another --output", capsys.readouterr().err)
    assert results(tmp_path / "runs" / "a")["seed"] == 0


@pytest.mark.usefixtures("light")
def test_what_appears_at_the_output_meanwhile_is_kept(capsys, tmp_path, monkeypatch):
    output, metrics = tmp_path / "a", command._measure

    def meanwhile(*arguments):
        appears.mkdir(exist_ok=True)
        (appears / "thesis.tex").write_text("of years")
        return metrics(*arguments)

    monkeypatch.setattr(command, "_measure", meanwhile)
    appears = output
    assert train(output) == 2
    assert re.search(r"/a was created or changed .* is kept: the result is in .*/a-2\.", capsys.readouterr().err)
    assert names(output) == ["thesis.tex"] and names(tmp_path / "a-2") == FILES and names(tmp_path) == ["a", "a-2"]
    appears = tmp_path / "a-2"
    assert train(appears, "--overwrite") == 2  # nor does --overwrite replace what was not there
    assert names(appears) == sorted([*FILES, "thesis.tex"]) and names(tmp_path / "a-2-2") == FILES
    assert names(tmp_path) == ["a", "a-2", "a-2-2"]


def test_an_output_that_cannot_be_written_is_said_before_the_data_are_loaded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_load", lambda *_: pytest.fail("it got as far as loading data"))
    assert train(tmp_path / ("x" * 256)) == 2
    assert "too long" in capsys.readouterr().err
    (tmp_path / ".a-backup").mkdir()
    (tmp_path / ".a-backup" / "thesis.tex").write_text("")
    assert train(tmp_path / "a") == 2
    assert re.search(r"\.a-backup is not a backup of this version of aezoo", capsys.readouterr().err)

    def read_only(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", read_only)
    assert train(tmp_path / "runs" / "b") == 2
    assert re.search(r"Read-only file system: '.*runs/b'", capsys.readouterr().err)
    assert names(tmp_path) == [".a-backup"] and names(tmp_path / ".a-backup") == ["thesis.tex"]


@pytest.mark.usefixtures("light")
def test_a_name_as_long_as_the_file_system_takes(tmp_path):
    assert train(tmp_path / ("x" * 255)) == 0
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.usefixtures("light")
def test_only_our_files_leave_the_folder_of_the_backup(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(command, "_measure", lambda *_: (_ for _ in ()).throw(OSError("died")))
        assert train(tmp_path / "a") == 2
    (tmp_path / ".a-backup" / "notes.txt").write_text("mine")
    assert train(tmp_path / "a") == 0
    assert names(tmp_path) == [".a-backup", "a"] and names(tmp_path / ".a-backup") == ["aezoo.lock", "notes.txt"]


@pytest.mark.usefixtures("light")
def test_errors_of_the_machine_are_one_line(capsys, tmp_path, monkeypatch):
    for error, said in ((MemoryError(), "MemoryError"), (OverflowError("too\nlarge"), "too large")):
        monkeypatch.setattr(command, "_load", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert train(tmp_path / "a") == 2
        assert capsys.readouterr().err == f"aezoo: error: {said}\n"
    assert names(tmp_path) == []


@pytest.mark.slow
def test_sketches(tmp_path, capsys, monkeypatch, no_graphs):
    no_graphs(monkeypatch)
    output, file = tmp_path / "run", str(tmp_path / "squares.npz")
    drawn = [np.round(sketch).astype("int16") for sketch in aezoo.sketches.shapes(32, seed=0)[1::4]]
    splits = np.empty((2, 4), object)  # squares, which have few points
    splits[:] = np.array([*drawn, None], object)[:-1].reshape(2, 4)
    np.savez(file, train=splits[0], test=splits[1])
    options = ["--dataset", file, "--limit", "3", "--epochs", "1", "--encoder-units", "4", "--decoder-units", "6"]
    assert program.main(["train", "sketch-rnn", *options, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    pictures = ["history.png", "interpolation.png", "reconstructions.png", "samples.png"]
    assert names(output) == sorted(["1", "metrics.json", "model.keras", *pictures])
    metrics = results(output)["metrics"]
    model = keras.saving.load_model(output / "model.keras")
    (_, _), (x_test, _) = aezoo.sketches.load(file)
    assert metrics["negative_log_likelihood"] == pytest.approx(np.mean(model.score_samples(x_test[:3])), rel=1e-4)
    reported = model.evaluate(x_test[:3], return_dict=True, verbose=0)
    for name in ("reconstruction", "kl_divergence", "negative_log_likelihood"):
        assert metrics[name] == pytest.approx(reported[name], rel=1e-4) and f"{metrics[name]:.4g}" in printed
    assert (results(output)["dataset"], results(output)["test_samples"]) == (file, 3)
    assert program._parser(["sketch-rnn"]).parse_args(["train", "sketch-rnn"]).dataset == "shapes"


def test_a_file_of_sketches_that_is_none(tmp_path, capsys):
    path = tmp_path / "cats.npz"
    path.write_bytes(b"no sketches")
    assert program.main(["train", "sketch-rnn", "--dataset", str(path), "--output", str(tmp_path / "run")]) == 2
    assert "not a .npz file" in capsys.readouterr().err


# === Classes of a user's own ===


def own(*options, name="train_mine:MyAE"):
    return program.main(["train", name, *SMALL, "--quiet", *map(str, options)])


def test_a_class_of_a_users_own_is_trained_as_ours(own_module, tmp_path, capsys, monkeypatch, no_graphs):
    no_graphs(monkeypatch)
    own_module("train_mine")
    assert own("--beta", 0.5, "--epochs", 2) == 0
    output = tmp_path / "runs" / "MyAE-digits"
    assert names(output) == FILES and f"Written to runs/{output.name}" in capsys.readouterr().out
    model = keras.saving.load_model(output / "model.keras")
    assert (type(model).__name__, model.beta, model.latent_dim, model.tied) == ("MyAE", 0.5, 32, True)
    written = results(output)
    assert (written["model"], written["class"]) == ("train_mine:MyAE", "MyAE")
    assert written["arguments"]["beta"] == 0.5 and written["learning_rate"] == pytest.approx(0.003)
    assert written["metrics"]["l0"] > 0


@pytest.mark.slow
def test_the_vq_vae_of_the_guide_is_trained(own_module, tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "your_own_variant.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "class VQVAE" in block)
    own_module("train_guide", block.replace("{", "{{").replace("}", "}}"))
    assert own("--epochs", 2, name="train_guide:VQVAE") == 0
    output = tmp_path / "runs" / "VQVAE-digits"
    assert names(output) == FILES
    (_, _), (x_test, _) = datasets.load("digits")
    x_test = x_test[: results(output)["test_samples"]]
    measured = evaluation.reconstruction_error(keras.saving.load_model(output / "model.keras"), x_test)
    assert results(output)["metrics"]["reconstruction_error"] == pytest.approx(float(np.mean(measured)), rel=1e-4)


def test_the_help_of_a_class_of_a_users_own(own_module, capsys):
    own_module("train_helped")
    with pytest.raises(SystemExit) as stop:
        program.main(["train", "train_helped:MyAE", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert "--beta N Weight of ½‖z‖² (default: 0.01)" in text and "Adds the size of the code" in text
    assert "--latent-dim N Number of code units (default: chosen for the data" in text


@pytest.mark.usefixtures("light")
def test_a_class_of_a_users_own_resumes(own_module, tmp_path, capsys, interrupt):
    own_module("train_mine")
    interrupt(epoch=1, error=OSError("died"))
    assert own("--epochs", 3, "--output", tmp_path / "a") == 2
    assert own("--epochs", 3, "--output", tmp_path / "a", "--beta", 0.5) == 2
    assert "unfinished training with other beta (0.01, not 0.5)" in capsys.readouterr().err
    interrupt(epoch=0, error=AssertionError("it began anew"))
    assert own("--epochs", 3, "--output", tmp_path / "a") == 2
    assert "Resuming after epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "train_none:MyAE", "There is no module 'train_none'"),
        ("", "train_wrong:MyAE", "The module 'train_wrong' has no class 'MyAE'"),
        (
            "def __init__(self, units=3, **kwargs):\n        super().__init__(latent_dim=units, **kwargs)",
            "train_wrong:Wrong",
            "Wrong does not accept the arguments latent_dim, tied, seed: .*multiple values .*'latent_dim'.*fixed_arg",
        ),
        ('data = "tokens"', "train_wrong:Wrong", "Wrong learns from tokens, for which aezoo has no data sets"),
    ],
)
def test_a_class_that_cannot_be_trained_is_one_sentence(own_module, tmp_path, capsys, text, name, message):
    if text is not None:
        register = '@keras.saving.register_keras_serializable("wrong")'
        text = text and f"import keras\nimport aezoo\n\n\n{register}\nclass Wrong(aezoo.Autoencoder):\n    {text}\n"
        own_module("train_wrong", text)
    assert own(name=name) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"aezoo: error: .*{message}.*\n", error), error
    assert [each for each in names(tmp_path) if each != "train_wrong.py"] in ([], ["runs"])


# === Resuming and measuring ===


@pytest.mark.usefixtures("light")
def test_a_resumed_training_is_the_model_that_it_was(tmp_path, interrupt):
    """Weights, optimizer and epoch; the order of the samples starts anew."""
    assert train(tmp_path / "whole", "--batch-size", 100, "--epochs", 3) == 0
    with pytest.MonkeyPatch.context() as patch:
        move = aezoo.Autoencoder.update_schedules

        def die(model):
            if int(model.epoch.numpy()) == 2:
                raise OSError("died")
            move(model)

        patch.setattr(aezoo.Autoencoder, "update_schedules", die)
        assert train(tmp_path / "a", "--batch-size", 100, "--epochs", 3) == 2
    assert train(tmp_path / "a", "--batch-size", 100, "--epochs", 3) == 0
    whole, resumed = (keras.saving.load_model(tmp_path / name / "model.keras") for name in ("whole", "a"))
    assert int(resumed.optimizer.iterations.numpy()) == 3 == int(resumed.epoch.numpy())
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert results(tmp_path / "a")["epochs_trained"] == 3


@pytest.mark.usefixtures("light")
def test_a_backup_of_an_earlier_aezoo_is_not_resumed(tmp_path, capsys):
    folder = tmp_path / ".a-backup"
    folder.mkdir()
    for name in ("aezoo.lock", "model.keras"):
        (folder / name).touch()
    assert train(tmp_path / "a") == 2
    assert re.search(
        r"\.a-backup has an unfinished training of an earlier version of aezoo, which cannot be resumed: .*--overwrite",
        capsys.readouterr().err,
    )
    assert names(folder) == ["aezoo.lock", "model.keras"]
    assert train(tmp_path / "a", "--overwrite") == 0
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("light")
def test_what_cannot_be_measured_is_written_all_the_same(tmp_path, capsys):
    assert train(tmp_path / "a", "--limit", 1) == 0
    assert "The model was not measured: A report needs at least 2 samples" in capsys.readouterr().out
    assert results(tmp_path / "a")["metrics"] == {} and "model.keras" in names(tmp_path / "a")
