"""The page in a browser: each control is used, and what the page computes is what the model computes."""

import re

import numpy as np
import pytest

import aezoo
from aezoo import explorer
from aezoo.cli import program
from aezoo.datasets import loading

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
#: Milliseconds per frame of a display.
FRAME = 16.0


@pytest.fixture(scope="module")
def digits():
    return aezoo.datasets.load("digits")[1]


def built(model, x, scale=1.0):
    """Build a model and multiply the last kernel of its encoder by `scale`, for larger codes than untrained ones."""
    model.build(x.shape)
    kernel = [weight for weight in model.encoder.trainable_variables if len(weight.shape) == 2][-1]
    kernel.assign(scale * kernel)
    return model


def principal_plane(code):
    """Return the mean of codes and their first two principal components, with positive sums."""
    mean = np.mean(code, axis=0)
    axes = np.linalg.svd(code - mean, full_matrices=False)[2][:2]
    return mean, axes * np.sign(axes.sum(axis=1, keepdims=True))


def written(tmp_path, model, data, **options):
    path = tmp_path / "page.html"
    explorer.write(model, path, data, **options)
    return path


def check_verbs(page, model):
    """Check that code, output and score of the current input are what the model computes."""
    shape = (1, *page.js("explorer.manifest.data.shape"))
    x = page.input.reshape(shape)
    code = page.code.reshape(1, *page.js("explorer.manifest.code.shape"))
    encoded, decoded = model.to_controls(model.encode(x)), model.decode(model.from_controls(code))
    np.testing.assert_allclose(page.array("explorer.state.inputCode"), np.asarray(encoded).ravel(), **CLOSE)
    np.testing.assert_allclose(page.output, np.asarray(decoded).ravel(), **CLOSE)
    if page.js("explorer.state.score !== null"):
        expected = float(model.score_samples(x)[0])
        np.testing.assert_allclose(page.js("explorer.state.score"), expected, rtol=1e-4)
        assert page.number("stage-score") == pytest.approx(expected, rel=1e-3)


def check_timing(page, name, capsys):
    median = page.number("timing", r"[\d.]+(?= ms)")
    with capsys.disabled():
        print(f"\n{name}: {page.text('timing')}")
    assert median <= FRAME


# === Controls that every page has ===


def use_samples(page, model, x):
    """Choose samples: by a click, by a random one, by class, and from other pages of the list."""
    thumbs = "#samples-grid .thumb"
    page.click(f"{thumbs}:nth-child(4)")
    assert page.js("explorer.state.sample") == 3
    np.testing.assert_allclose(page.input, x[3].ravel(), atol=1e-6)
    assert page.page.locator(f"{thumbs}:nth-child(4)").get_attribute("aria-pressed") == "true"
    check_verbs(page, model)
    page.click("#samples-next")
    assert page.text("samples-position").startswith("49 to ")
    page.press(f"{thumbs}:nth-child(2)", "Enter")
    assert page.js("explorer.state.sample") == 49
    np.testing.assert_allclose(page.input, x[49].ravel(), atol=1e-6)
    page.click("#samples-previous")
    assert page.text("samples-position").startswith("1 to 48 ")
    before = page.js("explorer.state.sample")
    page.js("Math.random = () => 0.5")
    page.click("#samples-random")
    assert page.js("explorer.state.sample") == len(x) // 2 != before
    check_verbs(page, model)


def use_code(page, model):
    """Change the code by sliders, and restore it."""
    unit = int(page.page.locator("#code-sliders label").first.inner_text().removeprefix("Unit "))
    original = page.code
    low, high = (float(page.page.locator("#code-sliders input").first.get_attribute(name)) for name in ("min", "max"))
    value = high if abs(high - original[unit]) > abs(low - original[unit]) else low
    page.slide("#code-sliders", value)
    assert page.code[unit] == pytest.approx(value, rel=1e-5)
    assert np.delete(page.code, unit) == pytest.approx(np.delete(original, unit))
    assert page.text("stage-code-caption") == "Code, changed"
    check_verbs(page, model)
    page.click("#restore")
    np.testing.assert_array_equal(page.code, original)
    page.press("#code-sliders input", "Home")
    assert page.code[unit] == pytest.approx(low, rel=1e-5)
    page.click("#code-mean")
    mean = page.code
    page.click("#code-random")
    assert np.abs(page.code - mean).max() > 0
    check_verbs(page, model)
    page.click("#restore")


