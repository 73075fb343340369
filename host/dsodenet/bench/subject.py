"""What a comparison is about: a trained model, or the arithmetic of a spec with random weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsodenet.errors import InputError, SpecError
from dsodenet.evaluation import IMAGE_SEED, sample_images
from dsodenet.rtl import Engine
from dsodenet.runs import Run
from dsodenet.spec import FOLDING_NORMS, SIZES, Params, Spec, random_images, random_params, with_lanes

TRAINED, RANDOM = "trained", "random"
WEIGHT_SEED = 1


@dataclass(frozen=True)
class Subject:
    params: Params
    weights: str  # TRAINED or RANDOM
    run: Path | None  # the run folder, where there is one
    data: str | None = None  # where its test images lie, if not where the run says

    @classmethod
    def load(cls, model: str | Path, lanes: str | None = None, data: str | None = None) -> Subject:
        """model: a run folder, zoo:NAME, a ready size or a spec JSON file.

        lanes: of the rtl kernel instead of the spec's. data: see `sample_images`.
        """
        folder = Run.of(model).folder
        is_spec = not folder.is_dir() and (str(model) in SIZES or folder.suffix == ".json")
        spec = Spec.load(model) if is_spec else None
        if spec and spec.network.float_only:
            raise SpecError(
                f"network.norm is {spec.network.norm}, which is float only, but a comparison is about integers: "
                f"it must be one "
                f"of {', '.join(FOLDING_NORMS)}"
            )
        params = random_params(spec, WEIGHT_SEED) if spec else Params.load(folder)
        if lanes is not None:
            params = dataclasses.replace(params, spec=with_lanes(params.spec, lanes))
            Engine.of(params.spec.kernel)  # lanes that no engine has show now
        if spec and data is not None:
            raise InputError(f"{model} has random weights, which know no images, but --data {data} was given")
        return cls(params, RANDOM, None) if spec else cls(params, TRAINED, folder, data)

    def images(self, count: int) -> tuple[NDArray[np.uint8], str]:
        """uint8 (count, channels, height, width), and what they are."""
        if self.run is not None:
            return sample_images(str(count), self.run, self.params, self.data)
        return random_images(self.params.spec, count, IMAGE_SEED), f"{count} generated, seed {IMAGE_SEED}"
