"""What is said to command lines and settings files of other libraries' users.

    python -m benchmarks.other_libraries --write

writes docs/results/other_libraries.md, and tests/benchmarks/test_other_libraries.py compares it with what is said now.
The lines and keys are those of the libraries' own pages and examples; a line is given to main.py without its program.
"""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agents.algorithms import SCHEMA
from agents.zoo.__main__ import convert_section, sections_of
from environments.ids import resolve_env_id
from helpers.errors import ConfigurationError, UserError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "other_libraries.md"
CONVERTED = ("ppo", "sac", "td3", "ddpg", "dqn")
# (library, program, the rest)
LINES: Sequence[tuple[str, str, str]] = (
    ("CleanRL", "python cleanrl/ppo.py", "--seed 1 --env-id CartPole-v0 --total-timesteps 50000"),
    (
        "CleanRL",
        "python cleanrl/ppo.py",
        "--seed 1 --env-id CartPole-v1 --total-timesteps 50000 --track --wandb-project-name cleanrltest",
    ),
    (
        "CleanRL",
        "python cleanrl/ppo_continuous_action.py",
        "--env-id Hopper-v4 --num-envs 1 --num-steps 2048 --num-minibatches 32 --update-epochs 10 --anneal-lr "
        "--clip-coef 0.2 --clip-vloss --ent-coef 0.0 --vf-coef 0.5 --max-grad-norm 0.5 --save-model",
    ),
    (
        "CleanRL",
        "python cleanrl/sac_continuous_action.py",
        "--env-id Hopper-v4 --policy-lr 3e-4 --q-lr 1e-3 --autotune False --alpha 0.2 --policy-frequency 2",
    ),
    (
        "CleanRL",
        "python cleanrl/dqn.py",
        "--env-id CartPole-v1 --learning-rate 2.5e-4 --buffer-size 10000 --start-e 1 --end-e 0.05 "
        "--train-frequency 10 --target-network-frequency 500 --capture-video",
    ),
    (
        "RL Zoo",
        "python train.py",
        "--algo ppo --env CartPole-v1 --tensorboard-log /tmp/stable-baselines/",
    ),
    (
        "RL Zoo",
        "python train.py",
        "--algo td3 --env HalfCheetahBulletEnv-v0 --eval-freq 10000 --eval-episodes 10 --n-eval-envs 1",
    ),
    (
        "RL Zoo",
        "python train.py",
        "--algo ppo --env MountainCar-v0 -n 50000 -optimize --n-trials 1000 --n-jobs 2 --sampler tpe --pruner median",
    ),
    (
        "RL Zoo",
        "python train.py",
        "--algo sac --env Pendulum-v1 -params learning_rate:0.01 --save-freq 10000",
    ),
    ("RL Zoo", "python enjoy.py", "--algo ppo --env Hopper-v4 -f logs/ --exp-id 1 --load-best"),
    (
        "Spinning Up",
        "python -m spinup.run",
        'ppo --hid "[32,32]" --env LunarLander-v2 --exp_name installtest --gamma 0.999',
    ),
    (
        "Spinning Up",
        "python -m spinup.run",
        "sac --env Walker2d-v2 --epochs 100 --steps_per_epoch 4000 --start_steps 10000 --update_every 50 --cpu auto",
    ),
    (
        "rsl_rl",
        "train.py",
        "--task Isaac-Ant-v0 --headless --num_envs 4096 --max_iterations 500 --num_steps_per_env 24",
    ),
    (
        "rsl_rl",
        "legged_gym/scripts/train.py",
        "--task=anymal_c_flat --headless --resume --load_run=Jan01",
    ),
    ("rl_games", "python runner.py", "--train --file rl_games/configs/ppo_continuous.yaml"),
    (
        "rl_games",
        "python train.py",
        "task=Ant headless=True max_iterations=50 checkpoint=runs/Ant/nn/Ant.pth",
    ),
    ("skrl", "train.py", "--task Isaac-Reach-Franka-v0 --headless --ml_framework torch --seed 42"),
    (
        "OpenAI Baselines",
        "python -m baselines.run",
        "--alg=ppo2 --env=Humanoid-v2 --network=mlp --num_timesteps=2e7 --ent_coef=0.1 --num_hidden=32 --num_layers=3",
    ),
    (
        "Tianshou",
        "python mujoco_sac.py",
        "--task Ant-v3 --epoch 200 --step-per-epoch 5000 --actor-lr 1e-3 --critic-lr 1e-3 --auto-alpha "
        "--training-num 1",
    ),
    (
        "imitation",
        "python -m imitation.scripts.train_adversarial",
        "gail with pendulum demonstrations.path=quickstart/rl/rollouts/final.npz total_timesteps=2048",
    ),
)
FILES: Mapping[str, str] = {
    "Stable-Baselines3: arguments of PPO": (
        "learning_rate: 0.0003\nn_steps: 2048\nbatch_size: 64\nn_epochs: 10\ngamma: 0.99\nclip_range: 0.2\n"
        "ent_coef: 0.0\nvf_coef: 0.5\nmax_grad_norm: 0.5\ntotal_timesteps: 1000000\n"
    ),
    "Stable-Baselines3: arguments of SAC": (
        "policy: MlpPolicy\nbuffer_size: 1000000\nlearning_starts: 100\ntrain_freq: 1\ngradient_steps: -1\n"
        "ent_coef: auto\ntarget_update_interval: 1\nuse_sde: false\n"
    ),
    "RL Zoo: hyperparams/sac.yml": (
        "Hopper-v4: &mujoco-defaults\n  n_timesteps: !!float 1e6\n  policy: 'MlpPolicy'\n  learning_starts: 10000\n"
        "Swimmer-v4:\n  <<: *mujoco-defaults\n  gamma: 0.9999\n"
    ),
    "RL Zoo: one section without its name": (
        "n_envs: 4\nn_timesteps: !!float 1e5\npolicy: 'MlpPolicy'\nnormalize: true\n"
        'policy_kwargs: "dict(log_std_init=-2, ortho_init=False)"\n'
    ),
    "rl_games: ppo_continuous.yaml": (
        "params:\n  algo: {name: a2c_continuous}\n  network:\n    mlp: {units: [32, 32], activation: elu}\n"
        "  config:\n    env_name: Ant\n    learning_rate: 3e-4\n    e_clip: 0.2\n    horizon_length: 16\n"
        "    minibatch_size: 512\n    mini_epochs: 4\n    critic_coef: 2\n    kl_threshold: 0.008\n"
        "    normalize_input: True\n    normalize_value: True\n"
    ),
    "rsl_rl: agent.yaml": (
        "seed: 42\ndevice: cuda:0\nnum_steps_per_env: 24\nmax_iterations: 1500\nempirical_normalization: false\n"
        "policy:\n  init_noise_std: 1.0\n  actor_hidden_dims: [256, 128, 64]\n  activation: elu\n"
        "algorithm:\n  clip_param: 0.2\n  num_learning_epochs: 5\n  num_mini_batches: 4\n  schedule: adaptive\n"
        "  desired_kl: 0.01\n  entropy_coef: 0.005\n  lam: 0.95\nsave_interval: 50\n"
    ),
    "skrl: skrl_ppo_cfg.yaml": (
        "seed: 42\nagent:\n  rollouts: 24\n  learning_epochs: 5\n  mini_batches: 4\n  discount_factor: 0.99\n"
        "  learning_rate_scheduler: KLAdaptiveLR\n  grad_norm_clip: 1.0\n  ratio_clip: 0.2\n"
        "trainer: {timesteps: 36000}\n"
    ),
    "wandb: a sweep of CleanRL": (
        "program: ppo.py\nmethod: bayes\nmetric: {name: charts/episodic_return, goal: maximize}\n"
        "parameters:\n  learning-rate: {min: 0.0001, max: 0.01}\n  num-minibatches: {values: [4, 8, 32]}\n"
    ),
    "RLlib: a tuned example": (
        "hopper-ppo:\n  env: Hopper-v4\n  run: PPO\n  config:\n    gamma: 0.995\n    kl_coeff: 1.0\n"
        "    num_sgd_iter: 20\n    lr: 0.0001\n    sgd_minibatch_size: 32768\n    train_batch_size: 160000\n"
        "    num_workers: 64\n"
    ),
    "CleanRL: arguments as a file": (
        "exp_name: ppo\nseed: 1\ntorch_deterministic: true\ncuda: true\nenv_id: HalfCheetah-v4\n"
        "total_timesteps: 1000000\nnum_envs: 1\nnum_steps: 2048\nanneal_lr: true\nnum_minibatches: 32\n"
        "update_epochs: 10\nnorm_adv: true\nclip_coef: 0.2\nclip_vloss: true\n"
    ),
}


