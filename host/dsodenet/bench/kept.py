"""Results that the documents quote: of each measurement the part that is used, in kept/NAME.json, as its command wrote it.

A result is recognised by its `command`; one that older versions wrote without it, by its keys. What is not of the shape declared
here is refused. Floats are kept to SIGNIFICANT digits, more than any document shows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.errors import InputError
from dsodenet.explore.report import shown
from dsodenet.files import atomic_file

FOLDER = Path(__file__).with_name("kept")
MAX_RESULT_BYTES, MAX_KEPT_BYTES = 8 << 20, 64 << 10
MAX_ITEMS, MAX_STRING, MAX_INTEGER = 1000, 300, 1 << 53
SIGNIFICANT = 6
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
ANY_KEY = "*"
# Shapes: a type; [shape] for a list; {key: shape} for an object, {ANY_KEY: shape} for one with any keys; (shape,) may be missing and is null then.
Shape = Any


@dataclass(frozen=True)
class Kind:
    """One kind of result: how it is recognised, and what of it is kept."""

    command: str  # `command` of its results
    target: str  # what a reader runs to measure it
    shape: dict[str, Shape]
    signs: tuple[str, ...] = ()  # keys of a result without `command`
    prepare: Callable[[dict[str, Any]], dict[str, Any]] = dict  # before the shape is taken
    per_model: bool = False  # several are kept, one for each model


def _with_shown_points(result: dict[str, Any]) -> dict[str, Any]:
    """A search without the points that no table shows."""
    numbers = shown(result)
    return result | {"points": [point for point in result["points"] if point["number"] in numbers]}


SPREAD = ({"mean": float, "sd": float},)
HEAD = {"command": str, "cpu": str, "threads": int, "versions": {ANY_KEY: str}, "date": str}
OLDER_HEAD = {key: (shape,) for key, shape in HEAD.items()}
KINDS = {
    "demo": Kind(
        "python -m dsodenet.demo",
        "make demo",
        HEAD
        | {
            **{
                "differing": int,
                "images": str,
                "test_images": int,
                "solver": str,
                "n_steps": [int],
                "parameters": int,
                "macs": int,
            },
            **{"accuracy": {ANY_KEY: float}, "seconds": {ANY_KEY: float}, "parameters_compared": {ANY_KEY: int}},
            "rungs": [
                {"backend": str, "label": str, "images": int, "words": int, "differing": int, "seconds": float, "cycles": (int,)}
            ],
        },
    ),
    "reference": Kind(
        "python -m dsodenet.bench.reference",
        "make bench",
        HEAD
        | {
            **{"spec": str, "solver": str, "n_steps": [int], "batch": int, "mmac_per_image": float, "sgemm_gmac_per_s": float},
            "reference": [{"threads": int, "ms_per_image": float, "gmac_per_s": float, "of_sgemm": float}],
        },
    ),
    "host": Kind(
        "python -m dsodenet.bench.host",
        "make bench-host",
        HEAD
        | {
            "spec": str,
            "calls": [{"batch": int, "accesses": int, "calls": int, "median_us": float, "p99_us": float}],
            "board_estimate": [{"what": str, "accesses": (int,), "us_each": (float,), "us": float}],
            "endurance": {"calls": int, "different": int, "buffers_after_close": int},
            "faults": [{"fault": str, "exception": str, "next_call_right": bool}],
        },
    ),
    "cycles": Kind(
        "python overlays/rtl/measure.py",
        "make cycles",
        HEAD
        | {
            "device_macs_per_cycle": int,
            "rows": [
                {"size": str, "solver": str, "n_steps": int, "lanes": str, "cycles": int, "latency_us": float, "macs": int}
                | {"assumed_clock_mhz": float, "occupancy_in_ode_blocks": float, "macs_per_cycle": float}
                | {"share_of_own_peak": float, "share_of_device": float, "simulated_cycles_per_s": float}
            ],
        },
    ),
    "gradients": Kind(
        "python -m dsodenet.bench.gradients",
        "make gradients",
        HEAD
        | {
            **{"spec": str, "solver": str, "batch": int},
            "rows": [
                {"activation": str, "n_steps": int, "gradient": str, "error_discrete": float, "error_continuous": float}
                | {"peak_mib": float, "ms": float, "f_forward": int, "f_backward": int}
            ],
        },
    ),
    "recipes": Kind(
        "python -m dsodenet.bench.recipes",
        "make recipes",
        OLDER_HEAD
        | {
            **{"processor": str, "workers": int, "spec": str, "teacher": str, "teacher_accuracy": SPREAD, "moved": SPREAD},
            **{name: {"epochs": int, "qat_epochs": int} for name in ("options", "adaptation_options")},
            "rows": [
                {"row": str, "group": str, "recipe": str, "against": (str,), "seeds": int, "verdict": str}
                | {"parameters": float, "macs": float, "parameters_compared": {ANY_KEY: int}}
                | dict.fromkeys(("float_accuracy", "integer_accuracy", "source_float_accuracy", "gain", "student_seconds"), SPREAD)
            ],
        },
        signs=("adaptation_options", "teacher_accuracy", "moved", "rows", "processor"),
    ),
    "front": Kind(
        "dsodenet explore",
        "dsodenet explore xs --trials 40 --out build/explore --final",
        {
            **{"command": (str,), "specs_in_space": int, "front": [int], "base": (int,), "chosen": (int,)},
            "tried": [{"number": int, "accuracy": SPREAD[0]}],
            "counts": {"points": int, "trained": int, "over_a_limit": int},
            "plan": {
                **{"goal": {"objective": str, "limits": {ANY_KEY: float}}, "spec": {"name": str}},
                **{"data": str, "epochs": int, "qat_epochs": int, "seed": int},
            },
            "points": [
                {"number": int, "choice": {ANY_KEY: object}, "figures": {ANY_KEY: float}, "label": str}
                | {"accuracy": (float,), "refused": (str,)}
            ],
            "final": {
                ANY_KEY: {"test_accuracy": SPREAD[0], "test_images": int, "seeds": [{"seed": int}]}
                | {"simulated_cycles_per_image": float, "differing": int}
            },
        },
        signs=("plan", "points", "front", "specs_in_space"),
        prepare=_with_shown_points,
    ),
    "notebooks": Kind(
        "python -m dsodenet.bench.notebooks",
        "make notebooks",
        HEAD | {"notebooks": [{"name": str, "cells": int, "seconds": float}]},
    ),
    "bench": Kind(
        "dsodenet bench",
        "dsodenet bench zoo:digits-s --json build/bench-digits-s.json",
        {
            **{"command": (str,), "model": str, "solver": str, "n_steps": [int], "macs_per_image": int, "images": str},
            **{"cpu": str, "cpu_threads": int, "versions": {ANY_KEY: str}, "date": (str,), "repeats": int, "differing": int},
            "rows": [
                {"path": str, "scope": str, "label": str, "machine": str, "threads": int, "numbers": str, "batch": int}
                | {"median_us": float, "cycles": (int,), "clock_mhz": (float,), "same_class": (float,), "library": str}
            ],
            "ratios": [
                {"batch": int, "scope": str, "accelerator": str, "accelerator_is": str, "software_is": str}
                | {"best": str, "ratio_to_best": float, "weakest": str, "ratio_to_weakest": float}
            ],
            "reference_ratios": [{"batch": int, "threads": int, "against": str, "numbers": str, "ratio": float}],
            "weights": str,
            "left_out": {ANY_KEY: str},
        },
        signs=("rows", "ratios", "left_out", "published"),
        per_model=True,
    ),
}


def recognise(result: Any, source: str) -> str:
    """The name in KINDS of a result; InputError for one that no command of ours wrote."""
    if isinstance(result, dict):
        command = result.get("command")
        for name, kind in KINDS.items():
            if command == kind.command or (command is None and kind.signs and all(sign in result for sign in kind.signs)):
                return name
    raise InputError(f"{source} holds no result that the documents quote; they quote those of {', '.join(names())}")


def names() -> list[str]:
    return [kind.command for kind in KINDS.values()]


def used_part(result: Any, source: str) -> tuple[str, dict[str, Any]]:
    """(name of the kept file, what is kept) of a result; InputError for an unknown or malformed one."""
    name = recognise(result, source)
    kind = KINDS[name]
    try:
        prepared = kind.prepare(result)
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{source} is no whole result of {kind.command}") from None
    part: dict[str, Any] = take(prepared, kind.shape, source)
    if kind.per_model:
        if not MODEL_NAME.fullmatch(part["model"]):
            raise InputError(
                f"{source}: model is {part['model']!r}, but a name of letters, digits, - and _ is needed to keep it by"
            )
        name = f"{name}-{part['model']}"
    return name, part


def take(value: Any, shape: Shape, where: str) -> Any:
    """The part of a value that a shape names; InputError where the value has another shape."""
    if isinstance(shape, tuple):
        return None if value is None else take(value, shape[0], where)
    if isinstance(shape, list):
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise InputError(f"{where} must be a list of at most {MAX_ITEMS} items")
        return [take(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(shape, dict):
        if not isinstance(value, dict) or len(value) > MAX_ITEMS:
            raise InputError(f"{where} must be an object of at most {MAX_ITEMS} keys")
        if ANY_KEY in shape:
            return {_text(key, where): take(item, shape[ANY_KEY], f"{where}.{key}") for key, item in value.items()}
        return {key: take(value.get(key), part, f"{where}.{key}") for key, part in shape.items()}
    return _scalar(value, shape, where)


def _scalar(value: Any, kind: type, where: str) -> Any:
    if kind is object and isinstance(value, (str, int, float)):
        kind = type(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return _text(value, where)
    if kind is int and type(value) is int and abs(value) <= MAX_INTEGER:
        return value
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return value if type(value) is int and abs(value) <= MAX_INTEGER else float(f"{value:.{SIGNIFICANT}g}")
    raise InputError(f"{where} is {str(value)[:40]!r}, but it must be a finite value of type {kind.__name__}")


def _text(value: str, where: str) -> str:
    """A string that may stand in a table of a document."""
    if len(value) > MAX_STRING or not value.isprintable() or any(mark in value for mark in "|<>`"):
        raise InputError(f"{where} is {value[:40]!r}, but it must be a line of at most {MAX_STRING} characters without | < > `")
    return value


def read(path: Path, limit: int = MAX_RESULT_BYTES) -> Any:
    """The JSON of a file; InputError for one that is missing, too large or no JSON."""
    try:
        size = path.stat().st_size
        content = path.read_text(encoding="utf-8") if size <= limit else ""
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no JSON file") from None
    if size > limit:
        raise InputError(f"{path}: {size} bytes, but at most {limit} are read")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON file") from None


def keep(paths: list[Path], folder: Path | None = None) -> list[Path]:
    """Keep the used part of each result, all or none; the files written."""
    folder, parts = folder or FOLDER, dict[str, str]()
    for path in paths:
        name, part = used_part(read(path), str(path))
        if name in parts:
            raise InputError(f"{path} is a second result for {name}")
        parts[name] = json.dumps(part, indent=1, ensure_ascii=False) + "\n"
        if len(parts[name].encode()) > MAX_KEPT_BYTES:
            raise InputError(f"{path}: what would be kept of it is over {MAX_KEPT_BYTES} bytes")
    for name, text in parts.items():
        with atomic_file(folder / f"{name}.json") as beside:
            beside.write_text(text, encoding="utf-8")
    return [folder / f"{name}.json" for name in parts]


def load(name: str, folder: Path | None = None) -> dict[str, Any] | None:
    """A kept result; None when there is none yet."""
    path = (folder or FOLDER) / f"{name}.json"
    if not path.exists():
        return None
    result: dict[str, Any] = read(path, MAX_KEPT_BYTES)
    return result


def load_models(folder: Path | None = None) -> list[dict[str, Any]]:
    """The kept comparisons with software, in the order of their work per image."""
    found = (load(path.stem, folder) for path in sorted((folder or FOLDER).glob("bench-*.json")))
    return sorted((result for result in found if result), key=lambda result: result["macs_per_image"])
