"""Files that anyone may have written: no code runs, limits hold before work, damage is one error that names the file.

A longer run of the fuzzing: `AEZOO_FUZZ=20000 python -m pytest -n0 tests/hostile_test.py -k fuzz`.
"""

import contextlib
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aezoo
from aezoo import _untrusted, sketches
from aezoo.cli import program
from aezoo.recipes import cards
from aezoo.saving import loading, presets

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = int(os.environ.get("AEZOO_FUZZ", "400"))
STROKE3 = np.int16([[1, 1, 0], [2, 0, 0], [0, 3, 1]])


def fuzz(share=1.0):
    return settings(
        max_examples=max(10, int(EXAMPLES * share)),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused(message):
    """What is done within raises a `ValueError` of one line, and takes less than 32 MiB, as Python counts them."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as error:
            yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**25 and str(error.value).isprintable()


# === .npz ===


def header(shape, descr="|O", fortran=False):
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("train.npy", content)
    return path


def rows(some):
    array = np.empty(len(some), object)
    array[:] = some
    return array


SOME = rows([STROKE3, STROKE3[:2].astype("float64"), STROKE3[::-1].astype("int8")[[0, 2]], STROKE3[:1].astype(">i4")])
FILES = [header((4,)) + pickle.dumps(SOME, protocol) for protocol in (2, 3, 4)]


@pytest.mark.parametrize("data", FILES, ids=["protocol 2", "protocol 3", "protocol 4"])
def test_npz_is_read_as_numpy_reads_it(data, tmp_path):
    read = sketches.read_npz(npz(tmp_path / "a.npz", data))["train"]
    for got, expected in zip(read, SOME, strict=True):
        assert got.dtype == "float32"
        np.testing.assert_array_equal(got, expected)


def test_npz_in_the_order_of_fortran(tmp_path):
    data = header((1,)) + pickle.dumps(rows([np.asfortranarray(STROKE3)]), 2)
    np.testing.assert_array_equal(sketches.read_npz(npz(tmp_path / "a.npz", data))["train"][0], STROKE3)


def test_sketches_of_equal_length(tmp_path):
    """NumPy makes of them one array of three axes, of numbers or of objects."""
    equal = [STROKE3, STROKE3[::-1][[0, 1, 2]] * [1, 1, 0] + [0, 0, 1]]
    np.savez(tmp_path / "a.npz", train=np.array(equal), valid=np.array(equal, object), test=rows(equal))
    for read in sketches.read_npz(tmp_path / "a.npz").values():
        np.testing.assert_array_equal(np.stack(read), equal)
        assert read[0].dtype == "float32"


def op(*parts):
    """A pickle of protocol 2 in the place of an array of objects."""
    return header((1,)) + b"\x80\x02" + b"".join(parts) + b"."


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nX\x02\x00\x00\x00i2K\x00K\x01\x87R"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (op(b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R"), r"it refers to os\.system, which no array of sketches needs"),
        (op(b"cnumpy\nload\n"), r"it refers to numpy\.load"),
        (op(b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00bogus\x86R"), "damaged"),
        (op(b"c_codecs\ndecode\n"), "it refers to _codecs.decode"),
        (op(b"N", b"r\xff\xff\xff\x7f"), "does not contain an array of the shape"),  # a memo of 2³¹ places
        (op(b"X\xff\xff\xff\x7f"), "too early"),
        (op(RECONSTRUCT, RECONSTRUCT, b"b"), "damaged"),
        (op(RECONSTRUCT, b"(K\x01K\x01\x85", DTYPE, b"\x89C\x02ab", b"tb"), "does not contain an array of the shape"),
        (op(b"(" * 5000), "damaged"),
        (op(b")" + b"\x85" * 5000), "damaged"),
        (op(b"}"), "that no array of sketches needs"),
        (header((2,)) + pickle.dumps(rows([STROKE3]), 2), "not contain an array of the shape in its header"),
        (header((10**12,), "<i2"), "expected a row of sketches, but it holds int16"),
        (header((10**6, 10**6, 3), "<f8"), r"shape \(1000000, 1000000, 3\) float64 has 0 bytes"),
        (header((1, 1, 3), "<i2") + bytes(5), "has 5 bytes"),
        (header((1,), "|O")[:-9], "it has no NumPy header"),
        (b"\x93NUMPY\x01\x00\xff\xff", "it has no NumPy header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "it has no NumPy header"),
        (header((1,), [("a", "O")]), "it has no NumPy header"),
        (header("(" * 1000), "it has no NumPy header"),
        (header((1,)) + pickle.dumps(rows([SOME]), 2), "holds (lists|O)"),
        (header((1,)) + pickle.dumps(rows([[[1, 2, 1]]]), 2), "holds lists"),
        (header((1,)) + pickle.dumps(rows([np.array(["a"])]), 2), "holds [<|]U1"),
        (header((1,)) + pickle.dumps(rows([np.zeros(2, "i2,i2")]), 2), "that no array of sketches needs"),
        (header((1,)) + pickle.dumps(rows([{}]), 2), "that no array of sketches needs"),
    ],
)
def test_npz_that_is_no_row_of_arrays(data, message, tmp_path):
    path = npz(tmp_path / "a.npz", data)
    with refused(rf"a\.npz, train\.npy: .*{message}"):
        sketches.read_npz(path)


def test_one_array_many_times_is_no_more_than_the_file(tmp_path):
    same = np.zeros((5000, 3), "int8")
    data = header((1000,)) + pickle.dumps(rows([same] * 1000), 4)
    path = npz(tmp_path / "a.npz", data)
    with refused("more numbers than it has bytes"):
        sketches.read_npz(path)
    few = header((9,)) + pickle.dumps(rows([STROKE3] * 9), 4)
    assert len(sketches.read_npz(npz(tmp_path / "a.npz", few))["train"]) == 9


@pytest.mark.parametrize("kind", ["bomb", "lzma", "cut", "checksum", "encrypted"])
def test_zip_that_is_damaged_or_too_large(kind, tmp_path):
    path = tmp_path / "a.npz"
    if kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("train.npy", "w") as file:
            for _ in range(64):
                file.write(bytes(2**20))
    else:
        npz(path, FILES[0], zipfile.ZIP_LZMA if kind == "lzma" else zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[:-30]
    elif kind == "checksum":
        data[60] ^= 1
    elif kind == "encrypted":
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with refused(r"a\.npz is damaged, or not a \.npz file: .*\.$"):
        sketches.read_npz(path)


POSITION = st.integers(0, 10**6)
MUTATION = st.one_of(
    st.tuples(st.just("set"), POSITION, st.integers(0, 255)),
    st.tuples(st.just("flip"), POSITION, st.integers(0, 7)),
    st.tuples(st.just("cut"), POSITION, st.integers(1, 20)),
    st.tuples(st.just("insert"), POSITION, st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("copy"), POSITION, POSITION),
)


def mutated(data, mutations):
    data = bytearray(data)
    for kind, at, what in mutations:
        at %= len(data) or 1
        if kind == "set" and data:
            data[at] = what
        elif kind == "flip" and data:
            data[at] ^= 1 << what
        elif kind == "cut":
            del data[at : at + what]
        elif kind == "insert":
            data[at:at] = what
        elif kind == "copy":
            data[at:at] = data[what % (len(data) or 1) :][:30]
    return bytes(data)


def read_or_refused(read, path):
    """A file gives finite sketches, or one error of one line that names it."""
    try:
        found = read(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error), error
        return
    for sketch in found.get("train", ()) if isinstance(found, dict) else found:
        assert sketch.dtype == "float32" and sketch.ndim == 2 and sketch.shape[1] == 3 and np.isfinite(sketch).all()


@pytest.mark.slow
@fuzz(2)
@given(st.sampled_from(FILES), st.lists(MUTATION, min_size=1, max_size=4))
def test_fuzz_npz(tmp_path_factory, data, mutations):
    folder = tmp_path_factory.getbasetemp()
    read_or_refused(sketches.read_npz, npz(folder / "fuzz.npz", mutated(data, mutations)))


OPCODES = b"()]aeRbhjqr\x94\x85\x86\x87t\x88\x89NKMJUTCBX\x8c\x93c\x95\x80\x8aG.}l\x90d0:12IFSV\x81\x82\x8d\x8e\x96"


PARTS = [RECONSTRUCT, DTYPE, b"(K\x01K\x01K\x03\x86", b"\x89C\x06abcdef", b"tb", b"K\x01\x85", b"h\x00"]


@pytest.mark.slow
@fuzz(2)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([bytes([code]) for code in OPCODES]),
            st.sampled_from(
                [RECONSTRUCT, DTYPE, b"(K\x01K\x01K\x03\x86", b"\x89C\x06abcdef", b"tb", b"K\x01\x85", b"h\x00"]
            ),
            st.binary(max_size=3),
        ),
        max_size=30,
    )
)
def test_fuzz_pickles(tmp_path_factory, parts):
    folder = tmp_path_factory.getbasetemp()
    read_or_refused(sketches.read_npz, npz(folder / "fuzz.npz", op(*parts)))


@fuzz(1)
@given(st.lists(MUTATION, min_size=1, max_size=3))
def test_fuzz_zip(tmp_path_factory, mutations):
    path = npz(tmp_path_factory.getbasetemp() / "fuzz.npz", FILES[2], zipfile.ZIP_DEFLATED)
    path.write_bytes(mutated(path.read_bytes(), mutations))
    read_or_refused(sketches.read_npz, path)


# === Text ===

LINE = b'{"word": "cat", "drawing": [[[1, 3, 3], [1, 1, 4]], [[0], [0]]]}\n'


@pytest.mark.parametrize(
    "line",
    [
        b'{"drawing": [[[1e300], [1]]]}',
        b'{"drawing": [[[1e39], [1]]]}',
        b'{"drawing": [[[-3e38, 3e38], [0, 0]]]}',
        b'{"drawing": [[[1e308, -1e308], [0, 0]]]}',
        b'{"drawing": [[[' + b"9" * 400 + b"], [1]]]}",
        b'{"drawing": [[[' + b"9" * 30 + b"], [1]]]}",
        b'{"drawing": [[["1"], ["2"]]]}',
        b'{"drawing": [[[true], [false]]]}',
        b'{"drawing": [[[null], [1]]]}',
        b'{"drawing": [[[[[1]]], [[[1]]]]]}',
        b'{"drawing": [[{"0": 1}, {"1": 1}]]}',
        b"[" * 100_000,
        b'{"drawing": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"drawing": "\x1b[2J"}',
        b"0",
    ],
)
def test_ndjson_of_anyone(line, tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_bytes(LINE + line + b"\n")
    with pytest.raises(ValueError, match=r"a\.ndjson, line 2 is not a QuickDraw drawing: .*\.$") as error:
        sketches.read_ndjson(path)
    assert str(error.value).isprintable()


def test_a_line_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(sketches.files, "_LINE", 2**20)
    path = tmp_path / "a.ndjson"
    path.write_bytes(LINE + b" " * 2**22)
    with refused(r"line 2 .* more than 1,048,576 bytes"):
        sketches.read_ndjson(path)


@fuzz(1)
@given(st.lists(MUTATION, min_size=1, max_size=3))
def test_fuzz_ndjson(tmp_path_factory, mutations):
    path = tmp_path_factory.getbasetemp() / "fuzz.ndjson"
    path.write_bytes(mutated(LINE * 2, mutations))
    read_or_refused(sketches.read_ndjson, path)


def test_one_long_sketch_does_not_fill_up_all_others(monkeypatch, tmp_path):
    monkeypatch.setattr(sketches.data, "_LEAST", 10**5)
    short, long = "[[[0, 1], [0, 1]]]", f"[[{list(range(4000))}, {[0] * 4000}]]"
    path = tmp_path / "a.ndjson"
    path.write_text("".join(f'{{"drawing": {d}}}\n' for d in [long, *[short] * 200]))
    with pytest.raises(
        ValueError, match=r"a sketch of 4,000 points, to which all 201 sketches, of 22 points on average, .*max_points"
    ):
        sketches.load(path)
    assert sketches.load(path, max_points=100)[0][0].shape[1:] == (2, 5)


ENTITIES = "".join(f'<!ENTITY {name} "{10 * f"&{before};"}">' for before, name in zip("abcdef", "bcdefg", strict=True))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("M1 1" + " " * 20_000 + "#", "neither a command nor a number"),
        ("M1 1" + " " * 20_000 + "," + " " * 20_000 + "#", "neither a command nor a number"),
        ("M1 1" + "h1" * 6000 + "c1 1 1 1 1 1" * 600, "more than 10,000 points"),
        ("M" * 2**23 + "M", "more than 8,388,608 bytes"),
        ("M1e39 1", "the number 1e39 at character 1 is too large for float32"),
        ("M1 -" + "9" * 400, "too large for float32"),
        ("M-3e38 1 L3e38 1", "too far apart for float32"),
        ("<svg><path d='M-3e38 1 L3e38 1'/></svg>", "the SVG: A sketch has points that are not finite"),
        (f'<!DOCTYPE s [<!ENTITY a "M1 1">{ENTITIES}]><svg><path d="&g;"/></svg>', "declares entities, which"),
        ('<!DOCTYPE s [<!ATTLIST path d CDATA "M1 1">]><svg><path/></svg>', "declares entities, which"),
        ('<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg><path d="&a;"/></svg>', "declares entities"),
        ("<svg>" + "<g>" * 100_000, "is not XML"),
        ("<svg><path d='&x;'/></svg>", "is not XML: undefined entity"),
    ],
    ids=range(13),
)
def test_svg_of_anyone(source, message, monkeypatch):
    monkeypatch.setattr(sketches.svg, "_POINTS", 10**4)
    with pytest.raises(ValueError, match=message):
        sketches.from_svg(source)


def test_svg_with_the_public_doctype_is_read(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text(
        '<?xml version="1.0" standalone="no"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg xmlns="http://www.w3.org/2000/svg" '
        'xmlns:a="http://a"><a:g><path d="M1 1 &#104;2"/></a:g></svg>'
    )
    assert sketches.from_svg(path).tolist() == [[1, 1, 0], [2, 0, 1]]
    path.write_bytes(b"<svg>\xff</svg>")
    with pytest.raises(ValueError, match=r"a\.svg is damaged, or not an SVG in UTF-8"):
        sketches.from_svg(path)


SVG = b"<svg><path d='M1,1 L3,1 c1 1 2 2 3 -4e0 z m5 5 h2 v.5 Q1 2 3 4'/></svg>"


@fuzz(1)
@given(st.lists(MUTATION, min_size=1, max_size=3))
def test_fuzz_svg(tmp_path_factory, mutations):
    path = tmp_path_factory.getbasetemp() / "fuzz.svg"
    path.write_bytes(mutated(SVG, mutations))
    try:
        assert np.isfinite(sketches.from_svg(path)).all()
    except ValueError as error:
        assert "\n" not in str(error)


def test_hostile_sketches_within_limits_of_the_system(tmp_path):
    """In a process of its own, which may have 1 GiB of addresses and 20 seconds; without TensorFlow, to be quick."""
    npz(tmp_path / "memo.npz", op(b"N" + b"r\xff\xff\xff\x7f"))
    npz(tmp_path / "tuples.npz", op(b")" + b"\x94" * 500_000), zipfile.ZIP_DEFLATED)
    npz(tmp_path / "size.npz", header((10**9, 10**9, 3), "<f8"))
    npz(tmp_path / "bomb.npz", bytes(2**25), zipfile.ZIP_DEFLATED)
    (tmp_path / "deep.ndjson").write_bytes(b'{"drawing":' + b"[" * 10**6)
    (tmp_path / "spaces.svg").write_text("M1 1" + " " * 10**6 + "#")
    (tmp_path / "entities.svg").write_text(f'<!DOCTYPE s [<!ENTITY a "M1 1">{ENTITIES}]><svg><path d="&g;"/></svg>')
    program = f"""
        import resource, sys, types, pathlib
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
        package = types.ModuleType("aezoo")
        package.__path__ = [{str(pathlib.Path(aezoo.__file__).parent)!r}]
        sys.modules["aezoo"] = package
        from aezoo import sketches
        read = {{".npz": sketches.read_npz, ".ndjson": sketches.read_ndjson, ".svg": sketches.from_svg}}
        for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
            try:
                read[path.suffix](path)
            except ValueError:
                print(path.name)
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(path.name for path in tmp_path.iterdir())


# === .keras ===


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = aezoo.CompressiveAE(2, filters=(2,), spatial=True, seed=0)
    model.build((None, 8, 8, 1))
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


def forged(path, saved, change=None, compression=zipfile.ZIP_STORED, **contents):
    """Another file with some members replaced, and what `change` does to the weights."""
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change:
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change(file)
        members["model.weights.h5"] = buffer.getvalue()
    members.update({name.replace("__", "."): content for name, content in contents.items()})
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def configuration(saved, **arguments):
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"].update(arguments)
    return json.dumps(config)


def first(file):
    """The name of the first kernel in a file of weights."""
    found = []
    file.visititems(lambda name, item: found.append(name) if getattr(item, "ndim", 0) > 1 else None)
    return found[0]


def test_a_bomb_in_the_configuration(saved, tmp_path):
    path = tmp_path / "bomb.keras"
    for size in (2**25, 2**23):  # more than the file may unpack to, and more than a configuration may have
        forged(path, saved, compression=zipfile.ZIP_DEFLATED, config__json=b" " * size + b"{}")
        with refused(r"bomb\.keras.* (unpacks to more|has more) than [\d,]+ bytes"):
            loading.load(path)


@pytest.mark.slow_cases("3")
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"latent_dim": 10**6}, "1,0.* numbers"),
        ({"filters": [10**6]}, "1,0.* numbers"),
        ({"filters": [2000, 2000]}, "1,0.* numbers"),
        ({"filters": [1] * 400}, r"\d+ weights"),
    ],
    ids=range(4),
)
def test_a_model_far_larger_than_its_file(saved, tmp_path, arguments, what):
    path = forged(tmp_path / "large.keras", saved, config__json=configuration(saved, **arguments))
    with pytest.raises(ValueError, match=rf"large\.keras is damaged.*: it describes .* more than {what}, but holds"):
        loading.load(path)
    keras.layers.Dense(2000).build((None, 2000))  # the limit was that of the file


