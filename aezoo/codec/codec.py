"""Compression of integer codes to bytes, with NumPy and an entropy coder only."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from aezoo import _files, _untrusted
from aezoo._typing import ArrayLike, Shape
from aezoo.codec.container import FORMAT, Container, read_varints, varints
from aezoo.codec.table import TOTAL, Table

LIMIT = 2**27
"""The most image values that `decode` makes room for by default: 512 MiB of float32."""
# Memory per code unit, in image values: an int32, and the float32 copies on its way through the network.
_CODE = 4
# The coder writes words of 4 bytes. Codes up to this many bytes are shortened to the byte; for longer ones, the up to 3
# bytes do not matter.
_SHORT = 128
_GREATEST = 2**31
# Bytes of a codec beside a SavedModel, whose network has millions of weights.
_JSON = 2**26


def fingerprint(*parts: bytes) -> bytes:
    """Return 8 bytes that identify a sequence of byte strings, including where one ends and the next begins.

    Args:
        *parts: Bytes of any length.

    Returns:
        The first 8 bytes of a SHA-256.

    Example:
        >>> fingerprint(b"ab", b"c") == fingerprint(b"a", b"bc")
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()[:8]


@dataclasses.dataclass(frozen=True, eq=False)
class Codec:
    """Lossless coder of integers, using the frequencies that a model predicts for each channel of its code.

    A range coder codes all integers of a channel in one call. An integer that is not in the table of its channel is
    coded as an escape and written separately. Decoding returns exactly what was encoded, whatever the frequencies are.

    Args:
        tables: The frequency table of each channel.
        code_shape: Shape of the code of a sample, (..., channels); None for a size that is not fixed.
        values: Number of image values per position of a code.
        model: 8 bytes that identify the model; the fingerprint of the codec also covers tables and shapes.

    Raises:
        ValueError: If the number of tables differs from the number of channels.

    Example:
        >>> from aezoo.codec.table import from_counts
        >>> codes = np.random.default_rng(0).integers(-3, 4, (100, 2))
        >>> codec = Codec(from_counts(codes.T), (2,), values=16)
        >>> data = codec.encode(codes)
        >>> bool(np.all(codec.decode(data)[0] == codes)), len(data) < 100
        (True, True)
    """

    tables: tuple[Table, ...]
    code_shape: Shape
    values: int
    model: bytes = bytes(8)

    kind: ClassVar[str] = "channels"

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            _KINDS[cls.kind] = cls

    def __post_init__(self) -> None:
        if not self.code_shape or len(self.tables) != self.code_shape[-1]:
            raise ValueError(
                f"Codes of shape {self.code_shape} need one table per channel, the last axis, not {len(self.tables)}."
            )

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that identify model, tables and shapes, which must be the same to decode."""
        return fingerprint(*self._identity())

    def _identity(self) -> list[bytes]:
        """Return the parts of the fingerprint, which must be the same to decode."""
        parts = [self.model, repr((FORMAT, self.code_shape, self.values)).encode()]
        return parts + [repr(table.low).encode() + table.frequencies.astype("<i8").tobytes() for table in self.tables]

    # === Bytes ===

    def encode(self, codes: ArrayLike, picture: tuple[int, ...] = ()) -> bytes:
        """Compress codes.

        Args:
            codes: Whole numbers, (n, *code_shape), of any dtype.
            picture: True size (height, width) of the picture if the samples are its tiles; () if they are not tiles.

        Returns:
            A container, with the fingerprint of the codec and a checksum.

        Raises:
            ValueError: If the codes are empty, have another shape, or are not whole numbers within ±2³¹.
            ImportError: If constriction is not installed.
        """
        codes = np.asarray(codes)
        self._check_shape(codes.shape[1:])
        if not codes.size:
            raise ValueError("There are no samples to compress: give at least one.")
        if not ((codes > -_GREATEST) & (codes < _GREATEST)).all():
            raise ValueError(
                "The codes are NaN or too large: the samples are NaN or out of range, or the training diverged."
            )
        integers = codes.astype("int64")
        if not np.array_equal(integers, codes):
            raise ValueError(
                "The codes are not whole numbers: give the output of model.encode, not the codes of a training step."
            )
        columns, escapes = [], []
        for table, column in self._columns(integers):
            index = column - table.low
            inside = (index >= 0) & (index < table.escape)
            columns.append((table, np.where(inside, index, table.escape).astype("int32")))
            outside = index[~inside]
            # Distances from the table: even above it, odd below it.
            escapes.append(np.where(outside < 0, -2 * outside - 1, 2 * (outside - table.escape)))
        payload = _range_encoded(columns)
        written = varints(np.concatenate(escapes).astype("uint64"))
        return Container(self.fingerprint, len(codes), codes.shape[1:], picture, payload, written).to_bytes()

    def decode(self, data: bytes, limit: int = LIMIT) -> tuple[np.ndarray, tuple[int, ...]]:
        """Decompress codes.

        Args:
            data: Bytes that `encode` returned.
            limit: The most image values to make room for: samples times features, four times the code units, or for a
                `HyperCodec` the activations of one sample, whichever is most.

        Returns:
            The codes, (n, *code_shape) int32, and the `picture` that `encode` was given.

        Raises:
            ValueError: If the bytes are damaged, come from another model or format version, or hold more than `limit`
                values.
            ImportError: If constriction is not installed.
        """
        container = Container.from_bytes(data)
        if container.fingerprint != self.fingerprint:
            raise ValueError(
                f"The compressed data come from another model ({container.fingerprint.hex()}, this one is "
                f"{self.fingerprint.hex()}): load the model that compressed them."
            )
        self._check_shape(container.code_shape)
        positions = container.samples * math.prod(container.code_shape[:-1])
        needed = self.needed(positions, container.samples)
        if needed > limit:
            raise ValueError(
                f"The compressed data claim {needed:,} values, more than the limit of {limit:,}: if you trust them, "
                "give a higher limit."
            )
        least = sum(-math.log2(min(1.0, table.frequencies.max() / TOTAL + 1e-3)) for table in self.tables)
        if positions * least > 8 * len(container.payload) + 64:
            raise ValueError("The compressed data are damaged: they are too short for their codes. Get them again.")
        decoder = Decoder(container)
        codes = self._read(decoder, (container.samples, *container.code_shape))
        decoder.check_finished()
        return codes, container.picture

    def _columns(self, integers: np.ndarray) -> Iterator[tuple[Table, np.ndarray]]:
        """Yield the columns that are coded, each with its table: the channels of codes (n, *code_shape) int64."""
        yield from zip(self.tables, integers.reshape(-1, len(self.tables)).T, strict=True)

    def _read(self, decoder: Decoder, shape: tuple[int, ...]) -> np.ndarray:
        """Read codes of a shape, (n, *code_shape) int32, in the order of `_columns`."""
        codes = np.empty((math.prod(shape[:-1]), len(self.tables)), "int32")
        for channel, table in enumerate(self.tables):
            codes[:, channel] = decoder.read(table, len(codes))
        return codes.reshape(shape)

    def needed(self, positions: int, samples: int = 1) -> int:
        """Return the memory that decoding needs, in image values.

        Args:
            positions: Number of samples times number of positions in the code of a sample.
            samples: Number of samples.

        Returns:
            The number of image values, or four times the number of code units if that is more.

        Example:
            >>> from aezoo.codec.table import Table
            >>> Codec((Table.of([1.0], 0),), (1,), values=784).needed(10)
            7840
        """
        return positions * max(self.values, _CODE * self.code_shape[-1])

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != len(self.code_shape) or any(
            b not in (None, a) for a, b in zip(shape, self.code_shape, strict=True)
        ):
            raise ValueError(f"The codes have shape {shape}, but this model's codes have shape {self.code_shape}.")

    # === Beside a SavedModel ===

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the codec as JSON, to decode the codes in a model's bytes without the model.

        Args:
            path: The file to write.
        """
        with _files.atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(self._content()) + "\n")

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "code_shape": self.code_shape,
            "values": self.values,
            "model": self.model.hex(),
            "fingerprint": self.fingerprint.hex(),
            "tables": [{"low": table.low, "frequencies": table.frequencies.tolist()} for table in self.tables],
        }

    @classmethod
    def _further(cls, content: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of this kind of codec that `_content` adds."""
        return {}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Codec:
        """Load a codec from a file that `save` wrote, or from a SavedModel.

        Args:
            path: The file, or the folder of a SavedModel that the model's `export` wrote.

        Returns:
            The codec, a `HyperCodec` if a `HyperpriorAE` wrote it.

        Raises:
            ValueError: If the file is damaged, not a codec, or of another format version.
            OSError: If there is no such file.
        """
        path = Path(path)
        path = path / IN_SAVED_MODEL if path.is_dir() else path
        content = _untrusted.read_json(path, _JSON)
        version = content.get("format") if isinstance(content, dict) else None
        if version != FORMAT:
            raise ValueError(f"{path} has format version {version!r:.20}, but this aezoo reads {FORMAT}.")
        try:
            tables = tuple(Table(entry["low"], np.array(entry["frequencies"])) for entry in content["tables"])
            shape, model = tuple(content["code_shape"]), bytes.fromhex(content["model"])
            kind = _KINDS[content.get("kind", Codec.kind)]
            codec = kind(tables, shape, content["values"], model, **kind._further(content))
            sizes = [codec.values, *(size for size in codec.code_shape if size is not None)]
            whole = all(isinstance(size, int) and size >= 1 for size in sizes)
            fits = whole and codec.fingerprint.hex() == content["fingerprint"]
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path} is damaged: {_untrusted.printable(error).rstrip('.')}.") from None
        if not fits:
            raise ValueError(f"{path} is damaged: its fingerprint does not fit. Export the model again.")
        return codec


_KINDS: dict[str, type[Codec]] = {Codec.kind: Codec}

IN_SAVED_MODEL = Path("assets.extra") / "codec.json"
"""Path of the codec within a SavedModel; TensorFlow leaves this folder to other programs."""


def _constriction() -> ModuleType:
    try:
        import constriction
    except ImportError as error:
        raise ImportError("compress and decompress need constriction: pip install 'aezoo[compression]'") from error
    return constriction


# === The range coder ===


class Decoder:
    """Reader of the columns of a container, in the order in which they were written.

    Args:
        container: The container.

    Raises:
        ValueError: If its escapes are incomplete.
    """

    def __init__(self, container: Container):
        code = container.payload
        self._coder = _constriction().stream.queue.RangeDecoder(_words(code))
        self._escapes = read_varints(container.escapes, sum(byte < 128 for byte in container.escapes))

    def read(self, table: Table, n: int) -> np.ndarray:
        """Return the next n integers, (n,) int64 within ±2³¹, which were written with a table.

        Raises:
            ValueError: If no codes have these bits.
        """
        column = _symbols(self._coder, table, n).astype("int64")
        escaped = column == table.escape
        distance, self._escapes = np.split(self._escapes, [int(escaped.sum())])
        if len(distance) < escaped.sum():
            raise ValueError("The compressed data are damaged: their escapes are incomplete. Get them again.")
        column[escaped] = np.where(distance % 2, -(distance + 1) // 2, distance // 2 + table.escape)
        column += table.low
        if n and (column.min() <= -_GREATEST or column.max() >= _GREATEST):
            raise ValueError("The compressed data are damaged: an escape is too large. Get them again.")
        return column

    def check_finished(self) -> None:
        """Check that no escapes are left."""
        if len(self._escapes):
            raise ValueError("The compressed data are damaged: they have too many escapes. Get them again.")


def _range_encoded(columns: list[tuple[Table, np.ndarray]]) -> bytes:
    coder = _constriction().stream.queue.RangeEncoder()
    for table, symbols in columns:
        coder.encode(symbols, _model(table))
    code = coder.get_compressed().astype(">u4").tobytes()
    return _shortest(code, columns) if len(code) <= _SHORT else code


def _shortest(code: bytes, columns: list[tuple[Table, np.ndarray]]) -> bytes:
    """Return the shortest bytes that decode as `code` does: any number in its range, not only whole words."""
    for length in range(max(0, len(code) - 8), len(code)):
        start = int.from_bytes(code[:length], "big")
        for number in (start, start + 1):
            if number >> 8 * length:
                continue
            candidate = number.to_bytes(length, "big")
            coder = _constriction().stream.queue.RangeDecoder(_words(candidate))
            try:
                if all(np.array_equal(_symbols(coder, table, len(column)), column) for table, column in columns):
                    return candidate
            except ValueError:
                continue
    return code


def _words(code: bytes) -> np.ndarray:
    return np.frombuffer(code + bytes(-len(code) % 4), ">u4").astype("uint32")


def _symbols(coder: Any, table: Table, n: int) -> np.ndarray:
    try:
        return coder.decode(_model(table), n)
    except AssertionError as error:
        raise ValueError("The compressed data are damaged: no code has these bits. Get them again.") from error


def _model(table: Table) -> Any:
    return _constriction().stream.model.Categorical(table.frequencies / TOTAL, perfect=False)
