"""Small pretrained models that come with the package. `zoo:NAME` stands wherever an exported run is read."""

from __future__ import annotations

from pathlib import Path

from dsodenet.errors import InputError

FOLDER = Path(__file__).resolve().parent
PREFIX = "zoo:"


def names() -> list[str]:
    """The models that are here: each a folder with params.npz, spec.json, metrics.json and a model card, README.md."""
    return sorted(path.parent.name for path in FOLDER.glob("*/params.npz"))


def name_of(run: str | Path) -> str | None:
    """`zoo:NAME` of a folder that is a model of the zoo, which is read only; None for any other."""
    path = Path(run).resolve()
    return PREFIX + path.name if path.parent == FOLDER else None


def resolve(run: str | Path) -> Path:
    """The folder of `zoo:NAME`; any other path as it is. InputError for a name that is not in the zoo."""
    text = str(run)
    if not text.startswith(PREFIX):
        return Path(run)
    name = text.removeprefix(PREFIX)
    if name not in names():
        raise InputError(f"model is {text!r}, but the zoo has {', '.join(PREFIX + name for name in names()) or 'no model'}")
    return FOLDER / name
