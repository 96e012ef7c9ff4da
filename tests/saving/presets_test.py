"""Presets: folders of trained models, found by name."""

import json
import pathlib
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import aezoo
from aezoo.saving import presets

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(x):
    model = aezoo.KSparseAE(latent_dim=8, k=2, k_schedule=aezoo.schedules.Linear(6, 2, epochs=2), seed=0)
    model.compile("adam")
    model.fit(x, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="module")
def shelf(model, tmp_path_factory):
    """A place with two presets."""
    place = tmp_path_factory.mktemp("shelf")
    model.save_to_preset(place / "few")
    other = aezoo.VAE(latent_dim=2, seed=0)
    other.build((None, 6, 6, 1))
    other.save_to_preset(place / "vae")
    return place


@pytest.fixture
def found(shelf, monkeypatch):
    monkeypatch.setenv(presets.ENVIRONMENT, str(shelf))
    return shelf


def weights(folder):
    """The arrays of a file by name: their shape, and where in the file they lie."""
    found = {}

    def look(group):
        for item in group.values():
            if isinstance(item, h5py.Group):
                look(item)
            else:
                found[item.name] = (item.shape, h5py.h5o.get_info(item.id).addr)

    with zipfile.ZipFile(folder / "model.keras") as archive, archive.open("model.weights.h5") as file:
        look(h5py.File(file))
    return found


def test_by_name_and_by_folder(model, found, x):
    for preset in ("few", found / "few", str(found / "few" / "model.keras")):
        for cls in (aezoo.KSparseAE, aezoo.Autoencoder):
            loaded = cls.from_preset(preset)
            assert type(loaded) is aezoo.KSparseAE
            np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    assert not loaded.compiled
    loaded.compile("adam", run_eagerly=True)
    loaded.fit(x, verbose=0)


def test_a_folder_holds_what_inference_needs(shelf):
    assert sorted(path.name for path in (shelf / "few").iterdir()) == ["card.json", "model.keras"]
    names = weights(shelf / "few")
    assert names
    assert not [name for name in names if "optimizer" in name]
    card = json.loads((shelf / "few" / "card.json").read_text())
    assert card["class"] == "KSparseAE"
    assert card["parameters"] == 36 * 8 + 36 + 8


def test_list_presets(found, tmp_path, monkeypatch):
    assert {"few", "vae"} <= set(aezoo.list_presets())
    assert "few" in aezoo.list_presets(aezoo.KSparseAE)
    assert "vae" not in aezoo.list_presets(aezoo.KSparseAE)
    assert {"few", "vae"} <= set(aezoo.list_presets(aezoo.Autoencoder))
    monkeypatch.setenv(presets.ENVIRONMENT, str(tmp_path))
    assert not {"few", "vae"} & set(aezoo.list_presets())


def test_half_precision_is_half_the_size_and_float32_again(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=30, hidden_dims=(200,), seed=0)
    model.compile("adam")
    model.fit(x, verbose=0)
    for half in (False, True):
        model.save_to_preset(tmp_path / str(half), half=half)
    sizes = [(tmp_path / name / "model.keras").stat().st_size for name in ("False", "True")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = aezoo.Autoencoder.from_preset(tmp_path / "True")
    for before, after in zip(model.variables, loaded.variables, strict=True):
        assert after.dtype == before.dtype
        expected = before.numpy()
        if expected.ndim == 2:
            expected = expected.astype("float16").astype("float32")
        np.testing.assert_array_equal(after.numpy(), expected)
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1e-3)


def test_half_precision_leaves_what_does_not_fit_in_it(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=2, seed=0)
    model.build((None, 6, 6, 1))
    kernel = model.encoder.trainable_variables[0]
    kernel.assign(kernel * 0 + 1e5)
    model.save_to_preset(tmp_path / "large", half=True)
    np.testing.assert_array_equal(aezoo.Autoencoder.from_preset(tmp_path / "large").encoder.weights[0], kernel)


def test_a_tied_kernel_is_written_once(x, tmp_path):
    model = aezoo.Autoencoder(latent_dim=5, tied=True, seed=0)
    model.build((None, 6, 6, 1))
    model.save_to_preset(tmp_path / "tied")
    first, second = [place for shape, place in weights(tmp_path / "tied").values() if shape == (36, 5)]
    assert first == second
    loaded = aezoo.Autoencoder.from_preset(tmp_path / "tied")
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))


def test_older_versions_of_keras_know_what_is_in_it(x, tmp_path):
    encoder = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(36), keras.layers.Reshape((6, 6, 1))])
    model = aezoo.Autoencoder(encoder=encoder, decoder=decoder)
    model.build(x.shape)
    model.save_to_preset(tmp_path / "own")
    with zipfile.ZipFile(tmp_path / "own" / "model.keras") as archive:
        config = archive.read("config.json")
    for newer in (b"quantization_config", b"input_axes"):  # of keras.layers.Dense and its initializers
        assert newer not in config
    loaded = aezoo.Autoencoder.from_preset(tmp_path / "own")
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))


def test_the_state_of_noise_goes_along(x, tmp_path):
    machine = aezoo.RBM(5, persistent=True, chains=4, seed=0)
    machine.compile(machine.default_optimizer(), run_eagerly=True)
    machine.fit(x, verbose=0)
    machine.save_to_preset(tmp_path / "rbm")
    loaded = aezoo.RBM.from_preset(tmp_path / "rbm")
    np.testing.assert_array_equal(loaded.sample(3, gibbs_steps=2), machine.sample(3, gibbs_steps=2))


