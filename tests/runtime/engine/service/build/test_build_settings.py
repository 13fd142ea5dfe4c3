"""What settings do to a config, and .dockerignore to a context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.errors import BadParameterError
from runtime.engine.service.build.errors import DockerfileError
from runtime.engine.service.build.ignore import is_ignored, parse_ignore
from runtime.engine.service.build.settings import apply_changes
from runtime.engine.service.image_config import (
    child_document,
    empty_document,
    merge_user_config,
    read_document,
    write_document,
)
from runtime.engine.service.request import Config, Healthcheck


def after(*changes: str, **config: object) -> Config:
    return apply_changes(changes, Config(**config))  # type: ignore[arg-type]


def test_env_replaces_in_place_and_may_use_what_was_there() -> None:
    assert after("ENV A=2 P=/x:$P", env=["A=1", "P=/y", "B=3"]).env == ["A=2", "P=/x:/y", "B=3"]


def test_all_of_one_env_line_sees_what_was_before_it() -> None:
    assert after("ENV A=1", "ENV A=2 B=$A").env == ["A=2", "B=1"]


def test_labels_ports_volumes_add_up() -> None:
    config = after('LABEL a="b c" d=e', "EXPOSE 80 53/udp 8000-8001", 'VOLUME ["/v"]', labels={"x": "y"})
    assert config.labels == {"x": "y", "a": "b c", "d": "e"}
    assert set(config.exposed_ports or {}) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}
    assert config.volumes == {"/v": {}}


@pytest.mark.parametrize(
    ("lines", "path"),
    [(("WORKDIR /a", "WORKDIR b"), "/a/b"), (("WORKDIR a",), "/a"), (("WORKDIR /a/../..",), "/"),
     (("WORKDIR //x//y/",), "/x/y")],
)  # fmt: skip
def test_a_working_directory_is_relative_to_the_one_before(lines: tuple[str, ...], path: str) -> None:
    assert after(*lines).working_dir == path


def test_shell_forms_go_to_the_shell() -> None:
    assert after("CMD echo $A").cmd == ["/bin/sh", "-c", "echo $A"]
    assert after('CMD ["a"]').cmd == ["a"]
    assert after("ENTRYPOINT x", shell=["/bin/ash", "-c"]).entrypoint == ["/bin/ash", "-c", "x"]


def test_a_new_entrypoint_drops_the_old_command() -> None:
    assert after('ENTRYPOINT ["e"]', cmd=["old"]).cmd is None
    assert after('CMD ["c"]', 'ENTRYPOINT ["e"]', cmd=["old"]).cmd == ["c"]


def test_a_health_check() -> None:
    check = after("HEALTHCHECK --interval=5s --timeout=1m --retries=3 --start-period=1.5s CMD x").healthcheck
    assert check == Healthcheck(
        test=["CMD-SHELL", "x"],
        interval=5 * 10**9,
        timeout=60 * 10**9,
        retries=3,
        start_period=1_500_000_000,
    )
    assert after("HEALTHCHECK NONE").healthcheck == Healthcheck(test=["NONE"])


@pytest.mark.parametrize(
    ("line", "said"),
    [("RUN x", "not a valid change command"), ("EXPOSE x", "invalid containerPort: x"),
     ("EXPOSE 70000", "invalid containerPort"), ("VOLUME []", "at least one argument"),
     ("HEALTHCHECK --interval=1 CMD x", "not of the form"),
     ("HEALTHCHECK --interval=1us CMD x", "less than 1ms"),
     ("HEALTHCHECK --retries=x CMD x", "must be at least"), ("STOPSIGNAL NONSENSE", "invalid signal"),
     ("WORKDIR $nothing", "cannot normalize nothing")],
)  # fmt: skip
def test_what_makes_no_sense(line: str, said: str) -> None:
    with pytest.raises(BadParameterError, match=said):
        after(line)


def test_a_config_survives_being_written() -> None:
    config = after("ENV A=1", 'CMD ["x"]', "HEALTHCHECK CMD y", "ONBUILD RUN z", "USER 1:2", "STOPSIGNAL INT")
    document = child_document(empty_document(), config, diff_id="sha256:1", created_by="b", author="me")
    again = read_document(write_document(document))
    assert again == document
    assert (again.author, again.history[0].created_by, again.rootfs.diff_ids) == ("me", "b", ("sha256:1",))


def test_nulls_of_other_builders_are_read() -> None:
    data = b'{"rootfs":{"type":"layers","diff_ids":[]},"config":{"Env":null,"User":null,"Cmd":["a"]}}'
    assert read_document(data).config == Config(cmd=["a"])


def test_what_a_container_was_asked_is_kept_where_a_commit_says_nothing() -> None:
    base = Config(env=["A=1", "B=2"], cmd=["c"], entrypoint=["e"], labels={"x": "1"}, user="u", hostname="h")
    merged = merge_user_config(Config(env=["B=3"], cmd=["d"], labels={"y": "2"}), base)
    assert (merged.env, merged.cmd, merged.entrypoint) == (["A=1", "B=3"], ["d"], ["e"])
    assert (merged.labels, merged.user, merged.hostname) == ({"x": "1", "y": "2"}, "u", "")


# ---- .dockerignore --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ignored", "kept"),
    [
        ("a", ["a", "a/b"], ["b/a", "ab"]),
        ("*/a", ["x/a", "x/a/b"], ["a", "x/y/a"]),
        ("**/a", ["a", "x/a", "x/y/a/b"], ["xa"]),
        ("a/**", ["a/b", "a/b/c"], ["a"]),
        ("*.md\n!README.md", ["x.md"], ["README.md", "x/y.md"]),
        ("a\n!a/b/c", ["a", "a/b", "a/x"], ["a/b/c", "a/b/c/d"]),
        ("!a\na", ["a"], ["b"]),
        ("/a", ["a"], ["b/a"]),
        ("a/", ["a", "a/b"], ["b"]),
        ("./a/../b", ["b"], ["a"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[ab]x", ["ax", "bx"], ["cx", "/x"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("\\*", ["*"], ["a"]),
        ("# c\n\n  a  ", ["a"], ["# c"]),
        ("a.b", ["a.b"], ["axb"]),
        (".", [], ["a"]),
        ("**", ["a", "a/b"], []),
    ],
)
def test_patterns_mean_what_they_mean_to_docker(text: str, ignored: list[str], kept: list[str]) -> None:
    patterns = parse_ignore(text)
    assert [path for path in ignored if not is_ignored(path, patterns)] == []
    assert [path for path in kept if is_ignored(path, patterns)] == []


@pytest.mark.parametrize("text", ["[a", "!", "[z-a]"])
def test_a_pattern_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="pattern"):
        parse_ignore(text)


@given(
    text=st.text(st.sampled_from("ab*?![]^-/\\.\n"), max_size=20), path=st.text("ab/", min_size=1, max_size=6)
)
def test_any_pattern_is_read_or_refused(text: str, path: str) -> None:
    try:
        patterns = parse_ignore(text)
    except DockerfileError as error:
        assert str(error)
        return
    is_ignored(path, patterns)
