"""A safe reader of sketches from .npy files with arrays of objects, which NumPy itself reads by unpickling.

A pickle may call any function. Allowing only NumPy's functions would not make it safe: NumPy's `__setstate__` trusts
its argument, so that one changed byte in a file can turn numbers into pointers to objects. This reader passes no state
to objects of NumPy. It interprets only the opcodes that NumPy writes for rows of arrays. They manipulate records, from
which `np.frombuffer` creates arrays after their sizes have been checked.
"""

from __future__ import annotations

import dataclasses
import math
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from aezoo._untrusted import printable

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '([^'\\]{2,20})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,15}L?,? ?){0,9})\),? ?\} *\n?"
)
_DTYPE = re.compile(r"[<>|=]?(?:[iu][1248]|f[248])")
_DAMAGED = "it is damaged"


def read(data: bytes) -> list[np.ndarray]:
    """Read a list of arrays of numbers, stored as an array of objects or as the rows of one array of three axes.

    Args:
        data: Content of a .npy file.

    Returns:
        Arrays of integers or floats; arrays from an array of objects are read-only.

    Raises:
        ValueError: If the data are damaged or contain anything else.
    """
    shape, dtype, fortran, start = _header(data)
    if dtype in ("|O", "O"):
        array = _Pickle(data, start).run()
        if not isinstance(array, _Array) or array.dtype != "O" or array.shape != shape:
            raise ValueError("its pickle does not contain an array of the shape in its header")
        if len(shape) == 1:
            if not all(isinstance(item, _Array) for item in array.data):
                raise ValueError("expected a row of arrays, but it holds other objects")
            # A pickle may refer to an object several times; the result must not exceed the size of the file.
            if sum(math.prod(item.shape or ()) for item in array.data) > max(len(data), 2**20):
                raise ValueError("its arrays have more numbers than it has bytes")
            return [item.numbers() for item in array.data]
        if len(shape) == 3 and all(isinstance(item, (int, float)) for item in array.data):
            return list(np.array(array.data, "float64").reshape(shape))  # the form of sketches of equal length
        raise ValueError(f"expected a row of sketches, but it holds objects of shape {shape}")
    if not _DTYPE.fullmatch(dtype) or len(shape) != 3:
        name = np.dtype(dtype).name if _DTYPE.fullmatch(dtype) else printable(dtype)
        raise ValueError(f"expected a row of sketches, but it holds {name} of shape {shape}")
    return list(_Array(shape, dtype, fortran, data[start:]).numbers())


def _header(data: bytes) -> tuple[tuple[int, ...], str, bool, int]:
    """Return the shape, dtype and order in a file's header, and the position of its content."""
    width = 2 if data[6:7] == b"\x01" else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    match = _HEADER.fullmatch(data, 8 + width, start)
    if not data.startswith(_MAGIC) or data[6:7] not in (b"\x01", b"\x02", b"\x03") or start > len(data) or not match:
        raise ValueError(f"{_DAMAGED}: it has no NumPy header")
    dtype, fortran, sizes = (part.decode("latin1") for part in match.groups())
    return tuple(map(int, re.findall(r"\d+", sizes))), dtype, fortran == "True", start


@dataclasses.dataclass(slots=True)
class _Array:
    """Description of an array in a file."""

    shape: Any = None
    dtype: Any = None
    fortran: Any = None
    data: Any = None

    def set(self, state: object) -> None:
        """Set the state of an array in NumPy's format: version, shape, dtype, order and content."""
        if self.dtype is not None or not isinstance(state, tuple) or len(state) != 5:
            raise ValueError(_DAMAGED)
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not all(isinstance(size, int) and 0 <= size < 2**48 for size in shape):
            raise ValueError(_DAMAGED)
        if not isinstance(dtype, _Dtype) or len(shape) > 8:
            raise ValueError(_DAMAGED)
        objects = dtype.kind == "O"
        if not isinstance(data, list if objects else bytes) or (objects and math.prod(shape) != len(data)):
            raise ValueError(_DAMAGED)
        if objects and fortran:
            raise ValueError("its array of objects is in Fortran's order")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype.name(), bool(fortran), data

    def numbers(self) -> np.ndarray:
        if self.dtype == "O" or self.dtype is None or not _DTYPE.fullmatch(self.dtype):
            raise ValueError(f"expected arrays of numbers, but it holds {printable(self.dtype)}")
        dtype = np.dtype(self.dtype)
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"{_DAMAGED}: an array of shape {self.shape} {dtype.name} has {len(self.data)} bytes")
        return np.frombuffer(self.data, dtype).reshape(self.shape, order="F" if self.fortran else "C")


