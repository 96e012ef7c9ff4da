"""TablePreprocessing: from a table to samples and back, in Python, in a graph, and in an exported model."""

import copy
import csv
import datetime
import json
import pickle
import warnings

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tensorflow as tf
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import aezoo
from aezoo import preprocessing, testing
from aezoo.saving import warmup

N = 60


def frame(n=N, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "id": np.arange(n) + 1000,
            "Age (years)": rng.normal(40, 12, n).round(1),
            "city": rng.choice(["Oslo", "Rome", "Paris"], n),
            "member": rng.random(n) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 999, n), unit="D"),
            "visits": rng.poisson(3, n),
            "country": "NO",
            "note": [f"note {i}" for i in range(n)],
        }
    )
    table.loc[3, "Age (years)"] = np.nan
    table.loc[5, "city"] = None
    return table


@pytest.fixture(scope="module")
def table():
    return frame()


@pytest.fixture(scope="module")
def fitted(table):
    return preprocessing.TablePreprocessing(counts=["visits"]).fit(table)


def test_columns_get_their_kind_from_their_type(fitted):
    assert fitted.kinds == {
        "Age (years)": "numeric",
        "city": "categorical",
        "member": "boolean",
        "since": "date",
        "visits": "count",
    }
    assert fitted.groups == {
        "Age (years)": slice(0, 1),
        "city": slice(1, 5),
        "member": slice(5, 6),
        "since": slice(6, 7),
        "visits": slice(7, 8),
    }
    assert fitted.feature_names[1:5] == ["city=", "city=Oslo", "city=Paris", "city=Rome"]
    assert fitted.sample_shape == (8,)


def test_samples_agree_with_scikit_learn(fitted, table):
    x = fitted.transform(table)
    numbers = np.stack([table["Age (years)"], (table["since"] - pd.Timestamp(0)).dt.days], axis=1)
    np.testing.assert_allclose(x[:, [0, 6]], StandardScaler().fit_transform(numbers), rtol=1e-3, atol=1e-3)
    cities = OneHotEncoder(sparse_output=False).fit_transform(table[["city"]].fillna(""))
    np.testing.assert_array_equal(x[:, 1:5], cities)
    np.testing.assert_array_equal(x[:, 5], table["member"])
    np.testing.assert_array_equal(x[:, 7], table["visits"])
    assert np.isnan(x[3, 0])
    assert np.isnan(x).sum() == 1


def test_identifiers_and_constants_are_left_out_and_named(fitted):
    assert set(fitted.left_out) == {"id", "country", "note"}
    assert "identifier" in fitted.left_out["id"]
    assert fitted.left_out["country"] == "constant, 'NO'"
    assert "60 different texts" in fitted.left_out["note"]
    for part in (
        "id (identifier",
        "numbers, standardized (1): Age (years)",
        "city (4)",
        "Age (years) (1.67%)",
        'missing="mask"',
    ):
        assert part in fitted.summary


def test_an_identifier_can_be_kept(table):
    assert "id" in preprocessing.TablePreprocessing(keep=["id"]).fit(table).kinds


def test_measurements_that_happen_to_differ_are_no_identifiers():
    rng = np.random.default_rng(0)
    many = {name: rng.choice(10**7, 50, replace=False) for name in ("population", "user_id")}
    assert preprocessing.TablePreprocessing().fit(pd.DataFrame(many)).kinds == {"population": "numeric"}


@pytest.mark.parametrize("empty", ["category", "missing"])
@pytest.mark.parametrize("most", [3, 100])
def test_a_graph_makes_the_same_samples(table, empty, most):
    """Rows that `fit` has not seen included: an unseen city, an empty one."""
    made = preprocessing.TablePreprocessing(empty=empty, max_categories=most).fit(table.iloc[:40])
    new = table.copy()
    new.loc[7, "city"] = "Atlantis"
    in_graph = tf.function(made.call)({name: tf.constant(v) for name, v in made.to_arrays(new).items()})
    np.testing.assert_allclose(made.transform(new), in_graph, rtol=1e-5, atol=1e-5)
    group = made.groups["city"]
    unseen, empties = made.transform(new)[[7, 5], group]
    if most == 3 and empty == "category":  # "", one city, and all others
        assert made.feature_names[group][-1] == "city=<other>"
        assert unseen.tolist() == [0, 0, 1]
    elif most == 100:
        assert unseen.tolist() == [0.0] * len(unseen)
    assert np.isnan(empties).all() if empty == "missing" else empties.tolist()[0] == 1


