"""Progress of long work in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A bar that moves with each named step, where standard error is a terminal and tqdm is installed (the board may lack it)."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield lambda name: None
        return

    with tqdm(total=total, desc=title, disable=quiet or None, leave=False) as bar:

        def step(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        yield step