@dataclasses.dataclass(slots=True)
class _Dtype:
    """Description of a dtype in a file."""

    kind: str
    order: str = "="

    def set(self, state: object) -> None:
        """Set the state of a dtype in NumPy's format: version, byte order, and fields, which numbers do not have."""
        if not isinstance(state, tuple) or len(state) < 5 or state[2:5] != (None, None, None):
            raise ValueError("expected arrays of numbers, but it holds records")
        self.order = _text(state[1])

    def name(self) -> str:
        return "O" if self.kind == "O" else f"{self.order}{self.kind}"


def _text(value: object) -> str:
    """Return a string; Python 2 wrote it as bytes."""
    if not isinstance(value, (bytes, str)) or len(value) > 100:
        raise ValueError(_DAMAGED)
    return value if isinstance(value, str) else value.decode("latin1")


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _FUNCTIONS["numpy", "ndarray"]:
        raise ValueError(_DAMAGED)
    return _Array()


def _dtype(kind: object, *_: Any) -> _Dtype:
    kind = _text(kind)
    return _Dtype("O" if kind in ("O", "O4", "O8") else kind)


def _scalar(dtype: object, data: object) -> int | float:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise ValueError(_DAMAGED)
    return _Array((), dtype.name(), False, data).numbers().item()


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise ValueError(_DAMAGED)
    return text.encode("latin1")


def _ndarray(*_: Any) -> None:
    raise ValueError(_DAMAGED)  # valid pickles refer to it but do not call it


#: Replacements of the functions that a pickle of arrays refers to.
_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.multiarray", name): function
        for core in ("core", "_core")
        for name, function in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}
_STAND_INS = frozenset(map(id, _FUNCTIONS.values()))
_MARK = object()
_STACK = 4096  # NumPy's pickles push at most 1,000 objects at a time


class _Pickle:
    """Interpreter of pickles of protocol 2 to 4, restricted to the opcodes in NumPy's pickles."""

    def __init__(self, data: bytes, at: int):
        self.data = data
        self.at = at
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.lists = 0

    def run(self) -> Any:
        try:
            while True:
                opcode = self.data[self.at]
                self.at += 1
                if opcode == _STOP:
                    return self.stack.pop()
                if opcode not in _OPCODES:
                    raise ValueError(f"{_DAMAGED}, or its pickle has an operation that no array of sketches needs")
                _OPCODES[opcode](self)
                if len(self.stack) > _STACK:
                    raise ValueError(_DAMAGED)
        except (LookupError, TypeError, UnicodeError, OverflowError, struct.error) as error:
            ended = self.at >= len(self.data)
            raise ValueError("it ends too early" if ended else f"{_DAMAGED}: {printable(error)}") from None

    # === Reading ===

    def take(self, length: int) -> bytes:
        taken = self.data[self.at : self.at + length]
        self.at += length
        if len(taken) < length:
            raise ValueError("it ends too early")
        return taken

    def number(self, width: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "little", signed=signed)

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + 200)
        return self.take(end + 1 - self.at)[:-1].decode()

    # === Opcodes ===

    def skip(self, width: int) -> None:
        self.take(width)

    def push(self, value: object) -> None:
        self.stack.append(value)

    def function(self, module: object, name: object) -> None:
        function = _FUNCTIONS.get((_text(module), _text(name)))
        if function is None:
            raise ValueError(f"it refers to {printable(module)}.{printable(name)}, which no array of sketches needs")
        self.stack.append(function)

    def global_name(self) -> None:
        self.function(self.line(), self.line())

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.function(module, name)

    def empty_list(self) -> None:
        self.lists += 1
        if self.lists > 1:
            raise ValueError("expected a row of arrays, but it holds lists")
        self.stack.append([])

    def since_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def mark_tuple(self) -> None:
        self.stack.append(tuple(self.since_mark()))

    def short_tuple(self, length: int) -> None:
        items = tuple(self.stack.pop() for _ in range(length))[::-1]
        if any(item is _MARK for item in items) or (length == 1 and not isinstance(items[0], (int, str, bytes))):
            raise ValueError(_DAMAGED)
        self.stack.append(items)

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError(_DAMAGED)
        self.stack[-1].extend(items)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if id(function) not in _STAND_INS or not isinstance(arguments, tuple):
            raise ValueError(_DAMAGED)
        self.stack.append(function(*arguments))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, (_Array, _Dtype)):
            raise ValueError(_DAMAGED)
        target.set(state)

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def get(self, key: int) -> None:
        self.stack.append(self.memo[key])