def test_saving_again_replaces_the_folder(model, tmp_path):
    (tmp_path / "few").mkdir()
    for _ in range(2):
        model.save_to_preset(tmp_path / "few")
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["card.json", "model.keras"]
    with pytest.raises(ValueError, match="has no weights yet"):
        aezoo.Autoencoder(latent_dim=2).save_to_preset(tmp_path / "few")
    assert (tmp_path / "few" / "model.keras").is_file()


def test_a_folder_with_other_things_is_left_alone(model, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("of years")
    with pytest.raises(FileExistsError, match=r"work already exists .* lost \(thesis\.txt\)"):
        model.save_to_preset(tmp_path / "work")
    model.save(tmp_path / "work" / "model.keras")  # the user's, though a preset has a file of this name
    (tmp_path / "work" / "thesis.txt").rename(tmp_path / "thesis.txt")
    with pytest.raises(FileExistsError, match=r"lost \(model\.keras\)"):
        model.save_to_preset(tmp_path / "work")
    (tmp_path / "work" / "model.keras").unlink()
    (tmp_path / "thesis.txt").rename(tmp_path / "work" / "thesis.txt")
    monkeypatch.chdir(tmp_path / "work")
    for here in ("", ".", ".."):
        with pytest.raises(ValueError, match="is the working directory"):
            model.save_to_preset(here)
    with pytest.raises(FileExistsError, match=r"thesis\.txt is a file"):
        model.save_to_preset("thesis.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["work", "thesis.txt"]


def test_what_is_found_nowhere_says_where_it_looked(found):
    with pytest.raises(FileNotFoundError) as error:
        aezoo.Autoencoder.from_preset("fev")
    message = str(error.value)
    assert message.startswith("There is no preset 'fev'")
    for place in (pathlib.Path("fev"), *(place / "fev" for place in presets.places())):
        assert str(place) in message
    assert "Did you mean 'few'" in message
    with pytest.raises(FileNotFoundError, match=r"There is no file .*fev\.keras"):
        aezoo.Autoencoder.from_preset("fev.keras")


def test_the_environment_variable_is_named(monkeypatch):
    monkeypatch.delenv(presets.ENVIRONMENT, raising=False)
    with pytest.raises(FileNotFoundError, match=f"{presets.ENVIRONMENT} names no further folder"):
        aezoo.Autoencoder.from_preset("no such")


def test_of_another_class(found):
    with pytest.raises(
        ValueError, match=r"few.* holds a model of class KSparseAE, not VAE: .*aezoo\.KSparseAE\.from_preset"
    ):
        aezoo.VAE.from_preset("few")


def test_a_model_that_is_none_of_aezoo(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(
        ValueError, match="holds a model of class Sequential, not Autoencoder: it is not a model of aezoo"
    ):
        aezoo.Autoencoder.from_preset(tmp_path / "other.keras")


def test_damaged_files_are_named(model, tmp_path):
    def saved(name, damage):
        folder = tmp_path / name
        model.save_to_preset(folder)
        damage(folder)
        return folder

    def truncate(path):
        path.write_bytes(path.read_bytes()[:-100])

    def alter(path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    wrong = {
        r"truncated.model\.keras is damaged or was altered": saved("truncated", lambda f: truncate(f / "model.keras")),
        r"altered.model\.keras is damaged or was altered": saved("altered", lambda f: alter(f / "model.keras")),
        r"card.card\.json is damaged": saved("card", lambda f: truncate(f / "card.json")),
        r"list.card\.json is damaged": saved("list", lambda f: (f / "card.json").write_text("[]")),
    }
    for message, folder in wrong.items():
        with pytest.raises(ValueError, match=message):
            aezoo.KSparseAE.from_preset(folder)
    without_card = saved("bare", lambda f: (f / "card.json").unlink())
    assert type(aezoo.KSparseAE.from_preset(without_card)) is aezoo.KSparseAE
    truncate(without_card / "model.keras")
    with pytest.raises(ValueError, match=r"bare.model\.keras is damaged, or not a \.keras file"):
        aezoo.KSparseAE.from_preset(without_card)


def test_addresses_are_passed_to_keras(model, monkeypatch):
    asked = []
    monkeypatch.setattr(keras.saving, "load_model", lambda path: asked.append(path) or model)
    assert aezoo.KSparseAE.from_preset("hf://someone/few") is model
    assert asked == ["hf://someone/few"]


@pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the tests are not in a clone")
def test_a_wheel_has_the_presets(tmp_path, monkeypatch):
    pytest.importorskip("setuptools")
    build = [sys.executable, "-W", "ignore", "setup.py", "-q", "build", "--build-base", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (package,) = tmp_path.glob("lib*/aezoo")
    shipped = {path.relative_to(package / "saved_models").as_posix() for path in package.glob("saved_models/**/*.*")}
    names = [path.parent.name for path in ROOT.glob("saved_models/*/card.json")]
    assert names
    assert shipped == {f"{name}/{file}" for name in names for file in ("model.keras", "card.json")}
    # An installed package: it lies in no clone.
    monkeypatch.delenv(presets.ENVIRONMENT, raising=False)
    monkeypatch.setattr(presets, "__file__", str(package / "saving" / "presets.py"))
    assert aezoo.list_presets() == sorted(names)
    name = "autoencoder_mnist"
    assert presets.find(name) == package / "saved_models" / name
    presets.check_files(package / "saved_models" / name)
    assert aezoo.Autoencoder.from_preset(name).count_params() > 0
