"""--task=migrate: what was brought in does what Stable-Baselines3 said it does; what is not ours is refused."""

import zipfile

import gymnasium
import numpy as np
import pytest
import torch

from agents.on_policy.config import PPOConfig
from agents.weights.load import load_agent
from agents.weights.migration.check import Rebuilt, compare
from agents.weights.migration.foreign_files import read_foreign
from agents.weights.migration.task import fill
from helpers.checkpoints.manifests import list_checkpoints
from helpers.errors import CheckpointError, ConfigurationError, UserError
from tests import launch
from tests.agents.builders import small_agent, small_config
from tests.migration.stage import CLOSE, FOLDER, RLGames, loaded, migrate, stored

ENVIRONMENTS = {"dqn": "CartPole-v1", "ppo_choices": "CartPole-v1"}


def algorithm(name):
    return name.split("_")[0]


@pytest.mark.parametrize(
    "name",
    [
        "ppo",
        "ppo_relu",
        "ppo_choices",
        "ppo_normalised",
        "sac",
        "td3",
        "td3_one_layer",
        "ddpg",
        "dqn",
    ],
)
def test_the_outputs_are_those_of_stable_baselines3(name, tmp_path, capsys):
    algo, theirs = algorithm(name), stored(name)
    moments = FOLDER / f"{name}_moments.npz"
    flags = [f"--migrate_moments={moments}"] if moments.exists() else []
    env = ENVIRONMENTS.get(name, "Pendulum-v1")
    run = migrate(FOLDER / f"{name}.zip", algo, tmp_path, *flags, env=env)
    agent, observations = loaded(run), torch.from_numpy(theirs["observations"])
    models = agent.models()
    policy = next(iter(models.values()))
    ours, _ = agent.predict(theirs["observations"], explore=False)
    if ours.dtype == np.int64:
        np.testing.assert_array_equal(ours, theirs["predicted"])
    else:
        np.testing.assert_allclose(ours, theirs.get("unclipped", theirs["predicted"]), **CLOSE)
    if "log_std" in theirs:
        np.testing.assert_array_equal(policy.net.log_std.detach().numpy(), theirs["log_std"])
    with torch.no_grad():
        if algo == "dqn":
            np.testing.assert_allclose(policy.outputs(observations), theirs["q_network"], **CLOSE)
        critics = [key for key in theirs if key == "value" or "critic" in key]
        assert len(critics) == {"ppo": 1, "sac": 4, "td3": 4, "ddpg": 2, "dqn": 0}[algo]
        for key in critics:
            mine = key.replace("critic_1", "critic") if algo == "ddpg" else key
            critic = models[mine]
            inputs = [observations]
            if key != "value":
                inputs.append(torch.from_numpy(theirs["actions"]))
            np.testing.assert_allclose(critic(*inputs), theirs[key], **CLOSE)
    printed = capsys.readouterr().out
    assert "largest difference" in printed and "python main.py --task=eval" in printed
    assert ("sampled actions are not equal" in printed) == (algo == "sac")
    assert ("VecNormalize" in printed) == (not flags)


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_checkpoint_of_rl_games(separate, discrete, normalised, tmp_path, capsys):
    env, sizes = ("CartPole-v1", (4, 2)) if discrete else ("Pendulum-v1", (3, 1))
    activation, hidden = ("tanh", (8, 6)) if discrete else ("elu", (8, 6, 5))
    kind = {"discrete": discrete, "separate": separate, "normalised": normalised}
    theirs = RLGames(*sizes, hidden=hidden, activation=activation, **kind)
    file = theirs.save(tmp_path / "last.pth")
    run = migrate(file, "", tmp_path, f"--migrate_activation={activation}", env=env)
    observations = torch.randn(64, sizes[0], generator=torch.Generator().manual_seed(5))
    models = load_agent(run).models()
    policy = models["policy"]
    with torch.no_grad():
        outputs, values = theirs(observations)
        scale = 1.0 if discrete else 2.0  # they stretch to Pendulum's bounds, ours come stretched
        np.testing.assert_allclose(policy.outputs(observations), scale * outputs, **CLOSE)
        ours = models["value"](observations)
        np.testing.assert_allclose(ours, values, **CLOSE)
    printed = capsys.readouterr().out
    assert "activation is the one that you gave" in printed
    assert ("beyond 5 deviations" in printed) == normalised
    if not discrete:
        deviation = theirs.state_dict()["a2c_network.sigma"].exp() * 2.0
        np.testing.assert_allclose(policy.net.log_std.detach().exp(), deviation, rtol=1e-6)


