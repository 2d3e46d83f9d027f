"""A policy leaves its run: the package acts as the agent, alone, and an altered one is refused."""

import json
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import onnx
import onnxruntime
import pytest

from agents.weights.architecture import Network
from agents.weights.describe import describe
from helpers.errors import CheckpointError, ConfigurationError
from policy import load_policy
from registry.package.onnx_file import OnnxModel, write_onnx
from tests import launch
from tests.agents.builders import OBSERVATION_DIM
from tests.agents.weights.test_architecture import SPACES, UNEVEN, inputs_of, made

RUNS = {
    "ppo, classic": ["--algo=ppo", "--env_id=CartPole-v1", "--num_timesteps=1024", "--rollout_len=64"],
    "ppo, MuJoCo": ["--algo=ppo", "--env_id=InvertedPendulum-v5", "--num_timesteps=1024", "--rollout_len=64"],
    "sac, dm_control": [
        "--algo=sac", "--env_id=Cartpole-Swingup-Feat-v0", "--num_timesteps=256", "--learning_starts=100",
        "--no-compile", "--steps_per_iteration=64",
    ],
}  # fmt: skip


def train(folder, flags):
    where = [f"--runs_dir={folder}", "--uuid=run.seed00", "--eval_episodes=2"]
    done = launch.run(["--task=train", *flags, *where])
    assert done.returncode == 0, done.stderr
    return folder / "run.seed00"


def export(run, *others):
    return launch.run(["--task=export", f"--model_path={run}", "--iter_num=latest", *others])


@pytest.fixture(scope="module", params=RUNS, ids=str)
def exported(request, tmp_path_factory):
    run = train(tmp_path_factory.mktemp("run"), RUNS[request.param])
    done = export(run, "--num_trajs=3")
    assert done.returncode == 0, done.stderr
    (package,) = (run / "packages").iterdir()
    assert f"package: {package}" in done.stdout and "next: " in done.stdout
    return run, package


def test_a_package_acts_as_the_evaluation_did(exported):
    run, package = exported
    contract = json.loads((package / "contract.json").read_text())
    assert contract["check"]["largest_difference"] <= 1e-5
    assert contract["check"]["observations"] == 1000
    done = launch.run(["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=3"])
    assert done.returncode == 0, done.stderr
    evaluated = json.loads((run / "evaluation_latest.json").read_text())
    assert contract["evaluation"]["returns"] == evaluated["returns"]
    assert contract["evaluation"]["lengths"] == evaluated["lengths"]
    card = (package / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 20
    guard = "import sys\nsys.modules['torch'] = None\n"  # onnxruntime alone
    done = subprocess.run(
        [sys.executable, "-c", guard + program],
        cwd=package,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = float(done.stdout.split("return:")[1])
    wanted = contract["evaluation"]["returns"][0]
    assert found == pytest.approx(wanted, rel=1e-3, abs=0.006)


def test_a_package_tells_what_goes_in_and_comes_out(exported):
    _, package = exported
    contract = json.loads((package / "contract.json").read_text())
    environment, seen, acts = (contract[key] for key in ("environment", "observation", "action"))
    session = onnxruntime.InferenceSession(str(package / "policy.onnx"))
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape[1:]) == ("observation", seen["shape"])
    assert made.name == "action"
    assert environment["time_step"] > 0 and environment["max_episode_steps"] > 0
    assert environment["versions"]
    if "low" in acts:
        assert len(acts["low"]) == len(acts["high"]) == acts["shape"][0]
    model = onnx.load(package / "policy.onnx")
    assert model.ir_version <= 10 and max(each.version for each in model.opset_import) <= 21
    assert (
        b"/work" not in model.SerializeToString()
        and b"site-packages" not in model.SerializeToString()
    )
    for path in package.iterdir():
        if path.name != "contract.json":
            assert contract["files"][path.name]["bytes"] == path.stat().st_size


def test_each_way_to_load_gives_the_same_actions(exported):
    run, package = exported
    policies = [
        load_policy(package),
        load_policy(package, backend="torch"),
        load_policy(run, iter_num="latest"),  # by its package
        load_policy((run / "checkpoints" / "latest").resolve()),
    ]
    assert all(policy.contract for policy in policies)
    hidden = package.rename(package.with_name("elsewhere"))
    policies.append(load_policy(run, iter_num="latest"))  # by its checkpoint
    hidden.rename(package)
    assert policies[-1].contract is None
    altered = (package / "policy.onnx").read_bytes()
    (package / "policy.onnx").write_bytes(b"no")
    assert load_policy(run, iter_num="latest").contract is None  # an altered package is not taken
    (package / "policy.onnx").write_bytes(altered)
    size = policies[0].observation_size
    observations = np.random.default_rng(0).normal(size=(50, size))
    wanted = policies[0](observations)
    for policy in policies:
        assert policy.deterministic
        np.testing.assert_allclose(policy(observations), wanted, rtol=0, atol=1e-5)
        single = policy(observations[0])
        assert np.shape(single) == np.shape(wanted)[1:]
        np.testing.assert_allclose(single, wanted[0], rtol=0, atol=1e-5)
        assert np.shape(policy(list(observations[0]))) == np.shape(single)
        for wrong in (np.zeros(size + 1), np.zeros((2, 3, size)), np.zeros((size, 1)), 0.0):
            with pytest.raises(ValueError, match="expected"):
                policy(wrong)


def test_an_existing_package_is_not_overwritten(exported):
    run, package = exported
    before = (package / "contract.json").read_bytes()
    done = export(run)
    assert done.returncode == 2 and str(package) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert (package / "contract.json").read_bytes() == before
    assert [path.name for path in package.parent.iterdir()] == [package.name]


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda folder: (folder / "policy.onnx").write_bytes(b"no"), "policy.onnx"),
        (lambda folder: (folder / "README.md").write_text("other"), "README.md"),
        (lambda folder: (folder / "policy.safetensors").unlink(), "policy.safetensors"),
        (lambda folder: (folder / "contract.json").write_text("{"), "contract.json"),
        (lambda folder: change(folder, lambda it: it.update(format=9)), "format 9"),
        (lambda folder: change(folder, lambda it: it["files"].update({"../x": {"sha256": ""}})), "../x"),
        (lambda folder: (folder / "contract.json").unlink(), "checkpoint"),
    ],
)  # fmt: skip
def test_an_altered_package_is_refused_in_two_lines(exported, tmp_path, damage, word):
    folder = tmp_path / "package"
    shutil.copytree(exported[1], folder)
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        load_policy(folder)
    assert word in str(caught.value) and str(caught.value).count("\n") == 1


