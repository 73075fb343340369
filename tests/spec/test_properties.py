"""What holds for every spec, every format and every model: properties that hypothesis tries to break."""

from __future__ import annotations

import copy
import json
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dsodenet.errors import RunError, SpecError
from dsodenet.rtl.passes import FIELDS, Pass
from dsodenet.spec.formats import OVERFLOWS, ROUNDINGS, Format, shift_round
from dsodenet.spec.params import Params
from dsodenet.spec.specification import SIZES, Spec
from dsodenet.spec.synthetic import random_params
from tests.models import random_spec

LANES = "1x4x8"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.integers(-3, 3).map(lambda n: 10**n)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
SPECS = st.integers(0, 1 << 32).map(lambda seed: random_spec(random.Random(seed), LANES))


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(data, dict):
        return [leaf for key, value in data.items() for leaf in leaves(value, (*path, key))]
    return [path]


@given(SPECS)
def test_a_spec_is_its_json(spec: Spec) -> None:
    assert Spec.from_json(spec.to_json()) == spec


@given(st.sampled_from([*SIZES.values()]), st.data())
def test_any_value_anywhere_is_refused_in_words_or_kept(spec: Spec, data: st.DataObject) -> None:
    content = copy.deepcopy(spec.to_dict())
    path = data.draw(st.sampled_from(leaves(content)))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(VALUES)
    try:
        found = Spec.from_dict(content)
    except SpecError:
        return
    assert Spec.from_json(found.to_json()) == found


@given(
    st.integers(-(1 << 40), 1 << 40),
    st.integers(-8, 30),
    st.sampled_from([*ROUNDINGS]),
    st.sampled_from([*OVERFLOWS]),
    st.integers(2, 24),
    st.booleans(),
)
def test_quantising_is_rounding_and_then_the_range(
    value: int, shift: int, rounding: str, overflow: str, bits: int, signed: bool
) -> None:
    rounded = int(shift_round(value, shift, rounding))
    exact = Fraction(value) / (Fraction(2) ** shift)
    assert abs(rounded - exact) < 1
    if rounding == "RND_CONV":
        assert rounded == round(exact)  # Python rounds half to even, too
    fmt = Format(bits, bits // 2, signed, rounding, overflow)
    found = int(fmt.requantise(value, fmt.frac_bits + shift))
    assert fmt.min_int <= found <= fmt.max_int
    if fmt.min_int <= rounded <= fmt.max_int and not (overflow == "SAT_SYM" and signed and rounded == fmt.min_int):
        assert found == rounded


@given(st.integers(0, 1 << 20), st.data())
def test_one_other_integer_is_another_model(seed: int, data: st.DataObject) -> None:
    params = random_params(random_spec(random.Random(seed), LANES), seed)
    name = data.draw(st.sampled_from(sorted(params.arrays)))
    array = params.arrays[name].copy()
    place = data.draw(st.integers(0, array.size - 1))
    array.flat[place] ^= 1
    try:
        other = Params(params.spec, params.formats, params.arrays | {name: array})
    except SpecError:
        assume(False)  # at the end of a range
    assert other.model_fingerprint != params.model_fingerprint
    assert other.fingerprint != params.fingerprint


def test_saved_models_load_as_they_were_and_edits_show(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")

    @given(SPECS, st.data())
    def check(spec: Spec, data: st.DataObject) -> None:
        params = random_params(spec, 1)
        params.save(folder)
        assert Params.load(folder).fingerprint == params.fingerprint
        content = json.loads((folder / "spec.json").read_text())
        path = data.draw(st.sampled_from(leaves(content)))
        place = content
        for key in path[:-1]:
            place = place[key]
        value = data.draw(VALUES)
        assume(json.dumps(value) != json.dumps(place[path[-1]]))
        before, place[path[-1]] = place[path[-1]], value
        (folder / "spec.json").write_text(json.dumps(content))
        try:
            found = Params.load(folder)
        except RunError:
            return
        assert found.fingerprint == params.fingerprint, f"{path}: {before!r} became {value!r} unseen"

    check()


@given(st.fixed_dictionaries({name: st.integers(-(1 << 17), 1 << 17) for name in FIELDS}))
def test_a_pass_that_is_taken_is_said_by_its_words(values: dict[str, int]) -> None:
    """Values are folded into the range of their field, all but one, which may be outside."""
    ranges = {item.name: (item.metadata["low"], item.metadata["high"]) for item in Pass.__dataclass_fields__.values()}
    odd = FIELDS[sum(values.values()) % len(FIELDS)]
    for name, (low, high) in ranges.items():
        if name != odd:
            values[name] = low + values[name] % (high - low + 1)
    low, high = ranges[odd]
    if not low <= values[odd] <= high:
        with pytest.raises(SpecError, match=odd):
            Pass(**values)
        return
    words = Pass(**values).words()
    for word, (name, (low, _)) in zip(words, ranges.items()):
        signed = int(word) - (1 << 16) if low < 0 and word >> 15 else int(word)
        assert signed == values[name]
    assert not words[len(FIELDS) :].any()
