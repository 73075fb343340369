"""A simulated ZCU104 below the real pynq classes."""

from dsodenet.lazy import lazy_names
from dsodenet.runtime.simulated.hwh import write_overlay
from dsodenet.runtime.simulated.kernels import SIMULATED_KERNELS, ReferenceKernel, Words, get, put

__all__ = [
    "FAULTS",
    "SIMULATED_KERNELS",
    "ReferenceKernel",
    "SimulatedZcu104",
    "Words",
    "get",
    "put",
    "trial",
    "write_overlay",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FAULTS": "dsodenet.runtime.simulated.fault_trials",
        "SimulatedZcu104": "dsodenet.runtime.simulated.device",
        "trial": "dsodenet.runtime.simulated.fault_trials",
    },
)
