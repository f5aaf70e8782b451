from dpip.cli.mutations import mutations

PICTURES = [bytes(range(256)) * 8, b"short", b""]


def test_the_same_seed_makes_the_same_damage() -> None:
    """And another seed other damage."""
    first, again, other = (list(mutations(PICTURES, 50, seed)) for seed in (1, 1, 2))
    assert len(first) == 50
    assert first == again
    assert first != other


def test_pictures_come_to_harm_and_stay_bounded() -> None:
    """Nearly every copy differs from its picture, and none grows without end."""
    damaged = list(mutations(PICTURES[:1], 300, 3))
    assert len({*damaged} - {PICTURES[0]}) > 250
    assert max(map(len, damaged)) < 100_000
