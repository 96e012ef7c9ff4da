import contextlib
import inspect
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import aezoo
from aezoo import _docstrings, datasets, evaluation
from aezoo.cli import defaults, program
from aezoo.layers import networks
from aezoo.schedules import Linear

ROOT = pathlib.Path(__file__).parents[2]
PICTURES = {"rbm": ["samples.png"], "vae": ["samples.png", "interpolation.png"]}
FILES = ["1", "filters.png", "history.png", "metrics.json", "model.keras", "reconstructions.png"]
SMALL = ["--dataset", "digits", "--limit", "100", "--epochs", "1"]
PNG = b"\x89PNG\r\n\x1a\n"


def train(output, *options, model="autoencoder"):
    return program.main(["train", model, *SMALL, "--quiet", "--output", str(output), *map(str, options)])


def results(output):
    return json.loads((output / "metrics.json").read_text())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module", params=[name for name, entry in defaults.MODELS.items() if not entry.sketches])
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
def light(monkeypatch, no_graphs):
    """Leaves out the most costly of a run: graphs, linear probes, and what is in the SavedModel and the pictures."""
    no_graphs(monkeypatch)
    monkeypatch.setattr(evaluation, "linear_probe", lambda *_: 0.5)
    for name in ("history", "reconstructions", "filters"):
        monkeypatch.setattr(aezoo.plots, name, lambda *_, **__: Figure(figsize=(1, 1)))


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


def test_every_model_writes_all_files_and_nothing_beside_them(trained):
    name, output, _ = trained
    assert names(output) == sorted([*FILES, *PICTURES.get(name, [])])
    assert names(output.parent) == ["run"]
    for path in output.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
    assert name != "autoencoder" or (output / "1" / "saved_model.pb").exists()


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
    expected = {
        "reconstruction_error": np.mean(np.sum(errors, axis=(1, 2, 3))),
        "mean_squared_error": np.mean((model.reconstruct(x_test) - x_test) ** 2),
        "probe_error_codes": evaluation.linear_probe(z_train, y_train, z_test, y_test),
        "probe_error_pixels": evaluation.linear_probe(x_train, y_train, x_test, y_test),
        "l0": evaluation.l0(z_test, threshold),
        "dead_units": evaluation.dead_units(z_test, threshold),
        "activity_threshold": 0.1 if networks.output_activation(model.encoder) is keras.activations.sigmoid else 0.0,
    }
    assert metrics == pytest.approx(expected, rel=1e-4)
    table = dict(re.findall(r"^  (\w.*?) {2,}([\d.]+%?)", printed, re.MULTILINE))
    assert list(table.values()) == [
        f"{metrics['reconstruction_error']:.4f}",
        f"{metrics['mean_squared_error']:.5f}",
        f"{metrics['probe_error_codes']:.2%}",
        f"{metrics['probe_error_pixels']:.2%}",
        f"{metrics['l0']:.1f}",
        str(metrics["dead_units"]),
    ]


def test_the_configuration_is_written(trained):
    name, output, _ = trained
    written = results(output)
    model = keras.saving.load_model(output / "model.keras")
    assert written["model"] == name
    entry = defaults.MODELS[name]
    assert written["class"] == type(model).__name__ == ("Autoencoder" if entry.stack else entry.class_name)
    if entry.stack:
        layers = [9, 4] if name == "dbn" else [64, 32, 16]  # what was asked for, and the default
        assert (written["layers"], written["pretrain_epochs"]) == (layers, 2)
    else:
        assert written["arguments"][entry.units] == model.latent_dim
    assert written["arguments"]["seed"] == written["seed"] == 0
    assert (written["dataset"], written["limit"], written["epochs"], written["batch_size"]) == ("digits", 100, 1, 64)
    assert (written["train_samples"], written["test_samples"], written["epochs_trained"]) == (100, 100, 1)
    assert written["versions"]["aezoo"] == aezoo.__version__
    assert written["learning_rate"] == pytest.approx(model.optimizer.learning_rate.numpy())
    assert not written["interrupted"]


