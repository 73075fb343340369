"""Text for people: tables and paragraphs that fit a terminal, progress bars, figures with their spread over seeds."""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

LINE = 100  # columns of a paragraph, where the terminal has them
GAP = "  "  # between columns of a table
Spread = dict[str, float]  # mean, sd


def paragraph(text: str) -> str:
    """Lines of at most LINE columns, or the terminal's if it has fewer; the later ones indented."""
    return textwrap.fill(text, min(LINE, terminal_columns() or LINE), subsequent_indent="  ")


def terminal_columns() -> int | None:
    """Columns of the terminal that standard output is; None where it is a file, a pipe or a notebook."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their longest entry; numbers to the right, text to the left.

    A table wider than the terminal continues below itself: each part begins with the first column again.
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]

    def part(columns: Sequence[int]) -> str:
        lines = [
            GAP.join(row[i].rjust(widths[i]) if right[i] else row[i].ljust(widths[i]) for i in columns).rstrip()
            for row in cells
        ]
        lines.insert(1, GAP.join("-" * widths[i] for i in columns))
        return "\n".join(lines)

    return "\n\n".join(part(columns) for columns in _parts(widths, terminal_columns()))


def _parts(widths: Sequence[int], room: int | None) -> list[list[int]]:
    """The columns of each part of a table that is to fit into so many columns of a terminal, as far as it can."""
    if room is None or not widths:
        return [list(range(len(widths)))]
    parts, used = [[0]], widths[0]
    for column, width in enumerate(widths[1:], 1):
        if used + len(GAP) + width > room and len(parts[-1]) > 1:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += len(GAP) + width
    return parts


def html_table(header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """The same for a notebook."""
    lines = [
        "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row) + "</tr>"
        for tag, row in [("th", header), *(("td", row) for row in rows)]
    ]
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}{''.join(lines)}</table>"


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d[\d.,]*(e\d+)?[%x]?", text.strip())) or text in ("-", "")


@contextmanager
def progress_bar(title: str, total: int | None, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar that moves with each named step. total: how many there are, or None where only the work knows.

    It shows where standard error is a terminal and tqdm is installed. The board may lack tqdm.
    """
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda name: None
        return

    with tqdm(total=total, desc=title, disable=quiet or None, leave=False) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        yield step


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and sample standard deviation of the values that are known.

    One value has the standard deviation 0. Without any value the result is None.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": statistics.mean(known), "sd": statistics.stdev(known) if len(known) > 1 else 0.0}


def percent_text(found: Spread | None, digits: int = 1, *, signed: bool = False) -> str:
    """A share as per cent, such as 98.1 ± 1.1; signed for a difference of two."""
    if found is None:
        return "-"
    return f"{100 * found['mean']:{'+' if signed else ''}.{digits}f} ± {100 * found['sd']:.{digits}f}"
