from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.errors import CliError
from runtime.cli.output import go_zero_values
from runtime.cli.output.templates import Template

DATA: dict[str, Any] = {
    "Name": "/web",
    "State": {"Running": True, "Pid": 7, "Health": None},
    "Args": ["a", "b c"],
    "Labels": {"z": "1", "a": "2"},
    "Ports": {"80/tcp": [{"HostPort": "8080"}], "9/udp": None},
    "Size": 1.0,
    "None": [],
    "Label": lambda name: f"<{name}>",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "/web"),
        ("a {{ .Name }} b", "a /web b"),
        ("{{.State.Pid}} {{.State.Running}} {{.Size}}", "7 true 1"),
        ("{{.State.Health}}", "<no value>"),
        ("{{.state.PID}}", "7"),
        ("{{.Args}} {{.Labels}}", "[a b c] map[a:2 z:1]"),
        ("{{json .Args}}", '["a","b c"]'),
        ("{{.Args | json}}", '["a","b c"]'),
        ('{{join .Args ", "}}', "a, b c"),
        ('{{index .Labels "z"}}{{index .Labels "no"}}', "1"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{(index .Ports "80/tcp" 0).HostPort}}', "8080"),
        ("{{range .Args}}[{{.}}]{{end}}", "[a][b c]"),
        ("{{range $i, $e := .Args}}{{$i}}={{$e}};{{end}}", "0=a;1=b c;"),
        ("{{range $k, $v := .Labels}}{{$k}}{{$v}} {{end}}", "a2 z1 "),
        ("{{range .None}}x{{else}}empty{{end}}", "empty"),
        ("{{range .Args}}{{$.Name}} {{end}}", "/web /web "),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .None}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}", "7y"),
        ("{{if and .Name (eq .State.Pid 7)}}both{{end}}", "both"),
        ('{{if or (ne .Name "/web") (gt .State.Pid 9)}}x{{else}}no{{end}}', "no"),
        ("{{not .None}} {{len .Args}}", "true 2"),
        (
            '{{$x := .State.Pid}}{{printf "%03d|%5s|%-3s|%q|%v" $x "ab" "c" "d" .Args}}',
            '007|   ab|c  |"d"|[a b c]',
        ),
        ('{{upper .Name}} {{title "abc"}} {{split "a,b" ","}} {{slice .Name 1}}', "/WEB Abc [a b] web"),
        ("a  {{- .Name -}}  b", "a/webb"),
        ("{{/* nothing */}}x", "x"),
        ("{{print 1 2}}{{println 3}}", "123\n"),
        ('{{.Label "a.b"}}', "<a.b>"),
        ("{{`raw \\n`}}{{'x'}}", "raw \\nx"),
        ('{{"}}"}}', "}}"),
        ("{{range $p, $c := .Ports}}{{$p}}:{{range $c}}{{.HostPort}}{{end}} {{end}}", "80/tcp:8080 9/udp: "),
    ],
)
def test_it_says_what_go_says(template: str, text: str):
    assert Template(template).render(DATA) == text


