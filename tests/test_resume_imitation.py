"""An interrupted imitation, continued, equals one that nobody disturbed: bit for bit, with reward model and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import launch
from tests.helpers.demos.cases import write_demos
from tests.resume_cases import IMITATION_CASES, check_interrupted_run, settings


@pytest.mark.parametrize(("algo", "env_id", "workers", "how"), IMITATION_CASES)
def test_an_interrupted_imitation_goes_on(
    tmp_path: Path,
    algo: str,
    env_id: str,
    workers: int,
    how: str,
) -> None:
    write_demos(tmp_path / "demos")
    check_interrupted_run(tmp_path, env_id, workers, how, algo=algo)


def test_a_run_does_not_go_on_with_other_demonstrations(tmp_path: Path) -> None:
    write_demos(tmp_path / "demos")
    flags = settings("Hopper-v5", tmp_path, "one.seed00", "gail", num_timesteps=96 * 4)
    assert launch.run(flags).returncode == 0
    (tmp_path / "demos" / "Hopper-v5_demo000.h5").unlink()
    done = launch.run(flags)
    assert done.returncode != 0
    assert "was trained with other files" in done.stderr and "--accept_changes" in done.stderr
    assert "Hopper-v5_demo000.h5 (demonstrations)" in done.stderr
