import pytest

from vm.boot import start_record
from vm.testing import FakeGuest

MS = 1_000_000


@pytest.fixture
def client():
    client = FakeGuest().connect()
    client.wait_hello(5)
    yield client
    client.close()


@pytest.mark.parametrize(
    ("boot_ms", "firmware_ms", "kernel_ms"), [(700, 300, 600), (5000, 0, 900), (50, 900, 0)]
)
def test_a_guest_clock_that_ran_wrong_moves_no_phase_below_zero(client, boot_ms, firmware_ms, kernel_ms):
    client.hello, client.hello_ns, client.link.init_ns = (boot_ms * MS, 0, 0), 2000 * MS, 1900 * MS
    record = start_record(client, (0, 100 * MS, 200 * MS, 1000 * MS), None)
    assert record.phase_ns("firmware") == firmware_ms * MS
    assert record.phase_ns("kernel") == kernel_ms * MS
    assert sum(ns for _, ns in record.phases) == 2000 * MS


def test_the_program_is_the_last_phase(client):
    record = start_record(client, (0, 0, 0, 0), client.hello_ns + 5)
    assert record.phases[-1] == ("program", 5)
    assert record.first_output_ns == client.hello_ns + 5
