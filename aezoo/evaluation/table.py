"""Metrics by name, and the table that they are printed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

__all__ = ["Report", "Row"]


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a report.

    Attributes:
        label: Name of the metric for readers.
        value: Value of the metric, or None if it does not apply.
        note: How the metric was measured, or why it does not apply.
    """

    label: str
    value: float | None
    note: str = ""

    @property
    def written(self) -> str:
        """Value as text, to four digits."""
        if self.value is None:
            return "–"
        return f"{self.value:,.0f}" if abs(self.value) >= 1e4 else f"{self.value:.4g}"


class Report(Mapping[str, float | None]):
    """Metrics by name, as a mapping: `report["dead_units"]`. `str` and `markdown` return them as a table.

    Attributes:
        title: Title of the table.
        rows: Rows of the table by name: each metric with its label and note.

    Example:
        >>> print(Report("A model", {"dead_units": Row("dead units", 3, "of 8"), "rate": Row("rate", None)}))
        A model
          dead units  3  of 8
          rate        –
    """

    def __init__(self, title: str, rows: Mapping[str, Row]):
        self.title = title
        self.rows = dict(rows)

    def __getitem__(self, name: str) -> float | None:
        return self.rows[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Report: {self.title}>"

    def __str__(self) -> str:
        rows = self.rows.values()
        label, number = max(len(row.label) for row in rows), max(len(row.written) for row in rows)
        lines = [f"  {row.label:{label}}  {row.written:>{number}}  {row.note}".rstrip() for row in rows]
        return "\n".join([self.title, *lines])

    def as_dict(self) -> dict[str, float | None]:
        """Return the metrics by name, in types of JSON; metrics that do not apply are None."""
        return dict(self)

    def markdown(self) -> str:
        """Return the table in Markdown; notebooks also display a report this way."""
        lines = [f"| {row.label} | {row.written} | {row.note.replace('|', '&#124;')} |" for row in self.rows.values()]
        return "\n".join([f"**{self.title}**", "", "| | | |", "|---|---:|---|", *lines])

    _repr_markdown_ = markdown
