"""What POST, PUT and PATCH mean.

    read as its type would → own metadata → defaults → validation → policies → store (not in a dry run)

Source: k8s.io/apiserver/pkg/registry/rest/{create,update}.go and pkg/endpoints/handlers/patch.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from lab.kube import patch as patches
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.schema import Schema
from lab.kube.status import (
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    unsupported_media_type,
)
from lab.kube.strategic import strategic_merge_patch
from lab.localkube.protocols import AdmissionRequest, WriteOptions
from lab.localkube.registry import strategy
from lab.localkube.registry.admission import admit, admit_update
from lab.localkube.registry.applying import apply_intent
from lab.localkube.registry.core import Core
from lab.localkube.registry.custom.objects import complete_custom, read_custom
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.decoding import DecodingError, conform, strict_error, thaw
from lab.localkube.registry.defaults import apply_defaults
from lab.localkube.registry.defaults.workloads import select_own_pods
from lab.localkube.registry.deletion import finalized, require_live_namespace
from lab.localkube.registry.ephemeral import take_ephemeral_containers
from lab.localkube.registry.limit_ranges import check_limits
from lab.localkube.registry.names import generate_name
from lab.localkube.registry.ownership import Manager, fields_of
from lab.localkube.registry.quotas import check_quota
from lab.localkube.registry.scale import apply_scale, scale_of, take_scale
from lab.localkube.registry.schemas import schema_of
from lab.localkube.registry.served import SERVICES
from lab.localkube.registry.tracking import Tracker
from lab.localkube.registry.validation import validate, validate_update

_ATTEMPTS = 8
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_PATCH_TYPES = (
    patches.JSON_PATCH,
    patches.MERGE_PATCH,
    patches.STRATEGIC_MERGE_PATCH,
    patches.APPLY_PATCH,
)


class Writer:
    """Creates and changes objects."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tracker = Tracker(core)

    def create(
        self,
        resource: Resource,
        namespace: str,
        obj: KubeObject,
        options: WriteOptions,
        managers: Sequence[Manager] | None = None,
    ) -> KubeObject:
        """Store a new object. Raises StatusError 400, 403, 404, 409 or 422."""
        new = self._read(resource, obj, options)
        metadata = new["metadata"]
        self._take_namespace(resource, namespace, metadata)
        if metadata.pop("resourceVersion", None):
            raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
        self._take_name(resource, metadata)
        require_live_namespace(self._core, resource, namespace, metadata["name"])
        for field in (*_SERVER_OWNED, "managedFields"):
            metadata.pop(field, None)
        metadata["uid"] = self._core.new_uid()
        metadata["creationTimestamp"] = self._core.timestamp()
        _complete(resource, new)
        self._tracker.own_new(resource, new, options, managers)  # what is filled in from here on is nobody's
        strategy.begin(resource, new)
        admit(self._core, resource, new)
        if resource.key == "jobs.batch":
            select_own_pods(new)
        validate(resource, new)
        self._admit_new(resource, new, options)
        check_limits(self._core, resource, new)
        check_quota(self._core, resource, new)
        if self._core.find(resource, namespace, metadata["name"]) is not None:
            raise already_exists(resource.plural, resource.group, metadata["name"])
        if resource.key == SERVICES.key:
            self._core.addresses.assign(new)
        return self._core.save(resource, new, dry_run=options.dry_run)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: KubeObject,
        subresource: str,
        options: WriteOptions,
    ) -> KubeObject:
        """Replace an object or a part of it. Raises StatusError 400, 404, 409 or 422."""
        old = self._core.need(resource, namespace, name)
        if subresource == "scale":
            self._check_subresource(resource, subresource)
            scaled = take_scale(resource, old, obj)
            return scale_of(resource, self._store_update(resource, old, scaled, "", options, scale=True))
        new = self._read(resource, obj, options)
        self._check_name(new["metadata"], name)
        self._take_namespace(resource, namespace, new["metadata"])
        return self._store_update(resource, old, new, subresource, options)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        subresource: str,
        options: WriteOptions,
    ) -> KubeObject:
        """Change an object by a patch. Raises StatusError 400, 404, 409, 415 or 422."""
        content_type, custom = content_type.split(";")[0].strip(), isinstance(resource, CustomResource)
        known = [each for each in _PATCH_TYPES if each != patches.STRATEGIC_MERGE_PATCH or not custom]
        if content_type not in known:
            raise unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                + ", ".join(known)
            )
        old = self._core.need(resource, namespace, name)
        base = scale_of(resource, old) if subresource == "scale" else old
        patched = self._patched(resource, base, patch, content_type)
        if not isinstance(patched, dict):
            raise bad_request("the patched document is not an object")
        if subresource == "scale" and content_type == patches.STRATEGIC_MERGE_PATCH:
            patched |= {"kind": base["kind"], "apiVersion": base["apiVersion"]}  # it stays a Scale
        if options.field_validation == "Strict" and subresource != "scale":
            self._check_patch(resource, patched, patch)
        self._check_uid_kept(resource, old, patched)
        try:
            return self.update(resource, namespace, name, patched, subresource, options)
        except DecodingError as error:
            shown = orjson.dumps(patched).decode()
            raise _invalid_patch(shown, error.why) from error

    @staticmethod
    def _patched(resource: Resource, base: KubeObject, patch: Any, content_type: str) -> Any:
        try:
            if content_type == patches.JSON_PATCH:
                return patches.json_patch(thaw(base), patch)
            if content_type == patches.MERGE_PATCH:
                if not isinstance(patch, dict):
                    raise patches.MalformedPatchError("error decoding patch: a merge patch is a map")
                return patches.merge_patch(base, patch)
            schema = schema_of(resource)
            return strategic_merge_patch(base, patch, schema)
        except patches.MalformedPatchError as error:
            raise bad_request(str(error)) from error
        except patches.LongPatchError as error:
            raise StatusError(413, "RequestEntityTooLarge", str(error)) from error
        except patches.PatchError as error:
            message = "the server rejected our request due to an error in our request"
            if content_type == patches.STRATEGIC_MERGE_PATCH:
                message = str(error)
            raise StatusError(422, "Invalid", message, details={}) from error

    @staticmethod
    def _check_patch(resource: Resource, patched: KubeObject, patch: Any) -> None:
        _, unknown = _typed(resource, patched)
        if unknown:
            raise _invalid_patch(orjson.dumps(patch).decode(), f"strict decoding error: {', '.join(unknown)}")

    @staticmethod
    def _check_uid_kept(resource: Resource, old: KubeObject, patched: KubeObject) -> None:
        """A PUT with another uid has lost a race; a patch cannot mean that."""
        metadata = patched.get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, dict) else None
        if uid and uid != old["metadata"]["uid"]:
            problem = f'Invalid value: "{uid}": field is immutable'
            causes = [("metadata.uid", "FieldValueInvalid", problem)]
            raise invalid(resource.kind, resource.group, old["metadata"]["name"], causes)

    def _read(
        self, resource: Resource, obj: KubeObject, options: WriteOptions, *, as_sent: bool = False
    ) -> KubeObject:
        """A fresh, typed copy with apiVersion, kind and metadata."""
        if not isinstance(obj, dict):
            raise bad_request("the body is not a Kubernetes object")
        kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or resource.api_version
        if (kind, version) != (resource.kind, resource.api_version):
            raise bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): "
                f"couldn't handle {version}, Kind={kind}"
            )
        new, unknown = _typed(resource, obj, as_sent=as_sent)
        if unknown and options.field_validation == "Strict":
            raise strict_error(resource.kind, resource.version, unknown)
        if options.field_validation == "Warn":
            options.warnings.extend(unknown)
        new.pop("apiVersion", None)
        new.pop("kind", None)
        metadata = new.pop("metadata", None) or {}
        return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, **new}

    @staticmethod
    def _check_name(metadata: KubeObject, name: str) -> None:
        given = metadata.get("name") or name
        if given != name:
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        metadata["name"] = name

    @staticmethod
    def _take_namespace(resource: Resource, namespace: str, metadata: KubeObject) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if not namespace:
            raise bad_request("an empty namespace may not be set during creation")
        if metadata.setdefault("namespace", namespace) not in ("", namespace):
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = namespace

    def _take_name(self, resource: Resource, metadata: KubeObject) -> None:
        if metadata.get("name"):
            return
        base = metadata.get("generateName")
        if not base:
            message = "Required value: name or generateName is required"
            raise invalid(
                resource.kind, resource.group, "", [("metadata.name", "FieldValueRequired", message)]
            )
        for _ in range(_ATTEMPTS):
            name = generate_name(base, self._core.chance)
            if self._core.find(resource, metadata.get("namespace", ""), name) is None:
                break
        metadata["name"] = name

    @staticmethod
    def _check_subresource(resource: Resource, subresource: str) -> None:
        if subresource and subresource not in resource.subresources:
            raise StatusError(404, "NotFound", "the server could not find the requested resource", details={})

    def _store_update(
        self,
        resource: Resource,
        old: KubeObject,
        new: KubeObject,
        subresource: str,
        options: WriteOptions,
        managers: Sequence[Manager] | None = None,
        *,
        scale: bool = False,
    ) -> KubeObject:
        self._check_subresource(resource, subresource)
        self._check_version(resource, old, new)
        if subresource == "status":
            new = strategy.take_status(resource, old, new)
        elif subresource == "finalize":
            new = self._take_finalizers(old, new)
        elif subresource == "ephemeralcontainers":
            new = take_ephemeral_containers(old, new)
        self._own_metadata(old, new)
        if not subresource:
            _complete(resource, new)
            admit_update(self._core, resource, new)
            if resource.key == SERVICES.key:
                self._core.addresses.assign(new, old)
            strategy.carry_over(resource, old, new)
            validate(resource, new, old)
            validate_update(resource, old, new)
        elif subresource == "status" and isinstance(resource, CustomResource):
            _complete(resource, new)
            validate(resource, new, old)
        self._admit_change(resource, old, new, "scale" if scale else subresource, options)
        if not subresource and resource.key in ("services", "persistentvolumeclaims"):
            check_limits(self._core, resource, new)
            check_quota(self._core, resource, new, old)
        if finalized(resource, new):
            return self._core.erase(resource, new, dry_run=options.dry_run)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        self._tracker.own_changes(resource, old, new, "scale" if scale else subresource, options, managers)
        if new == old:
            return old
        return self._core.save(resource, new, dry_run=options.dry_run)

    def _admit_new(self, resource: Resource, new: KubeObject, options: WriteOptions) -> None:
        if not self._core.policies.idle:
            where = (namespace_of(new), name_of(new))
            self._core.policies.admit(AdmissionRequest("CREATE", resource, *where, object=new, write=options))

    def _admit_change(
        self, resource: Resource, old: KubeObject, new: KubeObject, subresource: str, options: WriteOptions
    ) -> None:
        if self._core.policies.idle:
            return
        where, kind = (namespace_of(old), name_of(old)), None
        if subresource == "scale":
            kind, old, new = ("autoscaling", "v1", "Scale"), scale_of(resource, old), scale_of(resource, new)
        self._core.policies.admit(
            AdmissionRequest("UPDATE", resource, *where, subresource, kind, new, old, options)
        )

    def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        intent: Any,
        subresource: str,
        options: WriteOptions,
    ) -> tuple[KubeObject, bool]:
        """Server-side apply; True when it created the object.

        Raises StatusError 400, 404, 409, 415 or 422.
        """
        schema = schema_of(resource)
        if schema is None or subresource not in ("", "status", "scale"):
            raise unsupported_media_type(f"apply is not supported by {resource.plural}/{subresource}")
        if not options.field_manager:
            message = "Required value: is required for apply patch"
            raise invalid(
                "PatchOptions", "meta.k8s.io", "", [("fieldManager", "FieldValueRequired", message)]
            )
        if subresource == "scale":
            return self._apply_scale(resource, namespace, name, intent, schema, options), False
        wanted = self._read(resource, intent, options, as_sent=True)
        metadata = wanted["metadata"]
        if metadata.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        self._check_name(metadata, name)
        self._take_namespace(resource, namespace, metadata)
        author = self._tracker.author(resource, options.field_manager, "Apply", subresource)
        old = self._core.find(resource, namespace, name)
        if old is None:
            if subresource or metadata.get("uid"):
                self._core.need(resource, namespace, name)
            managers = [replace(author, paths=frozenset(fields_of(wanted, schema, "")))]
            return self.create(resource, namespace, wanted, options, managers), True
        version = metadata.pop("resourceVersion", "")
        applied = apply_intent(old, wanted, schema, author, force=options.force)
        merged, _ = _typed(resource, applied.obj)
        merged["metadata"]["resourceVersion"] = version or old["metadata"]["resourceVersion"]
        return self._store_update(resource, old, merged, subresource, options, applied.managers), False

    def _apply_scale(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        intent: KubeObject,
        schema: Schema,
        options: WriteOptions,
    ) -> KubeObject:
        scale, unknown = conform(intent, "autoscaling", "v1", "Scale", as_sent=True)
        if unknown and options.field_validation == "Strict":
            raise strict_error("Scale", "v1", unknown)
        if options.field_validation == "Warn":
            options.warnings.extend(unknown)
        self._check_name(scale.setdefault("metadata", {}), name)
        old = self._core.need(resource, namespace, name)
        author = self._tracker.author(resource, options.field_manager, "Apply", "scale")
        applied = apply_scale(resource, old, scale, schema, author, force=options.force)
        new, _ = _typed(resource, applied.obj)
        new["metadata"]["resourceVersion"] = scale["metadata"].get("resourceVersion", "")
        done = self._store_update(resource, old, new, "", options, applied.managers, scale=True)
        return scale_of(resource, done)

    @staticmethod
    def _check_version(resource: Resource, old: KubeObject, new: KubeObject) -> None:
        name = old["metadata"]["name"]
        version = new["metadata"].get("resourceVersion")
        if not version and strategy.needs_version_on_update(resource):
            message = "Invalid value: 0x0: must be specified for an update"
            raise invalid(
                resource.kind,
                resource.group,
                name,
                [("metadata.resourceVersion", "FieldValueInvalid", message)],
            )
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, resource.group, name)
        uid = new["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            mine = old["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {mine}"
            raise conflict(resource.plural, resource.group, name, why)

    @staticmethod
    def _take_finalizers(old: KubeObject, new: KubeObject) -> KubeObject:
        finalizers = (new.get("spec") or {}).get("finalizers") or []
        spec = {k: v for k, v in (old.get("spec") or {}).items() if k != "finalizers"}
        return old | {
            "metadata": dict(old["metadata"]),
            "spec": spec | ({"finalizers": finalizers} if finalizers else {}),
        }

    @staticmethod
    def _own_metadata(old: KubeObject, new: KubeObject) -> None:
        for field in (*_SERVER_OWNED, "generation", "generateName"):
            if field in old["metadata"]:
                new["metadata"][field] = old["metadata"][field]
            else:
                new["metadata"].pop(field, None)
        for field in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not new["metadata"].get(field):
                new["metadata"].pop(field, None)


def _invalid_patch(shown: str, why: str) -> StatusError:
    problem = f'Invalid value: "{shown}": {why}'
    return invalid("", "", "", [("patch", "FieldValueInvalid", problem)])


def _typed(resource: Resource, obj: KubeObject, *, as_sent: bool = False) -> tuple[KubeObject, list[str]]:
    """A fresh copy of an object as its kind holds it, and what it does not know. Raises StatusError 400."""
    if isinstance(resource, CustomResource):
        return read_custom(resource, obj)
    return conform(obj, resource.group, resource.version, resource.kind, as_sent=as_sent)


def _complete(resource: Resource, obj: KubeObject) -> None:
    if isinstance(resource, CustomResource):
        complete_custom(resource, obj)
    else:
        apply_defaults(resource.key, obj)
