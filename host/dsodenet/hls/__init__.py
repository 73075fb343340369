"""The hls kernel: C++ of one model through hls4ml, its C simulation, and what it costs."""

from dsodenet.hls.concurrent import concurrent_library
from dsodenet.hls.lowering import csim_library, find_compiler, lower, lowered_folder, lowered_plan
from dsodenet.hls.plan_search import best_plan, check_plan_fits, choose_plan
from dsodenet.hls.reuse import Plan, fixed_plan
from dsodenet.hls.rules import Finding, check_rules
from dsodenet.lazy import lazy_names

__all__ = [
    "Finding",
    "Plan",
    "best_plan",
    "check_plan_fits",
    "check_rules",
    "choose_plan",
    "concurrent_library",
    "convert_network",
    "csim_library",
    "find_compiler",
    "fixed_plan",
    "lower",
    "lowered_folder",
    "lowered_plan",
]

__getattr__, __dir__ = lazy_names(__name__, {"convert_network": "dsodenet.hls.ode_layer"})
