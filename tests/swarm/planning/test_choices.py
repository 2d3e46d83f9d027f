"""A value reaches its run as it was written: by a flag, in a YAML file, as a choice of a sweep or of the tuner.

`python -m tests.swarm.planning.test_choices 10000` draws as often, over every setting of every algorithm.
"""

from __future__ import annotations

import random
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from agents.algorithms import SCHEMA
from helpers.config.schema import to_flags
from helpers.config.settings import Scalar, Setting, show
from helpers.errors import ConfigurationError
from swarm.plan import ArgsMethod, Plan, Run
from swarm.planning.expand import plan_of
from swarm.scripts.render import render_job, render_settings
from swarm.tune.task_file import read_search
from tests.swarm.plans import LAUNCH, expanded

FORMS = ("flag", "yaml", "sweep", "tuner")
DRAWS = 400
_OF_THE_SWARM = {"uuid", "seed", "task"}  # a swarm counts, names and trains
_OF_THE_TUNER = {*_OF_THE_SWARM, "runs_dir", "mlflow", "execution_time"}
_TEXTS = ("plain", "a b", "it's", "$HOME", "1.5", "é%j", "#x", "[a]", "key: value", '"q"', "null x")
_OWN: Mapping[str, Sequence[str]] = {  # what no rule of a single setting says
    "env_id": ("Hopper-v5", "Walker2d-v5", "Ant-v5"),
    "env_options": ('{"a": 1.5}', '{"b": true, "c": "x"}'),
    "checkpoint_interval": ("auto", "1000"),
}
# Instructions: what remains of them is in other settings.
_SHORTHANDS = {
    "batch_norm_all": r"\w+_batch_norm",
    "activation": r"[pvq]_activation",
    "perception_stack": r"[pvq]_perception_stack",
}
_KEPT = ("learner",)  # of which other defaults are derived


@dataclass
class Tally:
    """What was drawn: how often, what differed, and which settings left their default."""

    draws: int = 0
    refused: int = 0
    different: list[str] = field(default_factory=list)
    changed: set[tuple[str, str]] = field(default_factory=set)


@cache
def known_to(algo: str) -> Mapping[str, Setting]:
    """The settings of an algorithm with its usual learner."""
    return SCHEMA.algorithms[algo].settings_for({"algo": algo})


def value_of(each: Setting, dice: random.Random) -> Scalar:
    """A value that the setting takes."""
    if each.is_optional and dice.random() < 0.15:
        return None
    if each.key in _OWN:
        return each.read(dice.choice(_OWN[each.key]))
    if each.choices:  # a task with settings of its own is no run of an algorithm
        return dice.choice([name for name in each.choices if name not in SCHEMA.tasks])
    if each.kind == "bool":
        return dice.random() < 0.5
    if each.kind == "str":
        return _text(each, dice)
    low = max((each.bounds[name] for name in ("ge", "gt") if name in each.bounds), default=0)
    high = min((each.bounds[name] for name in ("le", "lt") if name in each.bounds), default=None)
    usual = each.default if isinstance(each.default, int | float) else 1
    if each.kind == "int":
        top = max(low + 2, 2 * usual) if high is None else high
        return dice.choice(
            [int(usual) * 2 or 1, dice.randint(int(low) + 1, max(int(top), int(low) + 1))],
        )
    top = low + 2 * abs(usual) + 1 if high is None else high
    number = low + (top - low) * dice.uniform(0.01, 0.99)
    return dice.choice([number, float(f"{number:.1e}")])


def _text(each: Setting, dice: random.Random) -> str:
    texts = [each.example, each.default, *_TEXTS, "mlp_32", "mlp_32_16_8", "1.5", "7", "60", "none"]
    fitting = []
    for text in filter(None, texts):
        try:
            fitting.append(str(each.read(text)))
        except ValueError:
            continue
    return dice.choice(fitting)


def spelled(value: Scalar, dice: random.Random) -> str:
    """One of the ways to write a value."""
    if isinstance(value, bool):
        return dice.choice(("true", "yes", "on", "1") if value else ("false", "no", "off", "0"))
    if isinstance(value, float) and float(f"{value:e}") == value:
        return dice.choice([f"{value:e}", repr(value)])
    return "" if value is None else show(value)


def in_yaml(value: Scalar, dice: random.Random) -> str:
    """The same in a YAML file."""
    if value is None:
        return dice.choice(["null", "~", ""])
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()
    return spelled(value, dice)


