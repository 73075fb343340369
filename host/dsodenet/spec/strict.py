"""Data from outside, strictly: ranges and choices in words, and JSON to dataclasses with exact keys and exact types."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable
from typing import Any

from dsodenet.errors import MAX_VALUE, SpecError, cut, shown

MAX_FLOAT = 1e300  # a larger integer of a JSON file is no float


def check_range(key: str, value: int, low: int, high: int) -> None:
    """SpecError unless low <= value <= high."""
    if not low <= value <= high:
        raise SpecError(f"{key} is {shown(value)}, but it must be {low} to {high}")


def check_choice(key: str, value: str, allowed: Iterable[str]) -> None:
    """SpecError unless the value is an allowed one."""
    if value not in allowed:
        raise SpecError(f"{key} is {shown(value)}, but it must be one of {', '.join(allowed)}")


def canonical_json(data: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal bytes for equal data."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def strict_from_json(cls: type, data: Any, where: str) -> Any:
    """Build a dataclass from decoded JSON, strictly: exact keys, exact types."""
    if not isinstance(data, dict):
        raise SpecError(f"{where} is {shown(data)}, but it must be an object")
    hints = typing.get_type_hints(cls)
    unknown, missing = sorted(set(data) - set(hints)), [key for key in hints if key not in data]
    if unknown or missing:
        problems = [f"unknown key {cut(', '.join(unknown), MAX_VALUE)}"] * bool(unknown) + [
            f"missing key {', '.join(missing)}"
        ] * bool(missing)
        raise SpecError(f"{where} has {' and '.join(problems)}; its keys are {', '.join(hints)}")
    return cls(
        **{key: _convert(hint, data[key], key if where == "spec" else f"{where}.{key}") for key, hint in hints.items()}
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return strict_from_json(hint, value, where)
    if isinstance(hint, types.GenericAlias) and isinstance(value, (list, tuple)):
        return tuple(_convert(hint.__args__[0], item, where) for item in value)
    if hint is float and type(value) in (int, float):
        if type(value) is int and abs(value) > MAX_FLOAT:
            raise SpecError(f"{where} is {shown(value)}, but it must be a number within {MAX_FLOAT:g}")
        return float(value)
    if type(value) is not hint:
        raise SpecError(f"{where} is {shown(value)}, but it must be {_kind(hint)}")
    return value


def _kind(hint: Any) -> str:
    """A type in words."""
    if isinstance(hint, types.GenericAlias):
        item = hint.__args__[0]
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            return f"a list of objects with {', '.join(field.name for field in dataclasses.fields(item))}"
        return "a list of strings" if item is str else "a list of whole numbers"
    return {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}[hint]