def use_map(page, model):
    """Point at the plane with the mouse, and with the keyboard."""
    mean, axes = page.plane
    page.point("#map-canvas", 0.3, 0.4)
    first = page.text("map-point")
    shown = page.array("explorer.mapOutput")
    page.point("#map-canvas", 0.7, 0.6, click=True)
    assert page.text("map-point") != first
    assert np.abs(page.array("explorer.mapOutput") - shown).max() > 0
    at = coordinates(page)
    integers = page.js("explorer.manifest.code.integers")
    expected = mean + at @ axes
    np.testing.assert_allclose(page.code, np.rint(expected) if integers else expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(page.array("explorer.mapOutput"), page.output, **CLOSE)
    check_verbs(page, model)
    page.press("#map-canvas", "ArrowRight", "ArrowUp")
    moved = coordinates(page)
    assert (moved > at).all()
    page.press("#map-canvas", "Shift+ArrowLeft", "Enter")
    assert coordinates(page)[0] < at[0]
    check_verbs(page, model)


def coordinates(page):
    return np.array([float(each) for each in re.findall(r"(-?[\d.]+(?:e[-+]\d+)?)(?=,|$)", page.text("map-point"))])


def use_between(page, model, x):
    """Go from one sample to another, and add an attribute."""
    for role, place in (("a", 1), ("b", 6)):
        page.check(f"input[name=role][value={role}]")
        page.click(f"#samples-grid .thumb:nth-child({place})")
    expected = np.asarray(model.interpolate(x[0:1], x[5:6], steps=9))[0]
    if page.js("explorer.manifest.code.integers"):  # the page rounds codes on the way, since the model has no others
        a, b = np.asarray(model.encode(x[[0, 5]]))
        expected = np.asarray(model.decode(np.stack([np.floor(a + (b - a) * i / 8 + 0.5) for i in range(9)])))
    np.testing.assert_allclose(page.array("explorer.path"), expected.ravel(), **CLOSE)
    page.slide("#between-slider", 0.5)
    np.testing.assert_allclose(page.output, expected[4].ravel(), **CLOSE)
    page.click("#between-path button:nth-child(3)")
    np.testing.assert_allclose(page.output, expected[2].ravel(), **CLOSE)
    assert page.page.locator("#between-path button:nth-child(3)").get_attribute("aria-pressed") == "true"
    page.click("#between-set-a")
    page.click("#between-set-b")
    path = page.array("explorer.path").reshape(9, -1)
    np.testing.assert_allclose(path[0], path[8], **CLOSE)

    for role, places in (("with", (1, 2, 3)), ("without", (4, 5))):
        page.check(f"input[name=role][value={role}]")
        for place in places:
            page.click(f"#samples-grid .thumb:nth-child({place})")
    page.click("#samples-grid .thumb:nth-child(5)")  # a second click takes it back
    assert page.text("attribute-with-count") == "With: 3"
    assert page.text("attribute-without-count") == "Without: 1"
    page.slide("#attribute-slider", 1.5)
    codes = np.asarray(model.encode(x[:4])).reshape(4, -1)
    expected = page.array("explorer.state.inputCode") + 1.5 * (codes[:3].mean(axis=0) - codes[3])
    if page.js("explorer.manifest.code.integers"):
        # Thirds times 1.5 are often halves, which another order of sums rounds to the other side.
        np.testing.assert_array_equal(page.code, np.rint(page.code))
        assert np.abs(page.code - expected).max() <= 0.5 + 1e-4
    else:
        np.testing.assert_allclose(page.code, expected, **CLOSE)
    check_verbs(page, model)
    page.click("#attribute-clear")
    assert page.text("attribute-with-count") == "With: none"
    assert page.page.locator("#attribute-slider input").is_disabled()
    page.check("input[name=role][value=input]")


def use_units(page, model, x):
    """Look at units, steer one and ablate it."""
    assert page.text("unit-title").startswith("Unit ")
    code = np.asarray(model.encode(x)).reshape(len(x), -1)
    page.choose("#units-order", "deviation")
    page.click("#units-grid .thumb")
    unit = int(page.text("unit-title").removeprefix("Unit "))
    assert code[:, unit].std() == pytest.approx(code.std(axis=0).max(), rel=1e-4)
    numbers = page.text("unit-numbers")
    assert float(re.search(r"deviation ([\d.]+)", numbers)[1]) == pytest.approx(code[:, unit].std(), abs=1e-3)
    rates = (np.abs(code) > aezoo.evaluation.activity_threshold(model)).mean(axis=0)
    assert (f"Fires on {100 * rates[unit]:.1f} %" in numbers) == bool((rates < 1).any())
    page.click("#unit-top .thumb")
    top = page.js("explorer.state.sample")
    assert code[top, unit] == pytest.approx(code[:, unit].max(), rel=1e-5)
    page.slide("#unit-slider", float(page.page.locator("#unit-slider input").get_attribute("max")))
    assert page.code[unit] > code[top, unit]
    check_steered(page, model, unit)
    page.click("#unit-ablate")
    assert page.code[unit] == 0
    check_steered(page, model, unit)
    np.testing.assert_allclose(page.pixels("#unit-picture"), unit_picture(page, model, code, unit), atol=1)
    page.click("#unit-restore")
    assert page.code[unit] == pytest.approx(code[top, unit], rel=1e-5)
    with np.errstate(invalid="ignore"):  # of units that are 0 on every sample
        correlation = np.corrcoef(code.T)
    page.click("#unit-nearest .thumb")
    other = int(page.text("unit-title").removeprefix("Unit "))
    others = np.delete(correlation[unit], unit)
    assert correlation[unit, other] == pytest.approx(np.nanmax(others), abs=1e-4)
    for order, first in (("rate", rates.max()), ("rare", rates.min())) if (rates < 1).any() else ():
        page.choose("#units-order", order)
        assert rates[int(page.page.locator("#units-grid .thumb").first.get_attribute("data-unit"))] == first
    page.choose("#units-order", "number")
    assert page.page.locator("#units-grid .thumb").first.get_attribute("data-unit") == "0"
    assert page.ink("#unit-histogram") > 2


def check_steered(page, model, unit):
    """Check that only one unit differs from the code of the input, and that the panel shows the outputs of both."""
    original = page.array("explorer.state.inputCode")
    np.testing.assert_array_equal(np.delete(page.code, unit), np.delete(original, unit))
    check_verbs(page, model)
    output = page.js("explorer.manifest.output")
    before = np.asarray(model.decode(original.reshape(1, *page.js("explorer.manifest.code.shape")))).ravel()
    size, low = output["high"] - output["low"], output["low"]
    shape = output["picture"][:2]
    change = 127 * (page.output - before) / size
    assert np.abs(change).max() > 2
    for name, bytes_ in (
        ("before", 255 * (np.clip(before, low, output["high"]) - low) / size),
        ("after", 255 * (np.clip(page.output, low, output["high"]) - low) / size),
        ("change", np.clip(128 + change, 0, 255)),
    ):
        np.testing.assert_allclose(page.pixels(f"#unit-{name}"), bytes_.reshape(shape), atol=1)


def unit_picture(page, model, code, unit):
    """Return the picture of a unit in bytes: its weights, or its effect on the mean code."""
    if page.js("explorer.manifest.units.pictures") == "filters":
        (kernel,) = [np.asarray(each) for each in model.encoder.weights if len(each.shape) == 2]
        values = kernel[:, unit]
    else:
        mean, step = code.mean(axis=0), code[:, unit].std()
        if page.js("explorer.manifest.code.integers"):
            mean, step = np.rint(mean), max(1, np.rint(step))
        codes = np.stack([mean, mean + step * np.eye(len(mean), dtype="float32")[unit]])
        before, after = np.asarray(model.decode(codes.reshape(2, *model.code_shape)))
        values = (after - before).ravel()
    return (127.5 + 127.5 * values / np.abs(values).max()).reshape(page.js("explorer.manifest.units.picture")[:2])


def use_scores(page, model, x):
    """Compare the first threshold with the detector's, move it, and choose samples on both sides of it."""
    scores = np.asarray(model.score_samples(x))
    n = len(scores)
    detector = aezoo.evaluation.AnomalyDetector(model, false_positive_rate=0.05, prefit=True).fit(x)
    assert page.number("scores-flagged") == (detector.predict(x) == -1).sum()
    at = float(np.median(scores)) * 1.0001
    page.slide("#scores-threshold", at)
    flagged = (scores > at).sum()
    assert page.text("scores-flagged").startswith(f"{flagged} of {n} samples")
    page.click("#scores-highest .thumb")
    assert page.js("explorer.state.sample") == scores.argmax()
    assert "flagged" in page.text("scores-input") and "not flagged" not in page.text("scores-input")
    assert page.number("scores-input", r"(?<=scores )[\d.]+") == pytest.approx(scores.max(), rel=1e-3)
    page.js(f"chooseSample({scores.argmin()})")
    page.settle()
    assert "not flagged" in page.text("scores-input")


def use_drawing(page, model):
    """Draw with the mouse and with the keyboard, erase, center and clear."""
    page.click("#draw-clear")
    assert not page.input.any()
    canvas = page.page.locator("#draw-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + box["width"] * 0.3, y + box["height"] * 0.3, steps=4)
    page.page.mouse.up()
    page.settle()
    assert page.js("explorer.state.sample") is None and page.text("stage-input-caption") == "Your drawing"
    drawn = page.input
    assert 0 < drawn.sum() and drawn.max() <= 1
    check_verbs(page, model)
    shape = page.js("explorer.manifest.data.picture")
    page.page.locator("#draw-center").uncheck()
    page.settle()
    assert np.abs(page.input - drawn).max() > 0  # it stood off the center
    assert page.input.reshape(shape)[shape[0] * 3 // 4 :].sum() == 0
    page.page.locator("#draw-center").check()
    page.settle()
    np.testing.assert_array_equal(page.input, drawn)
    page.slide("#draw-width", 2)
    page.press("#draw-canvas", " ", *["ArrowRight"] * 3, "ArrowDown", " ", "ArrowLeft")
    assert page.text("draw-state") == "Pen up"
    assert page.input.sum() > drawn.sum()
    check_verbs(page, model)
    more = page.input.sum()
    page.check("input[name=pen][value=erase]")
    page.press("#draw-canvas", " ", *["ArrowRight"] * 3, " ")
    assert page.input.sum() < more
    page.click("#samples-grid .thumb:nth-child(2)")
    page.click("#draw-copy")
    page.check("input[name=pen][value=paint]")
    page.page.locator("#draw-center").uncheck()
    page.settle()
    copied = page.input
    np.testing.assert_allclose(copied, page.array("explorer.sample(1)"), atol=1e-6)
    page.click("#draw-clear")


# === Pages ===


@pytest.fixture(scope="module")
def vae(digits, tmp_path_factory):
    """Return a VAE of two units and the path of its page."""
    model = built(aezoo.VAE(latent_dim=2, hidden_dims=(16,), seed=0), digits[0], 2.0)
    options = {"title": "Digits <on> a plane", "name": "digits", "note": "It is `small`."}
    return model, written(tmp_path_factory.mktemp("vae"), model, digits, **options)


@pytest.mark.slow
def test_a_vae_of_two_units(vae, digits, open_page, capsys):
    x, y = digits
    model, path = vae
    page = open_page(path)
    assert page.text("title") == "Digits <on> a plane" and page.text("note") == "It is small."
    assert "All numbers on this page are computed from them" in page.text("samples-about")
    page.plane = np.zeros(2), np.eye(2)
    use_samples(page, model, x)
    use_code(page, model)
    use_map(page, model)
    use_between(page, model, x)
    use_units(page, model, x)
    use_scores(page, model, x)
    use_drawing(page, model)
    page.choose("#class", "3")
    page.click("#samples-grid .thumb")
    assert y[page.js("explorer.state.sample")] == 3
    page.choose("#attribute-with", "7")
    page.choose("#attribute-without", "1")
    page.click("#attribute-use")
    page.slide("#attribute-slider", 1)
    means = [np.asarray(model.encode(x[y == each])).mean(axis=0) for each in (7, 1)]
    np.testing.assert_allclose(page.code, page.array("explorer.state.inputCode") + means[0] - means[1], **CLOSE)
    plain = page.ink("#map-canvas")
    page.page.locator("#map-grid").check()
    page.settle()
    assert page.ink("#map-canvas") != plain
    assert page.page.locator("#rate").is_hidden() and page.page.locator("#sketch").is_hidden()
    check_timing(page, "VAE on digits", capsys)


def test_a_k_sparse_model(tmp_path, digits, open_page):
    x = digits[0]
    model = built(aezoo.KSparseAE(latent_dim=80, k=5, seed=0), x)
    page = open_page(written(tmp_path, model, (x, None), samples=100))
    x = x[np.unique(np.linspace(0, len(x) - 1, 100).round().astype(int))]
    page.plane = principal_plane(model.encode(x))
    use_samples(page, model, x)
    use_code(page, model)
    use_map(page, model)
    use_units(page, model, x)
    assert "mid-gray is 0" in page.text("units-about")
    assert "the first two principal components of the codes" in page.text("map-about")
    largest = page.page.locator("#code-sliders label").first.inner_text()
    assert largest == f"Unit {np.abs(page.array('explorer.state.inputCode')).argmax()}"
    page.click("#code-next")
    assert page.page.locator("#code-sliders .slider").count() == 16
    page.click("#code-previous")
    page.choose("#code-order", "number")
    assert page.page.locator("#code-sliders label").first.inner_text() == "Unit 0"
    page.click("#units-next")
    assert page.text("units-position") == "61 to 80 of 80"
    page.click("#units-previous")
    assert page.page.locator("#class-row").is_hidden()


@pytest.mark.slow
def test_a_compressive_model(tmp_path, digits, open_page):
    x = digits[0][:60]
    model = built(aezoo.CompressiveAE(latent_dim=6, seed=0), x, 4.0)
    page = open_page(written(tmp_path, model, x))
    page.plane = None
    use_samples(page, model, x)
    use_code(page, model)
    use_between(page, model, x)
    page.click("#samples-grid .thumb:nth-child(3)")
    code = np.asarray(model.encode(x))
    assert page.number("rate-point", r"[\d.]+(?= bits)") == pytest.approx(float(model.rate(code[2:3])[0]), abs=0.01)
    curve = page.js("explorer.curve")
    assert len(curve) == 7
    assert curve[-1]["rate"] == pytest.approx(float(model.rate(code[2:3])[0]), rel=1e-4)
    error = np.square(np.asarray(model.reconstruct(x[2:3])) - x[2]).mean()
    assert curve[-1]["error"] == pytest.approx(error, rel=1e-4)
    page.slide("#rate-channels", 3)
    assert page.number("rate-point", r"[\d.]+(?= bits)") == pytest.approx(
        float(model.rate(page.code[None])[0]), abs=0.01
    )
    assert page.js("explorer.rateOf(explorer.state.code)") == pytest.approx(curve[3]["rate"], rel=1e-5)
    check_verbs(page, model)
    assert page.ink("#rate-chart") > 3


@pytest.mark.slow
def test_both_levels_of_a_ladder_move_the_output(tmp_path, digits, open_page):
    x = digits[0][:40]
    model = aezoo.LadderVAE(4, top_dim=2, hidden_dims=(16,), seed=0)
    model.build(x.shape)
    for variable in model.trainable_variables:
        variable.assign(2 * variable)
    page = open_page(written(tmp_path, model, x))
    assert "the last 2 units are z₂, which moves z₁." in page.text("code-about")
    check_verbs(page, model)
    use_code(page, model)
    before = page.output
    page.slide("#code-sliders .slider:nth-child(6)", 1.5)
    assert np.abs(page.output - before).max() > 0.01
    check_verbs(page, model)


@pytest.mark.slow
def test_sketches(tmp_path, open_page, capsys, monkeypatch):
    (x, _), _ = aezoo.sketches.load("shapes")
    x = x[:60]
    model = aezoo.SketchRNN(4, encoder_units=8, decoder_units=16, components=3, seed=0)
    model.build(x.shape)
    # Without a training codes are nearly 0, and every sketch is the same.
    for kernel in (model.encoder.mean.kernel, model.decoder.state.kernel):
        kernel.assign(1000 * kernel)
    model.decoder.output_parameters.bias.assign(np.linspace(1, -1, 21))  # lines rather than points, and no end
    # The conversion of the scores takes seconds; the preset has them.
    signatures = {name: each for name, each in model.signatures().items() if name != "score"}
    monkeypatch.setattr(type(model), "signatures", lambda model: signatures)
    page = open_page(written(tmp_path, model, x))
    assert page.page.locator("#scores").is_hidden()
    use_samples(page, model, x)
    use_code(page, model)
    page.check("input[name=role][value=a]")
    page.click("#samples-grid .thumb:nth-child(1)")
    page.check("input[name=role][value=b]")
    page.click("#samples-grid .thumb:nth-child(2)")
    expected = np.asarray(model.interpolate(x[:1], x[1:2], steps=9))
    np.testing.assert_allclose(page.array("explorer.path"), expected.ravel(), rtol=1e-3, atol=1e-3)
    page.check("input[name=role][value=input]")
    page.click("#samples-grid .thumb:nth-child(5)")
    page.click("#sketch-again")
    assert page.text("sketch-state").startswith("0 points")
    page.click("#sketch-step")
    page.click("#sketch-step")
    drawn = np.asarray(model.decode(np.asarray(model.encode(x[4:5]))))[0]
    np.testing.assert_allclose(page.array("explorer.sketch").reshape(-1, 5), drawn[:2], **CLOSE)
    page.slide("#sketch-speed", 60)
    page.click("#sketch-play")
    page.wait("document.querySelector('#sketch-state').innerText.includes('done')")
    sketch = page.array("explorer.sketch").reshape(-1, 5)
    np.testing.assert_allclose(sketch, drawn[: len(sketch)], **CLOSE)
    page.slide("#sketch-temperature", 1)
    page.click("#sketch-other")
    page.wait("document.querySelector('#sketch-state').innerText.includes('done')")
    assert page.text("sketch-play") == "Draw"
    other = page.array("explorer.sketch").reshape(-1, 5)
    assert len(other) != len(sketch) or np.abs(other - sketch).max() > 0
    check_timing(page, "sketches", capsys)


@pytest.mark.slow
def test_conditions(tmp_path, digits, open_page):
    x, y = digits
    model = aezoo.ConditionalVAE(latent_dim=3, hidden_dims=(8,), seed=0)
    model.build({"x": x.shape, "label": (None,)})
    page = open_page(written(tmp_path, model, ({"x": x, "label": y}, y), samples=50))
    page.click("#samples-grid .thumb:nth-child(2)")
    at = np.unique(np.linspace(0, len(x) - 1, 50).round().astype(int))[1]
    code = np.asarray(model.encode(x[at : at + 1], label=y[at]))
    np.testing.assert_allclose(page.code, code[0], **CLOSE)
    assert page.page.locator("#condition").input_value() == str(y[at])
    page.choose("#condition", "3")
    np.testing.assert_allclose(page.output, np.asarray(model.decode(code, label=3)).ravel(), **CLOSE)
    np.testing.assert_allclose(page.code, code[0], **CLOSE)


@pytest.mark.slow
def test_vectors_without_pictures(tmp_path, open_page):
    x = np.random.default_rng(0).normal(size=(30, 7)).astype("float32")
    model = aezoo.Autoencoder(latent_dim=3, output_activation="linear", seed=0)
    model.build(x.shape)
    page = open_page(written(tmp_path, model, x, name="noise"), width=390)
    page.click("#samples-grid .thumb:nth-child(8)")
    np.testing.assert_array_equal(page.input, x[7])
    check_verbs(page, model)
    assert page.page.locator("#draw").is_hidden()
    assert page.js("document.documentElement.scrollWidth") <= 390
    assert page.ink("#stage-output") > 1


@pytest.mark.slow
def test_a_unit_of_a_sparse_code_moves_features_along_its_direction(tmp_path, open_page):
    x = np.random.default_rng(0).random((40, 7), "float32")
    model = aezoo.BatchTopKAE(latent_dim=12, k=3, seed=0)
    model.build(x.shape)
    page = open_page(written(tmp_path, model, x))
    page.click("#units-grid .thumb")
    page.click("#unit-top .thumb")
    before = page.output
    page.slide("#unit-slider", float(page.page.locator("#unit-slider input").get_attribute("max")))
    check_verbs(page, model)
    unit = int(page.text("unit-title").removeprefix("Unit "))
    moved = page.code[unit] - page.array("explorer.state.inputCode")[unit]
    direction = np.asarray(model.dictionary)[unit]
    np.testing.assert_allclose(page.output - before, moved * direction, **CLOSE)
    assert np.abs(page.output - before).max() > 0.01


# === Presets ===

PRESETS = ("k_sparse_mnist_k25", "denoising_mnist", "vae_mnist_2d", "vae_mnist_20d", "compressive_mnist")


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset(preset, tmp_path, open_page, capsys):
    if not loading.is_here("mnist"):
        pytest.skip("MNIST is not prepared in the folder that TFDS_DATA_DIR names")
    model = aezoo.Autoencoder.from_preset(preset)
    x, y = (part[:300] for part in aezoo.datasets.load("mnist")[1])
    page = open_page(written(tmp_path, model, (x, y)))
    code = model.encode(x)
    page.plane = principal_plane(code) if code.shape[1] > 2 else (np.zeros(2), np.eye(2))
    use_samples(page, model, x)
    use_code(page, model)
    use_map(page, model)
    use_between(page, model, x)
    use_units(page, model, x)
    use_scores(page, model, x)
    use_drawing(page, model)
    check_timing(page, preset, capsys)


@pytest.mark.slow
def test_the_preset_of_emoji_in_color(tmp_path, open_page, capsys):
    model = aezoo.VAE.from_preset("vae_emoji")
    x, y = aezoo.datasets.load("emoji")[1]
    page = open_page(written(tmp_path, model, (x, y)))
    page.plane = principal_plane(model.encode(x))
    use_samples(page, model, x)
    use_code(page, model)
    use_map(page, model)
    use_between(page, model, x)
    use_scores(page, model, x)
    assert page.js("explorer.manifest.data.picture") == [64, 64, 3]
    check_timing(page, "vae_emoji", capsys)


@pytest.mark.slow
def test_the_preset_of_sketches(tmp_path, open_page, capsys):
    model = aezoo.SketchRNN.from_preset("sketch_rnn_cats")
    path = tmp_path / "page.html"
    arguments = ["sketch_rnn_cats", "--data", "shapes", "--output", str(path), "--samples", "30"]
    assert program.main(["explore", *arguments]) == 0
    page = open_page(path)
    x = page.array("explorer.sample(3)").reshape(1, *model.x_shape)
    page.click("#samples-grid .thumb:nth-child(4)")
    check_verbs(page, model)
    use_code(page, model)
    score = float(model.score_samples(x)[0])
    assert page.number("scores-input", r"(?<=scores )[\d.]+") == pytest.approx(score, rel=1e-3)
    check_timing(page, "sketch_rnn_cats", capsys)
    np.testing.assert_allclose(page.array("explorer.state.inputCode"), np.asarray(model.encode(x))[0], **CLOSE)


# === Accessibility ===


@pytest.mark.slow
def test_everything_has_a_name_and_contrast(vae, open_page):
    for scheme in ("light", "dark"):
        page = open_page(vae[1], width=390, color_scheme=scheme)
        nameless = page.js(
            "[...document.querySelectorAll('button, input, select, canvas[tabindex], canvas[role]')].filter((e) => "
            "e.offsetParent && !e.innerText && !e.getAttribute('aria-label') && !(e.labels && e.labels.length))"
            ".map((e) => e.outerHTML)"
        )
        assert nameless == []
        assert page.js("document.documentElement.scrollWidth") <= 390
        paper, *inks = (luminance(page, f"--{name}") for name in ("paper", "ink", "soft", "accent", "mark"))
        panel = luminance(page, "--panel")
        for ink in inks:
            for ground in (paper, panel):
                assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5
        page.page.keyboard.press("Tab")
        assert page.js("document.activeElement.className") == "skip"
        page.press("#samples-random", "Shift+Tab")
        assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def luminance(page, name):
    text = page.js(f"getComputedStyle(document.documentElement).getPropertyValue('{name}').trim()")
    channels = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
