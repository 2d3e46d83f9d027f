"""RL Zoo's hyperparameters of one environment as settings of ours, and what has no counterpart.

A section of RL Zoo names what differs from Stable-Baselines3's defaults, which are not ours: both are written out, so
that a run has the numbers that were tuned. Sources: rl_zoo3/exp_manager.py (the keys), stable_baselines3/*/*.py (2.9).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from agents.common_settings import Activation, stack_of
from agents.on_policy.config import batch_problem
from agents.zoo.literals import Name, read_literal
from helpers.config.settings import read_float, read_integer, read_switch

_REPLAY: Mapping[str, Any] = {
    "learning_rate": 1e-3,
    "buffer_size": 1_000_000,
    "learning_starts": 100,
    "batch_size": 256,
    "tau": 0.005,
    "gamma": 0.99,
    "train_freq": 1,
    "gradient_steps": 1,
}
# Stable-Baselines3's defaults, with RL Zoo's keys and net_arch in policy_kwargs.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {
        "learning_rate": 3e-4,
        "n_steps": 2048,
        "batch_size": 64,
        "n_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "normalize_advantage": True,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
        "target_kl": 0.0,
        "net_arch": [64, 64],
    },
    "sac": {**_REPLAY, "learning_rate": 3e-4, "ent_coef": "auto", "net_arch": [256, 256]},
    "td3": {
        **_REPLAY,
        "policy_delay": 2,
        "target_policy_noise": 0.2,
        "target_noise_clip": 0.5,
        "net_arch": [400, 300],
    },
    "ddpg": {**_REPLAY, "net_arch": [400, 300]},
    "dqn": {
        **_REPLAY,
        "learning_rate": 1e-4,
        "batch_size": 32,
        "tau": 1.0,
        "train_freq": 4,
        "target_update_interval": 10_000,
        "exploration_fraction": 0.1,
        "exploration_initial_eps": 1.0,
        "exploration_final_eps": 0.05,
        "max_grad_norm": 10.0,
        "net_arch": [64, 64],
    },
}
_SDE = "gSDE (use_sde) has no counterpart: exploration noise is drawn anew in each step"
# Keys that are dropped, and why.
_WITHOUT: Mapping[str, str] = {
    "use_sde": _SDE,
    "sde_sample_freq": _SDE,
    "use_sde_at_warmup": _SDE,
    "env_wrapper": "env_wrapper has no counterpart: a run has no wrappers, and observations or rewards may be others",
    "vec_env_wrapper": "vec_env_wrapper has no counterpart: a run has no wrappers",
    "frame_stack": "frame_stack: give --frame_stack, with --perception_stack=nature_cnn",
    "callback": "callback has no counterpart",
    "noise_std_final": "noise_std_final has no counterpart: the exploration noise stays as it is",
    "replay_buffer_class": "replay_buffer_class has no counterpart (no hindsight replay)",
    "replay_buffer_kwargs": "replay_buffer_kwargs has no counterpart",
    "optimize_memory_usage": "optimize_memory_usage has no counterpart; --memory_folder maps the memory to a disk",
    "n_eval_envs": "n_eval_envs has no counterpart",
    "monitor_kwargs": "monitor_kwargs has no counterpart",
    "env_kwargs": "env_kwargs: write them as env_options, a mapping",
    "target_entropy": "target_entropy: give --target_entropy_scale, a multiple of minus the number of actions",
}


@dataclass
class Converted:
    """A section as ours.

    Attributes:
        settings: by our keys, in the order to write them.
        notes: what has no counterpart, or another meaning; a line each.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, line: str) -> None:
        """Say a line once."""
        if line not in self.notes:
            self.notes.append(line)


