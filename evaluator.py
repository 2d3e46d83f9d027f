"""Looking back at a saved run: what its policy returns."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import Agent
from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.ids import resolve_env_id, suite_of
from environments.inputs.environment import changes_of
from environments.rendering import (
    episode_frames,
    film_options,
    lighten_shadows,
    prepare_rendering,
    video_timing,
)
from environments.suites.table import simulator_names
from helpers.checkpoints import manifests
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.config.run import RunConfig
from helpers.config.schema import Parsed, Schema
from helpers.demos.hdf5 import demo_path, file_name_of, space_attributes, write_demo
from helpers.demos.replay import Replay, find_replay
from helpers.display.captions import add_caption, as_figure
from helpers.display.histogram import draw_returns
from helpers.display.video import write_mp4
from helpers.durable import write_atomically
from helpers.episodes import Episode, run_episodes, summary
from helpers.errors import DONE, ConfigurationError, StorageError
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.workers import Workers
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.run_folder.references import comparison, read_references
from helpers.seeding import Streams


def find_run(config: RunConfig, workers: Workers) -> tuple[Path, Path]:
    """(run folder, checkpoint) of --model_path or --wandb_run_path; the root alone downloads.

    Raises:
        ConfigurationError, CheckpointError: neither is given, or there is no such thing.
    """
    if config.wandb_run_path:
        from helpers.trackers.wandb.download import download_run

        fetched = None
        if workers.is_root:
            fetched = download_run(
                config.wandb_run_path,
                iter_num=config.iter_num,
                replace=config.wandb_download_replace,
            )
        folder = Path(workers.broadcast_json(str(fetched)))
        wanted = config.iter_num
        name = manifests.name_of(int(wanted)) if wanted.isdecimal() else wanted
        return folder, resolve_checkpoint(folder / "checkpoints" / name, wanted)
    if not config.model_path:
        raise ConfigurationError(
            f"--task={config.task} needs a saved run.",
            "Give it: --model_path=data/runs/NAME, or --wandb_run_path=entity/project/run.",
        )
    checkpoint = resolve_checkpoint(Path(config.model_path), config.iter_num)
    return checkpoint.resolve().parent.parent, checkpoint


def evaluate(
    schema: Schema,
    parsed: Parsed,
    workers: Workers,
    *,
    build_agent: Callable[..., Any],
    card: Callable[[Path], str],
) -> int:
    """--task=eval: statistics of a saved policy, and where asked for a video and demonstrations.

    Args:
        schema: reads the run's saved configuration.
        parsed: what the command line asks for.
        workers: share the trajectories.
        build_agent: makes the agent that acts in an environment.
        card: writes the card of a run anew, which shows what was evaluated, and gives a line that says so.
    """
    folder, checkpoint = find_run(parsed.config, workers)
    adopted = schema.adopt(schema.load_config(folder / CONFIG_FILE), parsed)
    config: RunConfig = adopted.config
    install_crash_handler(workers, folder)
    for line in adopted.warnings if workers.is_root else ():
        print(f"warning: {line}")
    trained = schema.load_config(folder / CONFIG_FILE)
    for line in changes_of(folder, trained, config) if workers.is_root else ():
        print(line)
    iteration, shared, manifest = read_shared(checkpoint)
    evaluation = Evaluation(
        config,
        workers,
        folder=folder,
        iteration=iteration,
        trained=trained,
    )
    environment = evaluation.make_environment()
    agent = build_agent(
        config,
        environment,
        workers,
        streams=evaluation.noise,
        environments=evaluation.mine,
    )
    agent.load_state_dict(shared["agent"])
    evaluation.run(agent, environment, policy=str(manifest["files"][manifests.SHARED]["sha256"]))
    if workers.is_root and (folder / "metrics.jsonl").exists():  # not of weights alone
        print(card(folder))
    return DONE


class Evaluation:
    """Trajectories of a saved policy, shared by the workers, on seeds that training never sees.

    Attributes:
        mine: which of the trajectories this worker runs.
        replay: of a demonstration, where one is to be filmed beside the policy.
        noise: the streams that a stochastic evaluation draws from.
    """

    def __init__(
        self,
        config: Any,
        workers: Workers,
        *,
        folder: Path,
        iteration: int,
        trained: RunConfig | None = None,
    ) -> None:
        """
        Args:
            config: of the evaluation.
            workers: share the trajectories.
            folder, iteration: of the run, and of its checkpoint.
            trained: the run's own configuration, where that is another.
        """
        self.config, self.workers, self.folder, self.iteration = config, workers, folder, iteration
        self.trained = trained or config
        streams = Streams(config.seed)
        # What learns from demonstrations is judged from other initial states than theirs, whatever the seeds.
        self.purpose = "demonstrations" if config.save_traj else "trajectories"
        self.seeds = [streams.integer(self.purpose, i) for i in range(config.num_trajs)]
        self.mine = workers.share(config.num_trajs)
        self.noise = Streams(streams.integer("trajectories"))
        self.replay: Replay | None = None
        if config.record and hasattr(config, "beside_expert") and config.beside_expert:
            expected = expected_of(config.env_id, config.environment_options)
            self.replay = find_replay(config, expected)

    def make_environment(self) -> Any:
        """This worker's environments, one a trajectory; one more than none, for its spaces."""
        config, seeds = self.config, self.seeds[self.mine] or self.seeds[:1]
        return make_vector_env(config.env_id, seeds=seeds, **config.environment)

    def _make_shown(
        self,
        render_mode: str,
        seeds: Sequence[int],
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Environments that are drawn, in this process."""
        shown: dict[str, Any] = self.config.environment | {"processes": 0}
        if options is not None:
            shown["options"] = options
        return make_vector_env(self.config.env_id, seeds=seeds, render_mode=render_mode, **shown)

    def run(self, agent: Agent, environment: Any, *, policy: str) -> None:
        """Run, print the table, write evaluation_<iteration>.json and .png, the demonstrations, the video."""
        episodes: list[Episode] = []
        if self.seeds[self.mine]:
            episodes = run_episodes(
                environment,
                agent,
                seeds=self.seeds[self.mine],
                explore=not self.config.deterministic,
                keep_steps=self.config.save_traj,
            )
        environment.close()
        shares = self.workers.allgather_json(
            [[e.return_, e.length, e.terminated] for e in episodes],
        )
        returns, lengths, terminated = zip(*[row for s in shares for row in s], strict=True)
        figures = summary(returns, lengths) | {
            "iteration": self.iteration,
            "deterministic": self.config.deterministic,
            "seed": self.config.seed,
            "initial_states": self.purpose,
            "env_id": self.config.env_id,
            "env_options": self.config.environment_options,
            "max_episode_steps": environment.max_episode_steps,
            "policy": policy,
            "returns": list(returns),
            "lengths": list(lengths),
        }
        made = []
        if self.config.save_traj:
            origin = {"policy_sha256": policy, **space_attributes(environment.single_action_space)}
            made += [str(path) for path in self._save(episodes, origin)]
        made = [path for share in self.workers.allgather_json(made) for path in share]
        if self.workers.is_root:
            path = self._figures_file(len(returns))
            _write(path, json.dumps(figures, indent=1) + "\n")
            title = f"{self.folder.name}, iteration {self.iteration}"
            print(statistics_table(returns, lengths, terminated, title=title))
            compared = comparison(float(np.mean(returns)), read_references(self.folder))
            drawn = path.with_suffix(".png")
            draw_returns(returns, drawn, title=title, references=read_references(self.folder))
            told = (compared, f"statistics: {path}", f"picture: {drawn}")
            print(*filter(None, told), sep="\n")
            if made:
                print(f"demonstrations: {made[0]} ... {len(made)} files")
                place = shlex.quote(str(Path(made[0]).parent))
                print(f"next: python main.py --task=demos --expert_path={place}")
            if self.config.render:
                self._show(agent)
            if self.config.record:
                self._film(agent)

    def _figures_file(self, episodes: int) -> Path:
        """A name that no other evaluation has: what differs from the run's own way is part of it.

        Their number and what their initial states are for are, where a file is there of another. What was the best or
        the latest then, and is not now, is put where its iteration's number leads.
        """
        config, trained = self.config, self.trained
        parts = [f"evaluation_{config.iter_num}"]
        if config.seed != trained.seed:
            parts.append(f"seed{config.seed}")
        if not config.deterministic:
            parts.append("sampled")
        here, there = (
            [each.env_id, each.environment_options, each.max_episode_steps]
            for each in (config, trained)
        )
        if here != there:
            text = json.dumps(here if here[2] else here[:2], sort_keys=True)
            parts.append(f"env{hashlib.sha256(text.encode()).hexdigest()[:6]}")
        path = self.folder / f"{'_'.join(parts)}.json"
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            kept = len(old["returns"]), old.get("initial_states", self.purpose)
            iteration = int(old.get("iteration", self.iteration))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return path
        if iteration != self.iteration:
            own = path.with_name(path.name.replace(f"_{config.iter_num}", f"_{iteration}", 1))
            own = own.with_stem(f"{own.stem}_{kept[0]}_{kept[1]}") if own.exists() else own
            path.rename(own)
            if (drawn := path.with_suffix(".png")).exists():
                drawn.rename(own.with_suffix(".png"))
            return path
        if kept == (episodes, self.purpose):
            return path
        return path.with_stem(f"{path.stem}_{episodes}_{self.purpose}")

    def _save(self, episodes: Sequence[Episode], origin: Mapping[str, Any]) -> list[Path]:
        """One demonstration file an episode."""
        env_id = resolve_env_id(self.config.env_id)
        packages = {"gymnasium", *suite_of(env_id).packages_of(env_id)}
        origin = {
            "env_id": env_id,
            **origin,
            "run": self.folder.name,
            "iteration": self.iteration,
            "deterministic": self.config.deterministic,
            **({"env_options": self.config.env_options} if self.config.env_options else {}),
            **{f"{each.replace('-', '_')}_version": version(each) for each in packages},
        }
        name = file_name_of(env_id)
        folder = Path(self.config.save_traj_dir) / name / self.folder.name
        paths = []
        for index, episode in enumerate(episodes, start=self.mine.start):
            path = demo_path(folder, name, index)
            origin |= {"seed": episode.seed, "return": episode.return_}
            write_demo(path, episode.steps, origin)
            paths.append(path)
        return paths

    def _show(self, agent: Agent) -> None:
        """The trajectories in a window; without a display one line, and no window."""
        remedy = prepare_rendering(self.config.env_id, "human")
        if remedy:
            print(f"no window: {remedy} (--record)")
            return
        environment = self._make_shown("human", self.seeds[:1])
        for seed in self.seeds:
            run_episodes(environment, agent, seeds=[seed])
        environment.close()

    def _film(self, agent: Agent) -> None:
        """A video of the first trajectory, or of one beside the expert's; without a GL library one line."""
        remedy = prepare_rendering(self.config.env_id)
        if remedy:
            print(f"no video: neither EGL nor OSMesa works here. {remedy}")
            return
        replay = self.replay
        if replay:
            environment = self._make_shown("rgb_array", [replay.seed] * 2)
        else:
            options = film_options(self.config.env_id, self.config.environment_options)
            environment = self._make_shown("rgb_array", self.seeds[:1], options)
        lighten_shadows(environment)
        stride, fps = video_timing(environment)

        def act(seen: np.ndarray) -> np.ndarray:
            return agent.predict(seen, explore=False)[0]

        if replay:
            frames = replay.frames(environment, act, stride=stride, fps=fps)
        else:
            frames = episode_frames(environment, act, stride=stride, caption=self._caption)
        name = f"iter_{self.iteration:06d}{'_beside_expert' if replay else ''}.mp4"
        path = self.folder / "videos" / name
        path.parent.mkdir(exist_ok=True)
        write_mp4(frames, path, fps=fps, say=partial(print, flush=True))
        environment.close()
        if replay:
            env_id = resolve_env_id(self.config.env_id)
            simulator = suite_of(env_id).packages_of(env_id)[-1]
            shown = simulator_names().get(simulator)
            print(replay.verdict(simulator, version(simulator), shown=shown))
        print(f"video: {path}")

    def _caption(self, picture: np.ndarray, steps: int, return_: float) -> np.ndarray:
        return add_caption(
            picture,
            self.config.env_id,
            f"return {as_figure(return_)}",
            note=f"step {steps}",
        )


def statistics_table(
    returns: Sequence[float],
    lengths: Sequence[int],
    terminated: Sequence[bool],
    *,
    title: str,
) -> str:
    """Statistics for a terminal."""
    lines = [title, f"{'':8}" + "".join(f"{name:>11}" for name in ("mean", "sd", "min", "max"))]
    for name, values in (("return", returns), ("length", lengths)):
        row = summary(values, lengths)
        cells = [row[f"return_{key}"] for key in ("mean", "sd", "min", "max")]
        lines.append(f"{name:8}" + "".join(f"{cell:11.2f}" for cell in cells))
    cut = len(returns) - sum(terminated)
    lines.append(
        f"{len(returns)} trajectories: the task ended {sum(terminated)}, a limit cut {cut}",
    )
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free some space there.",
        ) from error
