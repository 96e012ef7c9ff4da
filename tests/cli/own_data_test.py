"""Data of one's own on the command line: `aezoo train --data`, and `aezoo encode`, `score` and `reconstruct`."""

import argparse
import csv
import dataclasses
import inspect
import json
import re
import sys
import warnings

import keras
import numpy as np
import pytest

import aezoo
from aezoo import datasets, evaluation
from aezoo.cli import defaults, own_data, program, reading
from aezoo.cli import train as command_of_train

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
Image = pytest.importorskip("PIL.Image")

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a table, a series, images, arrays and text into a folder."""
    folder = tmp_path_factory.mktemp("own")
    n = 60
    table = pd.DataFrame(
        {"age": RNG.normal(40, 10, n), "size": RNG.normal(size=n), "city": RNG.choice(["Rome", "Oslo"], n)}
    )
    table.loc[3, "age"] = np.nan
    table.to_csv(folder / "table.csv", index=False)
    table.to_parquet(folder / "table.parquet")
    hours = pd.date_range("2024-01-01", periods=50, freq="h")
    pd.DataFrame({"time": hours, "load": np.sin(np.arange(50))}).to_csv(folder / "series.csv", index=False)
    images = RNG.integers(0, 256, (12, 6, 6), "uint8")
    for i, image in enumerate(images):
        path = folder / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    np.savez(folder / "images.npz", x=images, y=np.arange(12))
    np.save(folder / "numbers.npy", RNG.random((10, 4), "float32"))
    (folder / "names.txt").write_text("\n".join(f"anna{i}" for i in range(40)))
    return folder


@pytest.fixture(scope="module")
def corrupt(tmp_path_factory):
    """Write a folder of three images and a corrupt one."""
    folder = tmp_path_factory.mktemp("corrupt")
    for i in range(3):
        Image.fromarray(RNG.integers(0, 256, (6, 6), "uint8")).save(folder / f"{i}.png")
    (folder / "bad.png").write_bytes((folder / "0.png").read_bytes()[:50])
    return folder


def command(*arguments):
    return program.main([str(part) for part in arguments])


def options(path, *given):
    """Return the options of the readers as the command line reads them, with `data`."""
    parser = argparse.ArgumentParser()
    own_data.add_reading_options(parser)
    return parser.parse_args(list(map(str, given)), argparse.Namespace(data=path))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Train a model on the table by `aezoo train`; return its folder."""
    output = tmp_path_factory.mktemp("runs") / "table"
    given = ("--epochs", 1, "--latent-dim", 2, "--quiet", "--output", output)
    assert command("train", "linear", "--data", folder / "table.csv", *given) == 0
    return output


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# === Training ===


def test_training_on_a_table_writes_a_model_that_takes_its_rows(folder, trained):
    model = keras.saving.load_model(trained / "model.keras")
    table = pd.read_csv(folder / "table.csv")
    assert model.missing == "mask" and model.preprocessing.kinds == {
        "age": "numeric",
        "size": "numeric",
        "city": "categorical",
    }
    results = json.loads((trained / "metrics.json").read_text())
    assert results["dataset"] is None and results["data"].endswith("table.csv")
    assert results["train_samples"] + results["test_samples"] == 60
    expected = datasets.from_table(folder / "table.csv").arrays("test")
    assert results["test_samples"] == len(expected)
    np.testing.assert_allclose(results["metrics"]["score"], np.mean(model.score_samples(expected)), rtol=1e-4)
    np.testing.assert_allclose(model.score_samples(table), model.score_samples(model.preprocessing.transform(table)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "given"),
    [
        ("vae", "photos", ()),
        ("denoising", "series.csv", ("--window", 8, "--time", "time")),
        ("k-sparse", "images.npz", ("--latent-dim", 20)),
        ("conditional", "images.npz", ()),
        ("conditional", "photos", ()),
        ("stacked", "images.npz", ("--layers", "4,2", "--pretrain-epochs", 1)),
        ("rbm", "numbers.npy", ()),
        ("sequence", "series.csv", ("--window", 8, "--time", "time", "--latent-dim", 2, "--units", 4)),
    ],
)
def test_training_on_data_of_each_kind(model, data, given, folder, tmp_path, capsys):
    output = tmp_path / "run"
    assert command("train", model, "--data", folder / data, "--epochs", 1, "--output", output, *given) == 0
    assert {"model.keras", "metrics.json", "1"} <= {path.name for path in output.iterdir()}
    assert command("evaluate", output, "--data", folder / data) == 0
    assert command("score", output, "--data", folder / data) == 0


@pytest.mark.slow
def test_a_model_of_text_is_served_text(folder, tmp_path, capsys):
    import tensorflow as tf

    given = ("--epochs", 1, "--latent-dim", 2, "--units", 4, "--quiet", "--output", tmp_path / "run")
    assert command("train", "sequence", "--data", folder / "names.txt", *given) == 0
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    served = tf.saved_model.load(str(tmp_path / "run" / "1"))
    lines = ["anna1", "nn2"]
    scores = served.signatures["score"](text=tf.constant(lines))["score"]
    np.testing.assert_allclose(scores, model.score_samples(lines), rtol=1e-4)
    assert command("reconstruct", tmp_path / "run", "--data", folder / "names.txt", "--output", tmp_path / "r.txt") == 0
    assert len((tmp_path / "r.txt").read_text().splitlines()) == 40


