"""Other libraries' models brought in by --task=migrate, and how far their actions then differ.

    python -m benchmarks.migration FOLDER --write

FOLDER is what `theirs.py` and `cleanrl.py` beside this file wrote; the table goes to docs/results/migration.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from agents.weights.load import load_agent
from helpers.machine.processor import cpu_model, instruction_set

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results" / "migration.md"
HEAD = f"""# Models of other libraries, brought in

Made by `THEIR_PYTHON benchmarks/migration/theirs.py FOLDER` (Stable-Baselines3 2.9.2, rl_games 1.6.5 and torch 2.13.0,
in an environment of their own; CleanRL: its scripts' networks, and for TD3 also a file that the script
td3_continuous_action.py of commit 004f8a08 saved after 190 steps, by `benchmarks/migration/cleanrl.py SCRIPTS FOLDER`
with gymnasium 1.4.0; its buffer taken from Stable-Baselines3, its logging and uploads left out) and
`python -m benchmarks.migration FOLDER --write`,
on {cpu_model()}, {instruction_set()}. Each is brought in by one command, `--task=migrate
--migrate_from=FILE --env_id=ID` with the flags that are named, and compared on 10,000 random observations. PPO's
actions are compared before they are cut to the bounds. rl_games' observations are within 4.9 deviations of their
mean: it cuts them at 5, we at 10.

| model | further flags | largest difference of actions | largest action |
|---|---|---|---|
"""


def row(folder: Path) -> str:
    """A row of the table."""
    what = json.loads((folder / "what.json").read_text())
    flags = list(what["flags"])
    if (folder / "vecnormalize.pkl").exists():
        flags.append("--migrate_moments=vecnormalize.pkl")
    shown = " ".join(flags)
    with tempfile.TemporaryDirectory() as runs:
        command = [
            sys.executable,
            "main.py",
            "--task=migrate",
            f"--migrate_from={folder / what['file']}",
        ]
        command += [f"--env_id={what['env_id']}", f"--runs_dir={runs}", "--uuid=theirs.seed00"]
        command += [flag.replace("=vecnormalize", f"={folder}/vecnormalize") for flag in flags]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            said = (
                " ".join(done.stderr.split()).replace(f"{folder}/", "").removeprefix("milozero: ")
            )
            return f"| {folder.name} | {shown} | refused: {said} | |\n"
        with np.load(folder / "theirs.npz") as theirs:
            observations, actions = theirs["observations"], theirs["actions"]
        ours, _ = load_agent(Path(runs) / "theirs.seed00").predict(observations, explore=False)
    if ours.dtype == np.int64:
        return f"| {folder.name} | {shown} | {int((ours != actions).sum())} of {len(ours)} choices | |\n"
    difference, largest = (float(np.abs(each).max()) for each in (ours - actions, actions))
    return f"| {folder.name} | {shown} | {difference:.1e} | {largest:.3g} |\n"


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what theirs.py wrote")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    folders = sorted(path.parent for path in asked.folder.absolute().glob("*/what.json"))
    text = HEAD + "".join(row(folder) for folder in folders)
    print(text, end="")
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
