"""Python values as Tcl words, so that a script can `source` them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_PLAIN = re.compile(r"[\w.:/=+-]+", re.ASCII)


def word(value: Any) -> str:
    """One Tcl word: a string, a number, or a list or tuple of such."""
    if isinstance(value, (list, tuple)):
        return _quote(" ".join(map(word, value)))
    return _quote(str(value))


def dictionary(name: str, entries: Mapping[str, Any]) -> str:
    """A script that sets variable `name` to a dict; a list of lists goes over several lines."""
    lines = []
    for key, value in entries.items():
        if isinstance(value, (list, tuple)) and any(isinstance(item, (list, tuple)) for item in value):
            lines.append(f"    {key} {{\n{_rows(value)}    }}\n")
        else:
            lines.append(f"    {key} {word(value)}\n")
    return f"set {name} {{\n{''.join(lines)}}}\n"


def _rows(items: Iterable[Any]) -> str:
    return "".join(f"        {word(item)}\n" for item in items)


def _quote(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    depth = 0
    for ch in text:
        depth += (ch == "{") - (ch == "}")
        if depth < 0:
            break
    if depth == 0 and "\\" not in text and "\n" not in text:
        return f"{{{text}}}"
    return re.sub(r'([\s\\{}\[\]$;"#])', r"\\\1", text).replace("\\\n", "\\n") or "{}"
