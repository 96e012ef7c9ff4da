"""The configuration of every row of the tables that `python -m benchmarks.papers` runs, and the trials that chose them.

`epochs`, `batch_size` and `learning_rate` are of the training; the other entries are arguments of the model. Trials
change some entries and are measured on images that are neither for training nor for testing, by `--trials`: the last
10,000 training images, or those of a variation of MNIST. Their results are in results/trials.
"""

from typing import Any

Configuration = dict[str, Any]

# === One hidden layer of 1,000 units, MNIST: k-sparse (Makhzani & Frey 2013) and contractive (Rifai et al. 2011) ===

ONE_LAYER: Configuration = {"units": 1000, "epochs": 50, "batch_size": 200, "learning_rate": 1e-3}
SIGMOID: Configuration = {**ONE_LAYER, "activation": "sigmoid", "tied": True}
K_SPARSE: Configuration = {
    **ONE_LAYER,
    "model": "KSparseAE",
    "k_start": 100,
    "alpha": 3.0,
    "aux_weight": 1 / 32,
    "aux_k": 64,
}

LAYERS: dict[str, Configuration] = {
    "k-sparse, k = 70": {**K_SPARSE, "k": 70},
    "k-sparse, k = 40": {**K_SPARSE, "k": 40},
    "k-sparse, k = 25": {**K_SPARSE, "k": 25},
    "k-sparse, k = 10": {**K_SPARSE, "k": 10},
    "dropout AE": {**ONE_LAYER, "model": "DropoutAE", "activation": "relu", "dropout": 0.5},
    "RBM": {**ONE_LAYER, "model": "RBM", "batch_size": 100, "learning_rate": 0.05, "weight_decay": 1e-4},
    "AE": {**SIGMOID, "model": "Autoencoder"},
    "AE+wd": {**SIGMOID, "model": "Autoencoder", "weight_decay": 0.02},
    "DAE-b": {**SIGMOID, "model": "DenoisingAE", "noise": "masking", "corruption": 0.25},
    "DAE-g": {**SIGMOID, "model": "DenoisingAE", "noise": "gaussian", "corruption": 0.3},
    "CAE": {**SIGMOID, "model": "ContractiveAE", "weight": 1.0},
}
#: Fine-tuning of one hidden layer, and what differs for a model.
FINE_TUNING: Configuration = {"learning_rate": 0.2, "epochs": 20, "batch_size": 200}
K_SPARSE_PAPER: Configuration = {**LAYERS["k-sparse, k = 25"], "alpha": 1.0, "aux_weight": 0.0}
K_SPARSE_TUNED: Configuration = {**LAYERS["k-sparse, k = 25"], "fine_tuning": FINE_TUNING}
#: Fine-tuning of the rows of Rifai et al.
RIFAI: Configuration = {"fine_tuning": {"learning_rate": 0.1, "epochs": 40, "batch_size": 50}}

#: Trials train on 10,000 images.
SHORTER: Configuration = {"images": 10_000}
K_SPARSE_TRIALS: dict[str, list[Configuration]] = {
    "k-sparse, k = 25": [
        {**SHORTER, "scaling": 0.5},
        {**SHORTER, "scaling": 0.0},
        {**SHORTER, "scaling": 1.0},
        {**SHORTER, "scaling": 0.5, "alpha": 1.0},
        {**SHORTER, "scaling": 0.5, "alpha": 2.0},
        {**SHORTER, "scaling": 0.5, "alpha": 5.0},
    ],
}

_FINE: Configuration = {"epochs": 40, "batch_size": 50}
RIFAI_TRIALS: dict[str, list[Configuration]] = {
    "CAE": [
        {"weight": 10.0},
        {"weight": 3.0},
        {"weight": 1.0},
        {"weight": 0.3},
        {"weight": 10.0, "fine_tuning": {**_FINE, "learning_rate": 0.8}},
        {"weight": 10.0, "epochs": 200, "fine_tuning": {**_FINE, "learning_rate": 0.8}},
        {"weight": 10.0, "epochs": 200, "fine_tuning": {**_FINE, "learning_rate": 2.0}},
        {"weight": 3.0, "fine_tuning": {**_FINE, "learning_rate": 0.03}},
        {"weight": 3.0, "fine_tuning": {**_FINE, "learning_rate": 0.4}},
        {"weight": 1.0, "fine_tuning": {**_FINE, "learning_rate": 0.3}},
        {"weight": 0.3, "fine_tuning": {**_FINE, "learning_rate": 0.1, "epochs": 100}},
    ],
}

# === The manifold tangent classifier with 300 labels (Rifai et al. 2011b) ===