def test_a_configuration_of_many_layers(saved, tmp_path):
    layers = [{"class_name": "Flatten", "module": "keras.layers", "config": {"name": f"f{i}"}} for i in range(5000)]
    config = configuration(saved, encoder={"class_name": "Sequential", "config": {"layers": layers}})
    path = forged(tmp_path / "many.keras", saved, config__json=config)
    with refused(r"many\.keras is damaged: it describes 5,\d+ objects, but holds only \d+ weights"):
        loading.load(path)


def test_weights_that_lie_elsewhere(saved, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(10**4))

    def outside(file):
        name = first(file)
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "float32", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def virtual(file):
        name = first(file)
        layout = h5py.VirtualLayout(file[name].shape, "float32")
        layout[:] = h5py.VirtualSource(str(secret), "x", shape=file[name].shape)
        del file[name]
        file.create_virtual_dataset(name, layout)

    def link(kind):
        def change(file):
            name = first(file)
            del file[name]
            file[name] = kind

        return change

    def vast(file):
        name = first(file)
        del file[name]
        file.create_dataset(name, (10**6, 10**6), "float32", chunks=(1000, 1000), compression="gzip")

    wrong = {
        outside: "is not an array of numbers within the file",
        virtual: "is not an array of numbers within the file",
        link(h5py.ExternalLink(str(secret), "/x")): "is a link",
        link(h5py.SoftLink("/")): "is a link",
        vast: r"claims more numbers, \(1000000, 1000000\), than the file holds",
    }
    for change, message in wrong.items():
        path = forged(tmp_path / "a.keras", saved, change)
        with pytest.raises(ValueError, match=rf"a\.keras, model\.weights\.h5, is damaged: .*{message}"):
            loading.load(path)


