"""The codec of a hyperprior: whole numbers on every machine, nothing lost, close to the entropy."""

import json

import numpy as np
import pytest
import scipy.stats

from aezoo.codec import Codec, HyperCodec, IntegerLayer, IntegerNetwork, from_counts
from aezoo.codec.container import Container
from aezoo.codec.hyper import SCALES, gaussian_tables, probabilities
from aezoo.codec.table import TOTAL, Table

RNG = np.random.default_rng(0)
SHAPES = [((5, 5, 2, 4), True), ((5, 5, 4, 4), True), ((3, 3, 4, 3), False)]
LAYERS = [(RNG.normal(0, 0.3, shape).astype("float32"), RNG.normal(0, 0.5, shape[3:]), up) for shape, up in SHAPES]
NETWORK = IntegerNetwork(tuple(IntegerLayer.of(*layer) for layer in LAYERS))
SIDE = np.rint(RNG.normal(0, 2, (2, 2, 3, 2))).astype("int64")
TABLES = from_counts(SIDE.reshape(-1, 2).T)


def codes_of(side, scale=1.0):
    """Codes with the distribution that the network predicts, times a factor."""
    n, h, w, _ = side.shape
    y = RNG.normal(0, scale * np.array(SCALES)[NETWORK.levels(side)])
    y = y.reshape(n, h, 4, w, 4, 3).swapaxes(2, 3).reshape(n, h, w, 48)
    return np.concatenate([np.rint(y).astype("int64"), side], axis=-1)


CODEC = HyperCodec(TABLES, (None, None, 50), values=256, model=b"model 01", network=NETWORK)
CODES = codes_of(SIDE)
CODES[0, 0, 0, 0], CODES[0, 0, 0, 49] = 10**9, -(10**9)  # escapes, of y and of the side information
DATA = CODEC.encode(CODES)


