"""What models say of themselves, and that nobody outside aezoo/models asks for a class of the zoo."""

import ast
import pathlib

import keras
import matplotlib.figure
import numpy as np
import pytest

import aezoo
from aezoo import evaluation
from aezoo.cli.defaults import Training
from aezoo.schedules import Linear

PACKAGE = pathlib.Path(aezoo.__file__).parent
X = np.random.default_rng(0).random((10, 8, 8, 1), "float32")
MODELS = {
    name: value
    for name in aezoo.__all__
    if isinstance(value := getattr(aezoo, name), type) and issubclass(value, aezoo.Autoencoder)
}
VARIANTS = MODELS.keys() - {"Autoencoder"}
SMALL, LARGE = Training.on(1442, 64), Training.on(60_000, 784)


def test_nobody_outside_the_models_asks_for_a_class_of_the_zoo():
    """An isinstance or issubclass of a variant; Autoencoder is the base of all."""
    asked, found = {"isinstance", "issubclass"}, []
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "models"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in asked:
                names = {getattr(each, "id", getattr(each, "attr", "")) for each in ast.walk(node.args[1])}
                found += [f"{path.name}:{node.lineno}: {name}" for name in names & VARIANTS]
    assert len(VARIANTS) >= 9 and not found


def test_what_models_are():
    assert {name for name, cls in MODELS.items() if cls.data != "images"} == {"SequenceAE", "SketchRNN"}
    assert {name for name, cls in MODELS.items() if not cls.reconstructs} == {"SketchRNN"}
    for name, cls in MODELS.items():
        verbs = [hasattr(cls, verb) for verb in ("compress", "decompress", "codec")]
        assert verbs == [cls.compresses] * 3, name


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [SMALL, LARGE], ids=["small", "large"])
def test_the_defaults_of_the_command_line_are_arguments(name, training):
    cls = MODELS[name]
    chosen = cls.cli_defaults(training)
    assert not set(chosen) & set(cls.fixed_arguments)
    config = cls(**chosen).get_config()
    for argument, value in chosen.items():
        if not isinstance(value, Linear):
            assert config[argument] == value, argument


def test_defaults_follow_the_data_and_what_is_given():
    def chosen(cls, training=SMALL, **given):
        return cls.cli_defaults(Training(training.samples, latent_dim=training.latent_dim, given=given))

    assert chosen(aezoo.Autoencoder) == {"latent_dim": 32, "tied": True} == chosen(aezoo.Autoencoder, LARGE)
    assert chosen(aezoo.Autoencoder, filters=(4,))["tied"] is False
    for cls in (aezoo.DenoisingAE, aezoo.SparseAE, aezoo.ContractiveAE):
        assert chosen(cls) == {"latent_dim": 64, "tied": True}
        assert chosen(cls, LARGE, filters=(4,)) == {"latent_dim": 1000, "tied": False}
    assert chosen(aezoo.VAE)["hidden_dims"] == (64,) and chosen(aezoo.VAE, LARGE)["hidden_dims"] == (400,)
    assert "hidden_dims" not in chosen(aezoo.VAE, filters=(4,))
    assert chosen(aezoo.CompressiveAE)["hidden_dims"] == (500,)
    assert "hidden_dims" not in chosen(aezoo.CompressiveAE, spatial=True)
    assert chosen(aezoo.RBM, LARGE) == {"hidden_units": 1000}
    sparse = chosen(aezoo.KSparseAE, LARGE)
    assert (sparse["k"], sparse["k_schedule"], sparse["dead_after"]) == (25, Linear(100, 25, 30), 10_000)
    sparse = chosen(aezoo.KSparseAE, latent_dim=8, k=3)
    assert (sparse["latent_dim"], sparse["k"], sparse["k_schedule"]) == (8, 3, Linear(8, 3, 30))
    long, short = (aezoo.SketchRNN.cli_defaults(Training(samples=n))["kl_rate"] for n in (10**9, 1))
    assert long == 0.99995 and short == pytest.approx(0.01 ** (2 / 60))


def test_networks_of_a_users_own_are_not_tied_by_default():
    class Own(aezoo.Autoencoder):
        def build_encoder(self, x_shape):
            return super().build_encoder(x_shape)

    class Plain(aezoo.Autoencoder):
        pass

    assert Plain.cli_defaults(SMALL)["tied"] and not Own.cli_defaults(SMALL)["tied"]


# === Pictures ===


def built(model, x=X):
    model.build((None, *x.shape[1:]))
    return model


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (lambda: aezoo.Autoencoder(2), set()),
        (lambda: aezoo.DenoisingAE(2), set()),
        (lambda: aezoo.RBM(2), {"samples.png"}),
        (lambda: aezoo.VAE(3), {"samples.png", "interpolation.png"}),
        (lambda: aezoo.VAE(2), {"samples.png", "interpolation.png", "manifold.png"}),
    ],
)
def test_pictures_are_drawn_when_they_are_asked_for(make, more, monkeypatch):
    drawn = []
    for name in ("reconstructions", "filters", "samples", "interpolation", "manifold"):
        monkeypatch.setattr(
            aezoo.plots, name, lambda *_, name=name, **__: drawn.append(name) or matplotlib.figure.Figure()
        )
    pictures = built(make()).report_pictures(X)
    assert set(pictures) == {"reconstructions.png", "filters.png", *more} and not drawn
    assert all(isinstance(draw(), matplotlib.figure.Figure) for draw in pictures.values())
    assert [f"{name}.png" for name in drawn] == list(pictures)