@pytest.mark.parametrize(
    "contents",
    [
        {"config__json": None},
        {"config__json": b"{"},
        {"config__json": b"[" * 10**5},
        {"config__json": b"[]"},
        {"config__json": b"{}"},
        {"config__json": b'{"class_name": 3}'},
        {"config__json": b'{"class_name": "system", "module": "os", "config": {}, "registered_name": null}'},
        {"config__json": b"\xff"},
        {"model__weights__h5": None},
        {"model__weights__h5": b""},
        {"model__weights__h5": b"\x89HDF\r\n\x1a\n" + bytes(100)},
    ],
    ids=range(11),
)
def test_damaged_models_are_named(saved, tmp_path, contents):
    path = forged(tmp_path / "bad.keras", saved, **contents)
    with pytest.raises(ValueError, match=r"bad\.keras") as error:
        aezoo.Autoencoder.from_preset(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "arguments",
    [
        {"latent_dim": "2"},
        {"latent_dim": 1e400},
        {"latent_dim": None},
        {"filters": {}},
        {"activation": {"class_name": "function", "config": "eval", "module": "builtins"}},
        {"encoder": {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}}},
        {"seed": [1]},
        {"surprise": 1},
    ],
    ids=str,
)
def test_damaged_configurations_are_named(saved, tmp_path, arguments):
    path = forged(tmp_path / "bad.keras", saved, config__json=configuration(saved, **arguments))
    with pytest.raises(ValueError, match=r"bad\.keras is damaged, or not for this version of Keras: ") as error:
        loading.load(path)
    assert str(error.value).isprintable()