FEW_LABELS: Configuration = {"images": 300, "learning_rate": 0.02, "epochs": 400, "batch_size": 50}
TANGENTS: dict[str, Configuration] = {
    "CAE": {**FEW_LABELS, "weight": 0.0},
    "CAE and tangents": {**FEW_LABELS, "weight": 10.0},
}
_FASTER = {"learning_rate": 0.1, "epochs": 120}
TANGENTS_TRIALS: dict[str, list[Configuration]] = {
    "CAE": [{**_FASTER, "epochs": 40}, _FASTER, {"epochs": 120}, {}],
    "CAE and tangents": [
        {**_FASTER, "weight": 0.3},
        {**_FASTER, "weight": 1.0},
        {**_FASTER, "weight": 10.0},
        {"epochs": 120},
        {"weight": 30.0, "learning_rate": 0.01, "epochs": 120},
        {},
        {"weight": 30.0, "learning_rate": 0.01},
    ],
}

# === VAE and IWAE on binarized MNIST (Kingma & Welling 2014; Burda et al. 2016) ===

LATENT: Configuration = {"latent_dim": 40, "units": 400, "batch_size": 128, "learning_rate": 2e-3, "epochs": 150}
VAES: dict[str, Configuration] = {
    "VAE": {**LATENT, "importance_samples": 1},
    "IWAE, k = 5": {**LATENT, "importance_samples": 5},
}
#: Annealing of the first test images.
ANNEALING: Configuration = {"images": 50, "chains": 8, "temperatures": 1000, "leapfrog_steps": 5}
#: Priors and gradients at an equal budget, in a narrower network.
PRIOR: Configuration = {**LATENT, "units": 300, "epochs": 20, "importance_samples": 1, "annealing": ANNEALING}
PRIORS: dict[str, Configuration] = {
    "N(0, I)": PRIOR,
    "VampPrior": {**PRIOR, "prior": {"name": "VampPrior", "components": 500}},
    "FlowPrior": {**PRIOR, "prior": {"name": "FlowPrior", "layers": 6, "units": 64, "seed": 0}},
    "IWAE, k = 5": {**PRIOR, "importance_samples": 5},
    "IWAE, k = 5, DReG": {**PRIOR, "importance_samples": 5, "gradient_estimator": "dreg"},
    # 507,434 parameters, where "N(0, I)" has 507,864.
    "Ladder": {**PRIOR, "units": 275, "top_dim": 20, "top_hidden_dims": [100], "warm_up": 4},
}
VAE_TRIALS: dict[str, list[Configuration]] = {
    "VAE": [{"epochs": 30}, {"epochs": 30, "learning_rate": 1e-3}, {"epochs": 30, "weight_decay": 0.02}],
}

# === RBM of 500 units on binarized MNIST: log-likelihood (Melchior et al. 2016) ===

RBM: Configuration = {
    "units": 500,
    "batch_size": 100,
    "learning_rate": 0.05,
    "epochs": 60,
    "chains": 100,
    "temperatures": 10_000,
    "particles": 100,
}

# === DBN, and parallel tempering of an RBM, on binarized MNIST: log-likelihood ===

DIGITS: Configuration = {**RBM, "digits": True, "units": 16, "epochs": 100, "batch_size": 20, "chains": 50}
DBN_LIKELIHOOD: dict[str, Configuration] = {
    "digits: PCD": DIGITS,
    "digits: parallel tempering": {**DIGITS, "ladder": 10},
    "digits: PCD, rate 0.5": {**DIGITS, "learning_rate": 0.5},
    "digits: parallel tempering, rate 0.5": {**DIGITS, "learning_rate": 0.5, "ladder": 10},
    "digits: DBN": {**DIGITS, "top_units": 16, "samples": 200, "fine_tuning_epochs": 100, "fine_tuning_rate": 0.01},
    "DBN": {
        **RBM,
        "top_units": 500,
        "epochs": 10,
        "temperatures": 2000,
        "samples": 50,
        "fine_tuning_epochs": 5,
        "fine_tuning_rate": 0.01,
    },
    "PCD": {**RBM, "epochs": 5, "temperatures": 2000, "chains": 50},
    "parallel tempering": {**RBM, "epochs": 5, "temperatures": 2000, "chains": 50, "ladder": 10},
}

# === Stacks of three layers on MNIST and variations of it (Vincent et al. 2010, Table 3) ===

