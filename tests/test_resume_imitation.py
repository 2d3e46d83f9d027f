"""An interrupted imitation, continued, equals one that nobody disturbed: bit for bit, with reward model and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import launch, test_resume
from tests.helpers.demos.cases import write_demos

SMALL: dict[str, Any] = {
    "d_perception_stack": "mlp_16",
    "d_batch_size": 24,
    "expert_demo_subsample_rate": 5,
    "expert_mismatch": "warn",  # made up, for another version of MuJoCo
    "compile": "false",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "gail": test_resume.PPO | SMALL | {"d_steps": 3, "d_moments": "both", "wrap_absorb": "true"},
    "sam": test_resume.REPLAY | SMALL | {"n_step": 3, "use_purl": "true"},
    "maad": test_resume.PPO | SMALL | {"idm_steps": 5, "idm_perception_stack": "mlp_8"},
    "dac": test_resume.REPLAY | SMALL | {"d_moments": "policy", "grad_pen_type": "dragan"},
}
CASES = [("gail", 1, "USR1"), ("gail", 2, "kill all"), ("sam", 1, "kill all"), ("sam", 2, "USR1")]
CASES += [("dac", 1, "USR1"), ("dac", 2, "kill one"), ("maad", 2, "kill all")]


def settings_of(algo: str, demos: Path) -> dict[str, Any]:
    """Those of an imitation of the demonstrations in a folder."""
    return SETTINGS[algo] | {"algo": algo, "expert_path": demos}


@pytest.mark.parametrize(("algo", "workers", "how"), CASES)
def test_an_interrupted_imitation_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algo: str,
    workers: int,
    how: str,
) -> None:
    write_demos(tmp_path / "demos")
    monkeypatch.setitem(test_resume.ALGORITHMS, algo, settings_of(algo, tmp_path / "demos"))
    test_resume.check_interrupted_run(tmp_path, "Hopper-v5", workers, how, algo=algo)


def test_a_run_does_not_go_on_with_other_demonstrations(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_demos(tmp_path / "demos")
    monkeypatch.setitem(test_resume.ALGORITHMS, "gail", settings_of("gail", tmp_path / "demos"))
    flags = test_resume.settings("Hopper-v5", tmp_path, "one.seed00", "gail", num_timesteps=96 * 4)
    assert launch.run(flags).returncode == 0
    (tmp_path / "demos" / "Hopper-v5_demo000.h5").unlink()
    done = launch.run(flags)
    assert done.returncode != 0
    assert "demonstrations of this run have changed since it began" in done.stderr
