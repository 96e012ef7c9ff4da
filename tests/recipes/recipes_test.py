"""The shelf: `aezoo presets`, and the models of `saved_models/`."""

import io
import json
import os
import pathlib
import re
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo.cli import presets as presets_command
from aezoo.cli import program
from aezoo.recipes import cards, pictures, recipes, sources, training, verifying
from aezoo.saving import presets, warmup
from aezoo.schedules import Linear

ROOT = pathlib.Path(__file__).parents[2]
SHELF = sorted(path.parent for path in ROOT.glob("saved_models/*/card.json"))
FILES = ["1", "README.md", "card.json", "model.keras", "picture.png"]

SMALL = {"epochs": 1, "data": "digits", "jit_compile": False}
TINY = {
    "sparse_digits": recipes.Recipe(
        "k-sparse autoencoder of 8 units",
        lambda: aezoo.KSparseAE(8, k=2, k_schedule=Linear(4, 2, epochs=2), seed=0),
        picture="filters",
        **SMALL,
    ),
    "dbn_digits": recipes.Recipe(
        "Deep belief network, unrolled",
        lambda: aezoo.DBN([aezoo.RBM(6, seed=0), aezoo.RBM(2, hidden="gaussian", seed=0)]),
        metric="reconstruction",
        loss="cross_entropy",
        optimizer=recipes.descent(0.1, weight_decay=0.01),
        half=False,
        pretrain={"epochs": 1, "batch_size": 100, "optimizer": lambda: [aezoo.optimizers.ScheduledSGD(0.01)] * 2},
        **SMALL,
    ),
    "cats": recipes.Recipe(
        "Draws",
        lambda: aezoo.SketchRNN(2, encoder_units=3, decoder_units=4, seed=0),
        metric="negative_log_likelihood",
        picture="sketches",
        batch_size=3,
        limits="No cats.",
        **{**SMALL, "data": "cats"},
    ),
}

WITH_PRIOR = {
    "fsq_digits": recipes.Recipe(
        "Codes of 9 entries, with a prior",
        lambda: aezoo.FSQVAE(6, levels=(3, 3), seed=0),
        picture="discrete",
        prior=lambda model, x: recipes.code_prior(model, x[:64], epochs=1),
        **SMALL,
    ),
}


@pytest.fixture(scope="module")
def sketches(tmp_path_factory):
    """A small file like that of the cats: of squares, which have few points."""
    file = tmp_path_factory.mktemp("sketches") / "cats.npz"
    originals = aezoo.sketches.shapes(32, seed=0)[1::4]
    drawn = np.empty(8, object)
    drawn[:] = [np.round(100 * sketch).astype("int16") for sketch in originals]
    for sketch, original in zip(drawn, originals, strict=True):
        sketch[:, 2] = original[:, 2]
    np.savez(file, train=drawn[:6], test=drawn[6:])
    return str(file)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, sketches, no_graphs):
    """Train presets by the command, without graphs; the SavedModel of sketches, slow to make, is empty."""

    def empty(model, folder, **_):
        folder.mkdir()
        (folder / "saved_model.pb").touch()

    with pytest.MonkeyPatch.context() as patch:
        no_graphs(patch, exports=False)
        patch.setattr(aezoo.SketchRNN, "export", empty)
        return trained(patch, TINY, tmp_path_factory.mktemp("shelf") / "saved_models", "--sketches", sketches)


def trained(patch, presets, place, *options):
    """Train presets by the command and return the folder with theirs."""
    for module in (recipes, training):
        patch.setattr(module, "RECIPES", presets)
    assert command("train", *options, "--output", place) == 0
    return place


def command(*arguments):
    return program.main(["presets", *map(str, arguments)])


def error_of(capsys):
    captured = capsys.readouterr()
    assert re.fullmatch("aezoo: error: .*\n", captured.err), captured.err
    return captured.err


def test_train_writes_folders_and_nothing_else(shelf):
    assert sorted(path.name for path in shelf.iterdir()) == sorted(TINY)
    for folder in shelf.iterdir():
        assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.slow
def test_a_prior_ships_with_its_model(tmp_path, monkeypatch):
    shelf = trained(monkeypatch, WITH_PRIOR, tmp_path / "saved_models")
    model = aezoo.FSQVAE.from_preset(shelf / "fsq_digits")
    assert model.sample(2, seed=0).shape == (2, 8, 8, 1) and model.prior.codebook_size == 9
    assert "sample" in presets.read_card(shelf / "fsq_digits")["signatures"]


