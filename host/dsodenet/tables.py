"""Tables and paragraphs that fit a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any

LINE = 100  # columns of a paragraph


def paragraph(text: str) -> str:
    """Lines of at most LINE columns, the later ones indented."""
    return textwrap.fill(text, LINE, subsequent_indent="  ")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their longest entry; numbers to the right, text to the left."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    right = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(header))]
    lines = ["  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d[\d.,]*(e\d+)?[%x]?", text.strip())) or text in ("-", "")
