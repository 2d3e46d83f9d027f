"""The settings of every algorithm, without torch and MPI, so that whatever validates is quick.

`python -m agents.algorithms --write tasks/schema.json` writes the JSON Schema for editors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from agents.cloning.config import BCConfig, DaggerConfig
from agents.demonstrations.config import DemosConfig
from agents.imitation import variants
from agents.imitation.config import ImitationSettings
from agents.off_policy.config import CrossQConfig, DDPGConfig, DQNConfig, SACConfig, TD3Config
from agents.on_policy.config import PPOConfig
from helpers.config.json_schema import json_schema_text
from helpers.config.run import RunConfig
from helpers.config.schema import Schema
from helpers.config.settings import Settings

ALGORITHMS: Mapping[str, type[RunConfig]] = {
    "ppo": PPOConfig,
    "sac": SACConfig,
    "td3": TD3Config,
    "ddpg": DDPGConfig,
    "crossq": CrossQConfig,
    "dqn": DQNConfig,
    "bc": BCConfig,
    "dagger": DaggerConfig,
    "gail": variants.GAILConfig,
    "airl": variants.AIRLConfig,
    "sam": variants.SAMConfig,
    "dac": variants.DACConfig,
    "red": variants.REDConfig,
    "maad": variants.MAADConfig,
}
OTHER_OWNERS: Mapping[str, type[Settings]] = {"the imitation algorithms": ImitationSettings}
TASKS: Mapping[str, type[RunConfig]] = {"demos": DemosConfig}
SCHEMA = Schema(ALGORITHMS, other_owners=OTHER_OWNERS, tasks=TASKS)


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