def test_a_card_says_what_was_done(shelf):
    card = presets.read_card(shelf / "sparse_digits")
    assert card["class"] == "KSparseAE"
    assert card["reference"].startswith("Makhzani & Frey")
    assert card["training"]["arguments"]["k_schedule"]["config"] == {"start": 4, "end": 2, "epochs": 2}
    assert card["training"]["epochs"] == 1
    assert card["training"]["learning_rate"]["initial_learning_rate"] == 1e-3
    assert card["data"] == {"name": "digits", "training_samples": 1442, "test_samples": 355}
    assert {"loss", "reconstruction", "mean_squared_error", "dead_units", "probe_error_codes"} <= set(card["metrics"])
    readme = (shelf / "sparse_digits" / "README.md").read_text()
    for part in (
        "CC BY 4.0",
        "`aezoo presets train sparse_digits`",
        "| seed | 0 |",
        "picture.png",
        'from_preset("sparse_',
    ):
        assert part in readme
    mse = card["metrics"]["mean_squared_error"]
    assert f"| mean squared error | {mse:.4g} |" in readme
    assert f"loss: {card['metrics']['loss']:.6g}, before rounding {card['full_precision']['loss']:.6g}" in readme
    assert f"| dead units | {card['metrics']['dead_units']} |" in readme
    dbn = (shelf / "dbn_digits" / "README.md").read_text()
    assert "Hinton & Salakhutdinov" in dbn and "SGD (learning rate: initial learning rate 0.1" in dbn
    assert "; weight decay 0.01)" in dbn and "weight decay" not in readme
    cats = (shelf / "cats" / "README.md").read_text()
    assert "train cats --sketches FILE" in cats and "\n\nDraws. No cats.\n\n" in cats


def test_what_is_measured_is_what_the_folder_holds(shelf):
    (_, _), (x, _) = aezoo.datasets.load("digits")
    for name in ("sparse_digits", "dbn_digits"):
        card = presets.read_card(shelf / name)
        model = aezoo.Autoencoder.from_preset(shelf / name)
        error = np.mean((x - model.reconstruct(x)) ** 2)
        np.testing.assert_allclose(error, card["metrics"]["mean_squared_error"], rtol=1e-4)
        served = tf.saved_model.load(shelf / name / "1").signatures["serving_default"]
        np.testing.assert_allclose(served(x=tf.constant(x))["reconstruction"], model.reconstruct(x), atol=1e-6)
        requests = list(warmup.read(shelf / name / "1" / warmup.IN_SAVED_MODEL))
        assert {request.model for request in requests} == {name}


def test_verify(shelf, monkeypatch, capsys, sketches):
    monkeypatch.setenv(presets.ENVIRONMENT, str(shelf))
    assert command("verify", "sparse_digits", "--sketches", sketches) == 0
    assert re.fullmatch(r"sparse_digits +mean squared error 0\.\d+, as in its model card\n", capsys.readouterr().out)
    assert command("verify", "cats") == 0
    assert "not measured: its data need --sketches FILE" in capsys.readouterr().out
    assert command("verify", "cats", "--sketches", sketches) == 0
    assert "negative log likelihood" in capsys.readouterr().out


