"""`aezoo compress` and `aezoo decompress`."""

import re
import shutil
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import aezoo
from aezoo import codec
from aezoo.cli import codec as codec_command
from aezoo.cli import program

RNG = np.random.default_rng(0)
SMALL = ["--dataset", "digits", "--limit", "100", "--epochs", "1", "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def light(no_graphs):
    with pytest.MonkeyPatch.context() as patch:
        no_graphs(patch)
        yield


@pytest.fixture(scope="module")
def run(light, tmp_path_factory):
    output = tmp_path_factory.mktemp("compressive") / "run"
    assert program.main(["train", "compressive", *SMALL, "--latent-dim", "6", "--output", str(output)]) == 0
    return output


def picture(path, size=(30, 21), mode="L"):
    pixels = RNG.integers(0, 256, (*size, len(mode)), dtype="uint8")
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(path)
    return pixels


def command(*arguments):
    return program.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_picture_goes_to_a_file_and_back(run, tmp_path, capsys):
    pixels = picture(tmp_path / "in.png")
    assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez") == 0
    size = (tmp_path / "out.aez").stat().st_size
    assert f"{size:,} bytes, {8 * size / (30 * 21):.3f} bits per pixel" in capsys.readouterr().out
    assert command("decompress", run / "model.keras", tmp_path / "out.aez", tmp_path / "out.png") == 0
    assert "21 x 30" in capsys.readouterr().out
    model = keras.saving.load_model(run / "model.keras")
    expected = codec.decompress_picture(model, codec.compress_picture(model, pixels))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected[..., 0])


@pytest.mark.parametrize(
    "model",
    [
        lambda: aezoo.CompressiveAE(4, filters=(4,), spatial=True, seed=0),
        lambda: aezoo.HyperpriorAE(4, hyper_filters=(4,), mean_scale=True, seed=0),
    ],
    ids=["compressive", "hyperprior"],
)
def test_a_spatial_model_of_colours(model, tmp_path):
    model = model()
    model.build((None, 8, 8, 3))
    model.save(tmp_path / "model.keras")
    pixels = picture(tmp_path / "in.png", mode="RGB")
    assert command("compress", tmp_path / "model.keras", tmp_path / "in.png", tmp_path / "out.aez") == 0
    assert command("decompress", tmp_path / "model.keras", tmp_path / "out.aez", tmp_path / "out.png") == 0
    expected = codec.decompress_picture(model, codec.compress_picture(model, pixels))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


@pytest.mark.slow
def test_a_spatial_model_is_trained_by_the_command(tmp_path):
    options = ["--spatial", "--filters", "4", "--latent-dim", "3", "--output", tmp_path / "run"]
    assert command("train", "compressive", *SMALL, *options) == 0
    assert (tmp_path / "run" / "reconstructions.png").exists()


def test_a_picture_of_another_mode_is_converted_and_said_so(run, tmp_path, capsys):
    picture(tmp_path / "in.png", mode="RGB")
    assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez") == 0
    assert "has mode RGB and was converted to the model's mode, L" in capsys.readouterr().err


def compressed(model, pixels):
    """The pixels that the model makes of gray ones."""
    return codec.decompress_picture(model, codec.compress_picture(model, pixels[..., None]))[..., 0]


