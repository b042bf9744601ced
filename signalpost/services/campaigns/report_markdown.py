"""A report as markdown, for the terminal and for Prefect's pages."""

from signalpost.services.campaigns.plan_words import cell
from signalpost.services.campaigns.report_words import (
    Part,
    Table,
    cause,
    everybody,
    parts,
    sums,
    verdicts,
)
from signalpost.services.campaigns.reported import Experiment, Figures


def write(found: Figures, *, base_url: str = "") -> str:
    """Write the whole report as markdown; with ``base_url``, it links to the runs' pages."""
    return _joined(
        f"# What {cell(found.title)} brought about",
        *(f"**{cell(one)}**" for one in verdicts(found.experiment)),
        " ".join(cell(one) for one in sums(found)),
        *(_markdown(part) for part in (*parts(found), everybody(found))),
        _foot(found, base_url),
    )


def house(found: Experiment) -> str:
    """Write what all campaigns together bring about as markdown."""
    return _joined(
        "# What all marketing campaigns together bring about",
        *(f"**{cell(one)}**" for one in verdicts(found)),
        _markdown(cause(found)),
    )


def _joined(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown(part: Part) -> str:
    if not part.says:
        return ""
    told = (_drawn(one) if isinstance(one, Table) else cell(one) for one in part.says)
    return "\n\n".join([f"## {part.title}", *told])


def _drawn(table: Table) -> str:
    lines = [f"| {' | '.join(cell(one) for one in table.head)} |", f"|{' --- |' * len(table.head)}"]
    lines += [f"| {' | '.join(cell(one) for one in row)} |" for row in table.rows]
    return "\n".join(lines)


def _foot(found: Figures, base_url: str) -> str:
    links = [f"[{run[:8]}…]({base_url}/campaigns/{run})" for run in found.run_ids[-5:]]
    runs = f"Everybody's decision: {', '.join(links)}. " if base_url else ""
    return f"{runs}As of {found.made_at:%Y-%m-%d %H:%M} UTC."
