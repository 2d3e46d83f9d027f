"""`reporter.py card`: one page on each kind of run, the same bytes again; written at the end of a training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import reporter
from helpers.display.video import write_mp4
from reports.card.facts import commands_of, read_facts
from reports.card.write import card_line
from tests import launch, next_lines
from tests.reports.stage import make_run
from tests.reports.test_report import Reader

FULL = {"return_sd": 2.0, "return_min": 1.0, "return_max": 9.0, "length_mean": 20.0, "episodes": 10}


CHANGE = {"kind": "setting", "name": "p_lr", "before": 1, "after": 2, "iteration": 2}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A run that has ended, whose best evaluation is not its last, with names that are no Markdown and no HTML."""
    settings = {"p_lr": 1e-3, "registry_endpoint": "grpc://user:secret@host:9002"}
    folder = make_run(tmp_path / "my runs", "b_x.seed02", [4.0, 50.5, 7.25], settings=settings)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    full = {f"eval/{name}": value for name, value in FULL.items()}
    put_rows(folder, [row | full for row in rows])
    edit(
        folder,
        code={
            "commit": "c" * 40,
            "dirty": True,
            "diff": "+<script>\n-a|b\n",
            "diff_sha256": "d" * 64,
        },
    )
    return folder


def put_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def edit(folder: Path, **entries: object) -> None:
    """Of the capsule."""
    path = folder / "capsule.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def card(folder: Path) -> tuple[str, str]:
    """(the text of the page, the Markdown) of a run; the page is whole."""
    assert reporter.main(["card", str(folder)]) == 0
    reader = Reader()
    page = (folder / "card.html").read_text()
    reader.feed(page.replace("</td>", " </td>"))  # cells are words of their own
    assert not reader.open and "<script" not in page
    inside = [each.startswith("data:image/png;base64,") for each in reader.loads]
    assert all(inside), "it loads something"
    return " ".join(reader.text.split()), (folder / "card.md").read_text()


def test_a_card_says_what_a_run_is_and_what_limits_it(made):
    page, text = card(made)
    for told in (
        "ppo on CartPole-v1, seed 2: 3,072 of 3,072 environment steps; it has trained to its end",
        "The final policy returns 7.25 (mean of 10 episodes)",
        "It is one seed, 2",
        "The final policy returns less than the one of iteration 2 (7.25 and 50.5)",
        "uncommitted changes: the commit alone does not bring it back",
        "There are no pictures: it was not filmed yet.",
        "final 3 7.25 ± 2 1 9 20.0 10 without exploration",
        "best 2 50.5 ± 2",
        "p_lr 0.001 0.0003 initial learning rate of the policy",
        "c" * 40,
        "2 lines, sha256 dddddddddddd",
        "gymnasium 1.4.0",
        "a processor, AVX-512",
        "3 iterations",
    ):
        assert told in page, told
    assert "secret" not in page + text and "registry_endpoint grpc://***@host:9002" in page
    assert "# b\\_x.seed02" in text and "| p\\_lr | 0.001 | 0.0003 |" in text
    assert "![Learning curve](learning_curve.png)" in text


def test_the_same_folder_has_the_same_bytes_again(made):
    def digests() -> dict[str, str]:
        files = (path for path in made.iterdir() if path.name.startswith(("card", "learning")))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    film(made, "iter_000003.mp4")
    card(made)
    first = digests()
    assert set(first) == {"card.html", "card.md", "card_frames.png", "learning_curve.png"}
    for name in ("card_frames.png", "learning_curve.png"):  # which are drawn anew
        (made / name).unlink()
    card(made)
    assert digests() == first


def film(folder: Path, name: str) -> None:
    """A video that grows lighter, of 30 frames in 3 s."""
    (folder / "videos").mkdir(exist_ok=True)
    frames = [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(30)]
    write_mp4(frames, folder / "videos" / name, fps=10)


def test_pictures_are_of_the_latest_video(made):
    film(made, "iter_000002.mp4")
    film(made, "iter_000003_beside_expert.mp4")
    page, text = card(made)
    assert (
        "Pictures of videos/iter_000003_beside_expert.mp4, of the policy after iteration 3" in page
    )
    assert "![An episode](card_frames.png)" in text
    (made / "videos" / "iter_000004.mp4").write_bytes(b"no video")
    page, text = card(made)
    assert "There are no pictures" in page and "iter_000004.mp4 cannot be read as a video" in page
    assert not (made / "card_frames.png").exists() and "card_frames" not in text


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: link(run, 2), "It is unfinished: after 3,072 of 3,072 steps."),
        (lambda run: lost(run), "It has diverged: its last return is nan."),
        (lambda run: lost(run), "1 returns are not finite"),
        (
            lambda run: key(run, "rollout/return_mean"),
            "It was never evaluated while it trained: its returns are those",
        ),
        (lambda run: key(run, "rollout/return_mean"), "in training 3 7.25"),
        (
            lambda run: edit(run, choices=[{"resume": "with new episodes"}]),
            "Its environment cannot be saved",
        ),
        (lambda run: edit(run, changes=[CHANGE]), "It was changed after iteration 2: p_lr 1 -> 2."),
        (lambda run: (run / "capsule.json").unlink(), "It has no capsule.json"),
        (lambda run: put_rows(run, []), "It has not trained"),
        (lambda run: (run / "metrics.jsonl").unlink(), "There is no curve: it has no metrics."),
        (lambda run: asked(run, seed=9), "evaluation_best 2 3.5 ± 1 - - - 5 exploring, seed 9"),
    ],
)
def test_what_is_known_not_to_hold_is_said(made, spoil, told):
    spoil(made)
    assert told in card(made)[0]


