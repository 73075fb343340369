"""The notebooks run from top to bottom, at a small size, and are kept with the outputs of a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")

from dsodenet.errors import ToolError
from dsodenet.files import source_folder
from tools import notebooks

pytestmark = pytest.mark.slow

CELL_TIMEOUT_S = 300
SMALL = {  # in the order in which they run: 02 reads the run that 01 wrote
    "01_train_and_quantise": "EPOCHS, QAT_EPOCHS, STEPS = 1, 1, (1, 2)",
    "02_lower_and_simulate": "IMAGES = 4",
    "03_run_on_the_zcu104": "IMAGES = 4",
    "04_fpga_against_software": 'MODELS, REPEATS, BATCHES = [*MODELS[:1] * 2, "xs"], 1, (1,)\nBACKENDS = ("cpu", '
    '"onnxruntime", "estimate", "estimate-host", "a53")',
    "05_adapt_to_a_new_camera": "IMAGES = 60",
}


def test_every_notebook_is_tested() -> None:
    assert notebooks.names() == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_notebook_is_kept_with_the_outputs_of_one_run_and_defines_nothing(name: str) -> None:
    cells = notebooks.code_cells(notebooks.read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert not any(word in cell.source for cell in cells for word in ("def ", "class ", "lambda"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run; what they write goes beside it, as in a checkout."""
    path = tmp_path_factory.mktemp("checkout") / "notebooks"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", SMALL)
def test_notebook_runs(name: str, folder: Path) -> None:
    notebooks.execute(notebooks.read(name), folder, SMALL[name], CELL_TIMEOUT_S)


def small_notebook(source: str) -> Any:
    import nbformat

    settings = nbformat.v4.new_code_cell("N = 1", metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[settings, nbformat.v4.new_code_cell(source)])


def test_a_run_takes_other_settings_keeps_its_own_and_says_which_cell_fails(tmp_path: Path) -> None:
    notebook = small_notebook("print(N)")
    assert notebooks.execute(notebook, tmp_path, "N = 2") > 0
    first, second = notebooks.code_cells(notebook)
    assert first.source == "N = 1"
    assert second.outputs[0].text == "2\n"
    assert "execution" not in second.metadata, "times would change the file at every run"
    with pytest.raises(ToolError, match="a cell fails: ZeroDivisionError: division by zero"):
        notebooks.execute(small_notebook("N / 0"), tmp_path)


def test_the_command_writes_times_and_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat

    (tmp_path / "notebooks").mkdir()
    nbformat.write(small_notebook("print(N)"), tmp_path / "notebooks" / "01_small.ipynb")
    monkeypatch.setattr(notebooks, "source_folder", lambda name: tmp_path / name)
    assert notebooks.main(["--json", str(tmp_path / "n.json")]) == 0
    assert notebooks.code_cells(notebooks.read("01_small"))[1].outputs == []
    assert notebooks.main(["01_small", "--json", str(tmp_path / "n.json"), "--keep"]) == 0
    assert notebooks.code_cells(notebooks.read("01_small"))[1].outputs[0].text == "1\n"
    (row,) = json.loads((tmp_path / "n.json").read_text())["notebooks"]
    assert (row["name"], row["cells"]) == ("01_small", 2)
    assert row["seconds"] > 0


def test_unknown_notebook_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert notebooks.main(["05_more"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert "01_train_and_quantise" in output.err


def test_notebooks_are_part_of_the_checkout() -> None:
    assert (source_folder("notebooks") / "README.md").is_file()
