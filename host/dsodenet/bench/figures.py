"""Writes every figure of the documents: between `<!-- figures: NAME -->` and `<!-- end -->` stands what block NAME renders.

Blocks come from code (registers, layers, cycle model, resources, zoo) and from kept results, bench/kept/NAME.json, which `keep` takes
from the JSON files that the measuring commands write. example: python -m dsodenet.bench.figures --check
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dsodenet.arguments import Parser
from dsodenet.bench.figures_counted import COUNTED
from dsodenet.bench.figures_long import LONG
from dsodenet.bench.figures_measured import MEASURED
from dsodenet.bench.kept import keep
from dsodenet.bench.output import exit_status
from dsodenet.errors import InputError, ToolError
from dsodenet.files import atomic_file, read_text

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = (
    *("README.md", "hls/README.md", "overlays/README.md", "overlays/rtl/README.md", "notebooks/README.md"),
    "host/dsodenet/bench/README.md",
)
BLOCKS: dict[str, Callable[[], str]] = COUNTED | MEASURED | LONG
MARKED = re.compile(r"<!-- figures: (?P<name>[^\n]*?) -->(?P<text>.*?)<!-- end -->", re.DOTALL)
MARK = re.compile(r"<!-- (figures:[^\n]*?|end) -->")


def documents(root: Path = ROOT) -> list[Path]:
    """The documents of a checkout; ToolError where there is none."""
    missing = [name for name in DOCUMENTS if not (root / name).is_file()]
    if missing:
        raise ToolError(f"figures writes the documents of a source checkout, but {root} has no {', '.join(missing)}")
    return [root / name for name in DOCUMENTS]


def block_names(text: str) -> list[str]:
    """The names of the blocks of a document, in order."""
    return [match["name"] for match in MARKED.finditer(text)]


def render(text: str, where: str, blocks: Mapping[str, Callable[[], str]] = BLOCKS) -> str:
    """A document with each block as it should be; InputError for an unknown block or marks that do not pair."""
    if len(MARK.findall(text)) != 2 * len(block_names(text)) or any(MARK.search(match["text"]) for match in MARKED.finditer(text)):
        raise InputError(f"{where}: each <!-- figures: NAME --> needs one <!-- end --> after it, and none inside")

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in blocks:
            raise InputError(f"{where}: block is {name!r}, but it must be one of {', '.join(sorted(blocks))}")
        own_line = text[: match.start()].rpartition("\n")[2].strip() == ""
        if own_line != ("\n" in match["text"]):
            # Markdown takes a line that begins with a comment for HTML, and shows what follows on it as it is
            raise InputError(f"{where}: block {name} must stand within a line of words, or have lines of its own")
        found = blocks[name]().strip("\n")
        if not own_line and "\n" in found:
            raise InputError(f"{where}: block {name} has several lines and needs lines of its own")
        around = "\n" if own_line else ""
        return f"<!-- figures: {name} -->{around}{found}{around}<!-- end -->"

    return MARKED.sub(block, text)


def changed_blocks(before: str, after: str) -> list[str]:
    """The names of the blocks that differ between two versions of a document."""
    pairs = zip(MARKED.finditer(before), MARKED.finditer(after))
    return [old["name"] for old, new in pairs if old["text"] != new["text"]]


def check(root: Path = ROOT) -> list[str]:
    """What to say of each document that is not as it would be written: the blocks that differ, and the difference."""
    found = []
    for path in documents(root):
        before = read_text(path)
        after, name = render(before, str(path.relative_to(root))), str(path.relative_to(root))
        if after != before:
            lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, f"{name}, rendered", lineterm="", n=0)
            found.append("\n".join((f"{name} differs in {', '.join(changed_blocks(before, after))}", *lines)))
    return found


def write(root: Path = ROOT) -> list[Path]:
    """Write each document that changes, when all can be rendered; returns them."""
    rendered = {path: (read_text(path), render(read_text(path), str(path.relative_to(root)))) for path in documents(root)}
    changed = {path: after for path, (before, after) in rendered.items() if after != before}
    for path, after in changed.items():
        with atomic_file(path) as beside:
            beside.write_text(after, encoding="utf-8")
    return list(changed)


def work(arguments: list[str] | None) -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m dsodenet.bench.figures", description=__doc__, formatter_class=raw)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a document differs, and show where")
    parser.add_argument(
        "command", nargs="?", choices=("keep", "counts"), help="keep results; or print the blocks that code renders"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.json", help="results to keep")
    args = parser.parse_args(arguments)
    if args.files and args.check:
        raise InputError("--check goes without keep")
    if args.command == "keep":
        for path in keep(args.files):
            print(f"kept {path.name}")
        return 0
    if args.command == "counts":
        print("\n\n".join(f"{name}\n{render_block()}" for name, render_block in COUNTED.items()))
        return 0
    if args.check:
        differing = check()
        print("\n".join(differing) or f"{len(DOCUMENTS)} documents are as they are rendered")
        return 1 if differing else 0
    print("\n".join(f"wrote {path.relative_to(ROOT)}" for path in write()) or "nothing has changed")
    return 0


def main(arguments: list[str] | None = None) -> int:
    return exit_status("figures", lambda: work(arguments))


if __name__ == "__main__":
    sys.exit(main())
