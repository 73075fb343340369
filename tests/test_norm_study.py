"""The normalisation study trains what it says, and tells shared statistics from those of a batch."""

from __future__ import annotations

import json

import pytest

from dsodenet.bench import norm_study


def test_the_study_has_a_row_for_each_case(capsys):
    command = ["--norms", "batch_shared,layer", "--spans", "2", "--solvers", "euler,rk4", "--seeds", "1", "--epochs", "1"]
    assert norm_study.main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["solver"], row["span"], row["norm"]) for row in rows] == [
        (solver, 2.0, norm) for solver in ("euler", "rk4") for norm in ("batch_shared", "layer")
    ]
    for row in rows:
        assert ("batch stat." in row["figures"]) == (row["norm"] == "batch_shared")
        assert all(0 <= value[0] <= 1 for key, value in row["figures"].items() if key != "moved")
    assert norm_study.text(rows).count("\n") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--norms", "magic"], "norms is 'magic', but it must be some of none, weight"),
        (["--solvers", "magic"], "solvers is 'magic', but it must be some of euler, rk4"),
        (["--spans", "x"], "spans is 'x'"),
        (["--spans", "100"], "needs the step coefficient"),
        (["--seeds", "0"], "seeds is 0"),
    ],
)
def test_bad_input_is_refused(capsys, arguments, message):
    assert norm_study.main(arguments) == 2
    assert message in capsys.readouterr().err