def expected(algo: str, written: Mapping[str, Scalar]) -> dict[str, Any]:
    """What the run is to have: what was written, and defaults."""
    base = {"algo": algo} | {key: written[key] for key in _KEPT if key in written}
    config = SCHEMA.resolve(SCHEMA.layer_of(base)).config
    values: dict[str, Any] = config.model_dump()
    stacks = [str(each) for key, each in written.items() if key.endswith("perception_stack")]
    if any("cnn" in each for each in stacks):
        values |= getattr(config, "OF_PICTURES", None) or {}
    for shorthand, keys in _SHORTHANDS.items():
        if written.get(shorthand) is not None:
            values |= {key: written[shorthand] for key in values if re.fullmatch(keys, key)}
    if written.get("minimax_only") is not None:
        values["reward_type"] = "gail" if written["minimax_only"] else "airl"
    instructions = dict.fromkeys((*_SHORTHANDS, "minimax_only"))
    own = {
        key: value for key, value in written.items() if key in values
    }  # another learner's are only told
    return values | own | {key: None for key in instructions if key in values}


class Drawn:
    """One draw: some settings of an algorithm, written in one form, started by one method."""

    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self.dice = random.Random(f"{seed} {number}")
        self.folder, self.form = folder, FORMS[number % len(FORMS)]
        algos = [
            (algo, key) for algo in SCHEMA.algorithms for key in known_to(algo) if key != "algo"
        ]
        barred = {"flag": set(), "yaml": {"uuid", "task"}, "sweep": _OF_THE_SWARM}
        self.barred = barred.get(self.form, _OF_THE_TUNER)
        self.algo, self.main = self.dice.choice(algos)
        while self.main in self.barred:
            self.algo, self.main = self.dice.choice(algos)
        self.method: ArgsMethod = self.dice.choice(get_args(ArgsMethod))
        self.others: list[dict[str, Scalar]] = []
        self.written: dict[str, Scalar] = {}

    def write(self, *, more: int) -> None:
        """Draw the values."""
        known = known_to(self.algo)
        keys = [key for key in known if key not in {"algo", "task", self.main, *self.barred}]
        keys = [self.main, *self.dice.sample(keys, more)]
        if self.dice.random() < 0.7 and "learner" in keys[1:]:
            keys.remove("learner")
        self.written = {key: value_of(known[key], self.dice) for key in keys}
        other = value_of(known[self.main], self.dice)
        self.others = (
            [] if other == self.written[self.main] else [self.written | {self.main: other}]
        )

    def differences(self) -> list[str]:
        """What the runs have that was not written; ConfigurationError where the values do not go together."""
        lines = []
        for written, arguments, config in getattr(self, f"_by_{self.form}")():
            want = expected(self.algo, written)
            got = SCHEMA.parse_command_line(arguments).config.model_dump()
            named = set() if "uuid" in written else {"uuid"}  # by the swarm
            for key in (want | got | config).keys() - named:
                here, there = (
                    want.get(key, "absent"),
                    (config.get(key, "absent"), got.get(key, "absent")),
                )
                if there != (here, here):
                    told = f"{self.form} {self.method} {self.algo}: {written}"
                    lines.append(f"{told}: {key} is {there}, not {here!r}")
        return lines

    def _by_flag(self) -> list[tuple[dict[str, Scalar], list[str], dict[str, Any]]]:
        argv = [f"--algo={self.algo}"]
        for key, value in self.written.items():
            argv.append(f"--{key}={spelled(value, self.dice)}")
        config = SCHEMA.parse_command_line(argv).config
        run = Run("x.seed00", config, self.folder / "x")
        plan = Plan("x", self.folder / "x", (run,), replace(LAUNCH, args_method=self.method))
        return [(self.written, arguments_in(plan, run), config.model_dump())]

    def _expanded(self, text: str, **request: Any) -> list[tuple[list[str], dict[str, Any]]]:
        file = self.folder / "settings.yaml"
        file.write_text(f"algo: {self.algo}\n{text}")
        expansion = expanded(settings=SCHEMA.read_file(file), **request)
        launch = replace(LAUNCH, args_method=self.method)
        plan = plan_of(expansion, launch, label="x", swarms=self.folder)
        return [(arguments_in(plan, run), run.config.model_dump()) for run in plan.runs]

    def _by_yaml(self) -> list[tuple[dict[str, Scalar], list[str], dict[str, Any]]]:
        lines = [f"{key}: {in_yaml(value, self.dice)}\n" for key, value in self.written.items()]
        return [(self.written, *each) for each in self._expanded("".join(lines))]

    def _by_sweep(self) -> list[tuple[dict[str, Scalar], list[str], dict[str, Any]]]:
        every = [self.written, *self.others]
        lines = [self._list(key, every if key == self.main else every[:1]) for key in self.written]
        request = {"sweep": True, "sweep_mode": "grid"}
        try:
            runs = self._expanded("".join(lines), **request)
        except ConfigurationError as error:
            if "the same name" not in error.problem or len(every) == 1:
                raise
            every = every[:1]
            lines = [self._list(key, every) for key in self.written]
            runs = self._expanded("".join(lines), **request)
        if len(runs) != len(every):
            return [(every[0], [], {"trials": f"{len(runs)}, not {len(every)}"})]
        return [(written, *each) for written, each in zip(every, runs, strict=True)]

    def _list(self, key: str, every: Sequence[Mapping[str, Scalar]]) -> str:
        return f"{key}: [{', '.join(in_yaml(each[key], self.dice) or 'null' for each in every)}]\n"

    def _by_tuner(self) -> list[tuple[dict[str, Scalar], list[str], dict[str, Any]]]:
        file = self.folder / "search.yaml"
        choice = in_yaml(self.written[self.main], self.dice) or "null"
        lines = [f"algo: {self.algo}", f"search:\n  {self.main}: {{choice: [{choice}]}}"]
        for key, value in self.written.items():
            if key != self.main:
                lines.append(f"{key}: {in_yaml(value, self.dice)}")
        file.write_text("\n".join(lines) + "\n")
        search = read_search(
            ["--config", str(file), "--num_workers=1", "--scheduler=random"],
            SCHEMA,
        )
        [values] = search.space.draws(1, seed=0, accepts=lambda settings: "")
        config = SCHEMA.resolve(SCHEMA.layer_of(search.space.settings(values))).config
        return [(self.written, to_flags(config, "full"), config.model_dump())]


