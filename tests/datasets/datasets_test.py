import functools
import gzip
import os
import pathlib
import time

import numpy as np
import pytest
import tensorflow as tf

from aezoo import _keras, datasets


def _prepared_mnist() -> str | None:
    folder = os.environ.get("TFDS_DATA_DIR")
    return folder if folder and any(pathlib.Path(folder).glob("mnist/*/dataset_info.json")) else None


needs_mnist = pytest.mark.skipif(
    not _prepared_mnist(), reason="TFDS_DATA_DIR does not name a folder with a prepared mnist"
)
needs_originals = pytest.mark.skipif(
    "AEZOO_MNIST_RAW" not in os.environ,
    reason="AEZOO_MNIST_RAW does not name a folder with the four original files of MNIST",
)


def _idx(path: pathlib.Path, header: int) -> np.ndarray:
    """Returns the bytes of a file in the format of the original MNIST."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), "uint8", offset=header)


def _rows(images: np.ndarray) -> np.ndarray:
    """Returns the images as sorted rows: equal for equal multisets."""
    flat = images.reshape(len(images), -1)
    return flat[np.lexsort(flat.T)]


def _gather(batches: tf.data.Dataset) -> np.ndarray:
    return np.concatenate(list(batches.as_numpy_iterator()))


@pytest.fixture
def write_set(tmp_path):
    """Returns a function that prepares a small data set in a folder, as TFDS does for one without code."""
    import tensorflow_datasets as tfds

    def write(name, features, examples, splits=("train",)):
        with _keras.tfds_gives_up_early(3):
            tfds.dataset_builders.store_as_tfds_dataset(
                name=name,
                version="1.0.0",
                features=tfds.features.FeaturesDict(features),
                split_datasets={split: list(enumerate(examples)) for split in splits},
                data_dir=tmp_path,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        return tmp_path

    return write


def test_digits_arrays():
    (x_train, y_train), (x_test, y_test) = datasets.load("digits")
    assert x_train.shape == (1442, 8, 8, 1)
    assert x_test.shape == (355, 8, 8, 1)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert y.shape == (len(x),)
        assert x.min() == 0 and x.max() == 1
        np.testing.assert_array_equal(x * 16, np.round(x * 16))


def test_digits_split_is_stratified_and_disjoint():
    (x_train, y_train), (x_test, y_test) = datasets.load("digits")
    share = np.bincount(y_test) / (np.bincount(y_test) + np.bincount(y_train))
    assert np.all(np.abs(share - 0.2) < 0.005)
    everything = np.concatenate([x_train, x_test]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    (x_train, y_train), (x_test, y_test) = datasets.load("digits")
    original = load_digits()
    both = np.concatenate([x_train, x_test])[..., 0]
    np.testing.assert_array_equal(_rows(both * 16), _rows(original.images))
    np.testing.assert_array_equal(np.bincount(np.concatenate([y_train, y_test])), np.bincount(original.target))
    np.testing.assert_array_equal(x_train[:9, ..., 0] * 16, original.images[:9])


def test_digits_are_the_same_each_time_and_not_shared():
    (first, labels), _ = datasets.load("digits")
    expected = first.copy()
    first[:] = 0.5
    labels[:] = 0
    (second, again), _ = datasets.load("digits")
    np.testing.assert_array_equal(second, expected)
    assert again.max() == 9


def test_stream_has_the_images_of_load():
    (x_train, _), (x_test, _) = datasets.load("digits")
    batches = datasets.stream("digits", seed=1)
    assert batches.element_spec == tf.TensorSpec((None, 8, 8, 1), tf.float32)
    np.testing.assert_array_equal(_rows(_gather(batches)), _rows(x_train))
    np.testing.assert_array_equal(_gather(datasets.stream("digits", "test", shuffle=False)), x_test)


@pytest.mark.parametrize("batch_size, count", [(128, 12), (1442, 1), (2000, 1), (1, 1442)])
def test_stream_knows_its_length(batch_size, count):
    batches = datasets.stream("digits", batch_size=batch_size, shuffle=False)
    assert batches.cardinality() == count
    assert sum(1 for _ in batches) == count


def test_stream_order_follows_the_seed():
    first, other = datasets.stream("digits", seed=3), datasets.stream("digits", seed=3)
    epochs = [_gather(first) for _ in range(2)]
    np.testing.assert_array_equal(epochs[0], _gather(other))
    np.testing.assert_array_equal(epochs[1], _gather(other))
    assert np.any(epochs[0] != epochs[1])
    assert np.any(epochs[0] != _gather(datasets.stream("digits", seed=4)))


def test_stream_labels_belong_to_the_images():
    (x_train, y_train), _ = datasets.load("digits")
    expected = {x.tobytes(): y for x, y in zip(x_train, y_train, strict=True)}
    for images, labels in datasets.stream("digits", labels=True, seed=0).as_numpy_iterator():
        assert labels.dtype == np.int64
        assert [expected[x.tobytes()] for x in images] == list(labels)


def test_digits_has_two_splits():
    with pytest.raises(ValueError, match="'digits' has no split 'validation'; it has train, test"):
        datasets.stream("digits", "validation")


@pytest.mark.parametrize(
    "name, hint", [("minst", "'mnist'"), ("digit", "'digits'"), ("fashon_mnist", "'fashion_mnist'")]
)
def test_unknown_name(name, hint):
    with pytest.raises(ValueError, match=f"Unknown data set '{name}'.*Did you mean .*{hint}"):
        datasets.load(name)


@pytest.mark.parametrize("name", ["emnist/nothing", "mnist:99.0.0"])
def test_unknown_configuration_or_version(name, tmp_path):
    with pytest.raises(ValueError, match="mnist"):
        datasets.stream(name, data_dir=tmp_path)


def test_missing_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    # A closed port: the same on a machine with a network.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(FileNotFoundError, match="manual_dir") as info:
        datasets.load("mnist")
    assert time.monotonic() - start < 20
    for part in (
        "'mnist'",
        str(tmp_path),
        "downloading",
        "Max retries",
        "TFDS_DATA_DIR",
        "no manual_dir was given",
    ):
        assert part in str(info.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list((tmp_path / "mnist").iterdir())


@pytest.fixture
def no_download(monkeypatch):
    from aezoo.datasets import tfds

    def download(*args):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(tfds, "_prepare", download)


def test_fallback(tmp_path, monkeypatch, no_download, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    empty = tmp_path / "originals"
    empty.mkdir()
    expected = datasets.load("digits", fallback="digits")
    assert capsys.readouterr().out == ""
    for folder in (None, empty):
        got = datasets.load("mnist", fallback="digits", manual_dir=folder)
        tf.nest.map_structure(np.testing.assert_array_equal, got, expected)
        line = capsys.readouterr().out
        assert line.count("\n") == 1 and "'mnist'" in line and "'digits'" in line and "TFDS_DATA_DIR" in line
    (empty / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(AssertionError, match="a download was tried"):  # what the user gave is used, or an error
        datasets.load("mnist", fallback="digits", manual_dir=empty)


def test_fallback_is_not_taken_for_prepared_data_or_a_wrong_name(write_set, no_download, capsys):
    import tensorflow_datasets as tfds

    image = {"image": np.full((2, 2, 1), 255, "uint8")}
    folder = write_set("there", {"image": tfds.features.Image(shape=(2, 2, 1))}, [image], splits=("train", "test"))
    capsys.readouterr()
    (x, _), _ = datasets.load("there", fallback="digits", data_dir=folder)
    assert x.shape == (1, 2, 2, 1) and capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="Unknown data set 'minst'"):
        datasets.load("minst", fallback="digits", data_dir=folder)
    with pytest.raises(ValueError, match="fallback='mnist' is not bundled: choose 'digits'"):
        datasets.load("there", fallback="mnist", data_dir=folder)


def test_wrong_original_files(tmp_path):
    names = [f"{s}-{k}-ubyte.gz" for s in ("train", "t10k") for k in ("images-idx3", "labels-idx1")]
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in names:
        (raw / name).write_bytes(b"not the digits")
    with pytest.raises(FileNotFoundError, match=r"(?s)raw.*did not suffice.*wrong checksum"):
        datasets.load("mnist", data_dir=tmp_path / "prepared", manual_dir=raw)


def test_set_without_images(tmp_path):
    with pytest.raises(ValueError, match="'iris' has no image feature; it has features, label"):
        datasets.stream("iris", data_dir=tmp_path)


def test_set_of_several_sizes(write_set):
    import tensorflow_datasets as tfds

    examples = [{"image": np.zeros((size, 5, 3), "uint8")} for size in (4, 6)]
    folder = write_set("sizes", {"image": tfds.features.Image(shape=(None, 5, 3))}, examples)
    for read in (datasets.load, datasets.stream):
        with pytest.raises(ValueError, match=r"'sizes' are of several sizes, \(None, 5, 3\)"):
            read("sizes", data_dir=folder)


def test_set_of_sixteen_bits_with_validation_and_no_labels(write_set):
    import tensorflow_datasets as tfds

    images = np.array([0, 1, 256, 65535], "uint16").repeat(4).reshape(4, 2, 2, 1)
    examples = [{"depth": image} for image in images]
    features = {"depth": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16)}
    folder = write_set("sixteen", features, examples, splits=("train", "validation"))
    (x_train, y_train), (x_val, y_val) = datasets.load("sixteen", data_dir=folder)
    assert y_train is None and y_val is None
    np.testing.assert_allclose(_rows(x_train), images.reshape(4, 4) / np.float32(65535), rtol=1e-6)
    assert len(x_val) == 4
    with pytest.raises(ValueError, match="'sixteen' has no labels"):
        datasets.stream("sixteen", labels=True, data_dir=folder)


def test_set_with_other_features(write_set):
    import tensorflow_datasets as tfds

    features = {
        "caption": tfds.features.Text(),
        "depth": tfds.features.Image(shape=(3, 3, 1)),
        "image": tfds.features.Image(shape=(2, 2, 3)),
        "label": tfds.features.ClassLabel(num_classes=5),
    }
    examples = [
        {
            "caption": "x" * i,
            "depth": np.zeros((3, 3, 1), "uint8"),
            "image": np.full((2, 2, 3), i, "uint8"),
            "label": i,
        }
        for i in range(5)
    ]
    folder = write_set("captions", features, examples, splits=("train", "test"))
    (x_train, y_train), _ = datasets.load("captions", data_dir=folder)
    assert x_train.shape == (5, 2, 2, 3)
    np.testing.assert_array_equal(np.round(x_train[:, 0, 0, 0] * 255), y_train)
    assert sorted(y_train) == [0, 1, 2, 3, 4]


def test_set_without_test_split(write_set):
    import tensorflow_datasets as tfds

    folder = write_set(
        "alone", {"image": tfds.features.Image(shape=(2, 2, 1))}, [{"image": np.zeros((2, 2, 1), "uint8")}]
    )
    with pytest.raises(ValueError, match="'alone' has only: train"):
        datasets.load("alone", data_dir=folder)
    assert _gather(datasets.stream("alone", data_dir=folder)).shape == (1, 2, 2, 1)
    with pytest.raises(ValueError, match="valid"):
        datasets.stream("alone", "valid", data_dir=folder)


@pytest.mark.slow
@needs_mnist
def test_mnist_arrays():
    (x_train, y_train), (x_test, y_test) = datasets.load("mnist", data_dir=_prepared_mnist())
    for x, y, n in ((x_train, y_train, 60_000), (x_test, y_test, 10_000)):
        assert x.shape == (n, 28, 28, 1) and x.dtype == np.float32
        assert y.shape == (n,) and y.dtype == np.int64
        assert x.min() == 0 and x.max() == 1
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y_train[:5].tolist() == [4, 1, 0, 7, 8]  # the order in which TFDS wrote them
    assert abs(x_train.mean(dtype="float64") - 0.1306604) < 1e-6


@pytest.mark.slow
@needs_mnist
def test_mnist_stream():
    folder = _prepared_mnist()
    batches = datasets.stream("mnist", "test", labels=True, seed=7, data_dir=folder)
    assert batches.cardinality() == 79
    images, labels = next(iter(batches))
    assert images.shape == (128, 28, 28, 1) and images.dtype == tf.float32
    again, _ = next(iter(datasets.stream("mnist", "test", labels=True, seed=7, data_dir=folder)))
    np.testing.assert_array_equal(images, again)
    in_order = datasets.stream("mnist", "test", labels=True, shuffle=False, data_dir=folder)
    expected = {x.tobytes(): y for xs, ys in in_order.as_numpy_iterator() for x, y in zip(xs, ys, strict=True)}
    assert [expected[x.tobytes()] for x in images.numpy()] == list(labels.numpy())
    part = datasets.stream("mnist", "train[:10%]", 1000, data_dir=folder)
    assert part.cardinality() == 6


@needs_originals
def test_mnist_from_original_files(tmp_path, monkeypatch):
    """The first 500 images of each file: preparing all 70,000 takes half a minute."""
    import tensorflow_datasets as tfds

    few = functools.partial(tfds.download.DownloadConfig, max_examples_per_split=500)
    monkeypatch.setattr(tfds.download, "DownloadConfig", few)
    raw = pathlib.Path(os.environ["AEZOO_MNIST_RAW"])
    arrays = datasets.load("mnist", data_dir=tmp_path, manual_dir=raw)
    assert [x.shape for x, _ in arrays] == [(500, 28, 28, 1)] * 2
    for prefix, (x, y) in zip(("train", "t10k"), arrays, strict=True):
        pixels = _idx(raw / f"{prefix}-images-idx3-ubyte.gz", 16)
        labels = _idx(raw / f"{prefix}-labels-idx1-ubyte.gz", 8)
        original = np.column_stack([labels, pixels.reshape(-1, 784)])[:500]
        ours = np.column_stack([y, np.round(x * 255).reshape(-1, 784)]).astype("uint8")
        assert sorted(map(bytes, ours)) == sorted(map(bytes, original))
    # Prepared once, the originals are not needed again.
    again = _gather(datasets.stream("mnist", "test", shuffle=False, data_dir=tmp_path))
    np.testing.assert_array_equal(again, arrays[1][0])


# === Emoji ===


def test_emoji_arrays():
    (x_train, y_train), (x_test, _) = datasets.load("emoji")
    assert x_train.shape == (381, 64, 64, 3) and x_test.shape == (94, 64, 64, 3)
    assert x_train.dtype == np.float32 and y_train.dtype == np.int64
    assert x_train.min() == 0 and x_train.max() == 1
    corners = np.concatenate([x_train, x_test])[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.all(corners == 1)  # on white
    everything = np.concatenate([x_train, x_test]).reshape(475, -1)
    assert len(np.unique(everything, axis=0)) == 475


def test_emoji_splits_share_no_name():
    train, test = (datasets.emoji_factors(split) for split in ("train", "test"))
    assert not set(train["name"]) & set(test["name"])
    for kind, label in (("face", 0), ("cat", 1), ("person", 2)):
        names = [len(np.unique(split["name"][split["kind"] == kind])) for split in (train, test)]
        assert names[1] == sum(names) // 5
        for factors, (_, y) in zip((train, test), datasets.load("emoji"), strict=True):
            np.testing.assert_array_equal(factors["kind"] == kind, y == label)
    everything = datasets.emoji_factors()
    for factor, values in everything.items():
        np.testing.assert_array_equal(values, np.concatenate([train[factor], test[factor]]))
    with pytest.raises(ValueError, match="no split 'validation'"):
        datasets.emoji_factors("validation")


def test_factors_of_known_emoji():
    factors = datasets.emoji_factors()

    def of(name):
        chosen = np.flatnonzero(factors["name"] == name)
        return [{factor: str(values[i]) for factor, values in factors.items()} for i in chosen]

    none = dict.fromkeys(factors, "")
    assert of("joy") == [{**none, "name": "joy", "kind": "face", "expression": "joy"}]
    assert of("joy_cat") == [{**none, "name": "joy_cat", "kind": "cat", "animal": "cat", "expression": "joy"}]
    doctors = of("female-doctor")
    assert {doctor["skin_tone"] for doctor in doctors} == {
        *("yellow", "light", "medium-light", "medium", "medium-dark", "dark")
    }
    assert {(doctor["job"], doctor["person"], doctor["kind"]) for doctor in doctors} == {("doctor", "woman", "person")}
    assert {(cop["job"], cop["person"]) for cop in of("cop")} == {("police-officer", "person")}
    # People are a full grid, and each cat has the face of its expression.
    people = factors["kind"] == "person"
    grid = {tuple(factors[factor][i] for factor in ("person", "job", "skin_tone")) for i in np.flatnonzero(people)}
    assert len(grid) == people.sum() == 3 * 20 * 6
    faces = set(factors["expression"][factors["kind"] == "face"])
    cats = factors["expression"][factors["kind"] == "cat"]
    assert len(set(cats)) == 9 and set(cats) <= faces


def test_skin_tones_are_those_of_the_pictures():
    x = np.concatenate([x for x, _ in datasets.load("emoji")])
    factors = datasets.emoji_factors()
    tones = ["medium-light", "medium", "medium-dark", "dark"]  # those with light skin have black hair
    brightness = [x[factors["skin_tone"] == tone].mean() for tone in tones]
    assert brightness == sorted(brightness, reverse=True)


def test_emoji_ship_with_a_notice_and_are_small():
    folder = pathlib.Path(datasets.__file__).parent / "files"
    assert (folder / "emoji.npz").stat().st_size < 3 * 2**20
    notice = (folder / "NOTICE.md").read_text()
    for text in ("Noto Emoji", "Google", "Apache License, Version 2.0", "Changes"):
        assert text in notice
    root = pathlib.Path(__file__).parents[2]
    assert "aezoo.datasets = files/*" in (root / "setup.cfg").read_text()
