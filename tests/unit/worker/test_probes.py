import psutil
import pytest

from dpip.worker.probes import ResourceProbe


@pytest.mark.parametrize(("percent", "cpu"), [(100.4, 1.0), (-0.2, 0.0), (25.0, 0.25)])
def test_a_load_just_beyond_the_whole_is_the_whole(
    monkeypatch: pytest.MonkeyPatch, percent: float, cpu: float
) -> None:
    """What an operating system rounds up costs no worker its heartbeat."""
    monkeypatch.setattr(psutil, "cpu_percent", lambda: percent)
    assert ResourceProbe().read().cpu == cpu
