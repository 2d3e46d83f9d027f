"""The loss that is edited is the loss that runs: each function of a losses file, times 1.1, is noticed.

In torch the result is another one. A compiled step is found by the operations that a trace shows (`key_of`), so that an
edited loss is compiled anew. PPO's kernel in C is held against torch: see on_policy/test_guard.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from agents.compute.compiled_step import CompiledStep, key_of
from agents.imitation import losses as of_imitation
from agents.nn import distributions
from agents.off_policy import losses as of_off_policy
from agents.on_policy import losses as of_ppo
from tests.agents.builders import CHOICES, SPACES, random_rollout, small_agent, small_config
from tests.agents.cloning.cases import sources
from tests.agents.imitation.cases import IMITATING, demonstrations

LABELS = {"real_ls_type": "soft-labels_0.1", "fake_ls_type": "soft-labels_0.1"}
# By function: an algorithm that uses it, the kind of actions, settings.
USERS: dict[ModuleType, dict[str, tuple[str, str, dict[str, Any]]]] = {
    of_ppo: {
        "gae": ("ppo", "continuous", {}),
        "ppo_clip_loss": ("ppo", "continuous", {}),
        "value_loss": ("ppo", "continuous", {}),
    },
    distributions: {
        "gaussian_log_prob": ("ppo", "continuous", {}),
        "gaussian_entropy": ("ppo", "continuous", {"p_ent_reg_scale": 0.1}),
        "categorical_log_prob": ("ppo", "discrete", {}),
        "categorical_entropy": ("ppo", "discrete", {"p_ent_reg_scale": 0.1}),
        "by_choice": ("ppo", "several", {}),
        "product_log_prob": ("ppo", "several", {}),
        "product_entropy": ("ppo", "several", {"p_ent_reg_scale": 0.1}),
        "product_log_softmax": ("maad", "several", {}),
        "squashed_log_prob": ("sac", "continuous", {}),
    },
    of_off_policy: {
        "td_target": ("sac", "continuous", {}),
        "critics_loss": ("td3", "continuous", {}),
        "soft_policy_loss": ("sac", "continuous", {}),
        "temperature_loss": ("crossq", "continuous", {}),
        "soft_policy_losses": ("redq", "continuous", {}),
        "huber_loss": ("dqn", "discrete", {}),
        "quantile_huber_loss": ("tqc", "continuous", {}),
    },
    of_imitation: {
        "verdict_loss": ("gail", "continuous", {}),
        "verdict_entropy": ("gail", "continuous", {"d_ent_reg_scale": 0.1}),
        "smooth_labels": ("gail", "continuous", LABELS),
        "mean_label": ("gail", "continuous", LABELS | {"wrap_absorb": True}),
        "labelled_loss": ("gail", "continuous", {}),
        "unlabelled_loss": ("gail", "continuous", {"use_purl": True}),
        "add_entropy": ("gail", "continuous", {"d_ent_reg_scale": 0.1}),
        "add_gradient_penalty": ("gail", "continuous", {"one_sided_pen": False}),
        "unlabelled_risk": ("gail", "continuous", {"use_purl": True}),
        "gradient_norms": ("gail", "continuous", {}),
        "gradient_penalty": ("gail", "continuous", {}),
        "interpolates": ("gail", "continuous", {"d_activation": "tanh", "one_sided_pen": False}),
        "reward_of_logit": ("gail", "continuous", {}),
        "clip_and_scale": ("gail", "continuous", {"syn_rew_scale": 2.0}),
        "loops_of_an_end": ("gail", "continuous", {"wrap_absorb": True}),
        "with_end_value": ("gail", "continuous", {"wrap_absorb": True}),
        "shaped_reward": ("airl", "continuous", {}),
        "spectral_norm": ("sam", "continuous", {}),
        "distillation_errors": ("red", "continuous", {}),
        "distilled_reward": ("red", "continuous", {}),
    },
}
CASES = [(module, name) for module, users in USERS.items() for name in users]
OF_NUMPY = {
    "gae",
    "smooth_labels",
    "mean_label",
    "loops_of_an_end",
}  # outside of traced functions


def public_functions(module: ModuleType) -> set[str]:
    """Those that the module itself defines."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return {n for n, f in functions if f.__module__ == module.__name__ and n[0] != "_"}


@pytest.mark.parametrize("module", USERS, ids=lambda module: module.__name__)
def test_no_function_of_a_losses_file_is_left_out(module: ModuleType) -> None:
    assert public_functions(module) == set(USERS[module])


def scaled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Its result, or the first of a tuple, times 1.1."""

    def changed(*arguments: Any, **settings: Any) -> Any:
        result = function(*arguments, **settings)
        if callable(result):  # a function around a loss
            return scaled(result)
        if isinstance(result, tuple):
            return (1.1 * result[0], *result[1:])
        if isinstance(result, dict):
            return {name: 1.1 * value for name, value in result.items()}
        return 1.1 * result

    return changed


def outcome(algo: str, kind: str, settings: dict[str, Any]) -> tuple[bytes, set[str]]:
    """Parameters after two updates in torch, and the keys of all steps that would be compiled."""
    own = {"num_critics": 2} if algo in ("redq", "tqc") else {}
    imitated = {"expert_path": str(demonstrations(kind))} if algo in IMITATING else {}
    config = small_config(algo, compile=False, **sources(algo, kind), **imitated, **own, **settings)
    steps: list[CompiledStep] = []
    with pytest.MonkeyPatch.context() as patch:
        made = CompiledStep.__init__

        def noted(self: CompiledStep, *arguments: Any, **named: Any) -> None:
            made(self, *arguments, **named)
            steps.append(self)

        patch.setattr(CompiledStep, "__init__", noted)
        space = (SPACES | CHOICES)[kind]
        agent = small_agent(config, space)
        for i in range(2):
            agent.update(random_rollout(agent, space, iteration=i))
    learner = getattr(agent, "learner", agent)
    values = [learner.parameters.values]
    values += [agent.model.parameters.values] if hasattr(agent, "model") else []
    keys = {key_of(step._eager, list(step.tensors.values())) for step in steps}
    return torch.cat(values).numpy().tobytes(), keys


@pytest.mark.parametrize(
    ("module", "name"),
    CASES,
    ids=lambda each: getattr(each, "__name__", each),
)
def test_an_edited_loss_is_noticed(
    module: ModuleType,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algo, kind, settings = USERS[module][name]
    before, keys = outcome(algo, kind, settings)
    monkeypatch.setattr(module, name, scaled(getattr(module, name)))
    after, others = outcome(algo, kind, settings)
    assert after != before
    if name not in OF_NUMPY:
        assert others - keys, "a compiled step would be taken for the one before the edit"
