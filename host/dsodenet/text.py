"""Text for people: tables and paragraphs that fit a terminal, progress bars, figures with their spread over seeds."""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LINE = 100  # columns of a paragraph
Spread = dict[str, float]  # mean, sd


def paragraph(text: str) -> str:
    """Lines of at most LINE columns, the later ones indented."""
    return textwrap.fill(text, LINE, subsequent_indent="  ")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their longest entry; numbers to the right, text to the left."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip() for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


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
