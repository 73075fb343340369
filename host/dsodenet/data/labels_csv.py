"""Images of one folder whose classes stand in a CSV file beside them, as the German traffic signs are published."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from dsodenet.data.images import check_memory, read_image
from dsodenet.data.limits import Part, inside, read_bytes
from dsodenet.errors import InputError
from dsodenet.spec import USUAL, Network, Preparation

FILES = ("filename", "file", "path", "image")  # what the columns may be called, in any case
CLASSES = ("classid", "class", "label")


def table_of(folder: Path) -> Path | None:
    """The one CSV file of a folder, or None."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and not path.name.startswith("."))
    if len(found) > 1:
        raise InputError(f"{folder}: {len(found)} CSV files, but one must say the classes")
    return found[0] if found else None


def read_table(table: Path, classes: tuple[str, ...], network: Network, how: Preparation = USUAL) -> Part:
    """The images that a CSV file names, in its order.

    Its header has a column of FILES, relative to its folder, and one of CLASSES: a class's name, or its number where
    the names are numbers (14 is 00014). Commas, semicolons or tabs stand between the columns.
    """
    rows = _rows(table)
    numbers = {int(name): label for label, name in enumerate(classes) if name.isdecimal()}
    labels = {name: label for label, name in enumerate(classes)}
    files, found = [], []
    for number, (file, name) in enumerate(rows, 2):
        label = labels.get(name, numbers.get(int(name)) if name.isdecimal() and len(name) < 10 else None)
        if label is None:
            raise InputError(f"{table}: line {number} names the class {name!r}, which is none of {', '.join(classes)}")
        files.append(inside(table.parent, file))
        found.append(label)
    shape = (len(files), *network.image_shape)
    check_memory(str(table), shape)
    images = np.empty(shape, np.uint8)
    for i, path in enumerate(files):
        images[i] = read_image(path, network, how)
    return images, np.array(found, np.int64)


def _rows(table: Path) -> list[tuple[str, str]]:
    """(file, class) of every line."""
    try:
        text = read_bytes(table).decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        columns = {name.strip().lower(): name for name in reader.fieldnames or () if name is not None}
        chosen = [next((columns[name] for name in names if name in columns), None) for names in (FILES, CLASSES)]
        if chosen[0] is None or chosen[1] is None:
            raise InputError(
                f"{table}: its header must have a column {' or '.join(FILES)} and a column {' or '.join(CLASSES)}, "
                f"but has {', '.join(columns) or 'none'}"
            )
        rows = [(row[chosen[0]], row[chosen[1]]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a table of files and classes ({error})") from None
    if not rows or any(not file or not name for file, name in rows):
        raise InputError(f"{table}: every line must name a file and a class, and there must be one")
    return [(file.strip(), name.strip()) for file, name in rows]
