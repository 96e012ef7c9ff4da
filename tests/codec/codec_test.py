"""Integer codes to bytes and back: exactly, in few bits, and never from bad bytes."""

import json
import sys
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aezoo.codec import Codec, Table, from_counts, tables
from aezoo.codec.container import Container, read_varints, varints
from aezoo.codec.table import TOTAL

RNG = np.random.default_rng(0)
CODES = np.rint(RNG.normal([0, 3, -40], [0.3, 2, 15], (40, 3))).astype("int64")
CODES[0] = [2000, 3, -(2**31) + 1]  # escapes


def logistic(mean, scale):
    mean, scale = np.array(mean), np.array(scale)
    return lambda y: 1 / (1 + np.exp(-np.clip((y - mean) / scale, -500, 500)))


CODEC = Codec(tables(logistic([0.1, 3.0, -40.0], [0.1, 1.2, 8.0]), 3), (3,), values=49, model=b"model 01")
DATA = CODEC.encode(CODES)


def checked(body):
    """Bytes with the checksum that they should have."""
    return body + zlib.crc32(body).to_bytes(4, "little")


# === Tables ===


def test_tables_are_the_probabilities_as_integers():
    cumulative = logistic([0.2, -1000.0, 70.3], [0.001, 5.0, 40.0])
    made = tables(cumulative, 3)
    for channel, table in enumerate(made):
        k = table.low + np.arange(table.escape)
        grid = np.stack([k] * 3, axis=1)
        p = (cumulative(grid + 0.5) - cumulative(grid - 0.5))[:, channel]
        # Rounded to a frequency, of which each integer is given 1 beforehand.
        assert np.abs(table.frequencies[:-1] / TOTAL - p).max() < (len(p) + 2) / TOTAL
        assert table.frequencies.sum() == TOTAL and table.frequencies.min() >= 1
        assert table.frequencies[-1] < 5e-5 * TOTAL
        likely = p > 1e-3
        np.testing.assert_allclose(table.bits()[:-1][likely], -np.log2(p[likely]), atol=0.01)
    assert made[0].frequencies.argmax() + made[0].low == 0
    assert made[1].frequencies.argmax() + made[1].low == -1000
    assert (made[0].escape, made[2].escape > 500) == (1, True)


def test_a_table_of_a_density_without_end_is_finite():
    (table,) = tables(logistic([0.0], [1e5]), 1)
    assert table.escape == 4095
    codes = np.array([[0], [2047], [-2047], [2048], [-2048], [10**6]])
    codec = Codec((table,), (1,), 1)
    np.testing.assert_array_equal(codec.decode(codec.encode(codes))[0], codes)


def test_a_density_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="NaN: the training diverged"):
        tables(lambda y: np.full_like(y, np.nan), 2)


@pytest.mark.parametrize("p", [[0.5, -0.1], [0.5, 0.6], [np.nan]])
def test_bad_probabilities(p):
    with pytest.raises(ValueError, match="at least 0 and sum to at most 1"):
        Table.of(p, 0)


def test_a_table_that_does_not_sum_up_is_refused():
    with pytest.raises(ValueError, match="sum to"):
        Table(0, np.array([1, 2]))


# === There and back ===


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40])
def test_codes_come_back(n):
    codes, picture = CODEC.decode(CODEC.encode(CODES[:n], (5, 7)))
    np.testing.assert_array_equal(codes, CODES[:n])
    assert codes.dtype == np.int32 and picture == (5, 7)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=30))
def test_any_integers_come_back(values):
    codes = np.array(values)[:, None].repeat(3, axis=1)
    np.testing.assert_array_equal(CODEC.decode(CODEC.encode(codes))[0], codes)


def test_codes_with_space_come_back():
    codec = Codec(CODEC.tables, (None, None, 3), values=64)
    for shape in ((1, 2, 5, 3), (3, 1, 1, 3)):
        codes = np.rint(RNG.normal(0, 2, shape)).astype("float32")
        decoded = codec.decode(codec.encode(codes))[0]
        np.testing.assert_array_equal(decoded, codes)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 400, 20_000])