def test_back_to_raw_units(fitted, table):
    back = fitted.restore(fitted.transform(table))
    kept = table[list(fitted.kinds)]
    assert list(back.columns) == list(kept.columns)
    np.testing.assert_allclose(back["Age (years)"], kept["Age (years)"], rtol=1e-5)
    assert back["city"].fillna("").tolist() == kept["city"].fillna("").tolist()
    assert back["member"].tolist() == kept["member"].tolist()
    assert (abs(back["since"] - kept["since"]) < pd.Timedelta("5min")).all()
    assert back["visits"].tolist() == kept["visits"].tolist()


def test_any_kind_of_table_gives_the_same_samples(fitted, table, tmp_path):
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_csv(tmp_path / "table.tsv", index=False, sep="\t")
    table.to_parquet(tmp_path / "table.parquet")
    expected = fitted.transform(table)
    arrow = pa.Table.from_pandas(table)
    columns = {name: table[name].to_numpy() for name in table}
    for same in (pl.from_pandas(table), arrow, arrow.to_batches()[0], columns, table.astype({"city": "category"})):
        np.testing.assert_array_equal(fitted.transform(same), expected)
    for name in ("table.csv", "table.tsv", "table.parquet"):
        batches = list(fitted.transform(tmp_path / name))
        np.testing.assert_allclose(np.concatenate(batches), expected, rtol=1e-6, atol=1e-6)
        again = preprocessing.TablePreprocessing(counts=["visits"]).fit(str(tmp_path / name))
        assert (again.kinds, again.left_out.keys()) == (fitted.kinds, fitted.left_out.keys())
        assert again.state()["columns"][0]["mean"] == pytest.approx(fitted.state()["columns"][0]["mean"])


def test_parts_of_a_table_give_the_statistics_of_all(fitted, table):
    parts = preprocessing.TablePreprocessing(counts=["visits"]).fit(table.iloc[i : i + 7] for i in range(0, N, 7))
    assert parts.kinds == fitted.kinds
    np.testing.assert_allclose(parts.transform(table), fitted.transform(table), rtol=1e-5, atol=1e-5)


def test_ordered_categories_keep_their_order():
    levels = ["small", "medium", "large"]
    table = pd.DataFrame({"size": pd.Categorical(["large", "small", "medium"], levels, ordered=True), "n": [1.0, 2, 4]})
    by_pandas = preprocessing.TablePreprocessing().fit(table)
    by_name = preprocessing.TablePreprocessing(ordinal={"size": levels}).fit(table.astype({"size": "object"}))
    for made in (by_pandas, by_name):
        assert made.kinds["size"] == "ordinal"
        assert made.feature_names[:3] == ["size=small", "size=medium", "size=large"]
    with pytest.raises(ValueError, match=r"row 1, column 'size': 'huge' is none of the levels small, medium, large"):
        preprocessing.TablePreprocessing(ordinal={"size": levels}).fit({"size": ["small", "huge"], "n": [1.0, 2.0]})


def test_numbers_as_categories(tmp_path):
    """A whole number has no decimal point, wherever it comes from, so that it is one category."""
    (tmp_path / "zip.csv").write_text("zip,n\n0150,1\n0150,2\n,3\n0250,4\n")
    made = preprocessing.TablePreprocessing(categorical=["zip"])
    assert made.fit(tmp_path / "zip.csv").feature_names == ["zip=", "zip=0150", "zip=0250", "n"]
    assert made.fit(pd.DataFrame({"zip": [150, 150, None, 250], "n": [1, 2, 3, 4.5]})).feature_names[1] == "zip=150"


# === In a model ===


