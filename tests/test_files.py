"""Files are written whole or not at all, and nothing of a killed writer stays."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsodenet.errors import InputError, RunError
from dsodenet.files import atomic_file, atomic_files, atomic_folder, only_one
from dsodenet.runs import check_output
from dsodenet.spec import SIZES, random_params

WRITER = """
import sys, time
from pathlib import Path
from dsodenet.files import atomic_file, atomic_folder
maker = {"file": atomic_file, "folder": atomic_folder}[sys.argv[1]]
with maker(Path(sys.argv[2])):
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "result.json"
    with subprocess.Popen([sys.executable, "-c", WRITER, kind, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        (theirs,) = names(tmp_path)
        with atomic_file(target) as path:  # while the other one still writes
            path.write_text("ours")
        assert names(tmp_path) == [theirs, "result.json"]
        process.kill()
    target.unlink()
    with atomic_file(target) as path:
        path.write_text("ours again")
    assert names(tmp_path) == ["result.json"]


def test_a_file_of_another_name_is_left_alone(tmp_path: Path) -> None:
    for name in (".result.json.12345678.json.bak", ".result.json.backup", ".other.json.12345678.json"):
        (tmp_path / name).write_text("mine")
    before = names(tmp_path)
    with atomic_file(tmp_path / "result.json") as path:
        path.write_text("ours")
    assert names(tmp_path) == sorted([*before, "result.json"])


def test_modes_are_those_of_the_umask_and_of_the_file_before(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "new") as path:
            path.write_text("x")
        with atomic_folder(tmp_path / "folder") as path:
            (path / "in").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750
    (tmp_path / "new").chmod(0o604)
    with atomic_file(tmp_path / "new") as path:
        path.write_text("y")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o604


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "y").write_text("old")
    (tmp_path / "y").symlink_to(tmp_path / "disk" / "y")
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    with atomic_file(tmp_path / "y") as path:
        path.write_text("new")
    with atomic_folder(tmp_path / "run") as path:
        (path / "x").write_text("new")
    assert (tmp_path / "y").is_symlink()
    assert (tmp_path / "disk" / "y").read_text() == (tmp_path / "disk" / "run" / "x").read_text() == "new"


def test_a_pair_is_written_both_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "y.npy", tmp_path / "y.json"
    first.write_text("old")

    def fill() -> None:
        with atomic_files(first, second) as (one, two):
            one.write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device", str(two))

    with pytest.raises(OSError, match=r"y\.npy") as found:
        fill()
    assert found.value.errno == errno.ENOSPC
    assert names(tmp_path) == ["y.npy"]
    assert first.read_text() == "old"
    with atomic_files(first, second) as (one, two):
        one.write_text("new")
        two.write_text("too")
    assert (first.read_text(), second.read_text(), names(tmp_path)) == ("new", "too", ["y.json", "y.npy"])


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), atomic_file(tmp_path / "y"):
        (tmp_path / "absent").read_text()


def test_one_at_a_time_and_no_trace(tmp_path: Path) -> None:
    with only_one(tmp_path / "run", "training"):
        with pytest.raises(RunError, match="another training is running here"), only_one(tmp_path / "run", "training"):
            pytest.fail("both hold it")
        time.sleep(0)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["spec.json", "metrics.json"])
def test_no_output_takes_the_place_of_a_file_of_a_run(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name, ".json")
    random_params(SIZES["xs"], 0).save(tmp_path)
    with pytest.raises(InputError, match="is a file of the run"):
        check_output(tmp_path / name, ".json")
