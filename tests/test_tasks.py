"""Every task file runs as it is, two iterations, with two workers."""

from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from tests import launch
from tests.experts import hardly_trained
from tests.metrics_page import listed_metrics

TASKS = sorted((launch.ROOT / "tasks").glob("train_*.yaml"))


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """(run, demonstrations) by environment; made when they are asked for."""
    made: dict[str, tuple[Path, Path]] = {}

    def of(env_id: str) -> tuple[Path, Path]:
        if env_id not in made:
            made[env_id] = hardly_trained(env_id, tmp_path_factory.mktemp("expert"), demos=16)
        return made[env_id]

    return of


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_file_runs_two_iterations_and_logs_what_is_documented(tmp_path, path, experts):
    layer = SCHEMA.read_file(path)
    choices = {key: values[0] for key, values in SCHEMA.sweep_choices(layer).items()}
    values = layer.values | choices  # a sweep's file runs with the first choice of each list
    settings = SCHEMA.resolve(layer, SCHEMA.layer_of(choices)).config.model_dump()
    steps = settings.get("steps_per_iteration") or settings["rollout_len"]
    # Learners that replay make some updates, in torch: compiling takes as long as all the rest.
    brief = []
    if "mem_size" in settings:
        learns = 100 if settings["updates_per_step"] <= 1 else 10
        brief = [f"--learning_starts={2 * steps - learns}", "--no-compile"]
    flags = [f"--{key}={value}" for key, value in values.items() if key != "num_timesteps"]
    short = [f"--num_timesteps={2 * steps}", "--eval_episodes=2"]
    named = ["--uuid=task.seed00", f"--runs_dir={tmp_path}", "--tensorboard"]
    flags = flags if choices else [f"--config={path}"]
    if "expert_path" in settings:  # a set of demonstrations, and a policy, that are there
        run, demos = experts(settings["env_id"])
        flags += [f"--expert_path={demos}"]
        if "expert_policy" in settings:
            flags += [f"--expert_policy={run}", "--expert_iter_num=latest"]
            brief = ["--updates_per_round=10", "--no-compile"]
        elif "held_out_demos" in settings or "d_lr" in settings:
            brief = [*brief, "--no-compile"]
        if settings["algo"] == "red":
            brief.append("--red_epochs=2")
    done = launch.run([*flags, *short, *brief, *named], workers=2)
    assert done.returncode == 0, done.stderr
    rows = launch.rows(tmp_path / "task.seed00")
    assert [row["iteration"] for row in rows] == [1, 2]
    assert rows[-1]["step"] == 2 * steps
    assert set(rows[-1]) <= listed_metrics()
    files = [entry.name for entry in (tmp_path / "task.seed00").iterdir()]
    assert len(files) <= 12
    assert any(name.startswith("events") for name in files)
