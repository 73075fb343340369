"""What stands between a picture and a network, and between its outputs and a person: resizing and class names."""

from __future__ import annotations

from dataclasses import dataclass

from dsodenet.errors import SpecError, shown
from dsodenet.spec.strict import check_choice

# How a picture of another shape becomes the network's: both sides scaled, the middle cut out, or a black border added.
RESIZES = ("squash", "crop", "pad")
CHANNEL_ORDERS = ("RGB",)
MAX_NAME = 100  # characters of a class name


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes the pixels that the network takes, in training and on the board alike."""

    resize: str = "squash"  # squash, or with its aspect ratio kept: crop, pad
    channel_order: str = "RGB"  # of networks with three input channels

    def __post_init__(self) -> None:
        check_choice("images.resize", self.resize, RESIZES)
        check_choice("images.channel_order", self.channel_order, CHANNEL_ORDERS)


USUAL = Preparation()


def check_class_names(names: tuple[str, ...], num_classes: int) -> None:
    """SpecError unless there are no names, or one for each class, each once, in printable characters."""
    if names and len(names) != num_classes:
        raise SpecError(f"class_names has {len(names)} entries, but network.num_classes is {num_classes}")
    for name in names:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise SpecError(f"class_names has {shown(name)}, but a name is 1 to {MAX_NAME} printable characters")
    if len(set(names)) != len(names):
        raise SpecError("class_names has a name twice")
