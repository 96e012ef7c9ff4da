"""Writes RESULTS.md, and its short form in the README, from what defaults.py and the scripts in papers/ and speed/ have
measured.

python benchmarks/results.py

What was tried where a goal was missed is said by hand, in a file NAME.md beside NAME.json.
"""

import dataclasses
import json
import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MISSED = "**missed**"


@dataclasses.dataclass
class Goal:
    section: str
    what: str
    ours: str
    goal: str
    met: str  # "yes", MISSED, or "" where there is none


def reached(target: str, ours: float) -> str:
    """Whether a target is met: "<= 1", "> 1", ...; a bare number is the most allowed, a negative one the least."""
    match = re.fullmatch(r"(<=|>=|<|>)? ?(-?[\d.]+)", target)
    if not match:
        return ""
    bound = float(match[2])
    operator = match[1] or (">=" if bound < 0 else "<=")
    met = {"<=": ours <= bound, ">=": ours >= bound, "<": ours < bound, ">": ours > bound}[operator]
    return "yes" if met else MISSED


def papers() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted((HERE / "papers" / "results").glob("*.json")):
        result = json.loads(path.read_text())
        options = " ".join(f"{name}={value}" for name, value in result["options"].items() if name != "quick")
        lines += [
            f"### {path.stem}",
            "",
            f"`python {result['script']}`, {result['date']}, {result['cores']} cores, Keras "
            f"{result['versions']['keras']}; {options}",
            "",
            "| | published | target | ours | reached | minutes |",
            "|---|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            ours, minutes = f"{row['ours']:.4g}", f"{row['minutes']:.1f}" if row["minutes"] else ""
            goal = Goal(path.stem, row["what"].strip(), ours, row["target"], reached(row["target"], row["ours"]))
            lines.append(f"| {goal.what} | {row['published']} | {goal.goal} | {ours} | {goal.met} | {minutes} |")
            goals.append(goal)
        lines += [*_tried(path), *_pictures(path), ""]
    return lines, goals


def speed() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted((HERE / "speed" / "results").glob("*.json")):
        report = json.loads(path.read_text())
        machine = report["machine"]
        lines += [
            f"### {path.stem}",
            "",
            f"`python benchmarks/speed/{_script(path.stem)}.py`, {', '.join([machine['cpu'], *machine['gpus']])}, "
            f"{machine['cores']} cores, TensorFlow {machine['tensorflow']}, Keras {machine['keras']}, "
            f"{machine['date'][:10]}",
            "",
            "| | median (least to greatest) | goal | reached |",
            "|---|---|---|---|",
        ]
        for name, ratio in _ratios(report):
            goal = "" if ratio.get("goal") is None else f"{ratio['goal']:g}"
            if "not_measured" in ratio:
                lines.append(f"| {name} | not measured: {ratio['not_measured']} | {goal} | |")
                continue
            met = {True: "yes", False: MISSED, None: ""}[ratio.get("reached")]
            spread = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
            lines.append(f"| {name} | {spread} | {goal} | {met} |")
            goals.append(Goal(path.stem, name, f"{ratio['median']:.2f}", goal, met))
        lines += [*_tried(path), *_pictures(path), ""]
    return lines, goals


def defaults() -> tuple[list[str], list[Goal]]:
    lines, goals = [], []
    for path in sorted(HERE.glob("defaults.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        dates = sorted(run["date"] for run in report["runs"])
        options = " ".join(f"{name}={value}" for name, value in report["options"].items())
        lines += [
            "## Defaults",
            "",
            f"`python {report['script']}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, {report['cores']} "
            f"cores, Keras {report['versions']['keras']}; {options}",
            "",
            "Every model with its constructor's defaults and its `default_optimizer()`. Errors are shares of the mean",
            "sample's error; PCA has as many components as the model has units. The criteria are at the top of the",
            "script.",
            "",
            "| model | data | units | error | PCA's | dead | beats the trivial answer | does what it is for |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for run in report["runs"]:
            numbers = ["–" if run[name] is None else f"{100 * run[name]:.1f} %" for name in ("error", "pca", "dead")]
            cells = []
            for kind in ("trivial", "term"):
                checks = [
                    Goal("defaults", what, f"{ours:.4g}", target, reached(target, ours) or MISSED)
                    for what, ours, target in (check.values() for check in run[kind])
                ]
                met = MISSED if any(check.met == MISSED for check in checks) else "yes"
                cells.append(f"{met}: " + "; ".join(f"{check.what} {check.ours} ({check.goal})" for check in checks))
                name = f"{run['model']}, {run['data']}"
                goals += [dataclasses.replace(check, what=f"{name}: {check.what}") for check in checks]
            lines.append(f"| {' | '.join([run['model'], run['data'], str(run['units']), *numbers, *cells])} |")
        lines += [*_tried(path), ""]
    return lines, goals


def _tried(path: Path) -> list[str]:
    """What stands beside a result by hand."""
    text = path.with_suffix(".md")
    return ["", *text.read_text().splitlines()] if text.exists() else []


def _pictures(path: Path) -> list[str]:
    """The pictures of a result: those whose names begin with its name, and with no longer one's."""
    names = sorted((other.stem for other in path.parent.glob("*.json")), key=len)
    lines = []
    for picture in sorted(path.parent.glob(f"{path.stem}*.png")):
        if [name for name in names if picture.stem.startswith(name)][-1] == path.stem:
            lines += ["", f"![{picture.stem.replace('_', ' ')}]({picture.relative_to(HERE).as_posix()})"]
    return lines


def short(goals: list[Goal]) -> list[str]:
    """How many goals are reached, and which are not."""
    judged = [goal for goal in goals if goal.met]
    missed = [goal for goal in judged if goal.met == MISSED]
    text = f"Of {len(judged)} goals that were measured {len(judged) - len(missed)} are reached"
    if not missed:
        return [f"{text}."]
    return [
        f"{text}, and these are not:",
        "",
        *(f"- {goal.section}: {goal.what}, {goal.ours} (goal {goal.goal})" for goal in missed),
    ]


def _script(result: str) -> str:
    """The script that wrote a result: the longest name that the result's begins with."""
    names = [path.stem for path in (HERE / "speed").glob("*.py") if result.startswith(path.stem)]
    return max(names, key=len)


def _ratios(value: dict, name: str = "") -> list[tuple[str, dict]]:
    """Every spread with a goal in a report, or why there is none, and the names on the way to it."""
    if "goal" in value and ("median" in value or "not_measured" in value):
        return [(name, value)]
    found = []
    for key, part in value.items():
        if isinstance(part, dict):
            found += _ratios(part, name if key in ("results", "ratios") else f"{name}, {key}".removeprefix(", "))
    return found


def documents() -> dict[Path, str]:
    """The two documents, by their files."""
    of_papers, goals = papers()
    of_defaults, judged = defaults()
    of_speed, more = speed()
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/results.py` from the numbers that the scripts left in `papers/results`,",
        "`speed/results` and `defaults.json`. What else ran on the machine meanwhile is not known here.",
        "",
        "## Papers",
        "",
        *of_papers,
        *of_defaults,
        "## Speed",
        "",
        "What is compared, and which way is better, is said at the top of each script.",
        "",
        *of_speed,
    ]
    return {
        HERE / "RESULTS.md": "\n".join(lines).rstrip() + "\n",
        README: re.sub(
            r"(<!-- results -->\n).*?(<!-- end of results -->)",
            lambda match: "\n".join([match[1], *short(goals + judged + more), "", match[2]]),
            README.read_text(),
            flags=re.DOTALL,
        ),
    }


def main() -> None:
    for path, text in documents().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
