import os

from bench.scenarios.other_processes import OtherProcesses, spent_ns


def process(proc, pid, parent, ns=0, namespace="pid:[1]"):
    home = proc / str(pid)
    (home / "ns").mkdir(parents=True)
    (home / "stat").write_text(f"{pid} (a) name) S {parent} 0 0")
    for thread, share in ((pid, ns - ns // 3), (pid + 1000, ns // 3)):
        (home / f"task/{thread}").mkdir(parents=True)
        (home / f"task/{thread}/schedstat").write_text(f"{share} 0 1\n")
    (home / "ns/pid").symlink_to(namespace)


def test_neither_kernel_threads_nor_descendants_nor_containers_are_counted(tmp_path):
    process(tmp_path, 1, 0, 10)
    process(tmp_path, 2, 0)
    process(tmp_path, 3, 2)
    process(tmp_path, 50, 1, 500)
    process(tmp_path, 60, 50)
    process(tmp_path, 61, 60)
    process(tmp_path, 70, 1, 700)
    process(tmp_path, 80, 70, namespace="pid:[2]")
    assert OtherProcesses(50, tmp_path).read() == {1: 10, 50: 500, 70: 700}


def test_a_descendant_stays_one_when_its_parent_is_gone(tmp_path):
    process(tmp_path, 50, 1)
    process(tmp_path, 60, 50)
    others = OtherProcesses(50, tmp_path)
    assert 60 not in others.read()
    (tmp_path / "60/stat").write_text("60 (name) S 1 0 0")
    assert 60 not in others.read()


def test_here_we_are_one_ourselves():
    first = OtherProcesses().read()
    assert first[os.getpid()] > 0


def test_the_newborn_count_from_their_start_and_the_dead_not_at_all():
    assert spent_ns({1: 5, 2: 100}, {1: 8, 3: 40}) == 43