class _Section:
    """The values of a section over the defaults, which remember what was asked for."""

    def __init__(self, algo: str, values: Mapping[str, Any]) -> None:
        self.given = dict(values)
        kwargs = values.get("policy_kwargs")
        self.network: dict[str, Any] = read_literal(kwargs) if isinstance(kwargs, str) else {}
        self.values = {**DEFAULTS[algo], **values}
        self.values["net_arch"] = self.network.get("net_arch", self.values["net_arch"])
        self.asked = {"policy", "n_envs", "n_timesteps", "normalize", "policy_kwargs", "net_arch"}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, as it stands there."""
        self.asked.add(key)
        return self.values.get(key, default)

    def number(self, key: str, default: Any = None) -> float:
        """The value of a key, as a number.

        Raises:
            ValueError: it is none.
        """
        return read_float(self.get(key, default))

    def scheduled(self, key: str) -> tuple[float, bool]:
        """(first value, whether it falls to 0 linearly) of "lin_3e-4" or 3e-4."""
        text = str(self.get(key))
        for prefix in ("lin_", "linear_"):
            if text.startswith(prefix):
                return read_float(text.removeprefix(prefix)), True
        return read_float(text), False

    @property
    def num_envs(self) -> int:
        """Environments at once."""
        return read_integer(self.values.get("n_envs", 1))


def convert(algo: str, env_id: str, values: Mapping[str, Any]) -> Converted:
    """The settings of a section.

    Args:
        algo: a key of DEFAULTS.
        env_id: of the run.
        values: of the section, merged; texts, lists and mappings as the file has them.

    Raises:
        ValueError: a value that its key cannot have.
    """
    section, made = _Section(algo, values), Converted()
    made.settings = {
        "algo": algo,
        "env_id": env_id,
        "num_timesteps": read_integer(section.values.get("n_timesteps", 1_000_000)),
        "num_envs": section.num_envs,
        "gamma": section.number("gamma"),
    }
    if section.given.get("policy", "MlpPolicy") != "MlpPolicy":
        made.note(
            f"policy {section.given['policy']} is left out; that of pictures is --perception_stack=nature_cnn",
        )
    _PARTS[algo](section, made)
    _normalizers(section, made, critic="v" if algo == "ppo" else "q")
    _networks(section, made, critic="v" if algo == "ppo" else "q")
    for key in section.given:
        if key in _WITHOUT:
            made.note(_WITHOUT[key])
        elif key not in section.asked:
            made.note(f"{key} has no counterpart")
    return made


def _rates(section: _Section, made: Converted, critic: str) -> float:
    rate, is_linear = section.scheduled("learning_rate")
    schedule = "linear" if is_linear else "constant"
    made.settings |= {"p_lr": rate, f"{critic}_lr": rate, "lr_schedule": schedule}
    return rate


def _ppo(section: _Section, made: Converted) -> None:
    _rates(section, made, "v")
    rollout = read_integer(section.get("n_steps")) * section.num_envs
    batch = read_integer(section.get("batch_size"))
    if batch_problem(section.num_envs, rollout, batch):
        sizes = [
            n for n in range(1, rollout + 1) if not batch_problem(section.num_envs, rollout, n)
        ]
        fitting = min(sizes, key=lambda size: abs(size - batch))
        made.note(
            f"batch_size={batch} does not divide the rollout of {rollout} steps: {fitting} here",
        )
        batch = fitting
    ratio, falls = section.scheduled("clip_range")
    if falls:
        made.note(
            f"clip_range falls from {ratio:g} to 0 there; clip_ratio is {ratio:g} throughout here",
        )
    value_clip = section.get("clip_range_vf")
    made.settings |= {
        "rollout_len": rollout,
        "batch_size": batch,
        "optim_epochs_per_iter": read_integer(section.get("n_epochs")),
        "gae_lambda": section.number("gae_lambda"),
        "clip_ratio": ratio,
        "value_clip": (
            0.0 if value_clip in (None, "None") else section.scheduled("clip_range_vf")[0]
        ),
        "p_ent_reg_scale": section.number("ent_coef"),
        "baseline_scale": section.number("vf_coef"),
        "clip_norm": section.number("max_grad_norm"),
        "target_kl": section.number("target_kl"),
        "normalize_advantages": read_switch(section.get("normalize_advantage")),
        "recompute_advantages": False,
        "policy_std_init": math.exp(float(section.network.get("log_std_init", 0.0))),
    }
    if "log_std_init" in section.network:
        made.note(
            "policy_std_init is exp(log_std_init), in units of half the action range, which is 1 in most tasks",
        )


def _replay(section: _Section, made: Converted) -> float:
    """What the off-policy algorithms share; the learning rate."""
    rate = _rates(section, made, "q")
    envs, every = section.num_envs, section.get("train_freq")
    gradient_steps = read_integer(section.get("gradient_steps"))
    if isinstance(every, list):
        made.note(
            f"train_freq [{', '.join(map(str, every))}]: updates after each step here instead of after an episode",
        )
        gradient_steps, every = (1 if gradient_steps < 0 else gradient_steps), 1
        if gradient_steps > 1:
            made.note(f"gradient_steps={gradient_steps} an episode: one a step here")
            gradient_steps = 1
        gradient_steps *= envs
    steps = read_integer(every) * envs
    updates = 1.0 if gradient_steps < 0 else gradient_steps / steps
    batch, memory = (read_integer(section.get(key)) for key in ("batch_size", "buffer_size"))
    made.settings |= {
        "mem_size": memory - memory % envs,
        "learning_starts": read_integer(section.get("learning_starts")),
        "batch_size": batch + -batch % envs,
        "rollout_len": steps,
        "updates_per_step": updates,
        "steps_per_iteration": max(1, round(1000 / steps)) * steps,
        "clip_norm": section.number("max_grad_norm", 0.0),
        "tau": section.number("tau"),
    }
    return rate


def _sac(section: _Section, made: Converted) -> None:
    rate, entropy = _replay(section, made), str(section.get("ent_coef"))
    made.settings |= {"temperature_init": 1.0, "temperature_lr": rate}
    if entropy.startswith("auto_"):
        made.settings["temperature_init"] = read_float(entropy.removeprefix("auto_"))
    elif entropy != "auto":
        made.settings |= {"temperature_init": read_float(entropy), "temperature_lr": 1e-12}
        made.note(f"ent_coef is {entropy} throughout there; temperature_lr=1e-12 holds it here")


def _noise(section: _Section, made: Converted) -> None:
    kind, std = section.get("noise_type"), section.get("noise_std")
    made.settings["exploration_std"] = 0.0 if kind is None else read_float(std)
    if kind is not None and "normal" != str(kind).strip():
        made.note(f"{kind} noise has no counterpart: normal noise of the same deviation here")


def _td3(section: _Section, made: Converted) -> None:
    _replay(section, made)
    _noise(section, made)
    made.settings |= {
        "policy_delay": read_integer(section.get("policy_delay")),
        "target_noise_std": section.number("target_policy_noise"),
        "target_noise_clip": section.number("target_noise_clip"),
    }


def _ddpg(section: _Section, made: Converted) -> None:
    _replay(section, made)
    _noise(section, made)


def _dqn(section: _Section, made: Converted) -> None:
    _replay(section, made)
    if made.settings.pop("tau") != 1.0:
        made.note("tau has no counterpart in DQN: target_period copies the network as a whole")
    if section.number("exploration_initial_eps") != 1.0:
        made.note("exploration_initial_eps has no counterpart: epsilon starts at 1")
    made.settings |= {
        "target_period": read_integer(section.get("target_update_interval")),
        "exploration_fraction": section.number("exploration_fraction"),
        "epsilon_end": section.number("exploration_final_eps"),
        "double": False,
    }


_PARTS: Mapping[str, Callable[[_Section, Converted], None]] = {
    "ppo": _ppo,
    "sac": _sac,
    "td3": _td3,
    "ddpg": _ddpg,
    "dqn": _dqn,
}


def _normalizers(section: _Section, made: Converted, *, critic: str) -> None:
    """`normalize: true`, or "{'norm_obs': True, 'norm_reward': False}"."""
    asked = section.given.get("normalize", "false")
    chosen: Mapping[str, Any] = {}
    if isinstance(asked, str) and asked.strip().startswith(("{", "dict")):
        chosen = read_literal(asked)
        is_on = True
    else:
        is_on = read_switch(asked)
    observations = is_on and bool(chosen.get("norm_obs", True))
    rewards = is_on and bool(chosen.get("norm_reward", True))
    made.settings |= {"p_batch_norm": observations, f"{critic}_batch_norm": observations}
    if critic == "v":
        made.settings["normalize_values"] = rewards
    if rewards:
        how = "value targets are normalized" if critic == "v" else "rewards are taken as they are"
        made.note(f"normalized rewards have no counterpart: {how} here")
    for key in chosen.keys() - {"norm_obs", "norm_reward"}:
        made.note(f"{key} of normalize has no counterpart")


def _networks(section: _Section, made: Converted, *, critic: str) -> None:
    sizes = section.values["net_arch"]
    if (
        isinstance(sizes, list) and sizes and isinstance(sizes[0], dict)
    ):  # before Stable-Baselines3 1.8
        sizes = sizes[0]
    of_policy, of_critic = sizes, sizes
    if isinstance(sizes, dict):
        of_policy, of_critic = sizes["pi"], sizes["vf" if critic == "v" else "qf"]
    for setting, widths in (
        (f"{critic}_perception_stack", of_critic),
        ("p_perception_stack", of_policy),
    ):
        if not widths:
            raise ValueError(f"net_arch has no hidden layers for {setting}")
        made.settings[setting] = stack_of([read_integer(width) for width in widths])
    if critic == "q" and "log_std_init" in section.network:
        made.note("log_std_init has no counterpart in off-policy algorithms")
    if critic == "v" and section.network.get("ortho_init") is False:
        made.settings["init"] = "default"
    activation = section.network.get("activation_fn")
    if activation is not None:
        name = (
            activation.text.rpartition(".")[2] if isinstance(activation, Name) else str(activation)
        )
        if name.lower() in get_args(Activation):
            made.settings |= {"p_activation": name.lower(), f"{critic}_activation": name.lower()}
        else:
            made.note(f"activation_fn={name} has no counterpart")
    known = {"net_arch", "log_std_init", "ortho_init", "activation_fn"}
    for key in section.network.keys() - known:
        made.note(f"{key} of policy_kwargs has no counterpart")
