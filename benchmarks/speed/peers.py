"""How fast an epoch is, and how much memory it takes, beside what one would use instead, and beside the machine's roof.

    pip install -e ".[benchmarks]"
    python benchmarks/speed/peers.py [--networks Autoencoder ...] [--most N] [--quick] [--output FILE.json]

Run again with the same output, it measures what the file lacks; with `--most 1`, each run measures one group, within
four minutes.

784-1000-784 (VAE: 784-400-40), Adam with its learning rate of 1e-3, float32, random data in [0, 1], batches of 128 and
of 1024. Each contender is a process of its own, with a thread a core, and all run in turn, two epochs at a time: twice
untimed, then twice per round, and the faster counts. A ratio (the peer's seconds over ours: higher is better) is
taken within a round; the table gives the median of the rounds with the least and the greatest. A peer that cannot run
is "not measured", with the reason.

- aezoo: `fit(x, epochs=2)`, its checks of the data included; by default, and with `jit_compile=True`, which `fit`
  chooses for dense networks in a training of more than about ten seconds.
- Keras: `fit(x, x, epochs=2)` of the same network in stock Keras; by default, and with `steps_per_execution=8`, as is
  our default.
- PyTorch, eager and `torch.compile`: the loop of its tutorials, a shuffled DataLoader and `loss.item()`. "fastest": a
  tensor indexed by a permutation, `Adam(fused=True)` and no `item()`, so that its data, too, stay on the device.
- pythae: `BaseTrainer.train_step`, as in vae.py. PyOD: the loop of `AutoEncoder.fit` without its scoring of the data;
  neither dropout, batch normalization nor weight decay; linear output. scikit-learn: `MLPRegressor.partial_fit`, linear
  output, and, for context, a whole `PCA().fit` of the same data.
- GEMMs: the five matrix products of a step, forward and backward, by TensorFlow in one graph. Their time over that of
  our step is the share of the roof.

Peak memory is that of the whole process until its first two epochs are over; growth is what they added to what the
libraries, the model and the data had taken before.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import timing

FEATURES = 784
EPOCHS = 2
ROOF = {128: 0.7, 1024: 0.85}
KERAS = {128: 1.6, 1024: 1.4}
GOALS = {"PyTorch": 1.1, "torch.compile": 1.1, "PyTorch, fastest": 1.1, "torch.compile, fastest": 1.1}
FASTEST = 1.0  # of a variant, beside both fastest loops of PyTorch
OURS = ("aezoo", "aezoo, jit_compile=True")
TORCH = ("PyTorch", "torch.compile", "PyTorch, fastest", "torch.compile, fastest")
VARIANTS = ("DenoisingAE", "SparseAE l1", "SparseAE kl", "ContractiveAE", "KSparseAE", "VAE")

Run = Callable[[int], Any]  # of a number of epochs


def repeated(epoch: Callable[[], Any]) -> Run:
    return lambda epochs: [epoch() for _ in range(epochs)]


def aezoo(x: np.ndarray, batch_size: int, network: str, units: int, **compiled: Any) -> Run:
    import keras

    import aezoo

    model = {
        "Autoencoder": aezoo.Autoencoder,
        "DenoisingAE": aezoo.DenoisingAE,
        "SparseAE l1": functools.partial(aezoo.SparseAE, penalty="l1"),
        "SparseAE kl": functools.partial(aezoo.SparseAE, penalty="kl"),
        "ContractiveAE": functools.partial(aezoo.ContractiveAE, tied=False),
        "KSparseAE": aezoo.KSparseAE,
        "VAE": lambda units: aezoo.VAE(40, hidden_dims=(units,)),
    }[network](units)
    model.compile(keras.optimizers.Adam(1e-3), **compiled)
    return lambda epochs: model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)


def stock_keras(x: np.ndarray, batch_size: int, network: str, units: int, **compiled: Any) -> Run:
    import keras

    inputs = keras.Input((FEATURES,))
    code = keras.layers.Dense(units, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(FEATURES, activation="sigmoid")(code))
    model.compile(keras.optimizers.Adam(1e-3), loss="mse", **compiled)
    return lambda epochs: model.fit(x, x, batch_size=batch_size, epochs=epochs, verbose=0)


def pytorch(x: np.ndarray, batch_size: int, network: str, units: int, compiled: bool, fastest: bool) -> Run:
    import torch_models

    model = torch_models.MODELS[network](FEATURES, units)
    return repeated(torch_models.epoch(model, x, batch_size, compiled, fastest))


def pythae(x: np.ndarray, batch_size: int, network: str, units: int) -> Run:
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self):
            BaseEncoder.__init__(self)
            self.layer = torch.nn.Linear(FEATURES, units)

        def forward(self, x):
            return ModelOutput(embedding=torch.relu(self.layer(x)))

    class Decoder(BaseDecoder):
        def __init__(self):
            BaseDecoder.__init__(self)
            self.layer = torch.nn.Linear(units, FEATURES)

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.layer(z)))

    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            AE(AEConfig(input_dim=(FEATURES,), latent_dim=units), encoder=Encoder(), decoder=Decoder()),
            BaseDataset(torch.from_numpy(x), torch.zeros(len(x))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=batch_size,
                learning_rate=1e-3,
                no_cuda=True,
            ),
        )
        trainer.prepare_training()
    trainer.callback_handler.on_train_begin(training_config=trainer.training_config, model_config=trainer.model_config)
    return repeated(lambda: trainer.train_step(1))


def pyod(x: np.ndarray, batch_size: int, network: str, units: int) -> Run:
    import torch
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.utils.torch_utility import TorchDataset

    detector = AutoEncoder(
        preprocessing=False,
        epoch_num=1,
        batch_size=batch_size,
        device="cpu",
        verbose=0,
        optimizer_params={},
        hidden_neuron_list=[units],
        batch_norm=False,
        dropout_rate=0.0,
    )
    detector.feature_size = FEATURES
    detector.build_model()
    detector.training_prepare()
    loader = torch.utils.data.DataLoader(TorchDataset(X=x, y=None), batch_size, shuffle=True, drop_last=True)
    return repeated(lambda: detector.train(loader))


def mlp_regressor(x: np.ndarray, batch_size: int, network: str, units: int) -> Run:
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(hidden_layer_sizes=(units,), alpha=0.0, batch_size=batch_size, learning_rate_init=1e-3)
    return repeated(lambda: model.partial_fit(x, x))


def pca(x: np.ndarray, batch_size: int, network: str, units: int) -> Run:
    from sklearn.decomposition import PCA

    return repeated(lambda: PCA().fit(x))


def gemms(batch_size: int, widths: Sequence[int], steps: int) -> Callable[[], Any]:
    """The matrix products of the forward and backward passes of a dense network, and nothing else, in one graph."""
    import tensorflow as tf

    shapes = list(itertools.pairwise(widths))
    kernels = [tf.Variable(tf.random.normal(shape, stddev=shape[0] ** -0.5)) for shape in shapes]
    x = tf.random.normal((batch_size, widths[0]))

    @tf.function
    def run():
        gradients = [tf.zeros(shape) for shape in shapes]
        for _ in tf.range(steps):
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            layers = [x]
            for kernel in kernels:
                layers.append(layers[-1] @ kernel)
            delta, gradients = layers.pop(), []
            for kernel in reversed(kernels):
                layer = layers.pop()
                gradients.insert(0, tf.matmul(layer, delta, transpose_a=True))
                if layers:  # the input needs no gradient
                    delta = tf.matmul(delta, kernel, transpose_b=True)
        return gradients

    return lambda: run()[0].numpy()


def roof(x: np.ndarray, batch_size: int, network: str, units: int) -> Run:
    return repeated(gemms(batch_size, (FEATURES, units, FEATURES), len(x) // batch_size))


CONTENDERS: dict[str, Callable[..., Run]] = {
    "aezoo": aezoo,
    "aezoo, jit_compile=True": functools.partial(aezoo, jit_compile=True),
    "Keras": stock_keras,
    "Keras, steps_per_execution=8": functools.partial(stock_keras, steps_per_execution=8),
    "PyTorch": functools.partial(pytorch, compiled=False, fastest=False),
    "torch.compile": functools.partial(pytorch, compiled=True, fastest=False),
    "PyTorch, fastest": functools.partial(pytorch, compiled=False, fastest=True),
    "torch.compile, fastest": functools.partial(pytorch, compiled=True, fastest=True),
    "pythae": pythae,
    "PyOD": pyod,
    "scikit-learn MLPRegressor": mlp_regressor,
    "scikit-learn PCA, whole fit": pca,
    "GEMMs": roof,
}
# Measured beside aezoo in a group of their own, since all contenders take too long for one.
OTHERS = ("pythae", "PyOD", "scikit-learn MLPRegressor", "scikit-learn PCA, whole fit")
# One of each library. For --quick only those are processes of which one is known to crash beside TensorFlow, and ours.
QUICK = ("aezoo", "PyTorch", "pythae", "PyOD")
QUICK_HERE = ("Keras", "scikit-learn MLPRegressor", "scikit-learn PCA, whole fit", "GEMMs")


def build(given: argparse.Namespace) -> Callable[[], Any]:
    """What the process of a contender runs; all have the same data."""
    x = np.random.default_rng(given.seed).random((given.samples, FEATURES), dtype="float32")
    run = CONTENDERS[given.contender](x, given.batch_size, given.network, given.units)
    return lambda: run(EPOCHS)


def together(
    names: Sequence[str], batch_size: int, network: str, settings: dict[str, Any], here: Sequence[str] = ()
) -> dict[str, Any]:
    """Times some contenders on one network in turn, and others `here`, in this process.

    Returns:
        "seconds" of two epochs, as of `timing.interleaved`, of those that ran; "peak MiB" and "growth MiB" by name;
        "failed": reasons by name.
    """
    command = ["--network", network, "--batch-size", str(batch_size)]
    for name in ("samples", "seed"):
        command += [f"--{name}", str(settings[name])]
    command += ["--units", str(settings["vae_units" if network == "VAE" else "units"])]
    script = str(pathlib.Path(__file__).resolve())
    workers: dict[str, Any] = {name: timing.Worker([script, *command, "--contender", name]) for name in names}
    for name in here:
        workers[name] = timing.Here(functools.partial(build, parser().parse_args([*command, "--contender", name])))
    report: dict[str, Any] = {"peak MiB": {}, "growth MiB": {}, "failed": {}}
    try:
        running = {}
        for name, worker in workers.items():
            try:
                first = worker.measure()
            except RuntimeError as reason:
                if name in OURS:
                    raise
                report["failed"][name] = str(reason)
                continue
            running[name] = worker
            report["peak MiB"][name] = first["peak_bytes"] / 2**20
            report["growth MiB"][name] = (first["peak_bytes"] - first["before_bytes"]) / 2**20
        report["seconds"] = timing.interleaved(running, settings["rounds"], 2, lambda worker: worker.measure())
    finally:
        for worker in workers.values():
            worker.close()
    return report


def judged(report: dict[str, Any], batch_size: int, network: str) -> dict[str, Any]:
    """Our speed over that of each peer, and our share of the roof."""
    seconds, results = report["seconds"], {}
    names = [name for name in CONTENDERS if name in seconds["wall"] or name in report["failed"]]
    for ours, peer in itertools.product(OURS, names):
        if peer in OURS or ours not in names:
            continue
        what, goal = f"{ours} / {peer}", KERAS[batch_size] if peer == "Keras" else GOALS.get(peer)
        if network in VARIANTS and peer.endswith("fastest"):
            goal = FASTEST
        if peer == "GEMMs":
            what, goal = f"{ours}: share of the roof", ROOF[batch_size]
        if peer in report["failed"]:
            results[what] = {"not_measured": report["failed"][peer], "goal": goal}
        else:
            results[what] = timing.faster(seconds, ours, peer, goal)
    return results


def show(report: dict[str, Any], results: dict[str, Any]) -> None:
    rows = []
    for what, result in results.items():
        if "not_measured" in result:
            rows.append((what, "not measured", "", "", ""))
        else:
            rows.append((what, timing.shown(result), *timing.verdict(result, ">="), timing.shown(result["cpu"])))
    print(timing.table(("what", "speed-up, wall", "goal", "reached", "speed-up, CPU"), rows), end="\n\n")
    rows = []
    for name, wall in report["seconds"]["wall"].items():
        times = [timing.spread(taken)["median"] for taken in (wall, report["seconds"]["cpu"][name])]
        memory = [report[key][name] for key in ("peak MiB", "growth MiB")]
        rows.append((name, *(f"{1e3 * time / EPOCHS:.0f}" for time in times), *(f"{mib:.0f}" for mib in memory)))
    rows += [(name, f"not measured: {reason}", "", "", "") for name, reason in report["failed"].items()]
    header = ("what", "ms an epoch", "CPU ms an epoch", "peak MiB", "growth MiB")
    print(timing.table(header, rows), end="\n\n", flush=True)


def main(arguments: argparse.Namespace) -> None:
    # The number of samples is a multiple of each batch size, so that the products of all steps are of one shape.
    samples, units, rounds = (256, 40, 1) if arguments.quick else (8_192, 1_000, 3)
    vae_units = 20 if arguments.quick else 400
    settings = {"samples": samples, "units": units, "vae_units": vae_units, "rounds": rounds, "seed": arguments.seed}
    main_names = tuple(name for name in CONTENDERS if name not in OTHERS)
    groups = [("Autoencoder", batch_size, "", main_names) for batch_size in ROOF]
    groups += [("Autoencoder", batch_size, ", other libraries", ("aezoo", *OTHERS)) for batch_size in ROOF]
    groups += [(variant, 128, "", (*OURS, *TORCH)) for variant in VARIANTS]
    if arguments.networks:
        groups = [group for group in groups if group[0] in arguments.networks]
    if arguments.quick:
        groups = [("Autoencoder", 128, "", QUICK)]
    report: dict[str, Any] = {
        "benchmark": "peers",
        "machine": timing.machine(),
        "versions": timing.installed("numpy", "scikit-learn", "torch", "pythae", "pyod"),
        "settings": {**settings, "epochs": EPOCHS, "threads": timing.cores(), "quick": arguments.quick},
        "results": {},
        "peak MiB": {},
        "measured": {},
    }
    if arguments.output is not None and arguments.output.exists():
        before = json.loads(arguments.output.read_text())
        if before["settings"] == report["settings"]:  # else of another state of this script
            report |= {key: before[key] for key in ("peak MiB", "measured")}
            for group, measured in report["measured"].items():
                network, batch_size = group.split(", ")[:2]
                report["results"][group] = judged(measured, int(batch_size.removeprefix("batch ")), network)
    groups = [group for group in groups if "{}, batch {}{}".format(*group) not in report["measured"]]
    for network, batch_size, part, names in groups[: arguments.most]:
        group = f"{network}, batch {batch_size}{part}"
        measured = together(names, batch_size, network, settings, QUICK_HERE if arguments.quick else ())
        results = judged(measured, batch_size, network)
        print(f"{group}\n")
        show(measured, results)
        report["measured"][group] = measured
        report["results"][group] = results
        if network == "Autoencoder":
            report["peak MiB"][group] = {
                name: {**timing.spread([mib]), "goal": None} for name, mib in measured["peak MiB"].items()
            }
        timing.write(arguments.output, report)  # what there is, should a later one fail
    timing.write(arguments.output, report)


def parser() -> argparse.ArgumentParser:
    command_line = timing.contender_parser(__doc__)
    command_line.add_argument("--most", type=int, help="number of groups to measure at most, default: all")
    command_line.add_argument("--networks", nargs="+", choices=("Autoencoder", *VARIANTS), help="default: all")
    return command_line


if __name__ == "__main__":
    given = parser().parse_args()
    if given.contender:
        timing.serve(functools.partial(build, given))
    else:
        main(given)