def test_the_length_is_within_5_percent_and_8_bits_of_the_entropy(n):
    rng = np.random.default_rng(n)
    codes = np.stack(
        [
            rng.choice(table.escape, n, p=table.frequencies[:-1] / table.frequencies[:-1].sum())
            for table in CODEC.tables
        ],
        axis=1,
    )
    entropy = sum(table.bits()[column].sum() for table, column in zip(CODEC.tables, codes.T, strict=True))
    data = CODEC.encode(codes + [table.low for table in CODEC.tables])
    container = Container.from_bytes(data)
    assert container.escapes == b""
    assert 8 * len(container.payload) <= 1.05 * entropy + 8
    assert len(data) - len(container.payload) <= 26


def test_tables_of_counts_code_what_was_counted_in_its_entropy():
    codec = Codec(from_counts(CODES[1:].T), (3,), 1)
    codes = CODES[1:].repeat(50, axis=0)
    entropy = 0
    for column in codes.T:
        _, counts = np.unique(column, return_counts=True)
        entropy -= (counts * np.log2(counts / len(column))).sum()
    payload = Container.from_bytes(codec.encode(codes)).payload
    assert entropy < 8 * len(payload) < 1.4 * entropy  # half a count for each integer between is much of 39


def test_the_same_codes_give_the_same_bytes():
    assert CODEC.encode(CODES) == DATA
    again = Codec(tables(logistic([0.1, 3.0, -40.0], [0.1, 1.2, 8.0]), 3), (3,), values=49, model=b"model 01")
    assert again.encode(CODES) == DATA


# Written on 2026-11-30, before codecs of a hyperprior: samples, and tiles of a picture of 8 x 10.
STORED = {
    (): "41455a0167a03946ff87b7b10501020003036e6ebec20119602243f9",
    (8, 10): "41455a0167a03946ff87b7b105010202080a03036e6ebec20119f9deb042",
}


@pytest.mark.parametrize("picture", STORED)
def test_stored_containers_decode(picture):
    counted = np.array([[0, 0, 1, -1, 0, 2], [5, 5, 4, 5, 6, 5]])
    codec = Codec(from_counts(counted), (2,), values=16, model=b"model 01")
    codes, found = codec.decode(bytes.fromhex(STORED[picture]))
    np.testing.assert_array_equal(codes, [[0, 5], [1, 5], [-1, 4], [100, -9], [2, 6]])
    assert found == picture and codec.encode(codes, picture).hex() == STORED[picture]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (CODES[:0], "no samples"),
        (CODES[:, :2], "have shape"),
        (CODES + 0.5, "whole numbers"),
        (np.full((1, 3), np.nan), "NaN or too large"),
        (np.full((1, 3), np.inf), "NaN or too large"),
        (np.full((1, 3), 2.0**31), "NaN or too large"),
        (np.full((1, 3), -(2**31), "int32"), "NaN or too large"),
    ],
)
def test_codes_that_cannot_be_written(codes, message):
    with pytest.raises(ValueError, match=message):
        CODEC.encode(codes)


def test_varints():
    values = np.array([0, 1, 127, 128, 300, 2**21, 2**32 - 1], "uint64")
    np.testing.assert_array_equal(read_varints(varints(values), len(values)), values)
    assert varints(np.array([300], "uint64")) == b"\xac\x02"  # the example of the protocol buffers' documentation
    for data, count in ((b"\x80", 1), (b"\x01\x80", 1), (b"", 1), (b"\x01", 0), (b"\xff" * 6 + b"\x01", 1)):
        with pytest.raises(ValueError, match="escape"):
            read_varints(data, count)


# === Bad bytes ===


def test_every_bit_flip_is_noticed():
    for position in range(8 * len(DATA)):
        damaged = bytearray(DATA)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(ValueError):
            CODEC.decode(bytes(damaged))


