"""Power rails of the board while something runs, through pynq's sensors.

pynq's DataRecorder keeps its samples in a pandas frame, which it copies for each new one. So pynq's MultiSensor is
sampled here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from dsodenet.errors import ToolError

INTERVAL_S = 0.02  # the regulators of this board renew their readings about this often


def board_rails() -> dict[str, Any]:
    """The power rails that pynq finds on this machine, name -> pynq.pmbus.Rail; ToolError when it cannot look."""
    try:
        import pynq

        return dict(pynq.get_rails())
    except Exception as error:  # pynq calls a C library, which may be missing or find no bus
        raise ToolError(f"no power rails can be read here ({type(error).__name__}: {error})") from None


def power_sensor(rail: Any) -> Any:
    """What reads the power of a rail: its own sensor, or voltage times current; None when it has neither."""
    if rail.power is None and rail.voltage is not None and rail.current is not None:
        from pynq.pmbus import DerivedPowerSensor

        return DerivedPowerSensor(f"{rail.name}_power", rail.voltage, rail.current)
    return rail.power


class PowerMeter:
    """Samples rails inside a `with` block.

    `note` says what is missing: all rails, a rail's power sensor, or one that failed. None of these is an error.
    """

    def __init__(self, rails: Mapping[str, Any] | None, interval_s: float = INTERVAL_S) -> None:
        sensors = {name: power_sensor(rail) for name, rail in (rails or {}).items()}
        usable = {name: sensor for name, sensor in sensors.items() if sensor is not None}
        without = sorted(set(rails or {}) - set(usable))
        self._sensors, self._interval_s = usable, interval_s
        self._samples: dict[str, list[float]] = {name: [] for name in usable}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="dsodenet power", daemon=True)
        self.note = "no power rails" if not rails else f"no power sensor on {', '.join(without)}" if without else ""

    def watts(self) -> dict[str, dict[str, float]]:
        """rail -> mean_w, max_w, samples of the rails that were read."""
        return {
            name: {"mean_w": sum(values) / len(values), "max_w": max(values), "samples": float(len(values))}
            for name, values in self._samples.items()
            if values
        }

    def __enter__(self) -> PowerMeter:
        if self._sensors:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._sensors:
            self._thread.join()

    def _sample(self) -> None:
        from pynq.pmbus import MultiSensor

        readers = {name: MultiSensor([sensor]) for name, sensor in self._sensors.items()}
        while readers:
            for name, reader in list(readers.items()):
                try:
                    self._samples[name].append(float(reader.get_values()[0]))
                except (OSError, ValueError) as error:  # a sensor that is busy or gone: the others go on
                    del readers[name]
                    self.note = "; ".join(filter(None, (self.note, f"{name} could not be read ({error})")))
            if self._stop.wait(self._interval_s):
                return
