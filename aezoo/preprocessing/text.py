"""Preprocessing of text: characters or words to token ids, and back."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from aezoo._typing import Self, Shape, Tensor
from aezoo.preprocessing.base import Preprocessing

Tokens = Literal["characters", "words"]
PADDING, UNKNOWN = 0, 1
"""Tokens that every vocabulary begins with: after the end of a text, and for tokens that training did not have."""
_LINES = 4096  # that `fit` counts at a time
# A character that ends a word and is a token: all but letters, marks, digits, spaces, apostrophes, "_" and hyphens.
_PUNCTUATION = r"([^\pL\pM\pN\s'’_-])"
_NO_SPACE_BEFORE = r" ([,.;:!?…%)\]}»])"
_NO_SPACE_AFTER = r"([(\[{«]) "


@keras.saving.register_keras_serializable("aezoo")
class TextPreprocessing(Preprocessing):
    """Convert lines of text to token ids, int32, padded to one length, and back.

    A token is a character, or a word or punctuation mark. Number 0 pads texts to `max_length`, 1 stands for tokens that
    are not in the vocabulary, and the others are sorted from the most frequent. `keras.layers.TextVectorization` maps
    text to numbers in an exported model.

    Args:
        tokens: "characters" or "words".
        max_length: Number of tokens per sample; longer texts are cut. None takes the longest text in `fit`.
        vocabulary_size: Maximum number of tokens to keep, including padding and unknown; None keeps all.
        lowercase: Whether to read text in lower case.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> preprocessing = TextPreprocessing().fit(["anna", "ann", "ian"])
        >>> preprocessing.vocabulary
        ('', '[UNK]', 'n', 'a', 'i')
        >>> preprocessing.transform(["nina", "bo"])
        array([[2, 4, 2, 3],
               [1, 1, 0, 0]], dtype=int32)
        >>> preprocessing.restore(np.int32([[3, 2, 2, 0]]))
        ['ann']
    """

    def __init__(
        self,
        tokens: Tokens = "characters",
        max_length: int | None = None,
        vocabulary_size: int | None = None,
        lowercase: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if tokens not in ("characters", "words"):
            raise ValueError(f"tokens={tokens!r} is unknown: choose 'characters' or 'words'.")
        for name, value, least in (("max_length", max_length, 1), ("vocabulary_size", vocabulary_size, 3)):
            if value is not None and (not isinstance(value, (int, np.integer)) or value < least):
                raise ValueError(f"{name}={value!r}: give an integer of at least {least}, or None.")
        self.tokens, self.lowercase = tokens, lowercase
        self.max_length, self.vocabulary_size = max_length, vocabulary_size
        self.vocabulary: tuple[str, ...] = ()

    # === Fitting ===

    def fit(self, raw: Any) -> Self:
        """Count the tokens and find the longest text; return self.

        Args:
            raw: A list or an array of strings, or a `tf.data.Dataset` of single strings.

        Raises:
            ValueError: If there is no token.
        """
        lines = raw if isinstance(raw, tf.data.Dataset) else tf.data.Dataset.from_tensor_slices(as_text(raw))
        counts: collections.Counter[str] = collections.Counter()
        longest = 0
        for batch in lines.batch(_LINES).map(self._split):
            found, number = np.unique(batch.flat_values.numpy(), return_counts=True)
            counts.update(dict(zip((token.decode() for token in found), number.tolist(), strict=True)))
            longest = max(longest, int(tf.reduce_max(batch.row_lengths())))
        for reserved in ("", "[UNK]"):
            counts.pop(reserved, None)
        if not counts:
            raise ValueError("The text has no tokens: all lines are empty.")
        kept = sorted(counts, key=lambda token: (-counts[token], token))
        size = None if self.vocabulary_size is None else self.vocabulary_size - 2
        self.set_state({"vocabulary": ["", "[UNK]", *kept[:size]], "max_length": self.max_length or longest})
        return self

    @property
    def is_fitted(self) -> bool:
        return bool(self.vocabulary)

    def state(self) -> dict[str, Any]:
        return {"vocabulary": list(self.vocabulary), "max_length": self.max_length}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.vocabulary, self.max_length = tuple(state["vocabulary"]), int(state["max_length"])
        self.vectorization = keras.layers.TextVectorization(
            standardize=None,
            split="character" if self.tokens == "characters" else "whitespace",
            output_sequence_length=self.max_length,
            vocabulary=list(self.vocabulary[2:]),
        )

    @property
    def summary(self) -> str:
        return f"Samples of {self.max_length} {self.tokens}; {len(self.vocabulary):,} tokens, 0 = padding, 1 = unknown."

    # === Shapes and names ===

    @property
    def raw_specs(self) -> dict[str, tf.TensorSpec]:
        return {"text": tf.TensorSpec((None,), tf.string, name="text")}

    @property
    def sample_shape(self) -> Shape:
        if not self.vocabulary:
            raise ValueError("TextPreprocessing has no vocabulary yet: call fit.")
        return (self.max_length,)

    # === From text to tokens, and back ===

    def is_raw(self, data: Any) -> bool:
        if isinstance(data, (list, tuple)):
            return bool(data) and all(isinstance(line, (str, bytes)) for line in data)
        dtype = getattr(data, "dtype", None)
        if dtype is None or isinstance(data, tf.data.Dataset) or len(getattr(data, "shape", ())) != 1:
            return False
        if tf.is_tensor(data):
            return dtype == tf.string
        kind = getattr(dtype, "kind", "")
        return kind in "SUT" if kind != "O" else all(isinstance(line, (str, bytes)) for line in data)

    def to_arrays(self, raw: Any) -> dict[str, np.ndarray]:
        """Return strings as an array of objects.

        Args:
            raw: A list or an array of strings.

        Raises:
            ValueError: If an entry is not a string; the message names it.
        """
        return {"text": as_text(raw)}

    def _split(self, lines: Tensor) -> Tensor:
        """Return the tokens of each line, ragged."""
        cleaned = self._cleaned(lines)
        if self.tokens == "characters":
            return tf.strings.unicode_split(cleaned, "UTF-8")
        return tf.strings.split(cleaned)

    def _cleaned(self, lines: Tensor) -> Tensor:
        """Return lines in lower case if `lowercase`, with spaces around punctuation if tokens are words."""
        if self.lowercase:
            lines = tf.strings.lower(lines, encoding="utf-8")
        return tf.strings.regex_replace(lines, _PUNCTUATION, r" \1 ") if self.tokens == "words" else lines

    def lengths(self, lines: Tensor) -> Tensor:
        """Return the number of tokens of each line before it is cut or padded, int64.

        Args:
            lines: Strings, (n,).
        """
        return self._split(lines).row_lengths()

    def mask(self, x: Tensor) -> Tensor:
        """Return which tokens belong to a text: true, or false after its end.

        Args:
            x: Tokens, (n, max_length).
        """
        return tf.not_equal(x, PADDING)

    def call(self, inputs: Mapping[str, Tensor]) -> Tensor:
        tokens = tf.cast(self.vectorization(self._cleaned(inputs["text"])), tf.int32)
        return tf.ensure_shape(tokens, (None, *self.sample_shape))

    def invert(self, x: Tensor) -> dict[str, Tensor]:
        x = tf.convert_to_tensor(x)
        if x.shape.rank == 3:
            x = tf.argmax(x, axis=-1)
        x = tf.cast(x, tf.int32)
        # Padding ends a text; tokens beyond the vocabulary, such as a model's own for start and end, are padding too.
        x = tf.where(x < len(self.vocabulary), x, PADDING)
        x *= tf.math.cumprod(tf.cast(self.mask(x), tf.int32), axis=1)
        shown = tf.constant(("", "\N{REPLACEMENT CHARACTER}", *self.vocabulary[2:]))
        pieces = tf.gather(shown, x)
        if self.tokens == "characters":
            return {"text": tf.strings.reduce_join(pieces, axis=1)}
        text = tf.strings.strip(tf.strings.reduce_join(pieces, axis=1, separator=" "))
        text = tf.strings.regex_replace(text, _NO_SPACE_BEFORE, r"\1")
        return {"text": tf.strings.regex_replace(text, _NO_SPACE_AFTER, r"\1")}

    def can_invert(self, shape: Shape) -> bool:
        return len(shape) in (1, 2)

    def restore(self, x: Any) -> list[str]:
        """Return tokens, or probabilities of tokens, as strings.

        Args:
            x: (n, max_length) tokens, or (n, max_length, tokens) probabilities or logits.
        """
        return [text.decode() for text in self.invert(x)["text"].numpy().tolist()]

    def get_config(self) -> dict[str, Any]:
        arguments = {"tokens": self.tokens, "max_length": self.max_length, "vocabulary_size": self.vocabulary_size}
        return {**super().get_config(), **arguments, "lowercase": self.lowercase}


def as_text(raw: Any) -> np.ndarray:
    """Return strings as an array of objects, (n,).

    Args:
        raw: A list, an array, a tensor or a pandas Series of strings.

    Raises:
        ValueError: If an entry is not a string; the message names it.
    """
    if isinstance(raw, (str, bytes)):
        raise ValueError("Give a list of strings, one per text, not one string.")
    lines = np.empty(len(raw), object)
    lines[:] = [line for line in (raw.numpy() if tf.is_tensor(raw) else raw)]
    for i, line in enumerate(lines):
        if not isinstance(line, (str, bytes)):
            raise ValueError(f"Text {i} is {line!r}, which is not a string.")
    return lines