def model_of(fitted, **arguments):
    keras.utils.set_random_seed(0)
    arguments = {"latent_dim": 2, "output_activation": "linear", "missing": "mask", "seed": 0, **arguments}
    model = aezoo.Autoencoder(preprocessing=fitted, **arguments)
    model.compile("adam", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def model(fitted, table):
    model = model_of(fitted)
    model.fit(table, epochs=1, verbose=0)
    return model


def test_fit_takes_tables(model, fitted, table, tmp_path):
    x = fitted.transform(table)
    other = model_of(fitted)
    other.fit(x, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    table.to_csv(tmp_path / "table.csv", index=False)
    history = model_of(fitted).fit(tmp_path / "table.csv", validation_data=(table,), epochs=1, verbose=0)
    assert "val_loss" in history.history


def test_verbs_take_tables(model, fitted, table, tmp_path):
    x = fitted.transform(table)
    table.to_parquet(tmp_path / "table.parquet")
    for verb in ("encode", "reconstruct", "score_samples", "predict"):
        expected = np.asarray(getattr(model, verb)(x))
        for raw in (table, pl.from_pandas(table), str(tmp_path / "table.parquet")):
            np.testing.assert_allclose(np.asarray(getattr(model, verb)(raw)), expected, rtol=1e-4, atol=1e-5)
    assert model.evaluate(table, verbose=0) == pytest.approx(model.evaluate(x, verbose=0))


def test_a_data_set_of_raw_rows(model, fitted, table):
    rows = tf.data.Dataset.from_tensor_slices(fitted.to_arrays(table)).batch(16)
    np.testing.assert_allclose(model.encode(rows), model.encode(table), rtol=1e-4, atol=1e-5)


def test_conditions_beside_a_table(fitted, table):
    model = aezoo.ConditionalVAE(
        2, num_classes=2, output_activation="linear", likelihood="gaussian", missing="mask", preprocessing=fitted
    )
    model.compile("adam", run_eagerly=True)
    label = np.arange(N) % 2
    model.fit({"x": table, "label": label}, verbose=0)
    x = fitted.transform(table)
    np.testing.assert_allclose(model.encode(table, label=label), model.encode(x, label=label), rtol=1e-5, atol=1e-6)
    beside = preprocessing.TablePreprocessing(keep=["label"]).fit({"x": [1.0, 2.0], "label": ["a", "b"]})
    assert beside.is_raw({"x": [1.0], "label": ["a"]})
    assert not beside.is_raw({"x": table, "label": label})


def test_a_model_without_masks_says_what_to_do_about_missing_values(fitted, table):
    with pytest.raises(ValueError, match="missing='mask'"):
        model_of(fitted, missing="error").fit(table, verbose=0)


def test_preprocessing_is_saved_with_the_model(model, fitted, table, tmp_path):
    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "preset")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.preprocessing.get_config() == fitted.get_config()
    assert json.loads(json.dumps(fitted.get_config())) == fitted.get_config()
    for again in (loaded, aezoo.Autoencoder.from_preset(tmp_path / "preset"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_allclose(again.score_samples(table), model.score_samples(table), rtol=1e-5)
    assert copy.deepcopy(fitted).kinds == fitted.kinds


def test_a_model_without_preprocessing_has_none_in_its_configuration():
    assert "preprocessing" not in aezoo.Autoencoder(2).get_config()


def test_preprocessing_can_be_set_later(model, fitted, table):
    other = aezoo.Autoencoder(2, output_activation="linear", missing="mask")
    other(np.zeros((1, 8), "float32"))
    other.preprocessing = fitted
    assert other.encode(table).shape == (N, 2)
    narrow = preprocessing.TablePreprocessing(drop=["city"]).fit(table)
    with pytest.raises(ValueError, match=r"makes samples of shape \(4,\), but .* was built for \(8,\)"):
        other.preprocessing = narrow
    with pytest.raises(ValueError, match=r"is not fitted: call its fit\(raw\) first"):
        other.preprocessing = preprocessing.TablePreprocessing()
    with pytest.raises(ValueError, match=r"must be one of aezoo\.preprocessing"):
        other.preprocessing = StandardScaler()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "table"
    model.export(folder / "1")
    return folder


@pytest.mark.parametrize("elsewhere", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_export_takes_and_returns_raw_rows_without_aezoo(elsewhere, model, fitted, table, exported):
    """The reference is the model in Python; TensorFlow loads the export, or a process that cannot import aezoo does."""
    testing.serving.servable(exported / "1")
    rows = {name: values[:5] for name, values in fitted.to_arrays(table).items()}
    assert list(rows) == ["Age__years_", "city", "member", "since", "visits"]
    z = np.asarray(model.encode(table.iloc[:5]))
    if elsewhere:
        strings = {name: values.astype(str) if values.dtype == object else values for name, values in rows.items()}
        inputs = {
            f"{verb}|{name}": v
            for verb in ("serving_default", "encode", "score", "impute")
            for name, v in strings.items()
        }
        np.savez(exported / "inputs.npz", **inputs, **{"decode|z": z})
        outputs = testing.serving.called_elsewhere(str(exported))
    else:
        outputs = {}
        for verb, signature in tf.saved_model.load(str(exported / "1")).signatures.items():
            inputs = {"z": z} if verb == "decode" else rows
            for name, value in signature(**{key: tf.constant(v) for key, v in inputs.items()}).items():
                outputs[f"{verb}|5|{name}"] = value.numpy()
    np.testing.assert_allclose(outputs["encode|5|code"], z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["score|5|score"], model.score_samples(table.iloc[:5]), rtol=1e-4)
    expected = fitted.restore(model.reconstruct(table.iloc[:5]))
    for verb in ("serving_default", "decode"):
        np.testing.assert_allclose(outputs[f"{verb}|5|Age__years_"], expected["Age (years)"], rtol=1e-4)
        assert [city.decode() for city in outputs[f"{verb}|5|city"]] == expected["city"].fillna("").tolist()
        assert set(outputs[f"{verb}|5|member"]) <= {0.0, 1.0}


def test_warm_up_requests_are_raw_rows(exported, fitted):
    requests = list(warmup.read(exported / "1" / warmup.IN_SAVED_MODEL))
    assert {request.signature for request in requests} == {"serving_default", "encode", "decode", "score", "impute"}
    encode = next(request for request in requests if request.signature == "encode")
    assert set(encode.inputs) == set(fitted.raw_specs)
    assert encode.inputs["city"].tolist() == [b""]


def test_the_export_names_the_column_of_a_value_that_is_not_finite(exported, fitted, table):
    encode = tf.saved_model.load(str(exported / "1")).signatures["encode"]
    row = {name: tf.constant(v[:1]) for name, v in fitted.to_arrays(table).items()}
    assert np.isfinite(encode(**{**row, "Age__years_": tf.constant([np.nan])})["code"]).all()  # the model masks it
    with pytest.raises(tf.errors.InvalidArgumentError, match="since has infinite values"):
        encode(**{**row, "since": tf.constant([np.inf])})


@pytest.mark.slow
def test_the_network_can_be_exported_alone(model, tmp_path):
    model.export(tmp_path / "1", preprocessing=False, warmup=False)
    encode = tf.saved_model.load(str(tmp_path / "1")).signatures["encode"]
    assert list(encode.structured_input_signature[1]) == ["x"]


def test_warm_up_with_rows_of_the_user(model, table):
    requests = warmup.requests(model, "table", table.iloc[:3], model.preprocessing)
    encode = [request for request in requests if request.signature == "encode"]
    assert encode[-1].inputs["city"].tolist() == table["city"].iloc[:3].tolist()


def test_warm_up_of_a_column_with_the_name_of_the_codes():
    table = pd.DataFrame({"z": np.arange(30.0) % 7, "b": np.arange(30.0) % 5})
    made = preprocessing.TablePreprocessing().fit(table)
    model = aezoo.Autoencoder(1, hidden_dims=(), output_activation="linear", preprocessing=made, seed=0)
    model.build((None, 2))
    requests = {r.signature: r.inputs for r in warmup.requests(model, "table", table, made)}
    np.testing.assert_array_equal(requests["encode"]["z"], table["z"])
    np.testing.assert_array_equal(requests["decode"]["z"], model.encode(table))


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_strings_are_refused_where_they_cannot_be_converted(model, format, tmp_path):
    if format == "onnx":
        pytest.importorskip("tf2onnx")
    path = tmp_path / ("model.onnx" if format == "onnx" else "model.tflite")
    with pytest.raises(ValueError, match=r"takes strings \(city\), which .* preprocessing=False"):
        model.export(path, format=format)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_numbers_are_converted(format, tmp_path):
    table = pd.DataFrame(np.random.default_rng(0).normal([5, 100], [1, 30], (40, 2)), columns=["a", "b"])
    fitted = preprocessing.TablePreprocessing().fit(table)
    model = model_of(fitted, missing="error", latent_dim=1)
    model.fit(table, verbose=0)
    values = {name: v[:4] for name, v in fitted.to_arrays(table).items()}
    expected = fitted.restore(model.reconstruct(table.iloc[:4]))
    if format == "onnx":
        import onnxruntime

        model.export(tmp_path / "model.onnx", format="onnx")
        session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
        got = dict(zip([output.name for output in session.get_outputs()], session.run(None, values), strict=True))
    else:
        litert = pytest.importorskip("ai_edge_litert.interpreter")
        model.export(tmp_path / "model.tflite", format="litert")
        interpreter = litert.Interpreter(str(tmp_path / "model.tflite"))
        got = interpreter.get_signature_runner("serving_default")(**values)
    for name in ("a", "b"):
        output = f"{name}_reconstruction" if format == "onnx" else name
        np.testing.assert_allclose(got[output], expected[name], rtol=1e-3)


@pytest.mark.slow
def test_8_bit_integers_take_raw_numbers(tmp_path):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    table = pd.DataFrame(np.random.default_rng(0).normal([5, 100], [1, 30], (40, 2)), columns=["a", "b"])
    fitted = preprocessing.TablePreprocessing().fit(table)
    model = model_of(fitted, missing="error", latent_dim=1)
    model.fit(table, verbose=0)
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", signatures=("encode", "reconstruct"), quantize=table)
    error = aezoo.evaluation.litert_error(model, path, table)
    assert error.keys() == {"encode", "reconstruct/a", "reconstruct/b"}
    expected = fitted.restore(model.reconstruct(table))
    runner = litert.Interpreter(str(path)).get_signature_runner("serving_default")
    got = runner(**fitted.to_arrays(table))
    for name in ("a", "b"):
        difference = np.abs(got[name] - expected[name])
        assert error[f"reconstruct/{name}"]["mean"] == pytest.approx(difference.mean(), rel=1e-2, abs=1e-4)
    x = np.asarray(fitted(fitted.to_arrays(table)))
    model.export(path, format="litert", signatures="encode", preprocessing=False, quantize=x)
    error = aezoo.evaluation.litert_error(model, path, x, preprocessing=False)
    assert 0 < error["encode"]["mean"] < 0.1 * error["encode"]["std"]


# === Bad input: one sentence each ===


def test_a_column_that_disappears_and_one_that_appears(fitted, model, table):
    with pytest.raises(ValueError, match=r"The table has no column city, which the preprocessing was fitted on"):
        model.encode(table.drop(columns="city"))
    with pytest.warns(UserWarning, match=r"not fitted on, which are ignored: new"):
        codes = model.encode(table.assign(new=1.0))
    np.testing.assert_array_equal(codes, model.encode(table))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # columns that were left out may be there, or not
        model.encode(table.drop(columns=["id", "note"]))
        model.encode(table[table.columns[::-1]])  # in any order


def test_text_in_a_column_of_numbers_among_the_rows_that_are_not_used(tmp_path):
    """The text decides how pyarrow reads the column, so that it must not be overlooked."""
    rows = [str(number) for number in range(30)]
    rows[7] = "old"
    (tmp_path / "bad.csv").write_text("age,size\n" + "".join(f"{row},{i % 5}\n" for i, row in enumerate(rows)))
    made = preprocessing.TablePreprocessing()
    with pytest.raises(ValueError, match=r"bad.csv, row 9, column 'age': 'old' is not a number, as most values"):
        made.fit_sources([made.source(tmp_path / "bad.csv")], part=lambda first, n: np.arange(first, first + n) != 7)


def test_decimal_commas_are_named(tmp_path):
    (tmp_path / "bad.csv").write_text("a;b\n" + "".join(f"{i},5;{i}\n" for i in range(30)))
    with pytest.raises(ValueError, match=r"bad.csv, row 2, column 'a': '0,5' has a decimal comma; write numbers with"):
        preprocessing.TablePreprocessing().fit(tmp_path / "bad.csv")


def test_text_in_a_column_of_numbers(fitted, model, table, tmp_path):
    bad = table.astype({"Age (years)": object})
    bad["Age (years)"] = [str(value) for value in bad["Age (years)"]]
    bad.loc[9, "Age (years)"] = "old"
    with pytest.raises(ValueError, match=r"The table, row 9, column 'Age \(years\)': 'old' is not a number"):
        model.encode(bad)
    with pytest.raises(ValueError, match=r"row 9, column 'Age \(years\)': 'old' is not a number, as most values"):
        preprocessing.TablePreprocessing().fit(bad)
    bad.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=r"bad.csv, row 11, column 'Age \(years\)': 'old' is not a number"):
        model.encode(tmp_path / "bad.csv")
    with pytest.raises(ValueError, match=r"bad.csv, row 11, column 'Age \(years\)': 'old' is not a number"):
        preprocessing.TablePreprocessing().fit(tmp_path / "bad.csv")


def written(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding, newline="")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv is empty"),
        ("a,b\n", r"t\.csv has no rows"),
        ("a,b\n1,2\n3,4,5\n", r"t\.csv, row 3, has 3 values, but the header has 2 columns"),
        ("a,b\n1,2\n3\n", r"t\.csv, row 3, has 1 value, but the header has 2 columns"),
        ("a,a\n1,2\n", r"t\.csv has several columns 'a'"),
        ("a,b\n1,2\n1,2\n", r"t\.csv has no column to learn from \(a: constant, 1; b: constant, 2\)"),
        ("a,b\n1,2\n5,inf\n", r"t\.csv, row 3, column 'b': the value is infinite or too large"),
    ],
)
def test_bad_files(text, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        preprocessing.TablePreprocessing().fit(written(tmp_path / "t.csv", text))
    assert str(error.value).count(". ") == 0
    assert "\n" not in str(error.value)


def test_other_encodings(tmp_path):
    latin = written(tmp_path / "latin.csv", "city,n\nOslo,1\nMálaga,2\n", "latin-1")
    with pytest.raises(ValueError, match=r"latin\.csv, row 3, column 'city': the text is not in UTF-8"):
        preprocessing.TablePreprocessing().fit(latin)
    with pytest.raises(ValueError, match=r"header\.csv, row 1, is not text in UTF-8"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "header.csv", "größe,n\n1,2\n", "latin-1"))
    with pytest.raises(ValueError, match=r"wide\.csv is not text in UTF-8 \(it looks like UTF-16\)"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "wide.csv", "a,b\n1,2\n", "utf-16"))
    marked = written(tmp_path / "marked.csv", "a,b\n1,2\n3,5\n", "utf-8-sig")
    assert preprocessing.TablePreprocessing().fit(marked).feature_names == ["a", "b"]


