"""W workers learn what one learns from the same data: in float64, to 1e-12."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.patience import patience

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
SCRIPT = ["-m", "tests.mpi.worlds"]
FOUR, THREE = (2, 4), (2, 3)  # of 12 environments, 3 workers hold 4 each; 5 would not divide
UNEVEN = ["num_envs=8", "rollout_len=64", "batch_size=16"]  # 3 workers: 3, 3 and 2
DRIFT = "benchmarks/pixels/games.py:Drift"  # pictures
CASES = [  # (kind, settings, workers beside one)
    ("continuous", ["value_clip=0.01", "clip_norm=0.1"], THREE),
    ("discrete", ["p_ent_reg_scale=0.01", "target_kl=0.002", "optim_epochs_per_iter=20"], THREE),
    ("CartPole-v1", ["lr_schedule=adaptive"], THREE),
    ("Hopper-v5", [], THREE),
    ("several", ["p_ent_reg_scale=0.01", "clip_norm=0.1"], THREE),
    ("continuous", UNEVEN, (3,)),
    (DRIFT, ["p_perception_stack=cnn_8", "frame_stack=2", "optim_epochs_per_iter=1"], (2,)),
    (DRIFT, ["algo=dqn", "q_perception_stack=cnn_8", "frame_stack=2"], (2,)),
    # Learners that replay: 73 updates.
    ("continuous", ["algo=sac", "batch_norm_all=true"], FOUR),
    ("continuous", ["algo=td3", "n_step=3", "clip_norm=1.0"], FOUR),
    ("continuous", ["algo=ddpg"], FOUR),
    ("continuous", ["algo=crossq", "renorm_warm_up=20"], FOUR),
    ("discrete", ["algo=dqn", "priority_exponent=0.6", "dueling=true", "target_period=100"], FOUR),
    # Those that clone: 80 updates.
    ("continuous", ["algo=bc", "held_out_demos=2", "cloning_loss=log_likelihood"], FOUR),
    ("discrete", ["algo=bc", "clip_norm=0.1"], FOUR),
    ("continuous", ["algo=dagger", "num_demos=2"], FOUR),
    ("discrete", ["algo=dagger", "p_activation=tanh"], FOUR),
    ("several", ["algo=dagger", "num_demos=2"], FOUR),
    # Those that learn a reward.
    ("continuous", ["algo=gail", "wrap_absorb=true", "use_purl=true", "d_moments=both"], FOUR),
    ("discrete", ["algo=gail", "real_ls_type=disturb-label_0.1", "grad_pen_type=dragan"], FOUR),
    ("continuous", ["algo=airl", "g_steps=2", "d_weight_decay=0.1", "d_moments=policy"], FOUR),
    ("continuous", ["algo=sam", "n_step=3", "d_activation=leaky_relu"], FOUR),
    (
        "continuous",
        ["algo=dac", "state_state=true", "p_moments_from_demos=true", "batch_norm_all=true"],
        FOUR,
    ),
    ("continuous", ["algo=red", "learner=sac", "wrap_absorb=true"], FOUR),
    ("continuous", ["algo=maad", "wrap_absorb=true", "idm_steps=5"], FOUR),
    ("discrete", ["algo=maad"], FOUR),
    ("several", ["algo=maad"], FOUR),
    ("several", ["algo=airl", "wrap_absorb=true"], FOUR),
    # 3 workers: 12, 12 and 8 of a minibatch of demonstrations.
    ("continuous", ["algo=gail", "wrap_absorb=true", "d_batch_size=32", *UNEVEN], (3,)),
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Parameters and all else that is shared, by case, of so many workers: learned in one go when first asked for."""
    made = {}

    def of(workers):
        if workers not in made:
            chosen = [i for i, case in enumerate(CASES) if workers == 1 or workers in case[2]]
            folder = tmp_path_factory.mktemp(f"{workers}_workers")
            cases = folder / "cases.json"
            cases.write_text(json.dumps([CASES[i][:2] for i in chosen]))
            launcher = [MPIEXEC, "-n", str(workers)] if workers > 1 else []
            command = [*launcher, sys.executable, *SCRIPT, str(folder), str(cases)]
            limit = patience(240)
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
            assert done.returncode == 0, done.stderr
            made[workers] = {i: np.load(folder / f"{n}.npy") for n, i in enumerate(chosen)}
        return made[workers]

    return of


@pytest.mark.parametrize(
    "index",
    range(len(CASES)),
    ids=[" ".join([kind, *settings[:1]]) for kind, settings, _ in CASES],
)
def test_workers_learn_what_one_learns(index, learned):
    alone = learned(1)[index]
    assert np.isfinite(alone).all()
    for workers in CASES[index][2]:
        limit = 1e-12 * max(1, abs(alone).max())
        np.testing.assert_allclose(learned(workers)[index], alone, rtol=0, atol=limit)
