"""Certificates that DPIP makes, and whom a client that pins an authority talks to."""

import asyncio
import contextlib
import ssl
import stat
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from dpip.controller.nats_configuration import SERVER_USER
from dpip.errors import AuthorityUnknown, BusUnavailable, CannotStart
from dpip.tls import contexts
from dpip.tls.authority import Authority
from dpip.tls.contexts import TlsFiles, client_context, server_context
from dpip.tls.pinning import pinned_context
from dpip.wire.nats_bus import NatsBus
from tests.nats import PATIENCE, SERVER_PASSWORD, Received, new_server


def made(directory: Path, *hosts: str) -> TlsFiles:
    directory.mkdir(exist_ok=True)
    certificate = Authority.in_directory(directory).sign_for(hosts or ("hub",), directory)
    return TlsFiles(
        certificate=certificate,
        key=certificate.with_suffix(".key"),
        authority=directory / "ca.crt",
    )


@asynccontextmanager
async def listening(files: TlsFiles, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that says hello over TLS."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    async with await asyncio.start_server(greet, host, 0, ssl=server_context(files)) as server:
        yield server.sockets[0].getsockname()[1]


async def greeting(port: int, trust: ssl.SSLContext, name: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname=name
    )
    try:
        return await reader.readline()
    finally:
        writer.close()


async def test_a_certificate_is_good_for_its_hosts(tmp_path: Path) -> None:
    """And for this machine, and for nobody else."""
    files = made(tmp_path / "certs", "hub", "10.9.8.7", "fd00::1")
    trust = client_context(files.authority)
    async with listening(files) as port:
        for name in ("hub", "10.9.8.7", "fd00::1", "localhost", "127.0.0.1", "::1"):
            assert await greeting(port, trust, name) == b"hello\n"
        for name in ("attic", "10.9.8.6"):
            with pytest.raises(ssl.SSLCertVerificationError):
                await greeting(port, trust, name)


@pytest.fixture
def lax_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that would speak TLS 1.0 with anybody, of its own accord."""

    class Lax:
        def __getattr__(self, name: str) -> object:
            return getattr(ssl, name)

        def SSLContext(self, protocol: int) -> ssl.SSLContext:  # noqa: N802 # as there
            return speaking_old_tls(ssl.SSLContext(protocol))

    monkeypatch.setattr(contexts, "ssl", Lax())


def speaking_old_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """The version that the two agree on; raises ``ssl.SSLError`` if there is none."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="hub"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version()


@pytest.mark.usefixtures("lax_defaults")
@pytest.mark.parametrize("old", ["neither", "client", "server"])
def test_nobody_talks_to_who_speaks_old_tls_alone(tmp_path: Path, old: str) -> None:
    """Neither our servers nor our clients, whatever the defaults of Python are."""
    files = made(tmp_path)
    server, client = server_context(files), client_context(files.authority)
    for name, context in (("server", server), ("client", client)):
        if name == old:
            speaking_old_tls(context)
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
    if old == "neither":
        assert handshake(client, server) == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
            handshake(client, server)


async def test_an_authority_signs_for_several_servers(tmp_path: Path) -> None:
    """It is made with the first, and its key stays its owner's."""
    first, second = made(tmp_path, "hub"), made(tmp_path, "attic")
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != made(tmp_path / "other", "hub").fingerprint()
    for key in (tmp_path / "ca.key", first.key, second.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


async def test_a_pin_finds_its_authority_and_trusts_it_alone(tmp_path: Path) -> None:
    """A server of another authority is not talked to, however it is called."""
    own, other = made(tmp_path / "own"), made(tmp_path / "other")
    async with listening(own) as port, listening(other) as stranger:
        pin = own.fingerprint()
        trust = await pinned_context([("127.0.0.1", port)], pin, patience=PATIENCE)
        assert await greeting(port, trust) == b"hello\n"
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(stranger, trust)
        with pytest.raises(AuthorityUnknown, match=pin):
            await pinned_context([("127.0.0.1", stranger)], pin, patience=PATIENCE)


async def test_who_only_presents_the_authority_is_not_believed(tmp_path: Path) -> None:
    """A chain with the right certificate in it, behind a certificate that it did not sign."""
    own, other = made(tmp_path / "own"), made(tmp_path / "other")
    forged = tmp_path / "forged.crt"
    leaf = other.certificate.read_text().split("-----END CERTIFICATE-----\n")[0]
    forged.write_text(f"{leaf}-----END CERTIFICATE-----\n{own.authority.read_text()}")
    async with listening(msgspec.structs.replace(other, certificate=forged)) as port:
        trust = await pinned_context([("127.0.0.1", port)], own.fingerprint(), patience=PATIENCE)
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, trust)


async def test_a_pin_waits_for_its_server_no_longer_than_its_patience(tmp_path: Path) -> None:
    """Who is not there is named."""
    async with listening(made(tmp_path)) as port:
        pass
    with pytest.raises(BusUnavailable, match=f"127.0.0.1:{port}"):
        await pinned_context([("127.0.0.1", port)], "0" * 64, patience=0)


async def test_a_pin_asks_whichever_server_of_a_cluster_is_there(tmp_path: Path) -> None:
    """One that is away is passed over."""
    files = made(tmp_path)
    async with listening(files) as away:
        pass
    async with listening(files) as port:
        servers = [("127.0.0.1", away), ("127.0.0.1", port)]
        trust = await pinned_context(servers, files.fingerprint(), patience=PATIENCE)
        assert await greeting(port, trust) == b"hello\n"


async def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """Before anything listens."""
    own, other = made(tmp_path / "own"), made(tmp_path / "other")
    with pytest.raises(CannotStart, match=r"does not end with the authority"):
        msgspec.structs.replace(own, authority=other.authority).fingerprint()
    with pytest.raises(CannotStart, match=r"no certificate with its key"):
        server_context(msgspec.structs.replace(own, key=other.key))
    for broken in (tmp_path / "none.crt", own.key):
        with pytest.raises(CannotStart, match=broken.name):
            client_context(broken)


async def test_the_message_server_speaks_to_those_who_trust_it(tmp_path: Path) -> None:
    """From the first byte encrypted; without TLS, or with another authority, nobody is in."""
    own, other = made(tmp_path / "own"), made(tmp_path / "other")
    server = new_server(tmp_path / "message-server", tls=own)
    await server.start()
    try:

        def bus(trust: ssl.SSLContext | None) -> NatsBus:
            return NatsBus(
                server.url, user=SERVER_USER, password=SERVER_PASSWORD, name="part", tls=trust
            )

        async with bus(client_context(own.authority)) as part:
            await part.subscribe("x", Received(answer=b"here"))
            assert await part.request("x", b"", PATIENCE) == b"here"
        for trust in (None, client_context(other.authority)):
            stranger = bus(trust)
            with pytest.raises(BusUnavailable):
                await stranger.open(patience=0)
            await stranger.close()
    finally:
        await server.stop()
