import io
import types

import keras
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import aezoo
from aezoo import plots
from aezoo.plots import style


class StandIn:
    """The verbs that the plots use, over ordinary Keras networks."""

    def __init__(self, encoder, decoder):
        self.encoder, self.decoder = encoder, decoder

    def reconstruct(self, x):
        return keras.ops.convert_to_numpy(self.decoder(self.encoder(x)))


class DenseTranspose(keras.layers.Layer):
    """Holds the kernel as the tied layer of the package does, (features, units)."""

    def __init__(self, tied_to):
        super().__init__()
        self.kernel = tied_to.kernel
        self.built = True

    def call(self, z):
        return keras.ops.matmul(z, keras.ops.transpose(self.kernel))


def dense_model(input_shape=(4, 4, 1), units=3, nested=False):
    size = int(np.prod(input_shape))
    first = keras.layers.Dense(units)
    stack = [keras.layers.Flatten(), first]
    encoder = keras.Sequential(
        [keras.Input(input_shape), keras.Sequential(stack)] if nested else [keras.Input(input_shape), *stack]
    )
    decoder = keras.Sequential([keras.Input((units,)), keras.layers.Dense(size), keras.layers.Reshape(input_shape)])
    return StandIn(encoder, decoder), first


def mosaic(figure):
    assert isinstance(figure, matplotlib.figure.Figure)
    (ax,) = figure.axes
    (image,) = ax.images
    return np.asarray(image.get_array())


def tile(figure, row, column, height, width, gap=1):
    top, left = row * (height + gap), column * (width + gap)
    return mosaic(figure)[top : top + height, left : left + width]


@pytest.mark.parametrize("nested", [False, True])
def test_filters_of_an_encoder_are_the_columns_of_its_first_kernel(nested):
    model, first = dense_model(nested=nested)
    kernel = np.zeros((16, 3), "float32")
    kernel[5, 0] = 0.1  # row 1, column 1 of the image
    kernel[:, 2] = -np.arange(16)
    first.set_weights([kernel, np.zeros(3)])
    figure = plots.filters(model, scale="each")
    assert mosaic(figure).shape == (4 + 1 + 4, 4 + 1 + 4)  # 2 x 2 places for 3 tiles
    # By norm: unit 2, unit 0, and the dead unit 1.
    np.testing.assert_allclose(tile(figure, 0, 0, 4, 4), 0.5 - np.arange(16).reshape(4, 4) / 30, atol=1e-6)
    expected = np.full((4, 4), 0.5)
    expected[1, 1] = 1.0  # however small the weight
    np.testing.assert_allclose(tile(figure, 0, 1, 4, 4), expected)
    np.testing.assert_array_equal(tile(figure, 1, 0, 4, 4), 0.5)
    np.testing.assert_array_equal(mosaic(figure)[5:, 5:], 1)  # the empty place
    np.testing.assert_array_equal(mosaic(figure)[4], 1)  # the gap
    by_index = plots.filters(model, order="index", scale="each")
    np.testing.assert_allclose(tile(by_index, 0, 0, 4, 4), expected)


def test_filters_of_a_decoder_are_the_rows_of_its_last_kernel():
    model, _ = dense_model()
    kernel = np.random.default_rng(0).normal(size=(3, 16)).astype("float32")
    model.decoder.layers[0].set_weights([kernel, np.zeros(16)])
    figure = plots.filters(model, part="decoder", order="index", scale="each")
    expected = 0.5 + 0.5 * kernel[1].reshape(4, 4) / np.abs(kernel[1]).max()
    np.testing.assert_allclose(tile(figure, 0, 1, 4, 4), expected, rtol=1e-6)


def test_filters_of_a_tied_decoder_are_those_of_the_encoder():
    model, first = dense_model()
    model.decoder = keras.Sequential([keras.Input((3,)), DenseTranspose(first), keras.layers.Reshape((4, 4, 1))])
    encoder, decoder = plots.filters(model), plots.filters(model, part="decoder")
    np.testing.assert_array_equal(mosaic(decoder), mosaic(encoder))


def test_filters_show_only_the_n_largest_and_say_so():
    weights = np.ones((9, 2, 2)) * np.arange(9).reshape(9, 1, 1)
    weights[8, 0, 0] = -16
    figure = plots.filters(weights, n=4)
    assert mosaic(figure).shape == (5, 5)
    np.testing.assert_allclose(tile(figure, 0, 0, 2, 2), [[0, 0.75], [0.75, 0.75]])
    assert figure.axes[0].get_title() == "filters (4 of 9, by norm)"


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_filters_of_convolutions(channels):
    encoder = keras.Sequential([keras.Input((8, 8, channels)), keras.layers.Conv2D(4, (3, 2))])
    decoder = keras.Sequential([keras.Input((6, 7, 4)), keras.layers.Conv2DTranspose(channels, (3, 2))])
    kernel = np.random.default_rng(0).normal(size=(3, 2, channels, 4)).astype("float32")
    encoder.layers[0].set_weights([kernel, np.zeros(4)])
    decoder.layers[0].set_weights([kernel, np.zeros(channels)])  # Keras: the same axes, with the opposite meaning
    shown = kernel[..., 1] if channels == 3 else kernel[..., 1].mean(axis=-1)
    expected = 0.5 + 0.5 * shown / np.abs(shown).max()
    for part in ("encoder", "decoder"):
        figure = plots.filters(StandIn(encoder, decoder), order="index", part=part, scale="each")
        np.testing.assert_allclose(tile(figure, 0, 1, 3, 2), expected, atol=1e-6)


def test_filters_of_a_convolutional_decoder_are_on_the_side_of_the_code():
    decoder = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(1, 3)])
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 1)).astype("float32")
    decoder.layers[0].set_weights([kernel, np.zeros(1)])
    figure = plots.filters(StandIn(None, decoder), order="index", part="decoder", scale="each")
    expected = 0.5 + 0.5 * kernel[:, :, 1, 0] / np.abs(kernel[:, :, 1]).max()
    np.testing.assert_allclose(tile(figure, 0, 1, 3, 3), expected, atol=1e-6)


def test_filters_of_flat_features_are_squares():
    model, first = dense_model(input_shape=(9,))
    figure = plots.filters(model, n=1)
    kernel = np.asarray(first.kernel)
    largest = kernel[:, np.argmax(np.linalg.norm(kernel, axis=0))]
    np.testing.assert_allclose(mosaic(figure), 0.5 + largest.reshape(3, 3) / np.abs(largest).max() / 2, rtol=1e-6)