def test_labels_of_large_data_are_refused(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reading, "_IN_MEMORY", 0)
    assert command("train", "conditional", "--data", folder / "photos", "--output", tmp_path / "run") == 2
    assert "photos take more than 256 MiB, and are read without labels" in capsys.readouterr().err


@pytest.mark.slow
def test_large_data_are_read_from_the_file_in_each_epoch(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reading, "_IN_MEMORY", 0)
    given = ("--epochs", 2, "--limit", 20, "--batch-size", 8, "--output", tmp_path / "run")
    assert command("train", "linear", "--data", folder / "table.csv", *given) == 0
    assert "not in memory" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results["epochs_trained"] == 2 and results["batch_size"] == 8
    held_back = len(datasets.from_table(folder / "table.csv").arrays("test"))
    assert (results["train_samples"], results["test_samples"]) == (20, held_back)


def test_a_table_that_looks_like_a_series_says_how_to_read_it(folder):
    said = reading.read(options(folder / "series.csv"), 8).summary
    assert said.endswith(
        "\nRead as a table of independent rows, although 'time' grows from row to row: for a series, give --window N "
        "--time 'time'."
    )
    series = reading.read(options(folder / "series.csv", "--window", "8", "--time", "time"), 8).summary
    table = reading.read(options(folder / "table.csv"), 8).summary
    assert "grows from row to row" not in series + table


def test_options_of_the_readers_reach_them(folder):
    own = reading.read(options(folder / "photos", "--image-size", "4,5"), 4)
    assert own.train[0].shape[1:] == (4, 5, 1)
    assert own.samples == {"train": len(own.train[0]), "test": len(own.test[0])}
    assert len(own.train[1]) == own.samples["train"]
    own = reading.read(options(folder / "table.csv", "--drop", "size", "--label", "city"), 4)
    assert own.preprocessing.feature_names == ["age"] and set(own.test[1]) <= {"Rome", "Oslo"}
    series = ("--window", 6, "--stride", 2, "--time", "time", "--columns", "load")
    own = reading.read(options(folder / "series.csv", *series), 4)
    assert own.train[0].shape == (18, 6, 1)  # 40 steps are for training
    own = reading.read(options(folder / "names.txt", "--tokens", "words", "--max-length", 3), 4)
    assert own.train[0].shape[1:] == (3,) and own.train[0].dtype == "int32"
    assert {token[:4] for token in own.preprocessing.vocabulary[2:]} == {"anna"}


def test_color_becomes_gray_only_with_grayscale(tmp_path):
    for i in range(3):
        Image.new("RGB", (4, 4), (200, 10 * i, 0)).save(tmp_path / f"{i}.png")
    assert reading.read(options(tmp_path), 4).train[0].shape == (2, 4, 4, 3)
    gray = reading.read(options(tmp_path, "--grayscale"), 4)
    assert gray.train[0].shape == (2, 4, 4, 1)
    np.testing.assert_allclose(gray.train[0].max(), (0.299 * 200 + 0.587 * 20) / 255, atol=0.02)


def test_a_corrupt_image_is_named_or_left_out(corrupt):
    with pytest.raises(ValueError, match=r"1 image in .*bad.png .* pass --skip-corrupt to leave them out"):
        reading.read(options(corrupt), 4)
    own = reading.read(options(corrupt, "--skip-corrupt"), 4)
    assert sum(own.samples.values()) == 3 and "Left out, since they cannot be decoded: bad.png" in own.summary


def test_a_column_that_looks_like_an_identifier_is_kept_on_request(tmp_path):
    pd.DataFrame({"id": np.arange(60)}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"no column to learn from \(id: identifier.* or name some in --keep\.$"):
        reading.read(options(tmp_path / "t.csv"), 8)
    own = reading.read(options(tmp_path / "t.csv", "--keep", "id"), 8)
    assert own.preprocessing.feature_names == ["id"]
    with pytest.raises(ValueError, match=r"^--keep names the column 'no', which is not in the table"):
        reading.read(options(tmp_path / "t.csv", "--keep", "no"), 8)


@pytest.mark.parametrize("data", ["photos", "table.csv", "numbers.npy", "names.txt"])
def test_the_seed_of_the_split_can_be_chosen(data, folder):
    def test_samples(*given):
        own = reading.read(options(folder / data, *given), 4)
        assert f"seed {given[-1] if given else 0}" in own.summary
        return np.unique(np.nan_to_num(own.test[0]), axis=0)

    assert not np.array_equal(test_samples("--split-seed", 7), test_samples())


def test_every_option_of_a_reader_is_one_of_its_arguments(folder):
    readers = {"images": datasets.from_folder, "table": datasets.from_table, "series": datasets.from_series}
    readers["text"] = datasets.from_text
    assert vars(options(folder)).keys() == {"data", *own_data.OPTIONS}
    for name, kind in own_data.APPLIES.items():
        assert name in inspect.signature(readers[kind]).parameters


