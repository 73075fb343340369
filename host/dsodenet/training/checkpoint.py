"""RUN/checkpoint.pt and RUN/metrics.json: what training leaves for export.

A checkpoint holds tensors and text, no code.
"""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import platform
import zipfile
from collections.abc import Set
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import dsodenet
from dsodenet.data import Dataset, Images, Labels
from dsodenet.errors import RunError, SpecError
from dsodenet.files import atomic_file
from dsodenet.nets import DsODENet
from dsodenet.runs import Run
from dsodenet.spec import Spec
from dsodenet.training.task import Training

CHECKPOINT_KEYS = {"float_state", "qat_state", "spec_json", "metrics_json"}
MAX_CHECKPOINT_BYTES = 1 << 30
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Trained:
    """The result of a recipe.

    No quantised model where the spec is float only, and none of both from a recipe for teachers.
    """

    float_model: DsODENet | None
    qat_model: DsODENet | None
    teachers: dict[str, nn.Module]  # those that this run trained
    histories: dict[str, dict[str, Any]]  # stage -> its history


def save_checkpoint(
    run: Path, recipe: str, training: Training, trained: Trained, writes: bool = True
) -> dict[str, Any]:
    """Measure what was trained on the test splits and, if this process `writes`, write the run's files, each beside
    its place and then renamed."""
    float_model, qat_model, data, target = trained.float_model, trained.qat_model, training.data, training.target
    spec = training.spec if float_model is None else float_model.spec
    metrics: dict[str, Any] = {
        "recipe": recipe,
        "spec_fingerprint": spec.fingerprint(),
        "options": dataclasses.asdict(training.options),
        "data": _counts(data),
        "target": None if target is None else _counts(target),
        "teachers": [
            {"name": t.name, "accuracy": _accuracy_on(data, t.network, training.device)} for t in training.teachers
        ],
        "class_names": list(data.class_names),
    }
    for prefix, domain in (("", data), ("target_", target)):
        for name, model in (("float", float_model), ("qat", qat_model)):
            metrics[f"{prefix}{name}_accuracy"] = _accuracy_on(domain, model, training.device)
    metrics |= {
        "stages": trained.histories,
        "versions": {"dsodenet": dsodenet.__version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "brevitas", "numpy")},
    }
    text = json.dumps(metrics, indent=2) + "\n"
    if not writes:
        return metrics
    if trained.teachers:
        save_tensors({name: network.state_dict() for name, network in trained.teachers.items()}, Run(run).teachers)
    else:
        Run(run).teachers.unlink(missing_ok=True)  # `--teacher RUN` would take an earlier run's for this one's
    if float_model is not None:
        content = {
            "float_state": float_model.state_dict(),
            "qat_state": None if qat_model is None else qat_model.state_dict(),
            "spec_json": spec.to_json(),
            "metrics_json": text,
        }
        save_tensors(content, Run(run).checkpoint)
    with atomic_file(Run(run).metrics) as path:
        path.write_text(text, encoding="utf-8")
    return metrics


def _accuracy_on(data: Dataset | None, model: nn.Module | None, device: torch.device) -> float | None:
    """Measured on the device that trained; the model is on the CPU again afterwards."""
    if data is None or model is None:
        return None
    share = accuracy(model.to(device), data.test_images, data.test_labels)
    model.cpu()
    return share


def _counts(data: Dataset) -> dict[str, Any]:
    counts = {"train_images": len(data.train_images), "test_images": len(data.test_images)}
    return {"name": data.name, "source": data.source, "split": data.split} | counts


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, labels: Labels) -> float:
    """Share of images whose largest logit is that of their label, in [0, 1]."""
    model.eval()
    device = next(model.parameters()).device
    right = 0
    for start in range(0, len(images), EVALUATION_BATCH):
        chosen = slice(start, start + EVALUATION_BATCH)
        guesses = model(torch.from_numpy(images[chosen]).to(device)).argmax(1).cpu()
        right += int((guesses == torch.from_numpy(labels[chosen])).sum())
    return right / len(images)


def load_checkpoint(run: str | Path) -> tuple[DsODENet, Spec, dict[str, Any]]:
    """(quantised model in eval mode, spec, metrics) of a run; RunError when it is missing, malformed or float only."""
    content, spec, metrics = _read(Path(run))
    if content["qat_state"] is None:
        raise RunError(
            f"{run}: a float-only run (recipe {metrics['recipe']}, network.norm {spec.network.norm}) "
            f"has no quantised model"
        )
    return _restore(Path(run), DsODENet(spec, spec.quantisation.weight_bit_width), content["qat_state"]), spec, metrics


def load_float_model(run: str | Path) -> tuple[DsODENet, Spec, dict[str, Any]]:
    """(float model in eval mode, with its normalisation; spec; metrics) of a run."""
    content, spec, metrics = _read(Path(run))
    return _restore(Path(run), DsODENet(spec), content["float_state"]), spec, metrics


def load_teacher_states(run: Path) -> dict[str, Any]:
    """{teacher's name: its state} of a run that trained teachers."""
    return load_tensors(Run(run).teachers)


def _read(run: Path) -> tuple[dict[str, Any], Spec, dict[str, Any]]:
    path = Run(run).checkpoint
    if name := Run(run).zoo_name:
        raise RunError(f"{name} comes without a checkpoint, so torch cannot take it; run it on cpu, rtl or zcu104-sim")
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint; `dsodenet train --out {run}` makes one")
    content = load_tensors(path, CHECKPOINT_KEYS)
    try:
        spec, metrics = Spec.from_json(content["spec_json"]), json.loads(content["metrics_json"])
    except (SpecError, TypeError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: {error}") from None
    return content, spec, metrics


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """What load_tensors reads, whole or not at all.

    Torch itself ends in anything but an OSError where the disk is full.
    """
    packed = io.BytesIO()
    torch.save(content, packed)
    with atomic_file(path) as beside:
        beside.write_bytes(packed.getbuffer())


def load_tensors(path: Path, keys: Set[str] | None = None) -> dict[str, Any]:
    """A dictionary of tensors and text, of these keys.

    RunError for anything else, and before it takes too much memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise RunError(f"{path}: not a checkpoint ({error})") from None
    if size > MAX_CHECKPOINT_BYTES:
        raise RunError(f"{path}: {size} bytes, but at most {MAX_CHECKPOINT_BYTES} are read")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # whose own words say how to run it all the same
        raise RunError(
            f"{path}: not a checkpoint: it holds something else than tensors and text, or is damaged"
        ) from None
    except Exception as error:  # torch raises whatever a damaged file leads it to
        raise RunError(
            f"{path}: not a checkpoint ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from None
    if not isinstance(content, dict) or (keys is not None and set(content) != keys):
        raise RunError(
            f"{path}: not a checkpoint of dsodenet; it must hold {', '.join(sorted(keys or {'a dictionary'}))}"
        )
    return content


def _restore(run: Path, model: DsODENet, state: Any) -> DsODENet:
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise RunError(
            f"{Run(run).checkpoint}: its weights do not fit its spec ({' '.join(str(error).split())[:300]})"
        ) from None
    return model.eval()
