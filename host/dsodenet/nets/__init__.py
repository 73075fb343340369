"""The networks that are trained. Imports torch."""

from dsodenet.nets.network import BATCH_NORM_KNOTS, DsODENet, Gradient, OdeBlock, calibrate
from dsodenet.nets.parts import Outputs
from dsodenet.nets.teachers import TEACHERS, Classifier, full_odenet, teacher
from dsodenet.nets.threads import threads_for

__all__ = [
    "BATCH_NORM_KNOTS",
    "TEACHERS",
    "Classifier",
    "DsODENet",
    "Gradient",
    "OdeBlock",
    "Outputs",
    "calibrate",
    "full_odenet",
    "teacher",
    "threads_for",
]
