"""Folders of images, compared with Pillow."""

import os
import sys

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

import aezoo
from aezoo import datasets
from aezoo.preprocessing import ImagePreprocessing

RNG = np.random.default_rng(0)


def smooth(height, width, channels=3):
    """Return a picture without sharp edges, on which two JPEG decoders agree."""
    small = RNG.integers(0, 256, (4, 5, channels), dtype="uint8")
    image = Image.fromarray(small if channels > 1 else small[..., 0])
    return image.resize((width, height), Image.BICUBIC)


def by_pillow(path, size, mode="RGB"):
    """Read an image with Pillow as a user would: upright, on white, cropped and resized."""
    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode == "I;16":
            image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return np.asarray(ImageOps.fit(image.convert(mode), size[::-1], Image.BILINEAR)).reshape(*size, -1)


def write_one_of_each(folder):
    """Write a file of each kind that is read; return their names."""
    alpha = smooth(30, 20).convert("RGBA")
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, 600).reshape(30, 20).astype("uint8")))
    palette = smooth(24, 24).quantize(16)
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        "alpha.png": (alpha, {}),
        "bits.png": (Image.fromarray(np.linspace(0, 65535, 600).astype("uint16").reshape(20, 30)), {}),
        "black.bmp": (smooth(16, 16, 1).convert("1"), {}),
        "color.bmp": (smooth(18, 33), {}),
        "color.jpg": (smooth(64, 48), {"quality": 95, "subsampling": 0}),
        "color.png": (smooth(17, 40), {}),
        "gray.jpeg": (smooth(33, 31, 1), {"quality": 95}),
        "gray.png": (smooth(16, 16, 1), {}),
        "gray_alpha.png": (alpha.convert("LA"), {}),
        "moving.gif": (palette, {"save_all": True, "append_images": [smooth(24, 24).quantize(16)]}),
        "paint.jpg": (smooth(40, 40).convert("CMYK"), {"quality": 95, "subsampling": 0}),
        "palette.png": (palette, {}),
        "see_through.gif": (palette, {"transparency": 3}),
        "turned.JPG": (smooth(64, 40), {"exif": turned, "quality": 95, "subsampling": 0, "format": "JPEG"}),
        "web.webp": (smooth(50, 50), {"lossless": True}),
    }
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)
    return sorted(pictures)


@pytest.fixture(scope="module")
def each(tmp_path_factory):
    folder = tmp_path_factory.mktemp("each")
    return folder, write_one_of_each(folder)


@pytest.mark.parametrize("grayscale", [False, True])
def test_every_kind_of_image_is_read_as_by_pillow(each, grayscale):
    folder, names = each
    found = datasets.from_folder(folder, (12, 16), grayscale=grayscale, test_fraction=0, shuffle=False)
    images = found.arrays("train")
    assert images.shape == (len(names), 12, 16, 1 if grayscale else 3) and images.dtype == np.float32
    for name, image in zip(names, images, strict=True):
        expected = by_pillow(folder / name, (12, 16), "L" if grayscale else "RGB").astype(int)
        # Pillow rounds once per axis, and gray values before they are resized.
        assert np.abs(image * 255 - expected).max() <= 2 + 1e-3, name
    np.testing.assert_array_equal(np.concatenate(list(found.train)), images)
    assert "put on white: 3" in found.summary


@pytest.mark.slow
def test_reading_the_files_again_gives_the_images_in_memory(each):
    folder, _ = each
    kept, streamed = (datasets.from_folder(folder, 8, memory=memory) for memory in (2**20, 0))
    np.testing.assert_array_equal(kept.arrays("train"), streamed.arrays("train"))
    assert "reads the files again" in streamed.summary and "reads the files again" not in kept.summary
    shuffled = [np.concatenate(list(streamed.train)) for _ in range(2)]
    assert not np.array_equal(*shuffled)
    assert np.array_equal(*(np.sort(x, axis=0) for x in shuffled))
    assert len(streamed.train) == 1 and streamed.train.element_spec.shape == (None, 8, 8, 3)


def write(folder, names, size=(8, 8)):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), i % 256, "uint8")).save(folder / name)


def levels(found, split):
    return np.round(found.arrays(split)[:, 0, 0, 0] * 255).astype(int).tolist()


def test_subfolders_split_and_label(tmp_path):
    names = ["train/b/1.png", "train/a/1.png", "train/a/deep/2.png", "validation/b/3.png", "other/a/4.png"]
    write(tmp_path, names)
    found = datasets.from_folder(tmp_path)
    assert found.class_names == ("a", "b")
    assert levels(found, "train") == [1, 2, 0] and found.y_train.tolist() == [0, 0, 1]
    assert levels(found, "test") == [3] and found.y_test.tolist() == [1]
    assert "other beside them ignored" in found.summary and "a (2), b (2)" in found.summary


