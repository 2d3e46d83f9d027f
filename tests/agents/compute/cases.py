"""A process that has a gradient step compiled: python -m tests.agents.compute.cases MODE.

"ignore": it is deaf to signals. "deadline": it takes them as a run does. It says "begun" and, where a step was taken,
how: one line of JSON.
"""

import json
import logging
import signal
import sys

import torch

from agents.compute.compiled_step import CompiledStep
from helpers.errors import Stopped
from helpers.machine import choices
from helpers.parallel.deadline import STOP_SIGNALS, Deadline
from helpers.parallel.workers import Workers


def piece(t: dict[str, torch.Tensor]) -> None:
    """Enough of it to be worth compiling, with vectors in it."""
    x = t["x"]
    for _ in range(8):
        x = torch.tanh(x) * t["y"].exp() + x.sigmoid()
    t["x"].copy_(x)
    t["sum"].copy_(x.sum(0))


def main(mode: str) -> int:
    """The exit code of what happened."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if mode == "deadline":
        Deadline(workers=Workers.solo()).install_signal_handlers()
    else:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tensors = {"x": torch.randn(64, 48), "y": torch.randn(64, 48), "sum": torch.zeros(48)}
    step = CompiledStep("piece", piece, tensors, native=True)
    step.begin()
    print("begun", flush=True)
    try:
        step()
    except Stopped as stop:
        print(stop.problem)
        return stop.exit_code
    print(json.dumps({"made": choices.all_choices(), "sum": tensors["sum"].sum().item()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