_STOP = ord(".")
#: Opcodes with their names in `pickletools`.
_OPCODES: dict[int, Callable[[_Pickle], Any]] = {
    0x80: lambda p: p.skip(1),  # PROTO
    0x95: lambda p: p.skip(8),  # FRAME
    ord("("): lambda p: p.push(_MARK),
    ord("N"): lambda p: p.push(None),
    0x88: lambda p: p.push(True),
    0x89: lambda p: p.push(False),
    ord("K"): lambda p: p.push(p.number(1)),  # BININT1
    ord("M"): lambda p: p.push(p.number(2)),  # BININT2
    ord("J"): lambda p: p.push(p.number(4, signed=True)),  # BININT
    0x8A: lambda p: p.push(int.from_bytes(p.take(min(p.number(1), 16)), "little", signed=True)),  # LONG1
    ord("G"): lambda p: p.push(struct.unpack(">d", p.take(8))[0]),  # BINFLOAT
    ord("U"): lambda p: p.push(p.take(p.number(1))),  # SHORT_BINSTRING
    ord("T"): lambda p: p.push(p.take(p.number(4))),  # BINSTRING
    ord("C"): lambda p: p.push(p.take(p.number(1))),  # SHORT_BINBYTES
    ord("B"): lambda p: p.push(p.take(p.number(4))),  # BINBYTES
    0x8C: lambda p: p.push(p.take(p.number(1)).decode()),  # SHORT_BINUNICODE
    ord("X"): lambda p: p.push(p.take(p.number(4)).decode("utf-8", "surrogatepass")),  # BINUNICODE
    ord("c"): _Pickle.global_name,
    0x93: _Pickle.stack_global,
    ord("]"): _Pickle.empty_list,
    ord("a"): lambda p: p.append([p.stack.pop()]),
    ord("e"): lambda p: p.append(p.since_mark()),
    ord(")"): lambda p: p.push(()),
    ord("t"): _Pickle.mark_tuple,
    0x85: lambda p: p.short_tuple(1),
    0x86: lambda p: p.short_tuple(2),
    0x87: lambda p: p.short_tuple(3),
    ord("R"): _Pickle.reduce,
    ord("b"): _Pickle.build,
    0x94: lambda p: p.put(len(p.memo)),  # MEMOIZE
    ord("q"): lambda p: p.put(p.number(1)),  # BINPUT
    ord("r"): lambda p: p.put(p.number(4)),  # LONG_BINPUT
    ord("h"): lambda p: p.get(p.number(1)),  # BINGET
    ord("j"): lambda p: p.get(p.number(4)),  # LONG_BINGET
}
