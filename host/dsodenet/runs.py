"""Run folders: where each file of a run lies, the models of the zoo, and which runs are read only.

RUN/checkpoint.pt  metrics.json  metrics.csv  tensorboard/   what training leaves (teachers.pt: of a recipe for
teachers)
RUN/unfinished/                                              a training that can be resumed
RUN/spec.json  params.npz                                    the exported model: spec and formats, integers
RUN/statistics.npz                                           what it saw over its own images, for `adapt`
RUN/model.qonnx.onnx  qonnx/                                 the exported graphs: the whole network, and its pieces
RUN/hls/                                                     the lowered kernel and its C simulation
RUN/overlay/  <name>.bit  <name>.hwh  <name>.json            the build of an overlay, and the overlay
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsodenet.errors import InputError, RunError
from dsodenet.files import check_writable
from dsodenet.native import MANIFEST
from dsodenet.outside import read_json

ZOO = Path(__file__).resolve().parent / "zoo"
PREFIX = "zoo:"
OWN_FILES = ("spec.json", "metrics.json", "metrics.csv")  # names of a run that results could have, too


def zoo_names() -> list[str]:
    """The models that come with the package.

    Each is a folder with params.npz, spec.json, metrics.json and a model card, README.md.
    """
    return sorted(path.parent.name for path in ZOO.glob("*/params.npz"))


@dataclass(frozen=True)
class Run:
    """One run folder. The files need not be there: who reads one says what makes it."""

    folder: Path

    @classmethod
    def of(cls, run: str | Path | Run) -> Run:
        """The run of a folder or of `zoo:NAME`; InputError for a name that is not in the zoo."""
        if isinstance(run, Run):
            return run
        text = str(run)
        if not text.startswith(PREFIX):
            return cls(Path(run))
        name = text.removeprefix(PREFIX)
        if name not in zoo_names():
            names = ", ".join(PREFIX + name for name in zoo_names())
            raise InputError(f"model is {text!r}, but the zoo has {names or 'no model'}")
        return cls(ZOO / name)

    @property
    def zoo_name(self) -> str | None:
        """`zoo:NAME` of a model of the zoo, which is read only; None for any other run."""
        path = self.folder.resolve()
        return PREFIX + path.name if path.parent == ZOO else None

    def __str__(self) -> str:
        return self.zoo_name or str(self.folder)

    # ---- what training leaves

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def teachers(self) -> Path:
        return self.folder / "teachers.pt"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def log(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def tensorboard(self) -> Path:
        return self.folder / "tensorboard"

    @property
    def unfinished(self) -> Path:
        return self.folder / "unfinished"

    # ---- what export leaves

    @property
    def spec(self) -> Path:
        return self.folder / "spec.json"

    @property
    def params(self) -> Path:
        return self.folder / "params.npz"

    @property
    def statistics(self) -> Path:
        """What the model saw over its own images, for `adapt`."""
        return self.folder / "statistics.npz"

    @property
    def model(self) -> Path:
        return self.folder / "model.qonnx.onnx"

    @property
    def pieces(self) -> Path:
        return self.folder / "qonnx"

    # ---- what lowering and overlays leave

    @property
    def hls(self) -> Path:
        return self.folder / "hls"

    @property
    def csim(self) -> Path:
        """The C simulation of the hls kernel, native code."""
        return self.hls / "libdsodenet_csim.so"

    @property
    def overlay(self) -> Path:
        """The folder in which an overlay is built."""
        return self.folder / "overlay"

    def bitfile(self, name: str) -> Path:
        """The bitstream of model `name`, beside which .hwh and .json lie."""
        return self.folder / f"{name}.bit"

    def data_source(self) -> str | None:
        """The data set, or the path of the folder, that the model was trained on; None where the run does not say."""
        try:
            data = read_json(self.metrics, "the metrics of a run")["data"]
            return str(data.get("source") or data["name"])
        except (InputError, LookupError, TypeError, AttributeError):
            return None


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Say in FOLDER/manifest.json what was made from which model; content holds its `fingerprint`."""
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path, fingerprint: str, made: str, again: str) -> dict[str, Any]:
    """The manifest of a folder; RunError where there is none, or it was made from another model than `fingerprint`.

    made: what the folder holds, in words; again: the command that makes it.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise RunError(f"{folder}: no {made} here; run `{again}`")
    try:
        content = dict(read_json(path, "a manifest"))
        found = content["fingerprint"]
    except (InputError, LookupError, TypeError, ValueError):
        raise RunError(f"{path}: not a manifest; run `{again}` again") from None
    if found != fingerprint:
        raise RunError(
            f"{folder}: was made from model {str(found)[:16]}, but the run holds {fingerprint[:16]}; "
            f"run `{again}` again"
        )
    return content


def check_folder(path: Path) -> None:
    """InputError for a path that can be no folder to write to, before there is work to lose."""
    if not path.name or str(path).startswith(PREFIX) or Run(path).zoo_name is not None:
        raise InputError(f"--out is {str(path)!r}, but it must name a folder to write, which no model of the zoo is")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file, but --out must name a folder")
    check_writable(path / "x" if path.is_dir() else path, f"--out is {path}")


def check_output(path: Path, suffix: str) -> None:
    """InputError for a path that no file of this kind can be written to, before there is work to lose.

    The files of a run are such: who writes a result over RUN/spec.json has lost the run.
    """
    if path.suffix.lower() != suffix or (path.exists() and not path.is_file()):
        raise InputError(f"output is {path}, but it must be a {suffix} file")
    if path.name in OWN_FILES and Run(path.parent).spec.exists():
        raise InputError(f"output is {path}, but that is a file of the run {path.parent}")
    check_writable(path, f"output is {path}")
