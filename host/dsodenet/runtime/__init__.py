"""Run an exported model: `with Accelerator(run, backend="zcu104") as accelerator: logits = accelerator.predict(images)`."""

from dsodenet.runtime.accelerator import Accelerator, CallInfo
from dsodenet.runtime.backends import BACKENDS

__all__ = ["BACKENDS", "Accelerator", "CallInfo"]