def test_tables_have_no_pictures_of_filters():
    pytest.importorskip("pyarrow")
    table = aezoo.preprocessing.TablePreprocessing().fit({"a": [0.0, 1.0, 3.0], "b": [2.0, 1.0, 0.0]})
    model = aezoo.Autoencoder(1, output_activation="linear", preprocessing=table)
    model.build((None, 2))
    assert list(model.report_pictures(np.zeros((2, 2), "float32"))) == ["reconstructions.png"]


def test_a_denoising_model_shows_what_it_repairs(monkeypatch):
    shown = {}
    monkeypatch.setattr(aezoo.plots, "reconstructions", lambda model, x, **rows: shown.update(rows))
    built(aezoo.DenoisingAE(2, corruption=0.5, seed=0)).report_pictures(X)["reconstructions.png"]()
    corrupted = np.asarray(shown["corrupted"])
    assert corrupted.shape == X.shape and 0.3 < np.mean(corrupted == 0) < 0.7


@pytest.mark.parametrize(("n", "paths"), [(3, 1), (7, 3), (12, 5)])
def test_paths_of_few_samples_have_both_ends(n, paths, monkeypatch):
    ends = []
    monkeypatch.setattr(aezoo.plots, "interpolation", lambda model, a, b: ends.extend((a, b)))
    x = np.random.default_rng(0).random((n, *X.shape[1:]), "float32")
    built(aezoo.VAE(3)).report_pictures(x)["interpolation.png"]()
    np.testing.assert_array_equal(np.concatenate(ends), x[: 2 * paths])
    assert len(ends[0]) == paths


def test_pictures_of_sketches():
    x = aezoo.sketches.stroke5(aezoo.sketches.shapes(6))
    model = built(aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, seed=0), x)
    pictures = model.report_pictures(x)
    assert list(pictures) == ["reconstructions.png", "samples.png", "interpolation.png"]
    assert isinstance(pictures["reconstructions.png"](), matplotlib.figure.Figure)


# === Measures ===


def test_a_variant_of_a_users_own_adds_its_measures_to_the_report():
    class Largest(keras.metrics.Metric):
        note = "over the data"

        def __init__(self, name):
            super().__init__(name=name)
            self.largest = self.add_variable((), "zeros", name="largest")

        def update_state(self, values):
            self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(values)))

        def result(self):
            return self.largest

    class Measured(aezoo.Autoencoder):
        def tracker(self, name):
            return Largest(name) if name == "largest_code" else super().tracker(name)

        def report_measures(self, x, code):
            return {"size_of_code": keras.ops.sum(code, axis=1), "largest_code": code}

    model = built(Measured(latent_dim=3, activation="sigmoid", seed=0))
    report = evaluation.report(model, X, batch_size=3)
    z = np.asarray(model.encode(X))
    assert report["size_of_code"] == pytest.approx(np.mean(z.sum(axis=1)))
    assert report["largest_code"] == pytest.approx(z.max())
    assert report.rows["largest_code"].label == "largest code" and report.rows["largest_code"].note == "over the data"
    assert "size of code" in str(report)


@pytest.mark.slow
def test_the_measures_of_sketches_are_those_of_evaluate():
    x = aezoo.sketches.stroke5(aezoo.sketches.shapes(6))
    model = built(aezoo.SketchRNN(3, encoder_units=3, decoder_units=3, seed=0), x)
    model.compile(run_eagerly=True)
    expected = model.evaluate(x, return_dict=True, verbose=0)
    report = evaluation.report(model, x)
    for name in ("reconstruction", "kl_divergence", "negative_log_likelihood"):
        assert report[name] == pytest.approx(expected[name], rel=1e-4), name
    without = built(aezoo.SketchRNN(3, encoder_units=3, decoder_units=3, conditional=False, seed=0), x)
    assert "kl_divergence" not in evaluation.report(without, x)


def test_a_code_without_a_slope_has_no_jacobian():
    class Rounded(keras.layers.Layer):
        differentiable = False

        def call(self, z):
            return keras.ops.round(z)

    class Quantized(aezoo.Autoencoder):
        def code_layers(self):
            return [Rounded()]

    model = built(Quantized(latent_dim=3, seed=0))
    report = evaluation.report(model, X)
    assert report["jacobian_norm"] is None and "the code is rounded" in report.rows["jacobian_norm"].note
    with pytest.raises(ValueError, match="rounded"):
        evaluation.jacobian_norm(model, X)


def test_a_model_of_a_likelihood_has_no_error_of_a_reconstruction():
    class Likelihood(aezoo.Autoencoder):
        reconstructs = False

    report = evaluation.report(built(Likelihood(latent_dim=3, seed=0)), X)
    absent = [name for name, value in report.items() if value is None]
    assert absent[:4] == ["reconstruction_error", "mean_squared_error", "explained_variance", "pca_explained_variance"]
    assert report["jacobian_norm"] > 0
