"""Settings: one tree of values, each with a type, a bound and a default.

Command line > environment ``DPIP_*`` (``__`` between section and name) > ``dpip.toml`` > default.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import platformdirs
from msgspec import Meta, Struct, field

from dpip.errors import BadSetting, InvalidValue
from dpip.model.worker import Prefetch, Slots
from dpip.model.working_hours import WorkingHours

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]

_TRANSFER_SECONDS = 150.0
"""What a worker's patience with the API and the start of a child process may add to an attempt."""


class WorkerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a worker is and takes on."""

    slots: Slots = 1
    """Pictures it filters at once."""
    prefetch: Prefetch = 1
    """Pictures it fetches ahead, so that the next is at hand."""
    scratch_dir: Path | None = None
    """Where pictures lie while they are worked on; a temporary directory by default."""
    drain_seconds: Seconds = 30.0
    """How long a stopping worker lets running jobs finish."""
    pause_when_load_above: Annotated[float, Meta(gt=0, le=1)] | None = None
    """Load of other programs, 0 to 1 over all cores, above which it takes no jobs."""
    hours: WorkingHours | None = None
    """When it takes jobs, by local time, such as 20:00-08:00; several are separated by commas."""
    yield_gpu: bool = False
    """Take no jobs while another program uses a GPU of the machine."""
    allow_system_calls: str = ""
    """System calls that the processes which decode pictures may make beyond the usual ones, by
    name, separated by commas; the worker's log names those that were denied."""


class LimitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one picture or job may cost."""

    upload_bytes: Count = 64 * 1024 * 1024
    """Bytes of an uploaded picture."""
    pixels: Count = 50_000_000
    """Pixels that a picture's header may declare, frames added up."""
    channels: Count = 8
    """Channels that a pixel may have, alpha included."""
    animation_bytes: Count = 128 * 1024 * 1024
    """Bytes of all decoded frames of an animation, or pages of a document: 16 Full HD frames."""
    pending_jobs: Count = 1_000_000
    """Jobs that may wait, those of all users together; beyond them uploads are put off with 429."""
    incoming_bytes: Count = 1024 * 1024 * 1024
    """Bytes of pictures that may have come in through one API and not be kept yet, a quarter of
    them those of one user; beyond them uploads are put off."""
    job_memory_bytes: Annotated[int, Meta(ge=256 * 1024 * 1024)] = 1024 * 1024 * 1024
    """Memory of the process that filters a picture."""
    job_seconds: Seconds = 30.0
    """Time to filter a picture."""


class QuotaSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one user may take up; administrators are not bound."""

    stored_bytes: CountOrNone = 0
    """Bytes of a user's pictures, originals and filtered ones; 0 for no limit."""
    pending_jobs: CountOrNone = 0
    """Jobs of a user that may wait; 0 for no limit."""
    uploads_a_minute: CountOrNone = 0
    """Pictures that a user may send in a minute; 0 for no limit."""


class HttpSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client of the API may send and how long it may take."""

    header_seconds: Seconds = 10.0
    """Time for the headers of a request to come in."""
    body_seconds: Seconds = 1200.0
    """Time for the body of a request to come in, as far as the API is waiting for it."""
    request_seconds: Seconds = 3600.0
    """Time from the first byte of a request to the last of its answer."""
    idle_seconds: Seconds = 75.0
    """Time that a connection stays open between two requests."""
    least_bytes_a_second: Count = 1024
    """Speed at which bodies have to come in and answers to be read, over ten seconds."""
    header_bytes: Count = 32 * 1024
    """Bytes of a request's target and headers."""
    headers: Count = 100
    """Headers of a request."""
    connections: Count = 1000
    """Connections that may be open at once."""
    trusted_proxies: str = ""
    """Addresses of reverse proxies whose X-Forwarded-For is believed, separated by commas."""


class SchedulerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How jobs are placed."""

    policy: str = "least_loaded"
    """Which worker gets a job: least_loaded, bin_pack, spread, or the name of your own policy."""
    batch_milliseconds: Annotated[float, Meta(ge=0, le=10_000)] = 100.0
    """Time that small jobs sent to a worker at once are predicted to take a slot; 0: no batches."""
    late_factor: Annotated[float, Meta(ge=1, le=1000)] = 4.0
    """How many times what was predicted a workload's last jobs may take before they are late."""
    backup_share: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """Share of a workload's jobs that may be run a second time when they are late; 0: none."""


class LeaseSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How soon a silent worker is given up."""

    heartbeat_seconds: Seconds = 1.0
    """Time from one heartbeat of a worker to the next."""
    timeout_seconds: Seconds = 6.0
    """Silence after which a worker is lost and its jobs go to others."""
    longest_seconds: Annotated[float, Meta(gt=0, le=604_800)] = 600.0
    """Time after which an attempt fails as timed_out, though its worker is alive."""


class RetentionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long history is kept."""

    history_days: Annotated[float, Meta(gt=0)] = 7.0
    """Days for which readings, workers that have gone and the record of activity are kept."""
    orphan_days: Annotated[float, Meta(gt=0)] = 7.0
    """Days for which pictures that the database does not know are kept in images/.orphans."""


def _data_dir_of_user() -> Path:
    try:
        return platformdirs.user_data_path("dpip")
    except RuntimeError:  # There is no home, as in a container under a bare user id.
        return Path("~/.local/share/dpip")


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of every part."""

    data_dir: Path = field(default_factory=_data_dir_of_user)
    """Directory of the database, the images and the secrets."""
    host: str = "127.0.0.1"
    """Address on which the API and the message-passing server listen."""
    port: Port = 8080
    """Port of the API; 0 takes a free one."""
    api_url: str | None = None
    """URL under which workers reach the API; by default made of host and port."""
    controller_port: Port = 4222
    """Port of the embedded message-passing server, where workers join; 0 takes a free one."""
    nats_url: str | None = None
    """URL of an external NATS server or cluster, in place of the embedded one."""
    database_url: str | None = None
    """SQLAlchemy URL of the database; by default SQLite in the data directory."""
    controller: str = "127.0.0.1:4222"
    """Where a worker finds the controller: <host>:<port>."""
    join_token: str | None = None
    """What a worker shows to join; by default read from the data directory."""
    tls_cert: Path | None = None
    """Certificate of API and message-passing server, followed by its authority's (PEM)."""
    tls_key: Path | None = None
    """Key of that certificate (PEM)."""
    tls_ca: Path | None = None
    """Certificate of the authority that is trusted, and no other, as a server and as a client."""
    insecure: bool = False
    """Listen beyond this machine without encryption; warned about at every start."""
    admin_user: str = "admin"
    """Name of the administrator that the first start creates."""
    admin_password: str | None = None
    """Password of that administrator; by default generated, and kept in the data directory."""
    login_hours: Annotated[float, Meta(gt=0)] = 24.0
    """Hours for which the token of a login is good."""
    system_name: str = "Distributed and Parallel Image Processing (DPIP)"
    """Name that GET /status shows."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged: debug, info, warning or error."""
    direct_store: Literal["auto", "off"] = "auto"
    """Whether workers and commands go to the pictures in data_dir themselves, if an API has seen
    that those are its own: auto or off."""
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    quotas: QuotaSettings = QuotaSettings()
    http: HttpSettings = HttpSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    lease: LeaseSettings = LeaseSettings()
    retention: RetentionSettings = RetentionSettings()


SECRETS = frozenset({"join_token", "admin_password", "database_url", "nats_url"})
"""Settings whose value is not shown."""


class Setting(Struct, frozen=True, kw_only=True):
    """One value of the tree: its dotted name, and where it was found."""

    name: str
    value: object
    source: str


