from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values, mounts, ports


def test_values_are_read_as_docker_reads_them():
    assert flag_values.size("-m", "1.5G") == 3 << 29
    assert flag_values.size("--memory-swap", "-1") == -1
    assert flag_values.duration("--health-interval", "1m30s") == 90 * 10**9
    assert flag_values.ulimit("--ulimit", "nofile=5:9") == {"Name": "nofile", "Soft": 5, "Hard": 9}
    assert flag_values.restart_policy("on-failure:3") == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert flag_values.restart_policy("always") == {"Name": "always", "MaximumRetryCount": 0}


@pytest.mark.parametrize("text", ["10", "1e3s"])
def test_a_duration_needs_its_unit(text: str):
    with pytest.raises(CliError, match="--health-interval"):
        flag_values.duration("--health-interval", text)


@pytest.mark.parametrize(
    ("text", "billionths"),
    [
        ("1.5", 1_500_000_000),
        ("0", 0),
        (".01", 10_000_000),
        ("0.000000001", 1),
        ("999999.123456789", 999999123456789),
    ],
)
def test_cores_are_billionths(text: str, billionths: int):
    assert flag_values.cores("--cpus", text) == billionths


@pytest.mark.parametrize("text", ["0.0000000001", "1e-999999999", "-1", "nan", "inf", "1e999999999", "many"])
def test_cores_that_would_be_rounded_to_none_are_refused(text: str):
    """`--cpus 0.0000000001` became 0, which is no limit at all."""
    with pytest.raises(CliError, match="--cpus"):
        flag_values.cores("--cpus", text)


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_a_worded_refusal(text: str):
    single = (flag_values.size, flag_values.cores, flag_values.duration, flag_values.pair, flag_values.ulimit)
    calls = [lambda one=one: one("--flag", text) for one in single]
    calls += [lambda: flag_values.restart_policy(text), lambda: ports.published([text])]
    calls += [lambda: ports.exposed([text]), lambda: mounts.mount(text), lambda: mounts.device(text)]
    calls += [lambda: mounts.volumes([text]), lambda: mounts.tmpfs([text])]
    for call in calls:
        try:
            call()
        except CliError as error:
            assert error.status == 125
            assert "--" in str(error)


@given(
    st.integers(1, 60000), st.integers(0, 40), st.integers(1, 60000), st.sampled_from(["tcp", "udp", "sctp"])
)
def test_ranges_are_published_port_by_port(host: int, more: int, inside: int, protocol: str):
    found = ports.published([f"127.0.0.1:{host}-{host + more}:{inside}-{inside + more}/{protocol}"])
    assert len(found) == more + 1
    for step in range(more + 1):
        assert found[f"{inside + step}/{protocol}"] == [{"HostIp": "127.0.0.1", "HostPort": str(host + step)}]


def test_published_forms():
    assert ports.published(["80"]) == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}
    assert ports.published(["[::1]:8080:80"]) == {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}
    assert ports.published(["127.0.0.1::80"]) == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert ports.published(["8000-8010:80"]) == {"80/tcp": [{"HostIp": "", "HostPort": "8000-8010"}]}
    with pytest.raises(CliError, match="::1:80:80"):
        ports.published(["::1:80:80"])


def test_paths_are_made_absolute_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: object):
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr("posix.environ", {b"HOME": b"/home/x"})
    assert mounts.volumes(["./a:/b", "..:/c", "~/d:/e", "name:/f"])[0][0] == f"{tmp_path}/a:/b"
    assert mounts.volumes(["~/d:/e", "name:/f"])[0] == ["/home/x/d:/e", "name:/f"]


def test_a_negative_count_of_restarts_is_named():
    with pytest.raises(CliError, match="maximum retry count cannot be negative"):
        flag_values.restart_policy("on-failure:-1")


def test_mount_fields_may_be_quoted():
    assert mounts.mount('type=bind,"src=/a,b",dst=/c')["Source"] == "/a,b"


def test_devices():
    assert mounts.device("/dev/a:/dev/b:r") == {
        "PathOnHost": "/dev/a",
        "PathInContainer": "/dev/b",
        "CgroupPermissions": "r",
    }
    assert mounts.device("/dev/a:rw")["CgroupPermissions"] == "rw"
