"""Lines of text, compared with Python's own strings."""

import collections
import re

import keras
import numpy as np
import pytest

from aezoo import datasets
from aezoo.preprocessing import TextPreprocessing

LINES = [
    "Hello, world!",
    "It's a well-known story (so they say).",
    "Größe: naïve 東京 😀",
    "the the the cat",
    "A cat sat.",
]


def words(line):
    return re.findall(r"[\w'-]+|[^\w\s]", line)


def vocabulary(lines, split):
    counts = collections.Counter(token for line in lines for token in split(line))
    return ["", "[UNK]", *sorted(counts, key=lambda token: (-counts[token], token))]


@pytest.mark.parametrize(("tokens", "split"), [("characters", list), ("words", words)])
def test_tokens_are_numbered_as_by_a_plain_count(tokens, split):
    fitted = TextPreprocessing(tokens).fit(LINES)
    known = vocabulary(LINES, split)
    assert list(fitted.vocabulary) == known
    longest = max(len(split(line)) for line in LINES)
    expected = np.zeros((len(LINES), longest), "int32")
    for row, line in zip(expected, LINES, strict=True):
        numbers = [known.index(token) for token in split(line)]
        row[: len(numbers)] = numbers
    found = fitted.transform(LINES)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int32
    assert fitted.restore(found) == LINES
    np.testing.assert_array_equal(fitted.mask(found), expected > 0)
    again = TextPreprocessing.from_config(fitted.get_config())
    np.testing.assert_array_equal(again.transform(LINES), expected)


def test_length_vocabulary_case_and_unknown_tokens():
    fitted = TextPreprocessing("words", max_length=3, vocabulary_size=4, lowercase=True).fit(LINES)
    assert fitted.vocabulary == ("", "[UNK]", "the", ".")
    np.testing.assert_array_equal(fitted.transform(["THE . CAT the", "dog"]), [[2, 3, 1], [1, 0, 0]])
    assert fitted.restore(np.int32([[2, 1, 0]])) == ["the �"]


def test_padding_ends_a_text_and_probabilities_are_decoded():
    fitted = TextPreprocessing().fit(["ab"])
    assert fitted.restore(np.int32([[2, 0, 3], [2, 3, 9]])) == ["a", "ab"]
    probabilities = keras.utils.to_categorical([[3, 2]], 4)
    assert fitted.restore(probabilities) == ["ba"]


@pytest.mark.parametrize("form", ["file", pytest.param("list", marks=pytest.mark.slow)])
def test_lines_are_read_once_and_split(tmp_path, form):
    lines = [f"name {i}" for i in range(200)]
    content = "\ufeff" + "\r\n".join([*lines[:100], "", "  ", *lines[100:], f"  {lines[3]}  "])
    (tmp_path / "names.txt").write_bytes(content.encode())
    data = tmp_path / "names.txt" if form == "file" else content.split("\r\n")
    found = datasets.from_text(data, batch_size=16)
    restore = found.preprocessing.restore
    train, test = restore(found.arrays("train")), restore(found.arrays("test"))
    assert sorted(train + test) == sorted([*lines, lines[3]])
    assert train == [line for line in [*lines, lines[3]] if line in set(train)]
    assert not set(train) & set(test) and 15 < len(test) < 70
    assert len(found.train) == -(-len(train) // 16)
    assert "Empty lines, left out: 2." in found.summary
    batches = list(found.train.repeat(2))
    assert len(batches) == 2 * len(found.train)
    shuffled = [restore(np.concatenate(part)) for part in (batches[: len(found.train)], batches[len(found.train) :])]
    assert shuffled[0] != shuffled[1] and sorted(shuffled[0]) == sorted(shuffled[1]) == sorted(train)
    assert found.train.element_spec.shape == (None, found.preprocessing.max_length)
    if form == "list":
        other = datasets.from_text(data, seed=1)
        assert set(other.preprocessing.restore(other.arrays("test"))) != set(test)


def test_long_texts_are_cut_and_counted():
    found = datasets.from_text(["abc", "abcdef", "ab"], max_length=3, test_fraction=0)
    assert found.preprocessing.restore(found.arrays("train")) == ["abc", "abc", "ab"]
    assert "Texts of more than 3 characters, cut: 1." in found.summary


def test_errors_name_the_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("eins\nzwei\nfünf\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"latin.txt, line 3, is not UTF-8: byte 0xfc at position 1"):
        datasets.from_text(path)
    path.write_text("\n\n")
    with pytest.raises(ValueError, match=r"no training texts: 2 empty lines"):
        datasets.from_text(path)
    with pytest.raises(ValueError, match=r"no training texts"):
        datasets.from_text([])
    with pytest.raises(FileNotFoundError, match=r"There is no file .*; pass texts as a list"):
        datasets.from_text("Hello")
    with pytest.raises(ValueError, match=r"Text 1 is 3"):
        datasets.from_text(["a", 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tokens": "bytes"}, "tokens='bytes'"), ({"max_length": 0}, "max_length=0"), ({"vocabulary_size": 2}, "size=2")],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        TextPreprocessing(**options)


def test_raw_is_strings():
    import pandas as pd
    import tensorflow as tf

    fitted = TextPreprocessing().fit(LINES)
    for raw in (LINES, np.array(LINES), np.array(LINES, object), pd.Series(LINES), tf.constant(LINES)):
        assert fitted.is_raw(raw), type(raw)
        np.testing.assert_array_equal(fitted.transform(raw), fitted.transform(LINES))
    assert not any(map(fitted.is_raw, (np.zeros((2, 3), "int32"), "text", [1, 2], [])))
    with pytest.raises(ValueError, match=r"has no vocabulary yet"):
        TextPreprocessing().sample_shape  # noqa: B018


@pytest.mark.slow
def test_the_vocabulary_is_part_of_an_exported_graph(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.preprocessing = fitted = TextPreprocessing("words").fit(LINES)
    spec = fitted.raw_specs["text"]
    module.numbers = tf.function(lambda text: fitted.call({"text": text}), input_signature=[spec])
    module.texts = tf.function(fitted.invert, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    numbers = loaded.numbers(tf.constant(LINES))
    np.testing.assert_array_equal(numbers, fitted.transform(LINES))
    assert [text.decode() for text in loaded.texts(numbers)["text"].numpy()] == LINES
