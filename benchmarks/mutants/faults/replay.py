"""Faults in what is remembered and collected: the ring, n steps, priorities, stacked frames, rollouts."""

from __future__ import annotations

from benchmarks.mutants.mutant import faults_in

MEMORY = (
    "tests/agents/replay/test_memory.py",
    "tests/agents/replay/test_memory_priorities.py",
    "tests/agents/replay/test_memory_state.py",
    "tests/agents/off_policy/test_replaced_rewards.py::"
    "test_a_reward_is_asked_once_and_only_for_what_belongs_to_a_sample",
)
FRAMES = "tests/agents/replay/test_frames.py"
LOOP = "tests/test_rollouts.py"

MUTANTS = [
    *faults_in(
        "agents/replay/memory.py",
        MEMORY,
        (
            "gamma's powers begin at one",
            "gamma ** np.arange(n_step + 1)",
            "gamma ** np.arange(1, n_step + 2)",
        ),
        (
            "the value of n steps is discounted n - 1 times",
            "self._powers[steps].astype",
            "self._powers[steps - 1].astype",
        ),
        ("n steps stop before the newest row", "(i <= newest)", "(i < newest)"),
        ("n steps go on beyond the newest row", " & (i <= newest)", ""),
        ("n steps cross a limit", ' | fields["truncated"][places]', ""),
        (
            "a limit is death",
            'np.logical_not(last.fields["terminated"])',
            'np.logical_not(last.fields["terminated"] | last.fields["truncated"])',
        ),
        (
            "the newest row is never drawn",
            "uniforms * self.filled, casting",
            "uniforms * (self.filled - 1), casting",
        ),
        ("the next state is that of the first step", "last = self._take(end, 1)", "pass"),
        (
            "n steps do not go round the ring",
            "np.arange(self._n_step)[:, None]) % self.rows",
            "np.arange(self._n_step)[:, None]).clip(max=self.rows - 1)",
        ),
        (
            "a cut is put into the row to come",
            "newest = (self.position - 1) % self.rows",
            "newest = self.position % self.rows",
        ),
        (
            "priorities without their exponent",
            "+ PRIORITY_FLOOR) ** self._exponent",
            "+ PRIORITY_FLOOR)",
        ),
        (
            "new rows have the priority of another environment",
            "np.maximum.at(self._largest, index % self.environments, masses)",
            "np.maximum.at(self._largest, (index + 1) % self.environments, masses)",
        ),
        ("samples come of one environment", "        index += self._places\n", ""),
        (
            "rewards are asked beyond an end",
            "np.where(goes_on, places, last).reshape(-1)",
            "places.reshape(-1)",
        ),
        (
            "a memory is loaded without its priorities",
            "            self._tree.fill(0, masses)\n        self._largest",
            "        self._largest",
        ),
        (
            "an overwritten end is still counted",
            'self.ends -= int(self._columns["terminated"][rows].sum())',
            "pass",
        ),
    ),
    *faults_in(
        "agents/replay/sum_tree.py",
        MEMORY[1],
        (
            "mass on the left is not taken off",
            "mass = mass - left_mass * is_right",
            "mass = mass - 0.0 * is_right",
        ),
        ("one stratum for all", "(uniforms + np.arange(count))", "(uniforms * count)"),
        (
            "the last of equal places counts",
            "np.maximum.at(self._flat, places, masses)",
            "self._flat[places] = masses",
        ),
        (
            "probabilities of the whole tree",
            "self._flat[place] / total",
            "self._flat[place] / total.sum()",
        ),
    ),
    *faults_in(
        "agents/replay/frames.py",
        FRAMES,
        (
            "stacks cross the end by the task",
            'fields["terminated"][before] | fields["truncated"][before]',
            'fields["truncated"][before]',
        ),
        (
            "a stack begins with the ring's last row",
            "                begins |= row == 0\n",
            "                pass\n",
        ),
        ("rows that have lost a frame are drawn", "lost = self.frames - 1", "lost = 0"),
    ),
    *faults_in(
        "orchestrator.py",
        LOOP,
        (
            "the successor of an end is the next episode's state",
            "rollout.next_observations[t] = successors",
            "rollout.next_observations[t] = after",
        ),
        (
            "observations are those after the step",
            "rollout.observations[t] = observations",
            "rollout.observations[t] = after",
        ),
        (
            "limits and ends change places",
            "rollout.terminated[t] = terminated",
            "rollout.terminated[t] = truncated",
        ),
    ),
    *faults_in(
        "environments/same_step.py",
        "tests/environments/test_sync_vector.py::"
        "test_final_observations_are_those_of_an_environment_stepped_by_hand",
        (
            "final observations are not used",
            'if "final_obs" not in infos:',
            'if "final_obs" in infos:',
        ),
    ),
]
