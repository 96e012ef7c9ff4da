"""Deep autoencoder 784-1000-500-250-30 on MNIST (Hinton & Salakhutdinov 2006), from a DBN and from random weights.

    TFDS_DATA_DIR=... python benchmarks/papers/hinton2006.py [--pretrain-epochs 10] [--minutes 15] [--plot FILE.png]

PCA with 30 components first; then the network with pretraining, `--minutes` for both together; then the same sigmoid
network from random weights for as long. Squared error per test image, as in the paper. Fine-tuning minimises the
cross-entropy with Adam, where the paper used conjugate gradients.
"""

import keras
from reporting import Clock, Row, StopAfter, arguments, falling, mnist, report, squared_error
from sklearn.decomposition import PCA

import aezoo
from aezoo import DBN, RBM, Autoencoder
from aezoo.optimizers import ScheduledSGD
from aezoo.schedules import Step


class TestError(keras.callbacks.Callback):
    """The test error after each epoch."""

    def __init__(self, x_test):
        super().__init__()
        self.x_test = x_test
        self.errors = []

    def on_epoch_end(self, epoch, logs=None):
        self.errors.append(squared_error(self.model, self.x_test))
        print(f"  epoch {epoch + 1}: test squared error {self.errors[-1]:.3f}", flush=True)


def fine_tune(model: Autoencoder, x, x_test, minutes: float, options) -> list[float]:
    """Trains until the minutes are over, the learning rate falling over the second half of them."""
    epochs = 1000
    if minutes <= 0:
        return [squared_error(model, x_test)]
    model.compile(keras.optimizers.Adam(options.learning_rate), loss=aezoo.losses.CrossEntropy())
    test = TestError(x_test)
    model.fit(
        x,
        batch_size=options.batch_size,
        epochs=2 if options.quick else epochs,
        verbose=0,
        callbacks=[falling(options.learning_rate, minutes, 0.02), test, StopAfter(minutes)],
    )
    return test.errors


def plot(by_epoch: dict[str, list[float]], path: str) -> None:
    """Draws the test error of both by epoch of backpropagation."""
    title = "784-1000-500-250-30 on MNIST: what pretraining is worth"
    drawn = {title: {name: errors for name, errors in by_epoch.items() if errors}}
    aezoo.plots.lines(drawn, x="epoch of backpropagation", y="squared error per test image", log="y").savefig(path)


def main() -> None:
    options = arguments(
        __doc__, pretrain_epochs=10, minutes=15.0, learning_rate=1e-3, batch_size=200, plot="", random=1
    )
    (x, _), (x_test, _) = mnist(options.quick)
    sizes = (20, 5) if options.quick else (1000, 500, 250, 30)
    if options.quick:
        options.pretrain_epochs, options.minutes, options.batch_size = 1, 0.2, 100

    clock = Clock()
    flat, flat_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
    pca = PCA(sizes[-1], random_state=0).fit(flat)
    error = float(((pca.inverse_transform(pca.transform(flat_test)) - flat_test) ** 2).sum(axis=1).mean())
    rows = [Row(f"PCA, {sizes[-1]} components", "13.87", "13.9", error, clock.minutes)]

    clock = Clock()
    # Hinton's code for pixels in [0, 1]: the visible units of the reconstruction are means, weight cost 2e-4.
    kinds = ["bernoulli"] * (len(sizes) - 1) + ["gaussian"]
    dbn = DBN(
        [
            RBM(units, hidden=hidden, sample_visible=False, weight_decay=2e-4, kernel_stddev=0.1, seed=options.seed)
            for units, hidden in zip(sizes, kinds, strict=True)
        ]
    )
    momentum = Step([5], [0.5, 0.9])
    optimizers = [ScheduledSGD(0.1 if hidden == "bernoulli" else 0.001, momentum=momentum) for hidden in kinds]
    dbn.pretrain(x, epochs=options.pretrain_epochs, batch_size=100, optimizer=optimizers, seed=options.seed)
    pretrained = clock.minutes
    deep = dbn.unroll()
    rows.append(Row("DBN, unrolled, before fine-tuning", "–", "–", squared_error(deep, x_test), pretrained))
    with_pretraining = fine_tune(deep, x, x_test, options.minutes - pretrained, options)
    rows.append(Row("DBN, unrolled and fine-tuned", "3.00", "3.5", with_pretraining[-1], clock.minutes))

    random = []
    if options.random:
        clock = Clock()
        plain = Autoencoder(
            sizes[-1], hidden_dims=sizes[:-1], activation="sigmoid", code_activation="linear", seed=options.seed
        )
        random = fine_tune(plain, x, x_test, options.minutes, options)
        rows.append(Row("the same sigmoid network from random weights", "–", "–", random[-1], clock.minutes))
    by_epoch = {"from a DBN": with_pretraining, "from random weights": random}
    if options.plot:
        plot(by_epoch, options.plot)
    report("hinton2006", options, rows, by_epoch=by_epoch)


if __name__ == "__main__":
    main()
