"""Parts of the documents that follow from the code, put in by MkDocs where a page says `{{ name }}`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from dsodenet.bench.studies import STUDIES
from dsodenet.cli.entry import parser
from dsodenet.cli.registry import COMMANDS
from dsodenet.contract import CONTRACT_VERSION, IDENTITY, REGISTERS, Command, Kind
from dsodenet.contract.registers import BEAT_BYTES, CTRL_FIELDS
from dsodenet.rtl import of_spec
from dsodenet.rtl.passes import KINDS, Pass
from dsodenet.runtime import STATUS_TEXT
from dsodenet.spec import MAX_BLOCKS, MAX_STAGES, MAX_STEPS, SIZES, TABLEAUS, macs, parameters, with_lanes


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def commands() -> str:
    """Every command and study with its arguments, read from the parser itself."""
    below = choices(parser())
    studies = choices(below["study"])
    parts = [_command(f"dsodenet {name}", below[name], command) for name, command in COMMANDS.items()]
    parts += [_command(f"dsodenet study {name}", studies[name], study) for name, study in STUDIES.items()]
    return "\n\n".join(parts)


def choices(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands below one."""
    action = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


def _command(title: str, sub: argparse.ArgumentParser, command: Any) -> str:
    formatter = sub._get_formatter()
    rows = []
    for action in sub._actions:
        if action.dest == "help":
            continue
        metavar = " or ".join(f"`{word}`" for word in str(action.metavar).split("|"))
        names = ", ".join(f"`{name}`" for name in action.option_strings) or metavar
        value = f" {metavar}" if action.option_strings and action.metavar else ""
        rows.append((names + value, formatter._expand_help(action) + (" (required)" if action.required else "")))
    table = _table(("argument", "meaning"), rows)
    return f"## {title}\n\n{command.help[0].upper()}{command.help[1:]}.\n\n```\n{command.example}\n```\n\n{table}"


def registers() -> str:
    rows = [
        (f"`{register.offset:#05x}`", register.name + (f"[{register.words}]" if register.words > 1 else ""),
         register.access, register.description)
        for register in REGISTERS.values()
    ]  # fmt: skip
    return _table(("offset", "register", "access", "meaning"), rows)


def statuses() -> str:
    rows = [(0, "OK", "done")] + [(int(status), status.name, text) for status, text in STATUS_TEXT.items()]
    return _table(("STATUS", "name", "meaning"), rows)


def limits() -> str:
    bits = ", ".join(f"{field.bit} {field.name}" for field in CTRL_FIELDS)
    kinds = ", ".join(f"{kind.value} for `{kind.name.lower()}`" for kind in Kind)
    orders = ", ".join(f"{command.value} {command.name}" for command in Command)
    return (
        f"Contract version {CONTRACT_VERSION}, identity {IDENTITY:#010x}. A beat is {BEAT_BYTES} bytes. A kernel has "
        "at "
        f"most {MAX_BLOCKS} ODE blocks, {MAX_STAGES} stages and {MAX_STEPS} steps. The upper half of VERSION is "
        f"{kinds}. "
        f"CTRL bits: {bits}. Commands: {orders}."
    )


def passes() -> str:
    rows = [
        (f"`{name}`", item.metadata["meaning"], f"{item.metadata['low']} to {item.metadata['high']}")
        for name, item in Pass.__dataclass_fields__.items()
    ]
    return f"`kind` is one of {', '.join(KINDS)}.\n\n" + _table(("field", "meaning", "range"), rows)


def sizes() -> str:
    rows = []
    for name, spec in SIZES.items():
        network, found = spec.network, of_spec(with_lanes(spec, "1x32x64"))
        rows.append(
            (
                f"`{name}`",
                "/".join(map(str, network.channels)),
                f"{network.in_channels} × {network.height} × {network.width}",
                f"{spec.solver.method} {','.join(map(str, spec.solver.n_steps))}",
                f"{sum(parameters(spec).values()):,}",
                f"{sum(macs(spec).values()):,}",
                f"{found.cycles:,}",
            )
        )
    header = ("size", "channels", "image", "solver, steps", "parameters", "MAC", "cycles on 1x32x64 lanes (estimated)")
    return _table(header, rows)


def solvers() -> str:
    return _table(
        ("solver", "stages", "order", "evaluations per step"),
        [(f"`{name}`", t.num_stages, t.order, t.num_stages) for name, t in TABLEAUS.items()],
    )


def tableaus() -> str:
    rows = [
        (
            f"`{name}`",
            "; ".join(" ".join(map(str, row)) for row in tableau.a if row) or "none",
            " ".join(map(str, tableau.b)),
            " ".join(map(str, tableau.c)),
        )
        for name, tableau in TABLEAUS.items()
    ]
    return _table(("solver", "rows of a from the second stage on", "b", "c"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    block.__name__: block for block in (commands, registers, statuses, limits, passes, sizes, solvers, tableaus)
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs' hook. KeyError for a name that is no block: the build fails."""
    return re.sub(r"^\{\{ (\w+) \}\}$", lambda match: BLOCKS[match[1]](), markdown, flags=re.MULTILINE)
