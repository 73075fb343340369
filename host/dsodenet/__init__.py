"""dsODENet: neural ODE image networks from a PyTorch training run to an FPGA, bit for bit.

    train -> export -> lower -> verify -> Accelerator(run).predict(images)

Importing the package needs NumPy only. A name below is imported when it is first used; torch, hls4ml and pynq come
with it.
"""

from typing import TYPE_CHECKING

from dsodenet.lazy import lazy_names

if TYPE_CHECKING:
    from dsodenet import zoo
    from dsodenet.data import load_dataset, prepare
    from dsodenet.errors import DsodenetError
    from dsodenet.evaluation import evaluate
    from dsodenet.exploration import explore
    from dsodenet.exporting import export
    from dsodenet.hls import lower
    from dsodenet.ladder import verify
    from dsodenet.rtl import estimate
    from dsodenet.runs import Run
    from dsodenet.runtime import Accelerator, load_images, selftest
    from dsodenet.spec import Params, Spec
    from dsodenet.training import train

__version__ = "0.1.0"
__all__ = [
    "Accelerator",
    "DsodenetError",
    "Params",
    "Run",
    "Spec",
    "__version__",
    "estimate",
    "evaluate",
    "explore",
    "export",
    "load_dataset",
    "load_images",
    "lower",
    "prepare",
    "selftest",
    "train",
    "verify",
    "zoo",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Accelerator": "dsodenet.runtime",
        "DsodenetError": "dsodenet.errors",
        "Params": "dsodenet.spec",
        "Run": "dsodenet.runs",
        "Spec": "dsodenet.spec",
        "estimate": "dsodenet.rtl",
        "evaluate": "dsodenet.evaluation",
        "explore": "dsodenet.exploration",
        "export": "dsodenet.exporting",
        "load_dataset": "dsodenet.data",
        "load_images": "dsodenet.runtime",
        "lower": "dsodenet.hls",
        "prepare": "dsodenet.data",
        "selftest": "dsodenet.runtime",
        "train": "dsodenet.training",
        "verify": "dsodenet.ladder",
        "zoo": "dsodenet.zoo",
    },
)
