"""Networks of pictures: what they are, who has them, and what is refused before anything starts."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from agents.algorithms import SCHEMA
from agents.checks import check_pictures
from agents.common_settings import SMALLEST_PICTURE
from agents.nn.convolutions import PictureLayers
from helpers.errors import ConfigurationError
from helpers.pictures import Picture, PictureSpace
from tests import launch
from tests.agents.builders import SPACES, small_agent, small_config

VECTORS = gymnasium.spaces.Box(-1.0, 1.0, (5,))
FORM = Picture(4, 84, 84, 4, "210 x 160 x 3, HWC")


def resolved(*flags: str) -> Any:
    return SCHEMA.parse_command_line(list(flags)).config


def layers(stack: str, picture: Picture = FORM) -> PictureLayers:
    make: dict[str, Any] = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float32}
    return PictureLayers(picture, stack, activation="relu", init="orthogonal", **make)


@pytest.mark.parametrize(
    ("stack", "filters", "width"),
    [("nature_cnn", (32, 64, 64), 512), ("cnn_256", (32, 64, 32), 256)],
)
def test_the_stacks_are_those_that_they_are_said_to_be(
    stack: str,
    filters: tuple[int, int, int],
    width: int,
) -> None:
    """Against torch's own layers on the same weights; bytes, and the same numbers, divided by 255."""
    found = layers(stack)
    a, b, c = filters
    other = nn.Sequential(
        nn.Conv2d(4, a, 8, 4),
        nn.ReLU(),
        nn.Conv2d(a, b, 4, 2),
        nn.ReLU(),
        nn.Conv2d(b, c, 3, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(c * 7 * 7, width),
        nn.ReLU(),
    )
    other.load_state_dict(dict(zip(other.state_dict(), found.state_dict().values(), strict=True)))
    pictures = torch.from_numpy(np.random.default_rng(0).integers(256, size=(3, 4 * 84 * 84)))
    wanted = other(pictures.float().view(3, 4, 84, 84) / 255.0)
    for given in (pictures.to(torch.uint8), pictures.float()):
        torch.testing.assert_close(found(given), wanted)
    assert found(torch.zeros(1, FORM.size)).shape == (1, width)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_the_smallest_picture_has_something_left() -> None:
    assert layers("cnn_8", Picture(1, SMALLEST_PICTURE, SMALLEST_PICTURE)).width == 8
    with pytest.raises(RuntimeError):
        smaller = Picture(1, SMALLEST_PICTURE - 1, SMALLEST_PICTURE)
        layers("cnn_8", smaller)(torch.zeros(1, smaller.size))


def test_settings_follow_the_stack_and_what_is_given_stays() -> None:
    config = resolved("--algo=ppo", "--perception_stack=nature_cnn")
    assert config.p_perception_stack == config.v_perception_stack == "nature_cnn"
    assert config.shared_value and config.p_activation == "relu"
    assert not config.p_batch_norm and not config.v_batch_norm
    assert config.environment_options == {"pictures.kept": True}
    apart = resolved("--perception_stack=nature_cnn", "--no-shared_value", "--p_activation=tanh")
    assert not apart.shared_value and apart.p_activation == "tanh"
    vectors = resolved("--algo=ppo")
    assert vectors.p_batch_norm and not vectors.shared_value and vectors.environment_options == {}
    stacked = resolved("--frame_stack=4", "--greyscale", "--resize=84")
    assert {"pictures.frame_stack": 4, "pictures.greyscale": True, "pictures.resize": 84} == (
        stacked.environment_options
    )


@pytest.mark.parametrize(
    ("flags", "problem", "remedy"),
    [
        (
            ["--algo=sac", "--p_perception_stack=nature_cnn"],
            "algo=sac has no networks of pictures",
            "--algo=dqn",
        ),
        (
            ["--algo=td3", "--perception_stack=cnn_256"],
            "algo=td3 has no networks of pictures",
            "--algo=ppo",
        ),
        (
            ["--algo=bc", "--p_perception_stack=cnn_256"],
            "algo=bc has no networks of pictures",
            "--algo=ppo",
        ),
        (
            ["--perception_stack=nature_cnn", "--p_batch_norm"],
            "p_batch_norm=True normalizes",
            "--no-p_batch_norm",
        ),
        (["--perception_stack=cnn_64", "--layer_norm"], "layer_norm=True", "Omit --layer_norm"),
        (
            ["--p_perception_stack=nature_cnn", "--no-shared_value"],
            "v_perception_stack=mlp_64 takes vectors",
            "--perception_stack=nature_cnn",
        ),
        (
            [
                "--algo=dqn",
                "--q_perception_stack=cnn_64",
                "--frame_stack=9",
                "--mem_size=16",
                "--batch_size=8",
            ],
            "frame_stack=9 is more than the 8 steps",
            "--mem_size=18",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(flags: list[str], problem: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        resolved(*flags)
    assert problem in refused.value.problem and remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("algo", "settings", "space", "words"),
    [
        ("ppo", {"p_perception_stack": "nature_cnn"}, VECTORS, "no pictures"),
        ("ppo", {"p_perception_stack": "cnn_8"}, PictureSpace(Picture(3, 35, 48)), "--resize=84"),
        ("gail", {"p_perception_stack": "cnn_8"}, PictureSpace(FORM), "judges vectors"),
    ],
)
def test_observations_that_do_not_fit_are_refused(
    algo: str,
    settings: dict[str, Any],
    space: gymnasium.Space,
    words: str,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_pictures(small_config(algo, **settings), space)
    assert words in f"{refused.value.problem} {refused.value.remedy}"


@pytest.mark.parametrize(
    ("algo", "words"),
    [("ppo", "--perception_stack=nature_cnn sees it"), ("sac", "ppo and dqn do")],
)
def test_a_flattened_picture_is_never_silent(algo: str, words: str, capfd: Any) -> None:
    flat = PictureSpace(Picture(1, 1, 108, found="6 x 6 x 3"), np.float32)
    small_agent(small_config(algo), SPACES["continuous"], space=flat)
    line = capfd.readouterr().out
    assert line.startswith("warning: the picture 6 x 6 x 3 is flattened into 108 numbers;")
    assert words in line
    small_agent(small_config(algo), SPACES["continuous"])
    assert capfd.readouterr().out == ""


def test_a_run_on_pictures_resumes_exactly_and_leaves_as_a_package(tmp_path: Any) -> None:
    run = tmp_path / "pixels.seed00"
    drift = ["--env_id=benchmarks/pixels/games.py:Drift", "--frame_stack=2"]
    small = [
        "--num_envs=2",
        "--rollout_len=64",
        "--batch_size=32",
        "--num_timesteps=128",
        "--no-compile",
    ]
    named = [
        f"--runs_dir={tmp_path}",
        f"--uuid={run.name}",
        "--eval_episodes=2",
        "--save_frequency=1",
    ]
    done = launch.run([*drift, "--perception_stack=cnn_8", *small, *named])
    assert done.returncode == 0, done.stderr
    assert "pictures: 36 x 36 x 2, 2 frames stacked" in done.stdout
    done = launch.run(["--task=verify_resume", f"--model_path={run}"])
    assert done.returncode == 0 and "bitwise identical" in done.stdout, done.stderr
    done = launch.run(["--task=export", f"--model_path={run}", "--num_trajs=2"])
    assert done.returncode == 0, done.stderr
    (contract,) = run.glob("packages/*/contract.json")
    text = contract.read_text()
    assert '"frame_stack": 2' in text and '"found": "36 x 36 x 1, HWC"' in text
    assert len(text) < 20_000  # bounds are said once, not of each pixel
