"""Several images as one are the same words as one by one."""

from __future__ import annotations

import numpy as np
import pytest

from dsodenet.errors import SpecError
from dsodenet.reference import Reference
from dsodenet.spec import random_images, side_by_side
from tests.models import MODELS


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_equals_the_model_itself(name: str, count: int) -> None:
    params = MODELS[name]
    images = random_images(params.spec, 2 * count, 1)
    wide = side_by_side(params, count)
    together = np.concatenate([images[i::count] for i in range(count)], axis=1)
    logits = Reference(wide).predict(together).reshape(len(images), -1)
    np.testing.assert_array_equal(logits, Reference(params).predict(images))


def test_a_model_may_not_be_too_wide() -> None:
    with pytest.raises(SpecError, match="in_channels is 65"):
        side_by_side(MODELS["time_bias"], 65)
