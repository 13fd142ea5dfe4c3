"""Names of images and docker's rules for taking them away: a state machine against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from runtime.image.documents import MANIFEST, Descriptor
from runtime.image.errors import ImageConflictError, ImageNotFoundError
from runtime.image.store import catalog
from runtime.image.store.removal import Use, plan_prune, plan_removal

NAMES = st.sampled_from(["a:1", "a:2", "b:1", "host:5000/c:1"])
IMAGES = st.integers(0, 3)


def image_id(number: int) -> str:
    return f"sha256:{number:064x}"


def entry(number: int, parent: int | None = None) -> Descriptor:
    marks = {catalog.ID: image_id(number)} | (
        {catalog.PARENT: image_id(parent)} if parent is not None else {}
    )
    return Descriptor(media_type=MANIFEST, digest=f"sha256:{number + 16:064x}", size=1, annotations=marks)


class Names(RuleBasedStateMachine):
    """entries, against a dict of names and a set of images."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: catalog.Entries = ()
        self.names: dict[str, int] = {}
        self.images: set[int] = set()

    @rule(number=IMAGES, name=st.none() | NAMES)
    def add(self, number: int, name: str | None) -> None:
        self.entries = catalog.add(self.entries, entry(number), [name] if name else [])
        self.images.add(number)
        if name:
            self.names[name] = number

    @rule(name=NAMES)
    def untag(self, name: str) -> None:
        self.entries = catalog.drop_name(self.entries, name)
        self.names.pop(name, None)

    @rule(name=NAMES, force=st.booleans())
    def remove_name(self, name: str, force: bool) -> None:
        if name not in self.names:
            with pytest.raises(ImageNotFoundError):
                plan_removal(self.entries, name, force=force)
            return
        number = self.names.pop(name)
        self.entries = plan_removal(self.entries, name, force=force).entries
        if number not in self.names.values():
            self.images.discard(number)

    @rule(number=IMAGES)
    def remove_id_by_force(self, number: int) -> None:
        if number not in self.images:
            return
        self.entries = plan_removal(self.entries, image_id(number), force=True).entries
        self.images.discard(number)
        self.names = {name: one for name, one in self.names.items() if one != number}

    @invariant()
    def says_the_same(self) -> None:
        found = {catalog.name_of(one): catalog.id_of(one) for one in self.entries if catalog.name_of(one)}
        assert found == {name: image_id(number) for name, number in self.names.items()}
        assert {catalog.id_of(one) for one in self.entries} == {image_id(one) for one in self.images}
        for name, number in self.names.items():
            assert catalog.id_of(catalog.find(self.entries, name)) == image_id(number)


TestNames = Names.TestCase
TestNames.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def images(*numbers: int) -> catalog.Entries:
    entries: catalog.Entries = ()
    for number in numbers:
        entries = catalog.add(entries, entry(number), [f"i{number}:latest"])
    return entries


def test_names_are_in_the_order_of_their_long_forms_as_docker_has_them() -> None:
    names = ["z:1", "a:latest", "user/a:1", "b.org/a:1", "zoo/a:2"]
    wanted = ("b.org/a:1", "a:latest", "z:1", "user/a:1", "zoo/a:2")
    assert catalog.tags(catalog.add((), entry(1), names)) == wanted
    digest = f"@{image_id(1)}"
    pulled = [name.partition(":")[0] + digest for name in names]
    assert catalog.repo_digests(catalog.add((), entry(1), pulled)) == tuple(
        name.partition(":")[0] + digest for name in wanted
    )


def test_an_image_of_several_repositories_must_be_forced_by_id() -> None:
    entries = catalog.add(images(1), entry(1), ["other:latest"])
    with pytest.raises(ImageConflictError, match="referenced in multiple repositories"):
        plan_removal(entries, image_id(1))
    assert plan_removal(entries, image_id(1), force=True).entries == ()


def test_a_running_container_keeps_its_image_whatever_is_said() -> None:
    used = lambda image: (Use(container="c" * 64, running=True),)  # noqa: E731
    with pytest.raises(ImageConflictError, match="must force"):
        plan_removal(images(1), "i1", used_by=used)
    with pytest.raises(ImageConflictError, match="cannot be forced"):
        plan_removal(images(1), image_id(1), force=True, used_by=used)


def test_a_stopped_container_can_still_be_started_after_a_forced_removal() -> None:
    used = lambda image: (Use(container="c" * 64, running=False),)  # noqa: E731
    with pytest.raises(ImageConflictError, match="must be forced"):
        plan_removal(images(1), image_id(1), used_by=used)
    left = plan_removal(images(1), image_id(1), force=True, used_by=used).entries
    with pytest.raises(ImageNotFoundError):
        catalog.find(left, "i1")
    with pytest.raises(ImageNotFoundError):
        catalog.find(left, "0" * 12)
    assert catalog.is_hidden(catalog.find(left, image_id(1)))


def test_unnamed_parents_go_with_their_last_child() -> None:
    entries = catalog.add((), entry(1), [])
    entries = catalog.add(entries, entry(2, parent=1), [])
    entries = catalog.add(entries, entry(3, parent=2), ["top:latest"])
    with pytest.raises(ImageConflictError, match="dependent child images"):
        plan_removal(entries, image_id(1), force=True)
    assert plan_removal(entries, "top").entries == ()
    kept = plan_removal(entries, "top", prune=False).entries
    assert {catalog.id_of(one) for one in kept} == {image_id(1), image_id(2)}


def test_prune_passes_over_what_is_used_and_unnames_what_that_was_made_from() -> None:
    entries = catalog.add(images(1), entry(2, parent=1), ["made:1"])
    used = lambda image: (Use(container="c", running=False),) if image == image_id(2) else ()  # noqa: E731
    plan = plan_prune(entries, [image_id(2), image_id(1)], used)
    assert [row.untagged for row in plan.removals] == ["i1:latest"]
    assert {catalog.id_of(one): catalog.name_of(one) for one in plan.entries} == {
        image_id(1): "",
        image_id(2): "made:1",
    }
    assert plan.gone == ()
    assert plan_prune(entries, [image_id(2), image_id(1)], lambda _: ()).entries == ()


def test_digits_that_fit_several_images_are_refused() -> None:
    with pytest.raises(ImageConflictError, match="0" * 12):
        catalog.find(images(1, 2), "0" * 12)
    assert catalog.id_of(catalog.find(images(1), "0" * 12)) == image_id(1)


def test_a_build_step_finds_the_newest_image_it_made() -> None:
    step = {catalog.STEP: "s", catalog.PARENT: image_id(0)}
    entries: catalog.Entries = ()
    for number in (1, 2):
        made = Descriptor(media_type=MANIFEST, digest=image_id(number), size=1,
                          annotations={catalog.ID: image_id(number), **step})  # fmt: skip
        entries = catalog.add(entries, made, [])
    assert catalog.made_by(entries, image_id(0), "s")[-1] == image_id(2)
    assert catalog.made_by(entries, image_id(1), "s") == ()
    assert catalog.made_by(entries, image_id(0), "t") == ()


def test_parents_are_those_that_have_children() -> None:
    entries = (entry(0), entry(1, 0), entry(2, 1), entry(3, 3))
    entries = catalog.hide_image(entries, image_id(2))  # nobody sees it, nor that it was made from 1
    assert catalog.parents(entries) == {image_id(0)}
    assert [number for number in range(4) if catalog.children(entries, image_id(number))] == [0]
