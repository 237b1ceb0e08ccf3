"""Does a decision still stand? The control state may have changed since it was made."""

from __future__ import annotations

from lab.core.audit import Decision, Mode
from lab.gateway.control import ControlState
from lab.gateway.exchange import Exchange
from lab.gateway.membership import acting_mode
from lab.kube.status import forbidden


def acting_mode_of(exchange: Exchange, control: ControlState) -> Mode:
    """Shadow or live: how this request is treated under a control state."""
    if control.mode is not Mode.CANARY:
        return control.mode
    assert exchange.target is not None
    content_type = exchange.request.headers.get("Content-Type", "")
    return acting_mode(
        exchange.actor, exchange.target, exchange.body, content_type, control.mode, control.canary_percent
    )


def stand(exchange: Exchange, control: ControlState) -> None:
    """Take a newer control state over. Raises StatusError 403 when it would have decided otherwise."""
    assert exchange.target is not None
    if control is exchange.control or control == exchange.control:
        return
    exchange.control = control
    if control.stopped:
        reason = control.why_stopped()
    elif acting_mode_of(exchange, control) is not exchange.acting:
        reason = "the mode changed while the request was on its way; try again"
    else:
        return
    exchange.decision, exchange.reason = Decision.REFUSED, reason
    info = exchange.target.info
    raise forbidden(info.resource, info.group, info.name, reason)
