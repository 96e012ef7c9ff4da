"""Entropy coding of integer codes: tables of frequencies, a container of bytes, and pictures cut into samples."""

from aezoo.codec.codec import IN_SAVED_MODEL as IN_SAVED_MODEL
from aezoo.codec.codec import LIMIT as LIMIT
from aezoo.codec.codec import Codec as Codec
from aezoo.codec.codec import fingerprint as fingerprint
from aezoo.codec.pictures import compress_picture as compress_picture
from aezoo.codec.pictures import decompress_picture as decompress_picture
from aezoo.codec.pictures import picture_channels as picture_channels
from aezoo.codec.tables import Table as Table
from aezoo.codec.tables import from_counts as from_counts
from aezoo.codec.tables import tables as tables
