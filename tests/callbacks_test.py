import gc
import re
import shutil
import weakref

import keras
import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import callbacks, plots
from aezoo.callbacks import BackupAndRestore, PlotEvery, Projector


@pytest.fixture(scope="module")
def model(x):
    model = aezoo.Autoencoder(latent_dim=3, seed=0)
    model.compile("adam", run_eagerly=True)
    model.fit(x, verbose=0)
    return model


class Draw:
    """Draws a figure, and remembers of what and when."""

    def __init__(self):
        self.models, self.figures = [], []

    def __call__(self, model):
        self.models.append(model)
        figure = matplotlib.figure.Figure(figsize=(2, 1), dpi=50)
        figure.add_axes((0, 0, 1, 1))
        self.figures.append(weakref.ref(figure))
        return figure


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def images(folder):
    """What TensorBoard would show: (name, step, kind, width, height, PNG file)."""
    return [
        (value.tag, event.step, value.metadata.plugin_data.plugin_name, *value.tensor.string_val)
        for path in folder.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]


def test_every_third_epoch_is_drawn(model, x, tmp_path):
    draw = Draw()
    model.fit(x, epochs=7, callbacks=[PlotEvery(draw, tmp_path / "deep" / "pictures", every=3)], verbose=0)
    assert draw.models == [model, model]
    assert names(tmp_path / "deep" / "pictures") == ["epoch-0003.png", "epoch-0006.png"]
    assert matplotlib.image.imread(tmp_path / "deep" / "pictures" / "epoch-0006.png").shape == (50, 100, 4)
    gc.collect()
    assert not any(figure() for figure in draw.figures)


def test_a_training_that_goes_on_counts_on(model, x, tmp_path):
    model.fit(x, initial_epoch=10, epochs=12, callbacks=[PlotEvery(Draw(), tmp_path, every=2)], verbose=0)
    assert names(tmp_path) == ["epoch-0012.png"]


def test_figures_of_pyplot_are_closed(model, x, tmp_path):
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    mine = pyplot.figure()

    def draw(model):
        return pyplot.figure(figsize=(1, 1))

    model.fit(x, epochs=2, callbacks=[PlotEvery(draw, tmp_path)], verbose=0)
    assert pyplot.get_fignums() == [mine.number]
    pyplot.close(mine)


def test_filters_and_reconstructions_go_to_tensorboard(model, x, tmp_path):
    watch = [
        PlotEvery(plots.filters, tmp_path / "filters", tensorboard=tmp_path / "log"),
        PlotEvery(lambda model: plots.reconstructions(model, x), tmp_path / "rec", 2, tensorboard=tmp_path / "other"),
    ]
    model.fit(x, epochs=2, callbacks=watch, verbose=0)
    shown = images(tmp_path / "log")
    assert [(name, step, kind) for name, step, kind, *_ in shown] == [
        ("filters", 1, "images"),
        ("filters", 2, "images"),
    ]
    for (*_, width, height, png), name in zip(shown, names(tmp_path / "filters"), strict=True):
        assert png == (tmp_path / "filters" / name).read_bytes()
        assert tf.io.decode_png(png).shape[:2] == (int(height), int(width))
    assert [image[:2] for image in images(tmp_path / "other")] == [("rec", 2)]
    model.fit(x, callbacks=watch[:1], verbose=0)  # the file was closed: another is begun
    assert len(images(tmp_path / "log")) == 3


