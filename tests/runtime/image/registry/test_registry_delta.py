"""What a small change of a big image costs on the wire, counted by a relay between client and registry."""

import os

import pytest

from runtime.image.store.image_store import ImageStore
from tests.runtime.registries import Relay, distribution, has_distribution, ours, tar_of

BASE, CHANGED = 24 << 20, 1_000_000
MOST = 1_050_000

PEER = pytest.param(
    distribution,
    marks=[
        pytest.mark.peers,
        pytest.mark.skipif(not has_distribution(), reason="docker-registry is not installed"),
    ],
    id="docker-registry",
)


@pytest.mark.parametrize("start", [pytest.param(ours, id="ours"), PEER])
def test_only_the_changed_layer_travels(start, client, tmp_path):
    builder, user = ImageStore(tmp_path / "builder"), ImageStore(tmp_path / "user")
    tars = [tmp_path / f"{number}.tar" for number in range(4)]
    for tar in tars[:3]:
        tar.write_bytes(tar_of({tar.name: os.urandom(BASE // 3)}))
    with start(tmp_path / "registry") as host:
        relay = Relay(host)
        name = f"{relay.host}/app:1"
        try:
            for change in range(2):
                tars[3].write_bytes(tar_of({"changed": os.urandom(CHANGED)}))
                image = builder.create(name, tars)
                relay.reset()
                (pushed,) = client.push(builder, name)
                sent = relay.up, relay.down
                relay.reset()
                pulled = client.pull(user, name)
                received = relay.up, relay.down
                assert pulled.image.id == image.id
                if not change:
                    assert sent[0] > BASE < received[1]
        finally:
            relay.close()
    assert sum(sent) <= MOST
    assert sum(received) <= MOST
    assert pushed.transfer.sent >= CHANGED <= pulled.transfer.received
    assert pulled.transfer.moved == 2