INSPECTED: dict[str, Any] = {
    "Config": {
        "Cmd": None,
        "Labels": {"a": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": None,
        "Env": ["A=1"],
    },
    "State": {"Status": "created"},
    "HostConfig": {"PidsLimit": None, "PortBindings": None, "Dns": None},
    "Mounts": [
        {"Type": "bind", "Source": "/s", "Destination": "/d", "RW": True},
        {"Type": "volume", "Name": "v", "Driver": "local", "Source": "/v", "Destination": "/e", "RW": True},
    ],
    "Networks": {"n": {"IPAMConfig": {}, "IPAddress": "10.0.0.2"}},
    "Pools": [{"Subnet": "10.0.0.0/8"}, {"Subnet": "11.0.0.0/8", "Gateway": "11.0.0.1"}],
    "Check": {"Test": ["CMD", "true"], "Interval": 90 * 10**9, "Timeout": 1_500_000},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Config.Cmd}}{{.Config.Env}}{{.HostConfig.Dns}}", "[][A=1][]"),
        ("{{json .Config.Cmd}}{{len .Config.Cmd}}{{range .Config.Cmd}}x{{end}}", "null0"),
        ("{{.Config.Volumes}} {{.HostConfig.PortBindings}}", "map[] map[]"),
        ("{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}}", 'map[80/tcp:{}] {"80/tcp":{}}'),
        ("{{range $p, $none := .Config.ExposedPorts}}{{$p}}{{$none}}{{end}}", "80/tcp{}"),
        ("{{.State.Health}} {{.HostConfig.PidsLimit}} {{.Config.StopSignal}}", "<nil> <nil> "),
        ("{{if .State.Health}}x{{else}}no{{end}} {{eq .State.Health nil}}", "no true"),
        ("{{.Config.Labels.a}} {{.Config.Labels.b}} {{.Config.Volumes.v}}", "1 <no value> <no value>"),
        ('{{join .Config.Cmd " "}}{{index .Config.Volumes "v"}}', ""),
        ("{{range .Mounts}}{{.Name}},{{.Driver}};{{end}}", ",;v,local;"),
        ("{{(index .Mounts 0).Name}}{{range .Pools}}{{.Gateway}},{{.IPRange}};{{end}}", ",;11.0.0.1,;"),
        ("{{range .Networks}}{{.IPAMConfig.IPv4Address}}{{.IPAMConfig.LinkLocalIPs}}{{end}}", "[]"),
        ("{{.Check.Interval}} {{.Check.Timeout}} {{.Check.StartPeriod}}", "1m30s 1.5ms 0s"),
        ("{{.Check.Retries}} {{json .Check.Interval}} {{gt .Check.Interval 5}}", "0 90000000000 true"),
    ],
)
def test_of_documents_it_shows_what_docker_knows_the_types_of(template: str, text: str):
    assert Template(template, go_zero_values.field).render(INSPECTED) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (240 * 10**9, "4m0s"),
        (245_001_000_000, "4m5.001s"),
        (3_600 * 10**9, "1h0m0s"),
        (-90 * 10**9, "-1m30s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(ns: int, text: str):
    assert str(go_zero_values.Duration(ns)) == text


@pytest.mark.parametrize("template", ["{{.Volumes}}", "{{.State.Health.Status}}", "{{.Config.Nope}}"])
def test_of_documents_it_refuses_what_has_no_such_field(template: str):
    with pytest.raises(CliError, match=rf": .*\.{template[2:-2].rpartition('.')[2]}\b"):
        Template(template, go_zero_values.field).render(INSPECTED)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.Nope}}", r"\.Nope\b.*\.Name"),
        ("{{.Name.Deeper}}", r"\.Deeper\b"),
        ("{{nope .Name}}", "'nope'"),
        ("{{.Name", "}}"),
        ("{{if .Name}}x", r"\bend\b"),
        ("x{{end}}", r"\bend\b"),
        ("{{(.Name}}", r"\)"),
        ("{{.Name | }}", r"\bvalue\b"),
        ("{{$x}}", r"\$x"),
        ("{{.Name 1}}", r"\barguments\b"),
        ("{{range .Name}}{{end}}", r"\brange\b.*\blist\b"),
        ('{{template "x"}}', r"\btemplate\b"),
        ("{{lt .Name 1}}", "'<'"),
        ("{{@}}", "'@'"),
    ],
)
def test_what_it_cannot_do_is_reported_with_the_template(template: str, said: str):
    with pytest.raises(CliError, match=f"--format {re.escape(repr(template))}: .*{said}"):
        Template(template).render(DATA)


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_refused_in_words(text: str):
    try:
        Template(text).render(DATA)
    except CliError as error:
        assert "--format" in str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), VALUES))
def test_json_is_read_back(data: dict[str, Any]):
    assert json.loads(Template("{{json .}}").render(data)) == data
