"""The encoder and the decoder of `SequenceAE`, for series and for tokens.

Both are stacks of layers that process a sequence at once and step by step: LSTM, GRU or dilated convolutions. Tokens
are integers: 0 is padding, and as a prediction the end of the sequence; 1 is an unknown token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import keras
import tensorflow as tf
from keras import ops

from aezoo import _keras
from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.layers.bounded import LOG_VARIANCE, bounded
from aezoo.layers.gru import GRU
from aezoo.layers.lstm import LSTM
from aezoo.layers.random_state import uniform_from_bits
from aezoo.layers.recurrence import State

Cell: TypeAlias = Literal["lstm", "gru", "convolution"]
CELLS = ("lstm", "gru", "convolution")
UNKNOWN = 1

_KERNEL = 3  # taps of a convolution
_POSITIONS = 16  # sines and cosines that describe a step's position


def _seed(seed: int | None, i: int) -> int | None:
    return None if seed is None else seed + 100 * i


def _dense(units: int, inputs: int, seed: int | None, **kwargs: Any) -> keras.layers.Dense:
    layer = keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed), **kwargs)
    layer.build((None, inputs))
    return layer


def _embedding(tokens: int, units: int, seed: int | None, **kwargs: Any) -> keras.layers.Embedding:
    # A variance of 1/3 per entry, so that the layers above see the scale that their initializers assume.
    initializer = keras.initializers.RandomUniform(-1.0, 1.0, seed)
    layer = keras.layers.Embedding(tokens, units, embeddings_initializer=initializer, **kwargs)
    layer.build((None,))
    return layer


def positions(steps: Tensor) -> Tensor:
    """Return sines and cosines that describe positions, (..., 16) float32, for step numbers (...)."""
    rates = ops.power(1000.0, -ops.arange(_POSITIONS // 2, dtype="float32") / (_POSITIONS // 2 - 1))
    angles = ops.cast(steps, "float32")[..., None] * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def ends(x: Tensor, mask: Tensor = None) -> Tensor:
    """Return which steps are before the end, the last step that is not padding, (batch, steps) bool.

    Args:
        x: Tokens, (batch, steps); or a boolean mask of steps.
        mask: Keras' mask, (batch, steps), which decides instead of x; or None.
    """
    observed = ops.cast((x != 0) if mask is None else mask, "int32")
    return tf.cumsum(observed, axis=1, reverse=True) > 0


def until_end(tokens: Tensor) -> Tensor:
    """Return a mask of the predictions that count, up to the end token, (batch, steps) bool."""
    before = ends(tokens)
    return ops.concatenate([ops.ones_like(before[:, :1]), before[:, :-1]], axis=1)


@keras.saving.register_keras_serializable("aezoo")
class DilatedConvolution(keras.layers.Layer):
    """Residual layer relu(W[x_{t-d}, x_t, x_{t+d}] + b) of series, or of [x_{t-2d}, x_{t-d}, x_t] if it is causal.

    The kernel is one matrix, so that a step needs only the inputs of earlier steps, its state. Where input and output
    have the same size, the input is added.

    Args:
        units: Number of output channels.
        input_dim: Number of input features.
        shared_dim: Number of the last of these features that are constant over the steps and are never added.
        dilation: d, the distance of the taps.
        causal: Whether an output depends only on the current step and earlier ones.
        seed: Seed of initial weights.
    """

    def __init__(
        self,
        units: int,
        input_dim: int,
        shared_dim: int = 0,
        dilation: int = 1,
        causal: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.input_dim, self.shared_dim = units, input_dim, shared_dim
        self.dilation, self.causal, self.seed = dilation, causal, seed
        self.kernel = self.add_weight(
            shape=(_KERNEL * input_dim, units), initializer=keras.initializers.HeUniform(seed), name="kernel"
        )
        self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.built = True

    def _output(self, taps: Sequence[Tensor], x: Tensor) -> Tensor:
        kernel, bias = (ops.cast(each, self.compute_dtype) for each in (self.kernel, self.bias))
        y = ops.relu(ops.matmul(ops.concatenate(taps, axis=-1), kernel) + bias)
        return y + x[..., : self.units] if self.input_dim - self.shared_dim == self.units else y

    def call(self, x: Tensor, active: Tensor = None) -> Tensor:
        """Return outputs (batch, steps, units) of x (batch, steps, input_dim); inactive steps count as 0."""
        x = ops.cast(x, self.compute_dtype)
        if active is not None:
            x = x * ops.cast(active, x.dtype)[..., None]
        steps, d = x.shape[1], self.dilation
        shifts = (2 * d, d, 0) if self.causal else (d, 0, -d)
        taps = []
        for shift in shifts:
            padding = [[0, 0], [max(shift, 0), max(-shift, 0)], [0, 0]]
            start = max(-shift, 0)
            taps.append(ops.pad(x, padding)[:, start : start + steps])
        return self._output(taps, x)

    def zero_state(self, x: Tensor) -> State:
        """Return the inputs before the first step, which are 0, for a batch x, (batch, ...)."""
        return (ops.zeros((ops.shape(x)[0], 2 * self.dilation, self.input_dim), self.compute_dtype),)

    def step(self, x: Tensor, state: State) -> tuple[Any, State]:
        """Return the output (batch, units) of a step x, (batch, input_dim), and the new state."""
        (before,) = state
        x = ops.cast(x, self.compute_dtype)
        now = x[:, None]
        return self._output([before[:, 0], before[:, self.dilation], x], x), (
            ops.concatenate([before[:, 1:], now], axis=1),
        )

    def get_config(self) -> dict[str, Any]:
        names = ("units", "input_dim", "shared_dim", "dilation", "causal", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Stack(keras.layers.Layer):
    """Layers of one kind, one upon the other; each also takes features that are constant over the steps.

    Args:
        cell: "lstm", "gru" or "convolution"; dilations of convolutions double from layer to layer.
        units: Units of the layers.
        input_dim: Number of features of a step.
        shared_dim: Number of features that are constant over the steps.
        both_ways: Whether recurrent layers also read from the end to the start, and convolutions see later steps.
        seed: Seed of initial weights.
    """

    def __init__(
        self,
        cell: Cell,
        units: Sequence[int],
        input_dim: int,
        shared_dim: int,
        both_ways: bool,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.convolutional, self.shared_dim = cell == "convolution", shared_dim
        options = {"dtype": self.dtype_policy}
        self.forward: list[Any] = []
        self.backward: list[Any] = []
        for i, size in enumerate(units):
            if self.convolutional:
                sizes = size, input_dim + shared_dim, shared_dim
                self.forward.append(
                    DilatedConvolution(*sizes, 2**i, not both_ways, _seed(seed, i), name=f"layer_{i}", **options)
                )
                input_dim = size
            else:
                kind = LSTM if cell == "lstm" else GRU
                for layers, name in ((self.forward, "forward"), (self.backward, "backward"))[: 1 + both_ways]:
                    of_layer = _seed(seed, 2 * i + (name == "backward"))
                    layers.append(kind(size, input_dim + shared_dim, seed=of_layer, name=f"{name}_{i}", **options))
                input_dim = size * (1 + both_ways)
        self.output_dim = input_dim
        self.built = True

    @property
    def state_sizes(self) -> list[int]:
        """Units of every tensor in the state of recurrent layers; [] for convolutions, whose first state is 0."""
        return [layer.units for layer in self.forward for _ in range(getattr(layer, "state_count", 0))]

    def call(
        self, x: Tensor, shared: Tensor = None, initial_state: State = (), active: Tensor = None
    ) -> tuple[Any, Any]:
        """Process sequences and return the outputs of the last layer and their summary.

        Args:
            x: Sequences, (batch, steps, input_dim).
            shared: Features that are constant over the steps, (batch, shared_dim), or None.
            initial_state: First state of recurrent layers, `state_sizes` units each; () for 0.
            active: Boolean mask of the steps before the end, (batch, steps), or None.

        Returns:
            Outputs, (batch, steps, output_dim), and their summary: the last outputs of recurrent layers in both
            directions, (batch, output_dim); or the mean and the maximum of convolutions, (batch, 2 · output_dim).
        """
        if self.convolutional:
            for layer in self.forward:
                if shared is not None:
                    constant = ops.repeat(ops.cast(shared, x.dtype)[:, None], x.shape[1], axis=1)
                    x = ops.concatenate([x, constant], axis=-1)
                x = layer(x, active=active)
            return x, _pooled(as_float32(x), active)
        states = list(initial_state)
        last: list[Any] = []
        for i, layer in enumerate(self.forward):
            first = tuple(states.pop(0) for _ in range(layer.state_count)) if states else None
            x_in = x
            x, (h, *_) = layer(x_in, initial_state=first, shared=shared, active=active)
            last = [h]
            if self.backward:
                back, (h, *_) = self.backward[i](x_in, shared=shared, active=active, reverse=True)
                x, last = ops.concatenate([x, back], axis=-1), [*last, h]
        return x, ops.concatenate(last, axis=-1)

    def first_state(self, x: Tensor, initial_state: State = ()) -> list[State]:
        """Return the state of every layer before the first step, for a batch x, (batch, ...)."""
        states = list(initial_state)
        return [
            tuple(as_float32(states.pop(0)) for _ in range(layer.state_count)) if states else layer.zero_state(x)
            for layer in self.forward
        ]

    def step(self, x: Tensor, shared: Tensor, states: list[State]) -> tuple[Any, list[State]]:
        """Return the output (batch, output_dim) of a step x, (batch, input_dim), and the new states."""
        new = []
        for layer, state in zip(self.forward, states, strict=True):
            joined = ops.concatenate([x, ops.cast(shared, x.dtype)], axis=-1)
            if self.convolutional:
                x, state = layer.step(joined, state)
            else:
                state = layer.step(layer.gates(joined), state)
                x = state[0]
            new.append(state)
        return x, new


def _pooled(x: Tensor, active: Tensor) -> Tensor:
    """Return the mean and the maximum over active steps, (batch, 2 · units), of x >= 0 (batch, steps, units)."""
    if active is None:
        return ops.concatenate([ops.mean(x, axis=1), ops.max(x, axis=1)], axis=-1)
    counts = ops.cast(active, x.dtype)[..., None]
    lengths = ops.maximum(ops.sum(counts, axis=1), 1.0)
    highest = ops.max(ops.where(counts > 0, x, ops.full_like(x, -1e9)), axis=1)
    highest = ops.where(ops.any(counts > 0, axis=1), highest, 0.0)
    return ops.concatenate([ops.sum(x * counts, axis=1) / lengths, highest], axis=-1)


@keras.saving.register_keras_serializable("aezoo")
class SequenceEncoder(keras.Model):
    """Network from a sequence to a code, or to the mean and the log variance of its distribution.

    Args:
        latent_dim: Number of code units.
        features: Number of features of a step; None for tokens.
        tokens: Size of the vocabulary; None for series.
        embedding_dim: Units of a token's embedding.
        cell: Kind of layers.
        units: Units of the layers.
        bidirectional: Whether to read sequences in both directions.
        variational: Whether to compute a log variance.
        seed: Seed of initial weights.
    """

    def __init__(
        self,
        latent_dim: int,
        features: int | None,
        tokens: int | None,
        embedding_dim: int,
        cell: Cell,
        units: Sequence[int],
        bidirectional: bool,
        variational: bool,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.latent_dim, self.features, self.tokens, self.embedding_dim = latent_dim, features, tokens, embedding_dim
        self.cell, self.units, self.bidirectional = cell, tuple(units), bidirectional
        self.variational, self.seed = variational, seed
        self.supports_masking = True
        ways = "bidirectional " if bidirectional else ""
        self.part_name = "dilated convolutions" if cell == "convolution" else f"{ways}{cell.upper()}"
        if tokens:
            self.embedding = _embedding(
                tokens, embedding_dim, _seed(seed, 1), name="embedding", dtype=self.dtype_policy
            )
        input_dim = embedding_dim if tokens else int(features or 1)
        self.placed = cell == "convolution"
        input_dim += _POSITIONS * self.placed
        self.stack = Stack(
            cell, units, input_dim, 0, bidirectional, _seed(seed, 10), name="stack", dtype=self.dtype_policy
        )
        summary = self.stack.output_dim * (1 + self.placed)
        self.mean = _dense(latent_dim, summary, _seed(seed, 2), name="mean", dtype="float32")
        if variational:
            self.log_variance = _dense(latent_dim, summary, _seed(seed, 3), name="log_variance", dtype="float32")
        self.built = True

    def moments(self, x: Tensor, mask: Tensor = None) -> tuple[Any, Any]:
        """Return the code (for a variational model, μ of its distribution) and log σ², which is None without one.

        Args:
            x: Series, (batch, steps, features), or tokens, (batch, steps).
            mask: Mask of the steps that are observed, (batch, steps); None takes Keras' mask of x. Without one, all
                steps of series are observed, and all tokens until the last that is not 0.
        """
        mask = _keras.mask_of(x) if mask is None else mask
        if self.tokens:
            active = ends(x, mask)
            x = self.embedding(x)
        else:
            active = None if mask is None else ends(x, mask)
            x = x[:]  # a tensor without Keras' mask, about which layers that get `active` instead would warn
        if self.placed:
            where = ops.cast(positions(ops.arange(x.shape[1])), x.dtype)
            where = ops.broadcast_to(where, (ops.shape(x)[0], *where.shape))
            x = ops.concatenate([x, where], axis=-1)
        _, summary = self.stack(x, active=active)
        summary = as_float32(summary)
        return self.mean(summary), bounded(self.log_variance(summary), *LOG_VARIANCE) if self.variational else None

    def call(self, x: Tensor, training: bool = False, mask: Tensor = None) -> Tensor:
        """Return the code, (batch, latent_dim) float32."""
        return self.moments(x, mask)[0]

    def compute_mask(self, x: Tensor, previous_mask: Tensor = None) -> None:
        """Return None: a code has no steps."""

    def get_config(self) -> dict[str, Any]:
        names = "latent_dim features tokens embedding_dim cell units bidirectional variational seed"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}


@keras.saving.register_keras_serializable("aezoo")
class SequenceDecoder(keras.Model):
    """Network from a code to a sequence: step by step, each given the steps before it; or all steps at once.

    The code determines the first state of recurrent layers and is an input of every step.

    Args:
        latent_dim: Number of code units.
        steps: Number of steps.
        features: Number of features of a step; None for tokens.
        tokens: Size of the vocabulary; None for series.
        embedding_dim: Units of a token's embedding.
        cell: Kind of layers.
        units: Units of the layers.
        autoregressive: Whether a step depends on the steps before it.
        both_ways: Whether the steps of a decoder that is not autoregressive depend on each other in both directions.
        seed: Seed of initial weights.
    """

    def __init__(
        self,
        latent_dim: int,
        steps: int,
        features: int | None,
        tokens: int | None,
        embedding_dim: int,
        cell: Cell,
        units: Sequence[int],
        autoregressive: bool,
        both_ways: bool,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.latent_dim, self.steps, self.features, self.tokens = latent_dim, steps, features, tokens
        self.embedding_dim, self.cell, self.units = embedding_dim, cell, tuple(units)
        self.autoregressive, self.both_ways, self.seed = autoregressive, both_ways, seed
        both_ways = both_ways and not autoregressive
        ways = "bidirectional " if both_ways else ""
        causal = "causal " if autoregressive else ""
        self.part_name = f"{causal}dilated convolutions" if cell == "convolution" else f"{ways}{cell.upper()}"
        options = {"dtype": self.dtype_policy}
        self.placed = cell == "convolution" or not autoregressive
        input_dim = _POSITIONS * self.placed
        if autoregressive:
            if tokens:  # one more than there are tokens: the start
                self.embedding = _embedding(tokens + 1, embedding_dim, _seed(seed, 1), name="embedding", **options)
            input_dim += embedding_dim if tokens else int(features or 1)
        self.stack = Stack(cell, units, input_dim, latent_dim, both_ways, _seed(seed, 20), name="stack", **options)
        sizes = self.stack.state_sizes
        if sizes:
            self.state = _dense(
                sum(sizes), latent_dim, _seed(seed, 4), activation="tanh", name="state", dtype="float32"
            )
        self.outputs_of_step = _dense(
            tokens or int(features or 1), self.stack.output_dim, _seed(seed, 5), name="outputs", dtype="float32"
        )
        self.built = True

    def first_state(self, z: Tensor) -> State:
        """Return the first state of recurrent layers, (batch, units) each; () for convolutions, whose state is 0."""
        if not self.stack.state_sizes:
            return ()
        state, start, parts = self.state(z), 0, []
        for size in self.stack.state_sizes:
            parts.append(state[:, start : start + size])
            start += size
        return tuple(parts)

    def parameters(self, z: Tensor, x: Tensor = None, keep: Tensor = None) -> Tensor:
        """Return the logits of each token, or the mean of each value, given the code and the steps of x before it.

        Args:
            z: Codes, (batch, latent_dim).
            x: The sequences, (batch, steps) or (batch, steps, features), for an autoregressive decoder.
            keep: Boolean mask, (batch, steps): where it is False, the decoder does not see the step of x. None shows
                all steps.

        Returns:
            (batch, steps, tokens or features) float32.
        """
        inputs = []
        if self.autoregressive:
            inputs.append(self._shifted(x, keep))
        if self.placed:
            where = positions(ops.arange(self.steps))
            inputs.append(ops.broadcast_to(where, (ops.shape(z)[0], *where.shape)))
        x = ops.concatenate([ops.cast(each, self.compute_dtype) for each in inputs], axis=-1)
        outputs, _ = self.stack(x, shared=z, initial_state=self.first_state(z))
        return as_float32(self.outputs_of_step(as_float32(outputs)))

    def _shifted(self, x: Tensor, keep: Tensor) -> Tensor:
        """Return the decoder's input for each step of x: the start, followed by all steps but the last."""
        before = x[:, :-1]
        if self.tokens:
            if keep is not None:
                before = ops.where(keep[:, :-1], before, UNKNOWN)
            start = ops.full((ops.shape(x)[0], 1), self.tokens, before.dtype)
            return self.embedding(ops.concatenate([start, before], axis=1))
        if keep is not None:
            before = before * ops.cast(keep[:, :-1], before.dtype)[..., None]
        return ops.concatenate([ops.zeros_like(x[:, :1]), before], axis=1)

    def draw(self, z: Tensor, temperature: Tensor = 0.0, seed: Tensor | None = None) -> Tensor:
        """Generate sequences.

        Args:
            z: Codes, (batch, latent_dim).
            temperature: τ >= 0, by which logits of tokens are divided; 0 takes the likeliest token each time.
            seed: Two integers, (2,), or None for τ = 0.

        Returns:
            Tokens, (batch, steps) int32, which are 0 after the end; or series of means, (batch, steps, features).
        """
        z = ops.cast(z, "float32")
        batch = ops.shape(z)[0]

        def chosen(logits: Tensor, t: Tensor) -> Tensor:
            if seed is not None:
                seed_of_step = tf.random.experimental.stateless_fold_in(seed, t, alg="philox")
                uniform = uniform_from_bits(tf.shape(logits), seed_of_step)
                logits = logits - temperature * ops.log(-ops.log(uniform))
            return tf.argmax(logits, axis=-1, output_type="int32")

        if not self.autoregressive:
            outputs = self.parameters(z)
            if not self.tokens:
                return outputs
            tokens = chosen(outputs, tf.constant(0))
            return tokens * tf.math.cumprod(ops.cast(tokens != 0, "int32"), axis=1)
        if self.tokens:
            before = ops.full((batch,), self.tokens, "int32")
        else:
            before = ops.zeros((batch, self.outputs_of_step.units), "float32")
        drawn = tf.TensorArray(before.dtype, self.steps, element_shape=before.shape)

        def body(t: Tensor, states: list[State], before: Tensor, drawn: Tensor) -> tuple[Any, ...]:
            x = self.embedding(before) if self.tokens else ops.cast(before, self.compute_dtype)
            if self.placed:
                where = ops.broadcast_to(positions(t), (batch, _POSITIONS))
                x = ops.concatenate([x, ops.cast(where, x.dtype)], axis=-1)
            output, states = self.stack.step(x, z, states)
            now = as_float32(self.outputs_of_step(as_float32(output)))
            if self.tokens:
                now = ops.where(before == 0, 0, chosen(now, t))
            return t + 1, states, now, drawn.write(t, now)

        *_, drawn = tf.while_loop(
            lambda t, *_: t < self.steps,
            body,
            (tf.constant(0), self.stack.first_state(z, self.first_state(z)), before, drawn),
            maximum_iterations=self.steps,
        )
        return tf.transpose(drawn.stack(), (1, 0) if self.tokens else (1, 0, 2))

    def call(self, z: Tensor, training: bool = False) -> Tensor:
        """Generate sequences from the likeliest token, or the mean, of each step."""
        return self.draw(z)

    def get_config(self) -> dict[str, Any]:
        names = "latent_dim steps features tokens embedding_dim cell units autoregressive both_ways seed"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}


def sequence_shape(x_shape: Shape, tokens: int | None) -> tuple[int, int | None]:
    """Return steps and features of samples, features None for tokens; raise a ValueError if they are not sequences."""
    wanted = 1 if tokens else 2
    if len(x_shape) != wanted or None in x_shape:
        kind = "Tokens are integers of shape (n, steps)" if tokens else "Series have shape (n, steps, features)"
        if len(x_shape) == wanted:
            advice = "pad them to a common number of steps"
        elif tokens:
            advice = "give the number of each token, not its one-hot vector"
        else:
            advice = "give a series of single values as x[..., None], and token ids with tokens=..."
        shape = ", ".join(map(str, ("n", *x_shape)))
        raise ValueError(f"{kind}, but these have shape ({shape}): {advice}.")
    return int(x_shape[0]), None if tokens else int(x_shape[1])
