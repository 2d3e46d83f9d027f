"""--task=check_env finds each fault, and nothing where there is none."""

from __future__ import annotations

import pytest

from environments.checking.report import check_by_use
from helpers.errors import BAD_CONFIGURATION, DONE
from tests.environments.checking.faulty import FAULTS

FAULTY = "tests.environments.checking.faulty:Faulty-v0"
FOUND = {  # fault: what the report must hold, and the status
    "none": ("0 errors, 0 warnings", DONE),
    "global randomness": ("ERROR   seeds", BAD_CONFIGURATION),
    "state in a dict": ("WARNING state", DONE),
    "terminates at the limit": ("ERROR   ends", BAD_CONFIGURATION),
    "nan observation": ("an observation was not finite, first in step 41", BAD_CONFIGURATION),
    "infinite reward": ("a reward was not finite, first in step 30", BAD_CONFIGURATION),
    "leaves its space": ("number 1 was 3.5, its space is -1 to 1", DONE),
    "clock in seconds since 1970": (
        "number 2 of an observation is about 1.7e+09 and moves by 0.02",
        DONE,
    ),
    "raises": ("step: RuntimeError: the motor is hot", BAD_CONFIGURATION),
    "large rewards": ("WARNING reward scale", DONE),
    "spread": ("WARNING observation scale", DONE),
    "unbounded actions": ("WARNING action bounds", DONE),
    "no picture": ("a picture is float32 (8, 8), not uint8", DONE),
    "deaf to seeds": ("two seeds begin with the same observation", DONE),
}


@pytest.fixture
def check(tmp_path):
    def of(fault):
        lines = []
        status = check_by_use(
            FAULTY,
            {"fault": fault},
            folder=tmp_path,
            learners=lambda _: ["ppo"],
            say=lines.append,
            steps=400,
        )
        return status, "\n".join(lines)

    return of


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault, check, tmp_path):
    words, expected = FOUND[fault]
    status, report = check(fault)
    assert words in report, report
    assert status == expected, report
    if fault == "none":
        assert "a saved state resumes bit for bit" in report
        assert (
            (tmp_path / "tests.environments.checking.faulty_Faulty-v0.png")
            .read_bytes()
            .startswith(b"\x89PNG")
        )
        assert f"next: python main.py --task=train --algo=ppo --env_id={FAULTY}" in report
    else:
        assert len([line for line in report.splitlines() if "->" in line]) <= 3, report


def test_a_fault_of_the_environment_is_told_with_its_line(check):
    _, report = check("raises")
    assert (
        "Mend" in report
        and "faulty.py, line" in report
        and 'raise RuntimeError("the motor is hot")' in report
    )
