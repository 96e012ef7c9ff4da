"""Formats and files of sketches, against what a person can read off them."""

import json
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from aezoo import sketches

LINES = [np.array([[1.0, 1.0], [3.0, 1.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([[5.0, 5.0], [6.0, 7.0]])]
STROKE3 = [[1, 1, 0], [2, 0, 0], [0, 3, 1], [-3, -4, 1], [5, 5, 0], [1, 2, 1]]


def same_lines(a, b):
    assert [line.tolist() for line in a] == [line.tolist() for line in b]


# === Formats ===


def test_lines_to_stroke3_and_back():
    assert sketches.from_lines(LINES).tolist() == STROKE3
    same_lines(sketches.to_lines(STROKE3), LINES)


def test_stroke3_to_stroke5_and_back():
    x = sketches.stroke5([STROKE3, STROKE3[:1]], steps=7)
    assert x.shape == (2, 7, 5) and x.dtype == "float32"
    assert np.all(x[..., 2:].sum(axis=-1) == 1)
    assert x[0, 2].tolist() == [0, 3, 0, 1, 0] and x[1, 0].tolist() == [1, 1, 1, 0, 0]
    assert np.all(x[1, 1:] == [0, 0, 0, 0, 1])
    assert [sketch.tolist() for sketch in sketches.stroke3(x)] == [STROKE3, STROKE3[:1]]
    same_lines(sketches.to_lines(x[0]), LINES)


def test_the_longest_sketch_may_fill_the_array():
    x = sketches.stroke5([STROKE3])
    assert x.shape == (1, 6, 5) and not x[..., 4].any()
    assert sketches.stroke3(x)[0].tolist() == STROKE3


def test_offsets_divided_by_their_scale_have_variance_1():
    some = sketches.shapes(20)
    scale = sketches.offset_scale(some)
    offsets = np.concatenate([sketch[:, :2].ravel() for sketch in some]) / scale
    assert np.std(offsets) == pytest.approx(1, abs=1e-5)


def test_simplify_keeps_corners_ends_and_lifts():
    t = np.linspace(0, 1, 9)[:, None]
    corner = np.concatenate([t * [8, 0], [8, 0] + t[1:] * [0, 8]])
    dense = sketches.from_lines([corner, corner + 20])
    same_lines(sketches.to_lines(sketches.simplify(dense, 0.1)), [corner[[0, 8, 16]], corner[[0, 8, 16]] + 20])
    wavy = corner + np.random.default_rng(0).uniform(-0.05, 0.05, corner.shape)
    assert len(sketches.simplify(sketches.from_lines([wavy]), 0.2)) == 3
    closed = sketches.from_lines([[[0, 0], [4, 0], [4, 4], [0, 0]]])
    assert len(sketches.simplify(closed, 0.1)) == 4
    assert sketches.simplify([[1, 2, 1]], 0.1).tolist() == [[1, 2, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sketches.stroke5([]), "no sketches"),
        (lambda: sketches.stroke5([STROKE3, [[1, 2]]]), r"Sketch 1 has shape \(1, 2\)"),
        (lambda: sketches.stroke5([[[1, 2, 3]]]), "Sketch 0 has pen states"),
        (lambda: sketches.stroke5([STROKE3], steps=5), "6 points, more than steps=5"),
        (lambda: sketches.stroke3(np.zeros((2, 3))), r"\(2, 3\)"),
        (lambda: sketches.to_lines(np.zeros((2, 4))), r"\(2, 4\)"),
        (lambda: sketches.from_lines([]), "at least one line"),
        (lambda: sketches.from_lines([[[1, 2, 3]]]), r"Line 0 has shape \(1, 3\)"),
    ],
)
def test_what_is_no_sketch_is_an_error_that_says_which(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# === .npz ===


def write_npz(path, **splits):
    """As sketch-rnn's files were written: rows of arrays, pickled."""
    arrays = {}
    for name, some in splits.items():
        arrays[name] = np.empty(len(some), object)
        arrays[name][:] = [np.asarray(sketch) for sketch in some]
    np.savez_compressed(path, **arrays)


def test_npz(tmp_path):
    write_npz(tmp_path / "a.npz", train=[np.int16(STROKE3), np.int16(STROKE3[:2])], test=[np.float64(STROKE3)])
    splits = sketches.read_npz(tmp_path / "a.npz")
    assert set(splits) == {"train", "test"}
    assert [sketch.tolist() for sketch in splits["train"]] == [STROKE3, STROKE3[:2]]
    assert splits["test"][0].dtype == "float32"


def test_npz_of_python_2(tmp_path):
    """Its strings are bytes, to be read as latin-1."""
    array = np.empty(1, object)
    array[0] = np.int16(STROKE3)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("train.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
        file.write(pickle.dumps(array, protocol=2))
    assert sketches.read_npz(tmp_path / "a.npz")["train"][0].tolist() == STROKE3


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran code')",)


def test_npz_runs_no_code(tmp_path):
    array = np.empty(1, object)
    array[0] = Evil()
    np.savez(tmp_path / "evil.npz", train=array)
    with pytest.raises(ValueError, match=r"evil\.npz, train\.npy: it refers to builtins\.exec"):
        sketches.read_npz(tmp_path / "evil.npz")


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ([STROKE3, np.zeros((3, 4))], r"sketch 1 has shape \(3, 4\)"),
        ([STROKE3, [[1, 2, 5]]], "sketch 1 has numbers .* pen states"),
        ([[[np.nan, 2, 1]]], "sketch 0 has numbers that are not finite"),
    ],
)
def test_npz_with_something_else_in_it(some, message, tmp_path):
    write_npz(tmp_path / "a.npz", train=some)
    with pytest.raises(ValueError, match=message):
        sketches.read_npz(tmp_path / "a.npz")


def test_damaged_npz(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"not a \.npz file"):
        sketches.read_npz(path)
    np.savez(path, train=np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"expected a row of sketches, but it holds float64 of shape \(3, 4\)"):
        sketches.read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(ValueError, match=r"train\.npy"):
        sketches.read_npz(path)


# === .ndjson ===

DRAWING = {"word": "cat", "recognized": True, "drawing": [[[1, 3, 3], [1, 1, 4]], [[0], [0]], [[5, 6], [5, 7]]]}


def write_ndjson(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_ndjson(tmp_path):
    raw = {**DRAWING, "drawing": [[*stroke, [0] * len(stroke[0])] for stroke in DRAWING["drawing"]]}
    path = write_ndjson(tmp_path / "a.ndjson", DRAWING, "", {**DRAWING, "recognized": False}, raw)
    assert [sketch.tolist() for sketch in sketches.read_ndjson(path)] == [STROKE3] * 3
    assert len(sketches.read_ndjson(path, recognized=True)) == 2
    assert len(sketches.read_ndjson(path, limit=1)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not a QuickDraw drawing"),
        ("[1]", "line 2"),
        ({"word": "cat"}, "no 'drawing'"),
        ({"drawing": []}, "at least one line"),
        ({"drawing": [[[1, 2], [1]]]}, "2 numbers x and 1 numbers y"),
        ({"drawing": [[[1]]]}, "line 2"),
        ({"drawing": [[["a"], ["b"]]]}, "line 2"),
        ('{"drawing": [[[NaN], [1]]]}', "not finite"),
    ],
)
def test_ndjson_says_which_line_is_wrong(line, message, tmp_path):
    path = write_ndjson(tmp_path / "a.ndjson", DRAWING, line)
    with pytest.raises(ValueError, match=message) as error:
        sketches.read_ndjson(path)
    assert "a.ndjson, line 2" in str(error.value)


# === SVG ===


def test_svg_roundtrip(tmp_path):
    same_lines(sketches.to_lines(sketches.from_svg(sketches.to_svg(STROKE3))), LINES)
    with pytest.raises(ValueError, match="NaN or infinite"):
        sketches.to_svg([[np.nan, 0, 1]], tmp_path / "a.svg")
    text = sketches.to_svg(sketches.stroke5([STROKE3], steps=9)[0], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == text and text.startswith("<svg ")
    assert (
        sketches.from_svg(tmp_path / "a.svg").tolist() == sketches.from_svg(str(tmp_path / "a.svg")).tolist() == STROKE3
    )


@pytest.mark.parametrize(
    ("d", "lines"),
    [
        ("M1,1 L3,1 L3,4", [[[1, 1], [3, 1], [3, 4]]]),
        ("m1 1 2 0 0 3", [[[1, 1], [3, 1], [3, 4]]]),  # further pairs of m are l
        ("M1 1H3V4h-1v-2", [[[1, 1], [3, 1], [3, 4], [2, 4], [2, 2]]]),
        ("M0-1L.5.5", [[[0, -1], [0.5, 0.5]]]),  # numbers need no space between them
        ("M0 0L2 0L2 2Z", [[[0, 0], [2, 0], [2, 2], [0, 0]]]),
        ("m1 1l2 0l0 2z m1 1 l1 0", [[[1, 1], [3, 1], [3, 3], [1, 1]], [[2, 2], [3, 2]]]),
        ("M1 1l2 0z l0 5", [[[1, 1], [3, 1], [1, 1]], [[1, 1], [1, 6]]]),  # a line may go on after z
        ("M1e1 2E-1L10 1", [[[10, 0.2], [10, 1]]]),
    ],
)
def test_svg_commands(d, lines):
    got = sketches.to_lines(sketches.from_svg(d))
    assert len(got) == len(lines)
    for a, b in zip(got, lines, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("absolute", "relative", "curve"),
    [
        (
            "M1 1C1 3 5 3 5 1",
            "M1 1c0 2 4 2 4 0",
            lambda t: ((1 - t) ** 3 + 3 * (1 - t) ** 2 * t + 15 * (1 - t) * t**2 + 5 * t**3, 1 + 6 * t * (1 - t)),
        ),
        ("M1 1Q3 5 5 1", "M1 1q2 4 4 0", lambda t: (1 + 4 * t, 1 + 8 * t * (1 - t))),
    ],
)
def test_svg_curves_lie_on_the_curve(absolute, relative, curve):
    t = np.linspace(0, 1, 5)
    for d in (absolute, relative):
        (line,) = sketches.to_lines(sketches.from_svg(d, curve_points=4))
        np.testing.assert_allclose(line, np.stack(curve(t), axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("M1 1 A1 1 0 0 0 2 2", "the command 'A' is not supported"),
        ("M1 1 L2", "'L' needs 2 numbers"),
        ("L1 1", "starts with 'L', not with M"),
        ("1 1", "follows no command"),
        ("M1 1 Z 2 2", "follows no command"),
        ("M1 1 L#2 3", "at character 6"),
        ("<svg><path d='M1 1 X'/></svg>", "path 0: the command 'X'"),
        ("<svg><g transform='scale(2)'><path d='M1 1'/></g></svg>", "has a transform"),
        ("<svg></svg>", "no <path>"),
        ("<svg>", "is not XML"),
    ],
)
def test_svg_says_what_is_wrong_and_where(source, message):
    with pytest.raises(ValueError, match=message):
        sketches.from_svg(source)


# === Data ===


def test_load_takes_each_kind_of_file(tmp_path):
    some = sketches.shapes(20)
    write_npz(tmp_path / "a.npz", train=some[:16], valid=some[:1], test=some[16:])
    write_ndjson(tmp_path / "a.ndjson", *[DRAWING] * 20)
    (x, y), (x_test, y_test) = sketches.load(tmp_path / "a.npz")
    assert x.shape == (16, 33, 5) and x_test.shape == (4, 33, 5) and y is y_test is None
    np.testing.assert_allclose(x[0, :13, :2], some[0][:, :2] / sketches.offset_scale(some[:16]), rtol=1e-5)
    (x, _), (x_test, _) = sketches.load(tmp_path / "a.npz", max_points=10)
    assert x.shape == (8, 5, 5) and x_test.shape == (2, 5, 5)
    (x, _), (x_test, _) = sketches.load(str(tmp_path / "a.ndjson"))
    assert len(x) == 18 and len(x_test) == 2


def test_load_says_what_is_missing(tmp_path):
    write_npz(tmp_path / "a.npz", train=sketches.shapes(4))
    for name, options, message in (
        ("cats", {}, "give 'shapes', or a file"),
        (tmp_path / "a.npz", {}, "but it has train"),
        ("shapes", {"max_points": 3}, "0 training and 0 test sketches"),
    ):
        with pytest.raises(ValueError, match=message):
            sketches.load(name, **options)
    with pytest.raises(FileNotFoundError):
        sketches.load(tmp_path / "none.npz")


def test_an_svg_on_a_full_disk_is_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    sketches.to_svg([[1, 1, 0], [2, 0, 1]], path)
    old, write_text = path.read_text(), pathlib.Path.write_text

    def full(path, text, **kwargs):
        write_text(path, text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        sketches.to_svg([[5, 5, 0]], path)
    assert path.read_text() == old and [each.name for each in tmp_path.iterdir()] == ["a.svg"]