def test_filters_behind_another_kernel_are_no_pictures():
    layers = [keras.layers.Conv1D(4, 3, strides=2, padding="same"), keras.layers.Flatten(), keras.layers.Dense(3)]
    encoder = keras.Sequential([keras.Input((8, 4)), *layers[:2], keras.layers.Dense(32), keras.layers.Dense(3)])
    assert encoder.layers[2].kernel.shape[0] == 16
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(32), keras.layers.Reshape((8, 4))])
    decoder.add(keras.layers.Conv1D(4, 3, padding="same"))  # its output is as large as that of the dense layer
    for part in ("encoder", "decoder"):
        with pytest.raises(ValueError, match="no built Dense or Conv2D layer next to the image"):
            plots.filters(StandIn(encoder, decoder), part=part)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dense_model(input_shape=(10,))[0], "10 weights, which is not a square picture"),
        (lambda: dense_model(input_shape=(10, 1))[0], "10 weights, which is not a square picture"),
        (lambda: np.zeros((2, 10)), "10 weights, which is not a square picture"),
        (lambda: np.zeros(4), r"shape \(4,\)"),
        (lambda: np.zeros((0, 4, 4)), r"shape \(0, 4, 4\)"),
        (lambda: np.full((1, 4, 4), np.nan), "not finite"),
        (lambda: StandIn(keras.Sequential([keras.layers.Dense(2)]), None), "no built Dense"),
        (
            lambda: StandIn(keras.Sequential([keras.Input((4, 4)), keras.layers.Dense(2)]), None),
            r"4 weights per unit, which is not the number of values in an image of shape \(4, 4\)",
        ),
    ],
)
def test_filters_refuse_what_is_no_picture(make, message):
    with pytest.raises(ValueError, match=message):
        plots.filters(make())


def test_filters_refuse_wrong_options():
    with pytest.raises(ValueError, match="order='size' is unknown: choose one of 'features', 'norm', 'index'"):
        plots.filters(np.ones((1, 2, 2)), order="size")
    with pytest.raises(ValueError, match="part='code' is unknown"):
        plots.filters(np.ones((1, 2, 2)), part="code")
    with pytest.raises(ValueError, match="n must be at least 1"):
        plots.filters(np.ones((1, 2, 2)), n=0)


def test_filters_of_several_models_are_panels_with_their_titles():
    models = {f"k = {k}": dense_model()[0] for k in (70, 40, 25, 10, 5)}
    for k, model in zip((70, 40, 25, 10, 5), models.values(), strict=True):
        kernel = np.zeros((16, 3), "float32")
        kernel[k % 16, 1] = 1
        model.encoder.layers[1].set_weights([kernel, np.zeros(3)])
    figure = plots.filters({**models, "drawn": np.ones((9, 2, 2))}, n=2)
    assert [ax.get_title() for ax in figure.axes] == ["k = 70", "k = 40", "k = 25", "k = 10", "k = 5", "drawn"]
    for k, ax in zip((70, 40, 25, 10, 5), figure.axes, strict=False):
        expected = np.full(16, 0.5)
        expected[k % 16] = 1
        drawn = np.asarray(ax.images[0].get_array())
        np.testing.assert_allclose(drawn[:4, :4], expected.reshape(4, 4))
        np.testing.assert_allclose(drawn[:4, 5:], 0.5)
    places = [ax.get_position() for ax in figure.axes]
    assert places[0].x1 < places[1].x0 and places[2].x1 < places[3].x0 and places[3].y0 == places[0].y0
    assert places[4].y1 < places[0].y0 and places[4].x0 == places[0].x0
    with pytest.raises(ValueError, match="no model"):
        plots.filters({})
    with pytest.raises(ValueError, match="The k = 10 have values that are not finite"):
        plots.filters({"k = 10": np.full((1, 2, 2), np.nan)})


class Halve:
    def reconstruct(self, x):
        return x / 2


@pytest.mark.parametrize("shape", [(16,), (4, 4), (4, 4, 1), (4, 4, 3)])
def test_reconstructions_are_below_the_inputs(shape):
    x = np.random.default_rng(0).uniform(size=(5, *shape)).astype("float32")
    picture = (4, 4, 3) if shape == (4, 4, 3) else (4, 4)
    figure = plots.reconstructions(Halve(), x, n=3)
    assert mosaic(figure).shape[:2] == (4 + 1 + 4, 4 + 1 + 4 + 1 + 4)
    for i in range(3):
        np.testing.assert_allclose(tile(figure, 0, i, 4, 4), x[i].reshape(picture))
        np.testing.assert_allclose(tile(figure, 1, i, 4, 4), x[i].reshape(picture) / 2)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["input", "reconstruction"]
    assert [1.5, 6.5] == list(figure.axes[0].get_yticks())


def test_reconstructions_of_a_keras_model():
    model, _ = dense_model()
    x = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype("float32")
    expected = np.clip(model.reconstruct(x)[1, ..., 0], 0, 1)
    np.testing.assert_allclose(tile(plots.reconstructions(model, x), 1, 1, 4, 4), expected, rtol=1e-6)


def test_reconstructions_of_corrupted_inputs_are_a_triptych():
    x = np.random.default_rng(0).uniform(size=(2, 4, 4)).astype("float32")
    corrupted = np.where(x > 0.5, 0, x)
    figure = plots.reconstructions(Halve(), x, corrupted=corrupted)
    for row, expected in enumerate((x, corrupted, corrupted / 2)):
        np.testing.assert_allclose(tile(figure, row, 1, 4, 4), expected[1])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["input", "corrupted", "reconstruction"]


def test_reconstructions_outside_the_unit_range_use_the_scale_of_the_inputs():
    x = np.linspace(-2, 2, 16, dtype="float32").reshape(1, 4, 4)
    figure = plots.reconstructions(Halve(), x)
    np.testing.assert_allclose(tile(figure, 0, 0, 4, 4), (x[0] + 2) / 4, rtol=1e-6)
    np.testing.assert_allclose(tile(figure, 1, 0, 4, 4), (x[0] / 2 + 2) / 4, rtol=1e-6)


def test_columns_of_a_series_are_drawn_one_after_another():
    x = np.random.default_rng(0).random((3, 12, 2)).astype("float32")
    figure = plots.rows({"input": x})
    assert len(figure.axes) == 3
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), np.concatenate([x[0, :, 0], x[0, :, 1]]))


