"""Asking somebody's cluster, with what is wrong with the way to it said in the lab's words."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import aiohttp

from lab.errors import NotReadyError, ProviderError
from lab.kube.proxies import WAY_OUT
from lab.kube.status import StatusError
from lab.providers.contexts import Context

T = TypeVar("T")
ANSWER_SECONDS = 15.0
"""How long a cluster may take to answer the first questions."""
GONE_SECONDS = 120.0
"""How long what is removed from a cluster may take until it is gone."""
_PLAIN = "the server speaks plain http at that port: is https right in the kubeconfig?"
_NAMELESS = "its name is not known here: is a VPN down, or the cluster gone?"
_WAYS_OUT = {
    "the proxy http": WAY_OUT,
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not of the kubeconfig's certificate-authority,"
    " or has another name: the cluster may have been made anew; get its kubeconfig again",
    "WRONG_VERSION_NUMBER": _PLAIN,
    "RECORD_LAYER_FAILURE": _PLAIN,
    "Name or service not known": _NAMELESS,
    "No address associated": _NAMELESS,
    "nodename nor servname": _NAMELESS,
    "Domain name not found": _NAMELESS,
    "Temporary failure in name": "names cannot be looked up now: is the network, or a VPN, down?",
    "Connect call failed": "nothing listens there: is the cluster stopped, or the address another's by now?",
    "Server disconnected": "what listens there ends connections: it may speak https, where the kubeconfig has"
    " http, or it is about to start",
}
"""What a failure to reach a server contains, and the way out."""


def ask(context: Context, doing: Coroutine[Any, Any, T]) -> T:
    """Do it with the cluster of that context.

    Raises NotReadyError when it does not answer or does not accept the credentials, and ProviderError for
    what else it answers. Errors of the lab itself pass.
    """
    try:
        return asyncio.run(doing)
    except StatusError as error:
        raise refused(context, error) from error
    except TimeoutError as error:
        raise NotReadyError(
            f"the cluster of context {context.name!r} does not answer at {context.server}:"
            f" nothing came in {ANSWER_SECONDS:g} s",
            hint="a firewall may drop what is sent there: is a VPN down, or this host not allowed?",
        ) from error
    except (OSError, aiohttp.ClientError) as error:
        said = str(error)
        ways = [way for sign, way in _WAYS_OUT.items() if sign.lower() in said.lower()]
        raise NotReadyError(
            f"the cluster of context {context.name!r} does not answer at {context.server}: {said}",
            hint=ways[0]
            if ways
            else f"kubectl --context {context.name} version shows whether it can be reached from here",
        ) from error


def refused(context: Context, error: StatusError) -> NotReadyError | ProviderError:
    """What to raise when the cluster answers with an error."""
    if error.code == 401:
        return NotReadyError(
            f"the cluster of context {context.name!r} does not accept the kubeconfig's credentials",
            hint="they may have expired: get new ones the way you got these, then the same command again",
        )
    if "HTTP request to an HTTPS server" in error.message:
        return NotReadyError(
            f"the cluster of context {context.name!r} speaks https at {context.server}",
            hint="the kubeconfig's server begins with http: write https",
        )
    return ProviderError(f"the cluster of context {context.name!r} answered: {error.code} {error}")
