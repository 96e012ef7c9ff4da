"""Series, compared with sliding windows of NumPy and with pandas."""

import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import aezoo
from aezoo import datasets
from aezoo.preprocessing import SeriesPreprocessing

RNG = np.random.default_rng(0)


def windows_of(values, window, stride=1):
    """Return all windows of an array (steps, columns), cut by NumPy."""
    return np.lib.stride_tricks.sliding_window_view(values, window, axis=0)[::stride].swapaxes(1, 2)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)  # the same numbers in any order of the tests
    return pd.DataFrame({"a": rng.normal(5, 3, 50), "b": rng.normal(-2, 0.1, 50)})


@pytest.mark.parametrize("form", ["pandas", "polars", "pyarrow", "dict", "csv", "parquet", "npy", "array"])
def test_windows_of_each_kind_of_table(frame, form, tmp_path):
    import polars
    import pyarrow

    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    np.save(tmp_path / "a.npy", frame.to_numpy())
    data = {
        "pandas": frame,
        "polars": polars.from_pandas(frame),
        "pyarrow": pyarrow.Table.from_pandas(frame),
        "dict": {name: frame[name].tolist() for name in frame},
        "array": frame.to_numpy(),
    }.get(form, tmp_path / f"a.{form}")
    found = datasets.from_series(data, 7, 3, shuffle=False, batch_size=4)
    train, test = frame.to_numpy()[:40], frame.to_numpy()[40:]
    mean, std = train.mean(axis=0), train.std(axis=0)
    np.testing.assert_allclose(found.arrays("train"), windows_of((train - mean) / std, 7, 3), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.arrays("test"), windows_of((test - mean) / std, 7, 3), rtol=1e-4, atol=1e-5)
    assert (len(found.train), found.train.element_spec.shape) == (3, (None, 7, 2))
    restored = found.preprocessing.restore(found.arrays("test"))
    np.testing.assert_allclose(restored, windows_of(test, 7, 3), rtol=1e-4)
    if form not in ("array", "npy"):
        assert found.preprocessing.columns == ("a", "b") and "a (mean" in found.summary
    np.testing.assert_allclose(found.preprocessing.transform(frame.to_numpy()[40:]), found.arrays("test"), atol=1e-5)


def test_training_windows_are_shuffled_and_reproducible():
    found = [datasets.from_series(np.arange(60.0), 4, seed=seed) for seed in (0, 0, 1)]
    orders = [np.concatenate(list(one.train))[:, 0, 0] for one in found]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    np.testing.assert_array_equal(np.sort(orders[0]), found[0].arrays("train")[:, 0, 0])
    assert not np.array_equal(orders[0], np.concatenate(list(found[0].train))[:, 0, 0])


@pytest.mark.parametrize("kind", ["text", "datetime64", "zoned", "seconds"])
def test_time_sorts_and_no_window_crosses_a_gap(kind, tmp_path):
    times = pd.date_range("2026-01-01", periods=30, freq="h").delete(range(12, 17))
    values = np.arange(25.0)
    column = {
        "text": times.strftime("%Y-%m-%d %H:%M:%S"),
        "datetime64": times,
        "zoned": times.tz_localize("Europe/Berlin"),
        "seconds": times.astype("datetime64[s]").astype("int64"),
    }[kind]
    order = RNG.permutation(25)
    frame = pd.DataFrame({"when": column, "load": values}).iloc[order]
    found = datasets.from_series(frame, 5, time="when", test_fraction=0.2)
    restored = found.preprocessing.restore(found.arrays("train"))[:, :, 0].round(3)
    expected = [windows_of(part[:, None], 5)[:, :, 0] for part in (values[:12], values[12:20])]
    np.testing.assert_array_equal(restored, np.concatenate(expected))
    assert "were not in the order of 'when'" in found.summary
    assert "Gaps in time, which no window crosses (a step is 3600" in found.summary
    assert len(found.test_times) == 5
    if kind != "seconds":
        assert pd.Timestamp(found.test_times[-1]) == times[-1].tz_localize(None) - pd.Timedelta(
            hours=int(kind == "zoned")
        )


