"""The layers of the variants, and builders of encoders and decoders."""

from aezoo.layers._unit_rows import RowDecoder, RowEncoder, UnitNormDecoder, UnitNormRows, UnitRows
from aezoo.layers.batch_normalization import BatchNormalization
from aezoo.layers.batch_top_k import BatchTopK
from aezoo.layers.centering import Centering
from aezoo.layers.code_layer import CodeLayer
from aezoo.layers.corruption import Corruption
from aezoo.layers.dense_transpose import DenseTranspose, SharedDense
from aezoo.layers.discrete_code import DiscreteCode
from aezoo.layers.dropout import Dropout
from aezoo.layers.factorized_density import FactorizedDensity
from aezoo.layers.finite_scalar_quantizer import FiniteScalarQuantizer
from aezoo.layers.gate import Gate
from aezoo.layers.gdn import GDN
from aezoo.layers.gru import GRU
from aezoo.layers.jump_relu import JumpReLU
from aezoo.layers.log1p import Log1p
from aezoo.layers.lstm import LSTM
from aezoo.layers.mirroring import mirror
from aezoo.layers.mixture import BivariateMixture
from aezoo.layers.networks import decoder, encoder, spatial, transpose
from aezoo.layers.quantizer import Quantizer
from aezoo.layers.random_state import RandomState
from aezoo.layers.repeat import Repeat
from aezoo.layers.residual_block import ResidualBlock
from aezoo.layers.scaling import Scaling
from aezoo.layers.stddev import Stddev
from aezoo.layers.stroke_augmentation import StrokeAugmentation
from aezoo.layers.top_k import TopK, top_k_mask
from aezoo.layers.vector_quantizer import VectorQuantizer

__all__ = [
    "GDN",
    "GRU",
    "LSTM",
    "BatchNormalization",
    "BatchTopK",
    "BivariateMixture",
    "Centering",
    "CodeLayer",
    "Corruption",
    "DenseTranspose",
    "DiscreteCode",
    "Dropout",
    "FactorizedDensity",
    "FiniteScalarQuantizer",
    "Gate",
    "JumpReLU",
    "Log1p",
    "Quantizer",
    "RandomState",
    "Repeat",
    "ResidualBlock",
    "RowDecoder",
    "RowEncoder",
    "Scaling",
    "SharedDense",
    "Stddev",
    "StrokeAugmentation",
    "TopK",
    "UnitNormDecoder",
    "UnitNormRows",
    "UnitRows",
    "VectorQuantizer",
    "decoder",
    "encoder",
    "mirror",
    "spatial",
    "top_k_mask",
    "transpose",
]
