"""Tools around training: KerasTuner and MLflow, which no extra of aezoo installs; `.ci/slow` does."""

import json

import keras
import numpy as np
import pytest

import aezoo

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages themselves


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((32, 6), "float32")


def test_keras_tuner_searches_by_a_term(x, tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner", reason="needs pip install keras-tuner tensorboard")
    pytest.importorskip("tensorboard", reason="needs pip install keras-tuner tensorboard")

    def build(hp):
        model = aezoo.Autoencoder(latent_dim=hp.Choice("latent_dim", [1, 3]), seed=0)
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        return model

    objective = keras_tuner.Objective("val_reconstruction", "min")
    tuner = keras_tuner.GridSearch(build, objective, max_trials=2, directory=tmp_path, project_name="search")
    tuner.search(x, validation_data=x[:8], epochs=1, verbose=0)
    trials = {
        trial["hyperparameters"]["values"]["latent_dim"]: trial["score"]
        for trial in (json.loads(path.read_text()) for path in (tmp_path / "search").glob("trial_*/trial.json"))
    }
    assert trials.keys() == {1, 3} and np.isfinite([*trials.values()]).all()
    best = tuner.get_best_models()[0]
    assert best.latent_dim == min(trials, key=trials.get)
    terms = best.evaluate(x[:8], return_dict=True, verbose=0)
    assert terms["reconstruction"] == pytest.approx(min(trials.values()), rel=1e-5)


@pytest.mark.slow
def test_mlflow_records_terms_and_the_model(x, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs pip install mlflow tensorboard")
    pytest.importorskip("tensorboard", reason="needs pip install mlflow tensorboard")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    model = aezoo.VAE(latent_dim=2, seed=0)
    model.compile("adam", run_eagerly=True)
    mlflow.tensorflow.autolog(checkpoint=False)
    try:
        with mlflow.start_run() as run:
            history = model.fit(x, validation_data=x[:8], epochs=2, verbose=0).history
    finally:
        mlflow.tensorflow.autolog(disable=True)
    recorded = mlflow.get_run(run.info.run_id).data
    assert recorded.params["epochs"] == "2"
    for name in ("loss", "reconstruction", "kl", "val_reconstruction"):
        assert recorded.metrics[name] == pytest.approx(history[name][-1])
    loaded = mlflow.tensorflow.load_model(f"runs:/{run.info.run_id}/model")
    np.testing.assert_allclose(loaded.encode(x), model.encode(x), rtol=1e-5, atol=1e-6)
