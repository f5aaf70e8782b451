"""Settings for an API that takes small pictures only."""

from dpip.api.settings import ApiSettings

SETTINGS = ApiSettings(
    system_name="",
    login_hours=1,
    upload_bytes=1000,
    channels=8,
    animation_bytes=1000,
    pixels=100,
    pending_jobs=100,
    incoming_bytes=10_000,
)
