"""The proxy that the environment names for a server, as client-go and so kubectl follow it.

HTTPS_PROXY or HTTP_PROXY, by the scheme of the server, and NO_PROXY; of each the name in small letters too,
which counts when the other is not set or empty. A loopback address is never behind a proxy. Neither urllib
nor requests nor aiohttp decides so: they know no loopback, and networks in NO_PROXY only in part.
Rules: https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from lab.errors import UsageError

USABLE = ("http", "https")
_PORTS = {"http": 80, "https": 443}
_VARIABLES = {"http": "HTTP_PROXY", "https": "HTTPS_PROXY"}
_KUBECONFIG = "the kubeconfig's proxy-url"
WAY_OUT = "is the proxy right, and meant for this cluster? NO_PROXY excludes a server from those of variables"
"""What to look at when a proxy fails."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy of http. `url` may hold a password. `source`: where it is named, for people."""

    url: str
    source: str

    @classmethod
    def of_kubeconfig(cls, url: str) -> Proxy:
        """The one that a kubeconfig names."""
        return cls(url, _KUBECONFIG)

    @property
    def credentials(self) -> str:
        """`user:password`, or nothing."""
        return urlsplit(self.url).netloc.rpartition("@")[0]

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.source})"


def used_proxy(server: str, url: str) -> Proxy:
    """A proxy that was used for a server, with where it is named: the environment, or else a kubeconfig."""
    named = environment_proxy(server)
    same = named is not None and urlsplit(named.url).hostname == urlsplit(url).hostname
    return Proxy(url, named.source) if named and same else Proxy.of_kubeconfig(url)


def environment_proxy(server: str, environment: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy for a URL, or None when it is to be reached directly.

    Raises UsageError for one that would be used and cannot be.
    """
    variables = os.environ if environment is None else environment
    target = urlsplit(server)
    variable, named = _named(variables, _VARIABLES.get(target.scheme, ""))
    if not named or not _is_outside(target) or _is_excluded(target, _named(variables, "NO_PROXY")[1]):
        return None
    url = named if "://" in named else f"http://{named}"
    scheme = url.partition("://")[0].lower()
    try:
        usable = scheme in USABLE and urlsplit(url).hostname and urlsplit(url).port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        shown = f"{scheme}://{url.partition('://')[2].rpartition('@')[2]}"
        raise UsageError(
            f"{variable} names the proxy {shown!r}, and only proxies of http and https can be used",
            hint=f"{variable}=http://HOST:PORT, or exclude the server: NO_PROXY={target.hostname}",
        )
    return Proxy(url, variable)


def _named(variables: Mapping[str, str], name: str) -> tuple[str, str]:
    """A variable and its value, by the one of its two names that is set."""
    for each in (name, name.lower()):
        if value := variables.get(each, "").strip():
            return each, value
    return name, ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_outside(target: SplitResult) -> bool:
    host = target.hostname or "localhost"
    address = _address(host)
    return host != "localhost" and not (address is not None and address.is_loopback)


def _is_excluded(target: SplitResult, excluded: str) -> bool:
    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    return any(_matches(entry.strip().lower(), host, port) for entry in excluded.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means this host: *, a network, an address or a domain, the latter two with
    a port or without. A leading dot is for subdomains alone."""
    if entry in ("", "*"):
        return entry == "*"
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, at = _split(entry)
    if not name or at not in ("", str(port)):
        return False
    if (wanted := _address(name)) is not None:
        return wanted == address
    if name.startswith("*."):
        name = name[1:]
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name


def _split(entry: str) -> tuple[str, str]:
    """Host and port of `host`, `host:port`, `address:port`, `[address]:port` or an address of IPv6."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, at = entry.partition(":")
        return name, at
    return entry, ""
