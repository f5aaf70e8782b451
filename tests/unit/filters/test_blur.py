import pytest

from dpip.filters.blur import bell


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1, 2, 3, 4.5, 10, 33.3, 100])
def test_the_weights_are_a_bell_without_loss(sigma: float) -> None:
    """Symmetric, falling to both sides, and of a sum that divides without a remainder."""
    weights = bell(sigma)
    total = sum(weights)
    assert weights == weights[::-1]
    assert total & (total - 1) == 0
    assert max(weights) - weights[len(weights) // 2] <= 1
    assert min(weights) >= 0
    variance = sum(weight * (at - len(weights) // 2) ** 2 for at, weight in enumerate(weights))
    if sigma >= 1:
        assert (variance / total) ** 0.5 == pytest.approx(sigma, rel=0.03)