@pytest.mark.parametrize("missing", ["skip", "interpolate", "keep"])
def test_missing_values(missing):
    values = np.arange(20.0)
    values[[6, 7]] = np.nan
    found = datasets.from_series(values, 4, missing=missing, test_fraction=0)
    windows = found.preprocessing.restore(found.arrays("train"))[:, :, 0]
    full = windows_of(values[:, None], 4)[:, :, 0]
    expected = {
        "skip": full[~np.isnan(full).any(axis=1)],
        "keep": full,
        "interpolate": windows_of(pd.Series(values).interpolate().to_numpy()[:, None], 4)[:, :, 0],
    }[missing]
    np.testing.assert_allclose(windows, expected, atol=1e-4)
    assert "Missing values in 2 steps" in found.summary


def test_scores_of_windows_become_scores_of_steps():
    values = np.arange(40.0)
    values[31] = np.nan
    found = datasets.from_series(values, 3, 2, test_fraction=0.5)
    assert found.test_starts.tolist() == [0, 2, 4, 6, 8, 12, 14, 16]
    assert found.train_starts.tolist() == [*range(0, 18, 2)]
    np.testing.assert_array_equal([*found.train_times, *found.test_times], np.arange(40))
    np.testing.assert_array_equal(found.to_steps(np.ones(9), "train"), [*np.ones(19), np.nan])
    scores = RNG.random(8)
    covering = [
        [s for s, start in zip(scores, found.test_starts, strict=True) if start <= t < start + 3] for t in range(20)
    ]
    expected = [np.mean(c) if c else np.nan for c in covering]
    np.testing.assert_allclose(found.to_steps(scores), expected)
    per_step = np.tile(scores[:, None], 3)
    np.testing.assert_allclose(found.to_steps(per_step), expected)
    assert np.isnan(found.to_steps(scores)[11])
    with pytest.raises(ValueError, match=r"8 windows of 3 steps"):
        found.to_steps(scores[1:])
    with pytest.raises(ValueError, match=r"'all' is unknown"):
        found.to_steps(scores, "all")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"window": 41}, "the train part has 40 steps and no window of 41: give more steps"),
        ({}, {"window": 11}, "the test part has 10 steps and no window of 11"),
        ({"a": [np.nan, 1.0] * 25}, {"window": 2}, "no window of 2 in a row, without a gap or a missing value"),
        (
            {"a": ["x"] * 50},
            {},
            "Column 'a' has 'x' in row 0 \\(counted from 0\\), which is not a number: pass time='a'",
        ),
        ({"a": pd.date_range("2026", periods=50)}, {}, "Column 'a' has times: pass time='a'"),
        ({"a": [1.0] * 49 + [np.inf]}, {}, "Column 'a' has an infinite value in row 49"),
        ({}, {"columns": ["c"]}, "There is no column 'c': the columns are a, b"),
        ({}, {"time": "c"}, "There is no time column 'c'"),
        ({"a": ["2026-01-01"] * 49 + ["soon"]}, {"time": "a"}, "The time column 'a' has 'soon' in row 49"),
        ({"a": [np.nan] * 50}, {"missing": "keep"}, "Column 'a' has no value in the training steps"),
        ({"a": 1.7e9 + np.arange(50) % 7}, {}, "Column 'a' has a mean of 1.7e.09 and a deviation of only 1.96"),
        ({}, {"window": 0}, "window=0"),
        ({}, {"stride": 0}, "stride=0"),
        ({}, {"missing": "drop"}, "missing='drop'"),
        ({}, {"columns": "a"}, "give a list of names"),
    ],
)
def test_errors_name_column_and_row(frame, change, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.from_series(frame.assign(**change), **{"window": 5, **options})


def test_errors_name_the_file(frame, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file"):
        datasets.from_series(tmp_path / "absent.csv", 3)
    path = tmp_path / "a.csv"
    path.write_bytes("größe\n1\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"a.csv, row 1, is not text in UTF-8"):
        datasets.from_series(path, 3)
    path.write_text("")
    with pytest.raises(ValueError, match=r"a.csv is empty: give a file"):
        datasets.from_series(path, 3)
    frame.assign(a="x").to_csv(path)
    with pytest.raises(ValueError, match=r"a.csv: Column 'a' has 'x'"):
        datasets.from_series(path, 3)
    frame.assign(a=np.nan).to_csv(path)
    with pytest.raises(ValueError, match=r"a.csv: Column 'a' has no value in the training steps"):
        datasets.from_series(path, 3, missing="keep")
    with pytest.raises(ValueError, match=r"a.csv: There is no column 'c': the columns are , a, b"):
        datasets.from_series(path, 3, columns=["a", "c"])
    with pytest.raises(ValueError, match=r"a.csv: There is no column 'c': the columns are , a, b"):
        datasets.from_series(path, 3, columns=["c"])
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with pytest.raises(ValueError, match=r"a.npy: "):
        datasets.from_series(tmp_path / "a.npy", 3)
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(ValueError, match=r"a.xlsx is not a table that can be read"):
        datasets.from_series(tmp_path / "a.xlsx", 3)


def test_a_constant_column_is_not_scaled(frame):
    found = datasets.from_series(frame.assign(a=7.0), 5)
    assert found.arrays("train")[:, :, 0].max() == 0 and "Constant in training, and not scaled: a." in found.summary


def test_a_constant_whose_deviation_is_rounded_is_not_scaled(frame):
    found = datasets.from_series(frame.assign(a=0.1), 5)  # NumPy computes a deviation of 1e-17
    np.testing.assert_allclose(found.arrays("train")[:, :, 0], 0, atol=1e-6)
    assert "Constant in training, and not scaled: a." in found.summary


def test_training_steps_do_not_depend_on_test_steps():
    values = np.array([1.0, 2.0, 3.0, np.nan, 100.0, np.nan, 102.0, 103.0])
    found = datasets.from_series(values, 1, missing="interpolate", test_fraction=0.5)
    assert found.preprocessing.means == (2.25,)  # of 1, 2, 3, 3
    test = found.preprocessing.restore(found.arrays("test")).ravel()
    np.testing.assert_allclose(test, [100, 101, 102, 103], rtol=1e-6)


def test_a_model_takes_the_table_or_its_path_and_keeps_its_units(frame, tmp_path):
    found = datasets.from_series(frame, 8)
    model = aezoo.Autoencoder(2, output_activation="linear", preprocessing=found.preprocessing, seed=0)
    model.compile(optimizer="adam", run_eagerly=True)
    model.fit(found.train, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.score_samples(found.preprocessing.transform(frame))
    np.testing.assert_allclose(model.score_samples(frame), expected, rtol=1e-5)
    np.testing.assert_allclose(loaded.score_samples(frame), expected, rtol=1e-5)
    frame.to_csv(tmp_path / "server.csv", index=False)
    np.save(tmp_path / "server.npy", frame.to_numpy())
    for path in (str(tmp_path / "server.csv"), tmp_path / "server.npy"):
        np.testing.assert_allclose(model.score_samples(path), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"no column 'b'"):
        found.preprocessing.transform(frame[["a"]])


@pytest.mark.parametrize("form", ["frame", "file"])
def test_a_column_that_was_not_there_in_training_is_ignored_with_a_warning(frame, form, tmp_path):
    def series(table):
        if form == "frame":
            return table
        table.to_csv(tmp_path / "s.csv", index=False)
        return tmp_path / "s.csv"

    frame = frame.assign(when=np.arange(50), note="dry")
    found = datasets.from_series(series(frame), 4, time="when", columns=["a"])
    fitted = SeriesPreprocessing.from_config(found.preprocessing.get_config())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # columns that were left out in training may be there, or not
        expected = fitted.transform(series(frame))
        np.testing.assert_array_equal(fitted.transform(series(frame[["a", "when"]])), expected)
    what = "The series" if form == "frame" else str(tmp_path / "s.csv")
    message = f"{what} has columns that the preprocessing was not fitted on, which are ignored: c, d."
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        np.testing.assert_array_equal(fitted.transform(series(frame.assign(c=1.0, d="x"))), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.fit(series(frame.assign(c=1.0)))
        fitted.transform(series(frame.assign(c=1.0)))


def test_a_model_saved_without_the_columns_left_out_does_not_warn_of_them(frame):
    fitted = SeriesPreprocessing(4, columns=["a"]).fit(frame)
    config = fitted.get_config()
    del config["state"]["left_out"]
    old = SeriesPreprocessing.from_config(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(old.transform(frame), fitted.transform(frame))
        again = SeriesPreprocessing.from_config(old.get_config())
        np.testing.assert_array_equal(again.transform(frame), fitted.transform(frame))
    with pytest.warns(UserWarning, match=r"which are ignored: b\.$"):
        old.fit(frame[["a"]]).transform(frame)


@pytest.mark.parametrize("bad", ["no file", "text", "too little for float32"])
def test_a_fit_that_fails_keeps_the_result_of_the_fit_before(frame, bad, tmp_path):
    path = tmp_path / "s.csv"
    if bad != "no file":
        frame.assign(a="x" if bad == "text" else 1e9 + frame["a"], c=1.0).to_csv(path, index=False)
    fitted = SeriesPreprocessing(4).fit(frame)
    config, expected = fitted.get_config(), fitted.transform(frame)
    with pytest.raises((ValueError, FileNotFoundError), match=r"s\.csv|float32"):
        fitted.fit(path)
    assert fitted.get_config() == config
    np.testing.assert_array_equal(fitted.transform(frame), expected)
    fresh = SeriesPreprocessing(4)
    with pytest.raises((ValueError, FileNotFoundError)):
        fresh.fit(path)
    assert fresh.fit(frame.rename(columns={"a": "z"})).columns == ("z", "b")


def test_a_file_without_any_window_is_named(frame, tmp_path):
    frame[:3].to_csv(tmp_path / "s.csv", index=False)
    fitted = SeriesPreprocessing(4).fit(frame)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / 's.csv'))} has 3 steps and no window of 4: "):
        fitted.transform(tmp_path / "s.csv")
    with pytest.raises(ValueError, match=r"^The series has 3 steps and no window of 4: "):
        fitted.transform(frame[:3])


def test_raw_is_a_table_or_a_path():
    fitted = SeriesPreprocessing(3).fit({"a": [1.0, 2.0, 4.0]})
    assert fitted.is_raw("server.csv") and fitted.is_raw(Path("server.npy"))
    assert fitted.is_raw({"a": [1.0]}) and fitted.is_raw(pd.DataFrame({"a": [1.0]}))
    assert not fitted.is_raw(np.zeros((1, 3, 1), "float32")) and not fitted.is_raw({"x": np.zeros(3)})
    assert SeriesPreprocessing.from_config(fitted.get_config()).get_config() == fitted.get_config()
    np.testing.assert_allclose(
        fitted.transform(np.float32([[[1], [2], [4]]])), fitted.transform({"a": [1, 2, 4]}), rtol=1e-6
    )


@pytest.mark.slow
def test_an_exported_model_takes_and_returns_raw_units(frame, tmp_path):
    import tensorflow as tf

    found = datasets.from_series(frame, 8)
    model = aezoo.Autoencoder(2, output_activation="linear", preprocessing=found.preprocessing, seed=0)
    model.build((None, 8, 2))
    model.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    raw = windows_of(frame.to_numpy(), 8).astype("float32")
    (out,) = served.signatures["serving_default"](x=tf.constant(raw)).values()
    expected = found.preprocessing.restore(model.reconstruct(found.preprocessing.transform(frame)))
    np.testing.assert_allclose(out, expected, rtol=1e-4)