def test_every_truncation_and_addition_is_noticed():
    for length in range(len(DATA)):
        with pytest.raises(ValueError):
            CODEC.decode(DATA[:length])
    with pytest.raises(ValueError, match="damaged"):
        CODEC.decode(DATA + b"\x00")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes were not written by compress"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not written by compress"),
        (b"AEZ", "too few"),
        (DATA[:-1], "checksum"),
        (checked(DATA[:3] + b"\x02" + DATA[4:-4]), "format version 2, but this aezoo reads version 1"),
        (DATA[:3] + b"\x63" + DATA[4:], "format version 99"),
        ("AEZ", "not str"),
        (None, "not NoneType"),
    ],
)
def test_what_was_not_written_by_compress(data, message):
    with pytest.raises(ValueError, match=message):
        CODEC.decode(data)


@pytest.mark.parametrize(
    "other",
    [
        Codec(CODEC.tables, (3,), 49, b"model 02"),
        Codec(CODEC.tables, (3,), 50, b"model 01"),
        Codec(CODEC.tables[::-1], (3,), 49, b"model 01"),
    ],
)
def test_bytes_of_another_model(other):
    with pytest.raises(ValueError, match=r"from another model .*: load the model that compressed them"):
        other.decode(DATA)


def hostile(samples=40, code_shape=(3,), picture=(), payload=b"", escapes=b"", model=CODEC):
    return Container(model.fingerprint, samples, code_shape, picture, payload, escapes).to_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (hostile(samples=2**39), "more than the limit"),
        (hostile(samples=10**6, payload=bytes(10)), "too short for their codes"),
        (hostile(samples=0), "sizes contradict"),
        (hostile(samples=2**41), "number in their header"),
        (hostile(code_shape=(4,)), "have shape"),
        (hostile(code_shape=(2, 2, 3)), "have shape"),
        (hostile(code_shape=(2, 2, 2, 2, 3)), "a shape of 5 sizes"),
        (hostile(escapes=bytes(7)), "too short|escape"),
        (checked(DATA[:12]), "number in their header has no end"),
        (checked(DATA[:12] + b"\xff" * 50), "number in their header has no end"),
    ],
)
def test_lengths_that_lie_with_a_checksum_that_fits(data, message):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message):
        CODEC.decode(data)
    assert time.perf_counter() - start < 1.0


def test_a_code_that_costs_nothing_is_held_by_the_limit():
    codec = Codec((Table.of([1.0], 0),), (1,), values=784)
    data = hostile(samples=10**9, code_shape=(1,), payload=b"", model=codec)
    with pytest.raises(ValueError, match="784,000,000,000 values, more than the limit"):
        codec.decode(data)
    small = hostile(samples=100, code_shape=(1,), model=codec)
    with pytest.raises(ValueError, match="higher limit"):
        codec.decode(small, limit=100 * 784 - 1)
    assert codec.decode(small, limit=100 * 784)[0].shape == (100, 1)


def test_codes_count_where_they_are_more_than_the_image():
    """25 bytes that claim 2²⁷ codes, which took 2.8 GB and 36 s."""
    codec = Codec((Table.of([1.0], 0),), (1,), values=1)
    data = hostile(samples=2**27, code_shape=(1,), model=codec)
    assert len(data) == 25
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ValueError, match="claim 536,870,912 values, more than the limit of 134,217,728"):
        codec.decode(data)
    assert time.perf_counter() - start < 1.0
    # What is within a limit takes no more than its values as float32.
    codec.decode(hostile(samples=2**18, code_shape=(1,), model=codec), limit=2**20)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20 + 2**18
    tracemalloc.stop()


MUTATION = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, len(DATA)), st.integers(0, len(DATA))),
    st.tuples(st.just("set"), st.integers(0, len(DATA) - 1), st.integers(0, 255)),
    st.tuples(st.just("insert"), st.integers(0, len(DATA)), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("end"), st.integers(0, len(DATA)), st.binary(max_size=40)),
)