@pytest.mark.parametrize("named", [("--dataset", "digits"), ()])
@pytest.mark.parametrize(
    "given", ["--image-size 8", "--grayscale", "--label y", "--window 3", "--tokens words", "--split-seed 0"]
)
def test_options_of_the_readers_are_refused_for_a_named_data_set(given, named, tmp_path, capsys):
    assert command("train", "autoencoder", *named, *given.split(), "--output", tmp_path / "run") == 2
    option = given.split()[0]
    expected = f"{option} is for data of your own, but digits is a named data set: leave it out, or give --data PATH."
    assert capsys.readouterr().err.count(expected) == 1
    assert not list(tmp_path.iterdir())


def test_arrays_are_split_and_images_scaled(folder, tmp_path):
    own = reading.read(options(folder / "images.npz", "--test-fraction", 0.25), 4)
    with np.load(folder / "images.npz") as stored:
        images = stored["x"]
    assert len(own.train[0]) == 9 and sorted([*own.train[1], *own.test[1]]) == list(range(12))
    np.testing.assert_allclose(own.train[0][..., 0], images[own.train[1]] / 255, atol=1e-6)
    x = RNG.random((5, 3), "float32")
    np.savez(tmp_path / "split.npz", x_train=x, x_test=x[:2])
    own = reading.read(options(tmp_path / "split.npz"), 4)
    np.testing.assert_array_equal(own.train[0], x)
    assert own.preprocessing is None and own.train[1] is None


def suitable(cls, own, x, taken):
    return reading.suitable_arguments(cls, own, x, taken, defaults.Training(len(x)))


def test_a_large_array_stays_in_its_file(tmp_path, monkeypatch):
    """A file of 10 GB, most of it a hole, is split and read batch by batch; the batches are the samples of the file."""
    big = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", "float32", (1_250_000, 2000))
    del big
    own = reading.read(options(tmp_path / "big.npy"), 32)
    assert (tmp_path / "big.npy").stat().st_size > 10**10 and own.samples == {"train": 1_000_000, "test": 250_000}
    assert next(iter(own.train[0])).shape == (32, 2000) and int(own.train[0].cardinality()) == 31_250

    x = RNG.random((30, 4))
    np.save(tmp_path / "small.npy", x)
    expected = reading.read(options(tmp_path / "small.npy"), 8)
    monkeypatch.setattr(reading, "_IN_MEMORY", 1)
    streamed = reading.read(options(tmp_path / "small.npy"), 8)
    assert streamed.summary == expected.summary
    np.testing.assert_array_equal(reading.in_memory(streamed.test[0]), expected.test[0].astype("float32"))
    first, second = (reading.in_memory(streamed.train[0]) for _ in range(2))
    assert not np.array_equal(first, second), "each epoch has another order"
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(expected.train[0].astype("float32"), axis=0))

    np.save(tmp_path / "images.npy", RNG.integers(0, 256, (9, 6, 6), "uint8"))
    images = reading.read(options(tmp_path / "images.npy"), 8)
    assert images.preprocessing.sample_shape == (6, 6, 1)
    batch = next(iter(images.train[0]))
    assert batch.shape == (7, 6, 6, 1) and 0 <= np.min(batch) < 0.5 < np.max(batch) <= 1


def test_arguments_suit_the_data(folder):
    own = reading.read(options(folder / "table.csv"), 4)
    x = np.zeros((2, 9), "float32")
    x[0, :2] = 2.0, np.nan
    taken = {"output_activation", "missing", "latent_dim"}
    expected = {"output_activation": "linear", "missing": "mask", "latent_dim": 3}
    assert suitable(aezoo.Autoencoder, own, x, taken) == expected
    of_vae = {"likelihood": "gaussian", "latent_dim": 3}
    assert suitable(aezoo.VAE, own, np.full((2, 9), 2.0), {"likelihood", "latent_dim"}) == of_vae
    assert suitable(aezoo.VAE, own, np.ones((2, 9)), {"likelihood"}) == {}
    wide = {"output_activation": "linear", "missing": "mask"}
    assert suitable(aezoo.KSparseAE, own, x, taken) == wide, "a sparse code may be wider than the samples"
    assert suitable(aezoo.Autoencoder, own, np.ones((2, 99)), taken) == {}, "the default code is smaller than these"
    message = r"learns from data in \[0, 1\], but the values are from 2 to 2: use it in Python"
    with pytest.raises(ValueError, match=message):
        suitable(aezoo.DenoisingAE, own, np.full((2, 9), 2.0), {"corruption"})
    labeled = reading.read(options(folder / "images.npz"), 4)
    assert suitable(aezoo.ConditionalVAE, labeled, labeled.train[0], {"num_classes"}) == {"num_classes": 12}


