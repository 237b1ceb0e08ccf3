"""What a request is about: the session that has the pid, and still is the one that was meant."""

from __future__ import annotations

import psycopg

from lab.gateway.database.backend import Backend
from lab.gateway.database.call import GROUP, RESOURCE, Call, Session, image_of
from lab.gateway.exchange import Answer, Exchange, Handler
from lab.kube.status import StatusError, forbidden, service_unavailable


class Entrance:
    """First inner stage: who asks is known by the role, so only the target is to be found out."""

    def __init__(self, backend: Backend, actor: str, call: Call) -> None:
        self._backend = backend
        self._actor = actor
        self._call = call

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        call = self._call
        exchange.actor = self._actor
        exchange.target = call.target(self._backend.name, str(call.pid))
        if call.refusal:
            raise service_unavailable(call.refusal)
        try:
            session = await self._backend.look(call.pid)
        except psycopg.Error as error:
            message = f"the gateway cannot look at the sessions ({type(error).__name__}); nothing was done"
            raise service_unavailable(message) from error
        if session is None or session.started != call.started:
            raise StatusError(404, "NotFound", f"no session of this database has the pid {call.pid} any more")
        exchange.target = call.target(session.database, session.identity)
        exchange.before = image_of(session)
        self._check(session)
        return await following(exchange)

    def _check(self, session: Session) -> None:
        """Raises StatusError 403 for what no operation may touch."""
        if session.kind != "client backend":
            why = f"it is no client's session but the server's own: {session.kind}"
        elif session.pid in self._backend.pids:
            why = "it is the gateway's own session"
        else:
            return
        raise forbidden(RESOURCE, GROUP, session.identity, why)
