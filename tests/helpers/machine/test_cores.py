"""Cores that a process may use: fewer than the machine has, by affinity or by a quota."""

from __future__ import annotations

import os

import pytest

from helpers.machine.cores import usable_cores


@pytest.fixture
def sixteen(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/job/run\n", {"job/cpu.max": "250000 100000", "job/run/cpu.max": "max 100000"}, 2),
        ("0::/job\n", {"job/cpu.max": "50000 100000"}, 1),
        ("0::/job\n", {"job/cpu.max": "max 100000"}, 16),
        (
            "4:cpu,cpuacct:/job\n3:memory:/job\n",
            {"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ("", {}, 16),
    ],
)
def test_a_quota_counts_on_whichever_level_it_stands(tmp_path, sixteen, own, files, cores):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert usable_cores(cgroups=tmp_path, own=tmp_path / "own") == cores


def test_the_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert usable_cores(cgroups=tmp_path, own=tmp_path / "none") == 2
