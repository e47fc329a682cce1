"""This machine, by all its names, and nothing else."""

import pytest

from omni_mcp.this_machine import is_loopback, leads_here


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "::1"])
def test_this_machine_is_known_by_its_names(host: str) -> None:
    assert is_loopback(host)
    assert leads_here(f"http://[{host}]:4000/v1" if ":" in host else f"http://{host}:4000/v1")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "localhost.example.com", ""])  # noqa: S104 - not bound
def test_other_places_are_not_taken_for_it(host: str) -> None:
    assert not is_loopback(host)
    assert not leads_here(f"http://{host}:4000")


@pytest.mark.parametrize("url", ["", "not a url", "http://[::1", "/v1/models"])
def test_what_is_no_url_leads_nowhere_near(url: str) -> None:
    assert not leads_here(url)
