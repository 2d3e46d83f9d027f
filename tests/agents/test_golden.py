"""What three iterations of a fixed seed come to: a change here is a change of the algorithm.

The sums hold to five digits on any processor; refresh them, on purpose, with
`python -m tests.agents.test_golden`.
"""

import json
from pathlib import Path

import pytest

from tests.agents.builders import SPACES, random_rollout, small_agent, small_config

GOLDEN = Path(__file__).parents[1] / "golden" / "learning.json"
CASES = {
    "sac-continuous": ("continuous", {"algo": "sac"}),
    "td3-continuous": ("continuous", {"algo": "td3", "n_step": 3}),
    "ddpg-continuous": ("continuous", {"algo": "ddpg", "batch_norm_all": True}),
    "crossq-continuous": ("continuous", {"algo": "crossq", "renorm_warm_up": 20}),
    "dqn-discrete": ("discrete", {"algo": "dqn", "duelling": True, "priority_exponent": 0.6}),
    "ppo-continuous": ("continuous", {}),
    "ppo-discrete": ("discrete", {"p_ent_reg_scale": 0.01}),
    "ppo-shared-layer-norm": ("continuous", {"shared_value": True, "layer_norm": True}),
    "ppo-adaptive": ("continuous", {"lr_schedule": "adaptive", "value_clip": 0.2}),
}


def outcome(name):
    kind, settings = CASES[name]
    agent = small_agent(small_config(precision="float64", **settings), SPACES[kind])
    for i in range(3):
        metrics = agent.update(random_rollout(agent, SPACES[kind], iteration=i))
    state = {
        key: float(value.detach().abs().sum()) for key, value in agent.parameters.named.items()
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
