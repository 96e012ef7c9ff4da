"""Model cards in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aezoo import _untrusted
from aezoo.recipes.sources import SOURCES

README, PICTURE = "README.md", "picture.png"
_CELL = 1000
_PROPER = {"jacobian": "Jacobian", "kl": "KL", "l0": "L0", "pca": "PCA"}
#: The metrics that recipes name, as the table of presets labels them.
_HEADLINES = {
    "mean_squared_error": "mean squared error per pixel",
    "loss": "negative ELBO, nats",
    "rate": "bits per digit",
    "reconstruction": "squared error per digit",
    "jacobian_norm": "norm of the Jacobian",
    "pseudo_log_likelihood": "pseudo-log-likelihood, nats",
    "negative_log_likelihood": "negative log-likelihood, nats per sketch",
}


def readme(card: Mapping[str, Any]) -> str:
    """Return a model card in Markdown.

    Args:
        card: The content of `card.json`.
    """
    name, training, data, versions = card["name"], card["training"], card["data"], card["versions"]
    source = SOURCES[data["name"]]
    file = f" --{source.option} FILE" if source.option else ""
    minutes = f", {training['minutes']:g} minutes on {training['cores']} cores" if "minutes" in training else ""
    facts = {
        "class": f"`aezoo.{card['class']}`, {card['parameters']:,} parameters",
        "paper": card["reference"],
        "data": f"[{source.title}]({source.address}), {source.license}: {data['training_samples']:,} training samples, "
        f"{data['test_samples']:,} test samples",
        "command": f"`aezoo presets train {name}{file}`; the recipe is in `aezoo/recipes/recipes.py`",
        "training": _training(training),
        "seed": training["seed"],
        "date": f"{training['date']}{minutes}, aezoo {versions['aezoo']} and Keras {versions['keras']}",
        "precision": _precision(card),
        "SavedModel": f"`1/`, with the signatures {', '.join(map(_code, card['signatures']))}",
        "license": "Apache-2.0, like aezoo",
    }
    metrics = {label(key): number(value) for key, value in card["metrics"].items()}
    sections = [
        f"# {name}",
        f"{card['title']}. {card.get('limits', '')}".rstrip(),
        f"![{card['title']}]({PICTURE})",
        f'```python\nimport aezoo\n\nmodel = aezoo.{card["class"]}.from_preset("{name}")\n{_use(card)}\n```',
        table(["", ""], [(key, value) for key, value in facts.items() if value != ""]),
        "## Arguments",
        f"```json\n{json.dumps(training['arguments'], indent=1)}\n```",
        "## On the test set",
        table(["", ""], metrics.items()),
        "The terms of its objective, then the metrics of `aezoo.evaluation.report`. To measure them again and compare, "
        f"run `aezoo presets verify {name}{file}`." + (f" FILE is {source.file}." if source.file else ""),
    ]
    return "\n\n".join(sections) + "\n"


def presets_table(all_cards: Iterable[Mapping[str, Any]], link: str = "saved_models") -> str:
    """Return a table of presets in Markdown, each with the metric that its recipe names, on the test set.

    Args:
        all_cards: The model cards, each with metrics.
        link: Address of the folder of the presets, relative to the page.
    """
    rows = [
        (
            f"[`{card['name']}`]({link}/{card['name']}/{README})",
            card["title"],
            f"{_HEADLINES.get(card['metric'], label(card['metric']))}: {number(card['metrics'][card['metric']])}",
        )
        for card in all_cards
    ]
    return table(["preset", "model", "on the test set"], rows)


def has_metrics(card: Mapping[str, Any]) -> bool:
    """Return whether a model card has metrics: cards of recipes have them, cards of `save_to_preset` do not."""
    return "metrics" in card


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    cells = ([_untrusted.printable(cell, _CELL) for cell in row] for row in [head, ["---"] * len(head), *rows])
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def label(metric: str) -> str:
    """Return the name of a metric for readers."""
    return " ".join(_PROPER.get(word, word) for word in metric.split("_"))


def number(value: float) -> str:
    """Return a number for readers: integers with commas, others to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _code(text: str) -> str:
    return f"`{text}`"


def _use(card: Mapping[str, Any]) -> str:
    name = card["data"]["name"]
    if name == "cats":
        return (
            "redrawn = model.sample(temperature=0.5, z=model.encode(x))  # x and redrawn: (n, steps, 5)\n"
            "samples = model.sample(16, temperature=0.3)"
        )
    lines = [f"code = model.encode(x)  # x: {SOURCES[name].shape}", "reconstruction = model.decode(code)"]
    if "sample" in card["signatures"]:
        lines.append("samples = model.sample(16)")
    if "rate" in card["metrics"]:
        lines.append("data = model.compress(x)  # bytes")
    return "\n".join(lines)


def _training(training: Mapping[str, Any]) -> str:
    epochs = f"{training['epochs']} epochs in batches of {training['batch_size']}"
    rate = training["learning_rate"]
    if isinstance(rate, Mapping):
        rate = ", ".join(
            f"{label(key)} {value:g}" for key, value in rate.items() if value and not isinstance(value, str)
        )
    else:
        rate = f"{rate:g}"
    pretrain = training.get("pretrain")
    before = f"{pretrain['epochs']} epochs per layer in batches of {pretrain['batch_size']}, then " if pretrain else ""
    decay = f"; weight decay {training['weight_decay']:g}" if "weight_decay" in training else ""
    return f"{before}{epochs}, {training['optimizer']} (learning rate: {rate}{decay})"


def _precision(card: Mapping[str, Any]) -> str:
    if not card["half"]:
        return "float32"
    before = card["full_precision"]
    name = card["metric"] if card["metric"] in before else "loss"
    return (
        f"kernels are stored as float16 and used as float32; {label(name)}: {card['metrics'][name]:.6g}, before "
        f"rounding {before[name]:.6g}"
    )