def mutated(data, mutations):
    for kind, at, what in mutations:
        if kind == "cut":
            data = data[: min(at, what)] + data[max(at, what) :]
        elif kind == "set":
            data = data[:at] + bytes([what]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        else:
            data = data[:at] + what
    return data


def fuzz(examples):
    """Return a decorator that calls a test with mutations."""
    options = {"derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}

    def decorate(test):
        return settings(max_examples=examples, deadline=2000, **options)(
            given(st.lists(MUTATION, min_size=1, max_size=4))(test)
        )

    return decorate


many = pytest.mark.parametrize("examples", [500, pytest.param(2500, marks=pytest.mark.slow)])


@many
def test_damaged_bytes_are_never_decoded(examples):
    @fuzz(examples)
    def test(mutations):
        damaged = mutated(DATA, mutations)
        if damaged == DATA:
            return
        with pytest.raises(ValueError):
            CODEC.decode(damaged)

    test()


@many
def test_forged_bytes_raise_an_error_or_give_codes(examples):
    """With magic, version, fingerprint and checksum mended, so that all that follows is reached."""

    @fuzz(examples)
    def test(mutations):
        body = mutated(DATA[:-4], mutations)
        forged = checked(DATA[:12] + body[12:])
        try:
            codes, _ = CODEC.decode(forged, limit=10**6)
        except ValueError as error:
            assert "\n" not in str(error)
        else:
            assert codes.dtype == np.int32 and 49 * len(codes) <= 10**6

    test()


# === Beside a SavedModel ===


def test_a_codec_is_saved_as_it_is(tmp_path):
    CODEC.save(tmp_path / "codec.json")
    loaded = Codec.load(tmp_path / "codec.json")
    assert loaded.fingerprint == CODEC.fingerprint
    np.testing.assert_array_equal(loaded.decode(DATA)[0], CODES)
    text = (tmp_path / "codec.json").read_text()
    (tmp_path / "codec.json").write_text(text.replace('"values": 49', '"values": 50'))
    with pytest.raises(ValueError, match="damaged"):
        Codec.load(tmp_path / "codec.json")
    (tmp_path / "codec.json").write_text(text.replace('"format": 1', '"format": 7'))
    with pytest.raises(ValueError, match="format version 7"):
        Codec.load(tmp_path / "codec.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: [],
        lambda c: {**c, "tables": None},
        lambda c: {**c, "tables": [{"low": 10**30, "frequencies": [2**22]}]},
        lambda c: {**c, "tables": [{"low": 0, "frequencies": [2**62, 2**62, 2**62, 2**62, 2**22]}] * 3},
        lambda c: {**c, "tables": [{"low": 0, "frequencies": [[1]]}]},
        lambda c: {**c, "tables": [{"low": 0, "frequencies": [10**30]}]},
        lambda c: {**c, "tables": c["tables"][:2]},
        lambda c: {**c, "code_shape": [-3]},
        lambda c: {**c, "code_shape": 3},
        lambda c: {**c, "values": "49"},
        lambda c: {**c, "values": 0},
        lambda c: {**c, "model": "no hex"},
        lambda c: {name: value for name, value in c.items() if name != "fingerprint"},
    ],
)
def test_a_damaged_codec_is_named(change, tmp_path):
    path = tmp_path / "codec.json"
    CODEC.save(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"codec\.json (is damaged|has format version None)"):
        Codec.load(path)
    path.write_text("[" * 10**5)
    with pytest.raises(ValueError, match=r"codec\.json is damaged"):
        Codec.load(path)


def test_without_constriction_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    for call in (lambda: CODEC.encode(CODES), lambda: CODEC.decode(DATA)):
        with pytest.raises(ImportError, match=r"pip install 'aezoo\[compression\]'"):
            call()


def test_as_many_tables_as_channels():
    with pytest.raises(ValueError, match="need one table per channel, the last axis, not 3"):
        Codec(CODEC.tables, (4,), 1)
