from __future__ import annotations

import time

import pytest

from runtime.engine.service.host.events import KEPT, Event, EventBus, matches
from tests.waiting import in_loop


def event(**changes: object) -> Event:
    fields: dict = {
        "type": "container",
        "action": "start",
        "actor": "a" * 64,
        "attributes": {"image": "busybox:1", "name": "web", "x": "y"},
        "time_ns": 1_700_000_000_123_456_789,
    }
    return Event(**(fields | changes))


def test_a_document_is_dockers_with_its_old_fields():
    document = event().document()
    assert document["status"] == "start" and document["id"] == "a" * 64 and document["from"] == "busybox:1"
    assert document["Actor"] == {
        "ID": "a" * 64,
        "Attributes": {"image": "busybox:1", "name": "web", "x": "y"},
    }
    assert (document["time"], document["timeNano"]) == (1_700_000_000, 1_700_000_000_123_456_789)
    assert "status" not in event(type="network").document()


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["stop", "start"]}, True),
        ({"event": ["die"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["aaaa"]}, True),
        ({"container": ["bbbb"]}, False),
        ({"image": ["busybox"]}, True),
        ({"image": ["busybox:1"]}, True),
        ({"image": ["alpine"]}, False),
        ({"label": ["x"]}, True),
        ({"label": ["x=y"]}, True),
        ({"label": ["x=z"]}, False),
        ({"scope": ["local"]}, True),
        ({"scope": ["swarm"]}, False),
        ({"container": ["web"], "event": ["die"]}, False),
        ({"volume": ["web"]}, False),
    ],
)
def test_filters(filters, fits):
    assert matches(event(), filters) is fits


def test_an_action_with_details_is_found_by_its_first_word():
    one = event(action="exec_create: ls -l")
    assert matches(one, {"event": ["exec_create"]})
    assert matches(event(action="health_status: healthy"), {"event": ["health_status"]})


@in_loop
async def test_who_asks_for_the_past_gets_it_first():
    bus = EventBus()
    bus.publish("container", "create", "a")
    listener = bus.subscribe(since=0)
    bus.publish("container", "start", "a")
    bus.close()
    assert [one.action async for one in listener] == ["create", "start"]
    assert bus.listening() == 0


@in_loop
async def test_with_an_end_that_has_passed_only_the_past_comes():
    bus = EventBus()
    bus.publish("container", "create", "a")
    listener = bus.subscribe(since=0, until=time.time())
    assert [one.action async for one in listener] == ["create"]


@in_loop
async def test_an_end_without_a_beginning_means_all_that_is_kept():
    bus = EventBus()
    bus.publish("container", "create", "a")
    listener = bus.subscribe(until=time.time())
    bus.publish("container", "start", "a")
    assert [one.action async for one in listener] == ["create"]


@in_loop
async def test_the_newest_are_kept():
    bus = EventBus()
    for number in range(KEPT + 5):
        bus.publish("container", str(number), "a")
    listener = bus.subscribe(since=0, until=time.time())
    found = [one.action async for one in listener]
    assert (len(found), found[0], found[-1]) == (KEPT, "5", str(KEPT + 4))


@in_loop
async def test_one_who_does_not_read_is_let_go():
    bus = EventBus()
    listener = bus.subscribe()
    for number in range(6000):
        bus.publish("container", str(number), "a")
    assert bus.listening() == 0
    found = [one.action async for one in listener]
    assert found[0] == "0" and len(found) < 6000