@pytest.mark.parametrize(
    ("labels", "shown", "advice"),
    [
        ([1, 2, 3], "1, 2, 3", ", or give --num-classes"),
        ([0, 2], "0, 2", ", or give --num-classes"),
        ([1990, 2024], "1990, 2024", ", or give --num-classes"),
        (["dog", "cat"], "dog, cat", ""),
        ([True, False], "True, False", ""),
        ([0, None, 1], "0.0, nan, 1.0", ""),
        ([0.5, 0], "0.5, 0.0", ""),
    ],
)
def test_labels_that_do_not_number_the_classes_are_one_sentence(labels, shown, advice):
    y = pd.Series(labels).to_numpy()
    own = reading.Own((np.zeros((len(y), 2)), y), (np.zeros((0, 2)), y[:0]), None, "", {}, {})
    with pytest.raises(ValueError, match=rf"^The labels of y are {re.escape(shown)}: number them from 0{advice}\.$"):
        suitable(aezoo.ConditionalVAE, own, own.train[0], {"num_classes"})
    known = defaults.Training(3, given={"num_classes": 3000})
    if advice:
        reading.suitable_arguments(aezoo.ConditionalVAE, own, own.train[0], {"num_classes"}, known)
        return
    with pytest.raises(ValueError, match="number them from 0"):
        reading.suitable_arguments(aezoo.ConditionalVAE, own, own.train[0], {"num_classes"}, known)


def test_labels_of_a_table_are_named_by_their_option(folder, tmp_path, capsys):
    pd.read_csv(folder / "table.csv").assign(kind=1 + np.arange(60) % 2).to_csv(tmp_path / "t.csv", index=False)
    given = ("--data", tmp_path / "t.csv", "--label", "kind", "--output", tmp_path / "run", "--quiet")
    assert command("train", "conditional", *given) == 2
    said = capsys.readouterr().err
    assert said.endswith("The labels of --label kind are 1, 2: number them from 0, or give --num-classes.\n")


def test_a_sparse_model_of_a_narrow_table_keeps_fewer_units_than_it_has(folder):
    """The number of active units follows from the size of the code."""
    training = defaults.Training(48)
    own = reading.read(options(folder / "table.csv"), 4)
    given = reading.suitable_arguments(aezoo.KSparseAE, own, own.train[0], {"latent_dim", "missing"}, training)
    chosen = command_of_train._chosen("k-sparse", dataclasses.replace(training, given={**given, "latent_dim": 2}))
    assert chosen["k"] == 2
    aezoo.KSparseAE(**chosen)


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        ("none.csv", (), r"There is no file or folder .*none.csv"),
        ("table.csv", ("--window", 3, "--label", "city"), r"--label is for a table, but .* is a series"),
        (
            "series.csv",
            ("--window", 8, "--split-seed", 1),
            r"end of .*series.csv is for testing.* leave out --split-seed",
        ),
        ("photos", ("--tokens", "words"), r"--tokens is for lines of text, but .* is a folder of images"),
        ("table.csv", ("--test-fraction", 2.0), r"--test-fraction"),
        ("mixed", (), r"differ in size.* Pass --image-size \d+,\d+, or another size"),
        ("odd", (), r"has no ending that tells its form: give a folder of images, a table"),
        ("odd.xyz", (), r"has the ending '.xyz', which no reader takes: give a folder of images, a table"),
        ("pickled.npy", (), r"holds Python objects, which are not read"),
        ("several.npz", (), r"has the arrays 'a', 'b': name the samples 'x'"),
    ],
)
def test_bad_data_are_one_sentence(data, given, message, folder):
    if data == "mixed" and not (folder / data).exists():
        (folder / data).mkdir()
        for i in range(3):
            Image.new("L", (4 + i, 4)).save(folder / data / f"{i}.png")
    (folder / "odd.xyz").write_text("")
    (folder / "odd").write_text("")
    np.save(folder / "pickled.npy", np.array([{}], object))
    np.savez(folder / "several.npz", a=np.zeros(3), b=np.zeros(3))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reading.read(options(folder / data, *given), 4)


def test_text_needs_a_model_of_tokens(folder):
    own = reading.read(options(folder / "names.txt"), 4)
    with pytest.raises(ValueError, match="Autoencoder learns from numbers, not from text"):
        suitable(aezoo.Autoencoder, own, own.train[0], {"latent_dim"})
    tokens = suitable(aezoo.Autoencoder, own, own.train[0], {"tokens"})
    assert tokens == {"tokens": len(own.preprocessing.vocabulary)}


# === Trained models ===


def test_scores_are_printed_or_written(folder, trained, tmp_path, capsys):
    model = keras.saving.load_model(trained / "model.keras")
    expected = np.asarray(model.score_samples(pd.read_csv(folder / "table.csv")))
    capsys.readouterr()
    assert command("score", trained, "--data", folder / "table.csv", "--batch-size", 7) == 0
    printed = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["row"] for row in printed] == [str(i) for i in range(60)]
    np.testing.assert_allclose([float(row["score"]) for row in printed], expected, rtol=1e-4)
    output = tmp_path / "scores.parquet"
    assert command("score", trained, "--data", folder / "table.parquet", "--output", output, "--batch-size", 7) == 0
    written = pd.read_parquet(output)
    assert written["row"].tolist() == [*range(60)]
    np.testing.assert_allclose(written["score"], expected, rtol=1e-4)
    assert command("score", trained, "--data", folder / "table.csv", "--output", output) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_model_is_measured_on_all_of_the_data(folder, trained, capsys):
    assert command("evaluate", trained, "--data", folder / "table.csv") == 0
    model = keras.saving.load_model(trained / "model.keras")
    x = model.preprocessing.transform(pd.read_csv(folder / "table.csv"))
    assert capsys.readouterr().out == f"{evaluation.report(model, (x, None))}\n"


