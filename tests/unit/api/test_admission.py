"""Room for one more upload, or none."""

from contextlib import suppress
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
    async with admission(2).upload("ann"):
        pass


@pytest.mark.parametrize("pending", [3, 4])
async def test_a_full_queue_takes_none(pending: int) -> None:
    """The error names the setting, and when to come back."""
    with pytest.raises(TooBusy, match=r"limits\.pending_jobs") as caught:
        async with admission(pending).upload("ann"):
            pass
    assert caught.value.status == 429
    assert caught.value.retry_after


async def test_uploads_on_their_way_in_have_a_place_in_the_queue() -> None:
    """So that those that come at once do not all take the last one."""
    door = admission(2)
    async with door.upload("ann"):
        with pytest.raises(TooBusy, match=r"limits\.pending_jobs"):
            async with door.upload("ann"):
                pass
    async with door.upload("ann"):
        pass


async def test_bytes_count_as_they_arrive() -> None:
    """What has been announced and does not come keeps nobody waiting."""
    door = admission(0)
    async with door.upload("ann") as arrive, door.upload("bob") as arrive_too:
        arrive(10)
        arrive_too(80)
        async with door.upload("cid"):
            arrive(10)


async def test_uploads_share_the_bytes_that_may_come_in() -> None:
    """Once they are there, none goes on; what ends makes room again, however it ends."""
    door = admission()
    async with door.upload("ann") as arrive:
        arrive(60)
        with suppress(OSError):
            async with door.upload("bob") as arrive_too:
                arrive_too(40)
                for more in (arrive, arrive_too):
                    with pytest.raises(TooBusy, match=r"100 bytes of pictures are .*incoming_"):
                        more(1)
                with pytest.raises(TooBusy, match=r"limits\.incoming_bytes"):
                    async with door.upload("cid"):
                        pass
                raise OSError
        arrive(40)


async def test_a_user_has_a_share_of_the_bytes_that_may_come_in() -> None:
    """A quarter, in any number of uploads; others go on."""
    door = admission()
    async with door.upload("ann") as arrive, door.upload("bob") as arrive_too:
        async with door.upload("ann") as more:
            arrive(24)
            more(1)
            for each in (arrive, more):
                with pytest.raises(TooBusy, match=r"25 bytes of your pictures are .*incoming_"):
                    each(1)
            with pytest.raises(TooBusy, match="your pictures"):
                async with door.upload("ann"):
                    pass
            arrive_too(70)
        arrive(1)


async def test_an_upload_alone_is_taken_whatever_its_size() -> None:
    """Else none of that size ever could be."""
    async with admission().upload("ann") as arrive:
        arrive(1000)
        arrive(1000)


async def test_nothing_is_remembered_of_who_is_done() -> None:
    """Users come and go."""
    door = admission()
    async with door.upload("ann"):
        pass
    with pytest.raises(TooBusy):
        async with admission(3).upload("ann"):
            pass
    assert not door._of_user
