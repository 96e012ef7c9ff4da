"""Layers that variants are made of, and builders of encoders and decoders."""

from aezoo.layers._unit_rows import RowDecoder, RowEncoder
from aezoo.layers.centering import Centering
from aezoo.layers.corruption import Corruption
from aezoo.layers.dense_transpose import DenseTranspose, SharedDense
from aezoo.layers.factorized_density import FactorizedDensity
from aezoo.layers.lstm import LSTM
from aezoo.layers.mixture import BivariateMixture
from aezoo.layers.networks import decoder, encoder, transpose
from aezoo.layers.quantizer import Quantizer
from aezoo.layers.random_state import RandomState
from aezoo.layers.stroke_augmentation import StrokeAugmentation
from aezoo.layers.top_k import TopK, top_k_mask

__all__ = [
    "LSTM",
    "BivariateMixture",
    "Centering",
    "Corruption",
    "DenseTranspose",
    "FactorizedDensity",
    "Quantizer",
    "RandomState",
    "RowDecoder",
    "RowEncoder",
    "SharedDense",
    "StrokeAugmentation",
    "TopK",
    "decoder",
    "encoder",
    "top_k_mask",
    "transpose",
]