def test_codes_and_reconstructions_of_a_table(folder, trained, tmp_path):
    model = keras.saving.load_model(trained / "model.keras")
    table = pd.read_csv(folder / "table.csv")
    assert (
        command("encode", trained, "--data", folder / "table.csv", "--output", tmp_path / "z.npy", "--batch-size", 25)
        == 0
    )
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), model.encode(table), rtol=1e-4, atol=1e-5)
    assert command("reconstruct", trained, "--data", folder / "table.csv", "--output", tmp_path / "r.csv") == 0
    restored = model.preprocessing.restore(np.asarray(model.reconstruct(table)))
    written = pd.read_csv(tmp_path / "r.csv")
    np.testing.assert_allclose(written["age"], restored["age"], rtol=1e-4)
    assert list(written["city"]) == list(restored["city"])


@pytest.fixture(scope="module")
def of_images(folder, tmp_path_factory):
    model = aezoo.Autoencoder(3, seed=0)
    model.build((None, 6, 6, 1))
    path = tmp_path_factory.mktemp("images") / "model.keras"
    model.save(path)
    return path


def test_images_keep_their_names(folder, of_images, tmp_path):
    model = keras.saving.load_model(of_images)
    given = ("--data", folder / "photos", "--batch-size", 5)
    assert command("score", of_images, *given, "--output", tmp_path / "s.csv") == 0
    found = {row["file"]: float(row["score"]) for row in rows(tmp_path / "s.csv")}
    pixels = {name: keras.utils.img_to_array(Image.open(folder / "photos" / name)) / 255 for name in found}
    assert len(found) == 12
    for name, x in pixels.items():
        np.testing.assert_allclose(found[name], model.score_samples(x[None])[0], rtol=1e-3)
    assert command("reconstruct", of_images, *given, "--output", tmp_path / "r") == 0
    for name, x in pixels.items():
        written = keras.utils.img_to_array(Image.open(tmp_path / "r" / name))
        np.testing.assert_allclose(written, 255 * np.asarray(model.reconstruct(x[None]))[0], atol=0.6)


def test_gray_images_become_color_for_a_model_of_color(folder, tmp_path):
    model = aezoo.Autoencoder(3, seed=0)
    model.build((None, 6, 6, 3))
    model.save(tmp_path / "model.keras")
    given = (tmp_path / "model.keras", "--data", folder / "photos")
    assert command("score", *given, "--output", tmp_path / "s.csv") == 0
    for row in rows(tmp_path / "s.csv"):
        x = np.repeat(keras.utils.img_to_array(Image.open(folder / "photos" / row["file"])) / 255, 3, axis=-1)
        np.testing.assert_allclose(float(row["score"]), model.score_samples(x[None])[0], rtol=1e-3)
    assert command("reconstruct", *given, "--output", tmp_path / "r") == 0
    with Image.open(tmp_path / "r" / row["file"]) as image:
        assert image.mode == "RGB"


