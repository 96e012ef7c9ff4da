"""The version, by itself, so that building the package does not import TensorFlow."""

__version__ = "0.1.0"
