"""Run an exported model, on this computer, on a simulated board or on a ZCU104.

with Accelerator(run, backend="zcu104") as accelerator:
    logits = accelerator.predict(images)
"""

from dsodenet.runtime.accelerator import Accelerator, CallInfo, CascadeInfo
from dsodenet.runtime.artefacts import publish, read_manifest
from dsodenet.runtime.backends import BACKENDS, backend_options, check_number
from dsodenet.runtime.cascade import Cascade, Point, as_accurate, cheapest, curve, usual_stages
from dsodenet.runtime.checks import Throughput, Validation, throughput_test, validate
from dsodenet.runtime.classification import Classification, Prediction, probabilities
from dsodenet.runtime.driver import STATUS_TEXT
from dsodenet.runtime.examination import doctor
from dsodenet.runtime.inputs import load_images
from dsodenet.runtime.interrupt import POLL, WAITS
from dsodenet.runtime.last_error import remember_error
from dsodenet.runtime.pacing import SPIN_S
from dsodenet.runtime.pixels import as_pixels
from dsodenet.runtime.power import PowerMeter, board_rails
from dsodenet.runtime.prepared import PreparedRun
from dsodenet.runtime.programs import Programs, rtl_programs
from dsodenet.runtime.self_test import CHECKS, Report, selftest

__all__ = [
    "BACKENDS",
    "CHECKS",
    "POLL",
    "SPIN_S",
    "STATUS_TEXT",
    "WAITS",
    "Accelerator",
    "CallInfo",
    "Cascade",
    "CascadeInfo",
    "Classification",
    "Point",
    "PowerMeter",
    "Prediction",
    "PreparedRun",
    "Programs",
    "Report",
    "Throughput",
    "Validation",
    "as_accurate",
    "as_pixels",
    "backend_options",
    "board_rails",
    "cheapest",
    "check_number",
    "curve",
    "doctor",
    "load_images",
    "probabilities",
    "publish",
    "read_manifest",
    "remember_error",
    "rtl_programs",
    "selftest",
    "throughput_test",
    "usual_stages",
    "validate",
]