def test_arrays_of_bytes_are_scaled_for_a_model_without_preprocessing(folder, of_images, tmp_path):
    assert command("encode", of_images, "--data", folder / "images.npz", "--output", tmp_path / "z.csv") == 0
    with np.load(folder / "images.npz") as stored:
        expected = keras.saving.load_model(of_images).encode(stored["x"][..., None] / np.float32(255))
    codes = [[float(row[f"code_{i}"]) for i in range(3)] for row in rows(tmp_path / "z.csv")]
    np.testing.assert_allclose(codes, expected, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def of_series(folder, tmp_path_factory):
    """Save a model of the series; return its folder."""
    output = tmp_path_factory.mktemp("runs")
    data = datasets.from_series(folder / "series.csv", 8, time="time")
    model = aezoo.Autoencoder(2, output_activation="linear", preprocessing=data.preprocessing, seed=0)
    model.build((None, 8, 1))
    model.save(output / "model.keras")
    return output


def test_windows_of_a_series_have_their_times(folder, of_series, tmp_path):
    model = keras.saving.load_model(of_series / "model.keras")
    assert command("score", of_series, "--data", folder / "series.csv", "--output", tmp_path / "s.csv") == 0
    found = rows(tmp_path / "s.csv")
    assert (
        len(found) == 43
        and found[0]["start"].startswith("2024-01-01T00")
        and found[0]["end"].startswith("2024-01-01T07")
    )
    windows = model.preprocessing.transform(pd.read_csv(folder / "series.csv"))
    np.testing.assert_allclose([float(row["score"]) for row in found], model.score_samples(windows), rtol=1e-4)


@pytest.mark.parametrize("verb", ["score", "encode", "reconstruct", "evaluate", "explore"])
def test_every_command_leaves_out_a_corrupt_image_on_request(verb, corrupt, of_images, tmp_path, capsys):
    output = {"explore": "page.html", "reconstruct": "images"}.get(verb, "written.csv")
    given = [verb, of_images, "--data", corrupt, *(() if verb == "evaluate" else ("--output", tmp_path / output))]
    assert command(*given) == 2
    assert "bad.png" in (said := capsys.readouterr().err) and "or pass --skip-corrupt to leave them out.\n" in said
    assert command(*given, "--skip-corrupt") == 0
    if output == "written.csv" and verb != "evaluate":
        assert [row["file"] for row in rows(tmp_path / output)] == ["0.png", "1.png", "2.png"]
    printed = capsys.readouterr().out
    assert verb != "evaluate" or printed.startswith("Autoencoder with a code of 3, on 3 samples\n")


@pytest.mark.parametrize("verb", ["score", "evaluate"])
def test_a_bar_on_a_terminal_counts_the_samples(verb, folder, of_images, monkeypatch, capsys):
    monkeypatch.setattr(reading, "_DELAY", 0)
    given = (verb, of_images, "--data", folder / "images.npz", "--batch-size", 5)
    for terminal, more, shown in ((True, (), True), (True, ("--quiet",), False), (False, (), False)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        assert command(*given, *more) == 0
        said = capsys.readouterr().err
        assert (f"{verb}: 100%" in said and "12/12" in said) == shown, said
        assert shown or not said


def test_a_part_of_the_data_is_measured_and_named(folder, of_images, capsys):
    assert command("evaluate", of_images, "--data", folder / "images.npz", "--limit", 5) == 0
    first, title, *_ = capsys.readouterr().out.splitlines()
    assert first == "Measured on the first 5 of 12 samples; --limit 12 takes all."
    assert title == "Autoencoder with a code of 3, on 5 samples"


def test_the_bar_is_full_where_reading_stops(monkeypatch, capsys):
    monkeypatch.setattr(reading, "_DELAY", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    batches = (np.zeros((5, 2)) for _ in range(4))
    assert len(reading.in_memory(reading.progress(batches, 7, "read", False), 7)) == 7
    assert "100%" in (said := capsys.readouterr().err) and "7/7" in said


@pytest.mark.parametrize("verb", ["score", "encode", "reconstruct", "evaluate", "explore"])
def test_skip_corrupt_is_refused_for_other_data_than_images(verb, folder, of_images, tmp_path, capsys):
    given = [verb, of_images, "--skip-corrupt"]
    output = () if verb == "evaluate" else ("--output", tmp_path / ("o.html" if verb == "explore" else "o.csv"))
    assert command(*given, "--data", folder / "images.npz", *output) == 2
    said = capsys.readouterr().err
    assert said.endswith(
        f"--skip-corrupt is for a folder of images, but {folder / 'images.npz'} is an array: leave it out.\n"
    )
    if verb in ("evaluate", "explore"):
        named = ("--dataset", "digits") if verb == "evaluate" else ("--data", "digits", *output)
        assert command(*given, *named) == 2
        assert "a folder of images, but digits is a named data set: leave it out.\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a/1.png", "b/1.png"], [0, 1]),
        (["b/a/1.png", "b/c/1.png"], [0, 2]),  # all in a folder with the name of a class
        (["c/a/1.png", "b/1.png"], [2, 1]),  # a folder of a class has one with the name of another class
        (["train/b/1.png", "test/a/1.png"], [1, 0]),
        (["new/b/1.png", "new/b/2.png"], [1, 1]),
        (["b/2024/1.png", "b/2025/1.png"], [1, 1]),
        (["b/1.png", "d/b/2.png"], "d/b/2.png"),
        (["b/1.png", "2.png"], "2.png"),
    ],
)
def test_the_class_of_an_image_is_the_subfolder_that_is_its_label_in_training(files, expected, tmp_path):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"{expected} is in no subfolder that names its class"):
            reading._numbered(tmp_path, files, "abc")
        return
    assert reading._numbered(tmp_path, files, "abc").tolist() == expected
    labels, names = datasets.folder._labels(files)
    if names is not None and set(names) <= {*"abc"}:
        assert ["abc".index(names[label]) for label in labels] == expected


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """Save a model whose condition is the class of an image, as `aezoo train` leaves it."""
    model = aezoo.ConditionalVAE(2, num_classes=3, hidden_dims=(4,), seed=0)
    model.build({"x": (None, 6, 6, 1), "label": (None,)})
    output = tmp_path_factory.mktemp("conditional")
    model.save(output / "model.keras")
    (output / "metrics.json").write_text(json.dumps({"classes": ["a", "b", "c"]}))
    return output


def codes(model, data, output):
    """Return the codes that `aezoo encode` writes, and the names of the samples."""
    assert command("encode", model, "--data", data, "--output", output, "--batch-size", 5) == 0
    found = rows(output)
    return np.array([[float(row[f"code_{i}"]) for i in range(2)] for row in found]), [
        next(iter(row.values())) for row in found
    ]


