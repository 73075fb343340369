"""Mutation runs: faults are put into a copy of the sources one by one, and the tests must see each.

Without words: a sample of all mutants that cosmic-ray makes of the modules whose integers everything rests on. With
--planted: a list of faults that tests once missed, or that a wrong reading of the rules would make; SystemVerilog and
HLS are among them. Survivors of the first are listed with the reason that tools/survivors.json gives for their line, if
it has one: a line that only steers speed or memory may be any other that works.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsodenet.command import Values
from dsodenet.errors import InputError, ToolError
from dsodenet.files import how_to_install
from dsodenet.text import progress_bar, table
from tools import command_line
from tools.planted import PLANTED, Planted

ROOT = Path(__file__).parents[1]
REASONS = ROOT / "tools" / "survivors.json"
PARTS = ("host", "hls", "overlays", "notebooks", "tests", "tools", "docs", "pyproject.toml", "README.md", "Makefile")
TIMEOUT_S = 300.0
INTEGERS = "tests/test_reference.py tests/docs/test_second_implementation.py"
ENGINE = " ".join(f"tests/rtl/test_{name}.py" for name in ("passes", "capacity", "wide_numbers", "word_model"))
# module -> the tests that should see its faults, quickest first
MODULES = {
    "reference": f"{INTEGERS} tests/test_ladder.py",
    "spec/params": f"tests/spec/test_params.py tests/spec/test_properties.py {INTEGERS}",
    "spec/specification": f"tests/spec/test_spec.py tests/spec/test_properties.py {INTEGERS}",
    "spec/formats": f"{INTEGERS} tests/spec/test_formats.py",
    "spec/solvers": "tests/spec/test_solvers.py tests/spec/test_spec.py",
    "rtl/passes": f"{ENGINE} tests/rtl/test_program_checks.py",
    "rtl/builder": f"{ENGINE} tests/rtl/test_engine.py",
    "runtime/driver": "tests/runtime/test_driver.py tests/runtime/test_board.py tests/runtime/test_runtime.py "
    "tests/runtime/test_hostile.py tests/runtime/test_driver_machine.py",
}


def pytest_command(tests: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pytest -q -x -n 0 -p no:cacheprovider {tests}"


def copy_sources(folder: Path) -> None:
    """What the tests need, without what was built."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, folder / name)