@pytest.mark.parametrize("shape", [(10,), (10, 1), (16, 1)])
def test_reconstructions_of_signals_are_lines(shape):
    x = np.random.default_rng(0).normal(size=(7, *shape))
    figure = plots.reconstructions(Halve(), x, n=6)
    assert len(figure.axes) == 6
    assert figure.get_supxlabel() == "position in the sample"
    for ax, signal in zip(figure.axes, x, strict=False):
        drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert list(drawn) == ["input", "reconstruction"]
        np.testing.assert_allclose(drawn["input"], signal.ravel())
        np.testing.assert_allclose(drawn["reconstruction"], signal.ravel() / 2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["input", "reconstruction"]


def test_reconstructions_refuse_what_does_not_fit():
    x = np.zeros((2, 4, 4))
    with pytest.raises(ValueError, match=r"'corrupted' has shape \(1, 4, 4\), 'input' has \(2, 4, 4\)"):
        plots.reconstructions(Halve(), x, corrupted=x[:1])
    with pytest.raises(ValueError, match=r"shape \(0, 4, 4\)"):
        plots.reconstructions(Halve(), x[:0])
    with pytest.raises(ValueError, match="2 channels"):
        plots.reconstructions(Halve(), np.zeros((2, 4, 4, 2)))
    with pytest.raises(ValueError, match=r"\(3, 4, 4, 1\)"):
        plots.reconstructions(Halve(), np.zeros((2, 3, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"'reconstruction' has shape \(2, 16\), 'input' has \(2, 4, 4\)"):
        plots.reconstructions(types.SimpleNamespace(reconstruct=lambda x: x.reshape(2, 16)), x)


def test_rows_are_drawn_in_their_order_on_the_scale_of_the_first():
    x = np.random.default_rng(0).uniform(size=(3, 4, 4, 1))
    figure = plots.rows({"digits": x, "twice as bright": 2 * x, "negative": 1 - x}, n=2)
    for row, expected in enumerate((x, np.minimum(2 * x, 1), 1 - x)):
        np.testing.assert_allclose(tile(figure, row, 1, 4, 4), expected[1, ..., 0], rtol=1e-6)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["digits", "twice as bright", "negative"]
    assert ax.get_window_extent().x0 > ax.get_yticklabels()[1].get_window_extent().width
    with pytest.raises(ValueError, match="no row"):
        plots.rows({})


def lines_of(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


def test_history_draws_each_term_with_its_validation():
    record = {
        "reconstruction": [3.0, 2.0],
        "loss": [5.0, 4.0],
        "sparsity": [2.0, 2.0],
        "val_loss": [6.0, 5.0],
        "val_reconstruction": [4.0, 3.0],
        "learning_rate": [0.1, 0.1],
    }
    figure = plots.history(record)
    assert [ax.get_title() for ax in figure.axes] == ["loss", "reconstruction", "sparsity", "learning_rate"]
    assert lines_of(figure.axes[0]) == {"train": ([1, 2], [5.0, 4.0]), "validation": ([1, 2], [6.0, 5.0])}
    assert lines_of(figure.axes[2]) == {"train": ([1, 2], [2.0, 2.0])}
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1, 2]


def test_history_of_a_fit_that_was_resumed_and_validated_every_second_epoch():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    x, y = np.ones((4, 2)), np.ones((4, 1))
    fit = model.fit(x, y, validation_data=(x, y), validation_freq=2, initial_epoch=2, epochs=6, verbose=0)
    drawn = lines_of(plots.history(fit).axes[0])
    assert drawn["train"] == ([3, 4, 5, 6], fit.history["loss"])
    assert drawn["validation"] == ([4, 6], fit.history["val_loss"])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([300.0, 1.0], "log"),
        ([50.0, 1.0], "linear"),
        ([300.0, 0.0], "linear"),
        ([300.0, -1.0], "linear"),
        ([300.0, float("nan"), 1.0], "log"),
        ([float("nan")], "linear"),
    ],
)
def test_history_is_logarithmic_over_two_decades(values, scale):
    figure = plots.history({"loss": values})
    assert figure.axes[0].get_yscale() == scale
    figure.canvas.draw()


def test_history_of_several_runs_has_a_color_each_and_dashes_for_validation():
    runs = {
        "tied": {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0]},
        "untied": {"kl": [1.0, 1.0, 0.5], "loss": [30.0, 20.0, 0.01], "val_loss": [5.0, 4.0, 3.0]},
    }
    figure = plots.history(runs)
    loss, kl = figure.axes
    assert (loss.get_title(), kl.get_title()) == ("loss", "kl")
    assert lines_of(loss) == {
        "tied": ([1, 2], [3.0, 2.0]),
        "tied validation": ([1, 2], [4.0, 3.0]),
        "untied": ([1, 2, 3], [30.0, 20.0, 0.01]),
        "untied validation": ([1, 2, 3], [5.0, 4.0, 3.0]),
    }
    assert lines_of(kl) == {"untied": ([1, 2, 3], [1.0, 1.0, 0.5])}
    tied, tied_validation, untied, _ = loss.lines
    assert tied.get_color() == tied_validation.get_color() != untied.get_color() == kl.lines[0].get_color()
    assert (tied.get_linestyle(), tied_validation.get_linestyle()) == ("-", "--")
    assert loss.get_yscale() == "log" and loss.get_xlim()[1] > 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["tied", "untied", "validation"]
    assert not loss.get_legend()
    one = plots.history({"only": {"loss": [1.0]}})
    assert [text.get_text() for text in one.legends[0].get_texts()] == ["only"]
    with pytest.raises(ValueError, match="empty"):
        plots.history({"tied": runs["tied"], "untied": {}})


def test_history_refuses_what_is_none():
    with pytest.raises(ValueError, match="empty"):
        plots.history({})
    with pytest.raises(ValueError, match="got list"):
        plots.history([1.0])
    with pytest.raises(ValueError, match=r"history\['loss'\] has shape \(2, 1\)"):
        plots.history({"loss": [[1.0], [2.0]]})
    with pytest.raises(ValueError, match=r"history\['kl'\] has 1 numbers for 2 epochs"):
        plots.history({"loss": [1.0, 2.0], "kl": [1.0]})


