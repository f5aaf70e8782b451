"""Limits of control groups, in trees of files as kernels have them."""

import os
from pathlib import Path

import pytest

from dpip.worker.control_groups import ControlGroups, CpuLimit
from dpip.worker.machine import machine_id, usable_cores

MIB = 2**20


class Tree:
    """``/sys/fs/cgroup`` and ``/proc/self/cgroup``, made up."""

    def __init__(self, directory: Path, *memberships: str) -> None:
        self.root = directory / "sys"
        self.root.mkdir()
        self.membership = directory / "cgroup"
        self.membership.write_text("".join(f"{line}\n" for line in memberships))

    def group(self, path: str, **files: object) -> Path:
        group = self.root / path.lstrip("/")
        group.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (group / name.replace("__", ".")).write_text(f"{content}\n")
        return group

    @property
    def groups(self) -> ControlGroups:
        return ControlGroups(self.root, self.membership)

    @property
    def memory(self) -> list[tuple[int, int]]:
        """Total and available of each limit, in MiB."""
        limits = self.groups.memory_limits()
        return [(limit.total // MIB, limit.available // MIB) for limit in limits]


@pytest.fixture
def second(tmp_path: Path) -> Tree:
    """Version 2, in the group ``/system.slice/dpip.service``."""
    return Tree(tmp_path, "0::/system.slice/dpip.service")


@pytest.fixture
def first(tmp_path: Path) -> Tree:
    """Version 1, in a container whose name outside is of no use within."""
    return Tree(
        tmp_path, "4:memory:/docker/0a1b", "3:cpu,cpuacct:/docker/0a1b", "1:name=systemd:/docker"
    )


def test_without_limits_there_are_none(second: Tree) -> None:
    """``max`` is no limit."""
    second.group("/system.slice/dpip.service", memory__max="max", cpu__max="max 100000")
    assert second.groups.memory_limits() == []
    assert second.groups.cpu_limit() is None


def test_without_control_groups_there_are_no_limits(tmp_path: Path) -> None:
    """As where there is no Linux."""
    groups = ControlGroups(tmp_path / "no sys", tmp_path / "no cgroup")
    assert groups.memory_limits() == []
    assert groups.cpu_limit() is None


def test_a_limit_of_memory_counts_with_what_is_used(second: Tree) -> None:
    """What is kept of files and not used can be had."""
    second.group(
        "/system.slice/dpip.service",
        memory__max=512 * MIB,
        memory__current=300 * MIB,
        memory__stat=f"anon 1\nfile {90 * MIB}\ninactive_file {80 * MIB}\nactive_file 7",
    )
    assert second.memory == [(512, 292)]


def test_limits_of_all_groups_above_count(second: Tree) -> None:
    """The innermost comes first."""
    second.group("/system.slice/dpip.service", memory__max=900 * MIB, memory__current=100 * MIB)
    second.group("/system.slice", memory__max=600 * MIB, memory__current=500 * MIB)
    assert second.memory == [(900, 800), (600, 100)]


def test_a_group_over_its_limit_has_nothing_left(second: Tree) -> None:
    """A limit may be lowered below what is used."""
    second.group("/system.slice", memory__max=100 * MIB, memory__current=130 * MIB)
    assert second.memory == [(100, 0)]


def test_a_container_is_the_root_of_what_it_sees(tmp_path: Path) -> None:
    """By whatever name its group goes outside."""
    tree = Tree(tmp_path, "0::/kubepods/pod1/0a1b")
    tree.group("/", memory__max=64 * MIB, memory__current=0, cpu__max="50000 100000")
    assert tree.memory == [(64, 64)]
    limit = tree.groups.cpu_limit()
    assert limit is not None
    assert limit.cpus == 0.5


def test_the_least_limit_of_cpu_counts(second: Tree) -> None:
    """With what its own group has used of it."""
    second.group("/system.slice/dpip.service", cpu__max="300000 100000", cpu__stat="usage_usec 7")
    second.group(
        "/system.slice", cpu__max="150000 100000", cpu__stat="user_usec 1\nusage_usec 2500000"
    )
    assert second.groups.cpu_limit() == CpuLimit(cpus=1.5, used=2.5)


def test_version_one_has_the_same_limits(first: Tree) -> None:
    """Under other names, and with a number for none."""
    first.group(
        "memory",
        memory__limit_in_bytes=512 * MIB,
        memory__usage_in_bytes=300 * MIB,
        memory__stat=f"inactive_file 1\ntotal_inactive_file {80 * MIB}",
    )
    first.group(
        "cpu,cpuacct",
        cpu__cfs_quota_us=250_000,
        cpu__cfs_period_us=100_000,
        cpuacct__usage=1_500_000_000,
    )
    assert first.memory == [(512, 292)]
    assert first.groups.cpu_limit() == CpuLimit(cpus=2.5, used=1.5)


def test_version_one_without_limits_has_none(first: Tree) -> None:
    """Its quota is -1 then, and its memory as much as a number can be."""
    first.group("memory", memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=1)
    first.group("cpu,cpuacct", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100_000)
    assert first.groups.memory_limits() == []
    assert first.groups.cpu_limit() is None


def test_rubbish_in_a_file_is_no_limit(second: Tree) -> None:
    """Nor costs it a heartbeat."""
    second.group("/system.slice", memory__max="lots", cpu__max="", cpu__stat="usage_usec")
    assert second.groups.memory_limits() == []
    assert second.groups.cpu_limit() is None


@pytest.mark.parametrize(("quota", "cores"), [("1000 100000", 1), ("100000 100000", 1)])
def test_as_many_cores_are_used_as_a_limit_keeps_busy(second: Tree, quota: str, cores: int) -> None:
    """At least one."""
    second.group("/system.slice", cpu__max=quota)
    assert usable_cores(second.groups) == cores


def test_more_than_all_cores_are_all(second: Tree) -> None:
    """A limit gives nothing."""
    second.group("/system.slice", cpu__max="100000000 100000")
    assert usable_cores(second.groups) == len(os.sched_getaffinity(0))


def test_each_container_with_limits_is_a_machine(tmp_path: Path) -> None:
    """Its workers share it; those without limits share the whole."""
    ids = []
    for name, limit in [("a", 64 * MIB), ("b", 64 * MIB), ("c", "max"), ("d", "max")]:
        (tmp_path / name).mkdir()
        tree = Tree(tmp_path / name, "0::/")
        tree.group("/", memory__max=limit, memory__current=0)
        ids.append(machine_id(tree.groups))
        assert machine_id(tree.groups) == ids[-1]
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]
