"""The last error of a device or a tool on this machine, kept for `dsodenet doctor`: a report tells what went wrong."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dsodenet.errors import DeviceError, ToolError
from dsodenet.files import user_cache, write_json

FOLDERS = re.compile(r"(?<![\w./])(?:~|\.{1,2})?/(?:[^\s/]+/)*(?=[^\s/])")


def last_error_file() -> Path:
    return user_cache("last-error.json")


def remember_error(command: str, error: BaseException) -> None:
    """Keep a DeviceError or ToolError of a command; other errors are about what was typed, and are nobody's business.

    A machine on which nothing can be kept loses it without a word: the error itself has been shown.
    """
    if not isinstance(error, (DeviceError, ToolError)):
        return
    told = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "error": without_folders(str(error)),
    }
    path = last_error_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(told, path)


def recalled_error() -> Any:
    """What `remember_error` kept: `when` (UTC), `command` and `error`; None where there was none."""
    try:
        return json.loads(last_error_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def without_folders(text: str) -> str:
    """The text with the folders of every path left out, since their names may be a person's."""
    return FOLDERS.sub(".../", text.replace(str(Path.home()), "~"))
