"""Layers that variants are made of, and builders of encoders and decoders."""

from aezoo.layers.corruption import Corruption as Corruption
from aezoo.layers.dense_transpose import DenseTranspose as DenseTranspose
from aezoo.layers.factorized_density import FactorizedDensity as FactorizedDensity
from aezoo.layers.lstm import LSTM as LSTM
from aezoo.layers.mixture import BivariateMixture as BivariateMixture
from aezoo.layers.networks import decoder as decoder
from aezoo.layers.networks import encoder as encoder
from aezoo.layers.networks import transpose as transpose
from aezoo.layers.quantizer import Quantizer as Quantizer
from aezoo.layers.random_state import RandomState as RandomState
from aezoo.layers.stroke_augmentation import StrokeAugmentation as StrokeAugmentation
from aezoo.layers.top_k import TopK as TopK
from aezoo.layers.top_k import top_k_mask as top_k_mask
from aezoo.layers.unit_rows import RowDecoder as RowDecoder
from aezoo.layers.unit_rows import RowEncoder as RowEncoder
