"""`README.md` of a policy package: what it is, how good, its curve, and a few lines that act with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.ids import suite_of
from helpers.config.run_basics import PICTURES

_HEAD = """import numpy as np
import onnxruntime

policy = onnxruntime.InferenceSession("policy.onnx")
"""

_THROUGH_US = """from environments.factory import make_vector_env  # of MiloZero, which makes its observations
{head}
env = make_vector_env("{env_id}", seeds=[{seed}]{options})
{random}observation, _ = env.reset()
total, done = 0.0, False
while not done:
    inputs = {{"observation": observation.astype(np.{dtype}){noise}}}
    (actions,) = policy.run(None, inputs)
    observation, reward, terminated, truncated, _ = env.step(actions)
    total, done = total + float(reward[0]), terminated[0] or truncated[0]
print(f"return: {{total:.2f}}")
"""
_NOISES = {"normal": "standard_normal", "gumbel": "gumbel"}


def program_of(contract: Mapping[str, Any], *, is_flat: bool) -> str:
    """A Python program that runs an episode of the policy in its environment, by onnxruntime.

    Args:
        contract: of the package.
        is_flat: whether the environment's own observations are vectors.
    """
    env_id, observation = contract["environment"]["id"], "observation"
    parts = {
        "head": _HEAD,
        "env_id": env_id,
        "seed": contract["evaluation"]["seeds"][0],
        "dtype": contract["observation"]["dtype"],
        "noise": "",
        "random": "",
        "action": _taken(contract["action"]),
    }
    if contract["noise"]:
        draw, size = _NOISES[contract["noise"]["distribution"]], contract["noise"]["shape"][0]
        parts["random"] = "generator = np.random.default_rng(0)\n"
        parts["noise"] = (
            f', "noise": generator.{draw}(size=(1, {size})).astype(np.{parts["dtype"]})'
        )
    options = contract["environment"].get("options")
    program = suite_of(env_id).program(env_id)
    if "picture" in contract["observation"]:
        made = {"kept": True, **contract["environment"]["preprocessing"]}
        options, program = {**options, **{f"{PICTURES}{k}": v for k, v in made.items()}}, None
    parts["options"] = ""
    if options:
        parts["options"] = f", options={options!r}" if program is None else f", **{options!r}"
    if not is_flat:
        observation = "gymnasium.spaces.flatten(env.observation_space, observation)"
    limit = contract["environment"]["max_episode_steps"]
    return (program or _THROUGH_US).format(**parts, observation=observation, limit=limit)


def _taken(acts: Mapping[str, Any]) -> str:
    """The first action of `actions` as the environment takes it, in Python."""
    if "choices" in acts and not acts["shape"]:
        return "int(actions[0])"
    if "choices" in acts or "shape_of_environment" in acts:
        return "actions[0].reshape(env.action_space.shape).astype(env.action_space.dtype)"
    return "actions[0]"


def card_of(contract: Mapping[str, Any], *, is_flat: bool, has_curve: bool) -> str:
    """The card, as Markdown."""
    environment, run, evaluation = (contract[key] for key in ("environment", "run", "evaluation"))
    policy, seen, acts = contract["policy"], contract["observation"], contract["action"]
    spread = f"{evaluation['return_mean']:,.2f} +- {evaluation['return_sd']:,.2f}"
    rows = {
        "environment": f"{environment['id']}, {environment['suite']}",
        "algorithm": policy["algorithm"],
        "trained for": f"{policy['step']:,} {policy['step_unit']} (iteration {policy['iteration']})",
        "return": f"{spread}, {evaluation['episodes']} episodes, {policy['actions']} actions",
        "smallest, largest": f"{evaluation['return_min']:,.2f}, {evaluation['return_max']:,.2f}",
        "episode length": f"{evaluation['length_mean']:,.1f} of {environment['max_episode_steps']} steps",
        "time step": f"{environment['time_step']:g} s" if environment["time_step"] else "none",
        "observation": f"{seen['shape'][0]} numbers, {seen['dtype']}, as the environment gives them",
        **_picture_of(seen),
        "action": _actions_of(acts),
        "run": run["name"],
        "commit": str(run["commit"]),
        "differs from the trained policy by": f"{contract['check']['largest_difference']:.1e} at most, "
        f"over {contract['check']['observations']} observations",
    }
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows.items())
    curve = "\n![Learning curve of the run](learning_curve.png)\n" if has_curve else ""
    versions = " ".join(f"{name}=={number}" for name, number in environment["versions"].items())
    return f"""# {policy["algorithm"]} on {environment["id"]}

| | |
|---|---|
{table}
{curve}
## Acting with it

`policy.onnx` takes raw observations (batch, {seen["shape"][0]}) and gives actions as the environment takes them:
standardisation, scaling and clipping are inside. In this folder, with `pip install onnxruntime {versions}`:

```python
{program_of(contract, is_flat=is_flat).rstrip()}
```

## Files

| file | contents |
|---|---|
| `policy.onnx` | the policy, for onnxruntime 1.20 or later |
| `policy.safetensors`, `architecture.json` | its weights and its layers, for any program |
| `contract.json` | shapes, bounds, versions, returns and a sha256 of each file |
| `check.safetensors` | observations of the evaluation, and the actions that belong to them |

In MiloZero: `from policy import load_policy; policy = load_policy("this folder"); action = policy(observation)`.
"""


def _picture_of(seen: Mapping[str, Any]) -> dict[str, str]:
    """A row on the pictures that it takes."""
    if "picture" not in seen:
        return {}
    form = seen["picture"]
    size = f"{form['channels']} x {form['height']} x {form['width']}"
    frames = f", {form['frames']} frames" if form["frames"] > 1 else ""
    return {"picture": f"{size}{frames} made of {form['found']}: {form['order']}"}


def _actions_of(acts: Mapping[str, Any]) -> str:
    if "choices" in acts and acts["shape"]:
        return f"{len(acts['choices'])} choices, of {', '.join(map(str, acts['choices']))}, int64"
    if "choices" in acts:
        first = f", from {acts['start']} on" if acts.get("start") else ""
        return f"one of {acts['choices']}{first}, int64"
    low, high = acts["low"], acts["high"]
    same = len(set(low)) == len(set(high)) == 1 and None not in (low[0], high[0])
    bounds = f", each in [{low[0]:g}, {high[0]:g}]" if same else ""
    return f"{acts['shape'][0]} numbers{bounds}, {acts['dtype']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