@pytest.mark.parametrize("name", defaults.MODELS)
def test_every_constructor_argument_is_an_option_with_help(name, capsys):
    cls = getattr(aezoo, defaults.MODELS[name].class_name)
    wanted = {
        parameter
        for base in cls.__mro__[: cls.__mro__.index(keras.Model)]
        for parameter in inspect.signature(base.__init__).parameters
    } - {"self", "kwargs", "encoder", "decoder", *defaults.MODELS[name].without}
    with pytest.raises(SystemExit) as stop:
        program.main(["train", name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for argument in wanted:
        assert f"--{argument.replace('_', '-')}" in text
    for argument in program._model_arguments(name):
        assert argument.help, f"{argument.name} has no text in the docstring"


def test_what_is_left_out_is_what_the_model_does_not_save():
    for name, entry in defaults.MODELS.items():
        for argument in () if entry.stack else entry.without:
            assert (
                argument in ("hidden_dims", "filters")
                or argument not in getattr(aezoo, entry.class_name)(2).get_config()
            ), name


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


@pytest.mark.usefixtures("light")
def test_convolutions(tmp_path):
    assert train(tmp_path / "a", "--filters", "4,8", "--latent-dim", 8) == 0
    assert keras.saving.load_model(tmp_path / "a" / "model.keras").filters == (4, 8)


def test_schedules_are_read():
    assert program._schedule("100:25:20") == Linear(100, 25, 20)
    assert program._schedule("25") == 25 and isinstance(program._schedule("25"), int)
    assert program._schedule("0.5") == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", ""], "--output: expected a name, not an empty one"),
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
        (["--activation", "nope"], "--activation: Keras knows no activation 'nope'"),
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
        train(tmp_path / "a", *options, model="denoising")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("k-sparse", ["--k", "9", "--latent-dim", "8"], "k=9 .* would keep .* choose a smaller k"),
        ("denoising", ["--corruption", "2"], r"The level of masking corruption must be in \[0, 1\]"),
        ("sparse", ["--target", "1"], r"target must be inside \(0, 1\)"),
        ("sparse", ["--penalty", "l3"], "penalty='l3' is unknown"),
        ("autoencoder", ["--dataset", "digitz"], "Unknown data set 'digitz'.*Did you mean 'digits'"),
        ("autoencoder", ["--learning-rate", "1e30", "--output-activation", "linear"], "Training diverged"),
    ],
)
def test_errors_are_one_line(model, options, message, capsys, tmp_path):
    assert train(tmp_path / "a", *options, model=model) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(f"aezoo: error: .*{message}.*\n", error), error
    assert names(tmp_path) == []


def test_an_unknown_model(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["train", "perceptron"])
    assert stop.value.code == 2
    assert "k-sparse" in capsys.readouterr().err


