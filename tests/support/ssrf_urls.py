"""URLs by which strangers try to reach what only the gateway reaches."""

# ruff: noqa: SIM905 - lists of a hundred strings in quotes are harder to read

from __future__ import annotations

_OWN_MACHINE = """
127.0.0.1 127.0.0.1. 127.1 127.0.1 2130706433 0x7f000001 0x7F000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 017700000001 0177.1
127.000.000.001 127.0.0.01 127.255.255.254 0 0.0.0.0 00000000 0x0 1.1.1.1.127.0.0.1 127.0.0.1.0x7f 4294967297
\uff11\uff12\uff17.0.0.1 127\u30020\u30020\u30021 127\uff0e0\uff0e0\uff0e1 \u2460\u2461\u2466.\u24ea.\u24ea.\u2460
localhost LOCALHOST localhost. LocalHost \u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3
[::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [::7f00:1]
[64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::1] [2001:0:4136:e378:8000:63bf:80ff:fffe]
[::1%25lo] [::1%lo] [fe80::1%25eth0] [::ffff:0:127.0.0.1] [::1].
""".split()

_INNER_NETWORK = """
10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 100.127.255.255 192.0.0.8 198.18.0.1
169.254.169.254 2852039166 0xa9fea9fe 0xA9.0xFE.0xA9.0xFE 0251.0376.0251.0376 169.254.43518 169.254.170.2
100.100.100.200 168.63.129.16 192.0.0.192 [fd00:ec2::254] [fd20:ce::254] [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe]
[2002:a9fe:a9fe::1] [fe80::1] [fec0::1] [fc00::1] [fdff::1] [ff02::1] [ff05::2] [2001:db8::1] [100::1] [3fff::1]
[5f00::1] [2001:10::1] 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 192.0.2.1 198.51.100.1 203.0.113.1
192.88.99.1
""".split()

# Resolved by `NAMES` below, or not at all.
_NAMES_OF_INNER_HOSTS = """
inner.example six.example mixed.example mapped.example nat64.example zone.example metadata.google.internal
nowhere.example none.example carrier.example INNER.EXAMPLE inner.example. \u24d8nner.example
""".split()

NAMES: dict[str, list[list[str]]] = {
    "localhost": [["127.0.0.1", "::1"]],
    "inner.example": [["10.0.0.5"]],
    "six.example": [["::1"]],
    "mixed.example": [["93.184.215.14", "127.0.0.1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "nat64.example": [["64:ff9b::7f00:1"]],
    "zone.example": [["fe80::1%2"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "none.example": [[]],
    "carrier.example": [["100.64.1.1"]],
    "public.example": [["93.184.215.14"]],
}

_OTHER_SCHEMES = """
file:///etc/passwd file://localhost/etc/passwd FILE:///etc/passwd ftp://127.0.0.1/a gopher://127.0.0.1:{port}/_GET
dict://127.0.0.1:{port}/ ldap://127.0.0.1:{port}/ tftp://127.0.0.1/a ws://127.0.0.1:{port}/ wss://127.0.0.1/
jar:http://127.0.0.1!/ javascript:alert(1) about:blank unix:///run/docker.sock http+unix://%2frun%2fdocker.sock/
//127.0.0.1:{port}/ 127.0.0.1:{port} http:127.0.0.1:{port} http:/127.0.0.1:{port}/ http:///127.0.0.1:{port}/
http:\\\\127.0.0.1\\ view-source:http://127.0.0.1/ https:127.0.0.1 s3://bucket/key http://
""".split()

_CONFUSING = """
http://public.example@127.0.0.1:{port}/ http://127.0.0.1:{port}@public.example/ http://public.example:80@127.0.0.1/
http://127.0.0.1:{port}#@public.example/ http://127.0.0.1:{port}?@public.example/
http://127.0.0.1:{port}\\@public.example/ http://public.example\\@127.0.0.1/ http://[::1]@127.0.0.1/
http://127.0.0.1%00.public.example/ http://127.0.0.1%2f.public.example/ http://%31%32%37.0.0.1/
http://127.0.0.1:80:80/ http://127.0.0.1:-80/ http://127.0.0.1:65536/ http://127.0.0.1:0x50/ http://[127.0.0.1]/
http://public.example:22/ http://public.example:6379/ http://public.example:0/ http://public.example:{port}/
http://[::1/ http://::1/ http://a..b/ http://.localhost/ http://-/ http://*/
""".split()  # fmt: skip

_WITH_CONTROLS = [
    "http://127.0.0.1\t/",
    "ht\ntp://127.0.0.1/",
    "http://127.0.0.1/\r\nHost: public.example",
    "http://public.example/\r\nX-Evil: 1",
    "http://public.example\x00.inner.example/",
    "http://public.example\r\n/",
    "\x01http://127.0.0.1/",
    "http://127.0.0.1 /",
    "http://\ud83d/",
    "http://" + "a" * 9000,
    "http://" + "a." * 200 + "example/",
    "",
    " ",
    "data:text/html,<script>",
    "data:image/png;base64,AAAA",
]


def ssrf_urls(port: int) -> list[str]:
    """`port` is a canary's on loopback. The hosts come with the usual port too, for a network that leads it there."""
    hosts = _OWN_MACHINE + _INNER_NETWORK + _NAMES_OF_INNER_HOSTS
    urls = [f"http://{host}/image.png" for host in hosts] + [f"https://{host}/image.png" for host in hosts[::4]]
    urls += [f"http://{host}:{port}/image.png" for host in _OWN_MACHINE]
    return urls + [text.format(port=port) for text in _OTHER_SCHEMES + _CONFUSING] + _WITH_CONTROLS
