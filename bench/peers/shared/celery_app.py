"""The tasks of the Celery peer, and its client. Run by the Python of Celery's own environment."""

import json
import os
import sys
import time
from pathlib import Path

import pyvips
import redis
from celery import Celery

URL = os.environ["PEER_REDIS"]
QUALITY, PNG_LEVEL = int(os.environ["PEER_QUALITY"]), int(os.environ["PEER_PNG_LEVEL"])
LOADING_AHEAD = 64
"""Pictures that are in Redis and not yet back."""

app = Celery("peer", broker=URL, backend=URL)
app.conf.update(
    task_serializer="json",
    result_expires=600,
    task_acks_late=False,
    worker_prefetch_multiplier=16,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    broker_transport_options={"visibility_timeout": 3600},
)
store = redis.Redis.from_url(URL.replace("redis+socket", "unix"))
pyvips.cache_set_max(0)


@app.task(name="on_shared_disk")
def on_shared_disk(source: str, target: str, steps: list[dict]) -> None:
    """From file to file."""
    if steps[0]["filter"] == "thumbnail":  # Decoded no larger than it takes.
        image = _small(pyvips.Image.thumbnail, source, steps.pop(0))
    else:
        image = pyvips.Image.new_from_file(source, access="sequential")
    _filtered(image, steps).write_to_file(target, **_options(Path(target).suffix))


@app.task(name="through_redis")
def through_redis(key: str, suffix: str, steps: list[dict]) -> None:
    """From one key to another."""
    content = store.getdel(f"original-{key}")
    if steps[0]["filter"] == "thumbnail":
        image = _small(pyvips.Image.thumbnail_buffer, content, steps.pop(0))
    else:
        image = pyvips.Image.new_from_buffer(content, "", access="sequential")
    store.set(
        f"filtered-{key}", _filtered(image, steps).write_to_buffer(suffix, **_options(suffix))
    )


def _filtered(image: pyvips.Image, steps: list[dict]) -> pyvips.Image:
    for step in steps:
        match step:
            case {"filter": "grayscale"}:
                image = image.colourspace("b-w")
            case {"filter": "blur", "sigma": sigma}:
                image = image.gaussblur(sigma)
            case {"filter": "sharpen", "sigma": sigma}:
                image = image.sharpen(sigma=sigma)
            case {"filter": "thumbnail"}:
                image = _small(pyvips.Image.thumbnail_image, image, step)
    return image


def _small(thumbnail, source, step: dict) -> pyvips.Image:
    return thumbnail(source, step["size"], height=step["size"], size="down")


def _options(suffix: str) -> dict[str, object]:
    if suffix == ".png":
        return {"compression": PNG_LEVEL, "filter": "up", "keep": "none"}
    return {"Q": QUALITY, "keep": "none"}


def _send_all(steps: list[dict], pictures: list[tuple[str, str]], by_redis: bool) -> None:
    waiting = []
    for number, (source, target) in enumerate(pictures):
        if by_redis:
            store.set(f"original-{number}", Path(source).read_bytes())
            sent = through_redis.delay(str(number), Path(source).suffix.lower(), steps)
            waiting.append((sent, number, target))
            if len(waiting) > LOADING_AHEAD:
                _fetch(*waiting.pop(0))
        else:
            waiting.append((on_shared_disk.delay(source, target, steps), number, None))
    for each in waiting:
        _fetch(*each)


def _fetch(sent, number: int, target: str | None) -> None:
    sent.get(propagate=False)
    if target and (content := store.getdel(f"filtered-{number}")):
        Path(target).write_bytes(content)


if __name__ == "__main__":
    for line in sys.stdin:
        job = json.loads(line)
        begin = time.perf_counter()
        _send_all(job["steps"], job["pictures"], by_redis=sys.argv[1] == "redis")
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)