def test_a_split_stays_when_images_are_added_and_follows_the_seed(tmp_path):
    names = [f"{kind}/{i}.png" for i in range(40) for kind in ("x", "y")]
    write(tmp_path, names)

    def split(**options):
        found = datasets.from_folder(tmp_path, **options)
        return {names[i] for i in levels(found, "test")}, found

    first, found = split()
    assert 6 <= len(first) <= 26
    assert np.concatenate([found.y_train, found.y_test]).sum() == 40
    assert all(names[i].startswith("xy"[y]) for i, y in zip(levels(found, "train"), found.y_train, strict=True))
    assert split()[0] == first != split(seed=1)[0]
    more = [f"x/new{i}.png" for i in range(20)]
    names += more
    write(tmp_path, names)
    assert split()[0] - set(more) == first


def test_classes_below_the_only_folder(tmp_path):
    write(tmp_path, ["train/b/1.png", "train/a/1.png"])
    found = datasets.from_folder(tmp_path)
    assert found.class_names == ("a", "b") and {*found.y_train, *found.y_test} == {0, 1}
    (tmp_path / "train" / "c.png").write_bytes((tmp_path / "train" / "a" / "1.png").read_bytes())
    assert datasets.from_folder(tmp_path).class_names is None


def test_one_of_two_images_is_for_testing(tmp_path):
    write(tmp_path, ["a.png", "b.png"])
    found = datasets.from_folder(tmp_path)
    assert (len(found.arrays("train")), len(found.arrays("test")), found.y_train) == (1, 1, None)


def test_corrupt_files_are_named_before_training(tmp_path):
    write(tmp_path, [f"{i}.png" for i in range(6)], size=(40, 40))
    smooth(60, 60).save(tmp_path / "1.png")
    smooth(60, 60).save(tmp_path / "cut.jpg")
    for name in ("1.png", "cut.jpg"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / "2.png").write_text("no image")
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"4 images in .* cannot be decoded: 1.png .*, 2.png .*, 3.png \(is empty\), cut"
    ):
        datasets.from_folder(tmp_path, 8)
    found = datasets.from_folder(tmp_path, 8, skip_corrupt=True, test_fraction=0)
    assert levels(found, "train") == [0, 4, 5]
    assert "Left out, since they cannot be decoded: 1.png (is corrupt or truncated), 2.png" in found.summary
    for name in ("0.png", "4.png", "5.png"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=r"No image in .* can be decoded: 1.png"):
        datasets.from_folder(tmp_path, 8, skip_corrupt=True)


def test_images_of_several_sizes_need_a_size(tmp_path):
    write(tmp_path, ["a.png", "b.png", "c.png"])
    write(tmp_path, ["d.png"], size=(5, 9))
    with pytest.raises(ValueError, match=r"1 of 4 images differ .* 8 × 8: d.png \(5 × 9\). Pass image_size=\(8, 8\)"):
        datasets.from_folder(tmp_path)


def test_other_files_are_ignored_and_empty_folders_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder"):
        datasets.from_folder(tmp_path / "absent")
    (tmp_path / "sub").mkdir()
    with pytest.raises(ValueError, match=r"has no images .* It is empty"):
        datasets.from_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=r"only files of other kinds: notes.txt"):
        datasets.from_folder(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"notes.txt is a file"):
        datasets.from_folder(tmp_path / "notes.txt")
    write(tmp_path, ["a.png", "b.png", ".hidden.png", ".thumbnails/a.png", "__MACOSX/a.png"])
    os.symlink(tmp_path, tmp_path / "sub" / "loop")
    found = datasets.from_folder(tmp_path)
    assert len(found.arrays("train")) + len(found.arrays("test")) == 2
    assert "Ignored, since they are not images: notes.txt." in found.summary


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"image_size": (0, 4)}, "image_size"),
        ({"image_size": (4, 4, 3)}, "image_size"),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.from_folder(tmp_path, **options)


def test_a_long_check_shows_progress(tmp_path, monkeypatch, capsys):
    import tqdm

    write(tmp_path, ["a.png", "b.png"])
    datasets.from_folder(tmp_path)
    assert capsys.readouterr().err == ""
    real = tqdm.tqdm
    monkeypatch.setattr(tqdm, "tqdm", lambda *args, delay, **kwargs: real(*args, **kwargs))
    datasets.from_folder(tmp_path)
    assert "Checking images" in capsys.readouterr().err


# === The same in a model ===


@pytest.mark.parametrize("shape", [(48, 64), (7, 9), (12, 16), (50, 13)])
def test_a_model_resizes_as_pillow_does(shape):
    image = smooth(*shape)
    found = ImagePreprocessing((12, 16), 3).transform(np.asarray(image)[None])[0]
    expected = np.asarray(ImageOps.fit(image, (16, 12), Image.BILINEAR)).astype(int)
    assert np.abs(found * 255 - expected).max() <= 1.001