@pytest.mark.usefixtures("light")
def test_an_output_that_is_there_is_refused_before_training_and_replaced_on_demand(capsys, tmp_path, monkeypatch):
    output = tmp_path / "a"
    assert train(output, "--seed", 1) == 0
    (output / "notes.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(program, "_load", lambda *_: pytest.fail("it got as far as loading data"))
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
        assert "thesis.tex is there and is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert train(".") == 2
    assert "the folder that this process works in" in capsys.readouterr().err


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
    assert "filters.png is left out: no kernel to show\n" in capsys.readouterr().out
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
        assert re.search(rf"unfinished training with other {differs}.*give the same to resume it", error), error
    assert names(tmp_path / ".a-backup") == ["aezoo.lock", "model.keras", "run.json"]
    assert train(tmp_path / "a", "--epochs", 3, "--latent-dim", 5, "--overwrite") == 2  # which dies, too
    said = capsys.readouterr().out
    assert "Going on" not in said and "Not going on from" in said and "other latent_dim (32, not 5)" in said
    interrupt(epoch=2, error=OSError("died"))
    assert train(tmp_path / "a", "--epochs", 3) == 2
    assert "latent_dim (5, not 32)" in capsys.readouterr().err


@pytest.mark.usefixtures("light")
def test_a_killed_training_leaves_nothing_and_the_same_command_goes_on(capsys, tmp_path):
    output = tmp_path / "a"
    command = ["train", "autoencoder", *SMALL, "--epochs", "20", "--quiet", "--output", str(output)]
    with (tmp_path / "error").open("w") as error:
        process = script(*command, stdout=subprocess.DEVNULL, stderr=error)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / ".a-backup" / "model.keras").exists():  # the other process has the lock
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "error").read_text() == ""  # neither warnings nor what TensorFlow logs
    (tmp_path / "error").unlink()
    assert names(tmp_path) == [".a-backup"]
    for name in ("run.json", "model.keras"):
        file = tmp_path / ".a-backup" / name
        whole = file.read_bytes()
        file.write_bytes(whole[:100])
        assert program.main(command) == 2
        assert re.search(r"\.a-backup is damaged: remove it to start anew", capsys.readouterr().err)
        file.write_bytes(whole)
    assert program.main(command) == 0
    finished = int(re.search(r"Going on after epoch (\d+)", capsys.readouterr().out).group(1))
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
            patch.setattr(f"aezoo.cli.program.{target}", killed)
            patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # nor is anything tidied up
            patch.setattr("pathlib.Path.rmdir", lambda *_, **__: None)
            train(output)
        assert names(tmp_path) == [".a-backup"]
        leftover = tmp_path / ".a-backup" / ".model.keras-12345678.aezoo"
        leftover.mkdir()
        (leftover / "aezoo.lock").touch()
    assert train(output) == 0
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("light")
def test_two_commands_do_not_train_for_the_same_output(capsys, tmp_path, monkeypatch):
    load, inside = program._load, []

    def load_meanwhile(arguments):
        if not inside:
            inside.append(train(tmp_path / "runs" / "a", "--seed", 3))
        return load(arguments)

    monkeypatch.setattr(program, "_load", load_meanwhile)
    assert train(tmp_path / "runs" / "a") == 0
    assert inside == [2]
    assert re.search(r"Another aezoo train writes .*a: wait .* choose another --output", capsys.readouterr().err)
    assert results(tmp_path / "runs" / "a")["seed"] == 0


@pytest.mark.usefixtures("light")
def test_what_appears_at_the_output_meanwhile_is_kept(capsys, tmp_path, monkeypatch):
    output, metrics = tmp_path / "a", program._metrics

    def meanwhile(*arguments):
        appears.mkdir(exist_ok=True)
        (appears / "thesis.tex").write_text("of years")
        return metrics(*arguments)

    monkeypatch.setattr(program, "_metrics", meanwhile)
    appears = output
    assert train(output) == 2
    assert re.search(r"/a was made or changed .* is kept: the result is in .*/a-2\.", capsys.readouterr().err)
    assert names(output) == ["thesis.tex"] and names(tmp_path / "a-2") == FILES and names(tmp_path) == ["a", "a-2"]
    appears = tmp_path / "a-2"
    assert train(appears, "--overwrite") == 2  # nor does --overwrite replace what was not there
    assert names(appears) == sorted([*FILES, "thesis.tex"]) and names(tmp_path / "a-2-2") == FILES
    assert names(tmp_path) == ["a", "a-2", "a-2-2"]


def test_an_output_that_cannot_be_written_is_said_before_the_data_are_loaded(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "_load", lambda *_: pytest.fail("it got as far as loading data"))
    assert train(tmp_path / ("x" * 256)) == 2
    assert "too long" in capsys.readouterr().err
    (tmp_path / ".a-backup").mkdir()
    (tmp_path / ".a-backup" / "thesis.tex").write_text("")
    assert train(tmp_path / "a") == 2
    assert re.search(r"\.a-backup is no backup of this aezoo", capsys.readouterr().err)

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
        patch.setattr(program, "_metrics", lambda *_: (_ for _ in ()).throw(OSError("died")))
        assert train(tmp_path / "a") == 2
    (tmp_path / ".a-backup" / "notes.txt").write_text("mine")
    assert train(tmp_path / "a") == 0
    assert names(tmp_path) == [".a-backup", "a"] and names(tmp_path / ".a-backup") == ["aezoo.lock", "notes.txt"]