def test_a_module_that_only_a_file_names_is_not_imported(saved, tmp_path, monkeypatch, capsys):
    (tmp_path / "hostile_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = json.loads(configuration(saved))
    config |= {"module": "hostile_module", "class_name": "MyAE", "registered_name": "hostile\x1b>MyAE"}
    path = forged(tmp_path / "model.keras", saved, config__json=json.dumps(config))
    (tmp_path / "metrics.json").write_text(json.dumps({"dataset": "digits", "model": "hostile_module:MyAE"}))
    with pytest.raises(
        loading.UnknownClassError, match=r"model of the class hostile\\x1b>MyAE, which is not registered"
    ) as error:
        loading.load(path)
    assert (error.value.module, str(error.value).isprintable()) == ("hostile_module", True)
    assert program.main(["evaluate", str(tmp_path)]) == 2
    assert "if you trust the module that defines it, name it with --import" in capsys.readouterr().err
    assert "hostile_module" not in sys.modules


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(saved, tmp_path, value):
    def change(file):
        file[first(file)][...] = value

    path = forged(tmp_path / "nan.keras", saved, change)
    with pytest.raises(ValueError, match=r"nan\.keras has NaN or infinite values in the weight .*kernel"):
        aezoo.Autoencoder.from_preset(path)


def test_a_preset_that_would_not_load_is_not_written(tmp_path):
    model = aezoo.Autoencoder(2, seed=0)
    model.build((None, 3))
    kernel = model.encoder.trainable_variables[0]
    kernel.assign(kernel * np.nan)
    with pytest.raises(ValueError, match=r"The model .* has NaN or infinite values in the weight .*kernel"):
        model.save_to_preset(tmp_path / "nan")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["evaluate", "compress", "decompress"])
