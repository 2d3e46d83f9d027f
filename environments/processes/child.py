"""A process that steps some environments for another: `python -m environments.processes.child SOCKET PARENT`.

It ends with the process that started it: the kernel kills it then, and its socket ends.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import traceback
from typing import Any

from environments.factory import make_vector_env
from environments.processes.messages import ConnectionLost, receive, send
from environments.processes.spaces import describe_space
from environments.same_step import SameStepEnv
from helpers.errors import UserError
from helpers.parallel.launch import LAUNCHED

_PR_SET_PDEATHSIG = 1
# What is sent to all processes of a job: the worker saves and stops, and ends this one then.
_LEFT_TO_THE_PARENT = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM")


def main(argv: list[str]) -> int:
    """Serve until the parent hangs up."""
    descriptor, parent = int(argv[0]), int(argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 0  # it died before that
    for name in _LEFT_TO_THE_PARENT:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    faulthandler.enable()  # a crash in C writes where it was
    with socket.socket(fileno=descriptor) as connection:
        try:
            serve(connection)
        except ConnectionLost:
            pass
    return 0


def serve(connection: socket.socket) -> None:
    """Make environments as the first message says, then do what the others ask for."""
    wanted = receive(connection)
    _use_cores(wanted["cores"])
    try:
        environment = make_vector_env(
            wanted["env_id"],
            seeds=wanted["seeds"],
            options=wanted["options"],
            backend=wanted["backend"],
            max_episode_steps=wanted["max_episode_steps"],
        )
        send(connection, {"done": _describe(environment)})
    except UserError as error:
        send(connection, _refusal(error))
        return
    except Exception:  # whatever an environment raises is sent to the parent  # noqa: BLE001
        send(connection, {"crashed": traceback.format_exc()})
        return
    while True:
        message = receive(connection)
        try:
            answer = _do(environment, message)
        except UserError as error:
            send(connection, _refusal(error))
            if error.is_users:  # whose mistake it is will not go away in another process
                return
            continue
        except Exception:  # noqa: BLE001
            send(connection, {"crashed": traceback.format_exc()})
            return
        send(connection, {"done": answer})


def _refusal(error: UserError) -> dict[str, Any]:
    """Two lines for its reader, and the traceback for the file that is kept."""
    refusal = [type(error).__name__, error.problem, error.remedy]
    return {"refused": refusal, "trace": traceback.format_exc()}


def _do(environment: SameStepEnv, message: dict[str, Any]) -> Any:
    match message["call"]:
        case "step":
            return [*environment.step(message["actions"]), getattr(environment, "failures", 0)]
        case "reset":
            options = message["options"]
            return environment.reset(seed=message["seed"], options=options)
        case "rest":
            environment.rest(message["chosen"])
            return None
        case "state_dict":
            return environment.state_dict()
        case "load_state_dict":
            environment.load_state_dict(message["state"])
            return environment.observations
        case "inexact_because":
            return environment.inexact_because
    raise ValueError(f"no call {message['call']}")


def _use_cores(count: int) -> None:
    """All cores of the machine, where a launcher has bound the worker to fewer than it has processes.

    The scripts of swarms let no launcher do so: there, what is fewer was asked for, or is all that Slurm gave.
    """
    if LAUNCHED not in os.environ and len(os.sched_getaffinity(0)) < count:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _describe(environment: SameStepEnv) -> dict[str, Any]:
    """The parent's description of its environments."""
    return {
        "observations": describe_space(environment.single_observation_space),
        "actions": describe_space(environment.single_action_space),
        "max_episode_steps": environment.max_episode_steps,
        "time_step": environment.time_step,
        "names": environment.names,
        "render_fps": environment.metadata.get("render_fps"),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
