"""Registered models in MLflow: versions, stages, changelogs, downloads.

    manager = MlflowModelManager("http://127.0.0.1:5000")  # or unset: MLFLOW_TRACKING_URI
    version = manager.register_model("models:/m-...", "hopper_policy", description="ten million steps")
    manager.transition_model("hopper_policy", version.version, "production")
    manager.download_model("hopper_policy", version.version, "hopper")

A stage is a tag `stage` of the version and an alias of the model: MLflow's own stages are deprecated since 2.9. An
alias belongs to one version at a time: `models:/hopper_policy@production` is the version that was moved there last.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CheckpointError, ConfigurationError
from helpers.trackers.mlflow.server import check_answers, quiet, tracking_uri
from registry.manager import changelog
from registry.manager.calls import NotThereError, pages, refusals
from registry.manager.names import (
    STAGE,
    alias_of,
    check_name,
    check_number,
    check_stage,
    check_tags,
    stage_of,
)
from registry.package.contract import CONTRACT

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

METRIC = "Test/cumulative_reward"


class MlflowModelManager:
    """The models of one MLflow server.

    Args:
        uri: its address; unset: MLFLOW_TRACKING_URI. A database without a server works too: sqlite:////PATH/mlflow.db.
        print: prints a line for the user.

    Raises:
        ConfigurationError: there is no address, it is none of MLflow's, or nobody answers.
    """

    def __init__(self, uri: str | None = None, *, print: Callable[[str], None] = print) -> None:
        self.uri = tracking_uri(uri)
        check_answers(self.uri)
        quiet()
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._print = print
        with refusals(self.uri):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            self.client = mlflow.MlflowClient(self.uri, self.uri)

    # Registering

    def register_model(
        self,
        model_location: str,
        model_name: str,
        description: str | None = None,
        tags: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Make a logged model a new version of a registered model, and note it in both changelogs.

        Args:
            model_location: "models:/m-...", or "runs:/RUN/NAME".
            model_name: of the registered model, which is made where it is missing.
            description: of the version.
            tags: of the version; values are written as text.

        Raises:
            ConfigurationError: the location, the name, the description or a tag is not taken.
        """
        import mlflow

        check_name(model_name)
        changelog.check_text(description)
        texts = check_tags(tags)
        with refusals(self.uri):
            with redirect_stderr(StringIO()):  # it is said below
                made = mlflow.register_model(model_location, model_name, tags=texts)
            try:
                self._note_version(model_name, str(made.version), description)
            except BaseException:  # no version without its changelog
                self.client.delete_model_version(model_name, str(made.version))
                raise
            self._print(f"registered {model_name} version {made.version}")
            return self.client.get_model_version(model_name, str(made.version))

    def _note_version(self, model_name: str, number: str, description: str | None) -> None:
        block = changelog.entry(f"Version {number}", description)
        self.client.update_model_version(model_name, number, changelog.HEADER + block)
        self._append(model_name, (changelog.HEADER if number == "1" else "") + block)

    def register_best_models(
        self,
        experiment_name: str,
        models_info: Mapping[str, Mapping[str, Any]],
        metric: str = METRIC,
        mode: str = "max",
    ) -> dict[str, ModelVersion] | None:
        """Register models of the best run of an experiment.

        Args:
            experiment_name: of the experiment.
            models_info: by key, {"path": name of the logged model, "name": of the registered one, "description": text,
                "tags": mapping}.
            metric: by which runs are compared.
            mode: "max" or "min".

        Returns:
            Versions by key; None where no run has the metric and one of the models.

        Raises:
            ValueError: of another mode.
            ConfigurationError: there is no such experiment.
        """
        if mode not in ("max", "min"):
            raise ValueError(f"mode is {mode!r}: max or min")
        for info in models_info.values():
            check_name(str(info["name"]))
            changelog.check_text(info.get("description"))
        with refusals(self.uri):
            experiment = self.client.get_experiment_by_name(experiment_name)
            if experiment is None:
                raise ConfigurationError(
                    f"MLflow has no experiment {experiment_name}.",
                    f"There are: {', '.join(e.name for e in self.client.search_experiments())}.",
                )
            wanted = {str(info["path"]) for info in models_info.values()}
            models = self._models_by_run(experiment.experiment_id)
            candidates = [
                (value, run)
                for run, value in self._runs_with(experiment.experiment_id, metric)
                if wanted & models.get(run, {}).keys()
            ]
        if not candidates:
            self._print(f"no run of {experiment_name} has {metric} and one of {sorted(wanted)}")
            return None
        choose = max if mode == "max" else min
        value, best = choose(candidates, key=lambda each: each[0])
        self._print(f"the best run of {experiment_name} is {best}: {metric} is {value:g}")
        return {
            key: self.register_model(
                models[best][str(info["path"])],
                str(info["name"]),
                info.get("description"),
                info.get("tags"),
            )
            for key, info in models_info.items()
            if str(info["path"]) in models[best]
        }

    def _models_by_run(self, experiment_id: str) -> dict[str, dict[str, str]]:
        """By run, the addresses of its logged models by name."""
        found: dict[str, dict[str, str]] = {}
        for model in pages(self.client.search_logged_models, [experiment_id]):
            if model.source_run_id:
                found.setdefault(model.source_run_id, {}).setdefault(model.name, model.model_uri)
        return found

    def _runs_with(self, experiment_id: str, metric: str) -> Iterator[tuple[str, float]]:
        for run in pages(partial(self.client.search_runs, [experiment_id])):
            value = run.data.metrics.get(metric)
            if value is not None and not math.isnan(value):
                yield run.info.run_id, value

    # Looking

    def names(self) -> list[str]:
        """Of all registered models."""
        with refusals(self.uri):
            return [model.name for model in pages(self.client.search_registered_models)]

    def versions(self, model_name: str) -> list[ModelVersion]:
        """All versions, the newest first.

        Raises:
            ConfigurationError: there is no such model.
        """
        check_name(model_name)
        with refusals(self.uri):
            self.client.get_registered_model(model_name)  # says so where there is none
            quoted = model_name.replace("\\", "\\\\").replace("'", "\\'")
            found = list(pages(self.client.search_model_versions, f"name='{quoted}'"))
        found = [each for each in found if each.name == model_name]
        return sorted(found, key=lambda each: int(each.version), reverse=True)

    def get_latest_version(self, model_name: str) -> ModelVersion:
        """The version of the largest number.

        Raises:
            ConfigurationError: there is no such model, or it has no versions.
        """
        found = self.versions(model_name)
        if not found:
            raise ConfigurationError(
                f"{model_name} has no versions.",
                "Register one: python -m registry register checkpoint_path=RUN",
            )
        return self.get_version(model_name, found[0].version)

    def get_version(self, model_name: str, version: int | str) -> ModelVersion:
        """A version, by its number or "@alias".

        Raises:
            ConfigurationError: there is none.
        """
        check_name(model_name)
        with refusals(self.uri):
            if str(version).startswith("@"):
                found = self.client.get_model_version_by_alias(model_name, str(version)[1:])
                version = found.version
            return self.client.get_model_version(model_name, str(check_number(version)))

    def aliases(self, model_name: str) -> dict[str, str]:
        """The number of the version that each alias of a model stands for.

        Raises:
            ConfigurationError: there is no such model.
        """
        check_name(model_name)
        with refusals(self.uri):
            found = self.client.get_registered_model(model_name).aliases
        return {str(alias): str(version) for alias, version in dict(found).items()}

    # Changing

    def transition_model(
        self,
        model_name: str,
        version: int | str,
        stage: str,
        description: str | None = None,
    ) -> ModelVersion | None:
        """Move a version to a stage: its tag `stage`, and the alias of that name, which leaves the version that had it.

        Args:
            model_name: of the model.
            version: its number.
            stage: production, staging or any name of letters, digits, _ and -; None or Archived: no alias any more.
            description: why, for the changelogs.

        Returns:
            The version, or None where it is missing. In the same stage already: as it is.

        Raises:
            ConfigurationError: there is no such model, or the stage cannot be an alias.
        """
        check_stage(stage)
        changelog.check_text(description)
        found = self._version_or_none(model_name, version)
        if found is None:
            return None
        number, old = str(found.version), stage_of(found)
        alias, old_alias = alias_of(stage), alias_of(old)
        if old.lower() == stage.lower() and (alias is None or alias in found.aliases):
            self._print(f"{model_name} version {number} is in stage {old} already")
            return found
        block = changelog.entry("Transition:", description)
        block = block.replace("\n", f"\n### Version {number} from {old} to {stage}\n", 1)
        with refusals(self.uri):
            if alias is not None:
                self.client.set_registered_model_alias(model_name, alias, number)
            if old_alias is not None and old_alias != alias and old_alias in found.aliases:
                self.client.delete_registered_model_alias(model_name, old_alias)
            self.client.set_model_version_tag(model_name, number, STAGE, stage)
            self._append(model_name, block)
            noted = changelog.appended(found.description, block)
            self.client.update_model_version(model_name, number, noted)
        self._print(f"{model_name} version {number} is in stage {stage}, it was in {old}")
        return self.get_version(model_name, number)

    def delete_model(
        self,
        model_name: str,
        version: int | str,
        description: str | None = None,
        *,
        confirm: str | None = None,
    ) -> None:
        """Delete a version; its number is not given again.

        Args:
            model_name: of the model.
            version: its number.
            description: why, for the model's changelog.
            confirm: the model's name, to be sure; where it is not given, it is asked for on a terminal.

        Raises:
            ConfigurationError: nobody confirms it, or there is no such model.
        """
        changelog.check_text(description)
        found = self._version_or_none(model_name, version)
        if found is None:
            return
        if confirm is None and sys.stdin.isatty():
            confirm = input(f"Type the model's name to delete its version {found.version}: ")
        if confirm != model_name:
            raise ConfigurationError(
                f"Version {found.version} of {model_name} is not deleted: nobody confirmed it.",
                "Give confirm=NAME, or --yes on the command line.",
            )
        block = changelog.entry("Deletion:", description)
        where = f"\n### Version {found.version} from stage: {stage_of(found)}\n"
        with refusals(self.uri):
            self.client.delete_model_version(model_name, str(found.version))
            self._append(model_name, block.replace("\n", where, 1))
        self._print(f"deleted {model_name} version {found.version}")

    # Downloading

    def download_model(
        self,
        model_name: str,
        version: int | str,
        output_path: str | Path,
    ) -> None:
        """Download the files of a version into a folder, which is made.

        Raises:
            ConfigurationError: there is no such version, or the folder has something else in it.
        """
        found = self.get_version(model_name, version)
        target = Path(output_path).expanduser()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigurationError(
                f"{target} exists already.",
                "Give another folder, or empty it.",
            )
        target.mkdir(parents=True, exist_ok=True)
        self._download(f"models:/{model_name}/{found.version}", target)
        self._print(f"downloaded {model_name} version {found.version} to {target}")

    def download_uri(self, uri: str, folder: Path) -> Path:
        """The policy package of models:/NAME@ALIAS or models:/NAME/VERSION, downloaded below `folder`.

        Raises:
            ConfigurationError: there is no such version.
            CheckpointError: it is no policy package.
        """
        self._download(uri, folder)
        found = sorted(folder.rglob(CONTRACT))
        if not found:
            raise CheckpointError(
                f"{uri} contains no policy package.",
                "Give a model that python -m registry register has registered.",
            )
        return found[0].parent

    def _download(self, uri: str, folder: Path) -> None:
        import mlflow

        with refusals(self.uri):
            mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))

    def _version_or_none(self, model_name: str, version: int | str) -> ModelVersion | None:
        try:
            return self.get_version(model_name, version)
        except NotThereError:
            self.aliases(model_name)  # says so where the model itself is missing
            self._print(f"{model_name} has no version {version}; nothing is changed")
            return None

    def _append(self, model_name: str, addition: str) -> None:
        """Append to the description of a registered model."""
        before = self.client.get_registered_model(model_name).description
        text = changelog.appended(before, addition)
        self.client.update_registered_model(model_name, description=text)
