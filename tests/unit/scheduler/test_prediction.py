import itertools
import json
import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from dpip.errors import InvalidValue
from dpip.filters.pipeline import encode_pipeline, parse_pipeline
from dpip.model.cost import Cost
from dpip.model.image import PictureFormat, PictureHeader
from dpip.scheduler.assumptions import parts_of
from dpip.scheduler.prediction import CostModel

MIB = 1024 * 1024
SIZES = ((300, 200), (1200, 800), (640, 480), (4000, 3000), (2000, 1500), (100, 90))


def pipeline(text: str) -> bytes:
    return encode_pipeline(parse_pipeline(text))


BLUR, GRAY = pipeline("blur:sigma=3"), pipeline("grayscale")


def header(
    width: int = 2000,
    height: int = 1500,
    format: PictureFormat = PictureFormat.JPEG,  # noqa: A002
    **facts: int,
) -> PictureHeader:
    return PictureHeader(format=format, width=width, height=height, **facts)


def cost(cpu: float, memory: int = 80 * MIB) -> Cost:
    return Cost(milliseconds=cpu, cpu_milliseconds=cpu, memory=memory)


def size_of(picture: PictureHeader) -> int:
    return picture.pixels // 8


def assumed(steps: bytes, picture: PictureHeader) -> float:
    return sum(parts_of(steps, picture, size_of(picture)).cpu)


def teach(
    model: CostModel, processor: str, times: float, *, steps: Sequence[bytes] = (BLUR,), jobs: int
) -> None:
    """Let ``jobs`` jobs of several sizes take ``times`` times what is assumed."""
    sizes_and_steps = list(itertools.product(SIZES, steps))
    for (width, height), each in itertools.islice(itertools.cycle(sizes_and_steps), jobs):
        picture = header(width, height)
        took = cost(times * assumed(each, picture))
        model.learn(each, picture, size_of(picture), processor, took)


def cpu(model: CostModel, steps: bytes, processor: str = "") -> float:
    picture = header(3000, 1000)
    return model.predict(steps, picture, size_of(picture), processor).cpu_milliseconds


def test_more_to_do_is_assumed_to_cost_more() -> None:
    """Before any job: pixels, frames, bits, the width of a blur, and what a format takes."""
    model = CostModel()

    def assume(steps: bytes, **facts: int) -> float:
        picture = msgspec.structs.replace(header(), **facts)
        return model.predict(steps, picture, 100_000).cpu_milliseconds

    assert assume(BLUR) < assume(BLUR, width=4000)
    assert assume(BLUR) < assume(BLUR, frames=3)
    assert assume(BLUR) < assume(BLUR, depth=16)
    assert assume(BLUR) < assume(pipeline("blur:sigma=20"))
    assert assume(GRAY) < assume(pipeline("grayscale,blur"))
    assert assume(pipeline("grayscale,blur:sigma=20")) < assume(pipeline("blur:sigma=20,grayscale"))
    jpeg, gif = (
        model.predict(BLUR, header(format=kind), 100_000)
        for kind in (PictureFormat.JPEG, PictureFormat.GIF)
    )
    assert jpeg.cpu_milliseconds < gif.cpu_milliseconds
    assert jpeg.memory < gif.memory
    assert jpeg.learned_from == gif.learned_from == 0


def test_what_finished_jobs_took_is_learned() -> None:
    """Also for sizes and parameters that none of them had, which is what the assumptions know."""
    model = CostModel()
    teach(model, "epyc", 3.0, steps=[BLUR, pipeline("blur:sigma=8")], jobs=40)
    wide = pipeline("blur:sigma=15")
    assert cpu(model, wide, "epyc") == pytest.approx(3 * cpu(CostModel(), wide), rel=0.1)
    picture = header(3000, 1000)
    assert model.predict(wide, picture, size_of(picture), "epyc").learned_from == 40


def test_a_processor_without_jobs_begins_with_what_all_others_took() -> None:
    """The first of its own then count for much."""
    model = CostModel()
    teach(model, "epyc", 3.0, jobs=60)
    assert cpu(model, BLUR, "xeon") == pytest.approx(cpu(model, BLUR), rel=0.01)
    assert cpu(model, BLUR, "xeon") == pytest.approx(3 * cpu(CostModel(), BLUR), rel=0.1)
    teach(model, "xeon", 6.0, jobs=6)
    assert cpu(model, BLUR, "xeon") > 1.6 * cpu(model, BLUR, "epyc")


def test_a_processor_known_to_be_slow_is_so_at_filters_it_has_not_run() -> None:
    """Its speed was measured on others."""
    model = CostModel()
    for _ in range(20):
        teach(model, "fast", 1.0, jobs=6)
        teach(model, "slow", 4.0, jobs=6)
        teach(model, "fast", 1.0, steps=[GRAY], jobs=6)
    assert model.speed("fast") / model.speed("slow") == pytest.approx(4, rel=0.2)
    assert model.speed("fast") > 1 > model.speed("slow")
    assert cpu(model, GRAY, "slow") / cpu(model, GRAY, "fast") == pytest.approx(4, rel=0.3)
    assert model.speed("unknown") == 1.0


def test_a_fleet_of_one_processor_is_as_fast_as_itself() -> None:
    """However far off the assumptions are."""
    model = CostModel()
    teach(model, "epyc", 5.0, jobs=30)
    assert model.speed("epyc") == pytest.approx(1.0)


