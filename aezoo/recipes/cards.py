"""The model card, as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aezoo import _untrusted
from aezoo.recipes.sources import SOURCES

README, PICTURE = "README.md", "picture.png"
_CELL = 1000
#: The metrics that recipes name, as the table of the shelf says them.
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
    """Writes a model card in Markdown from what `card.json` says."""
    name, training, data, versions = card["name"], card["training"], card["data"], card["versions"]
    source = SOURCES[data["name"]]
    sketches = " --sketches FILE" if data["name"] == "cats" else ""
    minutes = f"{training['minutes']:g} minutes on {training['cores']} cores"
    facts = {
        "class": f"`aezoo.{card['class']}`, {card['parameters']:,} parameters",
        "paper": card["reference"],
        "data": f"[{source.title}]({source.address}), {source.licence}: {data['training_samples']:,} samples to train "
        f"on, {data['test_samples']:,} to test with",
        "command": f"`aezoo presets train {name}{sketches}`; the recipe is in `aezoo/recipes/recipes.py`",
        "training": _training(training),
        "seed": training["seed"],
        "date": f"{training['date']}, {minutes}, aezoo {versions['aezoo']} and Keras {versions['keras']}",
        "precision": _precision(card),
        "SavedModel": f"`1/`, with the signatures {', '.join(map(_code, card['signatures']))}",
        "licence": "Apache-2.0, as aezoo",
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
        "Its objective, then what `aezoo.evaluation.report` says. `aezoo presets verify "
        f"{name}{sketches}` measures it again.",
    ]
    return "\n\n".join(sections) + "\n"


def shelf_table(all_cards: Iterable[Mapping[str, Any]], link: str = "saved_models") -> str:
    """Writes a table of presets in Markdown, each with the metric that its recipe names, on the test set."""
    rows = [
        (
            f"[`{card['name']}`]({link}/{card['name']}/{README})",
            card["title"],
            f"{_HEADLINES.get(card['metric'], label(card['metric']))}: {number(card['metrics'][card['metric']])}",
        )
        for card in all_cards
    ]
    return table(["preset", "what it is", "on the test set"], rows)


def of_shelf(card: Mapping[str, Any]) -> bool:
    """Whether a card is that of a recipe, and not one of `save_to_preset`."""
    return "metrics" in card


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Writes a table in Markdown."""
    head = list(head)
    cells = ([_untrusted.printable(cell, _CELL) for cell in row] for row in [head, ["---"] * len(head), *rows])
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def label(metric: str) -> str:
    """A metric as it is read."""
    return metric.replace("_", " ")


def number(value: float) -> str:
    """A number as it is read."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _code(text: str) -> str:
    return f"`{text}`"


def _use(card: Mapping[str, Any]) -> str:
    if card["data"]["name"] == "cats":
        return (
            "again = model.sample(temperature=0.5, z=model.encode(x))  # (n, steps, 5), as x\n"
            "others = model.sample(16, temperature=0.3)"
        )
    lines = ["code = model.encode(x)  # x: (n, 28, 28, 1) in [0, 1]", "x_again = model.decode(code)"]
    if "sample" in card["signatures"]:
        lines.append("drawn = model.sample(16)")
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
    before = f"each layer {pretrain['epochs']} epochs in batches of {pretrain['batch_size']}, then " if pretrain else ""
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
