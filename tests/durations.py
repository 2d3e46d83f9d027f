"""Which modules take long: they begin, so that at the end no worker of pytest-xdist waits for one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

# Of a processor, roughly, on a busy machine of 2024 that has compiled nothing yet. What is not here takes less than 5.
SECONDS = {
    "tests/agents/cloning/test_cloner.py": 40,
    "tests/agents/compute/test_compiled_step.py": 10,
    "tests/agents/test_contract.py": 7,
    "tests/agents/on_policy/test_native_steps.py": 10,
    "tests/agents/on_policy/test_ppo.py": 9,
    "tests/agents/off_policy/test_learner.py": 105,
    "tests/agents/imitation/test_adversarial.py": 35,
    "tests/agents/test_workers_agree.py": 65,
    "tests/agents/test_workers_in_threads.py": 5,
    "tests/environments/test_batched_mujoco.py": 15,
    "tests/environments/opensim/test_tasks.py": 15,
    "tests/environments/processes/test_vector_env.py": 20,
    "tests/test_opensim_flow.py": 25,
    "tests/reports/test_report.py": 20,
    "tests/reports/runs/test_prune.py": 12,
    "tests/reports/test_curve.py": 10,
    "tests/reports/test_compare.py": 8,
    "tests/reports/test_statistics.py": 8,
    "tests/reports/test_sweep.py": 8,
    "tests/reports/test_replay.py": 15,
    "tests/reports/test_card.py": 12,
    "tests/test_warm_start_runs.py": 45,
    "tests/test_changed_inputs.py": 25,
    "tests/test_next_commands.py": 18,
    "tests/test_user_errors.py": 30,
    "tests/agents/weights/test_warm_start.py": 12,
    "tests/migration/test_cleanrl.py": 7,
    "tests/migration/test_migration.py": 20,
    "tests/migration/test_moments.py": 6,
    "tests/helpers/trackers/test_mlflow.py": 25,
    "tests/registry/test_model_manager.py": 70,
    "tests/registry/test_package.py": 40,
    "tests/registry/service/test_client.py": 8,
    "tests/registry/service/test_document.py": 6,
    "tests/registry/service/test_publishing.py": 60,
    "tests/registry/service/test_requests.py": 7,
    "tests/registry/service/test_sdk.py": 8,
    "tests/swarm/backends/test_pbs.py": 15,
    "tests/swarm/backends/test_slurm_limits.py": 10,
    "tests/swarm/scripts/test_quoting.py": 20,
    "tests/swarm/test_ledger_file_systems.py": 8,
    "tests/swarm/tune/test_search.py": 45,
    "tests/swarm/tune/test_trial.py": 9,
    "tests/test_bad_input.py": 23,
    "tests/test_bad_input_replay.py": 85,
    "tests/test_cloning_runs.py": 50,
    "tests/test_demos_task.py": 12,
    "tests/test_evaluation.py": 10,
    "tests/test_nursery.py": 20,
    "tests/test_own_environment_flow.py": 20,
    "tests/test_policy_files.py": 11,
    "tests/test_readme.py": 25,
    "tests/test_resume.py": 90,
    "tests/test_resume_imitation.py": 55,
    "tests/test_tasks.py": 95,
    "tests/test_tracking.py": 30,
    "tests/test_using_policies.py": 15,
    "tests/test_wandb_end_to_end.py": 6,
}


def longest_first(
    items: Iterable[Item],
    shares: int,
    *,
    module_of: Callable[[Item], str],
) -> list[Item]:
    """The tests in an order that makes so many workers busy to the end.

    `--dist worksteal` gives each worker a contiguous share, as many tests to each, and moves what is left at the end of
    a share. So each share begins with long modules, of about the same time, and ends with short tests. A module stays
    together, because its tests share what they have made.

    Args:
        items: the tests, in pytest's order.
        shares: the number of workers.
        module_of: the path of a test's module, from the root.
    """
    modules: dict[str, list[Item]] = {}
    for item in items:
        modules.setdefault(module_of(item), []).append(item)
    long = sorted(modules.keys() & SECONDS.keys(), key=lambda module: (-SECONDS[module], module))
    begun: list[list[Item]] = [[] for _ in range(shares)]
    seconds = [0] * shares
    for module in long:
        least = seconds.index(min(seconds))
        seconds[least] += SECONDS[module]
        begun[least] += modules.pop(module)
    short = [item for of_module in modules.values() for item in of_module]
    return _filled(begun, short)


def _filled(begun: Sequence[list[Item]], short: Sequence[Item]) -> list[Item]:
    """Shares of one size, as pytest-xdist cuts them, one after another."""
    left = sum(map(len, begun)) + len(short)
    ordered: list[Item] = []
    for index, share in enumerate(begun):
        size = left // (len(begun) - index)
        added = short[: max(size - len(share), 0)]
        ordered += [*share, *added]
        short = short[len(added) :]
        left -= len(share) + len(added)
    return ordered
