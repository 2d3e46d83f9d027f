"""The model manager's document and its notebook's nine steps, on a database in a file and on a real server."""

import contextlib
import json
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from helpers.errors import ConfigurationError, UserError
from policy import load_policy
from registry.cli import main as registry
from registry.manager.changelog import LONGEST
from registry.manager.names import stage_of
from registry.model_manager import METRIC, MlflowModelManager
from tests import launch
from tests.registry.servers import MlflowServer

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")
TRAIN = [
    "--algo=ppo", "--env_id=CartPole-v1", "--rollout_len=64", "--eval_episodes=2",
    "--mlflow_experiment=mlflow_example", "--progress=plain",
]  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "server"])
def place(request, tmp_path_factory):
    """(address, folder) of an MLflow that nobody has used."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/mlflow.db", folder
        return
    with MlflowServer(folder / "server") as server:
        yield server.uri, folder


def train(folder, name, steps, *others):
    where = [f"--runs_dir={folder}", f"--uuid={name}", f"--num_timesteps={steps}"]
    done = launch.run(["--task=train", *TRAIN, *where, *others])
    assert done.returncode == 0, done.stderr
    return folder / name, done.stdout


def present(made: Any) -> Any:
    """What is there."""
    assert made is not None
    return made


def test_the_notebooks_nine_steps(place, monkeypatch, capsys):
    uri, folder = place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # 1: a server that is there
    models = folder / "ppo.yaml"
    models.write_text(
        "disabled: False\nmodels:\n  policy:\n    model_name: ${exp_name}_agent\n"
        "    description: PPO Agent in ${env.id} Environment\n    tags: {team: lab}\n",
    )
    manager = MlflowModelManager(uri)
    first = train_and_look(folder, manager, models)
    run, other = register_a_checkpoint(folder, manager, models)
    move_and_download(folder, manager, run)
    take_the_best(manager, first, other)
    capsys.readouterr()
    assert registry(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mlflow_example_agent"]["aliases"] == {"staging": "2"}
    assert registry(["card", "mlflow_example_agent", "@staging"]) == 0
    assert "# ppo on CartPole-v1" in capsys.readouterr().out
    _, said = train(folder, "a.seed0", 1024, "--mlflow", f"--model_manager={models}")
    assert "registered already" in said
    assert len(manager.versions("mlflow_example_agent")) == 2


def train_and_look(folder, manager, models):
    """2: a training that registers at its end, tracked in MLflow; 3: its run; 4: its registered model."""
    _, said = train(folder, "a.seed0", 1024, "--mlflow", f"--model_manager={models}")
    assert "registered mlflow_example_agent version 1" in said
    client = manager.client
    experiment = present(client.get_experiment_by_name("mlflow_example"))
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "a.seed0" and run.info.status == "FINISHED"
    version = manager.get_latest_version("mlflow_example_agent")
    assert run.data.metrics[METRIC] == pytest.approx(float(version.tags["return_mean"]), abs=1e-3)
    assert (str(version.version), version.tags["team"]) == ("1", "lab")
    assert version.run_id == run.info.run_id
    for text in (changelog_of(manager), version.description):
        assert text.startswith("# MODEL CHANGELOG\n## **Version 1**\n### Author: ")
        assert "### Date: " in text
        assert text.endswith("### Description: \nPPO Agent in CartPole-v1 Environment\n")
    return run.info.run_id


def changelog_of(manager, name="mlflow_example_agent"):
    return present(manager.client.get_registered_model(name).description)


def register_a_checkpoint(folder, manager, models):
    """5: a second run without registration, then its checkpoint under that run, by the document's words."""
    second, said = train(folder, "b.seed0", 2048, "--mlflow")
    assert "registered" not in said
    other = json.loads((second / "mlflow" / "run.json").read_text())["run_id"]
    words = ["register", f"model_manager={models}", f"checkpoint_path={second}", f"run.id={other}"]
    assert registry(words) == 0
    version = manager.get_latest_version("mlflow_example_agent")
    assert (str(version.version), version.run_id) == ("2", other)
    assert registry(words) == 0  # once more: it is registered
    assert str(manager.get_latest_version("mlflow_example_agent").version) == "2"
    return second, other


def move_and_download(folder, manager, run):
    """6: a stage; 7: download, and act."""
    name = "mlflow_example_agent"
    moved = present(manager.transition_model(name, 2, "staging", "it is good"))
    assert stage_of(moved) == "staging" and "staging" in moved.aliases
    for text in (moved.description, changelog_of(manager)):
        assert "## **Transition:**\n### Version 2 from None to staging\n### Author: " in text
        assert text.endswith("### Description: \nit is good\n")
    assert present(manager.transition_model(name, 2, "Staging")).description == moved.description
    assert manager.transition_model(name, 99, "staging") is None
    manager.download_model(name, 2, folder / "downloaded")
    (package,) = {path.parent for path in (folder / "downloaded").rglob("contract.json")}
    observations = np.random.default_rng(0).normal(size=(9, 4))
    wanted = load_policy(run, iter_num="latest")(observations)
    for source in (package, f"models:/{name}@staging", f"models:/{name}/2"):
        assert (load_policy(source)(observations) == wanted).all()
    pyfunc_acts(f"models:/{name}@staging", manager.uri, observations, wanted)


