"""What CleanRL's TD3 does with a file that its own script saved: run by a Python that has the script's packages.

    cd SCRIPTS
    python td3_continuous_action.py --env-id Pendulum-v1 --total-timesteps 190 --learning-starts 60 --save-model
    THEIR_PYTHON benchmarks/migration/cleanrl.py SCRIPTS FOLDER
    python -m benchmarks.migration FOLDER

SCRIPTS is a folder with td3_continuous_action.py and the runs/ that it made. FOLDER gets the file, observations and
actions (theirs.npz) and the environment (what.json), as `theirs.py` writes them. The script's own Actor is used.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import gymnasium
import numpy as np
import torch

SCRIPT = "td3_continuous_action"
COUNT = 10_000


def main() -> None:
    """Write the folder of the newest file."""
    scripts, folder = (Path(each).absolute() for each in sys.argv[1:3])
    files = sorted(scripts.glob(f"runs/*__{SCRIPT}__*/{SCRIPT}.cleanrl_model"))
    if not files:
        sys.exit(f"{scripts}/runs has no {SCRIPT}.cleanrl_model: run the script with --save-model.")
    env_id = files[-1].parent.name.split("__")[0]
    sys.path.insert(0, str(scripts))
    script = importlib.import_module(SCRIPT)
    environments = gymnasium.vector.SyncVectorEnv([script.make_env(env_id, 1, 0, False, "")])
    actor = script.Actor(environments)
    actor.load_state_dict(torch.load(files[-1], weights_only=True)[0])
    size = int(np.prod(environments.single_observation_space.shape or ()))
    observations = np.random.default_rng(0).normal(0.0, 1.5, (COUNT, size)).astype(np.float32)
    with torch.no_grad():
        actions = actor(torch.as_tensor(observations)).numpy()
    place = folder / f"CleanRL {SCRIPT}, its script's"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(files[-1], place)
    np.savez(place / "theirs.npz", observations=observations, actions=actions)
    what = {"env_id": env_id, "file": files[-1].name, "flags": []}
    (place / "what.json").write_text(json.dumps(what))
    print(f"{place}\nnext: python -m benchmarks.migration {folder}")


if __name__ == "__main__":
    main()
