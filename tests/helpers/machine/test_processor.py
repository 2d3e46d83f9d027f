"""Processors by what Linux says of them, and the instruction set that MILOZERO_MARCH asks for."""

import os
import platform

import pytest

from helpers.errors import ConfigurationError
from helpers.machine import processor

OLD = "fpu sse sse2 ht pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
HASWELL = f"{OLD} movbe avx f16c fma abm bmi1 avx2 bmi2"
WIDE = f"{HASWELL} avx512f avx512dq avx512cd avx512bw avx512vl"
HELD = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")


def x86(vendor, family, model, name, flags):
    return (
        f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\n"
        f"model name\t: {name}\nstepping\t: 1\nflags\t\t: {flags}\nbugs\t\t:\n\n"
        f"processor\t: 1\nvendor_id\t: {vendor}\nflags\t\t: fpu\n\n"
    )


def arm(part, implementer="0x41"):
    return (
        "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd aes crc32 atomics sve\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU part\t: {part}\n\n"
    )


def amd(family, model, flags=HASWELL):
    return x86("AuthenticAMD", family, model, "AMD EPYC 7763 64-Core Processor", flags)


def intel(model, flags=HASWELL):
    return x86("GenuineIntel", 6, model, "Intel(R) Xeon(R) Platinum 8480+", flags)


@pytest.fixture
def pretend(monkeypatch, tmp_path):
    """Pretend that this is another processor: a text of /proc/cpuinfo, and what uname says."""

    def be(text, machine="x86_64", march=None):
        path = tmp_path / "cpuinfo"
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
        monkeypatch.setattr(processor, "_CPUINFO", path)
        monkeypatch.setattr(platform, "machine", lambda: machine)
        monkeypatch.delenv(processor.VARIABLE, raising=False)
        if march is not None:
            monkeypatch.setenv(processor.VARIABLE, march)
        processor._cpuinfo.cache_clear()

    yield be
    processor._cpuinfo.cache_clear()


LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]


@pytest.mark.parametrize(
    ("text", "kind", "instructions", "levels"),
    [
        (amd(25, 1), "zen3-avx2", "AVX2", LEVELS[:2]),
        (amd(25, 17, WIDE), "zen4-avx512", "AVX-512", LEVELS),
        (amd(25, 33), "zen3-avx2", "AVX2", LEVELS[:2]),
        (amd(25, 97, WIDE), "zen4-avx512", "AVX-512", LEVELS),
        (amd(26, 2, WIDE), "zen5-avx512", "AVX-512", LEVELS),
        (amd(23, 49), "zen2-avx2", "AVX2", LEVELS[:2]),
        (amd(21, 2, f"{OLD} avx"), "amd-21-2-avx", "AVX", LEVELS[:1]),
        (intel(143, WIDE), "sapphirerapids-avx512", "AVX-512", LEVELS),
        (intel(63), "haswell-avx2", "AVX2", LEVELS[:2]),
        (intel(26, OLD), "intel-6-26-sse42", "SSE4.2", LEVELS[:1]),
        (intel(15, "fpu sse sse2 pni ssse3 cx16"), "intel-6-15-sse2", "SSE2", []),
        # a virtual machine that hides one flag of a level: the level is gone, the vectors are not
        (intel(63, HASWELL.replace("movbe ", "")), "haswell-avx2", "AVX2", LEVELS[:1]),
        (x86("HygonGenuine", 24, 1, "Hygon C86", HASWELL), "x86_64-avx2", "AVX2", LEVELS[:2]),
        (None, "x86_64-sse2", "SSE2", []),
    ],
)
def test_processors_of_x86(pretend, text, kind, instructions, levels):
    pretend(text)
    assert processor.kind() == kind
    assert processor.instruction_set() == instructions
    assert processor.levels() == levels


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (arm("0xd0c"), "neoverse-n1-neon"),
        (arm("0xd40"), "neoverse-v1-neon"),
        (arm("0x022", implementer="0x61"), "aarch64-neon"),
        (None, "aarch64-neon"),
    ],
)
def test_processors_of_arm(pretend, text, kind):
    pretend(text, "aarch64")
    assert processor.kind() == kind
    assert processor.instruction_set() == "NEON"
    assert processor.levels() == []
    assert processor.march() == "native"


def test_the_processor_says_its_name(pretend):
    pretend(intel(143, WIDE))
    assert processor.cpu_model() == "Intel(R) Xeon(R) Platinum 8480+"
    assert processor.cpu_flags() == WIDE.split()
    pretend(arm("0xd4f"), "aarch64")
    assert processor.cpu_model() == "neoverse-v2"
    assert "asimd" in processor.cpu_flags()


def test_a_lower_level_is_what_native_code_is_built_for(pretend):
    pretend(amd(26, 2, WIDE), march="x86-64-v3")
    assert processor.march() == "x86-64-v3"
    assert processor.instruction_set() == "AVX2"
    assert processor.kind() == "zen5-avx2"


@pytest.mark.parametrize(
    ("text", "machine", "march", "problem", "remedy"),
    [
        (
            amd(25, 1),
            "x86_64",
            "avx2",
            "MILOZERO_MARCH=avx2 is no",
            "native, x86-64-v2, x86-64-v3.",
        ),
        (amd(25, 1), "x86_64", "x86-64-v4", "needs AVX-512, which this", "x86-64-v2, x86-64-v3."),
        (intel(26, OLD), "x86_64", "x86-64-v3", "needs AVX2, which this", "native, x86-64-v2."),
        (
            arm("0xd40"),
            "aarch64",
            "neon",
            "not an instruction set of aarch64.",
            "to one of: native.",
        ),
        (arm("0xd40"), "aarch64", "x86-64-v3", "does not support", "to one of: native."),
    ],
)
def test_what_cannot_be_is_refused(pretend, text, machine, march, problem, remedy):
    pretend(text, machine, march)
    for asks in (processor.march, processor.instruction_set, processor.hold_libraries):
        with pytest.raises(ConfigurationError) as caught:
            asks()
        assert problem in caught.value.problem
        assert caught.value.remedy.endswith(remedy)
        assert str(caught.value).count("\n") == 1


def test_native_code_is_named_by_what_it_depends_on(pretend):
    """Not by the order of the flags, nor by those that only a newer kernel knows."""
    names = []
    for text, march in (
        (amd(26, 2, WIDE), None),
        (amd(26, 2, " ".join(sorted(WIDE.split(), reverse=True))), "native"),
        (amd(26, 2, f"{WIDE} fsrm bus_lock_detect"), None),
        (amd(26, 2, f"{WIDE} avx_vnni"), None),
        (amd(26, 2, WIDE), "x86-64-v3"),
        (amd(25, 17, WIDE), None),
        (None, None),
    ):
        pretend(text, march=march)
        names.append(processor.machine())
    assert names[0] == names[1] == names[2]
    assert len(set(names)) == 5


@pytest.mark.parametrize(
    ("march", "held"),
    [
        ("native", [None, None, None]),
        ("x86-64-v4", ["AVX512_CORE", None, None]),
        ("x86-64-v3", ["AVX2", "avx2", "AVX2"]),
        ("x86-64-v2", ["SSE41", "default", "SSE4_2"]),
    ],
)
def test_the_libraries_are_held_to_it_unless_the_user_says_otherwise(
    pretend,
    monkeypatch,
    march,
    held,
):
    for name in HELD:
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
        monkeypatch.delenv(name)
    pretend(amd(26, 2, WIDE), march=march)
    processor.hold_libraries()
    assert [os.environ.get(name) for name in HELD] == held
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX")
    processor.hold_libraries()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX"
