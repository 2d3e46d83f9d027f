"""What `python -m benchmarks.learning` trains: cases, in suites."""

from __future__ import annotations

from benchmarks.learning.case import Case
from benchmarks.learning.experts import EXPERTS

CLASSIC, MUJOCO = "tasks/train_classic_ppo.yaml", "tasks/train_mujoco_ppo.yaml"
ONE_UPDATE = ("--updates_per_step=1", "--policy_delay=1")
EAGER, NORM = "--no-compile", "--layer_norm"
# The Zoo's own settings of DQN on CartPole, as far as they differ from the task's.
ZOO = (
    "--rollout_len=256",
    "--target_period=256",
    "--n_step=1",
    "--no-double",
    "--lr_schedule=constant",
)


def imitates(
    name: str,
    algo: str,
    env_id: str,
    bar: float | None,
    reference: str,
    *flags: str,
    demos: str = "",
    seeds: int = 0,
    stays_below: bool = False,
) -> Case:
    """A case that learns from the environment's demonstrations, or from others in `demos`."""
    path = demos or f"{{data}}/demos/{env_id}"
    return Case(
        name,
        f"tasks/train_mujoco_{algo}.yaml",
        (f"--env_id={env_id}", f"--expert_path={path}", *flags),
        bar,
        reference,
        seeds=seeds,
        stays_below=stays_below,
    )


