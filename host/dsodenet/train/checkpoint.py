"""RUN/checkpoint.pt and RUN/metrics.json: what training leaves for export. A checkpoint holds tensors and text, no code."""

from __future__ import annotations

import dataclasses
import json
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import dsodenet
from dsodenet.data import Dataset
from dsodenet.errors import RunError, SpecError
from dsodenet.files import atomic_file
from dsodenet.model import DsODENet
from dsodenet.spec import Spec
from dsodenet.train.loop import Options, Trained, accuracy

CHECKPOINT_FILE, METRICS_FILE = "checkpoint.pt", "metrics.json"
CHECKPOINT_KEYS = {"float_state", "qat_state", "spec_json", "metrics_json"}
MAX_CHECKPOINT_BYTES = 1 << 30


def save_checkpoint(run: Path, spec: Spec, data: Dataset, recipe: str, options: Options, trained: Trained) -> dict[str, Any]:
    """Measure a trained model on the test split and write the run's two files, each beside its place and then renamed."""
    float_model, qat_model = trained.float_model, trained.qat_model
    metrics: dict[str, Any] = {
        "recipe": recipe,
        "spec_fingerprint": spec.fingerprint(),
        "options": dataclasses.asdict(options),
        "data": {"name": data.name, "train_images": len(data.train_images), "test_images": len(data.test_images)},
        "class_names": list(data.class_names),
        "float_accuracy": accuracy(float_model, data.test_images, data.test_labels),
        "qat_accuracy": None if qat_model is None else accuracy(qat_model, data.test_images, data.test_labels),
        "float_stage": dataclasses.asdict(trained.float_stage),
        "qat_stage": None if trained.qat_stage is None else dataclasses.asdict(trained.qat_stage),
        "versions": {"dsodenet": dsodenet.__version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "brevitas", "numpy")},
    }
    text = json.dumps(metrics, indent=2) + "\n"
    content = {
        "float_state": float_model.state_dict(),
        "qat_state": None if qat_model is None else qat_model.state_dict(),
        "spec_json": spec.to_json(),
        "metrics_json": text,
    }
    with atomic_file(run / CHECKPOINT_FILE) as path:
        torch.save(content, path)
    with atomic_file(run / METRICS_FILE) as path:
        path.write_text(text, encoding="utf-8")
    return metrics


def load_checkpoint(run: str | Path) -> tuple[DsODENet, Spec, dict[str, Any]]:
    """(quantised model in eval mode, spec, metrics) of a run; RunError when it is missing, malformed or float only."""
    content, spec, metrics = _read(Path(run))
    if content["qat_state"] is None:
        raise RunError(f"{run}: a float-only run (network.norm {spec.network.norm}) has no quantised model")
    return _restore(Path(run), DsODENet(spec, spec.quantisation.weight_bit_width), content["qat_state"]), spec, metrics


def load_float_model(run: str | Path) -> tuple[DsODENet, Spec, dict[str, Any]]:
    """(float model in eval mode, with its normalisation; spec; metrics) of a run."""
    content, spec, metrics = _read(Path(run))
    return _restore(Path(run), DsODENet(spec), content["float_state"]), spec, metrics


def _read(run: Path) -> tuple[dict[str, Any], Spec, dict[str, Any]]:
    path = run / CHECKPOINT_FILE
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint; `dsodenet train --out {run}` makes one")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise RunError(f"{path}: not a checkpoint ({error})") from None
    if size > MAX_CHECKPOINT_BYTES:
        raise RunError(f"{path}: {size} bytes, but at most {MAX_CHECKPOINT_BYTES} are read")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever a damaged file leads it to
        raise RunError(f"{path}: not a checkpoint ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from None
    if not isinstance(content, dict) or set(content) != CHECKPOINT_KEYS:
        raise RunError(f"{path}: not a checkpoint of dsodenet; it must hold {', '.join(sorted(CHECKPOINT_KEYS))}")
    try:
        spec, metrics = Spec.from_json(content["spec_json"]), json.loads(content["metrics_json"])
    except (SpecError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: {error}") from None
    return content, spec, metrics


def _restore(run: Path, model: DsODENet, state: Any) -> DsODENet:
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise RunError(f"{run / CHECKPOINT_FILE}: its weights do not fit its spec ({' '.join(str(error).split())[:300]})") from None
    return model.eval()
