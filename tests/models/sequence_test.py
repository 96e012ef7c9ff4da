"""`SequenceAE`: padding, likelihoods, decoding, refusals and files, each against something independent."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import aezoo
from aezoo import SequenceAE
from aezoo.metrics import BitsPerToken

RANDOM = np.random.default_rng(0)
SERIES = RANDOM.normal(size=(4, 6, 2)).astype("float32")
TOKENS = np.array([[2, 3, 4, 2], [3, 1, 0, 0], [4, 0, 0, 0], [2, 2, 3, 0]], "int32")


def built(x, units=(4,), **arguments):
    model = SequenceAE(2, units=units, embedding_dim=3, seed=0, **arguments)
    model.build((None, *x.shape[1:]))
    model.run_eagerly = True
    return model


def tokens_model(**arguments):
    return built(TOKENS, tokens=5, **arguments)


def padded(x, steps, value=np.nan):
    return np.pad(x, [(0, 0), (0, steps - x.shape[1]), *[(0, 0)] * (x.ndim - 2)], constant_values=value)


# === Padding and missing values ===


def some(gate, *others):
    """Return values of a parameter; all but the first are slow, since each makes loops over steps."""
    return [gate, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


@pytest.mark.parametrize("cell", some("lstm", "gru", "convolution"))
def test_padding_changes_neither_code_nor_score(cell):
    short = built(SERIES, cell=cell, units=(3, 4), decoder="autoregressive")
    long = built(padded(SERIES, 9), cell=cell, units=(3, 4), decoder="autoregressive", missing="mask")
    for a, b in zip(short.trainable_variables, long.trainable_variables, strict=True):
        b.assign(a)
    x = padded(SERIES, 9)
    assert np.allclose(long.encode(x), short.encode(SERIES), atol=1e-5)
    assert np.allclose(long.score_samples(x), short.score_samples(SERIES), rtol=1e-4)
    steps = np.asarray(long.score_steps(x))
    assert np.allclose(steps[:, :6], short.score_steps(SERIES), rtol=1e-4) and not steps[:, 6:].any()


@pytest.mark.parametrize("cell", some("convolution", "lstm"))
def test_padding_of_tokens_changes_neither_code_nor_score(cell):
    short, long = tokens_model(cell=cell), built(padded(TOKENS, 7, 0), tokens=5, cell=cell)
    for a, b in zip(short.trainable_variables, long.trainable_variables, strict=True):
        b.assign(a)
    x = padded(TOKENS, 7, 0)
    assert np.allclose(long.encode(x), short.encode(TOKENS), atol=1e-5)
    assert np.allclose(long.score_samples(x)[1:], short.score_samples(TOKENS)[1:], rtol=1e-4)
    assert long.score_samples(x)[0] > short.score_samples(TOKENS)[0]  # only a sequence that fills all steps has no end


@pytest.mark.slow
def test_keras_mask_is_as_good_as_nan():
    model, by_mask = built(SERIES, missing="mask"), built(SERIES)
    for a, b in zip(model.trainable_variables, by_mask.trainable_variables, strict=True):
        b.assign(a)
    observed = np.arange(6) < np.array([6, 2, 3, 4])[:, None]
    masked = tf.constant(np.where(observed[..., None], SERIES, 7.0))
    masked._keras_mask = tf.constant(observed)
    x = np.where(observed[..., None], SERIES, np.nan)
    assert np.allclose(model.encode(x), by_mask.encode(masked), atol=1e-5)
    assert np.allclose(model.score_samples(x), by_mask.score_samples(masked), rtol=1e-4)
    assert np.allclose(model.score_steps(x), by_mask.score_steps(masked), rtol=1e-4)


@pytest.mark.slow
def test_a_missing_value_inside_counts_as_its_replacement_and_not_in_the_error():
    model, x = built(SERIES, missing="mask"), SERIES.copy()
    x[0, 2, 1] = np.nan
    filled = np.nan_to_num(x)  # replacements are 0 until `fit` sets them
    assert np.allclose(model.encode(x), model.encode(filled), atol=1e-6)
    difference = model.score_samples(filled)[0] - model.score_samples(x)[0]
    assert np.isclose(difference, np.square(np.asarray(model.reconstruct(filled))[0, 2, 1]), rtol=1e-4)


def test_an_encoder_of_one_direction_has_half_of_the_weights():
    both, one = (built(SERIES, bidirectional=each) for each in (True, False))
    for name in ("encoder", "decoder"):
        layers = [getattr(model, name).stack for model in (both, one)]
        assert layers[0].count_params() == 2 * layers[1].count_params()


def test_contributions_and_errors_of_steps_sum_to_the_score_under_every_loss():
    model, x = built(SERIES, missing="mask"), padded(SERIES, 6)
    x[0, 2, 1] = x[1, 3:] = np.nan
    for loss in (None, "mse"):
        model.compile(loss=loss, run_eagerly=True)
        parts, score = np.asarray(model.contributions(x)), model.score_samples(x)
        assert parts.shape == x.shape and not parts[np.isnan(x)].any()
        assert np.allclose(parts.sum(axis=(1, 2)), score, rtol=1e-4)
        assert np.allclose(model.score_steps(x), parts.sum(axis=2), rtol=1e-5)


# === Likelihoods ===


@pytest.mark.parametrize("cell", some("lstm", "convolution"))
@pytest.mark.parametrize("decoder", some("autoregressive", "parallel"))
def test_probabilities_of_all_sequences_sum_to_1(cell, decoder):
    model = built(TOKENS[:, :3], tokens=4, cell=cell, decoder=decoder)
    words = [w for n in range(4) for w in itertools.product((1, 2, 3), repeat=n)]
    every = np.array([[*word, *[0] * (3 - len(word))] for word in words], "int32")
    z = tf.repeat(tf.constant([[0.3, -1.0]]), len(every), axis=0)
    model.encoder.moments = lambda x, mask=None: (z, None)
    nats = np.asarray(model.score_samples(every))
    assert len(every) == 40 and np.isclose(np.exp(-nats).sum(), 1, atol=1e-5)
    assert np.allclose(np.sum(model.score_steps(every), axis=1), nats, rtol=1e-5)


def test_the_terms_of_a_variational_model():
    model = tokens_model(variational=True, beta=0.5)
    model.compile(run_eagerly=True)
    model.noise = tf.zeros
    logs = model.evaluate(TOKENS, verbose=0, return_dict=True)
    mean, log_variance = (np.asarray(each, "float64") for each in model.moments(TOKENS))
    kl = 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, axis=1)
    assert np.isclose(logs["kl"], 0.5 * kl.mean(), rtol=1e-4)
    nats = np.sum(model.score_steps(TOKENS))
    assert np.isclose(logs["bits_per_token"], nats / np.log(2) / 13, rtol=1e-4)  # 4 + 3 + 2 + 4 tokens with their ends
    assert np.isclose(logs["reconstruction"], nats / 4, rtol=1e-4)
    assert np.allclose(model.score_samples(TOKENS), np.sum(model.score_steps(TOKENS), axis=1) + 0.5 * kl, rtol=1e-4)
    free = tokens_model(variational=True, free_bits=3.0)
    free.compile(run_eagerly=True)
    assert np.isclose(free.evaluate(TOKENS, verbose=0, return_dict=True)["kl"], 6.0)  # 3 nats for each of 2 units


@pytest.mark.slow
def test_a_variational_model_of_series_learns_the_variance():
    model = built(SERIES, variational=True)
    model.compile(run_eagerly=True)
    model.initialize_from(SERIES)
    model.noise = tf.zeros
    variance = np.mean(np.var(SERIES, axis=0))
    squares = np.square(np.asarray(model.reconstruct(SERIES)) - SERIES)
    expected = 0.5 * np.sum(squares / variance + np.log(2 * np.pi * variance), axis=(1, 2)).mean()
    assert np.isclose(model.evaluate(SERIES, verbose=0, return_dict=True)["reconstruction"], expected, rtol=1e-4)


def test_bits_per_token_count_weighted_sequences():
    metric = BitsPerToken()
    metric.update_state(([2.0, 100.0], [2, 5]), [1.0, 0.0])
    metric.update_state(([4.0], [1]))
    assert np.isclose(metric.result(), 6 / 3 / np.log(2))


# === Decoding ===


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def decoded_in_numpy(decoder, z):
    """Return the likeliest token of each step of a decoder with one LSTM."""
    (lstm,) = decoder.stack.forward
    h, c = np.split(np.tanh(z @ decoder.state.kernel.numpy() + decoder.state.bias.numpy()), 2)
    before, tokens = decoder.tokens, []
    for _ in range(decoder.steps):
        x = np.concatenate([decoder.embedding.embeddings.numpy()[before], z])
        gates = x @ lstm.kernel.numpy() + h @ lstm.recurrent_kernel.numpy() + lstm.bias.numpy()
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits = h @ decoder.outputs_of_step.kernel.numpy() + decoder.outputs_of_step.bias.numpy()
        before = 0 if before == 0 else int(np.argmax(logits))
        tokens.append(before)
    return tokens


def test_the_likeliest_tokens_in_numpy():
    model = tokens_model()
    z = RANDOM.normal(size=(6, 2)).astype("float32") * 5
    expected = [decoded_in_numpy(model.decoder, each) for each in z]
    assert len({tuple(each) for each in expected}) > 1
    assert np.array_equal(model.decode(z), expected)
    assert np.array_equal(model.sample(z=z, temperature=0.0), expected)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["gru", "convolution"])
def test_a_series_is_decoded_from_its_own_steps(cell):
    model = built(SERIES, cell=cell, units=(3, 4), decoder="autoregressive")
    z = model.encode(SERIES)
    decoded = model.decode(z)
    assert np.allclose(model.decoder.parameters(z, decoded), decoded, atol=1e-5)
    assert not np.allclose(model.decoder.parameters(z, SERIES), decoded, atol=1e-2)


@pytest.mark.slow
def test_nothing_follows_the_end():
    for decoder in ("parallel", "autoregressive"):
        model = tokens_model(decoder=decoder)
        drawn = np.asarray(model.sample(z=np.zeros((50, 2)), seed=0))
        ended = np.cumsum(drawn == 0, axis=1) > 0
        assert ended.any() and not drawn[ended].any(), decoder


@pytest.mark.slow
def test_samples_follow_the_probabilities():
    model = tokens_model()
    z = np.tile([[0.5, -0.5]], (4000, 1)).astype("float32")
    logits = np.asarray(model.decoder.parameters(z[:1], TOKENS[:1]))[0, 0]
    for temperature in (1.0, 0.25):
        scaled = np.exp(logits / temperature - np.max(logits / temperature))
        first = np.asarray(model.sample(z=z, temperature=temperature, seed=1))[:, 0]
        frequency = np.bincount(first, minlength=5) / len(first)
        assert np.allclose(frequency, scaled / scaled.sum(), atol=0.03), temperature
    assert np.array_equal(model.sample(z=z[:9], seed=2), model.sample(z=z[:9], seed=2))


def test_word_dropout_is_for_training_alone():
    model = tokens_model(word_dropout=1.0, cell="convolution")
    batch = aezoo.Batch.of(tf.constant(TOKENS))
    without = tokens_model(cell="convolution").objective(batch, False)[0]["reconstruction"]
    assert model.objective(batch, False)[0]["reconstruction"] == without
    assert model.objective(batch, True)[0]["reconstruction"] != without


@pytest.mark.slow
def test_word_dropout_hides_steps():
    model = tokens_model(word_dropout=1.0)
    z, hidden = model.encode(TOKENS), np.zeros(TOKENS.shape, bool)
    unknown = np.full_like(TOKENS, 1)
    assert np.allclose(model.decoder.parameters(z, TOKENS, hidden), model.decoder.parameters(z, unknown), atol=1e-6)
    series = built(SERIES, decoder="autoregressive")
    z, hidden = series.encode(SERIES), np.zeros(SERIES.shape[:2], bool)
    a, b = series.decoder.parameters(z, SERIES, hidden), series.decoder.parameters(z, SERIES * 0)
    assert np.allclose(a, b, atol=1e-6)


# === Refusals ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": 2}, "tokens"),
        ({"cell": "rnn"}, "cell"),
        ({"decoder": "greedy"}, "decoder"),
        ({"units": ()}, "one number per layer"),
        ({"free_bits": 0.5}, "variational=True"),
        ({"word_dropout": 0.5}, "autoregressive"),
        ({"word_dropout": 1.5, "tokens": 5}, "word_dropout"),
        ({"tokens": 5, "missing": "mask"}, "0 is padding"),
        ({"variational": True, "beta": -1.0}, "beta"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceAE(2, **arguments)


def test_samples_that_are_not_sequences_are_refused():
    with pytest.raises(ValueError, match=r"x\[..., None\]"):
        SequenceAE(2).build((None, 6))
    with pytest.raises(ValueError, match="one-hot"):
        SequenceAE(2, tokens=5).build((None, 6, 5))
    with pytest.raises(ValueError, match="pad them"):
        SequenceAE(2, tokens=5).build((None, None))


@pytest.mark.parametrize("verb", some("score_steps", "fit", "evaluate", "encode", "reconstruct"))
def test_tokens_outside_the_vocabulary_are_refused(verb):
    model = tokens_model()
    model.compile("adam", run_eagerly=True)
    options = {"verbose": 0} if verb in ("fit", "evaluate") else {}
    for tokens in (TOKENS + 3, TOKENS - 1):
        with pytest.raises(ValueError, match=r"Tokens must be in \[0, 4\]"):
            getattr(model, verb)(tokens, **options)
    with pytest.raises(ValueError, match="not tokens: give integers"):
        getattr(model, verb)(TOKENS.astype("float32"), **options)
    data = tf.data.Dataset.from_tensor_slices(TOKENS + 3).batch(2)
    with pytest.raises(ValueError, match=r"Tokens must be in \[0, 4\]"):
        getattr(model, verb)(data, **options)


@pytest.mark.slow
def test_another_loss_is_refused_where_the_model_learns_a_likelihood():
    for model, x in ((tokens_model(), TOKENS), (built(SERIES, variational=True), SERIES)):
        model.compile("adam", loss="mse", run_eagerly=True)
        with pytest.raises(ValueError, match="give compile no loss"):
            model.fit(x, verbose=0)


@pytest.mark.slow
def test_codes_without_a_prior_are_not_drawn():
    with pytest.raises(ValueError, match="variational=True"):
        tokens_model().sample(3)
    with pytest.raises(ValueError, match="Give n"):
        tokens_model(variational=True).sample()
    with pytest.raises(ValueError, match="there are 2 codes"):
        tokens_model().sample(3, z=np.zeros((2, 2)))


# === Training and files ===


@pytest.mark.slow
def test_words_are_learned_by_heart(tmp_path):
    model = SequenceAE(4, units=(16,), tokens=5, seed=0)
    model.compile(keras.optimizers.Adam(0.03))
    history = model.fit(np.repeat(TOKENS, 8, axis=0), epochs=40, batch_size=32, verbose=0).history
    assert history["bits_per_token"][-1] < 0.2 < history["bits_per_token"][0]
    assert np.array_equal(model.reconstruct(TOKENS), TOKENS)
    model.save(tmp_path / "words.keras")
    loaded = keras.saving.load_model(tmp_path / "words.keras")
    assert loaded.get_config() == model.get_config()
    assert np.allclose(loaded.score_steps(TOKENS), model.score_steps(TOKENS), atol=1e-6)


@pytest.mark.slow
def test_an_exported_model_of_tokens(tmp_path):
    model = tokens_model(variational=True)
    model.run_eagerly = False
    model.export(tmp_path / "words" / "1", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "words" / "1")).signatures
    assert set(served) == {"serving_default", "encode", "decode", "score", "score_steps", "sample"}
    x = tf.constant(TOKENS)
    assert np.array_equal(served["serving_default"](x=x)["reconstruction"], model.reconstruct(TOKENS))
    assert np.allclose(served["score_steps"](x=x)["scores"], model.score_steps(TOKENS), atol=1e-5)
    drawn = served["sample"](n=tf.constant(3), temperature=tf.constant(1.0), seed=tf.constant(4, "int64"))["sample"]
    assert np.array_equal(drawn, model.sample(3, temperature=1.0, seed=4))


@pytest.mark.slow
def test_pictures_and_measures_of_a_report():
    model = built(SERIES)
    pictures = model.report_pictures(SERIES)
    assert len(pictures["reconstructions.png"]().axes) == 4
    model = tokens_model(variational=True)
    measures = model.report_measures(TOKENS, model.encode(TOKENS))
    assert np.allclose(measures["negative_log_likelihood"], np.sum(model.score_steps(TOKENS), axis=1), rtol=1e-5)
    assert model.report_pictures(TOKENS) == {}
