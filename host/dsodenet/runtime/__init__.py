"""Run an exported model: `with Accelerator(run, backend="zcu104") as accelerator: logits = accelerator.predict(images)`."""

from dsodenet.runtime.accelerator import Accelerator, CallInfo
from dsodenet.runtime.backends import BACKENDS
from dsodenet.runtime.checks import Throughput, Validation, throughput_test, validate
from dsodenet.runtime.power import board_rails
from dsodenet.runtime.self_test import Report, selftest

__all__ = [
    "BACKENDS",
    "Accelerator",
    "CallInfo",
    "Report",
    "Throughput",
    "Validation",
    "board_rails",
    "selftest",
    "throughput_test",
    "validate",
]
