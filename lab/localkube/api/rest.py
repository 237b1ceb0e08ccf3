"""Resource requests: from verb, resource and body to a registry call and its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.kube.patch import APPLY_PATCH
from lab.kube.request import RequestInfo
from lab.kube.resources import Resource
from lab.kube.status import (
    StatusError,
    bad_request,
    invalid,
    method_not_allowed,
    path_not_found,
)
from lab.localkube.api.admission import connect_request, token_request
from lab.localkube.api.calls import Call
from lab.localkube.api.discovery import subresource_kind, subresource_verbs
from lab.localkube.api.escalation import Escalation
from lab.localkube.api.identity import User
from lab.localkube.api.media import PATCH_TYPES, Accepted, decode, media_type, negotiate
from lab.localkube.api.metrics import GROUP as METRICS
from lab.localkube.api.metrics import ResourceMetrics
from lab.localkube.api.options import check_list_options, delete_options, integer, write_options
from lab.localkube.api.podstreams import PodStreams
from lab.localkube.api.rbac import Authorizer
from lab.localkube.api.representation import Representation
from lab.localkube.api.reviews import Reviews
from lab.localkube.api.watching import stream_watch
from lab.localkube.protocols import Registry, WriteOptions
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.decoding import conform, strict_error
from lab.localkube.registry.scale import scale_of
from lab.localkube.registry.strategy import may_be_put

_REVIEW_GROUPS = ("authorization.k8s.io", "authentication.k8s.io")
_NAMED = ("create", "update", "patch")
_RETURNED_WHEN_DELETED = (
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "storageclasses.storage.k8s.io",
)

_OF_THE_OLD = ("uid", "resourceVersion")
PLAIN = Accepted()


def respond(
    obj: Any, status: int = 200, warnings: Sequence[str] = (), accepted: Accepted = PLAIN
) -> web.Response:
    """A JSON answer with its Warning headers."""
    response = web.Response(
        body=orjson.dumps(obj), status=status, headers={"Content-Type": accepted.content_type}
    )
    for warning in dict.fromkeys(warnings):
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        text = "".join(character if character.isprintable() else " " for character in text)
        response.headers.add("Warning", f'299 - "{text}"')
    return response


class Rest:
    """Answers everything below a served group and version."""

    def __init__(
        self,
        registry: Registry,
        reviews: Reviews,
        streams: PodStreams,
        escalation: Escalation,
        clock: Clock,
        metrics: ResourceMetrics,
        authorizer: Authorizer,
    ) -> None:
        self._registry = registry
        self._reviews = reviews
        self._metrics = metrics
        self._streams = streams
        self._escalation = escalation
        self._authorizer = authorizer
        self._clock = clock
        self._verbs: dict[str, Callable[[Call], Awaitable[web.StreamResponse]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    async def answer(self, request: web.Request, info: RequestInfo, user: User) -> web.StreamResponse:
        """Carry a request out. Raises StatusError."""
        resource = self._registry.resource(info.group, info.version, info.resource)
        call = Call(request, info, user, resource)
        if info.subresource:
            if info.subresource not in resource.subresources:
                raise path_not_found()
            if info.is_connect:
                if request.query.get("dryRun"):
                    raise bad_request("dryRun is not supported")
                self._registry.admit(connect_request(resource, info, request.query, user))
            if info.is_connect or info.subresource == "log":
                return await self._streams.answer(request, info, resource)
            allowed: Sequence[str] = subresource_verbs(info.subresource)
        else:
            allowed = resource.verbs
        if info.verb not in self._verbs or info.verb not in allowed:
            raise method_not_allowed()
        if info.verb == "create" and isinstance(resource, CustomResource) and resource.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise StatusError(405, "MethodNotAllowed", why, details={})
        if not resource.namespaced and info.namespace and resource.plural != "namespaces":
            raise path_not_found()
        if resource.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            raise method_not_allowed() if not info.name else path_not_found()
        if not info.subresource and (info.verb == "create") == bool(info.name) and info.verb in _NAMED:
            raise method_not_allowed()
        response = await self._verbs[info.verb](call)
        if isinstance(resource, CustomResource) and resource.deprecation and not response.prepared:
            response.headers.add("Warning", f'299 - "{resource.deprecation}"')
        return response

    def _shape(self, call: Call) -> Representation:
        accepted = negotiate(call.request.headers.get("Accept", ""))
        include = call.request.query.get("includeObject", "")
        return Representation(call.resource, accepted, self._clock.now(), include)

    async def _get(self, call: Call) -> web.StreamResponse:
        shape = self._shape(call)
        if call.resource.group == METRICS:
            return respond(shape.one(self._metrics.get(call.resource, call.namespace, call.info.name)))
        obj = self._registry.get(call.resource, call.namespace, call.info.name)
        if call.info.subresource == "scale":
            return respond(scale_of(call.resource, obj))
        return respond(shape.one(obj))

    async def _list(self, call: Call) -> web.StreamResponse:
        query, shape = call.request.query, self._shape(call)
        check_list_options(query, watch=False)
        if call.resource.group == METRICS:
            selectors = (query.get("labelSelector", ""), call.field_selector)
            return respond(shape.many(self._metrics.list(call.resource, call.namespace, *selectors)))
        result = self._registry.list(
            call.resource,
            call.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=call.field_selector,
            limit=integer(query, "limit") or 0,
            continue_token=query.get("continue", ""),
            resource_version=query.get("resourceVersion", ""),
            resource_version_match=query.get("resourceVersionMatch", ""),
        )
        return respond(shape.many(result))

    async def _watch(self, call: Call) -> web.StreamResponse:
        return await stream_watch(
            call.request,
            self._registry,
            call.resource,
            call.namespace,
            call.field_selector,
            self._shape(call),
            self._clock,
        )

    async def _create(self, call: Call) -> web.StreamResponse:
        shape = self._shape(call)
        obj, options = await self._body(call, "create")
        if call.resource.group in _REVIEW_GROUPS:
            obj = _conform(obj, call.resource.group, call.resource.version, call.resource.kind)
            return respond(self._reviews.answer(call.resource, call.namespace, obj, call.user), 201)
        if call.info.subresource:
            return self._create_subresource(call, obj, options)
        if call.resource.key == "bindings":
            self._bind(call, _conform(obj, "", "v1", "Binding"), options)
            return _created(options)
        return self._create_object(call, obj, options, shape)

    def _create_object(
        self, call: Call, obj: KubeObject, options: WriteOptions, shape: Representation
    ) -> web.Response:
        self._guard(call, options, lambda o: self._registry.create(call.resource, call.namespace, obj, o))
        created = self._registry.create(call.resource, call.namespace, obj, options)
        return respond(shape.one(created), 201, options.warnings)

    def _is_created_by(self, call: Call) -> bool:
        """Is it a PUT that creates, as there is no such object and its kind allows that?"""
        if call.info.subresource or not may_be_put(call.resource):
            return False
        try:
            self._registry.get(call.resource, call.namespace, call.info.name)
        except StatusError:
            return True
        return False

    def _create_subresource(self, call: Call, obj: KubeObject, options: WriteOptions) -> web.Response:
        namespace, name = call.namespace, call.info.name
        if call.info.subresource == "token":
            obj = _conform(obj, *subresource_kind(call.resource, "token"))
            self._registry.admit(token_request(call.resource, namespace, name, obj, options))
            return respond(self._reviews.token_request(namespace, name, obj), 201)
        if call.info.subresource == "eviction":
            self._registry.evict(namespace, name, obj, options)
        else:
            self._bind(call, _conform(obj, "", "v1", "Binding"), options)
        return _created(options)

    def _bind(self, call: Call, obj: KubeObject, options: WriteOptions) -> None:
        """Assign a pod to a node, as a Binding says it. Raises StatusError 400, 404, 409 or 422."""
        metadata, target = obj["metadata"], obj.get("target") or {}
        name = str(metadata.get("name") or "")
        if call.info.subresource and name != call.info.name:
            raise bad_request("name in URL does not match name in Binding object")
        if target.get("kind") not in (None, "", "Node"):
            kinds = 'supported values: "Node", "<empty>"'
            problem = (
                "target.kind",
                "FieldValueNotSupported",
                f'Unsupported value: "{target["kind"]}": {kinds}',
            )
            raise invalid("Binding", "", name, [problem])
        if not target.get("name"):
            raise invalid("Binding", "", name, [("target.name", "FieldValueRequired", "Required value")])
        self._registry.bind(call.namespace, name, str(target["name"]), options, metadata)

    async def _update(self, call: Call) -> web.StreamResponse:
        shape = self._shape(call)
        obj, options = await self._body(call, "update")
        if self._is_created_by(call):
            self._authorizer.check(call.user, call.creation)
            obj["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _OF_THE_OLD}
            return self._create_object(call, obj, options, shape)

        def write(chosen: WriteOptions) -> KubeObject:
            return self._registry.update(
                call.resource,
                call.namespace,
                call.info.name,
                obj,
                subresource=call.info.subresource,
                options=chosen,
            )

        self._guard(call, options, write)
        return respond(shape.one(write(options)), 200, options.warnings)

    async def _patch(self, call: Call) -> web.StreamResponse:
        shape = self._shape(call)
        media = media_type(call.request.headers.get("Content-Type", ""))
        if media not in PATCH_TYPES and not isinstance(call.resource, CustomResource):
            raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})
        options = write_options(call.request.query, "patch", call.user, call.agent, media)
        patch, duplicates = decode(await call.request.read(), media)
        _check_duplicates(call.resource, duplicates, options)
        if media == APPLY_PATCH:
            call.check_applied(patch)

        def write(chosen: WriteOptions) -> tuple[KubeObject, bool]:
            return self._registry.patch(
                call.resource,
                call.namespace,
                call.info.name,
                patch,
                media,
                subresource=call.info.subresource,
                options=chosen,
            )

        self._guard(call, options, lambda chosen: write(chosen)[0])
        patched, created = write(options)
        return respond(shape.one(patched), 201 if created else 200, options.warnings)

    def _guard(self, call: Call, options: WriteOptions, write: Callable[[WriteOptions], KubeObject]) -> None:
        """Try a write of a role or binding dry, and refuse it when it would grant too much."""
        if self._escalation.concerns(call.resource, call.user):
            trial = write(replace(options, dry_run=True, warnings=[]))
            self._escalation.check(call.resource, call.namespace, trial, call.user)

    async def _delete(self, call: Call) -> web.StreamResponse:
        shape = self._shape(call)
        delete, options = delete_options(await self._delete_body(call), call.request.query, call.user)
        obj, gone = self._registry.delete(call.resource, call.namespace, call.info.name, delete, options)
        if not gone or call.resource.key in _RETURNED_WHEN_DELETED:
            return respond(shape.one(obj), 200, options.warnings)
        details = {"name": call.info.name, "group": call.resource.group, "kind": call.resource.plural}
        details["uid"] = obj["metadata"].get("uid", "")
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        kept = {key: value for key, value in details.items() if value}
        return respond(success | {"details": kept}, 200, options.warnings)

    async def _delete_collection(self, call: Call) -> web.StreamResponse:
        shape, query = self._shape(call), call.request.query
        delete, options = delete_options(await self._delete_body(call), query, call.user)
        result = self._registry.delete_collection(
            call.resource,
            call.namespace,
            label_selector=query.get("labelSelector", ""),
            field_selector=call.field_selector,
            delete=delete,
            options=options,
        )
        return respond(shape.many(result), 200, options.warnings)

    async def _delete_body(self, call: Call) -> Any:
        content = await call.request.read()
        return decode(content, call.request.headers.get("Content-Type", ""))[0] if content else None

    async def _body(self, call: Call, verb: str) -> tuple[KubeObject, WriteOptions]:
        options = write_options(call.request.query, verb, call.user, call.agent)
        content_type = call.request.headers.get("Content-Type", "")
        obj, duplicates = decode(await call.request.read(), content_type)
        if not isinstance(obj, dict):
            raise bad_request("the body of the request must be an object")
        _check_duplicates(call.resource, duplicates, options)
        call.check_body(obj)
        return obj, options


def _created(options: WriteOptions) -> web.Response:
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return respond(success, 201, options.warnings)


def _check_duplicates(resource: Resource, duplicates: list[str], options: WriteOptions) -> None:
    if not duplicates or options.field_validation == "Ignore":
        return
    if options.field_validation == "Strict":
        raise strict_error(resource.kind, resource.version, duplicates)
    options.warnings.extend(duplicates)


def _conform(obj: KubeObject, group: str, version: str, kind: str) -> KubeObject:
    """What is answered and not stored, held against its schema as the registry does with the rest."""
    return conform(obj, group, version, kind)[0]