def said_to(argv: Sequence[str]) -> str:
    """What main.py says to a command line before anything starts; each sentence a line."""
    try:
        parsed = SCHEMA.parse_command_line(argv)
        env_id = resolve_env_id(parsed.config.env_id)
    except UserError as error:
        return "\n".join(["milozero: " + error.problem, "  remedy: " + error.remedy])
    return f"(it trains {parsed.config.algo} in {env_id})"


def said_to_lines() -> Iterator[tuple[str, str, str]]:
    """(library, line, what is said) of each line."""
    for library, program, rest in LINES:
        yield library, f"{program} {rest}", said_to(shlex.split(rest))


def said_to_files() -> Iterator[tuple[str, str, str]]:
    """(name, content, what is said) of each file, whose name is `theirs.yaml`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "theirs.yaml"
        for name, content in FILES.items():
            path.write_text(content)
            said = said_to([f"--config={path}"])
            yield name, content, said.replace(str(path), "theirs.yaml")


def page() -> str:
    """The page without the part that needs RL Zoo's files."""
    parts = [
        "# What is said to users of other libraries",
        "Made by `python -m benchmarks.other_libraries --write`; a test compares it with what is said now. "
        "Lines are given to `main.py` without their program. Names and units: `helpers/config/other_libraries.py`.",
        "## Twenty command lines",
    ]
    for library, line, said in said_to_lines():
        parts.append(f"**{library}** `{line}`\n\n```\n{said}\n```")
    parts.append("## Ten settings files")
    for name, content, said in said_to_files():
        parts.append(f"**{name}**\n\n```yaml\n{content}```\n\n```\n{said}\n```")
    return "\n\n".join(parts) + "\n"


