"""Signs of life of a training: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


class Lines:
    """Signs of life where there is no terminal: a line per epoch."""

    def __init__(self, name: str, epochs: int) -> None:
        self.name, self.epochs = name, epochs

    def update(self) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def tell(self, row: dict[str, Any]) -> None:
        held = "" if row["validation"] == "" else f", {row['validation']:.2%} of held-back images"
        print(
            f"{self.name}: epoch {row['epoch']} of {self.epochs}, loss {row['loss']:.4f}{held}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )


class Nothing(Lines):
    def say(self, line: str) -> None:
        pass

    def tell(self, row: dict[str, Any]) -> None:
        pass


class Bar:
    """tqdm's."""

    def __init__(self, bar: Any) -> None:
        self.bar, self.update, self.say = bar, bar.update, bar.write

    def tell(self, row: dict[str, Any]) -> None:
        held = {} if row["validation"] == "" else {"validation": f"{row['validation']:.2%}"}
        self.bar.set_postfix(epoch=row["epoch"], loss=f"{row['loss']:.4f}", **held)


@contextlib.contextmanager
def progress_of(name: str, epochs: int, batches: int, done: int, shown: bool) -> Iterator[Any]:
    if not shown:
        yield Nothing(name, epochs)
    elif not sys.stderr.isatty():
        yield Lines(name, epochs)
    else:
        from tqdm import tqdm

        with tqdm(total=epochs * batches, initial=done * batches, desc=name, unit="batch") as bar:
            yield Bar(bar)