def test_tensorboard_reads_them(model, x, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.image import metadata

    model.fit(x, callbacks=[PlotEvery(Draw(), tmp_path / "drawn", tensorboard=tmp_path / "log")], verbose=0)
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert events.Tags()["tensors"] == ["drawn"]
    found = events.SummaryMetadata("drawn")
    metadata.parse_plugin_metadata(found.plugin_data.content)
    assert found.plugin_data.plugin_name == metadata.PLUGIN_NAME
    width, height, png = tf.make_ndarray(events.Tensors("drawn")[0].tensor_proto)
    assert (width, height) == (b"100", b"50") and png.startswith(b"\x89PNG")


def test_what_does_not_draw_is_refused(model, x, tmp_path):
    with pytest.raises(ValueError, match="draw must be a function"):
        PlotEvery("filters", tmp_path)
    for every in (0, 1.5):
        with pytest.raises(ValueError, match="every must be"):
            PlotEvery(Draw(), tmp_path, every)
    with pytest.raises(ValueError, match="must return a matplotlib figure, but it returned ndarray"):
        model.fit(x, callbacks=[PlotEvery(lambda model: np.zeros(3), tmp_path)], verbose=0)
    assert not names(tmp_path)


# === BackupAndRestore ===


class Killed(Exception):
    pass


def backed_up(folder, x, before=0, stop=None, eagerly=True, optimizer="adam", loss=None, watch=(), **arguments):
    """A model that is fitted `before` epochs, and then with backups for 4, or until epoch `stop` begins."""

    def kill(epoch, logs):
        began.append(epoch)
        if epoch == stop:
            raise Killed

    began = []
    keras.utils.set_random_seed(0)
    model = aezoo.DenoisingAE(**{"latent_dim": 3, "seed": 0, **arguments})
    model.compile(optimizer, loss, run_eagerly=eagerly)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    if before:
        model.fit(x, epochs=before, **options)
    callbacks = [BackupAndRestore(folder), keras.callbacks.LambdaCallback(on_epoch_begin=kill), *watch]
    model.fit(x, epochs=4, callbacks=callbacks, **options)
    return model, began


@pytest.mark.parametrize(("before", "eagerly"), [pytest.param(0, False, marks=pytest.mark.slow), (3, True)])
def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(x, tmp_path, before, eagerly):
    expected, _ = backed_up(tmp_path / "whole", x, before, eagerly=eagerly)
    with pytest.raises(Killed):
        backed_up(tmp_path / "killed", x, before, stop=2, eagerly=eagerly)
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["backup.weights.h5"]
    model, began = backed_up(tmp_path / "killed", x, before, eagerly=eagerly)
    assert began == [2, 3]
    for a, b in zip(expected.variables, model.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not list((tmp_path / "killed").iterdir())
    history = model.fit(x, epochs=1, verbose=0)
    assert history.epoch == [0], "the next fit began where the backup was"


@pytest.fixture(scope="module")
def backup(x, tmp_path_factory):
    """The folder of a training that was stopped after two epochs."""
    folder = tmp_path_factory.mktemp("backup")
    with pytest.raises(Killed):
        backed_up(folder, x, stop=2)
    return folder


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"latent_dim": 5}, r"latent_dim \(3, not 5\)"),
        ({"activation": "tanh"}, r"activation \('\w+', not 'tanh'\)"),
        ({"optimizer": "sgd"}, r"optimizer \(Adam, not SGD\)"),
        ({"optimizer": keras.optimizers.Adam(1e-5)}, r"optimizer learning_rate \(0\.001\d*, not [\d.]+e-0[56]\)"),
        ({"loss": "mse"}, r"loss \(CrossEntropy, not 'mse'\)"),
        ({"data": 0.5}, r"data checksum \(\d+, not \d+\)"),
        ({"samples": 12}, r"data shape \(\[21, 6, 6, 1\], not \[12, 6, 6, 1\]\)"),
    ],
)
def test_what_differs_from_the_backup_is_said(changed, message, backup, x, tmp_path):
    changed = dict(changed)
    folder = shutil.copytree(backup, tmp_path / "backup")
    before = (folder / "backup.weights.h5").read_bytes()
    data = changed.pop("data", 1) * x[: changed.pop("samples", None)]
    with pytest.raises(ValueError, match=f"{message}.*delete it to start anew"):
        backed_up(folder, data, **changed)
    assert (folder / "backup.weights.h5").read_bytes() == before


