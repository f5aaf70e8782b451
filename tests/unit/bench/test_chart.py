from xml.etree import ElementTree

from dpip.bench.chart import draw
from dpip.bench.contest import Comparison, Result, Spread
from dpip.bench.outputs import Judgement

SVG = "{http://www.w3.org/2000/svg}"


def build_result(name: str, share: float) -> Result:
    spread = Spread(median=share, least=share / 2, most=share * 1.1)
    return Result(
        name=name,
        how="made up",
        turns=3,
        pictures_per_second=spread,
        milliseconds_a_picture=spread,
        of_limit=spread,
        outputs=Judgement(expected=1, pictures=1, wrong=0, difference=0.0),
    )


def test_bars_are_as_long_as_contenders_are_fast() -> None:
    """The chart is well-formed, names everyone, and its bars stand in the ratio of the speeds."""
    names = ("limit", "dpip", "a <peer>")
    comparison = Comparison(
        mix="frames & more",
        unfit=(),
        filter="blur",
        pictures=1,
        bytes=1,
        rounds=3,
        ratio=0.5,
        results=tuple(map(build_result, names, (1.0, 0.5, 0.25))),
        left_out=(),
    )
    document = ElementTree.fromstring(draw([comparison], "Speed"))
    texts = {text.text for text in document.iter(f"{SVG}text")}
    assert {*names, "Speed", "frames & more, blur"} <= texts
    _, *bars = [float(bar.attrib["width"]) for bar in document.iter(f"{SVG}rect")]
    assert [round(bar / bars[0], 2) for bar in bars] == [1, 0.5, 0.25]
