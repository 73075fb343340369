"""`dsodenet COMMAND`: reads the words, runs the command, prints its answer as text or as JSON.

Exit status: 0 done; 1 the ladder found a difference or the self-test a fault; 2 bad input, with one line on standard
error; 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dsodenet import __version__
from dsodenet.bench.studies import STUDIES
from dsodenet.cli.arguments import Parser
from dsodenet.cli.registry import COMMANDS
from dsodenet.command import COMMON, SCHEMA, Command, give, json_text
from dsodenet.errors import DsodenetError, ToolError
from dsodenet.files import how_to_install
from dsodenet.runs import check_output
from dsodenet.runtime import remember_error

# How this package, and how argparse, says that a word is none of those that are allowed.
CHOICE = re.compile(
    r"(?:is|invalid choice:) '?([^', ]+)'?,? \(?(?:but it must be (?:one|some) of|but the zoo has|choose from) (.+)"
)
SHELLS = ("bash", "zsh", "tcsh")  # those that shtab knows
FILES = re.compile(r"RUN|FILE|DIR|\.npy")  # in the name of a value
WORD = re.compile(r"[\w:.+-]+")
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}  # packages that are imported under another name


class Help(argparse.RawDescriptionHelpFormatter):
    """Shows every default that says something; an example is never broken at a hyphen."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = action.default
        if default in (None, False, argparse.SUPPRESS) or isinstance(default, list) or not action.option_strings:
            return text
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        return f"{text} (default {str(shown).replace('%', '%%')})"


class Completion(argparse.Action):
    """Prints the completion script of a shell and ends, as --version does."""

    def __call__(self, top: argparse.ArgumentParser, *given: Any) -> NoReturn:
        import shtab

        _complete_files(top, shtab.FILE)
        print(shtab.complete(top, given[1]))
        top.exit()


def _complete_files(sub: argparse.ArgumentParser, files: Any) -> None:
    """Tell shtab which words are files, here and in every command below: those of which the help says so."""
    for action in sub._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in set(action.choices.values()):
                _complete_files(below, files)
        elif action.type is Path or FILES.search(str(action.metavar)):
            action.complete = files  # type: ignore[attr-defined]


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="dsodenet", description="Neural ODE image networks from training to the ZCU104, bit for bit.")
    top.add_argument(
        "--completion",
        action=Completion,
        choices=SHELLS,
        help='print what lets a shell complete words: eval "$(dsodenet --completion bash)"',
    )
    top.add_argument("--version", action="version", version=f"dsodenet {__version__}")
    below = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        _add(below, name, command)
    about = "answer one question with a table or a figure"
    study = below.add_parser("study", help=about, description=about, formatter_class=Help)
    studies = study.add_subparsers(dest="study", required=True, metavar="STUDY")
    for name, command in STUDIES.items():
        _add(studies, name, command)
    return top


def _add(group: argparse._SubParsersAction[Parser], name: str, command: Command) -> None:
    example = f"example: {command.example}"
    sub = group.add_parser(name, help=command.help, description=command.help, epilog=example, formatter_class=Help)
    for names, options in (*command.arguments, *COMMON):
        sub.add_argument(*names, **options)
    sub.set_defaults(run_command=command.run)


def main(argv: list[str] | None = None) -> int:
    _let_text_through()
    words = sys.argv[1:] if argv is None else argv
    Terminated.received = False
    try:
        status, error = _run(words)
    except Exception:
        if not Terminated.received:
            raise
        status, error = TERMINATED  # a library has caught the exception, and stumbled over it later
    if error is not None:
        line = with_suggestion(" ".join(str(error).split()))  # one line, whatever a file is called
        print(f"dsodenet: {line}", file=sys.stderr)
        remember_error(" ".join(words[:1]), error)
        if _wants_json(words):
            print(json_text({"schema": SCHEMA, "error": line, "status": status}))
    return status


def _wants_json(words: list[str]) -> bool:
    """Whether `--json` stands without a FILE: then an error is JSON, too. FILE keeps what an earlier call wrote."""
    after = [*words[1:], "-"]
    return any(word == "--json" and following.startswith("-") for word, following in zip(words, after))


def _run(words: list[str]) -> tuple[int, Exception | None]:
    """Exit status of a command, and what it is to say where it failed."""
    try:
        args = parser().parse_args(words)
        if isinstance(args.json, Path):
            check_output(args.json, ".json")
        previous = _ends_by_sigterm()
        try:
            answer = args.run_command(args)
        finally:
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)
        first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts
        return give(answer, args.json, silent=not first), None
    except DsodenetError as error:
        return 2, error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = extra_of(package)
        if extra is None:
            raise
        return 2, ToolError(f"this needs the package {package}; {how_to_install(extra)} brings it")
    except BrokenPipeError:
        sys.stderr.close()
        return 2, None
    except OSError as error:  # a full disk, a folder that may not be written
        return 2, DsodenetError(error)
    except MemoryError:
        return 2, ToolError("there is too little memory for this")
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, DsodenetError("interrupted; earlier results are as they were")


class Terminated(BaseException):
    """SIGTERM: the work tidies up as after Ctrl-C."""

    received = False


TERMINATED = 128 + signal.SIGTERM, DsodenetError("terminated; earlier results are as they were")


def _ends_by_sigterm() -> signal._HANDLER:
    """Let SIGTERM raise Terminated; returns the handler before, or None where it stays: not in the main thread."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        Terminated.received = True
        raise Terminated

    try:
        return signal.signal(signal.SIGTERM, end)
    except ValueError:
        return None


def _let_text_through() -> None:
    """A terminal or pipe that lacks a character gets its escape, so that no result is lost for it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test's or a notebook's stream has none
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def with_suggestion(message: str) -> str:
    """The message, with the nearest of the allowed words where what was given is nearly one of them."""
    found = CHOICE.search(message)
    if found is None:
        return message
    near = difflib.get_close_matches(found[1], WORD.findall(found[2]), 1)
    return f"{message}; did you mean {near[0]}?" if near else message


def extra_of(package: str) -> str | None:
    """The first extra of this distribution that brings a package; None where none does."""
    name = DISTRIBUTIONS.get(package, package).lower()
    try:
        required = importlib.metadata.requires("dsodenet") or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return None
    for line in required:
        extra = re.search(r"extra == ['\"](\w+)", line)
        if extra and re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() == name:
            return extra[1]
    return None
