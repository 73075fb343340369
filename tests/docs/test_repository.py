"""What the repository holds for people and for services: forms, workflow, citation, lists of packages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import dsodenet
from dsodenet import files

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def debian_packages(text: str) -> set[str]:
    (line,) = re.findall(r"apt-get install (?:-\S+ )*(?:\\\n\s*)?([a-z0-9+ -]*[a-z0-9+])", text)
    return set(line.split())


def test_every_list_of_debian_packages_is_that_of_the_gate() -> None:
    needed = set(re.findall(r"missing\+=\(\"?([^$)\"]+)\"?\)", read(".ci/run")))
    needed |= set(re.findall(r"for tool in ([^;]+);", read(".ci/run"))[0].split())
    assert needed >= {"g++", "python3-venv", "qemu-user"}
    for name in ("README.md", "docs/quickstart.md", "CONTRIBUTING.md", "Dockerfile"):
        assert debian_packages(read(name)) == needed, name


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_forms_are_well_formed(form: Path) -> None:
    """The keys and types of GitHub's form schema that we use; a form with another is not shown."""
    content: Any = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert set(content) <= {"name", "description", "labels", "body"}
    labels = []
    for item in content["body"]:
        assert item["type"] in ("markdown", "input", "textarea", "dropdown")
        assert set(item) <= {"type", "attributes", "validations"}
        assert ("value" if item["type"] == "markdown" else "label") in item["attributes"]
        if item["type"] == "dropdown":
            options = item["attributes"]["options"]
            assert len(options) == len(set(options)) > 1
        labels.append(item["attributes"].get("label"))
    assert len(labels) == len(set(labels))


def test_the_workflow_runs_the_gate() -> None:
    (job,) = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == dsodenet.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_a_hint_names_what_can_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.how_to_install("rtl") == f"`pip install -e '{ROOT}[rtl]'`"
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "dsodenet" / "files.py"))
    assert f"dsodenet-{dsodenet.__version__}-py3-none-any.whl[rtl]" in files.how_to_install("rtl")
    hinted = set()
    for path in (*(ROOT / "host").rglob("*.py"), *(ROOT / "tools").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "pip install 'dsodenet[" not in text, path
        hinted |= set(re.findall(r"how_to_install\(['\"](\w+)['\"]\)", text))
    extras = set(
        re.findall(r"^(\w+) = \[", read("pyproject.toml").split("[project.optional-dependencies]")[1], re.MULTILINE)
    )
    assert {"rtl", "sim"} <= hinted <= extras
