import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest
import tensorflow as tf

import aezoo.testing

aezoo.testing.two_cpu_devices()
# The graphs of a test are small and run a few times: to optimise them takes longer than they do. The processes that
# tests start (notebooks, scripts, the command line, workers) optimise theirs.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look through all of TensorFlow again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def x():
    """21 small one-channel images: an odd number, so that the last batch is short on every replica."""
    return np.random.default_rng(0).random((21, 6, 6, 1), "float32")
