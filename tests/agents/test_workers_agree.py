"""W workers learn what one learns from the same data: in float64, to 1e-12."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
SCRIPT = ["-m", "tests.mpi.worlds"]


def parameters(folder, workers, kind, *settings):
    out = folder / f"{workers}.npy"
    launcher = [MPIEXEC, "-n", str(workers)] if workers > 1 else []
    command = [*launcher, sys.executable, *SCRIPT, str(out), kind, *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.load(out)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("continuous", ["value_clip=0.01", "clip_norm=0.1"]),
        ("discrete", ["p_ent_reg_scale=0.01", "target_kl=0.002", "optim_epochs_per_iter=20"]),
        ("CartPole-v1", ["lr_schedule=adaptive"]),
        ("Hopper-v5", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_two_and_three_workers_learn_the_same(tmp_path, kind, settings):
    alone = parameters(tmp_path, 1, kind, *settings)
    for workers in (2, 3):  # 3 workers hold 4 of 12 environments each, 5 would not divide
        together = parameters(tmp_path, workers, kind, *settings)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12 * max(1, abs(alone).max()))


def test_uneven_shares_learn_the_same(tmp_path):
    settings = ["num_envs=8", "rollout_len=64", "batch_size=16"]  # 3 workers: 3, 3 and 2
    alone = parameters(tmp_path, 1, "continuous", *settings)
    together = parameters(tmp_path, 3, "continuous", *settings)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("continuous", ["algo=sac", "batch_norm_all=true"]),
        ("continuous", ["algo=td3", "n_step=3", "clip_norm=1.0"]),
        ("continuous", ["algo=ddpg"]),
        ("continuous", ["algo=crossq", "renorm_warm_up=20"]),
        ("discrete", ["algo=dqn", "priority_exponent=0.6", "duelling=true", "slow_period=100"]),
    ],
    ids=lambda value: value[0].removeprefix("algo=") if isinstance(value, list) else value,
)
def test_one_two_and_four_workers_replay_the_same(tmp_path, kind, settings):
    alone = parameters(tmp_path, 1, kind, *settings)  # 73 updates
    for workers in (2, 4):
        together = parameters(tmp_path, workers, kind, *settings)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12 * max(1, abs(alone).max()))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("continuous", ["algo=bc", "held_out_demos=2", "cloning_loss=log_likelihood"]),
        ("discrete", ["algo=bc", "clip_norm=0.1"]),
        ("continuous", ["algo=dagger", "num_demos=2"]),
        ("discrete", ["algo=dagger", "p_activation=tanh"]),
    ],
    ids=lambda value: value[0].removeprefix("algo=") if isinstance(value, list) else value,
)
def test_one_two_and_four_workers_clone_the_same(tmp_path, kind, settings):
    alone = parameters(tmp_path, 1, kind, *settings)  # 80 updates
    for workers in (2, 4):
        together = parameters(tmp_path, workers, kind, *settings)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12 * max(1, abs(alone).max()))


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("continuous", ["algo=gail", "wrap_absorb=true", "use_purl=true", "d_moments=both"]),
        ("discrete", ["algo=gail", "real_ls_type=disturb-label_0.1", "grad_pen_type=dragan"]),
        ("continuous", ["algo=airl", "g_steps=2", "d_weight_decay=0.1", "d_moments=policy"]),
        ("continuous", ["algo=sam", "n_step=3", "d_activation=leaky_relu"]),
        (
            "continuous",
            ["algo=dac", "state_state=true", "p_moments_from_demos=true", "batch_norm_all=true"],
        ),
        ("continuous", ["algo=red", "learner=sac", "wrap_absorb=true"]),
    ],
    ids=lambda value: value[0].removeprefix("algo=") if isinstance(value, list) else value,
)
def test_one_two_and_four_workers_imitate_the_same(tmp_path, kind, settings):
    alone = parameters(tmp_path, 1, kind, *settings)
    for workers in (2, 4):
        together = parameters(tmp_path, workers, kind, *settings)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12 * max(1, abs(alone).max()))


def test_uneven_shares_imitate_the_same(tmp_path):
    settings = ["algo=gail", "wrap_absorb=true", "num_envs=8", "rollout_len=64", "batch_size=16"]
    settings += ["d_batch_size=32"]  # 3 workers: 12, 12 and 8 of them
    alone = parameters(tmp_path, 1, "continuous", *settings)
    together = parameters(tmp_path, 3, "continuous", *settings)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)