@pytest.mark.slow
def test_figures_are_of_readme_size_and_need_no_pyplot(tmp_path):
    figures = {
        "filters": plots.filters(np.random.default_rng(0).normal(size=(100, 28, 28))),
        "large": plots.filters(np.random.default_rng(0).normal(size=(9, 300, 300))),
        "rows": plots.reconstructions(Halve(), np.zeros((10, 28, 28))),
        "history": plots.history({"loss": [1.0, 2.0]}),
        "panels": plots.filters({f"k = {k}": np.ones((36, 28, 28)) for k in range(4)}),
        "labels": plots.rows({"a long description of a row": np.zeros((10, 28, 28)), "b": np.zeros((10, 28, 28))}),
        "scatter": plots.scatter({"a": np.eye(2), "b": np.eye(2)}, [0, 1]),
        "scores": plots.scores({"a": [1.0, 2.0]}),
    }
    for name, figure in figures.items():
        assert 400 <= figure.get_size_inches()[0] * figure.dpi <= 800, name
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_samples_are_tiles_in_their_order():
    x = np.linspace(0, 1, 6).reshape(6, 1, 1, 1) * np.ones((6, 4, 4, 1))
    figure = plots.samples(x, columns=3)
    (image,) = figure.axes[0].get_images()
    values = np.unique(np.round(np.asarray(image.get_array())[np.ix_([1, -2], [1, -2])], 3))
    np.testing.assert_allclose(values, [0.0, 0.4, 0.6, 1.0])
    with pytest.raises(ValueError, match="no pictures"):
        plots.samples(np.zeros((3, 7)))


class _Line:
    """Decodes a code (a, b) to a picture with a on its left half and b on its right one."""

    code_shape = (2,)

    def decode(self, z):
        return np.repeat(np.asarray(z)[:, None, :, None], 2, axis=1)

    def interpolate(self, x_a, x_b, steps):
        return np.stack([x_a + (x_b - x_a) * i / (steps - 1) for i in range(steps)], axis=1)


def _pixels(figure):
    return np.asarray(figure.axes[0].get_images()[0].get_array())


def test_interpolation_goes_from_left_to_right():
    figure = plots.interpolation(_Line(), np.zeros((2, 4, 4, 1)), np.ones((2, 4, 4, 1)), steps=5)
    values = np.unique(np.round(_pixels(figure), 3))
    assert set(values) >= {0.0, 0.25, 0.5, 0.75, 1.0}
    with pytest.raises(ValueError, match="no pictures"):
        plots.interpolation(_Line(), np.zeros((2, 7)), np.ones((2, 7)))


def test_a_manifold_grows_to_the_right_and_upwards():
    pixels = _pixels(plots.manifold(_Line(), n=3))
    # Negative quantiles are clipped to 0: both halves are black at the bottom left and bright at the top right.
    assert pixels[-1, 0] == 0 and pixels[0, -1] == pytest.approx(0.967, abs=1e-3)
    assert pixels[0, 0] == 0 and pixels[-1, -1] == 0 and pixels[-1, -2] > 0.9
    model = _Line()
    model.code_shape = (3,)
    with pytest.raises(ValueError, match="2 units"):
        plots.manifold(model)


def test_a_manifold_of_samples_has_the_quantiles_of_their_codes():
    model = _Line()
    model.encode = lambda x: x
    codes = np.random.default_rng(0).permutation(np.stack([np.linspace(0, 1, 101), np.linspace(0, 0.5, 101)], axis=1))
    pixels = _pixels(plots.manifold(model, n=2, x=codes))
    left, right, down, up = 0.25, 0.75, 0.125, 0.375
    np.testing.assert_allclose(pixels[0, [0, 1, -2, -1]], [left, up, right, up], atol=1e-6)
    np.testing.assert_allclose(pixels[-1, [0, 1, -2, -1]], [left, down, right, down], atol=1e-6)


class _Chain:
    """Its chains add half of the last state, a whole number, to their mean."""

    visible = "bernoulli"

    def __init__(self):
        self.calls = []

    def sample(self, n, gibbs_steps, start=None):
        self.calls.append((n, gibbs_steps, None if start is None else np.array(start)))
        return np.full((n, 4, 4, 1), 0.25) if start is None else start / 2


def test_chains_go_on_from_row_to_row():
    model = _Chain()
    figure = plots.chains(model, 50, steps=(1, 10, 1000), seed=0)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["1 step", "10 steps", "1,000 steps"]
    assert [(n, steps) for n, steps, _ in model.calls] == [(50, 1), (50, 9), (50, 990)]
    first, second = model.calls[1][2], model.calls[2][2]  # samples of the means of the row before
    assert set(np.unique(first)) == {0, 1} and np.mean(first) == pytest.approx(0.25, abs=0.05)
    assert np.mean(second) == pytest.approx(0.125, abs=0.04) and not np.any(second > first)
    np.testing.assert_allclose(tile(figure, 0, 49, 4, 4), 0.25)
    np.testing.assert_allclose(tile(figure, 2, 7, 4, 4), second[7, ..., 0] / 2)
    again = _Chain()
    plots.chains(again, 50, steps=(1, 10, 1000), seed=0)
    np.testing.assert_array_equal(again.calls[2][2], second)


def test_chains_start_where_they_are_told_to():
    model = _Chain()
    start = np.ones((2, 4, 4, 1), "float32")
    figure = plots.chains(model, 2, steps=[2], start=start)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["start", "2 steps"]
    np.testing.assert_array_equal(tile(figure, 0, 1, 4, 4), 1)
    np.testing.assert_array_equal(tile(figure, 1, 1, 4, 4), 0.5)
    model.visible = "gaussian"
    plots.chains(model, 2, steps=(1, 2), start=start, seed=0)
    noise = model.calls[-1][2] - 0.5
    assert np.std(noise) == pytest.approx(1, abs=0.3) and len(np.unique(noise)) == noise.size
    for steps in ((), (1, 1), (10, 1), (0, 1)):
        with pytest.raises(ValueError, match=r"must rise|at least 1"):
            plots.chains(model, 2, steps=steps)


def test_chains_of_a_machine(x):
    rbm = aezoo.RBM(6, seed=0)
    rbm.build(x.shape)
    assert _pixels(plots.chains(rbm, 3, steps=(1, 5))).shape == (2 * x.shape[1] + 1, 3 * x.shape[2] + 2)


def test_scatter_has_a_color_for_each_class():
    codes = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    figure = plots.scatter(codes, ["cat", "dog", "cat"])
    (ax,) = figure.axes
    (points,) = ax.collections
    np.testing.assert_array_equal(points.get_offsets(), codes)
    cat, dog, also_cat = map(tuple, points.get_facecolors())
    assert cat == also_cat != dog
    handles = figure.legends[0].legend_handles
    assert [handle.get_label() for handle in handles] == ["cat", "dog"]
    assert matplotlib.colors.to_rgb(handles[1].get_color()) == dog[:3]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit 1", "unit 2")
    many = plots.scatter(np.random.default_rng(0).normal(size=(26, 2)), np.arange(26))
    assert len({tuple(color) for color in many.axes[0].collections[0].get_facecolors()}) == 26
    assert not plots.scatter(codes).legends