def test_predicted_memory_is_enough_for_nearly_all_jobs() -> None:
    """It is promised by that, so it keeps away from what is usual as far as that varies."""
    model, choose = CostModel(), random.Random(4)
    exceeded = 0
    for number in range(1000):
        picture = header(choose.randrange(200, 5000), choose.randrange(200, 5000))
        usual = 50 * MIB + 2 * picture.decoded_bytes
        took = cost(20.0, int(usual * choose.lognormvariate(0, 0.15)))
        if number >= 500:
            exceeded += took.memory > model.predict(BLUR, picture, 1000, "epyc").memory
        model.learn(BLUR, picture, 1000, "epyc", took)
    assert exceeded <= 0.02 * 500


def test_gpu_memory_is_that_of_a_picture_and_its_result_in_floats() -> None:
    """Without a GPU it is none."""
    model = CostModel()
    assert model.predict(BLUR, header(100, 50), 1000, gpu=True).gpu_memory == 2 * 4 * 100 * 50 * 3
    assert model.predict(BLUR, header(100, 50), 1000).gpu_memory == 0


HEADERS = st.builds(
    PictureHeader,
    format=st.sampled_from(PictureFormat),
    width=st.integers(1, 2**31 - 1),
    height=st.integers(1, 2**31 - 1),
    frames=st.integers(1, 20_000),
    bands=st.integers(0, 65_535),
    depth=st.integers(0, 65_535),
)
COSTS = st.builds(
    Cost,
    milliseconds=st.just(1.0),
    cpu_milliseconds=st.floats(allow_nan=True, allow_infinity=True),
    memory=st.integers(-1, 2**53),
)


@given(
    st.lists(st.tuples(HEADERS, st.integers(0, 2**40), st.sampled_from("ab"), COSTS), max_size=20),
    HEADERS,
    st.integers(0, 2**40),
)
def test_predictions_stay_bounded_whatever_workers_say(
    told: list[tuple[PictureHeader, int, str, Cost]], picture: PictureHeader, size: int
) -> None:
    """Neither below 0, nor infinite, nor no number."""
    model = CostModel()
    for each, of_size, processor, took in told:
        model.learn(BLUR, each, of_size, processor, took)
    for processor in ("", "a", "c"):
        predicted = model.predict(BLUR, picture, size, processor, gpu=True)
        assert 0 < predicted.cpu_milliseconds <= 1e9
        assert 0 < predicted.memory <= 2**53
        assert 0 <= predicted.gpu_memory <= 2**53
        assert 1 / 64 <= model.speed(processor) <= 64


def test_one_absurd_cost_moves_a_prediction_by_a_bounded_factor() -> None:
    """A worker may lie."""
    model = CostModel()
    teach(model, "epyc", 1.0, jobs=100)
    before = model.predict(BLUR, header(), 100_000, "epyc")
    model.learn(BLUR, header(), 100_000, "epyc", cost(1e9, 2**53))
    after = model.predict(BLUR, header(), 100_000, "epyc")
    assert after.cpu_milliseconds < 1.5 * before.cpu_milliseconds
    assert after.memory < 10 * before.memory


def test_a_restored_model_predicts_and_learns_as_the_one_before() -> None:
    """What has changed is told once, and is all there is to keep."""
    model, kept = CostModel(), dict[str, str]()
    for times, processor in ((1.0, "fast"), (2.0, "slow"), (1.5, "fast")):
        teach(model, processor, times, steps=[BLUR, GRAY], jobs=20)
        kept |= model.changed()
    assert model.changed() == {}
    restored = CostModel.restore(kept)
    assert restored.changed() == {}
    for each in (model, restored):
        teach(each, "fast", 1.0, jobs=5)
    for processor in ("", "fast", "slow", "unknown"):
        assert cpu(restored, BLUR, processor) == cpu(model, BLUR, processor)
        assert restored.speed(processor) == model.speed(processor)
    assert restored.changed() == model.changed()
    assert restored.processors() == ["fast", "slow"]


def damaged(kept: dict[str, str]) -> dict[str, str]:
    """The entries of ``kept``, each damaged in a way of its own, and some that never were any."""
    fewer_weights = json.loads(next(each for each in kept.values() if '"kind"' in each))
    fewer_weights["cpu"]["weights"].pop()
    damages = itertools.cycle(("", "{}", "[1]", "\ud800", '{"type":"pace","processor":"p"'))
    return {
        **dict(zip(kept, damages, strict=False)),
        "kind-7": json.dumps(fewer_weights),
        "kind-8": '{"type":"pace","processor":"p","log_speed":1e300}',
        "kind-99999": next(iter(kept.values())),
    }


def test_what_cannot_be_read_is_passed_over_and_told_once() -> None:
    """The rest is restored."""
    model = CostModel()
    teach(model, "epyc", 2.0, jobs=20)
    broken = damaged(model.changed())
    teach(model, "epyc", 2.0, steps=[GRAY], jobs=20)
    whole = model.changed()
    with capture_logs() as lines:
        restored = CostModel.restore({**broken, **whole})
    assert [line["entries"] for line in lines] == [len(broken.keys() - whole.keys())]
    assert cpu(restored, GRAY, "epyc") == cpu(model, GRAY, "epyc")


def test_what_is_kept_is_bounded() -> None:
    """Users may think of any number of pipelines, and workers of processors."""
    model, kept = CostModel(), dict[str, str]()
    combinations = itertools.product(("grayscale", "blur"), repeat=10)
    for number, names in enumerate(combinations):
        model.learn(pipeline(",".join(names)), header(), 1000, f"cpu {number}", cost(5.0))
        kept |= model.changed()
    assert len(kept) == 512 + 64
    assert len(model.processors()) == 64
    assert CostModel.restore(kept).processors() == model.processors()


def test_a_pipeline_that_is_none_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(InvalidValue):
        CostModel().predict(b"{}", header(), 1000)