def test_the_command_line_says_it_in_one_line(saved, tmp_path, command, capsys):
    path = forged(tmp_path / "bad.keras", saved, config__json=configuration(saved, filters={}))
    further = [] if command == "evaluate" else ["in", "out"]
    assert program.main([command, str(path), *further]) == 2
    error = capsys.readouterr().err
    assert error.startswith("aezoo: error: ") and "bad.keras is damaged" in error and error.count("\n") == 1


@fuzz(0.03)
@given(st.lists(MUTATION, min_size=1, max_size=3), st.booleans())
def test_fuzz_keras(saved, tmp_path_factory, mutations, config_only):
    path = tmp_path_factory.getbasetemp() / "fuzz.keras"
    if config_only:
        forged(path, saved, config__json=mutated(configuration(saved).encode(), mutations))
    else:
        path.write_bytes(mutated(saved.read_bytes(), mutations))
    try:
        loading.load(path)
    except ValueError as error:
        assert "fuzz.keras" in str(error) and "\n" not in str(error)


# === Presets ===


@pytest.fixture
def place(saved, tmp_path, monkeypatch):
    """A place with one preset, and a function that writes a card beside it."""
    folder = tmp_path / "place" / "few"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(saved.read_bytes())
    presets.write_card(folder, {"class": "CompressiveAE"})
    monkeypatch.setenv(presets.ENVIRONMENT, str(tmp_path / "place"))

    def other(name, card):
        folder = tmp_path / "place" / name
        folder.mkdir()
        text = card if isinstance(card, str) else json.dumps(card)
        (folder / "card.json").write_text(text)
        (folder / "model.keras").write_bytes(b"")
        return folder

    return other