class Loops(IntegerNetwork):
    """The network in Python's unlimited whole numbers, one output after the other."""

    def log_scales(self, side):
        x = [[[min(max(int(v), -(2**18)), 2**18) * 4096 for v in place] for place in row] for row in side]
        for number, layer in enumerate(self.layers):
            size, inputs, outputs = layer.kernel.shape[1:]
            kernel, bias = layer.kernel.tolist(), layer.bias.tolist()
            h, w = len(x), len(x[0])
            up = 2 if layer.doubles else 1
            y = [[[bias[c] for c in range(outputs)] for _ in range(up * w)] for _ in range(up * h)]
            for row, column in np.ndindex(h, w):
                for i, j in np.ndindex(size, size):
                    # A transposed convolution spreads an input over the outputs; a convolution gathers them.
                    p = up * row + i - (size - 2) // 2 if layer.doubles else row + size // 2 - i
                    q = up * column + j - (size - 2) // 2 if layer.doubles else column + size // 2 - j
                    if 0 <= p < up * h and 0 <= q < up * w:
                        for c in range(outputs):
                            y[p][q][c] += sum(x[row][column][k] * kernel[i][j][k][c] for k in range(inputs))
            x = [[[self.rounded(v, layer.shift, number) for v in place] for place in row] for row in y]
        return np.array(x)

    def rounded(self, value, shift, number):
        value = min(max((value + 2 ** (shift - 1)) // 2**shift, -(2**30)), 2**30)
        return max(value, 0) if number < len(self.layers) - 1 else value


def test_the_network_is_that_of_unlimited_whole_numbers_in_any_order():
    for side in (SIDE, SIDE * 10**8):
        for each in side:
            np.testing.assert_array_equal(NETWORK.log_scales(each), Loops(NETWORK.layers).log_scales(each))


def test_bytes_decode_with_the_independent_network():
    other = HyperCodec(TABLES, (None, None, 50), values=256, model=b"model 01", network=Loops(NETWORK.layers))
    for codes in (CODES, codes_of(SIDE, 3.0)):
        data = CODEC.encode(codes)
        assert other.encode(codes) == data
        np.testing.assert_array_equal(CODEC.decode(data)[0], codes)
        np.testing.assert_array_equal(other.decode(data)[0], codes)


def test_a_wrong_scale_is_noticed_by_the_codes():
    """Bytes that were coded with one level more decode to other codes: the levels do choose the tables."""

    class Off(IntegerNetwork):
        def levels(self, side):
            return np.minimum(super().levels(side) + 1, 63)

    off = HyperCodec(TABLES, (None, None, 50), values=256, model=b"model 01", network=Off(NETWORK.layers))
    codes = codes_of(SIDE)
    data = CODEC.encode(codes)
    try:
        decoded = off.decode(data)[0]
    except ValueError:
        return
    assert (decoded != codes).any()


def test_tables_are_gaussian_and_no_entry_is_near_a_rounding_edge():
    for scale, table in zip(SCALES, gaussian_tables(), strict=True):
        k = table.low + np.arange(table.escape)
        p = scipy.stats.norm.cdf((0.5 - np.abs(k)) / scale) - scipy.stats.norm.cdf((-0.5 - np.abs(k)) / scale)
        assert np.abs(table.frequencies[:-1] / TOTAL - p).max() < (len(k) + 2) / TOTAL
        assert table.low == -k[-1] and p.sum() > 1 - 4e-5
        exact = np.cumsum(probabilities(scale)[0]) * (TOTAL - len(k) - 1)
        # Machines whose erfc differs by as much as 10⁻¹⁴ have the same table.
        assert np.abs(exact % 1 - 0.5).min() > 1e-6
    assert (SCALES[0], round(SCALES[-1], 6), len(SCALES)) == (pytest.approx(0.11), 256, 64)


def test_the_length_is_close_to_the_entropy_of_the_predicted_distribution():
    side = np.rint(RNG.normal(0, 2, (3, 8, 8, 2))).astype("int64")
    codes = codes_of(side)
    levels = NETWORK.levels(side)
    y = codes[..., :48].reshape(3, 8, 8, 4, 4, 3).swapaxes(2, 3).reshape(levels.shape)
    scale = np.array(SCALES)[levels]
    mass = scipy.stats.norm.cdf((0.5 - np.abs(y)) / scale) - scipy.stats.norm.cdf((-0.5 - np.abs(y)) / scale)
    counted = sum(
        table.bits()[np.clip(column - table.low, 0, table.escape)].sum()
        for table, column in zip(TABLES, side.reshape(-1, 2).T, strict=True)
    )
    entropy = -np.log2(mass).sum() + counted
    container = Container.from_bytes(CODEC.encode(codes))
    length = 8 * (len(container.payload) + len(container.escapes))
    assert 0.98 * entropy - 64 < length < 1.02 * entropy + 64


def test_weights_are_rounded_to_powers_of_two_and_refused_if_not_finite():
    for (kernel, bias, _), layer in zip(LAYERS, NETWORK.layers, strict=True):
        assert np.abs(layer.kernel / 2.0**layer.shift - kernel).max() <= 2.0 ** -(layer.shift + 1)
        assert np.abs(layer.bias / 2.0 ** (layer.shift + 12) - bias).max() < 1e-6
        assert 2**14 <= np.abs(layer.kernel).max() <= 2**15
    with pytest.raises(ValueError, match="training diverged"):
        IntegerLayer.of(np.full((3, 3, 1, 1), np.nan), np.zeros(1), False)
    huge = IntegerLayer.of(np.full((3, 3, 64, 1), 1e30), np.full(1, -1e30), False)  # bounded, so that no sum overflows
    assert huge(np.full((2, 2, 64), 2**30)).shape == (2, 2, 1)
    with pytest.raises(ValueError, match="at least 2 x 2"):
        IntegerLayer.of(np.ones((1, 1, 1, 1)), np.zeros(1), doubles=True)
    for layers in ((), NETWORK.layers[::-1]):
        with pytest.raises(ValueError, match="Each layer of an integer network"):
            IntegerNetwork(layers)
    with pytest.raises(ValueError, match="do not fit"):
        HyperCodec(TABLES, (None, None, 49), 256, network=NETWORK)


def test_it_is_saved_and_damaged_files_are_named(tmp_path):
    path = tmp_path / "codec.json"
    CODEC.save(path)
    loaded = Codec.load(path)
    assert isinstance(loaded, HyperCodec) and loaded.fingerprint == CODEC.fingerprint
    np.testing.assert_array_equal(loaded.decode(DATA)[0], CODES)
    content = json.loads(path.read_text())
    layer = content["network"][0]
    for change in (
        {"network": []},
        {"network": [{**layer, "kernel": [[1.5]]}]},
        {"network": [{**layer, "shift": 10**9}, *content["network"][1:]]},
        {"network": [{**layer, "bias": [2**62] * 4}, *content["network"][1:]]},
        {"network": [{**layer, "bias": [1, 0, 0, 0]}, *content["network"][1:]]},
        {"kind": "another"},
    ):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(ValueError, match=r"codec\.json is damaged"):
            Codec.load(path)


def test_bytes_of_another_network_and_damaged_bytes_are_refused():
    other = IntegerNetwork((*NETWORK.layers[:2], IntegerLayer.of(LAYERS[2][0] * 1.01, LAYERS[2][1], False)))
    with pytest.raises(ValueError, match="come from another model"):
        HyperCodec(TABLES, (None, None, 50), values=256, model=b"model 01", network=other).decode(DATA)
    container = Container.from_bytes(DATA)
    for escapes in (b"", container.escapes[:-1], container.escapes + b"\x01"):
        changed = Container(container.fingerprint, 2, (2, 3, 50), (), container.payload, escapes)
        with pytest.raises(ValueError, match="damaged"):
            CODEC.decode(changed.to_bytes())
    with pytest.raises(ValueError, match="more than the limit"):
        CODEC.decode(DATA, limit=100)
    huge = Container(container.fingerprint, 2**30, (2, 3, 50), (), b"", b"")
    with pytest.raises(ValueError, match="more than the limit"):
        CODEC.decode(huge.to_bytes())


def test_samples_share_the_memory_of_the_network():
    assert CODEC.needed(100 * 6, 100) < 100 * CODEC.needed(6)


def test_a_codec_of_ones_own_leaves_the_kinds_of_files_alone(tmp_path):
    class Own(Codec):
        """A codec without a kind of its own."""

    plain = Own(TABLES, (2,), 16)
    plain.save(tmp_path / "codec.json")
    assert type(Codec.load(tmp_path / "codec.json")) is Codec


def test_rounding_of_another_machine_changes_no_table():
    for scale in SCALES:
        found, low = probabilities(scale)
        frequencies = Table.of(found, low).frequencies
        for factor in (1 - 1e-13, 1 + 1e-13):
            np.testing.assert_array_equal(Table.of(found * factor, low).frequencies, frequencies)
