"""A user's own code layer with everything that has to know about one."""

import keras
import numpy as np
import pytest

import aezoo
from aezoo import evaluation
from aezoo.layers import Centering, CodeLayer, Quantizer, TopK, networks

X = np.random.default_rng(0).random((40, 12), "float32")


class Signs(CodeLayer):
    differentiable = False
    bounds = (-1.0, 1.0)

    def call(self, z, training=False):
        return z + keras.ops.stop_gradient(keras.ops.sign(z) - z)


class Squashed(CodeLayer):
    bounds = (0.0, 1.0)

    def call(self, z):
        return keras.ops.sigmoid(z)


class Doubled(CodeLayer):
    def call(self, z):
        return 2 * z


def model_with(layer, **arguments):
    class Model(aezoo.Autoencoder):
        def code_layers(self):
            return [layer()]

    model = Model(5, code_activation="linear", seed=0, **arguments)
    model.compile("adam", run_eagerly=True)
    model.fit(X, verbose=0)
    return model


def test_a_decoder_is_tied_to_the_encoder_before_it():
    model = model_with(Signs, tied=True, hidden_dims=(7,))
    assert set(np.unique(model.encode(X))) <= {-1.0, 1.0}
    first, last = (layer for layer in networks.chain(model.encoder) if isinstance(layer, keras.layers.Dense))
    assert [layer.kernel for layer in model.decoder.layers[:2]] == [last.kernel, first.kernel]


def test_one_that_is_not_transposable_is_refused():
    class Mixed(Doubled):
        transposable = False

    with pytest.raises(ValueError, match="layers that cannot be transposed"):
        model_with(Mixed, tied=True)
    assert model_with(Mixed).reconstruct(X).shape == X.shape


def test_a_report_knows_whether_there_is_a_jacobian():
    report = evaluation.report(model_with(Signs), X)
    assert report["jacobian_norm"] is None
    with pytest.raises(ValueError, match="no Jacobian"):
        evaluation.jacobian_norm(model_with(Signs), X)
    doubled = model_with(Doubled)
    norm = evaluation.jacobian_norm(doubled, X)
    (dense,) = (layer for layer in networks.chain(doubled.encoder) if isinstance(layer, keras.layers.Dense))
    np.testing.assert_allclose(norm, 2 * np.linalg.norm(dense.kernel), rtol=1e-5)


@pytest.mark.slow
def test_a_stack_knows_the_range_of_the_codes():
    for layer in (Squashed, Doubled, Signs):
        stack = aezoo.StackedAE([model_with(layer), aezoo.RBM(3)])
        for stage in stack.stages:
            stage.compile(stage.default_optimizer(), run_eagerly=True)
        if layer is Squashed:
            stack.pretrain(X, epochs=1, verbose=0)
            continue
        with pytest.raises(ValueError, match=r"go outside \[0, 1\]"):
            stack.pretrain(X, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([keras.layers.Dense(3, "sigmoid"), TopK(1)], (0.0, 1.0)),
        ([keras.layers.Dense(3, "tanh"), keras.layers.Dropout(0.5), Quantizer()], (-1.0, 1.0)),
        ([keras.layers.Dense(3, "relu"), Squashed(), Signs()], (-1.0, 1.0)),
        ([keras.layers.Dense(3, "sigmoid"), Centering()], (-np.inf, np.inf)),
        ([keras.layers.Dense(3, "relu"), TopK(2)], (-np.inf, np.inf)),
        ([keras.layers.Dense(3), keras.layers.LayerNormalization()], None),
    ],
    ids=range(6),
)
def test_the_range_of_a_network_is_found_behind_code_layers(layers, expected):
    found = networks.output_range(keras.Sequential([keras.Input((4,)), *layers]))
    assert (found and found[1]) == expected
