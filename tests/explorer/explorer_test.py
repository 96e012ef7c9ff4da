"""Content of a page, its files and its server."""

import gzip
import hashlib
import http.client
import io
import pathlib
import re
import threading

import numpy as np
import pytest
from PIL import Image

import aezoo
from aezoo import explorer
from aezoo.explorer import content, document, networks, pages, sprites

FOLDER = pathlib.Path(explorer.__file__).parent


@pytest.fixture(scope="module")
def model():
    model = aezoo.Autoencoder(latent_dim=2, tied=True, seed=0)
    model.build((None, 4, 4, 1))
    return model


@pytest.fixture(scope="module")
def html(model):
    pytest.importorskip("tf2onnx")
    x = np.random.default_rng(0).random((5, 4, 4, 1), "float32")
    return explorer.page(model, x, title="</script><b>", name="<i>noise</i>")


# === Sprites ===


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sprite_holds_its_tiles(channels):
    tiles = np.random.default_rng(0).integers(0, 256, (7, 2, 5, channels), "uint8")
    picture = np.asarray(Image.open(io.BytesIO(sprites.png(tiles)))).reshape(6, 15, channels)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, 3)
        np.testing.assert_array_equal(picture[2 * row : 2 * row + 2, 5 * column : 5 * column + 5], tile)


@pytest.mark.parametrize("steps", [1, 16, 17, 255])
def test_values_in_equal_steps_stay_exact(steps):
    x = (np.arange(steps + 1) / steps).astype("float32")
    pixels, levels = sprites.quantized(x)
    assert levels.exact
    np.testing.assert_allclose(levels.values(pixels), x, atol=1e-7)


def test_other_values_are_rounded_to_8_bits():
    x = np.random.default_rng(0).normal(size=1000).astype("float32")
    pixels, levels = sprites.quantized(x)
    assert not levels.exact and pixels.min() == 0 and pixels.max() == 255
    assert np.abs(levels.values(pixels) - x).max() <= (levels.high - levels.low) / 255 / 2 + 1e-6


def test_ten_thousand_samples_stay_small():
    x = np.zeros((10_000, 28, 28, 1), "uint8")
    x[:, 8:20, 12:16] = np.random.default_rng(0).integers(0, 256, (10_000, 12, 4, 1))
    assert len(sprites.png(x)) < 1e6


# === Files ===


def test_the_runtime_is_the_one_that_its_page_names():
    page = (FOLDER / "runtime" / "README.md").read_text()
    listed = re.findall(r"`(ort\S+?)` \|.+?`([0-9a-f]{64})`", page)
    assert len(listed) == 2
    for name, digest in listed:
        data = (FOLDER / "runtime" / name).read_bytes()
        data = gzip.decompress(data) if name.endswith(".gz") else data
        assert hashlib.sha256(data).hexdigest() == digest
    (version,) = set(re.findall(r"onnxruntime-web(?:@|` )(\d+\.\d+\.\d+)", page))
    assert f"ONNX Runtime Web v{version}" in (FOLDER / "runtime" / "ort.wasm.bundle.min.mjs").read_text()
    assert "MIT License" in (FOLDER / "runtime" / "LICENSE").read_text()


def test_a_runtime_without_exports_is_refused(monkeypatch):
    monkeypatch.setattr(document, "_runtime", lambda name: b"const ort = {};")
    with pytest.raises(ValueError, match="does not end with `export"):
        document.runtime.__wrapped__()


def test_the_files_that_a_wheel_adds_stay_under_10_mb():
    files = [path for folder in ("assets", "runtime") for path in (FOLDER / folder).iterdir()]
    assert {path.stem for path in files if path.suffix == ".js"} == set(document.SCRIPTS)
    assert sum(path.stat().st_size for path in files) < 10e6
    declared = (FOLDER.parents[1] / "setup.cfg").read_text()
    assert "aezoo.explorer =\n    assets/*\n    runtime/*\n" in declared


def test_a_page_loads_nothing_and_ends_no_script_early(html):
    assert html.startswith(document.MARK)
    assert "Content-Security-Policy" in html and "default-src 'none'" in html
    assert not re.search(r"<(script|img|link)[^>]+(src|href)=", html)
    assert "</script><b>" not in html and "<title>&lt;/script&gt;&lt;b&gt; " in html
    assert "<i>noise" not in html
    assert "import.meta" not in html and not re.search(r"\bexport\s*\{", html)


# === Networks ===