def test_a_migrated_run_is_evaluated_and_trained_on_from_there(tmp_path):
    flags = ["--algo=sac", "--env_id=Pendulum", f"--runs_dir={tmp_path}", "--uuid=moved.seed00"]
    small = [
        "--num_timesteps=400",
        "--steps_per_iteration=200",
        "--learning_starts=300",
        "--batch_size=8",
    ]
    flags += [
        *small,
        "--p_perception_stack=mlp_8_6",
        "--q_perception_stack=mlp_8_6",
        "--no-compile",
    ]
    made = launch.run(["--task=migrate", f"--migrate_from={FOLDER / 'sac.zip'}", *flags], workers=2)
    assert made.returncode == 0, made.stderr
    run = tmp_path / "moved.seed00"
    evaluated = launch.run(["--task=eval", f"--model_path={run}", "--num_trajs=2"])
    assert evaluated.returncode == 0, evaluated.stderr
    before = load_agent(run, iter_num="0").models()["policy"]
    command = [line for line in made.stdout.splitlines() if "--uuid" in line][-1].split("main.py ")[
        1
    ]
    trained = launch.run(
        [
            *command.split(),
            "--checkpoint_interval=100",
            "--save_frequency=1",
            "--keep_checkpoints=0",
        ],
        workers=2,
    )
    assert trained.returncode == 0, trained.stderr
    assert "resumed after iteration 0" in trained.stdout
    assert [iteration for iteration, _ in list_checkpoints(run / "checkpoints")] == [2, 1, 0]
    # no update yet: what was brought in is still there
    warm = load_agent(run, iter_num="1").models()["policy"]
    assert all(torch.equal(t, before.state_dict()[key]) for key, t in warm.state_dict().items())
    after = load_agent(run, iter_num="2").models()["policy"].state_dict()["layers.0.weight"]
    assert not torch.equal(after, before.state_dict()["layers.0.weight"])
    names = sorted(int(path.name.split("_")[0]) for path in (run / "checkpoints").glob("*.pt"))
    assert names == [0, 100, 200, 300, 400]
    again = launch.run(["--task=migrate", f"--migrate_from={FOLDER / 'sac.zip'}", *flags])
    assert again.returncode == 2
    assert "an existing run" in again.stderr and len(again.stderr.strip().splitlines()) == 2


def test_without_a_name_it_never_becomes_the_run_of_the_same_settings(tmp_path):
    flags = ["--algo=ppo", "--env_id=Pendulum", f"--runs_dir={tmp_path}"]
    made = launch.run(["--task=migrate", f"--migrate_from={FOLDER / 'ppo.zip'}", *flags])
    assert made.returncode == 0, made.stderr
    (run,) = tmp_path.iterdir()
    assert run.name.startswith("migrated_") and run.name.endswith(".ppo.Pendulum.seed00")


def test_a_class_of_the_users_own_needs_the_activation(tmp_path):
    file = FOLDER / "ppo_own.zip"
    with pytest.raises(ConfigurationError, match="does not contain its activation function"):
        migrate(file, "ppo", tmp_path)
    theirs = stored("ppo_own")
    agent = loaded(migrate(file, "ppo", tmp_path, "--migrate_activation=tanh"))
    ours, _ = agent.predict(theirs["observations"], explore=False)
    np.testing.assert_allclose(ours, theirs["unclipped"], **CLOSE)


