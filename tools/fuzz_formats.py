"""The formats that are read from outside: good files of each, and the reader that tools.fuzz attacks."""

from __future__ import annotations

import bz2
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.damage import Files


@dataclass(frozen=True)
class Format:
    """good: inputs that are read; read: what is done with the folder that holds one."""

    good: Callable[[], list[Files]]
    read: Callable[[Path], object]


def _model() -> Any:
    from dsodenet.spec import Spec, random_params

    data = Spec.named("xs").to_dict()
    data["network"] |= {"channels": [3, 4], "height": 8, "width": 8, "time": "bias"}
    data["solver"]["n_steps"] = [2, 2]
    return random_params(Spec.from_dict(data), 1)


def _run_files() -> Files:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _model().save(folder)
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _specs() -> list[Files]:
    from dsodenet.spec import SIZES

    return [{"s.json": spec.to_json().encode()} for spec in SIZES.values()]


def _read_spec(folder: Path) -> object:
    from dsodenet.spec import Spec

    return Spec.load(folder / "s.json")


def _read_run(folder: Path) -> object:
    from dsodenet.spec import Params

    return Params.load(folder)


def _images() -> list[Files]:
    arrays = (np.zeros((2, 1, 16, 16), np.uint8), np.ones((1, 1, 16, 16), np.float32))
    return [{"x.npy": _npy(array)} for array in arrays]


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _read_images(folder: Path) -> object:
    from dsodenet.runtime import load_images
    from dsodenet.spec import Spec

    return load_images(folder / "x.npy", Spec.named("xs"))


def _overlays() -> list[Files]:
    from dsodenet.contract import Kind, block_design
    from dsodenet.runtime.artefacts import write_manifest
    from dsodenet.runtime.simulated import hwh

    with tempfile.TemporaryDirectory() as name:
        bit = hwh.write_overlay(block_design("tiny", Kind.HLS, 200), "kernel_0", Path(name))
        write_manifest(_model(), "hls", bit, {})
        return [{f"tiny{path.suffix}": path.read_bytes() for path in Path(name).iterdir() if path.is_file()}]


def _read_overlay(folder: Path) -> object:
    from dsodenet import Accelerator

    with Accelerator(folder / "tiny.bit", "zcu104-sim", simulate_with="reference") as accelerator:
        return accelerator.params


def _manifests() -> list[Files]:
    from dsodenet.hls import best_plan

    params = _model()
    content = {"fingerprint": params.kernel_fingerprint} | best_plan(params.spec).to_dict()
    return [_run_files() | {"manifest.json": json.dumps(content | {"sha256": {"a": "b"}, "seal": "0" * 64}).encode()}]


def _read_manifest(folder: Path) -> object:
    from dsodenet.hls import csim_library, lowered_plan

    (folder / "hls").mkdir(exist_ok=True)
    (folder / "manifest.json").replace(folder / "hls" / "manifest.json")
    plan = lowered_plan(folder)
    csim_library(folder)
    return plan


def _reports() -> list[Files]:
    from dsodenet.overlay.reports import POWER, SITES

    lines = ["| Site Type | Used | Fixed | Available | Util% |"]
    lines += [f"| {site} | {number} | 0 | 1000 | 1.5 |" for number, site in enumerate(SITES.values(), 1)]
    watts = "\n".join(f"| {title} | 1.5 |" for title in POWER.values())
    return [{"utilisation.rpt": "\n".join(lines).encode(), "power.rpt": watts.encode()}]


def _read_reports(folder: Path) -> object:
    from dsodenet.overlay.reports import power, utilisation

    reports = {"utilisation.rpt": utilisation, "power.rpt": power}
    return [read(folder / name) for name, read in reports.items() if (folder / name).is_file()]


def _data_sets() -> list[Files]:
    """A small one of each form of standard files, and none of a class that is empty."""
    from scipy import io as matlab

    rng = np.random.default_rng(0)
    cifar = rng.integers(0, 10, (4, 3073), np.uint8).tobytes()
    idx = (
        b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 8, 8)) + bytes(192),
        b"\0\0\x08\x01\0\0\0\x03\1\2\3",
    )
    mat = io.BytesIO()
    matlab.savemat(mat, {"X": rng.integers(0, 255, (32, 32, 3, 2), np.uint8), "y": np.array([[1], [10]], np.uint8)})
    usps = bz2.compress("\n".join(f"{d} " + " ".join(f"{i}:-0.5" for i in range(1, 257)) for d in (1, 5, 10)).encode())
    return [
        {f"{name}.bin": cifar for name in ("data_batch_1", "test_batch")},
        {
            f"{split}-{kind}-ubyte": data
            for split in ("train", "t10k")
            for kind, data in zip(("images-idx3", "labels-idx1"), idx)
        },
        {f"{split}_32x32.mat": mat.getvalue() for split in ("train", "test")},
        dict.fromkeys(("usps.bz2", "usps.t.bz2"), usps),
    ]


def _read_data_set(folder: Path) -> object:
    from dsodenet.data import load_dataset
    from dsodenet.spec import Spec

    return load_dataset(folder, Spec.named("xs").network)


def _photos() -> list[Files]:
    from PIL import Image

    found = []
    for kind in ("png", "jpeg", "bmp", "gif", "tiff", "webp"):
        file = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, kind)
        found.append({f"a.{kind}": file.getvalue()})
    return found


def _read_photo(folder: Path) -> object:
    """The file stands in two classes, so that the data set has what it needs."""
    from dsodenet.data import load_dataset
    from dsodenet.spec import Spec

    (file,) = folder.iterdir()
    data = file.read_bytes()
    file.unlink()
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(2):
            (folder / name / f"{number}{file.suffix}").write_bytes(data)
    return load_dataset(folder, Spec.named("xs").network)


def _checkpoints() -> list[Files]:
    import torch

    from dsodenet.training.checkpoint import save_tensors

    with tempfile.TemporaryDirectory() as name:
        save_tensors({"weights": torch.ones(3), "text": "a"}, Path(name) / "checkpoint.pt")
        return [{"checkpoint.pt": (Path(name) / "checkpoint.pt").read_bytes()}]


def _read_checkpoint(folder: Path) -> object:
    from dsodenet.training.checkpoint import load_tensors

    return load_tensors(folder / "checkpoint.pt")


FORMATS = {
    "spec": Format(_specs, _read_spec),
    "run": Format(lambda: [_run_files()], _read_run),
    "images": Format(_images, _read_images),
    "overlay": Format(_overlays, _read_overlay),
    "manifest": Format(_manifests, _read_manifest),
    "report": Format(_reports, _read_reports),
    "data": Format(_data_sets, _read_data_set),
    "photo": Format(_photos, _read_photo),
    "checkpoint": Format(_checkpoints, _read_checkpoint),
}