@pytest.mark.usefixtures("light")
def test_errors_of_the_machine_are_one_line(capsys, tmp_path, monkeypatch):
    for error, said in ((MemoryError(), "MemoryError"), (OverflowError("too\nlarge"), "too large")):
        monkeypatch.setattr(program, "_load", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert train(tmp_path / "a") == 2
        assert capsys.readouterr().err == f"aezoo: error: {said}\n"
    assert names(tmp_path) == []


def script(*arguments, code="import aezoo_command; aezoo_command.main()", **options):
    """Starts the console script of this clone, in which warnings are errors."""
    known = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "PYTHONWARNINGS": f"error,{known}",
    }
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, env=environment, **options)


@pytest.mark.skipif(not (ROOT / "aezoo_command.py").exists(), reason="the tests are not in a clone")
def test_the_script_imports_nothing_that_it_does_not_need(capsys):
    code = "import atexit, sys; atexit.register(lambda: print({'tensorflow', 'keras', 'numpy'} & {*sys.modules})); "
    code += "import aezoo_command; aezoo_command.main()"
    for line in ("--help", "--version", "train --help", "shelf train --help", "--nope", "list"):
        process = script(*line.split(), code=code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = process.communicate(timeout=60)
        assert out.endswith("set()\n"), line
        assert (process.returncode, "usage:" in error) == ((2, True) if line == "--nope" else (0, False))
    program.main(["list"])
    assert out == capsys.readouterr().out + "set()\n"


def test_what_is_listed_is_what_the_classes_say():
    for entry in defaults.MODELS.values():
        name = entry.stack or entry.class_name
        assert _docstrings.of_source(name) == inspect.getdoc(getattr(aezoo, name))
    with pytest.raises(ValueError, match="no class 'Nope'"):
        _docstrings.of_source("Nope")


def test_standard_error_comes_back_with_all_but_log_lines(capfd, monkeypatch):
    lines = ["I0000 00:00:1 7 port.cc:1] oneDNN\n", "2026-01-01 00:00:00.1: I external/x.cc] GPU\n"]
    lines += ["WARNING: All log messages before absl::InitializeLog() is called\n", "F0000 00:00:1 fatal\n", "mine"]
    for level, kept in (("3", "".join(lines[3:])), ("0", "".join(lines))):
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
        with pytest.raises(ImportError), program._without_log_lines():
            os.write(2, "".join(lines).encode())
            raise ImportError
        assert capfd.readouterr().err == kept


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"aezoo {aezoo.__version__}\n")


def test_list_names_every_model_and_its_paper(capsys):
    assert program.main(["list"]) == 0
    text = capsys.readouterr().out
    for name in defaults.MODELS:
        assert re.search(rf"^{name} +\S", text, re.MULTILINE)
    assert "arXiv:1312.5663" in text and "Vincent" in text


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
    assert f"{metrics['reconstruction']:.4f}" in printed and f"{metrics['kl_divergence']:.4f}" in printed
    assert (results(output)["dataset"], results(output)["test_samples"]) == (file, 3)
    assert program._parser(["sketch-rnn"]).parse_args(["train", "sketch-rnn"]).dataset == "shapes"


def test_a_file_of_sketches_that_is_none(tmp_path, capsys):
    path = tmp_path / "cats.npz"
    path.write_bytes(b"no sketches")
    assert program.main(["train", "sketch-rnn", "--dataset", str(path), "--output", str(tmp_path / "run")]) == 2
    assert "is no .npz file" in capsys.readouterr().err
