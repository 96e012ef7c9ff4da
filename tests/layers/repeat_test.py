"""Repeated entries, beside Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from aezoo.layers import Repeat

KERAS = {1: keras.layers.UpSampling1D(3), 2: keras.layers.UpSampling2D((3, 2)), 3: keras.layers.UpSampling3D((3, 2, 1))}


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_upsampling_of_keras(rank):
    x = np.random.default_rng(0).random((*(2, 4, 5, 6)[: rank + 1], 2), "float32")
    layer = Repeat((3, 2, 1)[:rank])
    np.testing.assert_array_equal(layer(x), KERAS[rank](x))
    assert layer.compute_output_shape(x.shape) == layer(x).shape
    again = Repeat.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x), layer(x))


def test_its_size_is_known_where_that_of_its_input_is():
    def traced(*shape):
        graph = tf.function(Repeat((2, 2))).get_concrete_function(tf.TensorSpec(shape))
        return graph.structured_outputs.shape, {op.type for op in graph.graph.get_operations()}

    shape, operations = traced(None, 4, 5, 3)
    assert shape == (None, 8, 10, 3) and "Reshape" in operations
    assert traced(None, None, 5, 3)[0][3] == 3
