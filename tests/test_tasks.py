"""Every task file runs as it is, two iterations, with two workers."""

import pytest

from agents.configs import SCHEMA
from tests import launch
from tests.metrics_page import listed_metrics

TASKS = sorted((launch.ROOT / "tasks").glob("train_*.yaml"))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_file_runs_two_iterations_and_logs_what_is_documented(tmp_path, path):
    layer = SCHEMA.read_file(path)
    choices = {key: values[0] for key, values in SCHEMA.sweep_choices(layer).items()}
    values = layer.values | choices  # a sweep's file runs with the first choice of each list
    settings = SCHEMA.resolve(layer, SCHEMA.layer_of(choices)).config.model_dump()
    steps = settings.get("steps_per_iteration", settings["rollout_len"])
    # Learners that replay make some updates, in torch: compiling takes as long as all the rest.
    brief = [f"--warm_up={2 * steps - 100}", "--no-compile"] if "mem_size" in settings else []
    flags = [f"--{key}={value}" for key, value in values.items() if key != "num_timesteps"]
    short = [f"--num_timesteps={2 * steps}", "--eval_episodes=2", *brief]
    named = ["--uuid=task.seed00", f"--runs_dir={tmp_path}", "--tensorboard"]
    flags = flags if choices else [f"--config={path}"]
    done = launch.run([*flags, *short, *named], workers=2)
    assert done.returncode == 0, done.stderr
    rows = launch.rows(tmp_path / "task.seed00")
    assert [row["iteration"] for row in rows] == [1, 2]
    assert rows[-1]["step"] == 2 * steps
    assert set(rows[-1]) <= listed_metrics()
    files = [entry.name for entry in (tmp_path / "task.seed00").iterdir()]
    assert len(files) <= 12
    assert any(name.startswith("events") for name in files)
