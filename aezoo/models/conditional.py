"""The conditional variational autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from aezoo import _validation
from aezoo._typing import Shape
from aezoo.models.variational import VAE

if TYPE_CHECKING:
    import matplotlib.figure

# Names of other arguments of verbs.
_TAKEN = ("x", "z", "n", "seed", "steps", "samples", "batch_size")


@keras.saving.register_keras_serializable("aezoo")
class ConditionalVAE(VAE):
    """A generative model p(z) p(x given z, c) of samples with a label c, trained by -ELBO = -E_q log p + β KL(q‖p(z)).

    The encoder q(z given x, c) and the decoder take the label, one-hot, beside x and z. The code need not tell what the
    label tells, and is left for the rest: the handwriting, while the label says which digit.

    Args:
        latent_dim: Number of code units.
        condition: Name of the label in data and verbs.
        num_classes: Number of classes; labels are whole numbers from 0 to num_classes - 1.
        **kwargs: Those of `VAE`, but no `filters`, `tied`, `encoder` and `decoder`.

    Raises:
        ValueError: If an argument is out of range, or says which networks to take.

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

    Reference:
        Sohn, Lee & Yan, "Learning structured output representation using deep conditional generative models",
        NeurIPS 2015.
    """

    fixed_arguments = ("filters", "kernel_size", "upsampling", "residual", "tied", "encoder", "decoder")

    def __init__(
        self, latent_dim: int | None = None, *, condition: str = "label", num_classes: int = 10, **kwargs: Any
    ):
        for name in ("filters", "tied", "encoder", "decoder"):
            if kwargs.get(name):
                raise ValueError(f"ConditionalVAE makes its networks of dense layers: leave out {name}.")
        super().__init__(latent_dim, **kwargs)
        if not isinstance(condition, str) or condition in _TAKEN or not condition.isidentifier():
            raise ValueError(f"condition must be a name such as 'label', but it is {condition!r}.")
        self.condition = condition
        self.num_classes = _validation.check_int("num_classes", num_classes, 2)

    @property
    def condition_names(self) -> tuple[str, ...]:
        return (self.condition,)

    def condition_bounds(self, name: str) -> tuple[float, float]:
        return 0, self.num_classes - 1

    def build_encoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        inputs, joined = self._joined("x", x_shape)
        super().build_encoder(tuple(joined.shape[1:]), **kwargs)
        moments = self.posterior(joined)
        self.posterior = keras.Model(inputs, moments, name="posterior")
        return keras.Model(inputs, moments[0], name="encoder")

    def build_decoder(self, x_shape: Shape, **kwargs: Any) -> keras.Model:
        inputs, joined = self._joined("z", (self.latent_dim,))
        decoder = super().build_decoder(x_shape, latent_dim=joined.shape[-1], **kwargs)
        if self.observation is not None:
            self.observation = keras.Model(inputs, self.observation(joined), name="observation")
        return keras.Model(inputs, decoder(joined), name="decoder")

    def _joined(self, name: str, shape: Shape) -> tuple[dict[str, Any], Any]:
        """Return the inputs of a network by name, and their flat values beside the one-hot label."""
        label = keras.Input((), dtype="int32", name=self.condition)
        inputs = {name: keras.Input(shape, name=name), self.condition: label}
        flat = keras.layers.Flatten(dtype=self.dtype_policy)(inputs[name])
        one_hot = keras.layers.Embedding(
            self.num_classes, self.num_classes, "identity", trainable=False, dtype=self.dtype_policy
        )
        return inputs, keras.layers.Concatenate(dtype=self.dtype_policy)([flat, one_hot(label)])

    def report_pictures(self, x: Any) -> dict[str, Callable[[], matplotlib.figure.Figure]]:
        from aezoo import plots

        classes = np.arange(50) % self.num_classes
        return {
            "reconstructions.png": lambda: plots.reconstructions(self, x),
            "samples.png": lambda: plots.samples(self.sample(50, **{self.condition: np.sort(classes)})),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "condition": self.condition, "num_classes": self.num_classes}
