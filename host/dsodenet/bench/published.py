"""Figures that others published, each once.

Speed-ups on a ZCU104, its processor's rate, what a call from Python costs on it, and networks on the zoo's data.
"""

from __future__ import annotations

from dataclasses import dataclass

A53 = "four Cortex-A53 at 1.2 GHz"
A53_SOURCE = (
    "multiply-accumulates over the published rate of ncnn on MobileNet-v1, larger layers than these: optimistic"
)
A53_GMAC_PER_S = (
    (1, "float32", 2.3),
    (1, "int8", 2.8),
    (4, "float32", 6.3),
    (4, "int8", 8.9),
)  # (threads, numbers, rate)

# What turns a call on this processor into one on the ZCU104's own. None of it was measured on a board: they are
# assumptions, and `dsodenet study host --board zcu104` replaces them.
A53_PYTHON_FACTOR = (8.0, 10.0, 12.0)  # least, used, most
A53_PYTHON_SOURCE = (
    "assumed for CPython and small NumPy calls on a Cortex-A53 at 1.2 GHz, in order, against a server core out of order"
)
BUS_US, BUS_SOURCE = 0.3, "assumed for one register of the fabric to answer the processor, about 60 fabric clocks"
FLUSH_US, FLUSH_SOURCE = 5.0, "assumed for the system call by which XRT cleans the cache"
CLEAN_US, CLEAN_SOURCE = 0.02, "assumed for a line of 64 bytes to go from the cache to memory, at 3 GB/s"
# A whole call of a FINN accelerator from Python on a ZCU104.
FINN_CALL_US, FINN_SOURCE = (
    822.0,
    "one execute() of FINN's driver on a ZCU104 (finn-examples, RadioML), its kernel included",
)


@dataclass(frozen=True)
class Published:
    """A speed-up that others measured on a ZCU104."""

    system: str
    source: str
    factor: float
    timed: str  # what of the network
    against: str


PUBLISHED = (
    Published("dsODENet 2021", "arXiv 2107.12824", 27.9, "prediction", "its software counterpart"),
    Published("dsODENet 2023", "IEICE Trans. E106-D(7)", 23.8, "inference", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 34.01, "offloaded", "its software counterpart"),
    Published("Okubo et al.", "arXiv 2401.02721", 9.85, "end to end", "its software counterpart"),
)


@dataclass(frozen=True)
class PublishedNetwork:
    """A network that others trained on data of a name that the zoo also has; None: they do not say."""

    system: str
    data: str
    accuracy: str  # percent, of what runs
    size: str | None
    timed: str | None
    source: str


NETWORKS = (
    PublishedNetwork("MLPerf Tiny ResNet-8", "cifar10", "85", "78 k, 12.5 MMAC", None, "2106.07597"),
    PublishedNetwork("hls4ml RN08", "cifar10", "83.5", None, "7.64 ms, Pynq-Z2", "2206.11791"),
    PublishedNetwork("FINN CNV w2a2", "cifar10", "88.6", None, "3,031/s, ZU3EG", "finn-examples"),
    PublishedNetwork("CyCADA, MNIST to USPS", "usps", "95.6", None, None, "1711.03213, whole sets"),
    PublishedNetwork("DeepJDOT, MNIST to USPS", "usps", "95.7", None, None, "1803.10081, whole sets"),
    PublishedNetwork("MCD, MNIST to USPS", "usps", "94.2", None, None, "1712.02560, 2,000 and 1,800"),
)
