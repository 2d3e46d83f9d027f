"""The list of algorithms, without torch and MPI: each with its configuration and its class.

`python -m agents.algorithms --write tasks/schema.json` writes the JSON Schema for editors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.cloning import config as cloning
from agents.demonstrations.config import DemosConfig
from agents.imitation import variants
from agents.imitation.config import ImitationSettings
from agents.off_policy import config as off_policy
from agents.on_policy import config as on_policy
from helpers.config.json_schema import json_schema_text
from helpers.config.run import RunConfig
from helpers.config.schema import Schema
from helpers.config.settings import Settings, settings_of


@dataclass(frozen=True)
class Entry:
    """An algorithm.

    Attributes:
        config: its configuration.
        implementation: the class with its module, imported when an agent is made.
        learner: of an imitation, the class of its learner where that is not what --learner names.
        models: the names of `agent.models()`; "critic_#" stands for one name a critic. Of an imitation, they are its
            learner's.
    """

    config: type[RunConfig]
    implementation: str
    learner: str = ""
    models: tuple[str, ...] = ("policy",)


_CRITICS = ("policy", "critic_#", "target_critic_#")

REGISTRY: Mapping[str, Entry] = {
    "ppo": Entry(on_policy.PPOConfig, "agents.on_policy.ppo.PPO", models=("policy", "value")),
    "sac": Entry(off_policy.SACConfig, "agents.off_policy.sac.SAC", models=_CRITICS),
    "td3": Entry(
        off_policy.TD3Config,
        "agents.off_policy.td3.TD3",
        models=(*_CRITICS, "target_policy"),
    ),
    "ddpg": Entry(
        off_policy.DDPGConfig,
        "agents.off_policy.ddpg.DDPG",
        models=("policy", "critic", "target_policy", "target_critic"),
    ),
    "crossq": Entry(
        off_policy.CrossQConfig,
        "agents.off_policy.crossq.CrossQ",
        models=("policy", "critic_#"),
    ),
    "redq": Entry(off_policy.REDQConfig, "agents.off_policy.redq.REDQ", models=_CRITICS),
    "tqc": Entry(off_policy.TQCConfig, "agents.off_policy.tqc.TQC", models=_CRITICS),
    "dqn": Entry(
        off_policy.DQNConfig,
        "agents.off_policy.dqn.DQN",
        models=("q_network", "target_q_network"),
    ),
    "bc": Entry(cloning.BCConfig, "agents.cloning.bc.BC"),
    "dagger": Entry(cloning.DaggerConfig, "agents.cloning.dagger.Dagger"),
    "gail": Entry(variants.GAILConfig, "agents.imitation.agent.ImitationAgent"),
    "airl": Entry(variants.AIRLConfig, "agents.imitation.agent.ImitationAgent"),
    "sam": Entry(variants.SAMConfig, "agents.imitation.agent.ImitationAgent"),
    "dac": Entry(variants.DACConfig, "agents.imitation.agent.ImitationAgent"),
    "red": Entry(variants.REDConfig, "agents.imitation.agent.ImitationAgent"),
    "maad": Entry(
        variants.MAADConfig,
        "agents.imitation.maad.MAAD",
        learner="agents.imitation.maad.GuidedPPO",
        models=("policy", "value"),
    ),
}
ALGORITHMS: Mapping[str, type[RunConfig]] = {name: each.config for name, each in REGISTRY.items()}
OTHER_OWNERS: Mapping[str, type[Settings]] = {"the imitation algorithms": ImitationSettings}
TASKS: Mapping[str, type[RunConfig]] = {"demos": DemosConfig}
SUGGESTED = (
    "sac",
    "dqn",
    "ppo",
)  # the first of them that takes the actions is suggested where an algorithm does not
SCHEMA = Schema(ALGORITHMS, other_owners=OTHER_OWNERS, tasks=TASKS)


def model_names(config: RunConfig) -> tuple[str, ...]:
    """The names of the models that an agent of this configuration has: what can be registered."""
    return _names(config.algo, vars(config))


def _names(algo: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    if "learner" in values and not REGISTRY[algo].learner:
        algo = values["learner"]
    critics = range(1, 1 + values.get("num_critics", 2))
    return tuple(
        name.replace("#", str(number))
        for name in REGISTRY[algo].models
        for number in (critics if "#" in name else (0,))
    )


MODELS_TO_REGISTER: Mapping[str, frozenset[str]] = {
    name: frozenset(
        _names(name, {key: each.default for key, each in settings_of(entry.config).items()}),
    )
    for name, entry in REGISTRY.items()
}


def main(argv: list[str] | None = None) -> int:
    """Print the JSON Schema of the YAML files, write it, or check that a file is up to date."""
    parser = argparse.ArgumentParser(prog="python -m agents.algorithms", description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it, as tasks/schema.json")
    parser.add_argument("--check", type=Path, metavar="FILE", help="status 1 if FILE is stale")
    arguments = parser.parse_args(argv)
    text = json_schema_text(SCHEMA.sections())
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    elif arguments.check:
        return int(arguments.check.read_text(encoding="utf-8") != text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
