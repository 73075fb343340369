"""Yosys as sby calls it, `yosys -ql LOG SCRIPT`, by the library pyosys, which reads SystemVerilog through slang."""

import sys

from pyosys import libyosys

flags, log, script = sys.argv[1:]
if flags != "-ql":
    sys.exit(f"yosys.py knows -ql LOG SCRIPT, not {' '.join(sys.argv[1:])}")
libyosys.run_pass(f"tee -q -o {log} script {script}")
