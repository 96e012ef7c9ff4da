"""from_table: the split, the order of rows, labels, and constant memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import aezoo
from aezoo import datasets
from aezoo.datasets import tables


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 500
    return pd.DataFrame(
        {
            "row": np.arange(n) + 0.5,  # not whole: no identifier
            "city": rng.choice(["Oslo", "Rome"], n),
            "class": rng.integers(0, 3, n),
        }
    )


@pytest.fixture(scope="module")
def path(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def data(path):
    return datasets.from_table(path, label="class", batch_size=64)


def rows_of(prepared, x):
    return np.asarray(prepared.preprocessing.restore(x)["row"]).round(1)


def test_each_row_is_in_one_part(data, table):
    train, test = (rows_of(data, data.arrays(split)) for split in ("train", "test"))
    assert sorted([*train, *test]) == table["row"].tolist()
    assert list(train) == sorted(train)
    assert list(test) == sorted(test)
    assert 70 <= len(test) <= 130


def test_the_split_depends_on_the_number_of_the_row_and_the_seed_alone(data, table, path, monkeypatch):
    test = rows_of(data, data.arrays("test"))
    half = datasets.from_table(table.iloc[:250], label="class")
    np.testing.assert_array_equal(rows_of(half, half.arrays("test")), test[test < 250])
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", 1000)
    in_parts = datasets.from_table(path, label="class")
    np.testing.assert_array_equal(rows_of(in_parts, in_parts.arrays("test")), test)
    other = datasets.from_table(table, label="class", seed=1)
    assert set(rows_of(other, other.arrays("test"))) != set(test)


def test_the_split_is_fair():
    for seed in range(3):
        values = tables._uniform(np.arange(100_000, dtype="uint64"), seed)
        assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 0.02


def test_labels_are_in_the_order_of_the_data(data, table):
    for split, labels in (("train", data.y_train), ("test", data.y_test)):
        rows = (rows_of(data, data.arrays(split)) - 0.5).astype(int)
        np.testing.assert_array_equal(labels, table["class"][rows])
        assert labels.dtype == "int64"
    assert "class" not in data.preprocessing.kinds
    texts = datasets.from_table(table, label="city")
    assert texts.y_train.dtype.kind == "U"
    assert datasets.from_table(table).y_train is None


def test_statistics_come_from_the_training_rows(data):
    x = data.arrays("train")
    assert x[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert x[:, 0].std() == pytest.approx(1, abs=1e-5)
    assert abs(data.arrays("test")[:, 0].mean()) > 1e-3


def test_a_category_of_the_test_rows_alone_is_unseen(data, table):
    test = (rows_of(data, data.arrays("test")) - 0.5).astype(int)
    changed = table.copy()
    changed.loc[test[0], "city"] = "Atlantis"
    made = datasets.from_table(changed, label="class")
    assert made.preprocessing.feature_names == ["row", "city=Oslo", "city=Rome"]
    assert made.arrays("test")[0, 1:].tolist() == [0, 0]


def test_training_rows_come_in_a_new_order_each_epoch(path):
    def orders(**arguments):
        made = datasets.from_table(path, label="class", batch_size=64, **arguments)
        return [np.concatenate(list(made.train)) for _ in range(2)], made

    (first, second), made = orders()
    assert not np.array_equal(first, second)
    in_order = made.arrays("train")
    assert not np.array_equal(first, in_order)
    np.testing.assert_array_equal(first[first[:, 0].argsort()], in_order)
    (again, _), _ = orders()
    np.testing.assert_array_equal(again, first)
    (other, _), _ = orders(shuffle=False)
    np.testing.assert_array_equal(other, in_order)


def test_small_tables_are_read_once_and_larger_ones_in_each_epoch(path, monkeypatch):
    batches, reads = tables._reading.Source.batches, []
    monkeypatch.setattr(tables._reading.Source, "batches", lambda source: reads.append(1) or batches(source))

    def reads_of_passes(**arguments):
        made = datasets.from_table(path, label="class", **arguments)
        next(iter(made.train.take(1)))  # keeps nothing, if it ends early
        first = [np.concatenate(list(part)) for part in (made.train, made.test)]
        reads.clear()
        again = [np.concatenate(list(part)) for part in (made.train, made.test)]
        for old, new in zip(first, again, strict=True):
            np.testing.assert_array_equal(np.sort(old, 0), np.sort(new, 0))
        return len(reads)

    assert reads_of_passes() == reads_of_passes(shuffle=False) == 0
    monkeypatch.setattr(tables, "_KEPT", 4 * 500 * 2 - 1)  # 500 rows of 2 columns
    assert reads_of_passes() == 2


def test_rows_are_shuffled_across_a_moving_window(monkeypatch):
    monkeypatch.setattr(tables, "_POOL", 100 * 8)
    blocks = [np.arange(i, i + 20, dtype="float32")[:, None].repeat(2, 1) for i in range(0, 1000, 20)]
    out = np.concatenate(list(tables._shuffled(lambda: iter(blocks), np.random.default_rng(0))))[:, 0]
    assert sorted(out) == list(range(1000))
    assert np.abs(out - np.arange(1000)).mean() > 20
    assert (np.arange(1000) - out).min() >= -200  # rows come early by at most the window


def test_batches_have_a_known_number_and_size(data):
    n = len(data.y_train)
    sizes = [len(batch) for batch in data.train]
    assert int(data.train.cardinality()) == len(sizes) == -(-n // 64)
    assert sizes == [64] * (n // 64) + [n % 64] * bool(n % 64)
    assert data.train.element_spec.shape.as_list() == [None, 3]


def test_blocks_of_any_size_become_batches_of_one_size():
    from aezoo.preprocessing.table import batched

    for sizes in ([1, 3, 8], [8, 8, 1], [3, 0, 3]):
        values = np.arange(sum(sizes), dtype="float32")[:, None]
        blocks = np.split(values, np.cumsum(sizes)[:-1])
        got = [batch.numpy() for batch in batched(lambda blocks=blocks: blocks, 4, 1)]
        assert [len(batch) for batch in got[:-1]] == [4] * (len(got) - 1)
        np.testing.assert_array_equal(np.concatenate(got), values)


def test_a_model_trains_on_it_and_scores_the_file(data, path):
    model = aezoo.Autoencoder(2, output_activation="linear", preprocessing=data.preprocessing, seed=0)
    model.compile("adam", run_eagerly=True)
    history = model.fit(data.train, validation_data=data.test, epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]
    np.testing.assert_allclose(model.score_samples(path), model.score_samples(pd.read_csv(path)), rtol=1e-4, atol=1e-6)


def test_the_summary(data):
    assert data.summary.splitlines()[0].endswith(
        f"table.csv: 500 rows, {len(data.y_train)} for training and {len(data.y_test)} for testing (seed 0)"
    )
    assert "Left out: class (label)" in data.summary


def dates(n):
    return pd.date_range("2026-01-01", periods=n, freq="h")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_depend_on_the_number_of_rows(tmp_path):
    code = """