def take_the_best(manager, first, other):
    """8: the best of the experiment; 9: delete the version before the last."""
    name, client = "ppo_agent_cartpole_best_reward", manager.client
    client.log_metric(other, METRIC, 1e6)
    info = {"path": "policy", "name": name, "description": "best", "tags": {"a": 1}}
    made = present(manager.register_best_models("mlflow_example", {"agent": info}))
    assert set(made) == {"agent"} and made["agent"].run_id == other
    assert str(made["agent"].version) == "1" and made["agent"].tags["a"] == "1"
    made = present(manager.register_best_models("mlflow_example", {"agent": info}, mode="min"))
    assert made["agent"].run_id == first
    assert manager.register_best_models("mlflow_example", {"agent": info}, metric="none") is None
    absent = info | {"path": "critic"}
    assert manager.register_best_models("mlflow_example", {"agent": absent}) is None
    with pytest.raises(ValueError, match="mode"):
        manager.register_best_models("mlflow_example", {"agent": info}, mode="best")
    latest = int(manager.get_latest_version(name).version)
    with pytest.raises(ConfigurationError, match="nobody confirmed"):
        manager.delete_model(name, latest - 1)
    manager.delete_model(name, latest - 1, "old", confirm=name)
    assert [int(each.version) for each in manager.versions(name)] == [latest]
    text = changelog_of(manager, name)
    assert f"## **Deletion:**\n### Version {latest - 1} from stage: None\n" in text


def pyfunc_acts(address, uri, observations, wanted):
    """By MLflow alone, in a process that cannot import this repository, nor torch."""
    program = (
        "import sys, json, numpy as np\n"
        "for name in ('torch', 'registry', 'policy', 'agents', 'helpers'): sys.modules[name] = None\n"
        "import mlflow\n"
        f"model = mlflow.pyfunc.load_model({address!r})\n"
        "observations = np.array(json.loads(sys.stdin.read()))\n"
        "print(json.dumps([np.asarray(model.predict(x)).tolist() for x in "
        "(observations, observations.astype('float32'), observations[0])]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", program],
        input=json.dumps(observations.tolist()),
        env=os.environ | {"MLFLOW_TRACKING_URI": uri},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    batch, floats, single = json.loads(done.stdout.splitlines()[-1])
    assert batch == floats == wanted.tolist() and single == wanted.tolist()[0]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_two_workers_register_once_whatever_the_trackers_are(place, monkeypatch):
    uri, folder = place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    flags = ["--task=train", *TRAIN, "--num_timesteps=512", f"--runs_dir={folder}", "--tensorboard"]
    flags[flags.index("--mlflow_experiment=mlflow_example")] = "--mlflow_experiment=two"
    only = folder / "subset.yaml"
    only.write_text("models:\n  value:\n    model_name: ${exp_name}_value\n")
    done = launch.run([*flags, "--uuid=off.seed0", f"--model_manager={only}"], workers=2)
    assert done.returncode == 0 and "registered" not in done.stdout  # disabled: True, the default
    chosen = [f"--model_manager={only}", "--register_models"]
    done = launch.run([*flags, "--uuid=two.seed0", *chosen], workers=2)
    assert done.returncode == 0, done.stderr
    manager = MlflowModelManager(uri)
    (version,) = manager.versions("two_value")  # a subset of the models
    assert "two_policy" not in manager.names()
    run = manager.client.get_run(version.run_id)
    assert run.info.run_name == "two.seed0"
    observations = np.zeros((2, 4))
    import mlflow

    values = mlflow.pyfunc.load_model("models:/two_value/1").predict({"observation": observations})
    assert values.shape == (2,) and np.isfinite(values).all()