def zoo_table(folder: Path) -> str:
    """A row for each section of RL Zoo's files in a folder: whether it is converted, and what is said."""
    rows = [
        "# RL Zoo's sections as task files",
        "",
        "Of rl_zoo3 2.9.2, by `python -m benchmarks.other_libraries --zoo .../rl_zoo3/hyperparams`: each is accepted "
        "by the schema; one that does not run here needs a package or a version that is not here, which its run says "
        "at the start.",
        "",
    ]
    rows += ["| file | section | runs here as | notes |", "|---|---|---|---|"]
    for algo in CONVERTED:
        path = folder / f"{algo}.yml"
        for name in sections_of(path):
            made = convert_section(path, env_id=name, algo=algo)
            try:
                runs = resolve_env_id(made.settings["env_id"])
            except ConfigurationError:
                runs = "(not here)"
            rows.append(f"| {path.name} | `{name}` | {runs} | {'; '.join(made.notes)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Print or write the page; with RL Zoo's files, print their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument(
        "--zoo",
        type=Path,
        metavar="FOLDER",
        help="RL Zoo's: print the table of its sections",
    )
    asked = parser.parse_args()
    if asked.zoo:
        print(zoo_table(asked.zoo), end="")
    elif asked.write:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"written: {PAGE}")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