def test_verify_names_what_is_wrong(shelf, tmp_path, capsys):
    def damaged(name, damage):
        folder = tmp_path / name
        shutil.copytree(shelf / "sparse_digits", folder)
        damage(folder)
        return folder

    def truncate(path):
        path.write_bytes(path.read_bytes()[:-10])

    def flatter(folder):
        card = presets.read_card(folder)
        card["metrics"]["mean_squared_error"] *= 0.9
        (folder / "card.json").write_text(json.dumps(card))

    variables = pathlib.Path("1", "variables", "variables.data-00000-of-00001")
    wrong = {
        damaged("missing", lambda f: (f / variables).unlink()): rf"missing.{re.escape(str(variables))} is missing",
        damaged("truncated", lambda f: truncate(f / variables)): rf"truncated.{re.escape(str(variables))} is damaged",
        damaged("picture", lambda f: truncate(f / "picture.png")): r"picture\.png is damaged or was altered",
        damaged("added", lambda f: (f / "1" / "more").write_text("")): r"1.more is not named in card\.json",
        damaged("no-card", lambda f: (f / "card.json").unlink()): r"card\.json is missing",
        damaged("flattered", flatter): r"differs from its model card: mean_squared_error is 0\.\d+, in the card 0\.",
        "no such": "There is no preset 'no such'",
    }
    for folder, message in wrong.items():
        assert command("verify", folder) == 2
        assert re.search(message, error_of(capsys))
    assert command("verify", *list(wrong)[:3]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("FAILED") == 3 and "3 of 3 failed" in captured.err


def test_differences_have_a_tolerance():
    card = {"loss": 100.0, "dead_units": 3, "error": 0.0}
    assert not verifying.differences(card, {"loss": 100.9, "dead_units": 4, "error": 1e-7})
    assert len(verifying.differences(card, {"loss": 102.0, "dead_units": 5, "error": 1e-3})) == 3
    machine = {"loss": 1.3, "contrastive_divergence": 1.3}
    assert not verifying.differences(machine, {"loss": 1.6, "contrastive_divergence": 1.6})
    assert verifying.differences(card, {"loss": 100.0, "dead_units": 3, "rate": 1.0}) == [
        "error is not measured",
        "rate is not in the card",
    ]


def test_list(shelf, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(presets, "places", lambda: [shelf])
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cats", "dbn_digits", "sparse_digits"]
    assert lines[-1].endswith("k-sparse autoencoder of 8 units")
    assert command("list", "--markdown") == 0
    link = "[`dbn_digits`](saved_models/dbn_digits/README.md)"
    assert f"| {link} | Deep belief network, unrolled | squared error per digit: " in capsys.readouterr().out
    monkeypatch.setattr(presets, "places", lambda: [tmp_path])
    assert command("list") == 2
    assert f"There are no presets in {tmp_path}" in error_of(capsys)


def test_config(shelf, capsys, tmp_path):
    assert command("config", shelf, "--base-path", "/models/") == 0
    text = capsys.readouterr().out
    assert re.findall(r'name: "(.*)"\n\s+base_path: "(.*)"', text) == [
        (name, f"/models/{name}") for name in sorted(TINY)
    ]
    assert text.count("{") == text.count("}") == 1 + len(TINY)
    assert command("config", tmp_path) == 2
    assert "holds no SavedModel" in error_of(capsys)
    assert command("config", shelf, "--base-path", "models") == 2
    assert "absolute path" in error_of(capsys)


def emoji_package(path, names, pictures):
    """Write a file like the npm package of emoji: two skin tones of each name, whose second picture is half as wide."""
    files, kinds = {}, []
    for name, picture in zip(names, pictures, strict=True):
        for tone in ("", "-dark"):
            shown = picture if not tone else np.concatenate([picture[:, :32], 0 * picture[:, 32:]], 1)
            files[f"package/img/google/64/{name}{tone}.png"] = tf.io.encode_png(shown).numpy()
        variations = {"1F3FF": {"image": f"{name}-dark.png"}}
        place = {"category": "C", "subcategory": "face-c" if name in "abcde" else "c"}
        kinds.append({"short_name": name, **place, "image": f"{name}.png", "skin_variations": variations})
    with tarfile.open(path, "w:gz") as package:
        for name, content in {"package/emoji.json": json.dumps(kinds).encode(), **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return str(path)


def test_emoji_are_split_by_name_laid_on_white_and_without_copies(tmp_path):
    # Of the ten names, "e" and "j" are for testing. "wink" and "smile" are in the excerpt that ships: wink for testing.
    names = [*"abcdefghij", "wink", "smile"]
    pictures = np.zeros((12, 64, 64, 4), "uint8")
    pictures[..., 0] = 20 * np.arange(12)[:, None, None]
    pictures[..., 3] = 51  # a fifth of the color, on white
    pictures[5] = pictures[4]  # "f", for training, looks like "e"
    files = {"emoji": emoji_package(tmp_path / "e.tgz", names, pictures)}
    (x, none), (x_test, _) = sources.load("noto", files)
    assert none is None and x.shape[1:] == (64, 64, 3) and x.dtype == x_test.dtype == "float32"
    # With a red of r, (r / 5 + 255 * 4 / 5), rounded; transparent pixels are white.
    red = np.round(20 * np.arange(12) / 5 + 204) / 255
    red[5] = red[4]
    train = [i for i in range(12) if i not in (4, 9, 10)]
    expected = np.repeat(red[train], 2)
    np.testing.assert_allclose(x[:, 5, 5, 0], expected, atol=1e-6)
    np.testing.assert_allclose(x_test[:, 5, 5, 0], np.repeat(red[[9, 10]], 2), atol=1e-6)
    assert (x[1::2, :, 32:] == 1).all() and not (x[::2, :, 32:, 1] == 1).any()
    (x, _), (x_test, _) = sources.load("noto_heads", files)  # "a" to "e", in the same splits
    np.testing.assert_allclose(x[:, 5, 5, 0], np.repeat(red[:4], 2), atol=1e-6)
    np.testing.assert_allclose(x_test[:, 5, 5, 0], np.repeat(red[4], 2), atol=1e-6)


def test_a_file_of_other_content_is_refused(tmp_path):
    (tmp_path / "text.tgz").write_text("no package")
    empty = emoji_package(tmp_path / "empty.tgz", [], [])
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as package:
        package.add(__file__, "package/emoji.json")
    for file in (tmp_path / "text.tgz", tmp_path / "other.tgz", empty):
        with pytest.raises(ValueError, match=r"tgz' is not the file that `npm pack emoji-datasource-google"):
            sources.load("noto", {"emoji": file})
    with pytest.raises(FileNotFoundError):
        sources.load("noto", {"emoji": tmp_path / "missing.tgz"})
    with pytest.raises(ValueError, match=r"aezoo does not fetch Noto Emoji .*: give the file .* as --emoji FILE"):
        sources.load("noto")


def test_the_command_line_has_the_options_of_the_sources(capsys):
    for action in ("train", "verify"):
        with pytest.raises(SystemExit):
            command(action, "--help")
        text = " ".join(capsys.readouterr().out.split())
        for source in sources.SOURCES.values():
            assert not source.option or f"--{source.option} FILE {source.file}" in text


def test_train_stops_before_the_first_training(tmp_path, capsys):
    assert command("train", "k_sparse_mnist", "--output", tmp_path) == 2
    assert "There is no recipe 'k_sparse_mnist': choose from k_sparse_mnist_k" in error_of(capsys)
    assert command("train", "sketch_rnn_cats", "--output", tmp_path) == 2
    assert "as --sketches FILE" in error_of(capsys)
    assert not list(tmp_path.iterdir())
    (tmp_path / "rbm_mnist").mkdir()
    (tmp_path / "rbm_mnist" / "thesis.tex").write_text("")
    assert command("train", "vae_mnist_2d", "rbm_mnist", "--output", tmp_path) == 2
    assert "already exists and is not a preset" in error_of(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["rbm_mnist"]
    (tmp_path / "rbm_mnist" / "card.json").write_text('{"class": "RBM", "files": {}}')
    assert command("train", "rbm_mnist", "--output", tmp_path) == 2
    assert "lost (thesis.tex)" in error_of(capsys)
    with pytest.raises(SystemExit):
        command("train", "rbm_mnist", "--output", "")
    assert "expected a name" in capsys.readouterr().err


def test_pictures():
    x = np.random.default_rng(0).random((20, 6, 6, 1), "float32")
    models = {
        "denoising": aezoo.DenoisingAE(3, seed=0),
        "components": aezoo.LinearAE(3, tied=True, seed=0),
        "manifold": aezoo.VAE(2, seed=0),
        "samples": aezoo.VAE(3, seed=0),
    }
    for name, model in models.items():
        model.build((None, 6, 6, 1))
        figure = getattr(pictures, name)(model, x)
        (image,) = [image for ax in figure.axes for image in ax.get_images()]
        assert np.ptp(image.get_array()) > 0.1
    assert {recipe.picture for recipe in recipes.RECIPES.values()} <= set(vars(pictures))


def test_pictures_of_emoji():
    x = np.random.default_rng(0).random((20, 6, 6, 3), "float32")
    models = {"emoji": aezoo.VAE(3, seed=0), "emoji_denoising": aezoo.DenoisingAE(3, noise="gaussian", seed=0)}
    shown = {}
    for name, model in models.items():
        model.build((None, 6, 6, 3))
        (shown[name],) = [image for ax in getattr(pictures, name)(model, x).axes for image in ax.get_images()]
    tiles = np.asarray(shown["emoji"].get_array())
    assert tiles.shape == (5 * 7 - 1, 10 * 7 - 1, 3)
    np.testing.assert_allclose(tiles[:6, :6], x[0])  # the first row is inputs, from the first to the last
    np.testing.assert_allclose(tiles[:6, -6:], x[-1])
    np.testing.assert_allclose(tiles[28:, :6], tiles[7:13, :6], atol=1e-5)  # the path starts at a reconstruction
    assert np.asarray(shown["emoji_denoising"].get_array()).shape == (3 * 7 - 1, 10 * 7 - 1, 3)


def test_the_card_of_the_denoising_preset_measures_denoising(monkeypatch):
    x = np.random.default_rng(0).random((50, 4, 4, 3), "float32")
    model = aezoo.DenoisingAE(3, noise="gaussian", seed=0)
    model.build(x.shape)
    noisy = []
    monkeypatch.setattr(model, "reconstruct", lambda data: noisy.append(data) or x + 0.5)
    found = recipes.RECIPES["denoising_emoji"].extra(model, x)
    assert found["denoised_mean_squared_error"] == pytest.approx(0.25, rel=1e-4)
    assert (
        found["noisy_mean_squared_error"] == pytest.approx(np.mean((noisy[0] - x) ** 2)) == pytest.approx(0.0625, 0.1)
    )


# === The committed models ===


def test_the_whole_shelf_is_there():
    assert [folder.name for folder in SHELF] == sorted(recipes.RECIPES)
    size = sum(path.stat().st_size for folder in SHELF for path in folder.rglob("*"))
    assert size < 80e6
    for folder in SHELF:
        assert sorted(path.name for path in folder.iterdir()) == FILES
        presets.check_files(folder)


def test_the_options_of_the_command_are_those_of_the_sources():
    """The command does not import the sources before it is needed."""
    assert presets_command._FILES == {
        source.option: source.file for source in sources.SOURCES.values() if source.option
    }


def test_the_table_of_the_documents():
    expected = cards.presets_table(map(presets.read_card, SHELF), link="../saved_models")
    page = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    assert f"<!-- presets -->\n\n{expected}\n\n<!-- end of presets -->" in page, "python docs/readme.py"


@pytest.fixture(scope="module")
def digits():
    folder = os.environ.get("TFDS_DATA_DIR")
    if not folder or not any(pathlib.Path(folder).glob("mnist/*/dataset_info.json")):
        pytest.skip("TFDS_DATA_DIR does not name a folder with a prepared mnist")
    return next(iter(aezoo.datasets.stream("mnist", "test", 200, shuffle=False))).numpy()


LARGE = {"denoising_emoji", "sketch_rnn_cats", "vae_emoji", "vq_vae_emoji"}


@pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, id=folder.name, marks=pytest.mark.slow if folder.name in LARGE else ()) for folder in SHELF],
)
def test_a_committed_model_does_what_its_card_says(folder, request):
    card = presets.read_card(folder)
    model = getattr(aezoo, card["class"]).from_preset(folder)
    if card["data"]["name"].startswith(("noto", "emoji")):
        x, _ = aezoo.datasets.load("emoji")[1]
        error = np.mean((x - np.asarray(model.reconstruct(x))) ** 2)
        assert error < 0.5 * np.mean((x - aezoo.datasets.load("emoji")[0][0].mean(axis=0)) ** 2)
        served = tf.saved_model.load(folder / "1").signatures["serving_default"](x=tf.constant(x[:5]))
        np.testing.assert_allclose(served["reconstruction"], model.reconstruct(x[:5]), atol=1e-4)
        if card["data"]["name"] == "emoji":  # all of its test samples
            assert error == pytest.approx(card["metrics"]["mean_squared_error"], rel=1e-3)
            assert model.sample(2, seed=0).shape == (2, 64, 64, 3)
        return
    if card["data"]["name"] == "cats":  # what it draws, from codes as far from 0 as those of cats
        z = 0.4 * np.random.default_rng(0).standard_normal((60, *model.code_shape))
        x, rtol = np.asarray(model.sample(z=z.astype("float32"), seed=0)), 0.3
    else:
        x, rtol = request.getfixturevalue("digits"), 0.15
    scores = np.asarray(model.score_samples(x))
    np.testing.assert_allclose(scores.mean(), card["metrics"]["score"], rtol=rtol)
    served = tf.saved_model.load(folder / "1").signatures["score"](x=tf.constant(x[:5]))["score"]
    np.testing.assert_allclose(served, scores[:5], rtol=1e-4)