CONTROLS = "{data}/runs/controls"  # demonstrations that control_demos.py makes
CHEETAH, HOPPER, WALKER, ANT = "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5"
SHORT = "--num_timesteps=100_000"
EXPERT_RUNS = {expert.env_id: expert.name for expert in EXPERTS}
FEW = ("--num_demos=4", "--expert_demo_subsample")  # what the adversarial ones are given
# Bars are shares of the way from a uniformly random policy to the expert.
IMITATION = (
    imitates(
        "halfcheetah_250k_sam",
        "sam",
        CHEETAH,
        0.85,
        "off-policy GAIL in DiffAIL, 1 demo: 4150 of 4463; Arulkumaran, 5 demos: 0.95 (IQM of four tasks)",
        "--num_timesteps=250_000",
        "--eval_episodes=20",  # which the next case is read off
    ),
    Case(
        "halfcheetah_100k_sam",
        "",
        (f"--env_id={CHEETAH}", SHORT),
        0.70,
        "off-policy GAIL in DiffAIL, 1 demo: 3900 of 4463",
        part_of="halfcheetah_250k_sam",
    ),
    imitates(
        "hopper_300k_sam",
        "sam",
        HOPPER,
        0.60,
        "off-policy GAIL in DiffAIL: 2200 of 3400",
        "--num_timesteps=300_000",
    ),
    imitates(
        "hopper_3m_gail",
        "gail",
        HOPPER,
        0.80,
        "GAIL in IQ-Learn, 1 demo: 3253 of 3533; Baselines (TRPO): 3490 of 3570",
        "--num_timesteps=3_000_000",
    ),
    *(
        imitates(f"hopper_500k_{algo}", algo, HOPPER, None, reference, "--num_timesteps=500_000")
        for algo, reference in (
            ("airl", "imitation, 10M steps: 0.92 (seals)"),
            ("maad", ""),
        )
    ),
    imitates(
        "halfcheetah_250k_dac",
        "dac",
        CHEETAH,
        None,
        "DAC in IQ-Learn, 1 demo: 4081 of 5098",
        "--num_timesteps=250_000",
        seeds=1,
    ),
    *(
        imitates(name, "sam", env_id, None, reference, "--num_timesteps=300_000", seeds=1)
        for name, env_id, reference in (
            ("walker2d_300k_sam", WALKER, "DAC in IQ-Learn, 1 demo: 4108 of 5275"),
            ("ant_300k_sam", ANT, "DAC in IQ-Learn, 1 demo: 1438 of 4700"),
        )
    ),
    imitates(
        "halfcheetah_250k_red_16_whole",
        "red",
        CHEETAH,
        None,
        "",
        "--num_timesteps=250_000",
        seeds=1,
    ),
    imitates(
        "halfcheetah_bc_16_whole",
        "bc",
        CHEETAH,
        0.80,
        "imitation: 0.92 (seals, 104 demos); xlnwel: 3769 of 4154",
    ),
    *(
        imitates(
            name,
            "bc",
            env_id,
            bar,
            "Arulkumaran, 5 demos: 0.17 (IQM of four tasks)",
            *FEW,
            "--held_out_demos=0",  # nobody else keeps one of the four back
            stays_below=stays_below,
        )
        for name, env_id, bar, stays_below in (
            ("halfcheetah_bc_4", CHEETAH, None, False),
            ("hopper_bc_4", HOPPER, 0.60, True),
            ("walker2d_bc_4", WALKER, None, False),
            ("ant_bc_4", ANT, None, False),
        )
    ),
    Case(
        "halfcheetah_60k_dagger",
        "tasks/train_mujoco_dagger.yaml",
        (
            f"--env_id={CHEETAH}",
            "--num_timesteps=60_000",
            f"--expert_policy={{data}}/runs/experts/{EXPERT_RUNS[CHEETAH]}",
            "--expert_iter_num=latest",  # the one whose demonstrations they are
        ),
        0.95,
        "imitation: 1.02 (seals); xlnwel: 3867 of 4154",
    ),
    # What must not be learned from.
    imitates(
        "halfcheetah_100k_sam_no_demos",
        "sam",
        CHEETAH,
        0.35,
        "GAIL: about a third of the expert's (DAC, Fig. 5)",
        SHORT,
        "--num_demos=0",
        seeds=1,
        stays_below=True,
    ),
    *(
        imitates(
            f"halfcheetah_100k_sam_{'_'.join((kind, *learner))}",
            "sam",
            CHEETAH,
            0.35,
            "",
            SHORT,
            *(f"--learner={name}" for name in learner),
            demos=f"{CONTROLS}/{CHEETAH}_{kind}",
            seeds=1,
            stays_below=True,
        )
        for kind, *learner in (
            ("shuffled",),
            ("reordered",),
            ("constant",),
            ("constant", "td3"),  # no temperature keeps its policy noisy
        )
    ),
    # And what states alone teach, which the shuffled ones still have.
    imitates(
        "halfcheetah_100k_sam_states",
        "sam",
        CHEETAH,
        None,
        "",
        SHORT,
        "--state_only",
        "--expert_state_only",
        seeds=1,
    ),
    # Where to live on is a choice, of which a reward can be in favour by itself.
    imitates(
        "hopper_500k_gail_no_demos",
        "gail",
        HOPPER,
        None,
        "GAIL: about a third of the expert's (DAC, Fig. 5)",
        "--num_timesteps=500_000",
        "--num_demos=0",
        seeds=1,
    ),
    imitates(
        "hopper_500k_gail_constant",
        "gail",
        HOPPER,
        None,
        "",
        "--num_timesteps=500_000",
        demos=f"{CONTROLS}/{HOPPER}_constant",
        seeds=1,
    ),
)
SUITES = {
    "ppo": (
        Case(
            "cartpole_100k",
            "tasks/train_classic_ppo.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=100_000"),
            475.0,
            "CleanRL 490 +- 6 (500k steps)",
        ),
        Case(
            "hopper_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=Hopper-v5", "--num_timesteps=1_000_000"),
            2000.0,
            "CleanRL v4 2383 +- 272, Tianshou v3 2483 +- 852",
        ),
        Case(
            "halfcheetah_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=HalfCheetah-v5", "--num_timesteps=1_000_000"),
            3000.0,
            "CleanRL v4 1443 +- 46, Tianshou v3 5650 +- 1226",
        ),
        Case(
            "walker2d_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=Walker2d-v5", "--num_timesteps=1_000_000"),
            2500.0,
            "CleanRL v4 2288 +- 572, Tianshou v3 3410 +- 686",
        ),
    ),
    "off_policy": (
        *(
            Case(
                f"pendulum_20k_{algo}",
                f"tasks/train_mujoco_{algo}.yaml",
                (
                    "--env_id=Pendulum-v1",
                    "--num_timesteps=20_000",
                    "--learning_starts=1000",
                    *flags,
                ),
                -200.0,
                "Stable-Baselines3 Zoo about -150",
                episodes=100,  # the return is mostly the initial state's
            )
            for algo, flags in {
                "sac": ("--p_lr=0.001", "--q_lr=0.001", "--temperature_lr=0.001"),
                "td3": ("--p_lr=0.001", "--q_lr=0.001"),
                "ddpg": ("--p_lr=0.001", "--q_lr=0.001"),
            }.items()
        ),
        Case(
            "cartpole_50k_dqn",
            "tasks/train_classic_dqn.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=50_000"),
            450.0,
            "Stable-Baselines3 Zoo 500 (one run)",
        ),
        Case(
            "cartpole_50k_dqn_zoo",
            "tasks/train_classic_dqn.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=50_000", *ZOO),
            450.0,
            "Zoo 500 (one run); here Stable-Baselines3 itself: see docs/dqn.md",
        ),
        *(
            Case(
                f"halfcheetah_100k_{algo}",
                f"tasks/train_mujoco_{algo}.yaml",
                ("--env_id=HalfCheetah-v5", "--num_timesteps=100_000"),
                bar,
                reference,
            )
            for algo, bar, reference in (
                ("td3", 4000.0, "pooled 4854 +- 715 (28 seeds)"),
                ("ddpg", 3800.0, "pooled 4474 +- 553 (19 seeds)"),
                ("crossq", 6000.0, "authors 9507 at 200k"),
                ("tqc", 4700.0, "none at 100k; SAC: pooled 5333 +- 577 (23 seeds)"),
            )
        ),
        Case(
            "halfcheetah_100k_redq",  # twenty updates a step take twenty times as long
            "tasks/train_mujoco_redq.yaml",
            ("--env_id=HalfCheetah-v5", "--num_timesteps=100_000", *ONE_UPDATE),
            4700.0,
            "none with one update a step; SAC: pooled 5333 +- 577 (23 seeds)",
        ),
        Case(
            "halfcheetah_200k_sac",
            "tasks/train_mujoco_sac.yaml",
            ("--env_id=HalfCheetah-v5", "--num_timesteps=200_000", "--eval_episodes=20"),
            6200.0,
            "pooled 7171 +- 907 (23 seeds)",
        ),
        Case(
            "halfcheetah_100k_sac",
            "",
            ("--num_timesteps=100_000",),
            4700.0,
            "pooled 5333 +- 577 (23 seeds)",
            part_of="halfcheetah_200k_sac",
        ),
        Case(
            "hopper_300k_sac",
            "tasks/train_mujoco_sac.yaml",
            ("--env_id=Hopper-v5", "--num_timesteps=300_000"),
            1700.0,
            "pooled 2525 +- 681 (23 seeds)",
        ),
        Case(
            "dmc_cheetah_run_200k_sac",  # a step is a frame
            "tasks/train_dmc_sac.yaml",
            ("--env_id=Cheetah-Run-Feat-v0", "--num_timesteps=200_000"),
            280.0,
            "311 +- 16 and 574 at 200k frames (100k decisions)",
        ),
        Case(
            "dmc_cartpole_swingup_100k_sac",
            "tasks/train_dmc_sac.yaml",
            ("--env_id=Cartpole-Swingup-Feat-v0", "--num_timesteps=100_000"),
            780.0,
            "861 +- 4 and 835 +- 8",
        ),
    ),
    # The same training by different routes: what native code must not change.
    "compiled": tuple(
        Case(name, task, (f"--env_id={env_id}", f"--num_timesteps={steps}", *flags), bar, "")
        for name, task, env_id, steps, flags, bar in (
            ("cartpole_100k", CLASSIC, "CartPole-v1", "100_000", (), 475.0),
            ("cartpole_100k_eager", CLASSIC, "CartPole-v1", "100_000", (EAGER,), 475.0),
            ("halfcheetah_1m", MUJOCO, "HalfCheetah-v5", "1_000_000", (), 3000.0),
            ("halfcheetah_1m_eager", MUJOCO, "HalfCheetah-v5", "1_000_000", (EAGER,), 3000.0),
            ("hopper_300k_layer_norm", MUJOCO, "Hopper-v5", "300_000", (NORM,), 500.0),
            ("hopper_300k_layer_norm_eager", MUJOCO, "Hopper-v5", "300_000", (NORM, EAGER), 500.0),
        )
    ),
    "imitation": IMITATION,
}
NORMALISED = frozenset({"imitation"})  # suites whose scores are shares of the expert's