def arguments_in(plan: Plan, run: Run) -> list[str]:
    """What main.py gets, read from the job script as bash does."""
    if plan.launch.args_method == "yaml":
        plan = replace(plan, folder=plan.folder / "elsewhere")
        plan.config_file(run).parent.mkdir(parents=True, exist_ok=True)
        plan.config_file(run).write_text(render_settings(run), encoding="utf-8")
    block = re.search(r"local command=\(\n(.*?)\n  \)\n", render_job(plan, run), re.DOTALL)
    assert block is not None
    words = shlex.split(block[1])
    return words[words.index("main.py") + 1 :]


def draw(folder: Path, number: int, tally: Tally, *, seed: int = 0) -> None:
    """One draw; values that do not go together are drawn again, fewer of them, at last of another setting."""
    for attempt in range(100):
        if attempt % 20 == 0:
            drawn = Drawn(folder, number, seed + 1_000_003 * attempt)
        drawn.write(more=max(3 - attempt % 20, 0))
        try:
            found = drawn.differences()
        except ConfigurationError:
            tally.refused += 1
            continue
        tally.draws += 1
        tally.different += [f"draw {number}: {', '.join(found)}"] if found else []
        if drawn.written[drawn.main] != known_to(drawn.algo)[drawn.main].default:
            tally.changed.add((drawn.algo, drawn.main))
        return


def test_what_is_written_reaches_the_run(tmp_path):
    tally = Tally()
    for number in range(DRAWS):
        draw(tmp_path, number, tally)
    assert not tally.different, f"{len(tally.different)} differ: {tally.different[0]}"
    assert tally.draws == DRAWS


@pytest.mark.parametrize("key", ["batch_norm_all", "minimax_only"])
def test_choices_of_a_shorthand_are_trials(key):
    settings = {"algo": "gail", key: [True, False]}
    runs = expanded(settings=settings, sweep=True, sweep_mode="grid").runs
    for value, run in zip((True, False), runs, strict=True):
        want = expected("gail", {key: value})
        assert {name: getattr(run.config, name) for name in want if name != "uuid"} == {
            name: each for name, each in want.items() if name != "uuid"
        }


def main(argv: Sequence[str]) -> int:
    """Draw as often as is asked, and tell what came of it."""
    count, tally = int(argv[0]), Tally()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            draw(Path(folder), number, tally, seed=int(argv[1]) if argv[1:] else 0)
    every = {(algo, key) for algo in SCHEMA.algorithms for key in known_to(algo) if key != "algo"}
    print(
        f"{tally.draws} draws, {len(tally.different)} different; refused and drawn again: {tally.refused}",
    )
    print(f"settings that left their default: {len(tally.changed)} of {len(every)}")
    for line in tally.different[:10]:
        print(line)
    print("not:", *sorted({key for _, key in every - tally.changed}))
    return 1 if tally.different or tally.draws < count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
