"""The hls kernel: C++ of one model through hls4ml, its C simulation, and what it costs."""

from dsodenet.hls.reuse import Plan, best_plan, check_plan_fits, choose_plan, fixed_plan
from dsodenet.hls.lowering import csim_library, find_compiler, lower, lowered_folder
from dsodenet.lazy import lazy_names

__all__ = [
    "Plan",
    "best_plan",
    "check_plan_fits",
    "choose_plan",
    "convert_network",
    "csim_library",
    "find_compiler",
    "fixed_plan",
    "lower",
    "lowered_folder",
]

__getattr__, __dir__ = lazy_names(__name__, {"convert_network": "dsodenet.hls.ode_layer"})