def test_the_rate_that_a_callback_has_set_is_no_difference(x, tmp_path):
    model = aezoo.Autoencoder(3, seed=0)
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)

    def slower(epoch, logs):
        model.optimizer.learning_rate = 0.01 / (epoch + 2)

    def stop(epoch, logs):
        if epoch == 1:
            raise Killed

    slow = keras.callbacks.LambdaCallback(on_epoch_end=slower)
    callbacks = [slow, BackupAndRestore(tmp_path), keras.callbacks.LambdaCallback(on_epoch_begin=stop)]
    with pytest.raises(Killed):
        model.fit(x, epochs=3, callbacks=callbacks, verbose=0)
    history = model.fit(x, epochs=3, callbacks=callbacks[:2], verbose=0)  # the same cell again
    assert history.epoch == [1, 2]
    with pytest.raises(Killed):
        model.fit(x, epochs=3, callbacks=callbacks, verbose=0)
    model.compile(keras.optimizers.Adam(0.007))
    with pytest.raises(ValueError, match="learning_rate"):
        model.fit(x, epochs=3, callbacks=callbacks, verbose=0)


def test_what_is_not_a_backup_is_left_alone(backup, x, tmp_path):
    mine = [tmp_path / "epoch-2.weights.h5", tmp_path / "epoch-01-0.5.weights.h5", tmp_path / ".notes-1" / "a"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "epoch-{epoch}.weights.h5", save_weights_only=True)
    backed_up(tmp_path, x, watch=[checkpoint])
    assert names(tmp_path) == [".notes-1", "epoch-01-0.5.weights.h5", *(f"epoch-{i}.weights.h5" for i in range(1, 5))]
    assert [path.read_text() for path in mine[1:]] == ["mine"] * 2
    path = tmp_path / "backup.weights.h5"
    for content in (b"damaged", (tmp_path / "epoch-1.weights.h5").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, or not a backup of this version of aezoo: delete it"):
            backed_up(tmp_path, x)
        assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_said_before_the_first_epoch(model, x, tmp_path):
    (tmp_path / "file").touch()
    drew = Draw()
    for callback in (BackupAndRestore(tmp_path / "file" / "backup"), PlotEvery(drew, tmp_path / "file" / "pictures")):
        with pytest.raises(NotADirectoryError, match="file"):
            model.fit(x, epochs=2, verbose=0, callbacks=[callback])
    assert not drew.models


def test_a_picture_on_a_full_disk_is_the_old_one(model, x, tmp_path, monkeypatch):
    (tmp_path / "epoch-0001.png").write_bytes(b"old")

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        model.fit(x, callbacks=[PlotEvery(Draw(), tmp_path)], verbose=0)
    assert names(tmp_path) == ["epoch-0001.png"] and (tmp_path / "epoch-0001.png").read_bytes() == b"old"


# === Keras' own, on terms ===


@pytest.mark.slow_cases("<lambda>-val_kl-min", "<lambda>-val_reconstruction-min")
@pytest.mark.parametrize(
    ("make", "monitor", "best"),
    [
        (lambda: aezoo.VAE(2, seed=0), "val_kl", min),
        (lambda: aezoo.SparseAE(3, seed=0), "val_reconstruction", min),
        (lambda: aezoo.RBM(3, seed=0), "val_pseudo_log_likelihood", max),
    ],
)
def test_callbacks_know_whether_a_term_is_to_fall(make, monitor, best, tmp_path):
    """Keras knows that of its own metrics alone, and says so only after an epoch."""
    x = np.random.default_rng(0).random((32, 6), "float32")
    model = make()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor=monitor, save_best_only=True)
    stop = keras.callbacks.EarlyStopping(monitor, patience=10)
    history = model.fit(x, validation_data=(x[:8],), epochs=3, verbose=0, callbacks=[checkpoint, stop]).history
    assert stop.best == checkpoint.best == best(history[monitor])


# === Projector ===


def entries(folder):
    """Return the fields of each entry of the configuration, and the size of an image of the sprite."""
    text = (folder / "projector_config.pbtxt").read_text()
    found = [dict(re.findall(r'(\w+): "([^"]*)"', block)) for block in text.split("embeddings {")[1:]]
    assert text.count("{") == text.count("}")
    return found, [int(size) for size in re.findall(r"single_image_dim: (\d+)", text)]


