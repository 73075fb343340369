"""Delays on a netlist that Yosys has mapped: when the bits of a module arrive, and which path takes longest.

A model, no clock: LUTs, carry chains and registers have fixed delays, a net one by its fan-out, as the fabric of an
UltraScale+ in speed grade -2 has them about; nothing has been placed. A module is timed once. What the modules around
it need of it is its `Borders`: arrivals, setups and loads of its ports. So a whole engine is timed module by module.

Registers whose value stays for several cycles before it is used (STATIC) are timed apart, over SETTLE_CYCLES; the
constraints in overlays/rtl/dsodenet_engine.xdc say the same to Vivado, and engine and simulation hold to it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# ---- nanoseconds
LUT, MUX, CLOCK_TO_Q, SETUP = 0.10, 0.06, 0.08, 0.03
CARRY_IN, CARRY_BIT, CARRY_OUT = 0.20, 0.02, 0.08  # into a chain, along it, out to a sum
LUT_RAM_READ, LUT_RAM_SETUP = 0.15, 0.15
SHIFT_CLOCK_TO_Q, SHIFT_SETUP = 0.35, 0.10
DSP_CLOCK_TO_P, DSP_SETUP, DSP_THROUGH = 0.35, 0.35, 2.3  # through: multiplier and adder without registers
NETS = ((2, 0.22), (8, 0.32), (32, 0.45), (128, 0.65), (1024, 0.90))  # fan-out up to: delay
WIDEST_NET = 1.4

SETTLE_CYCLES = 2
FAST_EDGES = 2  # of the array's clock in a cycle of the fabric's
CLOCK_PINS = frozenset(("C", "CLK", "WCLK", "clk", "clk_i", "clk2", "clk2_i"))
READ_ADDRESS = re.compile(r"DPRA\d|ADDR[ABCEFGH]?$|A\d?$|DPRA$")

# Where a LUT or a carry chain goes on in its slice, or straight into the next one: (kind of cell, pin).
IN_SLICE = {("CARR", "S"), ("CARR", "DI"), ("CARR", "CI"), ("MUXF", "I0"), ("MUXF", "I1")}

Pin = tuple[str, int]  # port and bit


class Arrival(NamedTuple):
    """Of a bit, from registers that change every cycle and from static ones; None without any."""

    live: float | None = None
    static: float | None = None

    def later(self, other: Arrival, delay: float = 0.0) -> Arrival:
        return Arrival(_later(self.live, other.live, delay), _later(self.static, other.static, delay))

    def after(self, delay: float) -> Arrival:
        return Arrival(*(None if value is None else value + delay for value in self))

    @property
    def worst(self) -> float:
        """Nanoseconds of clock that it asks for."""
        return max(self.live or 0.0, (self.static or 0.0) / SETTLE_CYCLES)


def _later(first: float | None, second: float | None, delay: float) -> float | None:
    if second is None:
        return first
    return second + delay if first is None else max(first, second + delay)


@dataclass
class Borders:
    """What a module is to those around it. Delays in ns, without the nets outside."""

    setup: dict[Pin, float] = field(default_factory=dict)  # from an input to the furthest register behind it
    loads: dict[Pin, int] = field(default_factory=dict)  # pins behind an input
    arrival: dict[Pin, Arrival] = field(default_factory=dict)  # of an output
    through: dict[Pin, dict[str, float]] = field(default_factory=dict)  # output -> input port -> delay


@dataclass(frozen=True)
class Path:
    """The longest path that ends at a register: `ns` of clock, and its ends."""

    ns: float
    begin: str
    end: str
    static: bool


Box = Callable[[str, dict[str, Any]], Borders | None]  # borders of a cell's type, None where it is a primitive


def net(loads: int) -> float:
    return next((delay for most, delay in NETS if loads <= most), WIDEST_NET)


class Timing:
    """One mapped module: `borders` and `paths`, the longest ones first, one for each pair of registers."""

    def __init__(
        self,
        module: dict[str, Any],
        box: Box,
        static: Iterable[str] = (),
        border: bool = False,
        fast: Iterable[str] = (),
    ) -> None:
        """static: registers that stay. border: inputs and outputs end at registers outside. fast: registers of the
        array's own clock, whose paths count FAST_EDGES times."""
        self.cells, self.ports, self.box = module["cells"], module["ports"], box
        self.names, self.aliases = _names(module), _aliases(module)
        self.static, self.fast = tuple(static), frozenset(fast)
        self.arcs: dict[int, list[tuple[int, float]]] = {}  # driven bit -> bits that it depends on
        self.starts: dict[int, Arrival] = {}
        self.ends: list[tuple[int, float, str]] = []
        self.loads: dict[int, int] = defaultdict(int)
        self.inside: dict[int, int] = defaultdict(int)  # of the loads, those in the driver's own slice
        for name, cell in self.cells.items():
            self._cell(name, cell)
        inputs = {bit: (port, i) for port, i, bit in self._bits("input")}
        if border:
            for bit, (port, _) in inputs.items():
                if port not in CLOCK_PINS:
                    self.starts[bit] = Arrival(CLOCK_TO_Q)
            for port, i, bit in self._bits("output"):
                self.loads[bit] += 1
                self.ends.append((bit, SETUP, f"{port}[{i}]"))
        self.arrivals: dict[int, Arrival] = {}
        self.before: dict[int, tuple[int | None, int | None]] = {}
        self.order: list[int] = []
        for bit in [*self.arcs, *self.starts, *inputs]:
            self._arrive(bit)
        self.paths = self._paths()
        self.borders = self._borders(inputs)

    # ---- cells

    def _cell(self, name: str, cell: dict[str, Any]) -> None:
        kind, pins, directions = cell["type"], cell["connections"], cell["port_directions"]
        inner = self.box(kind, cell.get("parameters", {}))
        for port, bits in pins.items():
            if directions[port] == "output" or port in CLOCK_PINS:
                continue
            for i, bit in enumerate(bits):
                if isinstance(bit, int):
                    self.loads[bit] += inner.loads.get((port, i), 0) if inner else 1
                    self.inside[bit] += (kind[:4], port) in IN_SLICE
        if inner:
            self._inner(name, inner, pins, directions)
        elif kind.startswith("FD"):
            self._register(name, pins, CLOCK_TO_Q, SETUP, ("Q",))
        elif kind.startswith("SRL"):
            self._register(name, pins, SHIFT_CLOCK_TO_Q, SHIFT_SETUP, ("Q", "Q31", "Q15"))
        elif kind.startswith("CARRY"):
            self._carry(pins)
        elif kind.startswith("RAM"):
            if kind.startswith("RAMB"):
                raise ValueError(f"{name} became a {kind}: a memory of the engine is a module ram")
            self._lut_ram(name, pins, directions)
        elif kind.startswith("DSP"):
            registers = any(int(cell["parameters"][key], 2) for key in ("MREG", "PREG"))
            if registers:
                self._register(name, pins, DSP_CLOCK_TO_P, DSP_SETUP, ("P",))
            else:
                self._through([bit for port in "ABCD" for bit in pins[port]], pins["P"], DSP_THROUGH)
        else:
            outputs = [bit for port, bits in pins.items() if directions[port] == "output" for bit in bits]
            inputs = [bit for port, bits in pins.items() if directions[port] != "output" for bit in bits]
            self._through(inputs, outputs, MUX if kind.startswith("MUXF") else LUT)

    def _through(self, inputs: list[Any], outputs: list[Any], delay: float) -> None:
        arcs = [(bit, delay) for bit in inputs if isinstance(bit, int)]
        for bit in outputs:
            if isinstance(bit, int):
                self.arcs[bit] = arcs

    def _register(
        self, name: str, pins: dict[str, list[Any]], delay: float, setup: float, outs: tuple[str, ...]
    ) -> None:
        bits = [bit for port in outs for bit in pins.get(port, ()) if isinstance(bit, int)]
        label = self.names.get(bits[0], name) if bits else name
        for bit in bits:
            self.starts[bit] = Arrival(None, delay) if self._stays(bit) else Arrival(delay)
        for port, values in pins.items():
            if port not in outs and port not in CLOCK_PINS:
                self.ends += [(bit, setup, label) for bit in values if isinstance(bit, int)]

    def _stays(self, bit: int) -> bool:
        return any(name in self.static for name in self.aliases.get(bit, ()))

    def _carry(self, pins: dict[str, list[Any]]) -> None:
        for out, delay in (("O", CARRY_OUT), ("CO", CARRY_BIT)):
            for i, bit in enumerate(pins.get(out, ())):
                if isinstance(bit, int):
                    arcs = [(pins[p][0], CARRY_BIT * (i + 1)) for p in ("CI", "CYINIT") if p in pins]
                    arcs += [(pins[p][j], CARRY_IN + CARRY_BIT * (i - j)) for p in ("S", "DI") for j in range(i + 1)]
                    self.arcs[bit] = [(x, ns + delay) for x, ns in arcs if isinstance(x, int)]

    def _lut_ram(self, name: str, pins: dict[str, list[Any]], directions: dict[str, str]) -> None:
        address, label = [], name
        for port, bits in pins.items():
            if directions[port] == "output" or port in CLOCK_PINS:
                continue
            values = [bit for bit in bits if isinstance(bit, int)]
            if READ_ADDRESS.match(port) and port != "ADDRD":
                address += values
            self.ends += [(bit, LUT_RAM_SETUP, label) for bit in values]
        self._through(address, [b for p, bits in pins.items() if directions[p] == "output" for b in bits], LUT_RAM_READ)

    def _inner(self, name: str, inner: Borders, pins: dict[str, list[Any]], directions: dict[str, str]) -> None:
        for port, bits in pins.items():
            for i, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                if directions[port] != "output":
                    if (port, i) in inner.setup:
                        self.ends.append((bit, inner.setup[port, i], f"{name}.{port}"))
                    continue
                if (port, i) in inner.arrival:
                    arrival = inner.arrival[port, i]
                    self.starts[bit] = Arrival(None, arrival.live) if self._stays(bit) else arrival
                arcs = inner.through.get((port, i), {})
                self.arcs[bit] = [(x, ns) for p, ns in arcs.items() for x in pins[p] if isinstance(x, int)]
                self.names.setdefault(bit, f"{name}.{port}[{i}]")

    # ---- the graph

    def _wire(self, bit: int) -> float:
        """Delay of the net; none where all that it drives is beside its driver."""
        alone = self.loads[bit] == self.inside[bit] == 1 and bit in self.arcs
        return 0.0 if alone else net(self.loads[bit])

    def _bits(self, direction: str) -> Iterable[tuple[str, int, int]]:
        for port, value in self.ports.items():
            if value["direction"] == direction:
                for i, bit in enumerate(value["bits"]):
                    if isinstance(bit, int):
                        yield port, i, bit

    def _arrive(self, bit: int) -> None:
        """Arrivals of a bit at the pins that it drives, and of all that it depends on; a loop is cut."""
        stack, open_bits = [bit], set()
        while stack:
            top = stack[-1]
            if top in self.arrivals:
                stack.pop()
                continue
            arcs = self.arcs.get(top, ())
            if top not in open_bits:
                open_bits.add(top)
                todo = [source for source, _ in arcs if source not in self.arrivals and source not in open_bits]
                if todo:
                    stack += todo
                    continue
            found = self.starts.get(top, Arrival())
            before: list[int | None] = [None, None]
            for source, delay in arcs:
                earlier = self.arrivals.get(source, Arrival())
                latest = found.later(earlier, delay)
                for way in range(2):
                    if latest[way] != found[way]:
                        before[way] = source
                found = latest
            self.arrivals[top] = found.after(self._wire(top))
            self.before[top] = before[0], before[1]
            self.order.append(top)
            stack.pop()

    def _paths(self) -> list[Path]:
        longest: dict[tuple[str, str], Path] = {}
        for bit, setup, end in self.ends:
            for way, value in enumerate(self.arrivals.get(bit, Arrival())):
                if value is None:
                    continue
                ns = (value + setup) / (SETTLE_CYCLES if way else 1)
                begin: int | None = bit
                first = bit
                while begin is not None:
                    first, begin = begin, self.before[begin][way]
                pair = _plain(self.names.get(first, "?")), _plain(end)
                if any(name.rpartition(".")[2] in self.fast for name in pair):
                    ns *= FAST_EDGES
                if pair not in longest or longest[pair].ns < ns:
                    longest[pair] = Path(ns, *pair, bool(way))
        return sorted(longest.values(), key=lambda path: -path.ns)

    def _borders(self, inputs: dict[int, Pin]) -> Borders:
        borders = Borders(loads={pin: self.loads[bit] for bit, pin in inputs.items()})
        tail: dict[int, float] = {}
        for bit, setup, _ in self.ends:
            tail[bit] = max(tail.get(bit, 0.0), setup)
        for bit in reversed(self.order):
            if bit in tail:
                beyond = tail[bit] + self._wire(bit)
                for source, delay in self.arcs.get(bit, ()):
                    tail[source] = max(tail.get(source, 0.0), beyond + delay)
        borders.setup = {pin: tail[bit] for bit, pin in inputs.items() if bit in tail}
        # Which input ports an output depends on, and how far it is behind each.
        reach: dict[int, dict[str, float]] = defaultdict(dict)
        for bit in self.order:
            own = reach[bit]
            if bit in inputs:
                own[inputs[bit][0]] = 0.0
            for source, delay in self.arcs.get(bit, ()):
                wire = 0.0 if source in inputs else self._wire(source)
                for port, ns in reach[source].items():
                    own[port] = max(own.get(port, 0.0), ns + delay + wire)
        for port, i, bit in self._bits("output"):
            found = self.arrivals.get(bit, Arrival()).after(-self._wire(bit))
            borders.arrival[port, i] = found
            borders.through[port, i] = dict(reach[bit])
        return borders


def _names(module: dict[str, Any]) -> dict[int, str]:
    """The shortest name of each bit that a person gave, else any."""
    names: dict[int, str] = {}
    for name, value in module["netnames"].items():
        for i, bit in enumerate(value["bits"]):
            if isinstance(bit, int):
                label = f"{name}[{i}]"
                old = names.get(bit)
                if old is None or (old.startswith("$"), len(old)) > (label.startswith("$"), len(label)):
                    names[bit] = label
    return names


def _aliases(module: dict[str, Any]) -> dict[int, set[str]]:
    """All names of each bit, without places in arrays and structs."""
    aliases: dict[int, set[str]] = defaultdict(set)
    for name, value in module["netnames"].items():
        for bit in value["bits"]:
            if isinstance(bit, int):
                aliases[bit].add(_plain(name))
    return aliases


def _plain(name: str) -> str:
    return re.sub(r"\[\d+\]", "", name)