def test_scatter_of_long_codes_shows_their_principal_components():
    codes = np.random.default_rng(0).normal(size=(20, 5)) * [1, 5, 1, 1, 3]
    figure = plots.scatter({"short": codes[:, :2], "long": codes, "tall": codes.reshape(20, 5, 1)}, np.arange(20) % 3)
    assert [ax.get_title() for ax in figure.axes] == ["short", "long", "tall"]
    drawn = [np.asarray(ax.collections[0].get_offsets()) for ax in figure.axes]
    np.testing.assert_array_equal(drawn[0], codes[:, :2])
    _, vectors = np.linalg.eigh(np.cov(codes.T))
    np.testing.assert_allclose(np.abs(drawn[1]), np.abs((codes - codes.mean(axis=0)) @ vectors[:, [-1, -2]]))
    np.testing.assert_array_equal(drawn[1], drawn[2])
    assert figure.axes[1].get_xlabel() == "component 1"


@pytest.mark.parametrize("codes", [np.zeros((3, 1)), np.zeros((0, 2)), 1.0, np.full((3, 2), np.nan), {}])
def test_scatter_refuses_what_is_no_code(codes):
    with pytest.raises(ValueError, match=r"cannot be drawn|no codes"):
        plots.scatter(codes)


def test_scatter_of_many_classes_and_of_values():
    rng = np.random.default_rng(0)
    codes = rng.random((60, 2))
    words = plots.scatter(codes, [f"class {i % 30}" for i in range(60)])
    words.savefig(io.BytesIO())
    (legend,) = words.legends
    assert len(legend.get_texts()) == 30 and words.bbox.y0 <= legend.get_window_extent().y0
    values = plots.scatter(codes, codes[:, 0])
    assert not values.legends and len(values.axes) == 2  # a bar of colors
    drawn = values.axes[0].collections[0].get_facecolor()[np.argsort(codes[:, 0])]
    assert len(np.unique(drawn, axis=0)) > 40  # of the 60 values, a color each but for the nearest
    assert drawn[0, 2] > drawn[0, 1] and drawn[-1, 1] > drawn[-1, 2]  # from blue to yellow
    with pytest.raises(ValueError, match="labels have values that are NaN"):
        plots.scatter(codes, np.full(60, np.nan))


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no pictures to draw"):
        plots.samples(np.zeros((0, 8, 8, 1)))
    for draw, some in ((plots.samples, np.zeros((2, 8, 8, 1))), (plots.sketches, aezoo.sketches.shapes(2))):
        with pytest.raises(ValueError, match="columns must be"):
            draw(some, columns=0)


def test_scatter_refuses_labels_of_other_samples():
    with pytest.raises(ValueError, match=r"3 codes and labels of shape \(2,\)"):
        plots.scatter(np.zeros((3, 2)), [0, 1])


def test_scores_are_shares_of_each_kind():
    figure = plots.scores({"normal": [0.0, 0.0, 0.0, 1.0], "anomalous": [10.0]}, threshold=5.0, name="error")
    (ax,) = figure.axes
    kinds = {patch.get_label(): patch.get_xy() for patch in ax.patches}
    assert list(kinds) == ["normal", "anomalous"]
    assert kinds["normal"][:, 1].max() == 0.75 and kinds["anomalous"][:, 1].max() == 1
    assert kinds["normal"][:, 0].max() == kinds["anomalous"][:, 0].max() == 10  # the same bins
    (line,) = ax.lines
    assert set(line.get_xdata()) == {5.0} and "5" in line.get_label()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("error", "share of samples")
    assert not plots.scores({"normal": [0.0, 1.0]}).axes[0].lines
    for wrong in ({}, {"normal": []}, {"normal": [np.inf]}, {"normal": [[1.0]]}):
        with pytest.raises(ValueError, match=r"no scores|are not"):
            plots.scores(wrong)


def test_lines_go_through_points_or_heights_on_the_scales_asked_for():
    figure = plots.lines({"points": [(100.0, 0.5), (1.0, 0.1)], "heights": [3.0, 2.0]}, x="rank", y="error", log="x")
    (ax,) = figure.axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 0.1], [100, 0.5]])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[1, 3], [2, 2]])
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale(), ax.get_yscale()) == ("rank", "error", "log", "linear")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["points", "heights"]
    figure.savefig(io.BytesIO())
    assert {"1", "10", "100"} < {label.get_text() for label in ax.get_xticklabels()}
    several = plots.lines({"one": {"": [1, 2]}, "two": {"": [1e-9, 1]}, "three": {"": [1, 1]}}, log="y")
    assert [ax.get_title() for ax in several.axes] == ["one", "two", "three"]
    assert all(ax.get_yscale() == "log" and ax.get_legend() is None for ax in several.axes)
    several.savefig(io.BytesIO())


def test_many_lines_are_told_apart():
    figure = plots.lines({f"curve {i}": np.arange(20) + i for i in range(14)})
    (ax,) = figure.axes
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 14
    figure.savefig(io.BytesIO())
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1  # beside them
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


@pytest.mark.parametrize(
    ("points", "log", "message"),
    [
        ({}, "", "nothing to draw"),
        ([1.0, 2.0], "", "nothing to draw"),
        ({"a": [1.0], "panel": {"b": [1.0]}}, "", "nothing to draw"),
        ({"panel": {}}, "", "nothing to draw"),
        ({"a": []}, "", r"'a', of shape \(0,\), is not"),
        ({"a": [1.0, np.nan]}, "", r"'a', of shape \(2,\), is not"),
        ({"a": np.ones((2, 3))}, "", r"'a', of shape \(2, 3\), is not"),
        ({"a": [(0.0, 1.0)]}, "xy", "'a' is not positive along x"),
        ({"a": [1.0, 0.0]}, "y", "'a' is not positive along y"),
        ({"a": [1.0]}, "z", "log must be"),
    ],
)
def test_lines_of_what_cannot_be_drawn(points, log, message):
    with pytest.raises(ValueError, match=message):
        plots.lines(points, log=log)


def test_rate_distortion_draws_each_curve_by_rate():
    figure = plots.rate_distortion({"ours": [(2.0, 24.0), (1.0, 20.0)], "JPEG": [(30.0, 25.0)]}, rate="bytes")
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["ours", "JPEG"]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 20], [2, 24]])
    assert (ax.get_xlabel(), ax.get_xscale()) == ("bytes", "log")
    figure.savefig(io.BytesIO())
    assert plots.rate_distortion({"ours": [(1, 20), (2, 24)]}).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("curves", [{}, {"a": []}, {"a": [(0.0, 1.0)]}, {"a": [(1.0, np.nan)]}, {"a": [1.0, 2.0]}])
def test_rate_distortion_of_what_is_no_curve(curves):
    with pytest.raises(ValueError, match=r"no curve|is not"):
        plots.rate_distortion(curves)


