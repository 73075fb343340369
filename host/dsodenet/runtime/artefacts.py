"""The files of a built overlay: <name>.bit, .hwh and .json.

The JSON holds the model, so these three are all that a board needs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet.errors import DeviceError, RunError, shown
from dsodenet.files import atomic_file
from dsodenet.outside import guard, read_json
from dsodenet.spec import Params

FORMAT = 1
HASHED = (".bit", ".hwh")


def publish(params: Params, kernel: str, bit: Path, hwh: Path, build: dict[str, Any], folder: Path) -> Path:
    """Copy a finished build to `folder` under the name of the model; the path of the .bit.

    The old JSON goes first and the new one comes last: files of two builds never pass as one.
    """
    target = folder / f"{params.spec.name}.bit"
    target.with_suffix(".json").unlink(missing_ok=True)
    for source, suffix in zip((bit, hwh), HASHED):
        with atomic_file(target.with_suffix(suffix)) as path:
            shutil.copyfile(source, path)
    write_manifest(params, kernel, target, build)
    return target


def write_manifest(params: Params, kernel: str, bitfile: Path, build: dict[str, Any]) -> None:
    """Write the JSON beside a .bit and its .hwh.

    build: what is known of how they were made, with units in the names.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, **params.arrays)
    manifest = {
        "format": FORMAT,
        "kernel": kernel,
        "build": build,
        "sha256": {suffix: _sha256(bitfile.with_suffix(suffix)) for suffix in HASHED},
        "model": params.to_dict(),
        "arrays_npz_base64": base64.b64encode(packed.getvalue()).decode(),
    }
    with atomic_file(bitfile.with_suffix(".json")) as path:
        path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def read_manifest(bitfile: Path) -> tuple[Params, dict[str, Any]]:
    """The model of a built overlay, and the rest of its JSON.

    RunError when the JSON is missing or malformed, or the files are edited or from two builds. DeviceError when the
    .bit or the .hwh is missing.
    """
    path = bitfile.with_suffix(".json")
    if not path.is_file():
        raise RunError(f"{path}: no such file; it holds the model, so copy it together with {bitfile.name}")
    with guard(path, "the JSON of an overlay", RunError):
        data = dict(read_json(path, "the JSON of an overlay", RunError))
        if data["format"] != FORMAT:
            raise RunError(f"{path}: has format {shown(data['format'])}, but this package reads {FORMAT}")
        archive = io.BytesIO(base64.b64decode(data.pop("arrays_npz_base64"), validate=True))
        params = Params.from_parts(data.pop("model"), archive, str(path), str(path))
        hashes = {suffix: data["sha256"][suffix] for suffix in HASHED}
    for suffix, expected in hashes.items():
        file = bitfile.with_suffix(suffix)
        if not file.is_file():
            raise DeviceError(f"{file}: no such file; an overlay is the .bit, the .hwh and the .json")
        if _sha256(file) != expected:
            raise RunError(
                f"{file} is not the file that {path.name} was written for: "
                "copy the .bit, the .hwh and the .json of one build"
            )
    return params, data


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