REFUSED = {
    "no file": ("missing.zip", "ppo", [], "cannot be read: No such file"),
    "pickle": ("ppo_normalised_vecnormalize.pkl", "ppo", [], "a pickle"),
    "another algorithm": ("sac.zip", "td3", [], "is not of td3"),
    "ours alone": ("sac.zip", "crossq", [], "is not of crossq"),
    "activation of ours": (
        "ppo_relu.zip",
        "ppo",
        ["--p_activation=tanh"],
        "p_activation=tanh, but",
    ),
    "unknown activation": (
        "ppo_own.zip",
        "ppo",
        ["--migrate_activation=selu"],
        "has the activation selu",
    ),
    "activation said": ("ppo.zip", "ppo", ["--migrate_activation=relu"], "says tanh"),
    "gSDE": ("ppo_sde.zip", "ppo", [], "gSDE"),
    "one critic": ("ddpg.zip", "td3", [], "is not of td3"),
    "two critics": ("td3.zip", "ddpg", [], "is not of ddpg"),
    "widths": (
        "ppo.zip",
        "ppo",
        ["--p_perception_stack=mlp_9_6"],
        r"policy.0.weight is \(9, 3\) here",
    ),
    "layers": ("ppo.zip", "ppo", ["--p_perception_stack=mlp_8_6_5"], "mlp_8_6"),
    "no moments": ("ppo.zip", "ppo", ["--p_batch_norm"], "has no normalizer statistics"),
    "moments off": (
        "ppo_normalised.zip",
        "ppo",
        [f"--migrate_moments={FOLDER}/ppo_normalised_moments.npz", "--no-v_batch_norm"],
        "takes normalized observations",
    ),
    "no moments in it": (
        "ppo.zip",
        "ppo",
        [f"--migrate_moments={FOLDER}/ppo.npz"],
        "is not an .npz file with",
    ),
    "layer_norm": ("sac.zip", "sac", ["--layer_norm"], "has none"),
    "dueling": ("dqn.zip", "dqn", ["--dueling"], "nothing for q_network.baseline"),
    "names": (
        "ppo.zip",
        "ppo",
        ["--migrate_names=policy.9.weight=log_std"],
        "policy.9.weight is not among our",
    ),
    "their names": (
        "ppo.zip",
        "ppo",
        ["--migrate_names=policy.0.weight=x"],
        "x is not among those in the file",
    ),
    "twice": (
        "ppo.zip",
        "ppo",
        ["--migrate_names=policy.log_std=log_std,policy.log_std=value_net.bias"],
        "gives policy.log_std twice",
    ),
    "by names alone": ("ppo.zip", "ppo", ["--no-migrate_auto"], "nothing for policy.log_std"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_ours_is_refused_before_anything_is_written(case, tmp_path):
    name, algo, flags, words = REFUSED[case]
    env = "CartPole-v1" if name == "dqn.zip" else "Pendulum-v1"
    with pytest.raises(UserError, match=words) as caught:
        migrate(FOLDER / name, algo, tmp_path, *flags, env=env)
    assert len(str(caught.value).splitlines()) == 2
    assert not list(tmp_path.iterdir())


def test_another_environment_is_refused_with_the_shapes(tmp_path):
    with pytest.raises(
        ConfigurationError,
        match=r"\(8, 4\) here, but \(8, 3\).*\n.*3 observations",
    ):
        migrate(FOLDER / "ppo.zip", "ppo", tmp_path, env="CartPole-v1")


def test_damaged_and_foreign_files_are_refused(tmp_path):
    whole = (FOLDER / "ppo.zip").read_bytes()
    half, bent = tmp_path / "half.zip", tmp_path / "bent.zip"
    half.write_bytes(whole[: len(whole) // 2])
    place = whole.index(b"policy.pth") + 2000
    bent.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    empty, other = tmp_path / "empty.zip", tmp_path / "other.pth"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("parameters", b"")
    torch.save({"actor": torch.zeros(3)}, other)
    nested = tmp_path / "objects.pth"
    torch.save({"model": {"weight": zipfile.ZipInfo("x")}}, nested)
    for path, words in (
        (half, "truncated"),
        (bent, "damaged"),
        (empty, "no policy.pth"),
        (other, "no key 'model'"),
        (nested, "more than tensors"),
    ):
        with pytest.raises(CheckpointError, match=words) as caught:
            migrate(path, "ppo", tmp_path)
        assert len(str(caught.value).splitlines()) == 2


def renamed(tmp_path):
    """A policy of another program, whose names nobody knows; the critic's shapes differ in the first layer's bias."""
    weights = torch.load(
        zipfile.ZipFile(FOLDER / "ppo.zip").open("policy.pth"),
        weights_only=True,
    )
    weights = {f"w{i}.{name.rpartition('.')[2]}": t for i, (name, t) in enumerate(weights.items())}
    path = tmp_path / "other.pth"
    torch.save({"model": weights}, path)
    return path, list(weights)


def test_ambiguous_weights_are_refused_with_their_names_and_named_by_hand(tmp_path):
    path, theirs = renamed(tmp_path)
    stacks = [
        "--p_perception_stack=mlp_8_6",
        "--v_perception_stack=mlp_8_6",
        "--migrate_activation=tanh",
    ]
    with pytest.raises(ConfigurationError, match="only PPO's names are known"):
        migrate(path, "ppo", tmp_path, *stacks)
    log_std, *rest = theirs
    some = f"--migrate_names=policy.log_std={log_std}"
    with pytest.raises(ConfigurationError, match="may each be") as caught:
        migrate(path, "ppo", tmp_path, *stacks, some)
    for name in ("policy.0.weight", "value.0.weight", rest[0], rest[4]):
        assert name in caught.value.problem
    order = ["policy.0", "policy.1", "value.0", "value.1", "policy.2", "value.2"]
    ours = [f"{layer}.{part}" for layer in order for part in ("weight", "bias")]
    pairs = ",".join(f"{mine}={his}" for mine, his in zip(ours, rest, strict=True))
    # the policy's and log_std; what is left of the value fits in one way only
    policy = ",".join(pair for pair in pairs.split(",") if pair.startswith("policy."))
    run = migrate(path, "ppo", tmp_path, *stacks, f"{some},{policy}")
    known = stored("ppo")
    ours, _ = loaded(run).predict(known["observations"], explore=False)
    np.testing.assert_allclose(ours, known["unclipped"], **CLOSE)


def test_the_comparison_sees_a_difference():
    """Weights that changed on their way are found, by rebuilding theirs from the file."""

    space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    stacks = {"p_perception_stack": "mlp_8_6", "v_perception_stack": "mlp_8_6"}
    config = small_config("ppo", **stacks, batch_norm_all=False, normalize_values=False)
    agent, foreign = small_agent(config, space, dim=3), read_foreign(FOLDER / "ppo.zip")
    found, scale = fill(agent, foreign, PPOConfig(), space)
    rebuilt = Rebuilt(foreign, found.names, algo="ppo", scale=scale)
    assert len(compare(rebuilt, agent, observation_dim=3, action_space=space)) == 2
    state = agent.state_dict()
    state["parameters"]["policy.head.weight"][0, 0] += 1e-3
    agent.load_state_dict(state)
    with pytest.raises(CheckpointError, match="differ from its own, policy"):
        compare(rebuilt, agent, observation_dim=3, action_space=space)