def test_a_wrong_path(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere\.csv"):
        preprocessing.TablePreprocessing().fit(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="is a folder: name one CSV or Parquet file"):
        preprocessing.TablePreprocessing().fit(tmp_path)
    with pytest.raises(ValueError, match=r"cat\.png is not a table that can be read"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "cat.png", "a"))
    with pytest.raises(ValueError, match=r"t\.parquet is damaged, or not a Parquet file"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "t.parquet", "a,b\n1,2\n"))


def test_odd_columns_of_tables_in_memory():
    with pytest.raises(ValueError, match=r"The column 'a' mixes str with other types, such as 5 in row 2"):
        preprocessing.TablePreprocessing().fit(pd.DataFrame({"a": ["x", "y", 5]}))
    with pytest.raises(ValueError, match=r"the column 'a' of type list<.*drop=\['a'\]"):
        preprocessing.TablePreprocessing().fit(pa.table({"a": [[1], [2]], "b": [1, 2]}))
    with pytest.raises(ValueError, match="A LazyFrame has no data yet"):
        preprocessing.TablePreprocessing().fit(pl.LazyFrame({"a": [1]}))
    with pytest.raises(ValueError, match="different lengths: 'b' has 1, 'a' has 2 values"):
        preprocessing.TablePreprocessing().fit({"a": [1, 2], "b": [1]})
    with pytest.raises(ValueError, match=r"row 1, column 'n': -1 is not a count"):
        preprocessing.TablePreprocessing(counts=["n"]).fit({"n": [1, -1]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drop": ["nothing"]}, "drop= names the column 'nothing', which is not in the table"),
        ({"categorical": "city"}, r"categorical must be a sequence of names, such as \['city'\]"),
        ({"categorical": ["city"], "drop": ["city"]}, "'city' is named in categorical= and in drop="),
        ({"empty": "zero"}, "empty='zero' is unknown"),
        ({"max_categories": 1}, "max_categories must be at least 2"),
    ],
)
def test_wrong_arguments(arguments, message, table):
    with pytest.raises(ValueError, match=message):
        preprocessing.TablePreprocessing(**arguments).fit(table)


