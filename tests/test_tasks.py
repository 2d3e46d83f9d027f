"""Every task file runs as it is, two iterations, with two workers."""

import pytest

from agents.configs import SCHEMA
from tests import launch
from tests.metrics_page import listed_metrics

TASKS = sorted((launch.ROOT / "tasks").glob("train_*.yaml"))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_file_runs_two_iterations_and_logs_what_is_documented(tmp_path, path):
    layer = SCHEMA.read_file(path)
    choices = SCHEMA.sweep_choices(layer)  # a sweep's file runs with the first choice of each list
    first = [f"--{key}={values[0]}" for key, values in choices.items()]
    if choices:
        config = SCHEMA.resolve(layer, SCHEMA.layer_of({k: v[0] for k, v in choices.items()})).config
        values = {key: value for key, value in layer.values.items() if key not in choices}
        flags = [f"--{key}={value}" for key, value in values.items() if key != "num_timesteps"] + first
    else:
        config = SCHEMA.resolve(layer).config
        flags = [f"--config={path}"]
    short = [f"--num_timesteps={2 * config.rollout_len}", "--eval_episodes=2"]
    named = ["--uuid=task.seed00", f"--runs_dir={tmp_path}", "--tensorboard"]
    done = launch.run([*flags, *short, *named], workers=2)
    assert done.returncode == 0, done.stderr
    rows = launch.rows(tmp_path / "task.seed00")
    assert [row["iteration"] for row in rows] == [1, 2]
    assert rows[-1]["step"] == 2 * config.rollout_len
    assert set(rows[-1]) <= listed_metrics()
    files = [entry.name for entry in (tmp_path / "task.seed00").iterdir()]
    assert len(files) <= 12
    assert any(name.startswith("events") for name in files)
