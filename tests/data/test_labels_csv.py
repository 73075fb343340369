"""Test images whose classes a CSV file says, in the two forms in which the German traffic signs are published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsodenet.data import load_dataset
from dsodenet.errors import InputError
from dsodenet.spec import Network, Spec

OFFICIAL = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n{};4;4;0;0;3;3;1\n{};4;4;0;0;3;3;0\n"
OTHER = "Width,Height,ClassId,Path\n4,4,1,{}\n4,4,0,{}\n"


@pytest.fixture
def network() -> Network:
    return replace(Spec.named("s").network, height=8, width=8, num_classes=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label, name in enumerate(("00000", "00001")):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(2):
            grey(50 + 100 * label + number).save(tmp_path / "train" / name / f"{number}.ppm")
    (tmp_path / "test").mkdir()
    for name, value in (("a", 11), ("b", 22)):
        grey(value).save(tmp_path / "test" / f"{name}.ppm")
    return tmp_path


def grey(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8, 3), value, np.uint8))


@pytest.mark.parametrize("text", [OFFICIAL, OTHER, "\ufefflabel\tfile\n00001\t{}\n00000\t{}\n"])
def test_classes_are_those_of_the_table(text: str, folder: Path, network: Network) -> None:
    (folder / "test" / "labels.csv").write_text(text.format("b.ppm", "a.ppm"), encoding="utf-8")
    data = load_dataset(folder, network)
    assert data.test_images[:, 0, 0, 0].tolist() == [22, 11]
    assert data.test_labels.tolist() == [1, 0]
    assert data.train_labels.tolist() == [0, 0, 1, 1]
    assert data.class_names == ("00000", "00001")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "its header must have"),
        ("file,size\na.ppm,3\n", "its header must have"),
        ("file,label\n", "there must be one"),
        ("file,label\na.ppm\n", "every line must name"),
        ("file,label\na.ppm,7\n", "line 2 names the class '7'"),
        ("file,label\na.ppm," + "9" * 5000 + "\n", "line 2 names the class"),
        ("file,label\nc.ppm,1\n", "no such file"),
        ("file,label\n../train/00000/0.ppm,1\n", "leads out of the data folder"),
        ("file,label\n\x00,1\n", ""),
    ],
)
def test_a_table_that_is_wrong_is_one_sentence(text: str, named: str, folder: Path, network: Network) -> None:
    (folder / "test" / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=named) as raised:
        load_dataset(folder, network)
    assert "\n" not in str(raised.value)


def test_two_tables_are_one_too_many(folder: Path, network: Network) -> None:
    for name in ("a.csv", "b.csv"):
        (folder / "test" / name).write_text(OTHER)
    with pytest.raises(InputError, match="2 CSV files"):
        load_dataset(folder, network)
