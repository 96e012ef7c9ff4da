"""Save the runs of a benchmark as they finish, so that the script can be stopped and resumed."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class SavedRuns:
    """The runs of a benchmark, in a JSON file.

    Args:
        script: Path of the script in the repository.
        output: The file; runs that it already has are kept, and the first run replaces a file that has none. With None
            nothing is written.
        keys: Names of the values that identify a run, such as ("data", "method", "seed").
        options: The settings of all runs. Only "seeds", their number, may differ from the settings of an earlier file.
        versions: Versions of packages.
        summary: Function from all runs to further entries of the file; it is called after each run.

    Raises:
        SystemExit: If the file has runs of other settings.
    """

    def __init__(
        self,
        script: str,
        output: Path | None,
        keys: tuple[str, ...],
        options: Mapping[str, Any],
        versions: Mapping[str, str],
        summary: Callable[[list[dict[str, Any]]], dict[str, Any]] | None = None,
    ):
        self.output, self.keys, self._summary = output, keys, summary
        report = json.loads(output.read_text(encoding="utf-8")) if output is not None and output.exists() else {}
        report = report if "runs" in report else {}
        earlier = report.get("options", options)
        if {**earlier, "seeds": None} != {**options, "seeds": None}:
            raise SystemExit(f"{output} has runs with {earlier}, not {dict(options)}: give another file as --output.")
        self.report: dict[str, Any] = {
            "runs": [],
            **report,
            "script": script,
            "options": dict(options),
            "cores": os.cpu_count(),
            "versions": {**report.get("versions", {}), **versions},
        }

    def __contains__(self, values: tuple[Any, ...]) -> bool:
        return any(tuple(run[key] for key in self.keys) == values for run in self.report["runs"])

    def add(self, values: tuple[Any, ...], **found: Any) -> None:
        """Add a run, identified by these values, and write the file completely or not at all."""
        date = datetime.date.today().isoformat()
        self.report["runs"].append({**dict(zip(self.keys, values, strict=True)), **found, "date": date})
        if self._summary is not None:
            self.report |= self._summary(self.report["runs"])
        if self.output is not None:
            unfinished = self.output.with_suffix(".tmp")
            unfinished.write_text(json.dumps(self.report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            unfinished.replace(self.output)
