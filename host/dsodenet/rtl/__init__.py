"""The rtl kernel: engines, the programs that they run, their simulation, cycles and resources."""

from dsodenet.rtl.build import (
    ENGINE_TOP,
    engine_constraints,
    engine_library,
    engine_parameters,
    engine_sources,
    generated_sources,
    verilator,
)
from dsodenet.rtl.builder import program
from dsodenet.rtl.cycles import DEVICE_MACS, Estimate, estimate, of_spec
from dsodenet.rtl.engine import Engine
from dsodenet.rtl.resources import memory_map, rtl_resources

__all__ = [
    "DEVICE_MACS",
    "ENGINE_TOP",
    "Engine",
    "Estimate",
    "engine_constraints",
    "engine_library",
    "engine_parameters",
    "engine_sources",
    "estimate",
    "generated_sources",
    "memory_map",
    "of_spec",
    "program",
    "rtl_resources",
    "verilator",
]
