"""Bundles and calibers: what ships, how a user's own goes over it, and what is refused."""

from __future__ import annotations

import pytest

from environments.ids import benchmark_of, resolve_env_id
from helpers.config.settings import settings_of
from swarm import plan as plans
from swarm.backends.slurm import SLURM
from swarm.planning.catalogue import (
    CaliberSettings,
    find_bundle,
    find_caliber,
    read_bundles,
    sources,
    user_file,
)
from tests.swarm.plans import ROOT, refused

BUNDLES = read_bundles([ROOT / "tasks" / "bundles.yaml"])
CALIBERS = [ROOT / "tasks" / "calibers.yaml"]


@pytest.mark.parametrize("benchmark", BUNDLES)
def test_shipped_bundles_name_environments_of_today(benchmark):
    for env_ids in BUNDLES[benchmark].values():
        assert [resolve_env_id(each) for each in env_ids] == list(env_ids)
        assert {benchmark_of(each) for each in env_ids} == {benchmark}
        assert len(set(env_ids)) == len(env_ids)


def test_the_bundles_of_the_field_are_there():
    assert list(BUNDLES["mujoco"]) == ["debug", "eevee", "glaceon", "humanoid", "ant", "suite"]
    assert set(BUNDLES["dmc"]) == set("debug flareon glaceon stacker humanoid cmu quad dog".split())


@pytest.mark.parametrize(
    ("name", "benchmark", "found"),
    [
        ("debug", "mujoco", "mujoco/debug"),
        ("debug", "dmc", "dmc/debug"),
        ("debug", "classic", "classic/debug"),
        ("dmc/debug", "mujoco", "dmc/debug"),
        ("quad", "mujoco", "dmc/quad"),
        ("eevee", "dmc", "mujoco/eevee"),
    ],
)
def test_which_benchmark_a_bundle_belongs_to(name, benchmark, found):
    assert find_bundle(name, BUNDLES, benchmark=benchmark)[0] == found


def test_bundles_that_are_not_there():
    assert "Did you mean" in refused(find_bundle, "debgu", BUNDLES, benchmark="mujoco")[1]
    assert "no bundle dmc/ant" in refused(find_bundle, "dmc/ant", BUNDLES, benchmark="mujoco")[0]
    problem, remedy = refused(find_bundle, "humanoid", BUNDLES, benchmark="classic")
    assert "Several" in problem and "mujoco/humanoid or --env_bundle=dmc/humanoid" in remedy