def test_a_condition_is_the_subfolder_or_y(folder, conditional, tmp_path, capsys):
    model = keras.saving.load_model(conditional / "model.keras")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "b").symlink_to(folder / "photos" / "b")  # only one of the classes, which is still number 1
    found, names = codes(conditional, tmp_path / "new", tmp_path / "z.csv")
    assert len(names) == 6 and all(name.startswith("b/") for name in names)
    x = np.stack([keras.utils.img_to_array(Image.open(tmp_path / "new" / name)) / 255 for name in names])
    np.testing.assert_allclose(found, model.encode(x, label=np.ones(6, int)), rtol=1e-3, atol=1e-4)
    assert np.abs(found - model.encode(x, label=np.zeros(6, int))).max() > 0.01
    y = np.arange(12) % 3
    with np.load(folder / "images.npz") as stored:
        images = stored["x"]
    np.savez(tmp_path / "labeled.npz", x=images, y=y)
    found, _ = codes(conditional, tmp_path / "labeled.npz", tmp_path / "y.csv")
    np.testing.assert_allclose(found, model.encode(images[..., None] / np.float32(255), label=y), rtol=1e-3, atol=1e-4)
    assert command("score", conditional, "--data", folder / "photos", "--output", tmp_path / "s.csv") == 0
    assert command("reconstruct", conditional, "--data", folder / "photos", "--output", tmp_path / "r") == 0
    assert len(list((tmp_path / "r").rglob("*.png"))) == len(rows(tmp_path / "s.csv")) == 12


def test_a_condition_is_the_label_of_a_table(folder, tmp_path):
    table = pd.read_csv(folder / "table.csv").drop(columns="age").assign(kind=np.arange(60) % 2)
    table.to_csv(tmp_path / "t.csv", index=False)
    data = datasets.from_table(tmp_path / "t.csv", label="kind")
    model = aezoo.ConditionalVAE(
        2, num_classes=2, hidden_dims=(4,), likelihood="gaussian", preprocessing=data.preprocessing, seed=0
    )
    model.build({"x": (None, *data.preprocessing.sample_shape), "label": (None,)})
    model.save(tmp_path / "model.keras")
    found, _ = codes(tmp_path, tmp_path / "t.csv", tmp_path / "z.csv")
    np.testing.assert_allclose(found, model.encode(table, label=table["kind"].to_numpy()), rtol=1e-3, atol=1e-4)


def test_labels_that_are_missing_are_one_sentence(folder, conditional, tmp_path, capsys):
    advice = (
        r"give images in one subfolder per class, .* or pass the model a dict in Python, {'x': x, 'label': label}\."
    )
    np.save(tmp_path / "x.npy", np.zeros((4, 6, 6, 1), "float32"))
    (tmp_path / "flat").mkdir()
    for path in (folder / "photos").rglob("*.png"):
        (tmp_path / "flat" / path.name).symlink_to(path)
    model = keras.saving.load_model(conditional / "model.keras")
    of_two = aezoo.ConditionalVAE(2, conditions={"person": 2, "job": 3}, hidden_dims=(4,), seed=0)
    of_two.build({"x": (None, 6, 6, 1), "person": (None,), "job": (None,)})
    for used, data, classes, message in (
        (model, tmp_path / "x.npy", None, advice),
        (model, tmp_path / "flat", None, advice),
        (
            model,
            tmp_path / "flat",
            ("a", "b"),
            "is in no subfolder that names its class: put each image into one of a, b",
        ),
        (
            model,
            folder / "photos",
            None,
            "has 2 subfolders, but 'label' of the model has 3 classes, and no metrics.json",
        ),
        (of_two, folder / "photos", None, "pass the model a dict in Python, {'x': x, 'person': person, 'job': job}"),
    ):
        with pytest.raises(ValueError, match=message):
            reading.rows(used, data, 4, classes=classes)
    for verb in ("encode", "evaluate"):
        output = ("--output", tmp_path / "z.csv") if verb == "encode" else ()
        assert command(verb, conditional, "--data", tmp_path / "x.npy", *output) == 2
        said = capsys.readouterr().err
        assert re.search(advice, said) and len(said.splitlines()) == 1, said
    assert not (tmp_path / "z.csv").exists()


def test_other_data_than_in_training_are_refused(folder, of_images, capsys):
    assert command("score", of_images, "--data", folder / "table.csv") == 2
    assert "is a table, on which this model was not trained" in capsys.readouterr().err
    assert command("encode", of_images, "--data", folder / "photos", "--output", "codes.xls") == 2
    assert "an ending that no writer takes: choose .npy, .csv, .txt, .parquet" in capsys.readouterr().err


def test_bad_rows_are_one_line_and_print_nothing_else(folder, trained, tmp_path, capsys):
    lines = (folder / "table.csv").read_text().splitlines()
    bad = tmp_path / "bad.csv"
    for rows, message in (
        (["age,size,city", "inf,1,Rome"], "row 2, column 'age': the value is infinite or too large; correct it.\n"),
        ([*lines[:5], "old" + lines[5][lines[5].index(",") :]], "row 6, column 'age': 'old' is not a number"),
        ([*lines[:3], "1"], "row 4, has 1 value, but the header has 3 columns"),
        (lines[:1], "has no samples: give at least one"),
        (["years,size,city", *lines[1:]], "bad.csv has no column age, which the preprocessing was fitted on"),
        ([line.rpartition(",")[0] for line in lines], "bad.csv has no column city, which the preprocessing was fitted"),
        ([*lines[:4], lines[4][: lines[4].rindex(",")] + ",Málaga"], "row 5, column 'city': the text is not in UTF-8"),
    ):
        bad.write_text("\n".join(rows) + "\n", "latin-1")
        capsys.readouterr()
        assert command("score", trained, "--data", bad) == 2
        printed = capsys.readouterr()
        assert message in printed.err and "categorical" not in printed.err and printed.out == ""
        assert len(printed.err.strip().splitlines()) == 1
    assert command("evaluate", trained, "--data", bad) == 2
    assert capsys.readouterr().err.endswith("the text is not in UTF-8: save the file as UTF-8.\n")