def test_networks_share_weights_and_compute_the_same(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    big = aezoo.Autoencoder(latent_dim=40, tied=True, seed=0)
    big.build((None, 64))
    described, graphs, weights = networks.networks(big)
    assert set(described) == set(graphs) == {"encode", "decode", "score"}
    assert described["decode"] == {"inputs": {"z": "float32"}}
    assert len(weights) == 2 * 4 * 64 * 40  # the kernel and its transpose, once each
    options = onnxruntime.SessionOptions()
    options.add_external_initializers_from_files_in_memory([networks.WEIGHTS], [weights], [len(weights)])
    session = onnxruntime.InferenceSession(graphs["score"], options)
    x = np.random.default_rng(0).random((3, 64), "float32")
    np.testing.assert_allclose(session.run(None, {"x": x})[0], big.score_samples(x), rtol=1e-5)


def test_steps_of_a_sketch_follow_the_decoder():
    model = aezoo.SketchRNN(3, encoder_units=4, decoder_units=6, components=2, seed=0)
    model.build((None, 5, 5))
    steps = model.step_signatures()
    z = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    state = steps["start"][0](z)
    before = np.tile(np.float32([0, 0, 1, 0, 0]), (2, 1))
    made = steps["step"][0](z, state["h"], state["c"], before)
    pen, mixture = model.decoder.teacher_forced(z, np.zeros((2, 5, 5), "float32"))
    np.testing.assert_allclose(made["pen"], pen[:, 0], atol=1e-6)
    np.testing.assert_allclose(made["mean"], mixture.mean[:, 0], atol=1e-6)
    np.testing.assert_allclose(made["scale"], np.exp(mixture.log_scale[:, 0]), rtol=1e-5)
    np.testing.assert_allclose(made["correlation"], np.tanh(mixture.raw_correlation[:, 0]), atol=1e-6)
    assert aezoo.Autoencoder(2).step_signatures() == {}


# === Content ===


def test_samples_are_taken_in_equal_steps(model):
    pytest.importorskip("tf2onnx")
    x = np.arange(10, dtype="float32").reshape(-1, 1, 1, 1) / 255 * np.ones((1, 4, 4, 1), "float32")
    gathered = content.gather(model, (x, np.arange(10) % 2), title=None, name="steps", note="", samples=4)
    picture = np.asarray(Image.open(io.BytesIO(gathered.blobs["samples.png"])))
    assert picture[::4, ::4].ravel().tolist() == [0, 3, 6, 9]
    assert np.frombuffer(gathered.blobs["labels"], "uint16").tolist() == [0, 1, 0, 1]
    code = np.asarray(model.encode(x[[0, 3, 6, 9]]))
    np.testing.assert_allclose(np.frombuffer(gathered.blobs["unit-mean"], "float32"), code.mean(axis=0), rtol=1e-5)
    assert gathered.manifest["title"] == "Autoencoder with a code of 2"
    assert gathered.manifest["units"]["pictures"] == "filters"
    counts = np.frombuffer(gathered.blobs["unit-histogram"], "uint32").reshape(2, -1)
    assert counts.sum(axis=1).tolist() == [4, 4]


def test_a_code_of_one_unit_has_no_plane():
    pytest.importorskip("tf2onnx")
    model = aezoo.Autoencoder(latent_dim=1, seed=0)
    model.build((None, 3))
    x = np.random.default_rng(0).random((4, 3), "float32")
    gathered = content.gather(model, x, title=None, name="", note="", samples=4)
    assert "map" not in gathered.manifest and gathered.manifest["data"]["kind"] == "vector"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((1, 4, 4, 1), "float32"), None, "needs at least 2 samples, but there are 1"),
        (np.zeros((3, 4, 4, 1), "float32"), [0, 1], "3 samples and labels of shape"),
        (np.zeros((3, 5, 5, 1), "float32"), None, "was built for"),
    ],
)
def test_data_that_a_page_cannot_show(model, x, y, message):
    with pytest.raises(ValueError, match=message):
        explorer.page(model, (x, y))


def test_conditions_that_a_page_cannot_offer():
    model = aezoo.ConditionalVAE(latent_dim=2, num_classes=2000, seed=0)
    model.build({"x": (None, 4), "label": (None,)})
    with pytest.raises(ValueError, match="one of at most 1,000 whole numbers; 'label' is not"):
        explorer.page(model, {"x": np.zeros((3, 4), "float32"), "label": np.zeros(3, "int32")})


# === Files and addresses ===


def test_a_page_replaces_a_page_and_nothing_else(html, tmp_path):
    path = tmp_path / "page.html"
    pages.write_text(html, path)
    assert path.read_text() == html
    pages.write_text(html + "\n", path)
    assert path.read_text() == html + "\n"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists and is not a page of aezoo"):
        pages.write_text(html, path)
    assert path.read_text() == "mine"
    with pytest.raises(FileExistsError, match="is a folder: name a file"):
        explorer.write(None, tmp_path, None)


def test_a_page_is_served_to_this_machine_alone(html):
    addresses = []
    known = threading.Event()

    def ready(address):
        addresses.append(address)
        known.set()

    threading.Thread(target=explorer.serve, args=(html,), kwargs={"ready": ready}, daemon=True).start()
    assert known.wait(10)
    host = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/", addresses[0])[1]

    def answer(path):
        connection = http.client.HTTPConnection(host)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()

    assert answer("/") == (200, html)
    assert answer("/etc/passwd")[0] == 404


def test_ctrl_c_ends_serving(capsys):
    def interrupt(address):
        raise KeyboardInterrupt

    explorer.serve("<p>", ready=interrupt)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_page_of_the_documentation_runs(tmp_path, monkeypatch):
    pytest.importorskip("tf2onnx")
    monkeypatch.chdir(tmp_path)
    text = (FOLDER.parents[1] / "docs" / "explorer.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "docs/explorer.md", "exec"), {})
    assert (tmp_path / "digits.html").read_text().startswith(document.MARK)