def test_sketches_are_drawn_line_by_line_in_their_tiles():
    some = aezoo.sketches.shapes(5)  # a circle, a square, a triangle, a face of four lines, a circle
    figure = plots.sketches(some, columns=3, row_labels=["a", "b"])
    (ax,) = figure.axes
    assert len(ax.lines) == 8
    square = np.array(ax.lines[1].get_xydata())
    assert square.min(axis=0)[0] > 1 and square.max(axis=0)[0] < 2 and square.max(axis=0)[1] < 1
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    same = plots.sketches(aezoo.sketches.stroke5(some), columns=3).axes[0].lines[1].get_xydata()
    np.testing.assert_allclose(same, square, atol=1e-5)
    assert len(plots.sketches(aezoo.sketches.stroke5(some)[1]).axes[0].lines) == 1  # a single one
    empty = plots.sketches(np.tile(np.float32([0, 0, 0, 0, 1]), (1, 4, 1)))  # it ended at once
    assert not empty.axes[0].lines
    with pytest.raises(ValueError, match="no sketches"):
        plots.sketches([])
    with pytest.raises(ValueError, match="2 rows of sketches and 1 labels"):
        plots.sketches(some, columns=3, row_labels=["a"])


@pytest.mark.parametrize("order", ["features", "norm", "index"])
def test_noise_units_come_behind_features_and_dead_ones_last(order):
    rng = np.random.default_rng(0)
    bar, dot = np.zeros((2, 28, 28))
    bar[4:24, 13:15], dot[9, 9] = 0.1, 0.2
    weights = np.stack([rng.normal(size=(28, 28)), np.zeros((28, 28)), dot, bar, 1e-6 * bar])
    figure = plots.filters(weights, order=order, scale="each")
    drawn = [tile(figure, *divmod(i, 3), 28, 28, gap=2) for i in range(5)]
    wanted = {"features": [3, 2, 0, 4, 1], "norm": [0, 3, 2, 4, 1], "index": range(5)}[order]
    for one, i in zip(drawn, wanted, strict=True):
        largest = np.abs(weights[i]).max() or 1
        np.testing.assert_allclose(one, 0.5 + 0.5 * weights[i] / largest, atol=1e-6)


def test_filters_share_a_scale_by_default():
    weights = np.ones((4, 2, 2)) * np.array([4.0, 2.0, 1.0, -1.0]).reshape(4, 1, 1)
    figure = plots.filters(weights)
    shown = [tile(figure, *divmod(i, 2), 2, 2)[0, 0] for i in range(4)]
    np.testing.assert_allclose(shown, [1.0, 0.75, 0.625, 0.375])
    assert tile(plots.filters(weights, scale="each"), 1, 0, 2, 2)[0, 0] == 1
    # One weight of a thousand does not dim the others.
    spike = np.ones((2, 28, 28))
    spike[0, 3, 3] = 100
    assert tile(plots.filters(spike), 0, 1, 28, 28, gap=2).min() == 1
    with pytest.raises(ValueError, match="scale='log' is unknown"):
        plots.filters(weights, scale="log")


def test_tiles_of_filters_are_at_least_as_large_as_told():
    def sizes(models, **options):
        figure = plots.filters(models, **options)
        width, height = figure.get_size_inches() * figure.dpi
        found = []
        for ax in figure.axes:
            at, pixels = ax.get_position(), np.asarray(ax.images[0].get_array()).shape
            found.append((28 * at.width * width / pixels[1], 28 * at.height * height / pixels[0]))
        assert width <= 800
        return np.array(found)

    four = {f"k = {k}": np.random.default_rng(k).normal(size=(36, 28, 28)) for k in range(4)}
    assert sizes(four).min() >= 56 - 1e-6
    assert sizes(four, tile=20).min() == pytest.approx(28)
    assert sizes({"many": np.ones((400, 28, 28))}, n=400).min() >= 40


# === Diagrams ===


def labels(figure):
    (ax,) = figure.axes
    return [text.get_text() for text in ax.texts]


def circles(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, matplotlib.patches.Circle)]


def built(model, shape=(28, 28, 1)):
    model.build((None, *shape))
    return model


def widths(model):
    """The widths of the dense layers of a model, from the input to the output, as text."""
    parts = [model.encoder, model.decoder]
    layers = [layer for part in parts for layer in part.layers if hasattr(layer, "units")]
    return [f"{layer.units:,}" for layer in layers]


def test_a_diagram_of_widths():
    figure = plots.network((784, 256, 32, 256, 784))
    shown = labels(figure)
    assert [text for text in shown if text.isdigit()] == ["784", "256", "32", "256", "784"]
    assert [text for text in shown if text in ("input $x$", "code $z$", "$x'$", "encoder", "decoder")] == [
        *("input $x$", "code $z$", "$x'$", "encoder", "decoder")
    ]
    assert {f"$W_{{{i}}}$" for i in (1, 2, 3, 4)} <= set(shown)
    filled = [circle for circle in circles(plots.network((4, 2, 4))) if circle.get_facecolor()[:3] != (1, 1, 1)]
    assert len(filled) == 2  # the units of the code
    assert len(circles(plots.network((4, 2, 4)))) == 10
    assert len(circles(plots.network((4, 2, 4), bias=True))) == 12
    assert labels(plots.network((4, 2, 4), bias=True)).count("+1") == 2
    encoder = labels(plots.network((784, 256, 32)))
    assert "code $z$" in encoder and "encoder" in encoder and "decoder" not in encoder
    with pytest.raises(ValueError, match="two layers or more"):
        plots.network((4,))
    with pytest.raises(TypeError, match="got str"):
        plots.network("784-256")


@pytest.mark.parametrize("tied", [False, True])
def test_a_diagram_has_the_widths_and_activations_of_the_layers(tied):
    model = built(aezoo.Autoencoder(50, hidden_dims=(300,), activation="tanh", tied=tied))
    shown = labels(plots.network(model))
    assert [text for text in shown if text.replace(",", "").isdigit()] == ["784", *widths(model)]
    assert widths(model) == ["300", "50", "300", "784"]
    assert (shown.count("tanh"), shown.count("sigmoid"), shown.count("(28×28)")) == (3, 1, 2)
    transposed = [text for text in shown if "mathrm{T}" in text]
    assert transposed == ([r"$W_{2}^{\,\mathrm{T}}$", r"$W_{1}^{\,\mathrm{T}}$"] if tied else [])


