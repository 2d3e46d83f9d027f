"""What three iterations of a fixed seed come to: a change here is a change of the algorithm.

The sums hold to five digits on any processor; refresh them, on purpose, with
`python -m tests.agents.test_golden`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.agents.imitation.cases import IMITATING, imitation_settings

GOLDEN = Path(__file__).parents[1] / "golden" / "learning.json"
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sac-continuous": ("continuous", {"algo": "sac"}),
    "td3-continuous": ("continuous", {"algo": "td3", "n_step": 3}),
    "ddpg-continuous": ("continuous", {"algo": "ddpg", "batch_norm_all": True}),
    "crossq-continuous": ("continuous", {"algo": "crossq", "renorm_warm_up": 20}),
    "redq-continuous": ("continuous", {"algo": "redq", "num_critics": 3, "policy_delay": 2}),
    "tqc-continuous": ("continuous", {"algo": "tqc", "num_critics": 3, "num_quantiles": 7}),
    "dqn-discrete": ("discrete", {"algo": "dqn", "dueling": True, "priority_exponent": 0.6}),
    "ppo-continuous": ("continuous", {}),
    "ppo-discrete": ("discrete", {"p_ent_reg_scale": 0.01}),
    "ppo-shared-layer-norm": ("continuous", {"shared_value": True, "layer_norm": True}),
    "gail-discrete": ("discrete", {"algo": "gail", "real_ls_type": "random-uniform_0.7_1.2"}),
    "airl-purl-dragan": (
        "continuous",
        {"algo": "airl", "use_purl": True, "grad_pen_type": "dragan", "grad_pen_targ": 0.1},
    ),
    "airl-absorbing": ("continuous", {"algo": "airl", "wrap_absorb": True}),
    "sam-continuous": ("continuous", {"algo": "sam", "n_step": 3}),
    "dac-continuous": ("continuous", {"algo": "dac", "p_moments_from_demos": True}),
    "red-absorbing": ("continuous", {"algo": "red", "wrap_absorb": True}),
    "maad-continuous": ("continuous", {"algo": "maad"}),
    "ppo-adaptive": ("continuous", {"lr_schedule": "adaptive", "value_clip": 0.2}),
}


PARTS = ("learner", "model", "inverse")  # of an imitation


def outcome(name):
    kind, settings = CASES[name]
    if settings.get("algo") in IMITATING:
        settings = imitation_settings(kind) | settings
    agent = small_agent(small_config(precision="float64", **settings), SPACES[kind])
    for i in range(3):
        metrics = agent.update(random_rollout(agent, SPACES[kind], iteration=i))
    learners = [getattr(agent, name) for name in PARTS if hasattr(agent, name)] or [agent]
    state = {
        key: float(value.detach().abs().sum())
        for learner in learners
        for key, value in learner.parameters.named.items()
    }
    return state | dict(metrics)


@pytest.mark.parametrize("name", CASES)
def test_learning_has_not_changed(name):
    expected, found = json.loads(GOLDEN.read_text())[name], outcome(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-5, abs=1e-8), key


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps({name: outcome(name) for name in CASES}, indent=1) + "\n")
    print(f"wrote {GOLDEN}")
