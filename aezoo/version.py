"""Version of aezoo, in a module of its own so that building the package does not import TensorFlow."""

__version__ = "0.1.0"
