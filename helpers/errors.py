"""Errors shown to the user: two lines (the problem, the remedy) and an exit code."""

from __future__ import annotations

DONE = 0
NOT_ALL_DONE = 1  # of a swarm that was waited for
BAD_CONFIGURATION = 2
NUMERICAL = 3
BAD_CHECKPOINT = 4
STORAGE = 5
LAUNCH = 6
BUG = 70
INTERRUPTED = 130  # Ctrl-C, as shells count it
STOPPED_EARLY = 75  # resumable: the same command continues the run


class UserError(Exception):
    """A failure that the user can fix.

    Attributes:
        problem: what is wrong, with the value that is wrong.
        remedy: what to do about it, as an instruction.
        detail: further lines, shown before these two; "" where there is nothing to show.
        exit_code: the status the process ends with.
        is_users: whether it came out of code that is not this project's: its traceback is kept, and a run that has
            learned nothing leaves no folder.
    """

    exit_code = BUG
    is_users = False

    def __init__(self, problem: str, remedy: str, *, detail: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy
        self.detail = detail


class ConfigurationError(UserError):
    """A flag, a YAML key or an environment id that cannot be used."""

    exit_code = BAD_CONFIGURATION


class UsersCodeError(ConfigurationError):
    """What a user's own code raised or returned, or that of a package of environments."""

    is_users = True


class NumericalError(UserError):
    """A loss, gradient, parameter, observation or reward that is not finite."""

    exit_code = NUMERICAL


class UsersNumbersError(NumericalError):
    """An observation or a reward that a user's own task computed, and that is not finite."""

    is_users = True


class CheckpointError(UserError):
    """A checkpoint that is missing, altered, or of another run, architecture or world size."""

    exit_code = BAD_CHECKPOINT


class StorageError(UserError):
    """A disk that is full, over quota or not writable."""

    exit_code = STORAGE


class Stopped(UserError):
    """A signal to stop that came where a run cannot be saved: it resumes from its last checkpoint."""

    exit_code = STOPPED_EARLY

    def after(self, iteration: int) -> Stopped:
        """The same, with the iteration that the run resumes after."""
        return Stopped(self.problem, f"The same command resumes after iteration {iteration}.")


class LaunchError(UserError):
    """Workers that were started wrongly: singletons, another MPI, too few processes."""

    exit_code = LAUNCH
