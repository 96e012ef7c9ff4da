"""Entropy coding of integer codes: frequency tables, a container format, and pictures that are cut into samples."""

from aezoo.codec.codec import IN_SAVED_MODEL, LIMIT, Codec, fingerprint
from aezoo.codec.hyper import HyperCodec, IntegerLayer, IntegerNetwork
from aezoo.codec.pictures import compress_picture, decompress_picture, picture_channels
from aezoo.codec.table import Table, from_counts, tables

__all__ = [
    "IN_SAVED_MODEL",
    "LIMIT",
    "Codec",
    "HyperCodec",
    "IntegerLayer",
    "IntegerNetwork",
    "Table",
    "compress_picture",
    "decompress_picture",
    "fingerprint",
    "from_counts",
    "picture_channels",
    "tables",
]
