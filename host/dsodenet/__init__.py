"""dsODENet: neural ODE image networks from a PyTorch training run to an FPGA, bit for bit.

Importing the package needs NumPy only; torch, hls4ml and pynq are imported by the modules that use them.
"""

from dsodenet.errors import DsodenetError
from dsodenet.spec import Spec

__version__ = "0.1.0"
__all__ = ["DsodenetError", "Spec", "__version__"]