def test_packages_that_are_missing_are_named(fitted, table, monkeypatch):
    from aezoo.preprocessing import _reading

    x = fitted.transform(table)
    _reading.arrow.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'pip install "aezoo\[data\]"'):
        preprocessing.TablePreprocessing().fit(table)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "aezoo\[data\]"'):
        fitted.restore(x)


# === CSV in detail ===


def test_types_are_found_where_the_first_value_comes_late(tmp_path, monkeypatch):
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", 200)
    with open(tmp_path / "late.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["n", "late", "never", "quoted"])
        for i in range(100):
            rows.writerow([i % 7, i % 5 / 2 if i > 60 else "", "", "two\nlines" if i % 2 else "one, line"])
    made = preprocessing.TablePreprocessing().fit(tmp_path / "late.csv")
    assert made.kinds == {"n": "numeric", "late": "numeric", "quoted": "categorical"}
    assert made.left_out == {"never": "empty"}
    assert made.state()["columns"][1]["missing"] == pytest.approx(0.61)


@pytest.mark.parametrize("block", [60, 2**20])
@pytest.mark.parametrize("row", [0, 95])
@pytest.mark.parametrize("first", [0, 40])
def test_digits_with_leading_zeros_are_text(block, row, first, tmp_path, monkeypatch):
    """The answer is the same where the first such value comes late, or all values do."""
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", block)
    codes = [("10115", "4109", "80331")[i % 3] if i >= first else "" for i in range(100)]
    codes[row] = "01067"
    decimals = [f"{i % 7}.5" for i in range(100)]
    decimals[row], decimals[90] = "0", "00.25"
    lines = [f"{codes[i]},{decimals[i]},2020-01-{i % 30 + 1:02d}" for i in range(100)]
    path = written(tmp_path / "t.csv", "\n".join(["zip,size,at", *lines]))
    made = preprocessing.TablePreprocessing().fit(path)
    assert made.kinds == {"zip": "categorical", "size": "numeric", "at": "date"}
    assert [name for name in made.feature_names if name.startswith("zip=0")] == ["zip=01067"]
    assert made.to_arrays(path)["zip"].tolist() == codes


def test_measurements_are_read_as_texts_in_the_first_block_only(tmp_path, monkeypatch):
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", 60)
    path = written(tmp_path / "t.csv", "zip,size\n" + "".join(f"{10115 + i % 7},{i % 5}.5\n" for i in range(100)))
    source = aezoo.preprocessing._reading.Source
    batches, read = source._csv_batches, []

    def noted(self, names, types):
        read.append(names)
        return batches(self, names, types)

    monkeypatch.setattr(source, "_csv_batches", noted)
    source(path)
    assert read == [["zip", "size"], ["zip"]]


@pytest.mark.parametrize("block", [60, 2**20])
def test_codes_may_have_letters_late_in_a_file(block, tmp_path, monkeypatch):
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", block)
    codes = [("10115", "4109", "01067")[i % 3] for i in range(100)] + ["2A004"]
    path = written(tmp_path / "t.csv", "\n".join(["zip,n", *(f"{code},{i % 7}" for i, code in enumerate(codes))]))
    made = preprocessing.TablePreprocessing().fit(path)
    assert made.feature_names[:4] == ["zip=01067", "zip=10115", "zip=2A004", "zip=4109"]


def test_a_code_among_decimal_commas_excuses_no_comma(tmp_path):
    values = [f'"{i % 9},5"' for i in range(80)]
    values[60] = "05"
    path = written(tmp_path / "a.csv", "x,n\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values)))
    with pytest.raises(ValueError, match="decimal comma"):
        preprocessing.TablePreprocessing().fit(path)


@pytest.mark.parametrize("padded", ["05", "007"])
def test_a_padded_value_among_measurements_is_a_number(tmp_path, padded):
    values = [f"{0.5 + i % 17}" for i in range(80)]
    values[60] = padded
    path = written(tmp_path / "a.csv", "x,n\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values)))
    assert preprocessing.TablePreprocessing().fit(path).kinds["x"] == "numeric"


def test_the_kind_that_the_user_chooses_wins_over_leading_zeros(tmp_path):
    path = written(tmp_path / "t.csv", "visits,grade,n\n007,01,1\n2,02,2\n00,01,4\n")
    made = preprocessing.TablePreprocessing(counts=["visits"], ordinal={"grade": ["01", "02"]}).fit(path)
    assert made.kinds == {"visits": "count", "grade": "ordinal", "n": "numeric"}
    assert made.to_arrays(path)["visits"].tolist() == [7, 2, 0]


def test_leading_zeros_in_a_later_part_of_a_table_are_refused(tmp_path):
    parts = [written(tmp_path / f"{i}.csv", f"zip,n\n{code},1\n4109,2\n") for i, code in enumerate(("10115", "01067"))]
    with pytest.raises(ValueError, match=r"1\.csv, .*column 'zip': '01067' starts with a zero, but the"):
        preprocessing.TablePreprocessing().fit(iter(parts))
    made = preprocessing.TablePreprocessing(categorical=["zip"]).fit(iter(parts))
    assert made.feature_names[:3] == ["zip=01067", "zip=10115", "zip=4109"]


def test_an_error_late_in_a_file_has_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr(aezoo.preprocessing._reading, "_BLOCK", 200)
    lines = [f"{i % 7},{i % 3}" for i in range(100)]
    lines[80] = "oops,1"
    with pytest.raises(ValueError, match=r"t\.csv, row 82, column 'a': 'oops' is not a number, as other values"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "t.csv", "\n".join(["a,b", *lines])))
    lines[80] = "1"
    with pytest.raises(ValueError, match=r"t\.csv, row 82, has 1 value, but the header has 2 columns"):
        preprocessing.TablePreprocessing().fit(written(tmp_path / "t.csv", "\n".join(["a,b", *lines])))


def test_dates(tmp_path):
    text = "when,at,n\n2020-01-01,2020-01-01 12:00,1\n2020-01-03,2020-01-01T18:00,2\n,2020-01-02 00:00:00.5,4\n"
    made = preprocessing.TablePreprocessing().fit(written(tmp_path / "t.csv", text))
    assert made.kinds == {"when": "date", "at": "date", "n": "numeric"}
    epoch = datetime.date(1970, 1, 1)
    days = [(datetime.date(2020, 1, day) - epoch).days for day in (1, 3)]
    np.testing.assert_array_equal(made.to_arrays(tmp_path / "t.csv")["when"], np.float32([*days, np.nan]))
    as_text = pd.read_csv(tmp_path / "t.csv")
    restored = made.restore(made.transform(as_text))
    assert restored["when"].isna().tolist() == [False, False, True]
    assert abs(restored["at"][1] - pd.Timestamp("2020-01-01 18:00")) < pd.Timedelta("5min")
    as_text.loc[1, "at"] = "yesterday"
    with pytest.raises(ValueError, match=r"The table, row 1, column 'at': 'yesterday' is not a date"):
        made.transform(as_text)


def test_numbers_that_float32_cannot_tell_apart_are_left_out():
    table = pd.DataFrame({"second": 1.7e9 + np.arange(40.0) % 7 * 20, "x": np.arange(40.0) % 7})
    made = preprocessing.TablePreprocessing().fit(table)
    assert list(made.kinds) == ["x"]
    assert made.left_out["second"] == "differences around 1.7e+09 that are too small for float32"


def test_numbers_and_times_beyond_float64_are_rounded():
    stamps = pd.to_datetime(1_700_000_000_000_000_001 + np.arange(40) * 86_400_000_000_000)
    table = pd.DataFrame({"id": 2**60 + np.arange(40), "at": stamps, "x": np.arange(40.0) % 7})
    made = preprocessing.TablePreprocessing().fit(table)
    assert list(made.kinds) == ["at", "x"]
    expected = StandardScaler().fit_transform(np.arange(40.0)[:, None])[:, 0]
    np.testing.assert_allclose(made.transform(table)[:, 0], expected, atol=1e-4)


def test_nan_in_a_column_read_as_text_is_an_empty_cell():
    table = pa.table({"code": [1.5, float("nan"), 2.0, 1.5]})  # NaN, which Arrow does not count as missing
    made = preprocessing.TablePreprocessing(categorical=["code"]).fit(table)
    assert made.feature_names == ["code=", "code=1.5", "code=2"]


def test_numbers_in_a_column_of_dates_are_refused():
    made = preprocessing.TablePreprocessing().fit(pd.DataFrame({"day": pd.date_range("2024", periods=5)}))
    with pytest.raises(ValueError, match=r"column 'day' of type int64, which the preprocessing was fitted on as date"):
        made.transform(pd.DataFrame({"day": [20240101]}))


def test_a_column_that_is_empty_in_the_first_part_only():
    parts = [pd.DataFrame({"a": values, "b": np.arange(3.0)}) for values in ([None] * 3, [1.0, 2.0, 4.0])]
    made = preprocessing.TablePreprocessing().fit(iter(parts))
    assert made.kinds == {"a": "numeric", "b": "numeric"}
    assert made.columns[0].missing == 0.5 and made.columns[0].mean == pytest.approx(7 / 3)


def test_values_that_are_no_counts_or_booleans_are_refused():
    table = pd.DataFrame({"n": [np.nan, 2.5] + [3.0, 4.0] * 10, "b": [True, False] * 11})
    with pytest.raises(ValueError, match=r"row 1, column 'n': 2.5 is not a count"):  # after a missing value
        preprocessing.TablePreprocessing(counts=["n"]).fit(table)
    table.loc[1, "n"] = 2
    made = preprocessing.TablePreprocessing(counts=["n"]).fit(table)
    with pytest.raises(ValueError, match=r"row 0, column 'n': -1 is not a count"):
        made.transform(table.assign(n=-1))
    with pytest.raises(ValueError, match=r"row 0, column 'b': 5 is not a boolean, 0 or 1"):
        made.transform(table.assign(b=5.0))
