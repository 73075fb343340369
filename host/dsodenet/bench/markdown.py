"""Tables and words of the documents."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (header, ["---"] * len(header), *rows))


def missing(target: str) -> str:
    """What stands where nothing has been kept yet."""
    return f"not measured yet: run `{target}`, then `make figures`"


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def times(lanes: str) -> str:
    """Lanes as the documents write them: 3 × 16 × 64."""
    return lanes.replace("x", " × ")