CARD = {"class": "VAE", "files": {}}
SHELF_CARD = {**CARD, "name": "a", "title": "A", "metric": "loss", "metrics": {"loss": 1.0}, "data": {"name": "digits"}}


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("{", "is damaged"),
        ("[" * 10**5, "is damaged"),
        (" " * (2**22 + 1), "more than 4,194,304 bytes"),
        ("[]", "not the model card of a preset"),
        ({**CARD, "class": []}, "not the model card of a preset"),
        ({**CARD, "files": []}, "not the model card of a preset"),
        ({**CARD, "files": {"a": 1}}, "no SHA-256 of a"),
        ({**CARD, "files": {"/etc/passwd": ""}}, "the file /etc/passwd, which is not within its folder"),
        ({**CARD, "files": {"a/../../b": ""}}, "the file a/../../b, which is not within"),
        ({**CARD, "files": {"..": ""}}, "not within"),
        ({**CARD, "files": {"C:\\x": ""}}, "not within"),
        ({**CARD, "title": 3}, "not all texts"),
        ({**SHELF_CARD, "metric": []}, "no name, title and metric"),
        ({**SHELF_CARD, "metrics": [1]}, "not numbers by name"),
        ({**SHELF_CARD, "metrics": {"loss": "1"}}, "not numbers by name"),
        ({**SHELF_CARD, "data": "mnist"}, "does not name its data"),
    ],
    ids=range(16),
)
def test_a_bad_card_is_named_and_its_preset_left_out(place, card, message, capsys, monkeypatch):
    folder = place("bad", card)
    with pytest.raises(ValueError, match=rf"bad.card\.json.*{message}"):
        presets.read_card(folder)
    with pytest.raises(ValueError, match=rf"bad.card\.json.*{message}"):
        aezoo.Autoencoder.from_preset(folder)
    for cls in (None, aezoo.CompressiveAE):
        with pytest.warns(UserWarning, match=rf"A preset is left out: .*{message}"):
            assert "few" in aezoo.list_presets(cls) and "bad" not in aezoo.list_presets(cls)
    monkeypatch.setattr(presets, "places", lambda: [folder.parent])
    assert program.main(["presets", "verify"]) == 2
    assert message.split(",")[0] in capsys.readouterr().err


