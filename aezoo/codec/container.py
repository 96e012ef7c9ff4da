"""Container format for a batch of codes.

Number of bytes and content, in this order:

    3   magic, AEZ
    1   format version
    8   fingerprint of the model
    ..  varints: number of samples; rank and sizes of a code; rank and sizes (height, width) of the picture if the
        samples are its tiles, otherwise rank 0; lengths of the next two parts
    ..  entropy-coded integers
    ..  escapes, varints
    4   CRC-32 of all bytes before, little-endian

A varint is base 128, least digit first, with the high bit set in all bytes but the last (LEB128).
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

_MAGIC = b"AEZ"
#: Version of this layout and of the entropy coding.
FORMAT = 1
_FINGERPRINT = 8
_LARGEST = 2**40  # of a number in the header
_RANK = 4


@dataclasses.dataclass(frozen=True)
class Container:
    """Content of the bytes.

    Attributes:
        fingerprint: 8 bytes that identify the model.
        samples: Number of samples.
        code_shape: Shape of the code of a sample.
        picture: True size (height, width) of the picture if the samples are its tiles; () if they are not tiles.
        payload: The entropy-coded integers.
        escapes: The escapes, as varints.
    """

    fingerprint: bytes
    samples: int
    code_shape: tuple[int, ...]
    picture: tuple[int, ...]
    payload: bytes
    escapes: bytes

    def to_bytes(self) -> bytes:
        """Return the container as bytes."""
        numbers = [self.samples]
        for shape in (self.code_shape, self.picture):
            numbers += [len(shape), *shape]
        numbers += [len(self.payload), len(self.escapes)]
        header = _MAGIC + bytes([FORMAT]) + self.fingerprint + varints(np.array(numbers, "uint64"))
        body = header + self.payload + self.escapes
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, data: bytes) -> Container:
        """Read a container, after checking its checksum and lengths.

        Args:
            data: Bytes that `to_bytes` returned.

        Raises:
            ValueError: If the bytes are not a container, of another format version, or damaged.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise ValueError(f"Expected the bytes that compress returned, not {type(data).__name__}.")
        data = bytes(data)
        if not data.startswith(_MAGIC):
            raise ValueError(f"These {len(data)} bytes were not written by compress: they do not begin with 'AEZ'.")
        if len(data) < len(_MAGIC) + 1 + _FINGERPRINT + 4:
            raise ValueError(f"The compressed data are damaged: {len(data)} bytes are too few. Get them again.")
        if data[3] != FORMAT:
            raise ValueError(
                f"The compressed data have format version {data[3]}, but this aezoo reads version {FORMAT}: "
                "decompress them with the aezoo that compressed them."
            )
        body, checksum = data[:-4], data[-4:]
        if zlib.crc32(body).to_bytes(4, "little") != checksum:
            raise ValueError("The compressed data are damaged: their checksum does not match. Get them again.")
        start = 4 + _FINGERPRINT
        reader = _Reader(body, start)
        samples, code_shape, picture = reader.number(), reader.shape(), reader.shape()
        length, escapes = reader.number(), reader.number()
        if not samples or 0 in code_shape or 0 in picture or reader.at + length + escapes != len(body):
            raise ValueError("The compressed data are damaged: their sizes contradict each other. Get them again.")
        middle = reader.at + length
        return cls(body[4:start], samples, code_shape, picture, body[reader.at : middle], body[middle:])


class _Reader:
    """Reader of the numbers in a header."""

    def __init__(self, data: bytes, at: int):
        self.data = data
        self.at = at

    def number(self) -> int:
        value = shift = 0
        while self.at < len(self.data) and value < _LARGEST and shift < 42:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128 and value < _LARGEST:
                return value
        raise ValueError("The compressed data are damaged: a number in their header has no end. Get them again.")

    def shape(self) -> tuple[int, ...]:
        rank = self.number()
        if rank > _RANK:
            raise ValueError(f"The compressed data are damaged: they have a shape of {rank} sizes. Get them again.")
        return tuple(self.number() for _ in range(rank))


def varints(values: np.ndarray) -> bytes:
    """Return numbers, (n,) uint64 below 2⁴², as varints."""
    shifts = np.arange(0, 42, 7, dtype="uint64")
    digits = values[:, None] >> shifts
    used = (digits > 0) | (shifts == 0)
    more = np.pad(used[:, 1:], ((0, 0), (0, 1)))
    return ((digits & np.uint64(127)).astype("uint8") | (more * np.uint8(128)))[used].tobytes()


def read_varints(data: bytes, count: int) -> np.ndarray:
    """Read varints, (count,) int64.

    Args:
        data: Bytes that hold these varints and nothing else.
        count: Number of varints.

    Raises:
        ValueError: If the bytes hold more varints, fewer, or too large ones.
    """
    digits = np.frombuffer(data, "uint8")
    ends = np.flatnonzero(digits < 128)
    lengths = np.diff(ends, prepend=-1)
    if len(ends) != count or (count == 0) != (len(data) == 0) or (count and ends[-1] != len(data) - 1):
        raise ValueError("The compressed data are damaged: their escapes are incomplete. Get them again.")
    if count == 0:
        return np.zeros(0, "int64")
    if lengths.max() > 5:
        raise ValueError("The compressed data are damaged: an escape is too large. Get them again.")
    starts = ends - lengths + 1
    places = np.arange(len(digits)) - np.repeat(starts, lengths)
    return np.add.reduceat((digits & 127).astype("int64") << (7 * places), starts)
