"""Reading of lines of text."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf

from aezoo._typing import Tensor
from aezoo.datasets import order
from aezoo.datasets.prepared import Prepared
from aezoo.preprocessing.text import TextPreprocessing, Tokens, as_text

_BUCKETS = 10**6  # of the hash that splits lines
_LINES = 4096  # that are read at a time
# The shuffle buffer has all lines of a text up to this size, else at least so many lines.
_SHUFFLE_BYTES, _SHUFFLE_LINES = 2**26, 10_000


def from_text(
    path_or_lines: str | os.PathLike[str] | Iterable[str],
    tokens: Tokens = "characters",
    *,
    max_length: int | None = None,
    vocabulary_size: int | None = None,
    lowercase: bool = False,
    batch_size: int = 128,
    test_fraction: float = 0.2,
    seed: int = 0,
    shuffle: bool = True,
) -> Prepared:
    """Read lines of text as numbers of characters or words.

    Spaces at the ends of a line are removed and empty lines left out. A hash of the line and the seed assigns it to a
    split: equal lines are in the same one, and a line stays there when others are added. A file is read line by line,
    in memory that does not depend on its size.

    Args:
        path_or_lines: Path of a UTF-8 file with one text per line, or the lines.
        tokens: "characters" or "words"; see `aezoo.preprocessing.TextPreprocessing`.
        max_length: Number of tokens per sample; longer lines are cut. None takes the longest training line.
        vocabulary_size: Most tokens to keep, with the two for padding and unknown tokens. None keeps all.
        lowercase: Whether to read text in lower case.
        batch_size: Number of lines per batch; the last batch may be smaller.
        test_fraction: Share of the lines that are for testing.
        seed: Seed of the split and of the order of the training lines.
        shuffle: Whether each pass over the training lines has a new order: within a buffer that has all lines of a text
            of up to 64 MiB.

    Returns:
        The two splits, int32 of shape (batch, max_length) with 0 for padding and 1 for unknown tokens, and the fitted
        `TextPreprocessing`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not UTF-8, or there are no lines; the message names the line.

    Example:
        >>> from aezoo import datasets
        >>> names = datasets.from_text(["anna", "ian", "nina", "", "ann", "ina", "nan"], seed=1)
        >>> names.arrays("train").shape
        (5, 4)
        >>> names.preprocessing.restore(names.arrays("test"))
        ['ina']
    """
    order.check_split(test_fraction, batch_size)
    preprocessing = TextPreprocessing(tokens, max_length, vocabulary_size, lowercase)
    if isinstance(path_or_lines, (str, os.PathLike)):
        path = Path(path_or_lines)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}; pass texts as a list of strings.")
        what, lines = str(path), tf.data.TextLineDataset(os.fsencode(path))
    else:
        texts = as_text(list(path_or_lines))
        what, lines = "The lines", tf.data.Dataset.from_tensor_slices(texts if len(texts) else [""])
    blocks = lines.batch(_LINES)

    def cleaned(block: Tensor) -> tuple[Tensor, Tensor]:
        block = tf.strings.strip(tf.strings.regex_replace(block, "^\N{BYTE ORDER MARK}", ""))
        keyed = tf.strings.join([str(seed), ":", block])
        return block, tf.strings.to_hash_bucket_fast(keyed, _BUCKETS) < round(test_fraction * _BUCKETS)

    counts = {"train": 0, "test": 0}
    empty = size = number = 0
    for raw, (block, is_test) in tf.data.Dataset.zip(blocks, blocks.map(cleaned)).as_numpy_iterator():
        for line in raw:
            number += 1
            size += len(line)
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{what}, line {number}, is not UTF-8: byte 0x{line[error.start]:02x} at position {error.start}. "
                    "Convert the text to UTF-8 first."
                ) from None
        filled = block != b""
        empty += int((~filled).sum())
        counts["test"] += int((filled & is_test).sum())
        counts["train"] += int((filled & ~is_test).sum())
    if not counts["train"]:
        raise ValueError(f"{what} has no training texts: {empty:,} empty lines, {counts['test']:,} for testing.")

    def texts_of(split: str) -> tf.data.Dataset:
        def chosen(block: Tensor) -> Tensor:
            block, is_test = cleaned(block)
            wanted = is_test if split == "test" else tf.logical_not(is_test)
            return tf.boolean_mask(block, tf.logical_and(wanted, tf.not_equal(block, "")))

        return blocks.map(chosen).unbatch()

    preprocessing.fit(texts_of("train"))
    cut = 0
    # Without max_length no training text is longer than the longest one.
    for split in ("train", "test") if max_length is not None else ("test",):
        if counts[split]:
            for lengths in texts_of(split).batch(_LINES).map(preprocessing.lengths).as_numpy_iterator():
                cut += int((lengths > preprocessing.sample_shape[0]).sum())

    def batches(split: str, shuffled: bool = False) -> tf.data.Dataset:
        n = counts[split]
        dataset = texts_of(split)
        if shuffled:
            fitting = math.ceil(_SHUFFLE_BYTES / max(1.0, size / number))
            dataset = dataset.shuffle(min(n, max(_SHUFFLE_LINES, fitting)), seed=seed)
        dataset = dataset.batch(batch_size).map(lambda texts: preprocessing.call({"text": texts}))
        return dataset.apply(tf.data.experimental.assert_cardinality(math.ceil(n / batch_size))).prefetch(2)

    notes = [
        f"{what}: {counts['train']:,} texts for training and {counts['test']:,} for testing, split by a hash of the "
        f"text with seed {seed}.",
        preprocessing.summary,
    ]
    if empty:
        notes.append(f"Empty lines, left out: {empty:,}.")
    if cut:
        notes.append(f"Texts of more than {preprocessing.max_length} {tokens}, cut: {cut:,}.")
    return Prepared(
        train=batches("train", shuffle),
        test=batches("test"),
        preprocessing=preprocessing,
        summary="\n".join(notes),
        samples=counts,
        read=batches,
    )