def test_another_order_a_new_column_and_an_unseen_category_are_scored(folder, trained, tmp_path):
    table = pd.read_csv(folder / "table.csv")
    expected = keras.saving.load_model(trained / "model.keras").score_samples(table)
    table[["city", "age", "size"]].assign(new=1).to_csv(tmp_path / "new.csv", index=False)
    with pytest.warns(UserWarning, match=r"new.csv has columns .* which are ignored: new"):
        assert command("score", trained, "--data", tmp_path / "new.csv", "--output", tmp_path / "s.csv") == 0
    np.testing.assert_allclose([float(row["score"]) for row in rows(tmp_path / "s.csv")], expected, rtol=1e-4)
    table.assign(city="Lima").to_csv(tmp_path / "lima.csv", index=False)
    assert command("score", trained, "--data", tmp_path / "lima.csv", "--output", tmp_path / "l.csv") == 0
    assert len(rows(tmp_path / "l.csv")) == len(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda series: series.head(5), " has 5 steps and no window of 8"),
        (
            lambda series: series.rename(columns={"load": "use"}),
            ": There is no column 'load': the columns are time, use",
        ),
        (lambda series: series.drop(columns="time"), ": There is no time column 'time': the columns are load"),
        (lambda series: series.assign(load="high"), ": Column 'load' has 'high' in row 0 (counted from 0), which is"),
        (
            lambda series: series.replace({"time": series["time"][3]}, "soon"),
            ": The time column 'time' has 'soon' in row 3",
        ),
    ],
)
def test_a_bad_series_is_one_line_that_names_the_file(change, message, folder, of_series, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    change(pd.read_csv(folder / "series.csv")).to_csv(path, index=False)
    capsys.readouterr()
    assert command("score", of_series, "--data", path) == 2
    printed = capsys.readouterr()
    assert f"{path}{message}" in printed.err and printed.err.count(str(path)) == 1 and printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1


def test_a_new_column_of_a_series_is_ignored_with_a_warning(folder, of_series, tmp_path):
    pd.read_csv(folder / "series.csv").assign(note="dry").to_csv(tmp_path / "new.csv", index=False)
    found = []
    for path in (folder / "series.csv", tmp_path / "new.csv"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert command("score", of_series, "--data", path, "--output", tmp_path / f"scores_{path.name}") == 0
        found.append([str(each.message) for each in caught if "not fitted on" in str(each.message)])
    expected = "new.csv has columns that the preprocessing was not fitted on, which are ignored: note."
    assert found[0] == [] and len(found[1]) == 1 and found[1][0].endswith(expected)
    assert rows(tmp_path / "scores_new.csv") == rows(tmp_path / "scores_series.csv")


def test_a_series_without_a_window_is_one_line(folder, tmp_path, capsys):
    data = datasets.from_series(folder / "series.csv", 8, time="time")
    model = aezoo.Autoencoder(2, output_activation="linear", preprocessing=data.preprocessing, seed=0)
    model.build((None, 8, 1))
    model.save(tmp_path / "model.keras")
    pd.read_csv(folder / "series.csv").head(5).to_csv(tmp_path / "short.csv", index=False)
    assert command("score", tmp_path, "--data", tmp_path / "short.csv") == 2
    assert "short.csv has 5 steps and no window of 8" in capsys.readouterr().err
    (tmp_path / "text.csv").write_text("time,load\n2024-01-01,high\n")
    assert command("score", tmp_path, "--data", tmp_path / "text.csv") == 2
    assert (
        "Column 'load' has 'high' in row 0 (counted from 0), which is not a number: correct it.\n"
        in capsys.readouterr().err
    )


def test_messages_of_readers_name_options():
    found = reading._as_options("Give drop=['a', 'b'], or leave it out of columns=. Or pass time='hour', max_length=3.")
    assert found == "Give --drop a, b, or leave it out of --columns. Or pass --time 'hour', --max-length 3."
    for path in (
        "data/label=1/x.csv",
        "data/image_size=(4, 4)/x",
        "a-label=1/x",
        "d/skip_corrupt=True/x",
        "d/drop=['a']",
    ):
        assert reading._as_options(f"{path} has no column") == f"{path} has no column"


def test_a_missing_value_is_one_line_that_names_an_option(of_images, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.full((2, 6, 6, 1), np.nan, "float32"))
    assert command("score", of_images, "--data", tmp_path / "x.npy") == 2
    assert "remove or replace them, or train the model with --missing mask.\n" in capsys.readouterr().err