def test_the_projector_gets_codes_labels_and_pictures(model, x, tmp_path):
    folder = tmp_path / "deep" / "logs"
    labels = ["a\tb", *range(19), ""]
    model.fit(x, epochs=3, callbacks=[Projector(folder, x, labels)], verbose=0)
    assert names(folder) == ["codes-0003.tsv", "metadata.tsv", "projector_config.pbtxt", "sprite.png"]
    np.testing.assert_array_equal(np.loadtxt(folder / "codes-0003.tsv", dtype="float32"), model.encode(x))
    # A tab would begin another column, and TensorBoard skips empty lines.
    assert (folder / "metadata.tsv").read_text().splitlines() == ["a b", *map(str, range(19)), "-"]
    shared = {"metadata_path": "metadata.tsv", "image_path": "sprite.png"}
    assert entries(folder) == (
        [{"tensor_name": "codes after 3 epochs", "tensor_path": "codes-0003.tsv", **shared}],
        [6, 6],
    )
    sprite = np.rint(255 * matplotlib.image.imread(folder / "sprite.png"))
    assert sprite.shape == (30, 30)  # 21 pictures, 5 in a row
    for i, picture in enumerate(x[..., 0]):
        tile = sprite[6 * (i // 5) : 6 * (i // 5 + 1), 6 * (i % 5) : 6 * (i % 5 + 1)]
        np.testing.assert_array_equal(tile, np.rint(255 * picture))
    assert not sprite[24:, 6:].any()


@pytest.mark.slow
def test_the_projector_writes_every_second_epoch_and_the_last(model, x, tmp_path):
    projector = Projector(tmp_path, tf.data.Dataset.from_tensor_slices(x).batch(4), every=2, images=False)
    model.fit(x, epochs=5, callbacks=[projector], verbose=0)
    written = [f"codes-000{n}.tsv" for n in (2, 4, 5)]
    assert names(tmp_path) == [*written, "projector_config.pbtxt"]
    assert [entry["tensor_path"] for entry in entries(tmp_path)[0]] == written
    codes = [np.loadtxt(tmp_path / name, dtype="float32") for name in written]
    np.testing.assert_array_equal(codes[-1], model.encode(x))
    assert not np.array_equal(codes[0], codes[1])
    model.fit(x, epochs=2, callbacks=[projector], verbose=0)  # another training begins a new list
    assert [entry["tensor_path"] for entry in entries(tmp_path)[0]] == written[:1]


def test_the_projector_takes_columns_of_labels_and_vectors(tmp_path):
    vectors = np.random.default_rng(0).random((4, 5), "float32")
    model = aezoo.Autoencoder(latent_dim=1)
    model.compile("adam", run_eagerly=True)
    columns = {"digit": [3, 1, 4, 1], "writer": list("abca")}
    model.fit(vectors, callbacks=[Projector(tmp_path, vectors, columns)], verbose=0)
    assert (tmp_path / "metadata.tsv").read_text() == "digit\twriter\n3\ta\n1\tb\n4\tc\n1\ta\n"
    assert names(tmp_path) == ["codes-0001.tsv", "metadata.tsv", "projector_config.pbtxt"]
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "codes-0001.tsv", dtype="float32"), model.encode(vectors)[:, 0])


def test_a_sprite_has_at_most_the_size_that_tensorboard_shows(monkeypatch):
    monkeypatch.setattr(callbacks, "_LARGEST_SPRITE", 20)
    pictures = np.zeros((7, 10, 5, 3), "uint8")
    pictures[4] = 200
    sprite, size = callbacks._sprite(pictures)
    assert sprite.shape == (18, 9, 3) and size == (6, 3)
    assert (sprite[6:12, 3:6] == 200).all() and sprite.sum() == 200 * 6 * 3 * 3


def test_what_the_projector_cannot_write_is_said_before_training(model, x, tmp_path):
    before = model.get_weights()
    for given, message in (
        ((x, [1, 2]), "There are 21 samples, but 2 labels in 'label': give one label per sample."),
        ((x[:, :3],), "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, callbacks=[Projector(tmp_path, *given)], verbose=0)
    with pytest.raises(ValueError, match="every must be"):
        Projector(tmp_path, x, every=0)
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        model.fit(x, callbacks=[Projector(tmp_path / "file", x)], verbose=0)
    np.testing.assert_equal(model.get_weights(), before)
    assert names(tmp_path) == ["file"]
