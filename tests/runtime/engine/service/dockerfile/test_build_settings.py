"""What settings do to a config."""

from __future__ import annotations

import pytest

from runtime.engine.errors import BadParameterError
from runtime.engine.service.dockerfile.config_instructions import apply_changes
from runtime.engine.service.images.image_config import (
    child_document,
    empty_document,
    merge_user_config,
    read_document,
    write_document,
)
from runtime.engine.service.model.request import Config, Healthcheck


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
     ("HEALTHCHECK --interval=1 CMD x", "missing unit in duration"),
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
