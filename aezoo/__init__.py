"""aezoo: the autoencoder zoo on Keras 3 and TensorFlow."""

import keras as _keras

if _keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"aezoo runs on TensorFlow, but Keras is set to {_keras.backend.backend()!r}: set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported."
    )

from aezoo import callbacks as callbacks
from aezoo import codec as codec
from aezoo import datasets as datasets
from aezoo import evaluation as evaluation
from aezoo import layers as layers
from aezoo import losses as losses
from aezoo import optimizers as optimizers
from aezoo import plots as plots
from aezoo import schedules as schedules
from aezoo import sketches as sketches
from aezoo.autoencoder import Autoencoder as Autoencoder
from aezoo.models.compressive import CompressiveAE as CompressiveAE
from aezoo.models.contractive import ContractiveAE as ContractiveAE
from aezoo.models.denoising import DenoisingAE as DenoisingAE
from aezoo.models.k_sparse import KSparseAE as KSparseAE
from aezoo.models.linear import LinearAE as LinearAE
from aezoo.models.sketch_rnn import SketchRNN as SketchRNN
from aezoo.models.sparse import SparseAE as SparseAE
from aezoo.models.variational import VAE as VAE
from aezoo.presets import list_presets as list_presets
from aezoo.pretraining.dbn import DBN as DBN
from aezoo.pretraining.rbm import RBM as RBM
from aezoo.pretraining.stacked import StackedAE as StackedAE
from aezoo.version import __version__ as __version__