def load_settings(
    arguments: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[Settings, list[Setting]]:
    """Return the settings, and each of them with its source.

    ``arguments`` are the values given on the command line by dotted name, ``None`` standing for
    not given. ``environment`` is the process's own, and ``file`` what ``DPIP_CONFIG`` names or
    ``dpip.toml`` in the working directory, by default. Raises ``BadSetting``.
    """
    environment = os.environ if environment is None else environment
    if file is None:
        file = Path(environment.get("DPIP_CONFIG", "dpip.toml"))
        if "DPIP_CONFIG" in environment and not file.is_file():
            raise BadSetting(
                setting="config",
                source="DPIP_CONFIG",
                value=str(file),
                allowed="it names a file that is there",
            )
    types = dict(_leaves(Settings))
    found: dict[str, Setting] = {}
    for name, value, source in [
        *_from_file(file),
        *_from_environment(environment, types),
        *((name, value, "command line") for name, value in (arguments or {}).items()),
    ]:
        if value is None:
            continue
        if name not in types:
            raise BadSetting(
                setting=name,
                source=source,
                value=value,
                allowed=f"there is no such setting; there are {', '.join(sorted(types))}",
            )
        found[name] = Setting(
            name=name, value=_convert(name, value, types[name], source), source=source
        )
    tree: dict[str, Any] = {}
    for name, setting in found.items():
        *sections, key = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = setting.value
    settings = msgspec.convert(tree, Settings)
    _check_longest_lease(settings, found)
    return settings, [
        found.get(name) or Setting(name=name, value=_value(settings, name), source="default")
        for name in types
    ]


def _check_longest_lease(settings: Settings, found: Mapping[str, Setting]) -> None:
    name, job_seconds = "lease.longest_seconds", settings.limits.job_seconds
    # A picture that was fetched ahead waits for those before it.
    least = _TRANSFER_SECONDS + (settings.worker.prefetch + 1) * job_seconds
    if settings.lease.longest_seconds < least:
        raise BadSetting(
            setting=name,
            source=found[name].source if name in found else "default",
            value=settings.lease.longest_seconds,
            allowed=f"with limits.job_seconds at {job_seconds:g} and worker.prefetch at "
            f"{settings.worker.prefetch} an attempt may take {least:g} s; set it to that or more",
        )


def _leaves(section: type[Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for item in msgspec.structs.fields(section):
        name = f"{prefix}{item.name}"
        if isinstance(item.type, type) and issubclass(item.type, Struct):
            yield from _leaves(item.type, f"{name}.")
        else:
            yield name, item.type


def _from_file(file: Path) -> Iterator[tuple[str, object, str]]:
    if not file.is_file():
        return
    try:
        content = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(
            setting="config", source=str(file), value=str(file), allowed=f"it is no TOML: {error}"
        ) from error
    for name, value in content.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                yield f"{name}.{key}", inner, str(file)
        else:
            yield name, value, str(file)


def _from_environment(
    environment: Mapping[str, str], types: Mapping[str, object]
) -> Iterator[tuple[str, object, str]]:
    for name in types:
        variable = f"DPIP_{name.replace('.', '__').upper()}"
        if variable in environment:
            yield name, environment[variable], variable


def _convert(name: str, value: object, kind: Any, source: str) -> object:
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_decode_own_type)
    except msgspec.ValidationError as error:
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        allowed = f"it is one of {', '.join(choices)}" if choices else error
        shown = "(not shown)" if name in SECRETS else value
        raise BadSetting(setting=name, source=source, value=shown, allowed=allowed) from error


def _decode_own_type(kind: type, value: object) -> object:
    if issubclass(kind, Path) and isinstance(value, str):
        try:
            return Path(value).expanduser()
        except RuntimeError as error:
            raise ValueError("this user has no home directory; write out the path") from error
    if issubclass(kind, WorkingHours) and isinstance(value, str):
        try:
            return WorkingHours.parse(value)
        except InvalidValue as error:
            raise ValueError(error.facts["allowed"]) from error
    raise NotImplementedError


def _value(settings: Settings, name: str) -> object:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value
