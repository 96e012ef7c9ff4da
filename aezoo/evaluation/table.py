"""Named numbers, and the table that they are printed as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

__all__ = ["Report", "Row"]


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a report.

    Attributes:
        label: What was measured.
        value: The number, or None where it does not apply.
        note: How it was measured, or why it does not apply.
    """

    label: str
    value: float | None
    note: str = ""

    @property
    def written(self) -> str:
        """The number as text, to four digits."""
        if self.value is None:
            return "–"
        return f"{self.value:,.0f}" if abs(self.value) >= 1e4 else f"{self.value:.4g}"


class Report(Mapping[str, float | None]):
    """Numbers by name: `report["dead_units"]`. `str` makes a table of them, and `markdown` one for a README.

    Attributes:
        title: Of the table.
        rows: By name, each number with what is written beside it.

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
        """Return the numbers by name, as JSON takes them; those that do not apply are None."""
        return dict(self)

    def markdown(self) -> str:
        """Returns the table in Markdown, which notebooks show, too."""
        lines = [f"| {row.label} | {row.written} | {row.note.replace('|', '&#124;')} |" for row in self.rows.values()]
        return "\n".join([f"**{self.title}**", "", "| | | |", "|---|---:|---|", *lines])

    _repr_markdown_ = markdown
