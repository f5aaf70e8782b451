"""The controller's day: what it listens to, and what it does again and again."""

import asyncio
import contextlib

from msgspec import Struct

from dpip.chores import again_and_again, end
from dpip.controller.attempts import Attempts
from dpip.controller.connections import Connections
from dpip.controller.flood_guard import FloodGuard
from dpip.controller.gatekeeper import AUTHENTICATE, Gatekeeper
from dpip.controller.lease_reaper import LeaseReaper
from dpip.controller.nats_credentials import Issuer
from dpip.controller.outcomes import Outcomes
from dpip.controller.registration import Registration
from dpip.controller.revocation import Revocation
from dpip.controller.roll_call import RollCall
from dpip.controller.watch import Watch
from dpip.errors import DpipError
from dpip.ports.bus import Bus
from dpip.ports.clock import Clock
from dpip.ports.datastore import Datastore
from dpip.wire import flow, subjects

_READINGS_SECONDS = 2.0
_REVOCATION_SECONDS = 1.0
_HISTORY_SECONDS = 30.0
_PRUNE_SECONDS = 3600.0
_QUEUE = "controller"


class ControllerTimes(Struct, frozen=True, kw_only=True):
    """The controller's settings, in seconds."""

    heartbeat_seconds: float
    timeout_seconds: float
    longest_lease_seconds: float
    history_seconds: float


class Controller:
    """Takes workers in, follows their heartbeats, ends what they leave undone."""

    def __init__(
        self,
        datastore: Datastore,
        bus: Bus,
        clock: Clock,
        *,
        issuer: Issuer,
        image_store_endpoint: str,
        times: ControllerTimes,
    ) -> None:
        self._datastore = datastore
        self._bus = bus
        self._clock = clock
        self._times = times
        attempts = Attempts(datastore, bus, clock)
        self._watch = Watch(bus, clock, term_seconds=times.timeout_seconds)
        self._reaper = LeaseReaper(
            datastore,
            attempts,
            self._watch,
            term_seconds=times.timeout_seconds,
            longest_seconds=times.longest_lease_seconds,
        )
        self._roll_call = RollCall(
            datastore,
            self._reaper,
            bus,
            clock,
            self._watch,
            timeout_seconds=times.timeout_seconds,
        )
        connections = Connections(bus)
        self._guard = FloodGuard(connections, clock)
        self._outcomes = Outcomes(attempts, self._roll_call, self._reaper, self._guard)
        self._gatekeeper = Gatekeeper(datastore.join_token, issuer, clock, self._guard)
        self._revocation = Revocation(datastore, attempts, self._roll_call, connections, clock)
        self._registration = Registration(
            datastore,
            attempts,
            self._roll_call,
            bus,
            clock,
            image_store_endpoint=image_store_endpoint,
            heartbeat_seconds=times.heartbeat_seconds,
        )
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to listen, and to do the chores."""
        self._bus.when_flooded(self._guard.cut_off)
        await self._bus.subscribe(AUTHENTICATE, self._gatekeeper.authenticate, _QUEUE)
        for subject, handler, queue, how_much in (
            (subjects.HELLOS, self._registration.hello, _QUEUE, flow.HELLOS),
            (subjects.GOODBYES, self._registration.goodbye, _QUEUE, flow.GOODBYES),
            (subjects.HEARTBEATS, self._roll_call.heartbeat, "", flow.HEARTBEATS),
            (subjects.OUTCOMES, self._outcomes.outcome, _QUEUE, flow.OUTCOMES),
        ):
            await self._bus.subscribe(subject, handler, queue, how_much)
        term = self._times.timeout_seconds
        self._chores = [
            asyncio.create_task(again_and_again(chore, every), name=chore.__name__)
            for chore, every in [
                (self._watch.look, term / 6),
                (self._reaper.reap, term / 6),
                (self._roll_call.call, term / 6),
                (self._revocation.enforce, _REVOCATION_SECONDS),
                (self._write_readings, _READINGS_SECONDS),
                (self._write_history, _HISTORY_SECONDS),
                (self._prune_history, _PRUNE_SECONDS),
            ]
        ]

    async def stop(self) -> None:
        """End the chores; what was read is written."""
        await end(*self._chores)
        with contextlib.suppress(DpipError):
            await self._roll_call.write_readings(history=False)

    async def _write_readings(self) -> None:
        await self._roll_call.write_readings(history=False)

    async def _write_history(self) -> None:
        await self._roll_call.write_readings(history=True)

    async def _prune_history(self) -> None:
        before = self._clock.now() - self._times.history_seconds
        await self._datastore.prune_history(before)
        await self._datastore.forget_workers(before)
