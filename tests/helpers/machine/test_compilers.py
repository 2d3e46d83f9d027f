"""Compilers: which one is taken, how it is told for which processor, and what Inductor is told."""

import os
import pathlib
import platform
import subprocess
import sys

import pytest

from helpers.machine import compilers, native, processor

GCC = "cc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.\n"
CLANG = "Debian clang version 14.0.6\nTarget: x86_64-pc-linux-gnu\n"
OTHER = "Fancy C 7\n"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Make programs that print a text; nothing else is on the PATH, and ziglang is not installed."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, "")  # so that what is set in the test is taken back
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    compilers.compiler_version.cache_clear()

    def make(name, text=""):
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}END\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_the_first_compiler_that_is_there_is_taken(programs, monkeypatch):
    assert compilers.c_compiler() == ()
    assert compilers.compiler_name() == "none"
    for name in ("clang", "cc", "gcc"):
        path = programs(name)
        assert compilers.c_compiler() == (path,)
    programs("ccache")
    monkeypatch.setenv("CC", "ccache 'my cc' -m64")
    assert [os.path.basename(each) for each in compilers.c_compiler()] == [
        "ccache",
        "my cc",
        "-m64",
    ]
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compilers.c_compiler() == (path,)


def test_a_package_has_one_where_there_is_no_other(programs, monkeypatch):
    monkeypatch.setattr(compilers, "find_spec", lambda name: name == "ziglang")
    assert compilers.c_compiler() == (sys.executable, "-m", "ziglang", "cc")
    programs("cc")
    assert len(compilers.c_compiler()) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [(GCC, "gcc 12.2.0"), (CLANG, "clang 14.0.6"), (OTHER, "gcc"), ("", "gcc")],
)
def test_a_compiler_is_named_with_its_version(programs, text, name):
    programs("gcc", text)
    assert compilers.compiler_name() == name


def test_a_compiler_that_cannot_be_started_is_survived(programs):
    path = pathlib.Path(programs("gcc"))
    path.write_text("#!/no/such/shell\n")
    assert compilers.compiler_name() == "gcc"
    assert native.build("agents/compute/kernels/adam.c") is None


@pytest.mark.parametrize(
    ("machine", "march", "of_gcc", "of_zig"),
    [
        ("x86_64", None, "-march=native", "-mcpu=native"),
        ("x86_64", "x86-64-v2", "-march=x86-64-v2", "-mcpu=x86_64_v2"),
        ("aarch64", None, "-mcpu=native", "-mcpu=native"),
    ],
)
def test_each_compiler_is_told_the_instruction_set_its_own_way(
    monkeypatch,
    machine,
    march,
    of_gcc,
    of_zig,
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv(processor.VARIABLE, march or "")
    monkeypatch.setattr(processor, "levels", lambda: [march])
    for words in (["/usr/bin/gcc"], ["ccache", "clang"]):
        assert compilers.target_flag(tuple(words)) == of_gcc
    for words in (["python", "-m", "ziglang", "cc"], ["/opt/zig/zig", "cc"]):
        assert compilers.target_flag(tuple(words)) == of_zig


def test_inductor_is_told_of_a_compiler_only_where_it_would_find_none(programs, tmp_path):
    compilers.name_cxx(tmp_path)
    assert "CXX" not in os.environ
    clang = programs("clang++")
    compilers.name_cxx(tmp_path)
    assert os.environ["CXX"] == clang
    compilers.name_cxx(tmp_path)
    assert os.environ.pop("CXX") == clang
    path = programs("g++")
    compilers.name_cxx(tmp_path)
    assert "CXX" not in os.environ
    os.environ["CXX"] = "no-such-compiler"
    compilers.name_cxx(tmp_path)
    assert os.environ["CXX"] == path


def test_flags_that_zig_does_not_have_are_translated(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(compilers, "_zig", lambda language: ("/bin/echo", "of zig", language))
    for _ in range(2):
        compilers.name_cxx(tmp_path / "kept")
        script = os.environ.pop("CXX")
    words = ["-O3", "-fopenmp", "-march=x86-64-v3", "a b.cpp", "-march=native", "-lgomp"]
    done = subprocess.run([script, *words], capture_output=True, text=True, check=True)
    given = "-O3 -mcpu=x86_64_v3 a b.cpp -march=native"
    assert done.stdout == f"of zig c++ -I{compilers._ONE_THREAD} {given}\n"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["zig-c++"]


def test_a_folder_that_cannot_be_written_is_survived(programs, tmp_path, monkeypatch):
    monkeypatch.setattr(compilers, "_zig", lambda language: ("zig", language))
    (tmp_path / "file").write_text("")
    compilers.name_cxx(tmp_path / "file")
    assert "CXX" not in os.environ


def test_the_package_compiles_what_inductor_writes(tmp_path, monkeypatch):
    """Its headers are there, OpenMP's among them; linking is left out, for libc++ takes half a minute."""
    pytest.importorskip("ziglang", reason="make venv installs it")
    source = tmp_path / "step.cpp"
    source.write_text(
        "#include <omp.h>\n#include <vector>\nint f() { return omp_get_max_threads(); }",
    )
    monkeypatch.setattr(compilers, "_found", lambda *commands: ())
    monkeypatch.setenv("CXX", "")
    compilers.name_cxx(tmp_path)
    words = ["-fopenmp", "-march=native", "-std=c++20", "-c", "step.cpp", "-o", "step.o"]
    subprocess.run([os.environ["CXX"], *words], cwd=tmp_path, check=True)
    assert (tmp_path / "step.o").stat().st_size > 0
