"""A policy package as an MLflow model: this file is kept beside it and needs onnxruntime and numpy, not MiloZero.

import mlflow
policy = mlflow.pyfunc.load_model("models:/NAME@production")
actions = policy.predict(observations)  # (batch, obs_dim) or (obs_dim,), any float dtype
values = critic.predict({"observation": observations, "action": actions})  # of a critic
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class PolicyModel(PythonModel):
    """Actions for raw observations; values for observations and actions."""

    def load_context(self, context: Any) -> None:
        """Read the package, whose files must be those that were exported."""
        folder = Path(context.artifacts["package"])
        self.contract = json.loads((folder / "contract.json").read_text())
        for name, proof in self.contract["files"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != proof["sha256"]:
                raise ValueError(f"{name} was altered after the export")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        (path,) = folder.glob("*.onnx")
        self.session = onnxruntime.InferenceSession(
            path.read_bytes(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """What the model gives (batch, ...), or for one observation (obs_dim,) one action."""
        given: Any = model_input
        if not isinstance(given, dict):
            given = {self.session.get_inputs()[0].name: np.asarray(model_input)}
        single = np.ndim(next(iter(given.values()))) == 1
        inputs: dict[str, np.ndarray] = {}
        for each in self.session.get_inputs():
            dtype = _DTYPES[each.type]
            if each.name == "noise" and "noise" not in given:
                generator = np.random.default_rng((params or {}).get("seed"))
                kind = self.contract["noise"]["distribution"]
                draw = generator.gumbel if kind == "gumbel" else generator.standard_normal
                value = draw(size=(len(inputs["observation"]), each.shape[1]))
            else:
                value = np.asarray(given[each.name])
            inputs[each.name] = np.atleast_2d(value).astype(dtype)
        (result,) = self.session.run(None, inputs)
        return result[0] if single else result


set_model(PolicyModel())
