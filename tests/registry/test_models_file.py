"""Which models are registered: the shape of SheepRL's configuration, and what it may not say."""

import pytest

from agents.algorithms import ALGORITHMS, MODELS_TO_REGISTER
from helpers.errors import ConfigurationError
from registry.models_file import FOLDER, models_of_run, read_models_file

CONFIG = ALGORITHMS["ppo"](seed=3, env_id="CartPole-v1")
ONE = "models:\n  policy:\n    model_name: ${exp_name}_policy\n"


def read(tmp_path, text, config=CONFIG):
    (tmp_path / "mine.yaml").write_text(text)
    file = read_models_file(str(tmp_path / "mine.yaml"))
    return file, models_of_run(file, config, run_name="a.seed3")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_files_that_ship_fit_their_algorithms(path):
    file = read_models_file(path.stem)
    assert file.disabled is True and file.path == path
    if path.stem == "default":
        assert not file.models
        return
    assert file.models.keys() <= MODELS_TO_REGISTER[path.stem]
    config = ALGORITHMS[path.stem](env_id="Hopper-v5")
    models = models_of_run(file, config, run_name="a.seed0")
    for key, info in models.items():
        assert info.model_name == f"{path.stem}_Hopper-v5_{key}"
        assert "Hopper-v5" in info.description and "$" not in info.description


def test_every_algorithm_has_a_file():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {"default", *ALGORITHMS}


def test_the_documents_configuration(tmp_path):
    (tmp_path / "default.yaml").write_text("disabled: True\nmodels: {}\n")
    text = (
        "defaults:\n  - default\n  - _self_\n\nmodels: \n  policy:\n"
        '    model_name: "${exp_name}_policy"\n'
        '    description: "PPO ${algo.name} in ${env.id} Environment, seed ${seed}, ${run_name}"\n'
        "    tags: {team: 7, url: 'a/b'}\n"
    )
    file, models = read(tmp_path, text)
    assert file.disabled
    info = models["policy"]
    assert info.model_name == "ppo_CartPole-v1_policy"
    assert info.description == "PPO ppo in CartPole-v1 Environment, seed 3, a.seed3"
    assert info.tags == {"team": "7", "url": "a/b"}
    named = CONFIG.model_copy(update={"mlflow_experiment": "mlflow_example"})
    _, models = read(tmp_path, text, named)
    assert models["policy"].model_name == "mlflow_example_policy"


def test_the_order_of_defaults_decides(tmp_path):
    (tmp_path / "base.yaml").write_text(f"disabled: False\n{ONE}")
    own = "disabled: True\nmodels:\n  value:\n    model_name: v\n"
    file, models = read(tmp_path, f"defaults: [base, _self_]\n{own}")
    assert file.disabled and set(models) == {"policy", "value"}
    file, _ = read(tmp_path, f"defaults: [_self_, base]\n{own}")
    assert not file.disabled


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("models:\n  actor:\n    model_name: a\n", "no model actor"),
        ("models:\n  policy:\n    model_name: ${oc.env:HOME}\n", "oc.env:HOME"),
        ("models:\n  policy:\n    model_name: a\n    description: ${}\n", "${}"),
        ("models:\n  policy:\n    description: a\n", "models.policy"),
        ("models:\n  policy: a\n", "models.policy"),
        ("models: [policy]\n", "models is"),
        ("disabled: maybe\n" + ONE, "maybe"),
        ("stages: a\n" + ONE, "stages"),
        ("defaults: [nobody]\n" + ONE, "nobody"),
        ("defaults: default\n" + ONE, "defaults is"),
        ("defaults: [mine]\n" + ONE, "names itself"),
        (ONE + ONE, "twice"),
        (ONE + "    model_name: b\n", "twice"),
        (ONE + "    tags: {a: [1]}\n", "tags"),
        ("models: {", "YAML"),
        ("models: !!python/object/apply:os.system [id]\n", "YAML"),
        ("- a\n", "list"),
    ],
)
def test_what_it_may_not_say_is_refused_in_two_lines(tmp_path, text, word):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert word in str(caught.value) and str(caught.value).count("\n") == 1


def test_a_file_that_is_not_there_names_those_that_are():
    with pytest.raises(ConfigurationError, match="ppo") as caught:
        read_models_file("dreamer_v3")
    assert "dreamer_v3" in str(caught.value)