import sys
from pathlib import Path
import aezoo
def peak():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM"))
for path in sys.argv[1:]:
    for batch in aezoo.datasets.from_table(path).train:
        pass
    print(peak())
"""
    rng = np.random.default_rng(0)
    header = ",".join(f"x{i}" for i in range(50)) + "\n"
    for name, rows in (("few.csv", 100_000), ("many.csv", 900_000)):
        text = np.full((rows, 100), ord(","), "uint8")
        text[:, ::2] = rng.integers(ord("0"), ord("9") + 1, (rows, 50))
        text[:, -1] = ord("\n")
        (tmp_path / name).write_bytes(header.encode() + text.tobytes())
    assert (tmp_path / "many.csv").stat().st_size > 9e7
    command = [sys.executable, "-c", code, str(tmp_path / "few.csv"), str(tmp_path / "many.csv")]
    few, many = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    # Blocks that pyarrow reads ahead, and the window of 16 MiB in which rows are shuffled, take up to 85 MiB more. In
    # memory, 800,000 more rows of 50 float32 would be 153 MiB.
    assert many - few < 130 * 1024


@pytest.mark.parametrize(
    ("time", "name", "said"),
    [
        (dates(30), "when", True),
        (np.arange(30) * 0.5, "sensorTime", True),
        (np.arange(30) * 0.5, "height", False),
        (dates(30)[::-1], "when", False),
        (dates(15).repeat(2), "when", False),
        (dates(30).where(np.arange(30) != 7), "when", False),
        (dates(19), "when", False),
    ],
    ids=["dates", "a name", "another name", "falling", "repeated", "missing", "few rows"],
)
def test_the_summary_says_how_to_read_a_series(time, name, said, monkeypatch):
    monkeypatch.setattr(tables._reading, "_ROWS", 8)  # several batches
    table = pd.DataFrame({name: time, "load": np.sin(np.arange(len(time)))})
    summary = datasets.from_table(table).summary
    advice = (
        f"Read as a table of independent rows, although {name!r} grows from row to row: for a series, use "
        f"from_series(window=N, time={name!r})."
    )
    assert (advice in summary.splitlines()) == said
    assert advice not in datasets.from_table(table, drop=[name]).summary
    if said:
        assert len(datasets.from_series(table, window=5, time=name).arrays("train"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test_fraction": 1.0}, "test_fraction"),
        ({"batch_size": 0}, "batch_size"),
        ({"label": "nothing"}, "label= names the column 'nothing', which is not in the table"),
        ({"label": "class", "drop": ["class"]}, "'class' is named in drop= and in label="),
    ],
)
def test_wrong_arguments(table, arguments, message):
    with pytest.raises(ValueError, match=message):
        datasets.from_table(table, **arguments)


def test_arguments_reach_the_preprocessing():
    levels = {"size": ["small", "large"]}
    given = {"keep": ["id"], "categorical": ["zip"], "counts": ["n"], "ordinal": levels, "drop": ["x"]}
    given |= {"max_categories": 3, "empty": "missing"}
    numbers = np.arange(8)
    data = {"id": numbers, "zip": numbers % 4, "n": numbers % 3, "size": ["large", "small"] * 4, "x": numbers / 2}
    config = datasets.from_table(data, **given).preprocessing.get_config()
    assert {name: config[name] for name in given} == given


def test_a_header_that_is_missing_or_given(tmp_path):
    (tmp_path / "t.csv").write_text("1,2\n3,4\n5,7\n")
    made = datasets.from_table(tmp_path / "t.csv", header=False, test_fraction=0.0)
    assert made.preprocessing.feature_names == ["column_0", "column_1"]
    assert len(made.arrays("train")) == 3
    named = datasets.from_table(tmp_path / "t.csv", header=["a", "b"], test_fraction=0.0)
    assert named.preprocessing.feature_names == ["a", "b"]
    with pytest.raises(ValueError, match="has 2 columns, but header names 1"):
        datasets.from_table(tmp_path / "t.csv", header=["a"])
