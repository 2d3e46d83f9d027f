"""What is refused before OpenSim starts: options, files, packages. Two lines each."""

import shutil
import subprocess
import sys

import pytest

from environments.opensim import catalogue, models, simulator
from environments.opensim.catalogue import ARM, GAIT, L2M
from environments.requirements import check_environment, check_options
from helpers.errors import ConfigurationError


@pytest.mark.parametrize(
    ("env_id", "options", "problem", "remedy"),
    [
        (ARM, {"target": "left"}, "target=left is not one of", "default: anywhere"),
        (ARM, {"frame_skip": 0}, "frame_skip=0 is not a whole number from 1 to 10", "10 ms"),
        (ARM, {"frame_skip": 1.5}, "frame_skip=1.5", "10 ms"),
        (ARM, {"frame_skip": True}, "frame_skip=True", "10 ms"),
        (ARM, {"accuracy": 1e-9}, "accuracy=1e-09", "integrator"),
        (ARM, {"accuracy": "fine"}, "accuracy=fine", "integrator"),
        (ARM, {"integrator": "euler"}, "integrator=euler", "method"),
        (ARM, {"muscle_model": "thelen"}, "muscle_model=thelen", "muscles"),
        (ARM, {"strength": {"biceps": 1.0}}, "no muscle biceps", "shoulder_flexor"),
        (
            ARM,
            {"strength": {"elbow_flexer": 1.0}},
            "no muscle elbow_flexer",
            "nearest is elbow_flexor",
        ),
        (ARM, {"strength": {"elbow_flexor": -1}}, "elbow_flexor=-1", "half of it"),
        (ARM, {"strength": 2}, "strength=2 does not name muscles", "shoulder_flexor"),
        (ARM, {"speed": 1.0}, "no option speed", "There are accuracy"),
        (GAIT, {"model": "arm26"}, "model=arm26", "model file"),
        (GAIT, {"speed": 9}, "speed=9", "metres a second"),
        (L2M, {"difficulty": 4}, "difficulty=4 is not one of 0, 1, 2, 3", "targets"),
        (L2M, {"dificulty": 1}, "no option dificulty", "nearest is difficulty"),
        ("Hopper-v5", {"ctrl_cost_wight": 1}, "no option ctrl_cost_wight", "ctrl_cost_weight"),
        ("CartPole-v1", {"sutton": True}, "no option sutton", "sutton_barto_reward"),
        ("cheetah-run", {"speed": 1}, "no option speed", "have none"),
    ],
)
def test_options_that_are_none(env_id: str, options: dict, problem: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_options(env_id, options)
    assert problem in caught.value.problem and remedy in caught.value.remedy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for each in models.MODELS.values():
        shutil.copy(models.models_folder() / each.name, tmp_path)
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_model_file_that_is_missing_or_altered(folder) -> None:
    check_environment(GAIT, {})
    file = folder / models.MODELS["gait9dof18musc"].name
    file.write_bytes(file.read_bytes().replace(b"9.80665", b"1.62000"))
    with pytest.raises(
        ConfigurationError,
        match=r"was changed, or is of another version[\s\S]*make opensim",
    ):
        check_environment(GAIT, {})
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"cannot be read[\s\S]*make opensim"):
        check_environment(GAIT, {})
    check_environment(GAIT, {"model": "gait14dof22musc"})
    check_environment(ARM, {})


def test_another_archive_is_refused_and_nothing_is_written(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path / "models"))
    archive = tmp_path / "osim-rl-3.0.11.tar.gz"
    archive.write_bytes(b"not it")
    assert models.main(["--archive", str(archive)]) == 2
    said = capsys.readouterr().err
    assert "sha256 differs" in said and len(said.strip().splitlines()) == 2
    assert models.main(["--archive", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "models").exists()


def test_files_that_are_there_are_not_fetched_again(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(models, "_download", lambda: pytest.fail("no download is needed"))
    assert models.main([]) == 0
    assert "CC BY 3.0" in capsys.readouterr().out


def test_without_opensim_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr(simulator, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"not installed[\s\S]*make opensim"):
        check_environment(ARM, {})


def test_another_version_of_opensim(monkeypatch) -> None:
    opensim = simulator.import_opensim()
    simulator.import_opensim.cache_clear()
    monkeypatch.setattr(opensim, "GetVersion", lambda: "4.7-2027-01-01")
    with pytest.raises(ConfigurationError, match="OpenSim 4.7 is installed"):
        simulator.import_opensim()
    simulator.import_opensim.cache_clear()


def test_an_import_leaves_the_environment_of_programs_as_it_was() -> None:
    program = (
        "import os\nbefore = dict(os.environ)\n"
        "from environments.opensim.simulator import import_opensim\nimport_opensim()\n"
        "assert dict(os.environ) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_told_without_opensim_does_not_import_it() -> None:
    program = (
        "import sys\nfrom environments.sizes import spaces_of\nfrom environments.expected import expected_of\n"
        "from environments.requirements import check_environment\n"
        f"spaces_of({GAIT!r}); expected_of({L2M!r}); check_environment({ARM!r}, {{}})\n"
        "assert not {'opensim', 'mujoco', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_option_is_told_in_the_docs() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "opensim.md").read_text()
    for options in catalogue.OPTIONS.values():
        for name in options:
            assert f"`{name}`" in page
