"""docs/json.md as data: the keys that a command may write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "json.md"
EVERYWHERE = "Everywhere"
TIMES = ("_us", "_s")  # ends of names that the first table explains


def sections(text: str) -> dict[str, tuple[set[str], set[str]]]:
    """Command -> its keys, and of these the ones whose own keys are names."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        rows = "\n".join(line for line in body.splitlines() if line.startswith("| "))
        words = set(re.findall(r"`([A-Za-z0-9_][\w-]*)(?:\[\]|\{\})?`", rows))
        found[title] = words, set(re.findall(r"`([\w-]+)\{\}`", rows))
    return found


SECTIONS = sections(PAGE.read_text(encoding="utf-8"))


def undocumented(command: str, data: Any, page: dict[str, tuple[set[str], set[str]]] = SECTIONS) -> Iterator[str]:
    """The path of each key of an answer of `dsodenet COMMAND` that the page does not have."""
    keys, maps = (own | everywhere for own, everywhere in zip(page[command], page[EVERYWHERE]))

    def walk(value: Any, path: str, of_names: bool) -> Iterator[str]:
        if isinstance(value, list):
            for item in value:
                yield from walk(item, f"{path}[]", of_names)
        elif isinstance(value, dict):
            for key, below in value.items():
                if not of_names and key not in keys and not key.endswith(TIMES):
                    yield f"{path}.{key}".lstrip(".")
                yield from walk(below, f"{path}.{key}", of_names or key in maps)

    yield from walk(data, "", False)
