"""Tables, times, sizes and rows, as docker's own client prints them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.connection import jsontext
from runtime.cli.errors import CliError
from runtime.cli.flags import times
from runtime.cli.flags.parser import CommandLine
from runtime.cli.output import progress, tables, units
from runtime.cli.verbs import images, listing, stats, system, transfer, usage
from runtime.docker_syntax.times import ns_of


def shown(capsys: pytest.CaptureFixture[str], rows: list[dict[str, str]], **given_flags: str) -> str:
    options = CommandLine()
    for key, value in given_flags.items():
        options.add(key, value)
    tables.show(options, rows, ("ID", "RunningFor"), {"ID": "CONTAINER ID", "RunningFor": "CREATED"})
    return capsys.readouterr().out


ROWS = [{"ID": "0123456789ab", "RunningFor": "2 days ago"}, {"ID": "b", "RunningFor": "now"}]


def test_a_table_has_docker_s_columns(capsys: pytest.CaptureFixture[str]):
    assert shown(capsys, ROWS) == "CONTAINER ID   CREATED\n0123456789ab   2 days ago\nb              now\n"
    assert shown(capsys, []) == "CONTAINER ID   CREATED\n"


def test_other_forms(capsys: pytest.CaptureFixture[str]):
    assert shown(capsys, ROWS, quiet="true") == "0123456789ab\nb\n"
    assert shown(capsys, ROWS, format="{{.ID}}!") == "0123456789ab!\nb!\n"
    assert shown(capsys, ROWS, format="table {{.RunningFor}}\\t{{.ID}}").startswith(
        "CREATED      CONTAINER ID\n"
    )
    assert shown(capsys, ROWS, format="json").splitlines()[1] == '{"ID":"b","RunningFor":"now"}'


def test_what_a_shell_leaves_as_it_is_becomes_a_tab_and_a_line(capsys: pytest.CaptureFixture[str]):
    assert shown(capsys, ROWS[1:], format=" {{.ID}}\\t{{.RunningFor}}\\n-") == "b\tnow\n-\n"


@pytest.mark.parametrize(
    ("form", "official"),
    [("json", ['"IsOfficial":"true"', '"IsOfficial":"false"']), ("{{.IsOfficial}}.", ["[OK].", "."])],
)
def test_a_find_is_marked_for_eyes_and_listed_in_json(
    capsys: pytest.CaptureFixture[str], form: str, official: list[str]
):
    class Index:
        def get(self, *_: object) -> list[dict[str, object]]:
            return [{"name": "one", "is_official": True}, {"name": "two", "is_official": False}]

    options = CommandLine()
    options.words = ["one"]
    options.add("format", form)
    images.search(Index(), options)
    for line, part in zip(capsys.readouterr().out.splitlines(), official, strict=True):
        assert part in line


def test_headings_are_made_of_names():
    headings = tables.Headings({"ID": "IMAGE ID"})
    assert [headings[name] for name in ("ID", "LocalVolumes", "Names")] == [
        "IMAGE ID",
        "LOCAL VOLUMES",
        "NAMES",
    ]
    assert headings["Label"]("com.x.app-name") == "app name"


@given(st.lists(st.lists(st.text("abc xyz", max_size=20), min_size=2, max_size=2), min_size=1, max_size=6))
def test_columns_stand_in_line(lines: list[list[str]]):
    out = tables.aligned(lines).split("\n")[:-1]
    width = max([10, *(len(cells[0]) + 3 for cells in lines)])
    assert [line[width:] for line in out] == [cells[1] for cells in lines]


@given(st.integers(0, 2**62))
def test_a_time_is_read_back(nanosecond: int):
    text = times.rfc3339(nanosecond % (4 * 10**18))
    assert ns_of(text) == nanosecond % (4 * 10**18)


def test_moments():
    assert times.moment("--since", "1700000000.25") == "1700000000.250000000"
    assert times.moment("--since", "2026-01-31T10:00:00Z") == "1769853600.000000000"
    assert times.moment("--since", "2026-01-31T10:00:00.123456789Z") == "1769853600.123456789"
    assert times.moment("--since", "2026-01-31T10:00:00+01:00") == "1769850000.000000000"
    before = time.time()
    assert before - 600 <= float(times.moment("--since", "10m")) <= time.time() - 600
    with pytest.raises(CliError, match="yesterday"):
        times.moment("--since", "yesterday")


def test_sizes():
    assert [units.size(one) for one in (0, 999, 1000, 1234567, 5 * 10**12)] == [
        "0B",
        "999B",
        "1kB",
        "1.235MB",
        "5TB",
    ]
    assert units.memory(1536 << 20) == "1.5GiB"
    assert units.shorten("abcdef", 4) == "abc…"


def test_ports_are_joined_to_ranges():
    def port(inside: int, outside: int = 0, address: str = "0.0.0.0", kind: str = "tcp") -> dict[str, object]:
        found: dict[str, object] = {"PrivatePort": inside, "Type": kind}
        return found | ({"PublicPort": outside, "IP": address} if outside else {})

    assert listing.ports([port(80, 8080), port(81, 8081), port(82, 9000)]) == (
        "0.0.0.0:8080-8081->80-81/tcp, 0.0.0.0:9000->82/tcp"
    )
    assert listing.ports([port(443), port(444), port(53, kind="udp")]) == "443-444/tcp, 53/udp"
    assert listing.ports([port(80, 80, "::")]) == "[::]:80->80/tcp"


def test_a_container_s_row():
    found = {
        "Id": "a" * 64,
        "Names": ["/web", "/db/web"],
        "Image": "debian",
        "Command": 'sh -c "echo a long command"',
        "Created": int(time.time()) - 7200,
        "State": "running",
        "Status": "Up 2 hours",
        "Ports": [],
        "Labels": {"b": "2", "a": "1"},
        "Mounts": [{"Name": "v" * 64, "Driver": "local"}],
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "SizeRw": 2048,
    }
    row = listing.row(found)
    assert (row["ID"], row["Names"], row["RunningFor"]) == ("a" * 12, "web", "2 hours ago")
    assert row["Command"] == '"sh -c \\"echo a long …"'
    assert (row["Labels"], row["Label"]("b"), row["LocalVolumes"], row["Networks"]) == (
        "a=1,b=2",
        "2",
        "1",
        "bridge",
    )
    assert len(row["Mounts"]) == 15
    assert listing.row(found, truncate=False)["Names"] == "web,db/web"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("app", ("app", "")),
        ("app:1", ("app", "1")),
        ("h:5000/app", ("h:5000/app", "")),
        ("h:5000/app:1", ("h:5000/app", "1")),
        ("app@sha256:abc", ("app", "sha256:abc")),
        ("app:1@sha256:abc", ("app", "sha256:abc")),
        ("a:b:c", ("a:b:c", "")),
    ],
)
def test_names_and_tags(name: str, parts: tuple[str, str]):
    assert images.split_tag(name) == parts


def test_stats():
    document = {
        "id": "c" * 64,
        "name": "/web",
        "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
        "precpu_stats": {"cpu_usage": {"total_usage": 200}, "system_cpu_usage": 1000},
        "memory_stats": {"usage": 300 << 20, "limit": 1 << 30, "stats": {"inactive_file": 44 << 20}},
        "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 2000}},
        "blkio_stats": {
            "io_service_bytes_recursive": [{"op": "Read", "value": 1}, {"op": "write", "value": 5000}]
        },
        "pids_stats": {"current": 3},
    }
    row = stats.row(document, CommandLine(), "0123456789abcdef")
    assert list(row.values())[1:] == [
        "c" * 12,
        "web",
        "20.00%",
        "256MiB / 1GiB",
        "25.00%",
        "1kB / 2kB",
        "1B / 5kB",
        "3",
    ]
    assert (
        stats.row({"id": "x", "cpu_stats": {"cpu_usage": {"total_usage": 0}}}, CommandLine(), "x")["CPUPerc"]
        == "0.00%"
    )


def test_a_network_s_time_is_shown_as_go_does():
    assert times.utc("2026-01-31T10:00:00.120000000Z") == "2026-01-31 10:00:00.12 +0000 UTC"
    assert times.utc("2026-01-31T10:00:00+01:00") == "2026-01-31 09:00:00 +0000 UTC"
    assert times.utc("") == ""


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((60_000_000, 0, 2, 1, 0), "Received 60MB: 2 blobs; 1 was here\n"),
        ((0, 565, 0, 3, 0), "Sent 565B: 0 blobs; 3 were there\n"),
        ((10, 9000, 1, 0, 2), "Sent 9kB: 1 blob; 2 mounted from another repository\n"),
    ],
)
def test_what_travelled_is_shown(counts: tuple[int, ...], said: str):
    found = dict(zip(("received", "sent", "moved", "present", "mounted"), counts, strict=True))
    assert list(transfer.travelled([{"aux": {"Transfer": found}}])) == [said]
    assert list(transfer.travelled([{"aux": {"Tag": "1", "Size": 5}}, {"aux": ["x"]}])) == []


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_documents_are_indented_as_json_s_own_module_does(document: object):
    assert jsontext.pretty(document) == json.dumps(document, indent=4, ensure_ascii=False)


def test_a_bar_is_as_long_as_its_layer():
    assert progress.moved(12_345_678, 60_000_000) == "12.3MB/60MB"
    assert progress.moved(5, None) == "5B"


def test_an_event_s_line():
    event = {
        "Type": "container",
        "Action": "start",
        "timeNano": 1769853600000000007,
        "Actor": {"ID": "abc", "Attributes": {"name": "web", "image": "debian"}},
    }
    assert system.event_line(event).endswith(" container start abc (image=debian, name=web)")
    assert ".000000007" in system.event_line(event)


def test_usage_counts_what_could_go():
    found = {
        "LayersSize": 100,
        "Images": [
            {"Size": 60, "SharedSize": 10, "Containers": 1},
            {"Size": 40, "SharedSize": 0, "Containers": 0},
        ],
        "Containers": [{"State": "running", "SizeRw": 5}, {"State": "exited", "SizeRw": 7}],
        "Volumes": [{"UsageData": {"Size": 30, "RefCount": 0}}, {"UsageData": {"Size": 20, "RefCount": 2}}],
    }
    rows = usage.rows(found)
    assert [row["Reclaimable"] for row in rows] == ["50B (50%)", "7B (58%)", "30B (60%)", "0B"]
    assert [row["Active"] for row in rows] == ["1", "1", "1", "0"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_round_trip(value: object):
    import json

    assert json.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize("text", ["", "{", "{} {}", "nope", '{"a":}'])
def test_no_json(text: str):
    with pytest.raises(ValueError):
        jsontext.loads(text)
