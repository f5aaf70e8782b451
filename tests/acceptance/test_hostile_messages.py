"""Rubbish on every subject of a running system, and a rogue beside its workers, stop nothing."""

import asyncio
import os
import re

from dpip.controller.gatekeeper import AUTHENTICATE
from dpip.controller.nats_configuration import SERVER_USER
from dpip.model.join_token import JoinSecret
from dpip.wire import subjects
from dpip.wire.nats_bus import NatsBus
from tests import absurd
from tests.acceptance.pictures import picture
from tests.acceptance.system import System
from tests.integration.controller.rogue import rogue
from tests.waiting import eventually

_LOOK_AGAIN_SECONDS = 0.05
"""So seldom is no flood."""

RUBBISH = [
    b"",
    b"\xc1",
    b"\x80",
    b"noise" * 1000,
    b"\x81\xa4type\xa9Heartbeat",
    b"\x82\xa4type\xa5Hello\xa8protocol\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x91" * 60_000,
    b"\xdf\xff\xff\xff\xff",
    b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93.",
    os.urandom(60_000),
]
SPOKEN = [
    subjects.hello("token", "local-1", "i"),
    subjects.heartbeat("local-1", "i"),
    subjects.goodbye("local-1", "i"),
    subjects.outcome("local-1", "i"),
    subjects.JOBS_READY,
    subjects.settled("workload"),
    AUTHENTICATE,
]


def dropped_by(system: System) -> int:
    """How many messages the processes of ``dpip up`` have dropped; the most that one has."""
    return max(map(int, re.findall(r"dropped=(\d+)", system.process.said)), default=0)


def looked_at(system: System) -> int:
    """How many messages have been dropped or refused."""
    return dropped_by(system) + system.process.said.count("worker refused")


async def test_rubbish_on_every_subject_stops_nothing(own_system: System) -> None:
    """All that is heard by controller, scheduler, API and worker; each loop goes on."""
    data = own_system.data_dir
    api = own_system.api
    eventually(lambda: len(api.workers()) == 2, "the workers")
    password = (data / "message-server-password").read_text().strip()
    url = f"nats://{own_system.ready['controller']}"
    async with NatsBus(url, user=SERVER_USER, password=password, name="rubbish") as bus:
        heard = await bus.request_all(
            "$SYS.REQ.ACCOUNT.PING.CONNZ", b'{"auth":true,"subscriptions":true}', 0.5
        )
        own = set(re.findall(r"dpip\.v1\.(?:run|ping|rejoin)\.[\w-]+\.[a-z0-9]{26}", str(heard)))
        assert len(own) == 3 * 2, "of each of the two workers"
        for payload in RUBBISH:
            for subject in (*SPOKEN, *own):
                await bus.publish(subject, payload)
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(10):
        api.push(workload_id, picture(number))
    done = api.until_completed(workload_id)
    assert (len(done["filtered_images"]), done["failed_images"]) == (10, [])
    assert {each["state"] for each in api.workers().values()} == {"alive"}
    assert dropped_by(own_system) > len(RUBBISH)
    assert "Traceback" not in own_system.process.said


async def test_absurd_values_of_a_worker_stop_nothing(own_system: System) -> None:
    """On every subject that a worker may speak on: it is the one that is registered that speaks."""
    data, api = own_system.data_dir, own_system.api
    eventually(lambda: len(api.workers()) == 2, "the workers")
    secret = JoinSecret.read((data / "join-token").read_text())
    address = own_system.ready["controller"]
    password = (data / "message-server-password").read_text().strip()
    async with NatsBus(
        f"nats://{address}", user=SERVER_USER, password=password, name="absurd"
    ) as bus:
        heard = await bus.request_all(
            "$SYS.REQ.ACCOUNT.PING.CONNZ", b'{"auth":true,"subscriptions":true}', 0.5
        )
        (instance,) = set(re.findall(r"dpip\.v1\.run\.local-1\.([a-z0-9]{26})", str(heard)))
        said = [
            (subjects.hello(secret.id, "absurd", "i"), absurd.HELLOS),
            (subjects.hello(secret.id, "local-1", instance), absurd.HELLOS),
            (subjects.heartbeat("local-1", instance), absurd.HEARTBEATS),
            (subjects.outcome("local-1", instance), absurd.OUTCOMES),
            (subjects.goodbye("local-1", instance), RUBBISH),
        ]
        for subject, payloads in said:
            for (
                payload
            ) in payloads:  # Until it is looked at: of those that wait, the newest counts.
                before = looked_at(own_system)
                while looked_at(own_system) <= before:
                    await bus.publish(subject, payload)
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    assert dropped_by(own_system) >= sum(len(payloads) for _, payloads in said)
    workload_id = api.create(filter="blur")["workload_id"]
    for number in range(10):
        api.push(workload_id, picture(number))
    done = api.until_completed(workload_id)
    assert (len(done["filtered_images"]), done["failed_images"]) == (10, [])
    assert {name: each["state"] for name, each in api.workers().items()} == {
        "local-1": "alive",
        "local-2": "alive",
    }
    assert "Traceback" not in own_system.process.said


async def test_a_rogue_with_a_join_token_does_no_harm(own_system: System) -> None:
    """Not under the name of a worker that is alive, either: that one does all the work."""
    api = own_system.api
    secret = JoinSecret.read((own_system.data_dir / "join-token").read_text())
    eventually(lambda: len(api.workers()) == 2, "the workers")
    address = own_system.ready["controller"]
    host, _, port = address.rpartition(":")
    async with rogue(host, int(port), "local-1", "impostor", secret) as impostor:
        await impostor.send("PING")
        await impostor.until("pong")
        workload_id = api.create(filter="blur")["workload_id"]
        for subject in ("dpip.v1.>", "_INBOX.>", subjects.run("local-1", "*")):
            await impostor.subscribe(subject)
            await impostor.until("permissions violation")
        await impostor.subscribe(subjects.run("local-1", "impostor"))
        for number in range(10):
            api.push(workload_id, picture(number))
            for say in (subjects.heartbeat, subjects.outcome, subjects.goodbye):
                for payload in RUBBISH[:5]:
                    await impostor.publish(say("local-1", "impostor"), payload)
        done = api.until_completed(workload_id)
        assert (len(done["filtered_images"]), done["failed_images"]) == (10, [])
        assert await impostor.heard_nothing()
