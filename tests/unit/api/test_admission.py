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
    async with admission(2).upload(1):
        pass


@pytest.mark.parametrize("pending", [3, 4])
async def test_a_full_queue_takes_none(pending: int) -> None:
    """The error names the setting, and when to come back."""
    with pytest.raises(TooBusy, match=r"limits\.pending_jobs") as caught:
        async with admission(pending).upload(1):
            pass
    assert caught.value.status == 429
    assert caught.value.retry_after


async def test_uploads_on_their_way_in_have_a_place_in_the_queue() -> None:
    """So that those that come at once do not all take the last one."""
    door = admission(2)
    async with door.upload(1):
        with pytest.raises(TooBusy, match=r"limits\.pending_jobs"):
            async with door.upload(1):
                pass
    async with door.upload(1):
        pass


async def test_uploads_share_the_bytes_that_may_come_in() -> None:
    """What ends makes room again, however it ends."""
    door = admission()
    async with door.upload(60):
        async with door.upload(40):
            with pytest.raises(TooBusy, match=r"limits\.incoming_bytes"):
                async with door.upload(1):
                    pass
        with pytest.raises(OSError):  # noqa: PT011
            async with door.upload(40):
                raise OSError
        async with door.upload(40):
            pass


async def test_an_upload_alone_is_taken_whatever_its_size() -> None:
    """Else none of that size ever could be."""
    async with admission().upload(1000):
        pass