def link(run: Path, iteration: int) -> None:
    (run / "checkpoints" / "latest").unlink()
    (run / "checkpoints" / "latest").symlink_to(f"iter_{iteration:06d}")


def lost(run: Path) -> None:
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace("7.25", "NaN"))


def key(run: Path, name: str) -> None:
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace("eval/return_mean", name))


def asked(run: Path, **others: object) -> None:
    figures = {
        "return_mean": 3.5,
        "return_sd": 1.0,
        "episodes": 5,
        "iteration": 2,
        "deterministic": False,
    }
    (run / "evaluation_best.json").write_text(json.dumps(figures | others))


def test_an_early_end_is_an_end(made):
    config = made / "config.yaml"
    config.write_text(config.read_text().replace("num_timesteps: 3072", "num_timesteps: 9000"))
    assert "It is unfinished" in card(made)[0]
    edit(made, ended=3)  # as `note_end` does
    assert "It is unfinished" not in card(made)[0]


def test_demonstrations_are_told_with_their_card(made, tmp_path):
    used = {"episode": 0, "source": "demos/a.h5", "sha256": "e" * 64, "return": 90.0, "length": 7}
    used |= {"first_step": 3, "every": 2, "steps": 4}
    expert = {
        "source": "1 demonstration",
        "return_mean": 90.0,
        "return_sd": 0.0,
        "demonstrations": [used],
    }
    chance = {"source": "4 episodes", "return_mean": 1.0}
    (made / "references.json").write_text(json.dumps({"expert": expert, "random policy": chance}))
    edit(
        made,
        inputs=[
            {
                "role": "demonstrations",
                "name": "a.h5",
                "path": str(tmp_path / "a.h5"),
                "sha256": "f",
            },
        ],
    )
    origin = {"run": ["teacher.seed00"], "iteration": [300], "ends": []}
    demos = {"files": [{"sha256": "e" * 64}], "origin": origin}
    (tmp_path / "card.json").write_text(json.dumps(demos))
    page, _ = card(made)
    assert "a.h5 90.0 7 4 (every 2. from 3) eeeeeeeeeeee" in page
    assert "run teacher.seed00; iteration 300" in page and "the final policy is at 0.07" in page
    (tmp_path / "card.json").write_text(json.dumps(demos | {"files": []}))
    assert "teacher" not in card(made)[0], "a card of other episodes"


def test_what_cannot_be_shown_is_refused_and_a_warning_of_a_training(made, capsys):
    edit(made, versions=["torch"])
    assert reporter.main(["card", str(made)]) == 5
    problem, remedy = capsys.readouterr().err.splitlines()
    assert "is damaged" in problem and "remedy" in remedy and not (made / "card.html").exists()
    assert card_line(made).startswith("warning: the card is not written: ")
    (made / "config.yaml").write_text("p_lr: [")
    assert card_line(made).startswith("warning: the card is not written: ")


def test_a_training_and_an_evaluation_write_it_and_its_commands_work(tmp_path, capsys):
    runs = tmp_path / "my runs"
    small = [
        "--num_envs=2",
        "--rollout_len=64",
        "--batch_size=32",
        "--num_timesteps=256",
        "--eval_episodes=2",
    ]
    stacks = ["--p_perception_stack=mlp_8", "--v_perception_stack=mlp_8", "--progress=none"]
    flags = ["--env_id=Pendulum-v1", *small, *stacks, f"--runs_dir={runs}", "--uuid=c.seed00"]
    done = launch.run(flags)
    assert done.returncode == 0, done.stderr
    run = runs / "c.seed00"
    assert f"card: {run}/card.html" in done.stdout.splitlines(), done.stdout
    text = (run / "card.md").read_text()
    assert "it has trained to its end" in text and "evaluation\\_" not in text
    commands = commands_of(read_facts(run))
    assert len(commands) == 4
    next_lines.check("".join(f"next: {each}\n" for each in commands.values()))
    done = launch.run(["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=3"])
    assert f"card: {run}/card.html" in done.stdout.splitlines(), done.stdout
    assert "evaluation\\_latest" in (run / "card.md").read_text()
    (run / "capsule.json").write_text(json.dumps({"starts": 1, "versions": 3}))
    done = launch.run(["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=3"])
    assert done.returncode == 0 and "warning: the card is not written: " in done.stdout
