"""The notebooks run from top to bottom, at a small size, and are kept with the outputs of a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
CELL_TIMEOUT_S = 300
SMALL = {  # in the order in which they run: 02 reads the run that 01 wrote
    "01_train_and_quantise": "EPOCHS, QAT_EPOCHS, STEPS = 1, 1, (1, 2)",
    "02_lower_and_simulate": "IMAGES = 4",
    "03_run_on_the_zcu104": "IMAGES = 4",
    "04_fpga_against_software": 'MODELS, REPEATS, BATCHES = [*MODELS[:1] * 2, "xs"], 1, (1,)\nBACKENDS = ("cpu", "onnxruntime", "estimate", "estimate-host", "a53")',
}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_notebook_is_kept_with_the_outputs_of_one_run_and_defines_nothing(name: str) -> None:
    cells = code_cells(read(name))
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
    notebook = read(name)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    settings.source += "\n" + SMALL[name]
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
