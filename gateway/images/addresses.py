"""Which addresses belong to the public internet.

Written out as a table instead of asking `ipaddress`, whose answers changed between Python's patch releases; what is not
known to be public is not. Ranges are IANA's special-purpose registries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved and broadcast
        ),
    )
)

_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)

# A network without IPv4 gets every IPv4 host's address in this form from its name server, so it is as public as what
# it wraps. A NAT64 of the network's own (64:ff9b:1::/48) is nobody's public address.
_NAT64 = IPv6Network("64:ff9b::/96")

_PRIVATE: tuple[IPv4Network | IPv6Network, ...] = (
    *map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    *map(IPv6Network, ("::1/128", "fc00::/7")),
)

# Where clouds tell their machines' secrets. The first of these is a public address, and answers only from within.
_METADATA = frozenset(
    (
        IPv4Address("168.63.129.16"),
        IPv4Address("100.100.100.200"),
        IPv6Address("fd00:ec2::254"),
        IPv6Address("fd20:ce::254"),
    )
)


def is_public(address: Address) -> bool:
    """Whether it is an address of one machine that the whole internet reaches."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
    return address not in _METADATA and not any(address in network for network in _NOT_PUBLIC_4)


def is_private(address: Address) -> bool:
    """Whether it is an address of a machine of the operator's own network, or this machine's. Link-local addresses and
    those of metadata services are not."""
    if address in _METADATA:
        return False
    return any(address in network for network in _PRIVATE)
