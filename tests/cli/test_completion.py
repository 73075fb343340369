"""Words that a shell completes: asked of bash itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsodenet.cli.registry import COMMANDS
from tests.command_line import refused

pytest.importorskip("shtab")

# What bash does at Tab: it calls the function that the script registered, with the words so far.
ASK = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
function=$(complete -p dsodenet); function=${function##*-F }; function=${function%% *}
"$function" dsodenet "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = subprocess.run(
        [sys.executable, "-m", "dsodenet", "--completion", "bash"], capture_output=True, text=True, check=True
    )
    path = tmp_path_factory.mktemp("completion") / "dsodenet.bash"
    path.write_text(made.stdout, encoding="utf-8")
    return path


def completed(script: Path, folder: Path, *words: str) -> set[str]:
    asked = [shutil.which("bash") or "bash", "-c", ASK, "bash", str(script), "dsodenet", *words]
    return set(subprocess.run(asked, capture_output=True, text=True, cwd=folder, timeout=60).stdout.split())


def test_commands_options_and_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert completed(script, tmp_path, "") >= {*COMMANDS, "study"}
    assert completed(script, tmp_path, "exp") == {"export", "explore"}
    assert completed(script, tmp_path, "study", "dom") == {"domains"}
    assert "--backends" in completed(script, tmp_path, "verify", "--b")
    assert completed(script, tmp_path, "train", "--data", "ph") == {"photos"}


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bash, zsh, tcsh" in refused(capsys, "--completion", "fish").replace("'", "")
