"""What a plain script sees that pushes frames and pulls them filtered."""

import numpy
import pytest

from tests.acceptance.pictures import picture, pixels
from tests.acceptance.system import Api


def luma(colour: numpy.ndarray) -> float:
    """The gray of an sRGB colour, by ITU-R BT.601."""
    return float(colour @ (0.299, 0.587, 0.114))


@pytest.mark.parametrize("kind", ["original", "orginal"])
def test_frames_come_back_gray_in_upload_order(api: Api, kind: str) -> None:
    """Every frame comes back gray, in the format it was sent in, in upload order."""
    frames = [picture(number) for number in range(12)]
    workload = api.create(filter="grayscale", workload_name="video")
    assert workload["status"] == "scheduling"
    for frame in frames:
        api.push(workload["workload_id"], frame, kind)
    done = api.until_completed(workload["workload_id"])
    assert done["failed_images"] == []
    assert done["running_jobs"] == 0
    filtered = [api.pull(image_id) for image_id in done["filtered_images"]]
    assert len(filtered) == len(frames)
    for before, after in zip(frames, filtered, strict=True):
        assert after.startswith(b"\x89PNG")
        gray = pixels(after).squeeze()
        assert gray.shape == pixels(before).shape[:2]
        assert abs(float(gray[0, 0]) - luma(pixels(before)[0, 0])) <= 1


def test_blur_smooths(api: Api) -> None:
    """A blurred picture varies less and is as bright as before."""
    before = picture(7)
    workload = api.create(filter="blur", sigma="5")
    assert workload["pipeline"] == [{"filter": "blur", "sigma": 5.0}]
    api.push(workload["workload_id"], before)
    (image_id,) = api.until_completed(workload["workload_id"])["filtered_images"]
    after = pixels(api.pull(image_id))
    assert after.shape == pixels(before).shape
    assert after.std() < pixels(before).std() / 4
    assert abs(after.mean() - pixels(before).mean()) < 2


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".gif", ".tif", ".avif"])
def test_formats_are_kept(api: Api, suffix: str) -> None:
    """A picture comes back in the format in which it was sent, with that Content-Type."""
    workload = api.create(filter="grayscale")
    image_id = api.push(workload["workload_id"], picture(3, suffix=suffix))
    (filtered,) = api.until_completed(workload["workload_id"])["filtered_images"]
    types = [
        api.session.get(f"{api.url}/images/{each}").headers["Content-Type"]
        for each in (image_id, filtered)
    ]
    assert types[0] == types[1]


def test_a_later_upload_makes_a_workload_run_again(api: Api) -> None:
    """A completed workload takes more images, and completes again."""
    workload_id = api.create()["workload_id"]
    api.push(workload_id, picture(1))
    api.until_completed(workload_id)
    api.push(workload_id, picture(2))
    assert api.workload(workload_id)["status"] in ("running", "completed")
    assert len(api.until_completed(workload_id)["filtered_images"]) == 2


def test_the_same_name_is_a_second_workload(api: Api) -> None:
    """Names need not be unique."""
    first, second = api.create(workload_name="twice"), api.create(workload_name="twice")
    assert first["workload_id"] != second["workload_id"]


def test_without_a_body_a_workload_is_grayscale(api: Api) -> None:
    """Both fields are optional."""
    answer = api.session.post(f"{api.url}/workloads")
    assert answer.status_code == 201
    assert answer.json()["filter"] == "grayscale"
    assert answer.json()["workload_name"]


def test_a_picture_that_does_not_decode_fails_alone(api: Api) -> None:
    """It is listed with code and reason, and its neighbours come back."""
    workload_id = api.create()["workload_id"]
    whole = picture(1)
    api.push(workload_id, whole)
    broken = api.push(workload_id, whole[: len(whole) // 2])
    api.push(workload_id, picture(2))
    done = api.until_completed(workload_id)
    assert len(done["filtered_images"]) == 2
    (failed,) = done["failed_images"]
    assert failed["image_id"] == broken
    assert failed["code"] == "decode_failed"
    assert failed["reason"]


def test_a_token_dies_with_logout(system_api: Api) -> None:
    """After logout the token opens nothing."""
    assert system_api.session.delete(f"{system_api.url}/logout").status_code == 200
    answer = system_api.session.get(f"{system_api.url}/status")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "unauthenticated"


@pytest.fixture
def system_api(api: Api) -> Api:
    return Api(api.url).login()
