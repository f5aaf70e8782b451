import pytest

from dpip.worker.image_client import reachable_endpoint


@pytest.mark.parametrize(
    ("endpoint", "host", "reachable"),
    [
        ("http://0.0.0.0:8080", "10.0.0.5", "http://10.0.0.5:8080"),
        ("http://[::]:8080", "node-1", "http://node-1:8080"),
        ("http://0.0.0.0:8080", "fe80::1", "http://[fe80::1]:8080"),
        ("https://0.0.0.0:443/dpip", "node-1", "https://node-1:443/dpip"),
        ("http://images.example:80", "10.0.0.5", "http://images.example:80"),
        ("http://127.0.0.1:8080", "10.0.0.5", "http://127.0.0.1:8080"),
    ],
)
def test_an_address_that_stands_for_all_is_read_as_the_controllers(
    endpoint: str, host: str, reachable: str
) -> None:
    """Any other address is taken as it is."""
    assert reachable_endpoint(endpoint, host) == reachable