def test_own_bundles_go_over_ours(tmp_path, monkeypatch):
    own = tmp_path / "milozero" / "bundles.yaml"
    own.parent.mkdir()
    own.write_text("mujoco: {debug: [Swimmer-v5], mine: [Ant-v5]}\n")
    given_ = tmp_path / "given.yaml"
    given_.write_text("mujoco: {mine: [Hopper-v5]}\nlab: {arm: [Reacher-v5]}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file("bundles.yaml") == own
    read = read_bundles(sources("bundles.yaml", str(given_), shipped=ROOT / "tasks"))
    assert read["mujoco"]["debug"] == ("Swimmer-v5",) and read["mujoco"]["mine"] == ("Hopper-v5",)
    assert find_bundle("arm", read, benchmark="mujoco") == ("lab/arm", ("Reacher-v5",))
    assert read["dmc"] == BUNDLES["dmc"]


@pytest.mark.parametrize(
    "text",
    ["mujoco: {debug: Hopper}", "mujoco: [Hopper]", "mujoco: {a: [[b]]}"],
)
def test_a_bundles_file_of_another_form(tmp_path, text):
    path = tmp_path / "bundles.yaml"
    path.write_text(text)
    assert str(path) in refused(read_bundles, [path])[0]
    assert "cannot be read" in refused(read_bundles, [tmp_path / "none.yaml"])[0]


# name: time in hours, partitions of the processor and of the GPU
BAOBAB = {
    "debug": (1 / 6, "debug-cpu", "shared-gpu"),
    "veryveryshort": (0.5, "shared-cpu", "shared-gpu"),
    "veryshort": (3, "shared-cpu", "shared-gpu"),
    "short": (6, "shared-cpu", "shared-gpu"),
    "long": (12, "shared-cpu", "shared-gpu"),
    "daylong": (24, "public-cpu,private-cui-cpu", "private-cui-gpu,private-kalousis-gpu"),
    "verylong": (48, "public-cpu,private-cui-cpu", "private-cui-gpu,private-kalousis-gpu"),
    "veryverylong": (96, "public-cpu,private-cui-cpu", "private-cui-gpu,private-kalousis-gpu"),
    "veryveryverylong": (
        168,
        "public-longrun-cpu,private-cui-cpu",
        "private-cui-gpu,private-kalousis-gpu",
    ),
}


@pytest.mark.parametrize("name", BAOBAB)
def test_calibers(name):
    hours, cpu, gpu = BAOBAB[name]
    on_cpu = find_caliber(name, CALIBERS, SLURM, cluster="baobab", gpu=False)
    on_gpu = find_caliber(name, CALIBERS, SLURM, cluster="baobab", gpu=True)
    assert (on_cpu.partition, on_gpu.partition) == (cpu, gpu)
    assert (on_cpu.gres, on_gpu.gres) == (None, "gpu:1")
    assert on_cpu.seconds == on_gpu.seconds == hours * 3600
    nowhere = find_caliber(name, CALIBERS, SLURM, cluster=None, gpu=False)
    assert nowhere == plans.Caliber(name, seconds=on_cpu.seconds)


def test_own_calibers_go_over_ours(tmp_path):
    own = tmp_path / "calibers.yaml"
    own.write_text(
        "default_cluster: mine\n"
        "mine:\n"
        "  all: {modules: GCC/13 OpenMPI/5, memory: 8G, options: --account=lab --reservation='a b'}\n"
        "  tiny: {time: 90, cpu_constraint: V5|V6}\n"
        "baobab:\n"
        "  short: {cpu_partition: other}\n",
    )
    tiny = find_caliber("tiny", [*CALIBERS, own], SLURM, cluster=None, gpu=False)
    assert (tiny.seconds, tiny.memory, tiny.constraint) == (90, "8G", "V5|V6")
    assert tiny.modules == ("GCC/13", "OpenMPI/5")
    assert tiny.options == ("--account=lab", "--reservation=a b")
    short = find_caliber("short", [*CALIBERS, own], SLURM, cluster="baobab", gpu=False)
    assert (short.partition, short.seconds) == ("other", 21_600)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("any: {short: {tme: 10}}", "unknown key tme"),
        (
            "any: {short: {time: soon}}",
            "time: soon (caliber short of the cluster any) is not of the",
        ),
        ("any: {short: {memory: much}}", "memory: much"),
        ("any: {short: {cpu_partition: 'a b'}}", "cpu_partition: a b"),
        ('any: {short: {gpu_constraint: "a\'b"}}', "gpu_constraint"),
        ('any: {short: {options: "--a=\\n#SBATCH"}}', "options"),
        ("any: {short: {options: --a='b}}", "open quote"),
        ("any: {all: 5}", "any: all is not a mapping"),
        ("any: 5", "any is not a mapping"),
    ],
)
def test_calibers_of_another_form(tmp_path, text, words):
    own = tmp_path / "calibers.yaml"
    own.write_text(text)
    paths = [*CALIBERS, own]
    assert words in refused(find_caliber, "short", paths, SLURM, cluster="any", gpu=False)[0]


def test_calibers_that_are_not_there():
    problem, remedy = refused(find_caliber, "shrt", CALIBERS, SLURM, cluster=None, gpu=False)
    assert "no caliber shrt" in problem and "Did you mean short?" in remedy
    problem, remedy = refused(find_caliber, "all", CALIBERS, SLURM, cluster="baobab", gpu=False)
    assert "no caliber all" in problem
    assert "baobab" in refused(find_caliber, "short", CALIBERS, SLURM, cluster="x", gpu=False)[1]


def test_the_declared_examples_of_calibers_are_valid():
    for each in settings_of(CaliberSettings).values():
        assert each.read(each.working_value) is not None


# Layers of options


def caliber_of(tmp_path, text, *, gpu=False):
    own = tmp_path / "calibers.yaml"
    own.write_text(text)
    return find_caliber("long", [*CALIBERS, own], SLURM, cluster="lab", gpu=gpu)


def test_options_of_layers_add_up(tmp_path):
    """What holds for all calibers stays beside a caliber's own; of the same option the later one counts."""
    text = (
        "lab:\n"
        "  all: {options: --account=my_lab --mail-type=END -x node1, time: 0-06:00:00}\n"
        "  long: {options: -q long --exclude node2}\n"
    )
    assert caliber_of(tmp_path, text).options == (
        "--account=my_lab",
        "--mail-type=END",
        "--qos=long",
        "--exclude=node2",
    )


def test_null_takes_a_default_away(tmp_path):
    text = (
        "lab:\n"
        "  all: {options: --account=my_lab, memory: 8G, time: 0-06:00:00, modules: GCC}\n"
        "  long: {options: null, memory: null, gpu_gres: null, time: null, modules: null}\n"
    )
    assert caliber_of(tmp_path, text, gpu=True) == plans.Caliber("long")


@pytest.mark.parametrize(
    "option",
    [
        "--comment=x",
        "--job-name x",
        "-J x",
        "--output=x",
        "-ox",
        "--open-mode=append",
        "--comm=x",
        "-n 4",
        "--array=1",
    ],
)
def test_options_that_are_the_spawners_own(tmp_path, option):
    text = f"lab:\n  all: {{options: {option}}}\n  long: {{}}\n"
    problem, remedy = refused(caliber_of, tmp_path, text)
    assert "(caliber long of lab) is the spawner's own: " in problem and "Delete --" in remedy