@pytest.mark.parametrize(
    "suffix", ["png", *(pytest.param(suffix, marks=pytest.mark.slow) for suffix in ("tiff", "pgm"))]
)
def test_sixteen_bits_become_eight(run, tmp_path, suffix):
    ramp = np.linspace(0, 65535, 21 * 30).round().reshape(21, 30).astype("uint16")
    if suffix == "pgm":
        (tmp_path / "in.pgm").write_bytes(b"P5 30 21 65535\n" + ramp.astype(">u2").tobytes())
    else:
        Image.fromarray(ramp).save(tmp_path / f"in.{suffix}")
    assert command("compress", run, tmp_path / f"in.{suffix}", tmp_path / "out.aez") == 0
    assert command("decompress", run, tmp_path / "out.aez", tmp_path / "out.png") == 0
    expected = compressed(keras.saving.load_model(run / "model.keras"), np.rint(ramp / 257).astype("uint8"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


def test_pixels_without_a_range_are_refused(run, tmp_path, capsys):
    for name, dtype in (("float", "float32"), ("int", "int32")):
        Image.fromarray(np.ones((8, 8), dtype)).save(tmp_path / f"{name}.tiff")
        assert command("compress", run, tmp_path / f"{name}.tiff", tmp_path / "out.aez") == 2
        assert "which has no fixed range: save it with 8 or 16 bits" in capsys.readouterr().err


def test_a_picture_is_turned_as_its_camera_says(run, tmp_path):
    pixels = picture(tmp_path / "in.png")[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert command("compress", run, tmp_path / "turned.png", tmp_path / "out.aez") == 0
    assert command("decompress", run, tmp_path / "out.aez", tmp_path / "out.png") == 0
    expected = compressed(keras.saving.load_model(run / "model.keras"), np.rot90(pixels, -1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), expected)


@pytest.mark.slow
def test_one_limit_for_both_ways(run, tmp_path, capsys):
    picture(tmp_path / "in.png")  # 4 x 3 blocks of 64
    for limit, status in ((629, 2), (767, 2), (768, 0)):
        assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez", "--limit", limit) == status
        if status:
            assert f"more than the limit of {limit}: give a higher" in capsys.readouterr().err
    assert command("decompress", run, tmp_path / "out.aez", tmp_path / "out.png", "--limit", 767) == 2
    assert command("decompress", run, tmp_path / "out.aez", tmp_path / "out.png", "--limit", 768) == 0
    assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez", "--limit", 0) == 2


def test_a_picture_that_is_too_large_is_not_unpacked(run, tmp_path, capsys):
    Image.new("1", (2**14, 2**14)).save(tmp_path / "vast.png")  # 268 million pixels in 32 kB
    assert command("compress", run, tmp_path / "vast.png", tmp_path / "out.aez") == 2
    assert "268,435,456 values, more than the limit of 134,217,728" in capsys.readouterr().err


def test_a_large_picture_is_decompressed_piece_by_piece(run):
    model = keras.saving.load_model(run / "model.keras")
    pixels = RNG.integers(0, 256, (80, 64, 1), dtype="uint8")
    data = codec.compress_picture(model, pixels)
    whole = codec.decompress_picture(model, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec.pictures, "_PIECE", 64 * 7)
        np.testing.assert_allclose(codec.decompress_picture(model, data).astype(int), whole, atol=1)
    x = np.asarray(model.decompress(data))
    assert np.array_equal(np.rint(255 * np.clip(x[0], 0, 1)), whole[:8, :8])


@pytest.mark.slow
def test_errors_are_one_line_and_write_nothing(run, tmp_path, capsys):
    picture(tmp_path / "in.png")
    assert command("compress", run, tmp_path / "in.png", tmp_path / "good.aez") == 0
    data = (tmp_path / "good.aez").read_bytes()
    (tmp_path / "bad.aez").write_bytes(data[:-1])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "in.png").read_bytes()[:-60])
    (tmp_path / "code.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    other = aezoo.Autoencoder(latent_dim=2)
    other.build((None, 8, 8, 1))
    other.save(tmp_path / "other.keras")
    capsys.readouterr()
    wrong = {
        ("compress", tmp_path / "none.keras", tmp_path / "in.png"): "There is no model .*none.keras",
        ("compress", tmp_path, tmp_path / "in.png"): "There is no model .*model.keras",
        (
            "compress",
            tmp_path / "other.keras",
            tmp_path / "in.png",
        ): "holds Autoencoder, which does not compress",
        ("compress", run, tmp_path / "none.png"): "No such file .*none.png",
        ("compress", run, tmp_path / "text.png"): "cannot identify image file",
        ("compress", run, tmp_path / "code.eps"): "cannot identify image file",
        ("compress", run, tmp_path / "cut.png"): r"cut\.png is damaged: ",
        ("decompress", run, tmp_path / "bad.aez"): "are damaged",
        ("decompress", run, tmp_path / "in.png"): "not written by compress",
        ("decompress", run, tmp_path / "none.aez"): "No such file .*none.aez",
    }
    for arguments, message in wrong.items():
        assert command(*arguments, tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert re.fullmatch(f"aezoo: error: .*{message}.*\n", error), error
        assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced(run, tmp_path, capsys, monkeypatch):
    picture(tmp_path / "in.png")
    model = shutil.copy(run / "model.keras", tmp_path / "model.keras")
    assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez") == 0
    (tmp_path / "link.png").symlink_to(tmp_path / "in.png")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(codec_command, "_model", lambda name: pytest.fail("it got as far as loading the model"))
        for arguments, message in {
            ("compress", model, tmp_path / "in.png", tmp_path / "in.png"): "is an input of this command",
            ("compress", model, tmp_path / "in.png", tmp_path / "link.png"): "is an input of this command",
            ("compress", model, tmp_path / "in.png", model): "is an input of this command",
            ("compress", tmp_path, tmp_path / "in.png", model): "is an input of this command",
            ("decompress", model, tmp_path / "out.aez", tmp_path / "out.aez"): "is an input of this command",
            ("decompress", model, tmp_path / "out.aez", tmp_path / "in.png"): "replace it with --overwrite",
            ("compress", model, tmp_path / "in.png", tmp_path): "have|lost|folder",
        }.items():
            overwrite = [] if "overwrite" in message else ["--overwrite"]
            assert command(*arguments, *overwrite) == 2
            assert re.search(message, capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert command("decompress", model, tmp_path / "out.aez", tmp_path / "in.png", "--overwrite") == 0
    assert (tmp_path / "in.png").read_bytes() != before["in.png"]


def test_without_constriction(run, tmp_path, capsys, monkeypatch):
    picture(tmp_path / "in.png")
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert command("compress", run, tmp_path / "in.png", tmp_path / "out.aez") == 2
    assert "pip install 'aezoo[compression]'" in capsys.readouterr().err
