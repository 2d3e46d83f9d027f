"""Every flag and YAML key that there was at commit 439f14c is still read, and its default has the same meaning.

`tests/golden/flags.json` is the frozen list. A default that changes on purpose is changed there, with its reason in the
commit. A key is never removed: a renamed setting keeps its former name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.algorithms import SCHEMA
from helpers.config.settings import settings_of
from swarm.flags.spawn_settings import SpawnSettings
from swarm.tune.settings import TuneSettings

OLD = json.loads((Path(__file__).parents[2] / "golden" / "flags.json").read_text(encoding="utf-8"))
EVERY = OLD["main.py"].pop("every")
KINDS = {"spawner.py": SpawnSettings, "tuner.py": TuneSettings}


@pytest.mark.parametrize("algo", sorted(OLD["main.py"]))
def test_old_keys_are_read_and_old_defaults_hold(algo: str) -> None:
    old = EVERY | OLD["main.py"][algo]
    layer = SCHEMA.layer_of({key: _text(value) for key, value in old.items() if value is not None})
    config = SCHEMA.resolve(layer).config.model_dump(mode="json")
    assert {key: config[key] for key in old} == old
    assert {
        key: SCHEMA.resolve(SCHEMA.layer_of({"algo": algo})).config.model_dump(mode="json")[key]
        for key in old
    } == old


@pytest.mark.parametrize("algo", sorted(OLD["former"]))
def test_former_names_stay(algo: str) -> None:
    now = {
        former: each.key
        for each in settings_of(SCHEMA.algorithms[algo]).values()
        for former in each.former
    }
    assert now.items() >= OLD["former"][algo].items()


@pytest.mark.parametrize("program", sorted(KINDS))
def test_flags_of_the_other_programs_stay(program: str) -> None:
    settings = settings_of(KINDS[program])
    names = {*settings, *(former for each in settings.values() for former in each.former)}
    assert names >= set(OLD[program])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
