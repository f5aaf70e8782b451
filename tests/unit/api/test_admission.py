"""Room for one more upload, or none."""

from typing import cast

import pytest

from dpip.api.admission import Admission
from dpip.errors import TooBusy
from dpip.ports.datastore import Jobs


class Pending:
    def __init__(self, count: int) -> None:
        self.count = count

    async def pending_count(self) -> int:
        return self.count


def admission(pending: int = 0) -> Admission:
    return Admission(cast("Jobs", Pending(pending)), pending_jobs=3, incoming_bytes=100)


async def test_a_queue_with_room_takes_one_more() -> None:
    """Up to the bound."""
    await admission(2).check_queue()


@pytest.mark.parametrize("pending", [3, 4])
async def test_a_full_queue_takes_none(pending: int) -> None:
    """The error names the setting, and when to come back."""
    with pytest.raises(TooBusy, match=r"limits\.pending_jobs") as caught:
        await admission(pending).check_queue()
    assert caught.value.status == 429
    assert caught.value.retry_after


def test_uploads_share_the_bytes_that_may_come_in() -> None:
    """What ends makes room again, however it ends."""
    door = admission()
    with door.incoming(60):
        with door.incoming(40), pytest.raises(TooBusy), door.incoming(1):
            pass
        with pytest.raises(OSError), door.incoming(40):  # noqa: PT011
            raise OSError
        with door.incoming(40):
            pass


def test_an_upload_alone_is_taken_whatever_its_size() -> None:
    """Else none of that size ever could be."""
    with admission().incoming(1000):
        pass
