"""The pages that a user follows first, read and run: own photos of three classes, from the shell and from Python."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.command_line import call

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = r"^```{}\n((?:.*\n)*?)```$"
# Commands of the page that go on with the user's own model. The others show other ways, and have tests of their own;
# `lower` and `verify` compile for minutes.
FOLLOWED = ("spec", "train", "export", "evaluate", "run")
EPOCHS = ("--epochs", "12", "--qat-epochs", "3")  # enough for three shapes


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(FENCED.format(language), text, re.MULTILINE)


def followed() -> list[list[str]]:
    """The words of each command that the test follows, comments left out."""
    lines = [line for block in blocks(TUTORIAL) for line in block.splitlines() if line.startswith("dsodenet ")]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words for words in commands if words[1] in FOLLOWED and not {"xs", "build/adapted"} & {*words}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`: bolts, nuts and washers, each a little elsewhere and in another grey."""
    folder = tmp_path_factory.mktemp("tutorial")
    random = np.random.default_rng(1)
    for name in ("bolt", "nut", "washer"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(24):
            picture = Image.new("RGB", (48, 40), tuple(random.integers(0, 60, 3)))
            draw, grey = ImageDraw.Draw(picture), int(random.integers(150, 256))
            x, y = (int(value) for value in random.integers(18, 24, 2))
            if name == "bolt":
                draw.rectangle((x - 16, y - 3, x + 16, y + 3), fill=(grey,) * 3)
            elif name == "nut":
                draw.regular_polygon((x, y, 13), 6, fill=(grey,) * 3)
            else:
                draw.ellipse((x - 13, y - 13, x + 13, y + 13), outline=(grey,) * 3, width=4)
            picture.save(folder / "photos" / name / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def transcript(folder: Path) -> dict[str, str]:
    """Command -> what it printed, each as the page has it."""
    printed = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in followed():
            more = (*EPOCHS, "--plot", "build/loss.png") if words[1] == "train" else ()
            target = words[words.index(">") + 1] if ">" in words else None
            words = words[: words.index(">")] if target else words
            with contextlib.redirect_stdout(io.StringIO()) as told:
                assert call(*words[1:], *more, "--quiet") == 0
            if target:
                (folder / target).write_text(told.getvalue(), encoding="utf-8")
            printed[words[1]] = told.getvalue()
    return printed


def test_the_page_has_the_steps_in_their_order() -> None:
    assert [words[1] for words in followed()] == list(FOLLOWED)


def test_photos_become_names_and_probabilities(transcript: dict[str, str], folder: Path) -> None:
    assert re.search(r"accuracy (9\d|100)\.\d+%", transcript["evaluate"])
    for name in ("confusion", "loss"):
        assert (folder / "build" / f"{name}.png").stat().st_size > 10_000
    lines = transcript["run"].strip().splitlines()
    promised = re.compile(r"(bolt|nut|washer) \d\.\d\d \(photos/nut/\d{3}\.png\)")
    named = [match[1] for line in lines if (match := promised.fullmatch(line))]
    assert len(named) == 24
    assert named.count("nut") >= 22
    (shown,) = [block for block in blocks(TUTORIAL) if block.startswith("nut ")]
    assert promised.fullmatch(shown.strip()), "the page shows a line of this form"


def run_python(code: str, folder: Path) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_same_in_python(transcript: dict[str, str], folder: Path) -> None:
    (code,) = blocks(TUTORIAL, "python")
    frame = "import numpy as np\ncamera_frame = np.full((40, 48, 3), 30, np.uint8); camera_frame[18:24, 6:40] = 220\n"
    printed = run_python(frame + code, folder)
    assert re.search(r"^nut 0\.\d+ \[\[", printed, re.MULTILINE) or re.search(r"^nut 1\.0 \[\[", printed, re.MULTILINE)
    assert re.search(r"^image +class +probability +second$", printed, re.MULTILINE)
    assert re.search(r"\bbolt +\d\.\d\d", printed)


def test_the_first_lines_of_the_readme(folder: Path) -> None:
    (code,) = blocks(README, "python")
    lines = run_python(code, folder).strip().splitlines()
    assert len(lines) == 72
    assert all(re.fullmatch(r"\d \d\.\d\d \(photos/\w+/\d{3}\.png\)", line) for line in lines)


def test_another_camera_is_refused_in_words(
    transcript: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    np.save("wide.npy", np.zeros((1, 3, 40, 48), np.uint8))
    assert call("run", "build/my", "--input", "wide.npy") == 2
    assert "32" in capsys.readouterr().err