def test_what_is_not_there_is_refused_in_two_lines(place, monkeypatch, capsys, tmp_path):
    uri, folder = place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    manager = MlflowModelManager(uri)
    manager.client.create_registered_model("empty")
    refused = {
        "unknown model": ["latest", "nobody"],
        "no versions": ["latest", "empty"],
        "unknown version": ["transition", "empty", "7", "production"],
        "unknown alias": ["download", "empty", "@champion", str(tmp_path / "d")],
        "no number": ["download", "empty", "first", str(tmp_path / "d")],
        "reserved alias": ["transition", "empty", "1", "latest"],
        "reserved number": ["transition", "empty", "1", "v2"],
        "no alias": ["transition", "empty", "1", "a b"],
        "unknown experiment": ["best", "no_experiment", "policy", "x"],
        "slash": ["latest", "a/b"],
        "unknown verb": ["promote", "empty"],
        "no checkpoint": ["register", "model_manager=ppo"],
        "missing run": ["register", "checkpoint_path=/no/such/run"],
        "unknown word": ["register", "model_manger=ppo", "checkpoint_path=/no/such/run"],
    }
    for name, words in refused.items():
        assert registry(words) in (2, 4), name
        said = capsys.readouterr()
        assert said.err.startswith("milozero: ") and said.err.count("\n") == 2, (name, said.err)
        assert "remedy: " in said.err and "Traceback" not in said.err
    assert manager.transition_model.__doc__ and manager.versions("empty") == []


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_run_that_fails_to_register_is_a_warning(place, monkeypatch, tmp_path):
    """An unknown MLflow run, and a file that fits no run: nothing is registered, the command for later is printed."""
    uri, _ = place
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    flags = ["--task=train", *TRAIN, "--num_timesteps=256", f"--runs_dir={tmp_path}"]
    done = launch.run([*flags, "--uuid=away.seed0", "--register_models"])
    assert done.returncode == 0, done.stderr
    assert (
        "warning: the models are not registered: http://127.0.0.1:9 does not answer" in done.stdout
    )
    (later,) = [line for line in done.stdout.splitlines() if "later: " in line]
    run = tmp_path / "away.seed0"
    assert not (run / "registered.json").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert registry(later.split("later: python -m registry ")[1].split()) == 0
    assert (run / "registered.json").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--register_models"], "MLFLOW_TRACKING_URI is not set"),
        (["--mlflow"], "MLFLOW_TRACKING_URI is not set"),
        (["--register_models", "--model_manager=nobody"], "nobody"),
        (["--model_manager=tasks/models/sac.yaml"], "no model critic_1"),
    ],
)
def test_a_start_that_cannot_register_is_refused(monkeypatch, tmp_path, flags, word):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = launch.run(["--task=train", *TRAIN, f"--runs_dir={tmp_path}", "--uuid=a.seed0", *flags])
    assert done.returncode == 2 and word in done.stderr
    assert done.stderr.count("\n") == 2 and not (tmp_path / "a.seed0").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "file:///tmp/mlruns",
        "./mlruns",
        "sqlite:////no/such/folder/m.db",
        "http://127.0.0.1:9",
        "ftp://a",
    ],
)
def test_an_address_that_is_none_is_refused(uri):
    with pytest.raises(ConfigurationError) as caught:
        MlflowModelManager(uri)
    assert str(caught.value).count("\n") == 1


def hostile_texts(count):
    """Quotes, slashes, control characters, any Unicode, `${...}`, up to 5,000 characters."""
    draw = random.Random(0)
    pieces = [
        "'",
        '"',
        "/",
        "\\",
        ":",
        "${env.id}",
        "%s",
        "{}",
        ";",
        "--",
        "\n",
        "\t",
        " ",
        "<b>",
        "\0",
        "`id`",
        "$(id)",
    ]
    pieces += [
        "é",
        "e\u0301",
        "漢字",
        "🤖",
        "\u202e",
        "\ud800",
        "\x7f",
        "a",
        "B",
        "0",
        "_",
        "-",
        ".",
        "..",
        "@",
        "#",
    ]
    for index in range(count):
        long = index % 50 == 0
        text = "".join(draw.choices(pieces, k=5000 if long else draw.randint(0, 12)))
        yield text[:5000] if long else text


def test_hostile_names_tags_and_descriptions_are_stored_as_they_are_or_refused(place):
    uri, _ = place
    count = 60 if uri.startswith("sqlite") else 30
    stored, refused = store_hostile_texts(uri, count)
    assert stored + refused == 3 * count and min(stored, refused) > count // 3


def store_hostile_texts(uri, count):
    """(stored, refused) of so many names, tags and descriptions each."""
    manager = MlflowModelManager(uri, print=lambda _: None)
    client = manager.client
    run = client.create_run(client.create_experiment("hostile")).info
    stored = refused = 0
    texts = list(hostile_texts(3 * count))
    for name, tag, description in zip(texts[::3], texts[1::3], texts[2::3], strict=True):
        for model, key, value, text in (
            (f"n{stored}", "tag", tag, description),
            (name, "tag", "value", "text"),
            (f"k{refused}", name, "value", "text"),
        ):
            try:
                version = register_files(manager, run, model, text, {key: value})
            except UserError as error:
                refused += 1
                assert str(error).count("\n") == 1, str(error)
                continue
            stored += 1
            assert version.tags == {key: value} and version.name == model
            assert version.description.endswith(f"### Description: \n{text}\n" if text else "UTC\n")
            assert len(client.get_registered_model(model).description) <= LONGEST
    return stored, refused


def register_files(manager, run, name, description, tags):
    """A version by the manager's own way, of a source that need not be a model: to log 3,000 models takes minutes."""
    import mlflow
    from mlflow.exceptions import MlflowException

    def register(_, name, tags):
        with contextlib.suppress(MlflowException):  # it is there
            manager.client.create_registered_model(name)
        return manager.client.create_model_version(name, run.artifact_uri, run.run_id, tags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow, "register_model", register)
        return manager.register_model("models:/m-0", name, description, tags)
