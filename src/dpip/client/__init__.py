"""The SDK: what programs, the command line and the tests use to talk to the API."""

from dpip.client.api_client import Client

__all__ = ["Client"]