def test_a_diagram_of_convolutions_has_their_shapes():
    model = built(aezoo.Autoencoder(32, filters=(4, 8), normalization="batch", dropout=0.1))
    shown = labels(plots.network(model))
    convolutions = [layer for layer in model.encoder.layers if isinstance(layer, keras.layers.Conv2D)]
    for layer in convolutions:
        assert "×".join(map(str, layer.output.shape[1:])) in shown
    assert [text for text in shown if "×" in text] == ["28×28×1", "14×14×4", "7×7×8", "14×14×4", "28×28×1"]
    assert shown.count("relu") == 5 and "32" in shown and "392" in shown


def test_a_diagram_of_a_vae_has_a_sample_and_that_of_a_conditional_one_labels():
    model = built(aezoo.ConditionalVAE(3, num_classes=4, hidden_dims=(20,)), (4,))
    shown = labels(plots.network(model))
    assert {r"$\mu$", r"$\sigma$", "code $z$", r"$z = \mu + \sigma\epsilon$"} <= set(shown)
    assert shown.count("label") == 2 and shown.count("3") == 3
    assert shown.count("4") == 4  # x, x', and the label twice
    assert "label" not in labels(plots.network(built(aezoo.VAE(3, hidden_dims=(20,)), (4,))))
    several = labels(plots.network(built(aezoo.ConditionalVAE(3, conditions={"job": 7, "tone": 5}), (4,))))
    assert [several.count(text) for text in ("job", "tone", "7", "5")] == [2, 2, 2, 2]


def test_a_condition_is_joined_to_the_first_layers_of_both_networks():
    model = built(aezoo.ConditionalVAE(3, num_classes=4, hidden_dims=(5,)), (6,))
    lines = [collection.get_segments() for collection in plots.network(model).axes[0].collections]
    # μ and σ to z; hidden units to μ, σ and z; twice labels and hidden units; and hidden units to both sides of x.
    assert sorted(map(len, lines)) == [3, 3, 15, 15, 15, 20, 20, 30, 30]


def test_a_diagram_of_a_k_sparse_and_of_a_denoising_model_says_so():
    assert "k = 7" in labels(plots.network(built(aezoo.KSparseAE(30, k=7))))
    denoising = labels(plots.network(built(aezoo.DenoisingAE(30))))
    assert {"input $x$", r"$\tilde x$", "corrupted", "compared with $x$"} <= set(denoising)
    assert denoising.count("(28×28)") == 3 and "$W_{1}$" in denoising
    assert "compared with $x$" not in labels(plots.network(built(aezoo.Autoencoder(30))))


def filled(figure):
    """How many units, not dots of an ellipsis, have the color of the code."""
    units = [circle for circle in circles(figure) if circle.radius > 2]
    return sum(unit.get_facecolor()[:3] == to_rgb(style.ORANGE) for unit in units)


@pytest.mark.parametrize(("k", "of", "active"), [(6, 6, 6), (3, 6, 3), (1, 6, 1), (25, 1000, 1), (500, 1000, 6)])
def test_a_diagram_fills_the_share_of_active_units(k, of, active):
    assert filled(plots.network(built(aezoo.KSparseAE(of, k=k), (5,)))) == active


def test_the_corrupted_input_is_joined_unit_by_unit():
    model = built(aezoo.DenoisingAE(3, tied=False), (4,))
    lines = [collection.get_segments() for collection in plots.network(model).axes[0].collections]
    assert sorted(map(len, lines)) == [2, 4, 12, 12]  # a cross of two strokes, x to x̃, and two layers


def test_a_diagram_of_an_rbm_is_bipartite():
    figure = plots.network(built(aezoo.RBM(3), (4,)), bias=True)
    assert {"3", "4", "hidden $h$", "visible $v$", "$W$", "$b$", "$c$", "+1"} <= set(labels(figure))
    lines = [collection.get_segments() for collection in figure.axes[0].collections]
    assert sorted(map(len, lines)) == [3, 4, 12]  # c and b, and each hidden unit with each visible one
    assert len({round(y) for _, (_, y) in (segment for some in lines for segment in some)}) == 2


@pytest.mark.slow
def test_a_diagram_of_a_stack_is_unrolled():
    stack = aezoo.StackedAE([aezoo.KSparseAE(40, k=4), aezoo.Autoencoder(20, output_activation="linear")])
    with pytest.raises(ValueError, match="no weights yet"):
        plots.network(stack)
    stack.pretrain(np.random.default_rng(0).random((8, 4, 4, 1), "float32"), epochs=0, verbose=0)
    shown = labels(plots.network(stack))
    assert [text for text in shown if text.isdigit()] == ["16", "40", "20", "40", "16"]
    assert labels(plots.network(stack.unroll())).count("20") == 1
    corrupted = aezoo.StackedAE([aezoo.DenoisingAE(40), aezoo.DenoisingAE(20)])
    corrupted.pretrain(np.random.default_rng(0).random((8, 4, 4, 1), "float32"), epochs=0, verbose=0)
    assert "corrupted" not in labels(plots.network(corrupted))  # which only its stages are, while they are pretrained
    classifier = labels(plots.network(stack.to_classifier(10)))
    assert [text for text in classifier if text.isdigit()] == ["16", "40", "20", "10"]
    assert "output $y$" in classifier and "softmax" in classifier and "decoder" not in classifier


def test_a_diagram_of_networks_that_are_no_chains():
    masked = labels(plots.network(built(aezoo.MaskedAE(16, patch_size=4))))
    assert {"28×28×1", "49×16", "transformer\nblocks (2)", "mask\ntokens", "transformer\nblock"} <= set(masked)
    assert masked.count("28×28×1") == 2 and [text for text in masked if text.startswith("$W")] == [
        *("$W_{1}$", "$W_{2}$", "$W_{3}$")
    ]
    sketch = aezoo.SketchRNN(6, encoder_units=8, decoder_units=9)
    sketch.build((None, 20, 5))
    shown = labels(plots.network(sketch))
    assert shown.count("6") == 3 and shown.count("20×5") == 2 and r"$\mu$" in shown
    assert {"bidirectional\nLSTM", "LSTM"} <= set(shown) and shown.count("encoder") == shown.count(
        "decoder"
    ) == 1  # the spans
    assert not [text for text in shown if "W_" in text]


def test_a_diagram_of_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="no layers yet"):
        plots.network(aezoo.Autoencoder(3))
    figure = plots.network((1000,) * 14)
    assert figure.get_size_inches()[0] * figure.dpi <= 800


# === Preferred inputs ===


