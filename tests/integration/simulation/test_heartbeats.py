"""What heartbeats cost is measured with the real controller."""

import structlog

from dpip.simulation.heartbeats import share_of_a_core


def test_heartbeats_are_heard_and_nobody_is_lost() -> None:
    """Controller and scheduler take them in, and have no reason to warn of anybody."""
    with structlog.testing.capture_logs() as logs:
        share = share_of_a_core(workers=3, seed=1, policy="least_loaded")
    assert share > 0
    assert [entry for entry in logs if "worker" in entry] == []
