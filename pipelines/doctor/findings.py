"""What a look at something found, and how a person is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was seen, and the cure where it is not as it has to be."""

    name: str
    seen: str
    cure: str | None = None


def findings_table(findings: Sequence[Finding]) -> Table:
    """One row a finding, with its cure below what was seen."""
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        sign, style = ("✗", "bold red") if finding.cure else ("✓", "green")
        seen = Text(finding.seen, overflow="fold")
        if finding.cure:
            seen.append(f"\n→ {finding.cure}", "bold")
        table.add_row(Text(sign, style), Text(finding.name, style), seen)
    return table