def change(folder, how):
    content = json.loads((folder / "contract.json").read_text())
    how(content)
    (folder / "contract.json").write_text(json.dumps(content))


@pytest.mark.parametrize("source", ["no/such/folder", "http://host/name", "models:name", "grpc:/x"])
def test_what_is_no_policy_is_refused_in_two_lines(source):
    with pytest.raises((CheckpointError, ConfigurationError)) as caught:
        load_policy(source)
    assert str(caught.value).count("\n") == 1


def test_a_package_is_loaded_without_torch_mpi_trackers_and_simulators(exported):
    run, package = exported
    heavy = "torch mpi4py wandb mlflow mujoco dm_control gymnasium pydantic"
    program = textwrap.dedent(
        f"""
        import sys
        from policy import load_policy
        policy = load_policy({str(package)!r})
        policy([0.0] * policy.observation_size)
        print([name for name in {heavy!r}.split() if name in sys.modules])
        policy = load_policy({str(run)!r}, iter_num="latest")
        print([name for name in {heavy!r}.split() if name in sys.modules])
        policy = load_policy({str(run)!r}, iter_num="latest", deterministic=False)
        policy([0.0] * policy.observation_size)
        heavy = "mpi4py wandb mlflow mujoco dm_control tensorboard matplotlib"
        print([name for name in heavy.split() if name in sys.modules])
        """,
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=launch.ROOT, capture_output=True, text=True)
    assert done.stdout.split("\n")[:3] == ["[]", "[]", "[]"], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("algo", "settings", "sampled"),
    [
        ("ppo", {}, True),
        ("crossq", {}, False),
        ("dqn", {"dueling": True}, False),
        ("bc", {"cloning_loss": "log_likelihood", "squash_actions": True}, True),
        ("sac", {"precision": "float64"}, True),
    ],
)
def test_an_onnx_file_gives_the_networks_numbers(tmp_path, algo, settings, sampled):
    space = SPACES["discrete"] if algo == "dqn" else UNEVEN
    models = made(algo, space, **settings).models()
    for name in [next(iter(models)), *[name for name in models if name == "critic_1"]]:
        is_policy = name != "critic_1"
        bounds = (UNEVEN.low, UNEVEN.high) if algo != "dqn" else None
        wanted = {"observations": OBSERVATION_DIM, "sampled": sampled and is_policy}
        network = Network(describe(models[name], bounds=bounds, **wanted))
        write_onnx(network, tmp_path / "model.onnx", output="result")
        model, inputs = OnnxModel(tmp_path / "model.onnx"), inputs_of(network)
        for count in (1, 200):  # the batch is free
            part = [each[:count] for each in inputs]
            found, expected = model([each.numpy() for each in part]), network(*part).numpy()
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_a_sampled_package_draws_from_the_seed(tmp_path):
    run = train(tmp_path, RUNS["ppo, MuJoCo"])
    done = export(
        run,
        "--no-deterministic",
        f"--export_dir={tmp_path / 'sampled'}",
        "--num_trajs=2",
    )
    assert done.returncode == 0, done.stderr
    first, second, other = (load_policy(tmp_path / "sampled", seed=seed) for seed in (1, 1, 2))
    observation = np.zeros(4)
    drawn = [[policy(observation)[0] for _ in range(20)] for policy in (first, second, other)]
    assert drawn[0] == drawn[1] != drawn[2] and len(set(drawn[0])) > 10
    assert json.loads((tmp_path / "sampled" / "contract.json").read_text())["noise"]["shape"] == [1]
    assert not first.deterministic
