"""Which addresses are public, not private: media is fetched only from those.

Does not resolve names and opens no connections.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address

# IANA's special-purpose registry, spelt out: Python's own list differs between its versions.
_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, 0.0.0.0 among it
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; 100.100.100.200 tells a cloud's secrets
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's agent, at a public address
        "169.254.0.0/16",  # link-local; 169.254.169.254 tells a cloud's secrets
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 tells a cloud's secrets
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Outside it lie loopback, unique local, link-local, site-local and multicast addresses, IPv4-mapped
# ones (::ffff:0:0/96) and NAT64 (64:ff9b::/96, 64:ff9b:1::/48), which would reach any IPv4 address.
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them, which carries IPv4 addresses
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries IPv4 addresses
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether an address belongs to a host on the open internet.

    Args:
        address: An IPv4 or IPv6 address, as `getaddrinfo` writes it.

    Returns:
        False for private, special and transitional addresses, and for anything else.
    """
    try:
        found = ip_address(address)
    except ValueError:  # such as one with a zone, which only links have
        return False
    if found.version == 4:
        return not any(found in network for network in _CLOSED_V4)
    return found in _OPEN_V6 and not any(found in network for network in _CLOSED_V6)
