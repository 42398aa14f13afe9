from __future__ import annotations

import dataclasses

import pytest

from shared.compress.measure.machine import read_bandwidth, this_machine

X86 = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\ncpu MHz\t\t: 2300.5\nflags\t\t: fpu avx2 fma avx512f avx512_vnni\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nModel\t\t: A Board Rev 1.1\n"


def system(tmp_path, info, *, caches=(), clock=None, memory=None):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(info)
    if memory:
        (tmp_path / "proc/meminfo").write_text(f"MemTotal:       {memory} kB\n")
    folder = tmp_path / "sys/devices/system/cpu/cpu0"
    for place, (kind, size) in enumerate(caches):
        (folder / f"cache/index{place}").mkdir(parents=True)
        (folder / f"cache/index{place}/type").write_text(f"{kind}\n")
        (folder / f"cache/index{place}/size").write_text(f"{size}\n")
    if clock:
        (folder / "cpufreq").mkdir(parents=True)
        (folder / "cpufreq/cpuinfo_max_freq").write_text(f"{clock}\n")
    return this_machine(tmp_path)


def test_what_the_system_says_is_read(tmp_path):
    found = system(tmp_path, X86, caches=(("Data", "48K"), ("Instruction", "32K"), ("Unified", "2048K")), memory=1024)
    assert found.processor == "Some CPU @ 3 GHz"
    assert found.instruction_sets == ("avx2", "fma", "avx512f", "avx512_vnni")
    assert (found.clock, found.memory, found.caches) == (2300.5e6, 2**20, (48 * 1024, 2048 * 1024))
    assert found.adds_in_32_bits


def test_an_arm_board_says_its_clock_elsewhere(tmp_path):
    found = dataclasses.replace(system(tmp_path, ARM, clock=1_800_000), architecture="aarch64")
    assert (found.processor, found.clock) == ("A Board Rev 1.1", 1.8e9)
    assert found.adds_in_32_bits
    assert (found.channel_block, found.blocked_floats) == (16, False)


def test_a_system_that_says_nothing_is_left_open(tmp_path):
    found = this_machine(tmp_path)
    assert (found.clock, found.memory, found.caches, found.instruction_sets) == (None, None, (), ("unknown",))


@pytest.mark.parametrize(("flags", "block"), [("avx2 fma", 8), ("avx2 avx512f", 16)])
def test_blocks_follow_the_instructions(tmp_path, flags, block):
    found = dataclasses.replace(system(tmp_path, f"flags : {flags}\n"), architecture="x86_64")
    assert (found.channel_block, found.blocked_floats, found.adds_in_32_bits) == (block, True, False)


def test_bandwidth_is_a_rate():
    assert 1e7 < read_bandwidth(2**16, seconds=0.0) < 1e14