def run(command: list[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder / "host"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["env", *(f"{name}={value}" for name, value in environment.items()), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


# ---- cosmic-ray


def annotations(source: str) -> set[tuple[int, int]]:
    """Places (line, column) within annotations, which are never evaluated: a mutant there is the same program."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(part, ast.expr):
                inner = [item for item in ast.walk(part) if isinstance(item, ast.expr)]
                found |= {(line, column) for item in inner for line, column in _span(item)}
    return found


def _span(node: ast.expr) -> Iterator[tuple[int, int]]:
    for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        first = node.col_offset if line == node.lineno else 0
        last = node.end_col_offset if line == node.end_lineno else 200
        yield from ((line, column) for column in range(first, last or 0))


def sampled(module: str, count: int, seed: int, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """(one row for each of `count` mutants of a module, how many mutants there are)."""
    try:
        from cosmic_ray.work_db import use_db
        from cosmic_ray.work_item import WorkerOutcome, WorkResult
    except ImportError:
        raise ToolError(f"mutants are made by cosmic-ray; {how_to_install('dev')} brings it") from None
    path, session = f"host/dsodenet/{module}.py", folder / f"{module.replace('/', '-')}.sqlite"
    settings = session.with_suffix(".toml")
    settings.write_text(
        f'[cosmic-ray]\nmodule-path = "{path}"\ntimeout = {TIMEOUT_S}\nexcluded-modules = []\n'
        f"test-command = {json.dumps(pytest_command(MODULES[module]))}\n"
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    cosmic = [sys.executable, "-m", "cosmic_ray.cli"]
    _ended(run([*cosmic, "init", str(settings), str(session)], folder, TIMEOUT_S), "init")
    typed = annotations((folder / path).read_text(encoding="utf-8"))
    with use_db(str(session)) as database:
        items = list(database.work_items)
        real = [item for item in items if item.mutations[0].start_pos not in typed]
        chosen = {item.job_id for item in random.Random(seed).sample(real, min(count, len(real)))}
        database.set_multiple_results(
            [item.job_id for item in items if item.job_id not in chosen], WorkResult(WorkerOutcome.SKIPPED)
        )
    _ended(run([*cosmic, "exec", str(settings), str(session)], folder, TIMEOUT_S * (count + 1)), "exec")
    with use_db(str(session)) as database:
        results = {job: result for job, result in database.results if job in chosen}
    rows = [
        {
            "module": module,
            "line": item.mutations[0].start_pos[0],
            "operator": item.mutations[0].operator_name.removeprefix("core/"),
            "change": _change(results[item.job_id].diff or ""),
            "caught": results[item.job_id].is_killed,
        }
        for item in items
        if item.job_id in results
    ]
    return rows, len(real)


def _ended(result: subprocess.CompletedProcess[str], what: str) -> None:
    if result.returncode:
        raise ToolError(f"cosmic-ray {what} ended with status {result.returncode}: {result.stderr.strip()[-300:]}")


def _change(diff: str) -> str:
    """old -> new of a mutant, whatever its line number."""
    lines = [line for line in diff.splitlines() if re.match(r"[-+](?![-+])", line)]
    old, new = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return f"{old} -> {new}"


# ---- planted faults


def planted(fault: Planted, folder: Path) -> dict[str, Any]:
    """Put a fault into the copy, run its tests, and take it out again."""
    path = folder / fault.file
    right = path.read_text(encoding="utf-8")
    if right.count(fault.old) != 1:
        raise ToolError(
            f"{fault.file}: the planted fault's text stands {right.count(fault.old)} times in it: {fault.old}"
        )
    path.write_text(right.replace(fault.old, fault.new), encoding="utf-8")
    try:
        result = run(shlex.split(pytest_command(fault.tests)), folder, 1800)
    finally:
        path.write_text(right, encoding="utf-8")
    if result.returncode not in (0, 1):
        raise ToolError(f"{fault.name}: pytest ended with status {result.returncode}: {result.stdout[-300:]}")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE)
    return {
        "fault": fault.name,
        "file": fault.file,
        "caught": bool(result.returncode),
        "by": failed[1] if failed else "",
    }


def work(args: argparse.Namespace) -> Values:
    if args.planted:
        faults = [fault for fault in PLANTED if not args.only or args.only in fault.name]
        if not faults:
            raise InputError(f"--only is {args.only!r}, but no planted fault has that in its name")
    elif unknown := [name for name in args.modules if name not in MODULES]:
        raise InputError(f"module is {unknown[0]!r}, but it must be some of {', '.join(MODULES)}")
    with tempfile.TemporaryDirectory(prefix="dsodenet-mutants-") as name:
        folder = Path(name)
        copy_sources(folder)
        if args.planted:
            rows = []
            with progress_bar("planted", len(faults), args.quiet) as step:
                for fault in faults:
                    step(fault.name)
                    rows.append(planted(fault, folder))
            return Values({"rows": rows, "ok": all(row["caught"] for row in rows)}, planted_text)
        modules, found, all_of_them = args.modules or list(MODULES), [], {}
        with progress_bar("mutants", len(modules), args.quiet) as step:
            for module in modules:
                step(module)
                rows, all_of_them[module] = sampled(module, args.sample, args.seed, folder)
                found += rows
    reasons = json.loads(REASONS.read_text(encoding="utf-8"))
    for row in found:
        if not row["caught"]:
            row["reason"] = reasons.get(f"{row['module']}: {row['change'].partition(' -> ')[0]}", "")
    ok = all(row["caught"] or row["reason"] for row in found)
    return Values({"seed": args.seed, "mutants": all_of_them, "rows": found, "ok": ok}, sampled_text)


def planted_text(result: dict[str, Any]) -> str:
    rows = [(row["fault"], "caught" if row["caught"] else "MISSED", row["by"]) for row in result["rows"]]
    return table(("planted fault", "result", "first test that fails"), rows)


def sampled_text(result: dict[str, Any]) -> str:
    rows = []
    for module, total in result["mutants"].items():
        of_it = [row for row in result["rows"] if row["module"] == module]
        caught, same = sum(row["caught"] for row in of_it), sum(bool(row.get("reason")) for row in of_it)
        share = f"{caught / max(1, len(of_it) - same):.0%}"
        rows.append((module, total, len(of_it), caught, same, len(of_it) - caught - same, share))
    header = ("module", "mutants", "tried", "caught", "explained", "missed", "of the others caught")
    lines = [
        f"{row['module']}.py:{row['line']} {row['operator']}: {row['change']}\n    {row['reason'] or 'no reason given'}"
        for row in result["rows"]
        if not row["caught"]
    ]
    return "\n".join([table(header, rows), *lines])


def main(arguments: list[str] | None = None) -> int:
    parser = command_line.parser("tools.mutants", __doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"some of {', '.join(MODULES)} (default: all)")
    parser.add_argument("--sample", type=int, default=25, metavar="N", help="mutants of each module (default 25)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample (default 0)")
    parser.add_argument("--planted", action="store_true", help="the list of planted faults instead")
    parser.add_argument("--only", metavar="TEXT", help="planted faults with this in their name")
    return command_line.run(parser, work, arguments)


if __name__ == "__main__":
    sys.exit(main())
