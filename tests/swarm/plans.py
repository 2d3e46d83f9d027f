"""What the tests of expansion and rendering share: a small request, a plan, a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from agents.algorithms import SCHEMA
from environments.ids import benchmark_of, resolve_env_id
from helpers.errors import UserError
from swarm.plan import Caliber, Launch, Plan
from swarm.planning.expand import Expansion, Request, expand, plan_of
from swarm.planning.request import Program

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Program(ROOT, SCHEMA, resolve_env_id, benchmark_of)
HERE = Path("/home/me/milozero")
LAUNCH = Launch("local", HERE, Path("/opt/venv/bin/python"), mpiexec="/opt/venv/bin/mpiexec")
SHORT = Caliber("short", seconds=21_600)


def expanded(*, schema: Any = SCHEMA, here: Path = HERE, **request: Any) -> Expansion:
    """All runs of a request, whose `settings` may be a mapping; the commit is always the same."""
    settings = request.pop("settings", {})
    settings = schema.layer_of(settings) if isinstance(settings, Mapping) else settings
    with patch("helpers.run_folder.experiment.short_commit", return_value="1234567"):
        return expand(
            Request(settings, **request),
            schema=schema,
            working_folder=here,
            resolve_env_id=resolve_env_id,
        )


def planned(*, launch: Launch = LAUNCH, label: str = "test", **request: Any) -> Plan:
    """A plan of a request."""
    here = launch.working_folder
    plan = plan_of(
        expanded(here=here, **request),
        launch,
        label=label,
        swarms=here / "data" / "swarms",
    )
    if launch.secrets_file is None:
        return plan
    return replace(plan, launch=replace(launch, secrets_file=plan.folder / launch.secrets_file))


def refused(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[str, str]:
    """(problem, remedy) of a call that must not be accepted; each is one line."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **keywords)
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") == 1, str(caught.value)
    return caught.value.problem, caught.value.remedy
