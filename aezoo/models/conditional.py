"""The conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from aezoo import _validation
from aezoo._typing import Shape
from aezoo.models._labels import TakesLabels
from aezoo.models.variational import VAE


@keras.saving.register_keras_serializable("aezoo")
class ConditionalVAE(TakesLabels, VAE):
    """Conditional VAE: p(z) p(x given z, c) with labels c, trained by -ELBO = -E_q log p(x given z, c) + β KL(q‖p(z)).

    The encoder q(z given x, c) and the decoder take the one-hot labels in addition to x or z. The code need not repeat
    the labels and represents the rest: if the label is the digit, the code represents the handwriting.

    With several conditions, each label has its own one-hot vector. What the decoder learns of one label it can then use
    in combinations that it has never seen; `aezoo.evaluation.composition_score` measures whether it does.

    Args:
        latent_dim: Number of code units.
        condition: Name of the label in data and verbs.
        num_classes: Number of classes; labels are integers from 0 to num_classes - 1.
        conditions: Several labels, {name: number of classes}, instead of `condition` and `num_classes`.
        **kwargs: Arguments of `VAE`, except `tied`, `encoder` and `decoder`. With `filters`, the convolutions have one
            more input channel per class: 1 everywhere for class c, 0 for the others.

    Raises:
        ValueError: If an argument is out of range, `tied`, `encoder` or `decoder` is given, or `conditions` is combined
            with another name or number of classes.

    Example:
        >>> import numpy as np
        >>> x, label = np.random.default_rng(0).random((32, 8, 8, 1), "float32"), np.arange(32) % 10
        >>> model = ConditionalVAE(latent_dim=2, num_classes=10, hidden_dims=(16,))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit({"x": x, "label": label}, verbose=0)  # or fit(x, label)
        >>> model.sample(3, label=7).shape
        TensorShape([3, 8, 8, 1])
        >>> model.decode(model.encode(x, label=label), label=3).shape  # the same handwriting, another digit
        TensorShape([32, 8, 8, 1])
        >>> # Two labels
        >>> model = ConditionalVAE(latent_dim=2, conditions={"shape": 3, "place": 10}, hidden_dims=(16,))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit({"x": x, "shape": label % 3, "place": label}, verbose=0)
        >>> model.sample(2, shape=[0, 1], place=9).shape
        TensorShape([2, 8, 8, 1])

    Reference:
        Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative models",
        NeurIPS 2015; here the prior does not depend on c.
    """

    fixed_arguments = ("tied", "encoder", "decoder")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        condition: str = "label",
        num_classes: int = 10,
        conditions: Mapping[str, int] | None = None,
        **kwargs: Any,
    ):
        _validation.check_left_out(self, ConditionalVAE.fixed_arguments, kwargs, "joins labels in its own networks")
        super().__init__(latent_dim, **kwargs)
        self.condition, self.num_classes, self.conditions = condition, num_classes, conditions
        if conditions is None:
            _validation.check_condition_name(condition, _validation.TAKEN_NAMES)
            self.set_classes({condition: _validation.check_int("num_classes", num_classes, 1)})
        elif (condition, num_classes) != ("label", 10):
            raise ValueError("conditions have the names and numbers of classes: leave out condition and num_classes.")
        else:
            self.set_classes(_validation.check_conditions(conditions, _validation.TAKEN_NAMES))

    def build_encoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        inputs, joined = self.join_labels("x", x_shape)
        super().build_encoder(tuple(joined.shape[1:]), **kwargs)
        moments = self.posterior(joined)
        self.posterior = keras.Model(inputs, moments, name="posterior")
        return keras.Model(inputs, moments[0], name="encoder")

    def build_decoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        inputs, joined = self.join_labels("z", (self.latent_dim,))
        decoder = super().build_decoder(x_shape, latent_dim=joined.shape[-1], **kwargs)
        if self.observation is not None:
            self.observation = keras.Model(inputs, self.observation(joined), name="observation")
        return keras.Model(inputs, decoder(joined), name="decoder")

    def get_config(self) -> dict[str, Any]:
        conditions = None if self.conditions is None else dict(self.classes)
        own = {"condition": self.condition, "num_classes": self.num_classes, "conditions": conditions}
        return {**super().get_config(), **own}