def test_raw_images_of_other_kinds():
    preprocessing = ImagePreprocessing((4, 4), 3)
    gray = RNG.integers(0, 256, (2, 4, 4), dtype="uint8")
    expected = np.repeat(gray[..., None], 3, axis=-1) / 255
    np.testing.assert_allclose(preprocessing.transform(gray), expected, atol=1e-6)
    np.testing.assert_allclose(preprocessing.transform(gray.astype("uint16") * 257), expected, atol=1e-6)
    clear = np.zeros((1, 4, 4, 4), "uint8")
    np.testing.assert_array_equal(preprocessing.transform(clear), np.ones((1, 4, 4, 3)))
    mixed = preprocessing.transform([gray[0], np.asarray(smooth(9, 30))])
    assert mixed.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(mixed[0], expected[0], atol=1e-6)
    np.testing.assert_array_equal(preprocessing.restore(expected), np.repeat(gray[..., None], 3, axis=-1))
    with pytest.raises(ValueError, match=r"Image 0: an array of float64"):
        preprocessing.to_arrays(np.zeros((1, 4, 4, 3)))
    assert preprocessing.is_raw(gray) and preprocessing.is_raw([gray[0]]) and not preprocessing.is_raw(expected)


def test_fit_takes_size_and_channels():
    fitted = ImagePreprocessing().fit(np.zeros((2, 5, 6, 3), "uint8"))
    assert fitted.sample_shape == (5, 6, 3)
    again = ImagePreprocessing.from_config(fitted.get_config())
    assert again.sample_shape == (5, 6, 3) and again.is_fitted
    with pytest.raises(ValueError, match=r"2 different sizes"):
        ImagePreprocessing().fit([np.zeros((5, 6), "uint8"), np.zeros((5, 7), "uint8")])
    with pytest.raises(ValueError, match=r"has no size yet"):
        ImagePreprocessing().sample_shape  # noqa: B018


def test_a_model_keeps_the_preprocessing_of_its_images(each, tmp_path):
    folder, _ = each
    found = datasets.from_folder(folder, 8)
    model = aezoo.Autoencoder(4, preprocessing=found.preprocessing, seed=0)
    model.compile(optimizer="adam", run_eagerly=True)
    model.fit(found.train, verbose=0)
    photo = np.asarray(smooth(31, 20))[None]
    expected = model.score_samples(found.preprocessing.transform(photo))
    np.testing.assert_array_equal(model.score_samples(photo), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.score_samples(photo), expected, rtol=1e-5)


@pytest.mark.slow
def test_an_exported_model_takes_an_image_of_any_size(tmp_path):
    import tensorflow as tf

    model = aezoo.Autoencoder(4, preprocessing=ImagePreprocessing((8, 8), 3), seed=0)
    model.build((None, 8, 8, 3))
    model.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    for size in ((31, 20), (8, 8), (5, 40)):
        photos = np.stack([np.asarray(smooth(*size)) for _ in range(2)])
        out = served.signatures["serving_default"](x=tf.constant(photos))
        (images,) = out.values()
        assert images.dtype == tf.uint8 and images.shape == (2, 8, 8, 3)
        expected = model.preprocessing.restore(model.reconstruct(model.preprocessing.transform(photos)))
        assert np.abs(images.numpy().astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_onnx_takes_an_image_of_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install -e ".[onnx]"')
    model = aezoo.Autoencoder(4, preprocessing=ImagePreprocessing((8, 8), 3), seed=0)
    model.build((None, 8, 8, 3))
    model.export(tmp_path / "model.onnx", format="onnx", signatures="encode")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    for size in ((31, 20), (8, 8), (5, 40)):
        photos = np.stack([np.asarray(smooth(*size)) for _ in range(2)])
        (codes,) = session.run(None, {"x": photos})
        np.testing.assert_allclose(codes, model.encode(photos), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_depend_on_the_number_of_files(tmp_path):
    import subprocess

    code = """
import sys
from pathlib import Path
import aezoo
def peak():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
few, many = sys.argv[1:]
for folder in (few, many):
    for batch in aezoo.datasets.from_folder(folder, 64, memory=0, batch_size=16).train:
        pass
    print(peak())
"""
    for name, n in (("few", 100), ("many", 2000)):
        write(tmp_path / name, [f"{i}.png" for i in range(n)], size=(64, 64))
    command = [sys.executable, "-c", code, str(tmp_path / "few"), str(tmp_path / "many")]
    few, many = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    # 1,900 more images of 64 x 64 x 3 float32 would be 91 MiB.
    assert many - few < 30 * 1024
