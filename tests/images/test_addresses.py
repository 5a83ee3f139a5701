"""An address is public only where the whole internet reaches it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.addresses import is_private, is_public

NAT64 = ip_network("64:ff9b::/96")

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.215.14 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
223.255.255.255 2606:2800:21f::1 2a00:1450:4001::1 2001:200::1 2001:db7::1 2400:cb00::1 64:ff9b::808:808
""".split()  # noqa: SIM905

NOT_PUBLIC = """
0.0.0.0 0.255.255.255 10.0.0.0 100.64.0.0 100.127.255.255 127.0.0.1 169.254.169.254 172.16.0.0 172.31.255.255
192.0.0.1 192.0.2.1 192.88.99.1 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.0 255.255.255.255 168.63.129.16 :: ::1 ::ffff:8.8.8.8 ::8.8.8.8 64:ff9b::a00:1
64:ff9b::a83f:8110 64:ff9b:1::808:808 100::1 2001::1 2001:db8::1 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1
fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
""".split()  # noqa: SIM905


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(ip_address(text))
    assert not is_private(ip_address(text))


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_python_knows_not_to_be_global(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and address not in NAT64:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@pytest.mark.parametrize("text", ["10.1.2.3", "172.20.0.1", "192.168.0.9", "100.64.0.1", "127.0.0.1", "::1", "fd12::1"])
def test_private(text: str) -> None:
    assert is_private(ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "0.0.0.0", "224.0.0.1", "fe80::1", "::"],
)
def test_secrets_and_whole_networks_are_not_private_either(text: str) -> None:
    assert not is_private(ip_address(text))
