"""The documented rules of Vitis HLS 2024.1 to 2025.2 that C simulation cannot show, checked on a generated kernel before any synthesis.

Vitis HLS is not run here: each rule cites the paragraph of the vendor's guide that it was written from. UG1399 is the user guide,
UG1448 the guide to its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dsodenet.errors import RunError
from dsodenet.hls import code_rules, region_rules
from dsodenet.hls.cplusplus import Node, line
from dsodenet.hls.kernel_sources import TOP, KernelSources

Check = Callable[[KernelSources], Iterator[tuple[Path, Node, str]]]


@dataclass(frozen=True)
class Rule:
    """check yields (file, place, sentence) of every breach; paragraph is the vendor's."""

    name: str
    paragraph: str
    check: Check


@dataclass(frozen=True, order=True)
class Finding:
    """A breach. file: relative to the kernel's folder; line: from 1."""

    file: str
    line: int
    rule: str
    sentence: str
    paragraph: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.sentence} ({self.paragraph})"


RULES = (
    Rule("one-process", "UG1399 Canonical Body, one reading and one writing process; HLS 200-977", region_rules.one_process),
    Rule("void-process", "UG1399 Canonical Body, function return type must be void", region_rules.void_process),
    Rule("canonical-region", "UG1399 Canonical Body, no control inside a region; UG1448 214-169", region_rules.canonical),
    Rule("named-argument", "UG1399 WYSIWYG Coding Style, declarations and calls only", region_rules.named_arguments),
    Rule("pointer-to-pointer", "UG1399 Pointer Limitations, pointer to pointer", region_rules.pointer_to_pointer),
    Rule("dataflow-loop", "UG1399 WYSIWYG Coding Style, loop dataflow region; UG1448 214-114", region_rules.dataflow_loop),
    Rule("carried-state", "UG1399 Canonical Body, no loop-carried dependencies", region_rules.carried_state),
    Rule("one-call-site", "UG1399 Canonical Dataflow, one process per call", region_rules.one_call_site),
    Rule("stream-depth", "UG1399 pragma HLS stream, depth", region_rules.stream_depth),
    Rule("interface-on-top", "UG1399 pragma HLS interface, top-level function only", code_rules.interface_on_top),
    Rule("loop-bound", "UG1399 Working with Variable Loop Bounds; loops with multiple exits", code_rules.loop_bound),
    Rule("no-recursion", "UG1399 Unsupported C/C++ Constructs, recursive functions", code_rules.no_recursion),
    Rule("no-dynamic-memory", "UG1399 Unsupported C/C++ Constructs, dynamic memory", code_rules.no_dynamic_memory),
    Rule("partition-limit", "UG1448 200-868, complete partition over 1024 elements", code_rules.partition_limit),
    Rule("aggregate-structs", "UG1399 Structs, arrays of structs are disaggregated", code_rules.aggregate_structs),
    Rule("static-state", "UG1399 Canonical Body, local non-static variables", region_rules.static_state),
)


def check_rules(folder: str | Path, top: str = TOP) -> list[Finding]:
    """Every breach of the vendor's rules in the kernel in `folder` (RUN/hls), in the order of the files; empty when it keeps them.

    top: the function that becomes the kernel. ToolError without tree-sitter, RunError where there is no kernel.
    """
    kernel = KernelSources(Path(folder), top)
    found = {
        Finding(file.as_posix(), line(place), rule.name, sentence, rule.paragraph)
        for rule in RULES
        for file, place, sentence in rule.check(kernel)
    }
    return sorted(found)


def require_rules(folder: str | Path) -> None:
    """RunError that names the first breach and how many there are."""
    if found := check_rules(folder):
        more = f"; {len(found) - 1} more" if len(found) > 1 else ""
        raise RunError(f"Vitis HLS would refuse this kernel: {found[0]}{more}")
