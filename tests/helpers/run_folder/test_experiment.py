"""Experiments: names, run folders that begin, go on or are refused, and the capsule."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from agents.algorithms import SCHEMA
from agents.on_policy.config import PPOConfig
from helpers.config.run_basics import UUID_PATTERN
from helpers.errors import ConfigurationError, StorageError, UserError
from helpers.machine import compilers, processor
from helpers.run_folder import capsule
from helpers.run_folder.capsule import code_state, redact, short_commit
from helpers.run_folder.experiment import ExperimentInitializer, choices_of, group_of, run_name

GIT = [
    "git",
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@example.org",
    "-c",
    "init.defaultBranch=main",
]


class StandInWorkers:
    """One worker of several; what the root broadcasts reaches the others through `line`."""

    def __init__(self, rank: int = 0, size: int = 1, line: list[str] | None = None) -> None:
        self.rank, self.size, self.line = rank, size, [] if line is None else line
        self.is_root = rank == 0

    def broadcast_json(self, value):
        if self.is_root:
            self.line.append(json.dumps(value))
        return json.loads(self.line[-1])

    def gather_json(self, value):
        return [value] * self.size if self.is_root else None


def config_in(folder: Path, **settings) -> PPOConfig:
    return PPOConfig(runs_dir=str(folder), uuid="some_name.seed02", **settings)


def start(config: PPOConfig, argv: tuple[str, ...] = ()) -> ExperimentInitializer:
    return ExperimentInitializer(config, StandInWorkers(), argv=argv)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(config: PPOConfig, kind: type[UserError] = ConfigurationError) -> tuple[str, str]:
    with pytest.raises(kind) as caught:
        start(config)
    assert str(caught.value).count("\n") == 1
    return caught.value.problem, caught.value.remedy


# Names


def test_name_has_its_parts():
    name = run_name(PPOConfig(seed=2))
    assert re.fullmatch(
        r"([a-z]+_){3}[a-z]+\.ppo\.gitSHA_(none|[0-9a-f]{7})\.Hopper-v5\.seed02",
        name,
    )
    assert group_of(name) == name.removesuffix(".seed02")


def test_words_do_not_change_between_versions():
    words = [run_name(PPOConfig(p_lr=lr, seed=1)).split(".")[0] for lr in (3e-4, 1e-3)]
    assert words == ["agate_cobalt_ibis_garden", "poppy_leaf_lotus_elder"]


def test_same_settings_have_the_same_words_for_every_seed():
    base = PPOConfig(p_lr=0.01)
    assert group_of(run_name(base)) == group_of(run_name(PPOConfig(p_lr=0.01, seed=9)))
    same = PPOConfig(p_lr=0.01, wandb_project="x", progress="none", execution_time="5:00")
    assert run_name(same) == run_name(base)
    assert run_name(PPOConfig(p_lr=0.02)) != run_name(base)
    assert run_name(PPOConfig(p_lr=0.01, num_envs=8)) != run_name(base)


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "a.seedling:x/../y-v0", "x" * 300])
def test_a_name_is_one_safe_path_component(env_id):
    name = run_name(PPOConfig(env_id=env_id, seed=10**15))
    assert re.fullmatch(UUID_PATTERN, name, re.ASCII) and len(name) < 200
    assert run_name(PPOConfig(uuid=name)) == name
    assert group_of(name) + f".seed{10**15}" == name


def test_groups():
    assert group_of("some_name.seed02") == "some_name"
    assert group_of("a.seed1.b.seed2.c") == "a.seed1.b"
    for name in ("name", "seed02", ""):
        with pytest.raises(ConfigurationError):
            group_of(name)


def test_words_are_256_and_plain():
    words = (Path(capsule.__file__).parent / "words.txt").read_text().split()
    assert len(set(words)) == len(words) == 256
    assert all(re.fullmatch("[a-z]{3,9}", word) and not word.startswith("seed") for word in words)


# Run folders


def test_a_run_begins_and_goes_on(tmp_path):
    config = config_in(tmp_path / "deep" / "runs")
    first = start(config, ("main.py", "--seed=0"))
    assert (first.is_new, first.name, first.group) == (True, "some_name.seed02", "some_name")
    assert first.folder == tmp_path / "deep" / "runs" / "some_name.seed02"
    assert SCHEMA.load_config(first.folder / "config.yaml") == config
    assert sorted(contents(first.folder)) == ["capsule.json", "config.yaml", "running.json"]
    again = start(config)
    assert not again.is_new and again.warnings == ()
    told = json.loads((again.folder / "capsule.json").read_text())
    assert [each["argv"] for each in told["starts"]] == [["main.py", "--seed=0"], []]
    assert {"python", "torch", "numpy"} <= told["versions"].keys()
    assert told["hardware"]["cores"] >= 1 and told["world_size"] == 1
    for each in (*told["starts"], told["hardware"]):
        assert each["processor"] == processor.microarchitecture()
        assert each["instruction_set"] == processor.instruction_set()
        assert each["compiler"] == compilers.compiler_name()


def test_what_is_no_identity_may_change(tmp_path):
    start(config_in(tmp_path))
    changed = config_in(tmp_path, execution_time="5:00", save_frequency=7, wandb_mode="offline")
    folder = start(changed).folder
    assert SCHEMA.load_config(folder / "config.yaml") == changed


def test_files_that_a_run_began_to_leave_it_leaves_to_its_end(tmp_path):
    config = config_in(tmp_path, checkpoint_interval="1000")  # the default of older versions
    path = start(config).folder / "config.yaml"
    again = start(config_in(tmp_path))
    assert again.config == config == SCHEMA.load_config(path)
    assert start(config_in(tmp_path, checkpoint_interval="0")).config.checkpoint_interval == "0"
    assert start(config_in(tmp_path)).config.checkpoint_interval == "0"
    path.unlink()
    assert start(config_in(tmp_path)).config.checkpoint_interval is None


def test_another_configuration_is_refused_and_nothing_written(tmp_path):
    folder = start(config_in(tmp_path, p_lr=0.001, layer_norm=True)).folder
    before = contents(folder)
    problem, remedy = refusal(config_in(tmp_path))
    assert "p_lr is 0.001 there, 0.0003 here; layer_norm is true there, false here." in problem
    assert remedy.endswith("the old settings: --p_lr=0.001 --layer_norm.")
    assert contents(folder) == before
    start(config_in(tmp_path, p_lr=0.001, layer_norm=True))


def test_another_seed_under_the_same_uuid_is_refused(tmp_path):
    start(config_in(tmp_path))
    assert "seed is 0 there, 3 here" in refusal(config_in(tmp_path, seed=3))[0]


def test_another_algorithm_is_refused(tmp_path):
    folder = start(config_in(tmp_path)).folder
    path = folder / "config.yaml"
    path.write_text(
        path.read_text().replace("algo: ppo", "algo: sac").replace("\np_lr: 0.0003", "\np_lr: 9"),
    )
    problem, remedy = refusal(config_in(tmp_path, num_envs=8))
    assert "algo is sac there, ppo here; num_envs is 16 there, 8 here." in problem
    assert "--algo=sac" in remedy and "p_lr" not in problem  # another algorithm's is another thing


def test_a_key_of_a_later_version_has_its_default(tmp_path):
    path = start(config_in(tmp_path)).folder / "config.yaml"
    path.write_text("".join(line for line in path.open() if not line.startswith("target_kl")))
    assert not start(config_in(tmp_path)).is_new


@pytest.mark.parametrize("text", ["p_lr: [", "p_lr: fast\nalgo: ppo\n", "- a\n"])
def test_a_damaged_configuration_is_refused(tmp_path, text):
    path = start(config_in(tmp_path)).folder / "config.yaml"
    path.write_text(text)
    assert "is damaged" in refusal(config_in(tmp_path))[0]
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"starts": []}', '{"starts": 3}', "\0"])
def test_a_damaged_capsule_is_written_anew(tmp_path, text):
    path = start(config_in(tmp_path)).folder / "capsule.json"
    path.write_text(text)
    again = start(config_in(tmp_path))
    assert not again.is_new and "damaged" in again.warnings[0]
    assert len(json.loads(path.read_text())["starts"]) == 1


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    folder = tmp_path / "some_name.seed02"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    assert "thesis.tex" in refusal(config_in(tmp_path))[0]
    assert contents(folder) == {"thesis.tex": b"years of work"}


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "some_name.seed02").write_text("")
    assert "is a file" in refusal(config_in(tmp_path))[0]


def test_a_start_that_failed_half_way_is_no_obstacle(tmp_path):
    folder = tmp_path / "some_name.seed02"
    folder.mkdir()
    for name in (".config.yaml.abcd", "capsule.json", "crash_worker_001.txt", "job.sh", "stop"):
        (folder / name).write_text("{")
    assert start(config_in(tmp_path)).is_new
    assert json.loads((folder / "capsule.json").read_text())["name"] == "some_name.seed02"


# Storage


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    problem, remedy = refusal(config_in(tmp_path / "file"), StorageError)
    assert "Not a directory" in problem and "--runs_dir" in remedy


def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write everywhere
    try:
        problem, _ = refusal(config_in(tmp_path), StorageError)
    finally:
        os.seteuid(user)
    assert "Permission denied" in problem


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch, code):
    folder = start(config_in(tmp_path)).folder
    before = contents(folder)

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    problem, _ = refusal(config_in(tmp_path, save_frequency=9), StorageError)
    assert os.strerror(code) in problem
    assert contents(folder) == before


# Workers


def test_every_worker_learns_the_outcome(tmp_path):
    config, line = config_in(tmp_path), []
    root = ExperimentInitializer(config, StandInWorkers(0, 3, line))
    other = ExperimentInitializer(config, StandInWorkers(2, 3, line))
    assert (other.name, other.folder, other.is_new) == (root.name, root.folder, True)
    told = json.loads((root.folder / "capsule.json").read_text())
    assert told["world_size"] == 3 and len(told["starts"]) == 1


def test_every_worker_gets_the_error(tmp_path):
    start(config_in(tmp_path))
    config, line = config_in(tmp_path, seed=3), []
    for rank in (0, 1):
        with pytest.raises(ConfigurationError, match="belongs to another configuration"):
            ExperimentInitializer(config, StandInWorkers(rank, 2, line))


# The capsule


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--wandb_api_key=CANARY", "--seed=1"], ["--wandb_api_key=***", "--seed=1"]),
        (["--api-KEY", "CANARY", "--seed", "1"], ["--api-KEY", "***", "--seed", "1"]),
        (["--token", "--seed=1"], ["--token", "--seed=1"]),
        (["WANDB_API_KEY=CANARY"], ["WANDB_API_KEY=***"]),
        (["--url=https://me:CANARY@host/x"], ["--url=https://***@host/x"]),
        (["--runs_dir=keys/x"], ["--runs_dir=keys/x"]),
    ],
)
def test_redaction(argv, shown):
    assert redact(argv) == shown


def test_no_secret_reaches_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "CANARY")
    folder = start(config_in(tmp_path), ("main.py", "--password", "CANARY")).folder
    # the state of this very repository is cut out: its uncommitted tests may name the canary
    told = json.loads((folder / "capsule.json").read_text())
    told["code"] = None
    assert "CANARY" not in json.dumps(told) + (folder / "config.yaml").read_text()


@pytest.fixture
def repository(tmp_path):
    subprocess.run([*GIT, "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "code.py").write_text("old\n")
    subprocess.run([*GIT, "-C", str(tmp_path), "add", "."], check=True)
    subprocess.run([*GIT, "-C", str(tmp_path), "commit", "-q", "-m", "x"], check=True)
    return tmp_path


def test_code_state_of_a_clean_and_a_dirty_tree(repository):
    clean = code_state.__wrapped__(repository)
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"]) and clean["dirty"] is False
    (repository / "code.py").write_text("new\n")
    (repository / "other.py").write_text("")
    dirty = code_state.__wrapped__(repository)
    assert dirty["dirty"] is True and "-old\n+new" in dirty["diff"]
    assert dirty["untracked"] == ["other.py"]
    assert dirty["diff_sha256"] != clean["diff_sha256"]


def test_a_long_diff_is_cut(repository):
    (repository / "code.py").write_text("x" * 300_000)
    state = code_state.__wrapped__(repository)
    assert len(state["diff"]) == 200_000 and state["diff_is_cut"]


def test_without_a_repository_and_without_git(tmp_path, monkeypatch):
    assert short_commit.__wrapped__(tmp_path) == "none"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert short_commit.__wrapped__(capsule.REPOSITORY) == "none"
    assert code_state.__wrapped__(capsule.REPOSITORY)["commit"] is None


def test_changed_code_is_said(tmp_path, monkeypatch):
    start(config_in(tmp_path))
    other = {**code_state(), "commit": "f" * 40}
    monkeypatch.setattr(capsule, "code_state", lambda: other)
    again = start(config_in(tmp_path))
    assert "The code has changed" in again.warnings[0] and "fffffff" in again.warnings[0]


def test_another_processor_is_said_once_and_the_run_goes_on(tmp_path):
    path = start(config_in(tmp_path)).folder / "capsule.json"
    for there in (
        {"processor": "zen1"},
        {"instruction_set": "AVX-1024"},
        {"compiler": "tcc 0.9"},
    ):
        told = json.loads(path.read_text())
        told["starts"][-1] |= there
        path.write_text(json.dumps(told))
        (line,) = start(config_in(tmp_path)).warnings
        assert line.startswith("Bits may differ from here on: it ran on ") and "\n" not in line
        assert line.index(*there.values()) < line.index("now runs on")
        assert line.endswith(f"now runs on {processor_words()}.")
        assert start(config_in(tmp_path)).warnings == ()
    assert len(json.loads(path.read_text())["starts"]) == 7


def test_a_start_before_processors_were_noted_is_no_other(tmp_path):
    path = start(config_in(tmp_path)).folder / "capsule.json"
    told = json.loads(path.read_text())
    del told["starts"][0]["processor"]
    path.write_text(json.dumps(told))
    assert start(config_in(tmp_path)).warnings == ()


def processor_words():
    now = capsule.native_code()
    return f"{now['processor']} with {now['instruction_set']}, compiler {now['compiler']}"


def test_the_capsule_keeps_the_routes_of_each_worker_and_gives_them_back(tmp_path):
    config = config_in(tmp_path, num_envs=8)
    line = []
    root = ExperimentInitializer(config, StandInWorkers(0, 2, line))
    path = root.folder / "capsule.json"
    before = path.read_bytes()
    root.keep_choices({})
    assert root.choices == {} and path.read_bytes() == before
    made = {"sac policy": "native", "sac critic gradient": "torch"}
    root.keep_choices(made)
    capsule = json.loads(path.read_text())
    assert capsule.pop("choices") == [made, made] and capsule == json.loads(before)
    written = path.stat().st_mtime_ns
    root.keep_choices(made)  # nothing new: nothing is written
    assert path.stat().st_mtime_ns == written
    for rank in range(2):
        again = ExperimentInitializer(config, StandInWorkers(rank, 2, line))
        assert again.choices == made == choices_of(again.folder, rank)
    assert choices_of(again.folder, 2) == {} == choices_of(tmp_path, 0)
