import ast
import gc
import os
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest


def pytest_configure(config):
    """Prepare TensorFlow, but not in the process that hands out tests to workers, which has no need to import it."""
    if config.getoption("dist") == "no":
        import aezoo.testing

        aezoo.testing.two_cpu_devices()


# Examples of docstrings that take seconds to trace; tests of their modules call what they show.
SLOW_EXAMPLES = (
    "SequenceAE",
    "SketchRNN",
    "EnsembleDetector",
    "AnomalyDetector",
    "ConditionalVAE",
    "FactorVAE",
    "CodePrior",
    "LadderVAE",
    "LatentDiffusion",
    "annealed_log_likelihood",
    "wake_sleep",
    "FlowSampler",
    "MixtureSampler",
    "VQVAE",
    "BatchTopKAE",
    "BetaTCVAE",
    "FlowPrior",
    "MMDVAE",
    "aezoo.callbacks.Projector",
    "SequenceAE.score_steps",
    "aezoo.evaluation.exported.litert_error",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The notebooks first, which take minutes: one that began last would leave the other workers idle."""
    for item in items:
        cases = [case for marker in item.iter_markers("slow_cases") for case in marker.args]
        if isinstance(item, pytest.DoctestItem):
            slow = item.name.endswith(SLOW_EXAMPLES)
        else:
            slow = bool(cases) and item.callspec.id in cases
        if slow:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: "notebooks_test" not in item.nodeid)


def pytest_collection_finish():
    """What is imported stays: the garbage collector need not look through all of TensorFlow again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def kept_kernels():
    """Keep TensorFlow's kernels when a seed is set: to make them again is a fifth of the time of small trainings.

    TensorFlow drops them for the random state that some have. The random numbers of Keras and aezoo are without one.
    """
    from tensorflow.python.eager import context

    platform = context.pywrap_tfe
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "pywrap_tfe", Kept(platform))
        yield
    context.context().clear_kernel_cache()


# Modules about the number of steps per call.
OF_STEPS = ("execution_test", "resident_test")


@pytest.fixture(scope="module", autouse=True)
def single_steps(request):
    """Trace one step per call where nothing else is asked for: eight take 0.2 s more, and small trainings have few."""
    from aezoo.training.trainer import Trainer

    with pytest.MonkeyPatch.context() as patch:
        if not request.node.name.removesuffix(".py").endswith(OF_STEPS):
            patch.setattr(Trainer, "default_steps", 1)
        yield


class Kept:
    """A module, with a function to clear the kernels that does nothing."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, name)

    def TFE_ContextClearCaches(self, context):
        pass


@pytest.fixture(scope="session")
def no_graphs():
    """A function that leaves out what is most of the time of a small training: tracing graphs, and exporting them."""
    import aezoo

    def leave_out(patch, exports=True):
        patch.setattr(aezoo.Autoencoder, "run_eagerly", property(lambda model: True, lambda model, value: None))
        for cls in (aezoo.Autoencoder, aezoo.CompressiveAE) if exports else ():
            patch.setattr(cls, "export", lambda model, folder: folder.mkdir())

    return leave_out


@pytest.fixture(scope="session")
def eager():
    """Return a function that returns a case of the conformance checks whose models run without graphs."""
    from aezoo import testing

    class Eager(testing.Case):
        def model(self, **options):
            return super().model(**{**options, "run_eagerly": True})

    return lambda case: Eager(**vars(case))


@pytest.fixture(scope="session")
def one_step_on_replicas():
    """Return a function that checks one step of a case, without graphs; `aezoo.testing.replicas` takes more."""
    from aezoo import testing
    from aezoo.testing.comparing import fit, same, same_history

    def check(case):
        options = {"sample_weight": np.linspace(0.5, 2, 8, dtype="float32"), "epochs": 1}
        one = case.model(quiet=True, run_eagerly=True)
        with testing.two_replicas().scope():
            two = case.model(quiet=True, run_eagerly=True)
        expected, got = (fit(model, case.data(slice(8)), **options) for model in (one, two))
        same("two replicas", expected[0], got[0])
        same_history("two replicas", expected[1], got[1])

    return check


@pytest.fixture
def run_code(tmp_path, monkeypatch):
    """Return a function that runs the code of a page in an empty folder and checks that each `bool(...)` is true."""
    monkeypatch.chdir(tmp_path)

    def run(code, name):
        page = vars(types.ModuleType(name))
        for statement in ast.parse(code).body:
            source = ast.unparse(statement)
            if source.startswith("bool("):
                assert eval(source, page), source
            else:
                exec(compile(ast.Module([statement], []), f"{name}.md", "exec"), page)

    return run


@pytest.fixture(scope="session")
def x():
    """21 small one-channel images: an odd number, so that the last batch is short on every replica."""
    return np.random.default_rng(0).random((21, 6, 6, 1), "float32")