def test_preferred_inputs_are_the_maximizer_and_the_samples_of_each_unit():
    model = built(aezoo.Autoencoder(6, seed=0), (4, 4, 1))
    kernel = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    kernel[:, 2] = 0  # a unit that never varies
    model.encoder.layers[-1].set_weights([kernel, np.zeros(6)])
    x = np.random.default_rng(1).random((30, 4, 4, 1), "float32")
    figure = plots.preferred_inputs(model, x, units=[5, 1], n=3, combined=True, total_variation=0)
    ax = figure.axes[0]
    assert ax.get_title() == "units 5, 1 of the code"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["maximizes", "weights", "top 1", "top 2", "top 3"]
    values = x.reshape(30, 16) @ kernel
    for column, unit in enumerate((5, 1)):
        w = kernel[:, unit].reshape(4, 4)
        for row in (0, 1):
            np.testing.assert_allclose(tile(figure, row, column, 4, 4), 0.5 + 0.5 * w / np.abs(w).max(), atol=1e-4)
        for row, place in enumerate(np.argsort(-values[:, unit])[:3], 2):
            np.testing.assert_allclose(tile(figure, row, column, 4, 4), x[place, ..., 0], atol=1e-6)
    title = plots.preferred_inputs(model, x, units=5, n=1, layer=0, steps=2).axes[0].get_title()
    assert title == "units 0, 1, 3, 4, 5 of layer 0"
    with pytest.raises(ValueError, match="No unit of the layer varies"):
        plots.preferred_inputs(model, x[:1], n=1)


# === Traversals and ROC curves ===


def test_a_traversal_moves_a_sample_along_directions():
    x = np.full((4, 4, 1), 0.5, "float32")
    left = np.zeros((4, 4, 1), "float32")
    left[:, 0] = 1
    figure = plots.traversal(x, {"left": left, "darker": -np.ones((4, 4, 1))}, amounts=(0, 0.25, 0.75))
    for column, amount in enumerate((0, 0.25, 0.75)):
        np.testing.assert_allclose(tile(figure, 0, column, 4, 4), np.clip(x + amount * left, 0, 1)[..., 0])
        np.testing.assert_allclose(tile(figure, 1, column, 4, 4), np.clip(x - amount, 0, 1)[..., 0])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["left", "darker"]
    assert figure.axes[0].get_title() == "moved by 0, +0.25, +0.75"
    codes = plots.traversal([0.1, 0.2], [[1, 0], [0, 1]], amounts=(0.5,), decode=_Line().decode)
    np.testing.assert_allclose(_pixels(codes)[0, [0, 1]], [0.6, 0.2])
    with pytest.raises(ValueError, match=r"'direction 1' has shape \(3,\)"):
        plots.traversal(np.zeros(2), [np.zeros(3)])
    with pytest.raises(ValueError, match="one direction and one amount"):
        plots.traversal(np.zeros(2), {})


def test_an_roc_curve_is_that_of_counting():
    rng = np.random.default_rng(0)
    labels, scores = rng.permutation(np.arange(60) % 3 == 0).astype(int), rng.normal(size=60)
    figure = plots.roc(labels, {"a": scores, "b": -scores})
    a, b, chance = figure.axes[0].lines
    area = np.mean(scores[labels == 1][:, None] > scores[labels == 0])
    assert a.get_label() == f"a, area {area:.3f}" and b.get_label() == f"b, area {1 - area:.3f}"
    reached = {(np.mean(scores[labels == 0] >= t), np.mean(scores[labels == 1] >= t)) for t in (*scores, np.inf)}
    alarms, found = a.get_data()
    for point in zip(alarms, found, strict=True):
        assert any(np.allclose(point, one) for one in reached)
    assert np.diff(alarms) @ (found[1:] + found[:-1]) / 2 == pytest.approx(area)  # it leaves out no corner
    assert chance.get_label() == "chance"
    assert plots.roc(labels, scores).axes[0].lines[0].get_label() == f"area {area:.3f}"
    with pytest.raises(ValueError, match="with both of them"):
        plots.roc([0, 0], scores[:2])
    with pytest.raises(ValueError, match="not 2 finite numbers"):
        plots.roc([0, 1], {"a": [1.0, np.nan]})


def test_contributions_of_a_table_are_its_largest_bars():
    parts = pd.DataFrame([[0.1, 3.0, 0.5], [2.0, 0.0, 0.25]], columns=["flow", "heat", "load"], index=["a", "b"])
    figure = plots.contributions(parts, 10 * parts, features=2)
    assert [ax.get_title() for ax in figure.axes] == ["a: sum 3.6", "b: sum 2.25"]
    widths = [[bar.get_width() for bar in ax.patches] for ax in figure.axes]
    assert widths == [[3.0, 0.5], [2.0, 0.25]]
    labels = [[label.get_text() for label in ax.get_yticklabels()] for ax in figure.axes]
    assert labels == [["heat = 30", "load = 5"], ["flow = 20", "load = 2.5"]]
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    by_array = plots.contributions(parts.to_numpy(), n=1)
    assert [label.get_text() for label in by_array.axes[0].get_yticklabels()] == ["1", "2", "0"]


def test_contributions_of_images_are_maps_on_one_scale():
    parts = np.zeros((2, 4, 4, 2))
    parts[0, 1, 2] = 1.0, 3.0
    parts[1, 0, 0] = 2.0, 0.0
    shown = mosaic(plots.contributions(parts, np.zeros((2, 4, 4, 2))))
    assert shown.shape == (9, 9, 3)  # samples above maps
    dark = shown.sum(axis=-1)[5:]
    assert np.unravel_index(dark.argmin(), dark.shape) == (1, 2)  # the largest sum of channels
    assert dark[0, 0] == 3.0 and dark[1, 2] < dark[0, 5] < 3.0


@pytest.mark.parametrize(
    ("parts", "x", "message"),
    [
        (np.zeros((0, 3)), None, "at least one sample"),
        (np.zeros(3), None, "at least one sample"),
        (np.full((2, 3), np.nan), None, "not finite"),
        (np.zeros((2, 3)), np.zeros((2, 4)), r"x has shape \(2, 4\)"),
    ],
)
def test_contributions_refuse_what_is_none(parts, x, message):
    with pytest.raises(ValueError, match=message):
        plots.contributions(parts, x)


def test_series_refuse_reconstructions_and_errors_of_another_shape():
    x = np.arange(12.0).reshape(1, 4, 3)
    lines = plots.series(x, 2 * x).axes[0].lines
    np.testing.assert_array_equal(lines[3].get_ydata(), 2 * x[0, :, 1])
    with pytest.raises(ValueError, match=r"shape of x, \(1, 4, 3\), but they have shape \(1, 3, 4\)"):
        plots.series(x, 2 * x.reshape(1, 3, 4))
    with pytest.raises(ValueError, match="errors need one number per step"):
        plots.series(x, errors=x)