def test_a_preset_without_its_model_is_left_out(place, capsys):
    (place("half", CARD) / "model.keras").unlink()
    with pytest.warns(UserWarning, match=r"half.model\.keras is missing"):
        assert program.main(["presets", "list"]) == 0
    assert capsys.readouterr().out.startswith("autoencoder_mnist ")


def test_a_link_out_of_the_folder_is_not_followed(place, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    folder = place("linked", {**CARD, "files": {"a": presets.sha256(tmp_path / "secret")}})
    (folder / "model.keras").unlink()
    (folder / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"linked.a is a link out of its folder"):
        presets.check_files(folder)


def test_titles_do_not_control_the_terminal(place, capsys):
    place("red\x1b[31m", {**SHELF_CARD, "title": "A\x1b[2J\x07\u202e\ntitle"})
    for options in ([], ["--markdown"]):
        assert program.main(["presets", "list", *options]) == 0
        out = capsys.readouterr().out
        assert r"A\x1b[2J\x07\u202e title" in out and out.replace("\n", "").isprintable()
    assert cards.table(["a"], [["b\x1b"]]).endswith(r"| b\x1b |")


def test_a_card_does_not_choose_what_is_fetched(place, capsys):
    folder = place("own", {**SHELF_CARD, "data": {"name": "cifar10"}})
    assert program.main(["presets", "verify", str(folder)]) == 2
    assert (
        "Presets are not trained on 'cifar10', which is not fetched: choose mnist, cats, noto, noto_heads, digits"
        in capsys.readouterr().err
    )


def test_a_folder_of_the_working_directory_does_not_take_the_place_of_a_preset(place, tmp_path, monkeypatch):
    here = tmp_path / "here"
    other = aezoo.Autoencoder(2, seed=0)
    other.build((None, 3))
    other.save_to_preset(here / "few")
    other.save_to_preset(here / "mine")
    monkeypatch.chdir(here)
    with pytest.warns(UserWarning, match=r"the preset in .*place.few, not the folder 'few' .*: write './few'"):
        assert type(aezoo.Autoencoder.from_preset("few")) is aezoo.CompressiveAE
    for given_as in ("./few", pathlib.Path("few"), str(here / "few"), "mine"):
        assert type(aezoo.Autoencoder.from_preset(given_as)) is aezoo.Autoencoder


# === evaluate ===


@pytest.mark.parametrize("name", ["cifar10", "huggingface:x", "../x", "mnist/data_dir=x", "\x1b[2J", 3])
def test_evaluate_fetches_nothing_that_a_file_names(saved, tmp_path, name, capsys, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(aezoo.datasets, "load", lambda name: pytest.fail(f"{name} was loaded"))
    (tmp_path / "model.keras").write_bytes(saved.read_bytes())
    (tmp_path / "metrics.json").write_text(json.dumps({"dataset": name}))
    assert program.main(["evaluate", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "--dataset" in error and error[:-1].isprintable()
    assert ("are not on this machine" in error) == isinstance(name, str)


def test_evaluate_opens_no_file_of_sketches_that_is_none(tmp_path, capsys):
    model = aezoo.SketchRNN(2, encoder_units=2, decoder_units=2, seed=0)
    model.build((None, 33, 5))
    model.save(tmp_path / "model.keras")
    (tmp_path / "metrics.json").write_text(json.dumps({"dataset": "/dev/none.npz"}))
    assert program.main(["evaluate", str(tmp_path)]) == 2
    assert "are not on this machine" in capsys.readouterr().err


def test_printable():
    assert _untrusted.printable("a\tb\x00\n\u202ec") == r"a b\x00 \u202ec"
    assert len(_untrusted.printable("x" * 10**6, 50)) == 50