STACK: Configuration = {"units": 1000, "layers": 3, "batch_size": 100}
#: Pretraining of a layer. SAE-3, SDAE-3 and DBN-3 differ in the model.
AE_LAYER: Configuration = {"model": "Autoencoder", "activation": "sigmoid", "tied": True}
DAE_LAYER: Configuration = {"model": "DenoisingAE", "activation": "sigmoid", "tied": True}
RBM_LAYER: Configuration = {"model": "RBM", "weight_decay": 1e-4}
#: Epochs for 60,000 training images (mnist) and for 10,000 (basic, rot, bg-rand).
LONG: Configuration = {"epochs": 10, "fine_tuning_epochs": 25, "fine_tuning_batch_size": 50}
SHORT: Configuration = {"epochs": 100, "fine_tuning_epochs": 30, "fine_tuning_batch_size": 20}
#: Corruption of each set, as Vincent et al. chose it.
CORRUPTION = {"mnist": 0.25, "basic": 0.1, "rot": 0.25, "bg-rand": 0.4}

STACKS: dict[str, Configuration] = {}
for _set, _corruption in CORRUPTION.items():
    _training = {"set": _set, **STACK, **(LONG if _set == "mnist" else SHORT), "fine_tuning_rate": 0.1}
    STACKS |= {
        # From random weights, sigmoid layers need a smaller rate.
        f"{_set}: no pretraining": {**_training, "model": None, "fine_tuning_rate": 0.05},
        f"{_set}: SAE-3": {**_training, **AE_LAYER, "learning_rate": 1e-3},
        f"{_set}: SDAE-3": {**_training, **DAE_LAYER, "corruption": _corruption, "learning_rate": 1e-3},
        f"{_set}: DBN-3": {**_training, **RBM_LAYER, "learning_rate": 0.05},
    }
STACK_TRIALS: dict[str, list[Configuration]] = {
    "basic: SDAE-3": [
        {},
        {"fine_tuning_rate": 0.05},
        {"epochs": 30, "fine_tuning_rate": 0.05},
        {"epochs": 30},
        {"epochs": 30, "fine_tuning_rate": 0.2},
    ],
}

# === Deep networks from a DBN (Hinton & Salakhutdinov 2006), and stacks of the deeplearning.net tutorials ===

DEEP_AE: Configuration = {
    "kind": "autoencoder",
    "sizes": [1000, 500, 250, 30],
    "epochs": 10,
    "fine_tuning": {"learning_rate": 1e-3, "epochs": 200, "batch_size": 200},
}
#: Fine-tuning of a deep classifier.
CLASSIFIER: Configuration = {"learning_rate": 0.05, "epochs": 30, "batch_size": 50}
DEEP: dict[str, Configuration] = {
    "DBN": DEEP_AE,
    "PCA": {"sizes": [30]},
    "random weights": {**DEEP_AE, "epochs": 0},
    "classifier": {"kind": "classifier", "sizes": [500, 500, 2000], "epochs": 20, "fine_tuning": CLASSIFIER},
}
DEEP_TRIALS: dict[str, list[Configuration]] = {
    "DBN": [{"fine_tuning": {**DEEP_AE["fine_tuning"], "epochs": epochs}} for epochs in (40, 80)],
    "classifier": [
        {},
        {"fine_tuning": {**CLASSIFIER, "learning_rate": 0.1}},
        {"fine_tuning": {**CLASSIFIER, "learning_rate": 0.02}},
    ],
}
_TUTORIAL: Configuration = {"units": 1000, "epochs": 10, "corruptions": [0.1, 0.2, 0.3], "fine_tuning": CLASSIFIER}
TUTORIAL: dict[str, Configuration] = {
    "SdA": {**_TUTORIAL, "model": "StackedAE"},
    "DBN": {**_TUTORIAL, "model": "DBN"},
}

# === Stacked sparse autoencoder on MNIST (Ng et al., UFLDL) ===

UFLDL: Configuration = {
    "units": 200,
    "layers": 2,
    "target": 0.1,
    "weight": 6.0,
    "batch_size": 200,
    "learning_rate": 2e-3,
    "epochs": 15,
    "fine_tuning_rate": 0.2,
    "fine_tuning_epochs": 20,
}
#: Patches of photographs. The tutorial's β = 3 and λ = 1e-4 belong to half the squared error, so they are doubled here.
PATCHES: Configuration = {
    "units": 25,
    "target": 0.01,
    "weight": 6.0,
    "learning_rate": 0.03,
    "epochs": 1000,
    "weight_decay": 2e-4,
    "iterations": 1000,
}
RBM_TRIALS: list[Configuration] = [{"epochs": 10}, {"epochs": 10, "learning_rate": 0.1}]
UFLDL_TRIALS: list[Configuration] = [{"epochs": 10, "fine_tuning_epochs": 10}]
