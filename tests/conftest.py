"""Settings of every test process: one thread, no display, the same random numbers each time, the limits of time."""

import os
import sys
import tempfile
from collections.abc import Generator

import pytest

from helpers.machine.processor import hold_libraries
from tests.durations import longest_first
from tests.patience import patience

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = (
    "false"  # else its words are in the stderr of programs that tests start
)
# spawners that tests start note their folders there, and not in the home of whoever tests
os.environ["XDG_STATE_HOME"] = f"{tempfile.gettempdir()}/milozero_tests_{os.getuid()}"
pytest.register_assert_rewrite("tests.resume_cases")  # it says what differs
hold_libraries()  # where MILOZERO_MARCH says for which instruction set to test


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws does not depend on the tests before it, nor on the day."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several tests run at a time, the longest ones begin."""
    xdist: dict[str, int] = getattr(config, "workerinput", {})
    if xdist.get("workercount", 1) > 1:
        items[:] = longest_first(
            items,
            xdist["workercount"],
            module_of=lambda item: item.path.relative_to(config.rootpath).as_posix(),
        )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The limit of pyproject.toml is that of a quiet machine."""
    if item.config.getoption("timeout") is None and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(patience(float(item.config.getini("timeout")))))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be skipped, a skipped test has failed."""
    report = yield
    if report.skipped and os.environ.get("MILOZERO_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which .ci/run does not allow: {report.longrepr}"
    return report
