"""What every operation of the registry needs: the store in served form, time, chance and addresses."""

from __future__ import annotations

import random
import uuid
from datetime import datetime

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.status import not_found
from lab.localkube.registry.addresses import AddressBook
from lab.localkube.registry.custom.table import CustomResources
from lab.localkube.registry.policies.policies import Policies
from lab.localkube.registry.served import NAMESPACES, SERVICES, all_served, storage_of
from lab.localkube.store.store import Store

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Core:
    """Shared by the reading, writing and deleting halves of the registry."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        addresses: AddressBook,
        chance: random.Random,
        toleration_seconds: int,
    ) -> None:
        self.store = store
        self.clock = clock
        self.addresses = addresses
        self.chance = chance
        self.toleration_seconds = toleration_seconds
        self.custom = CustomResources(store, all_served())
        self.policies = Policies(store)

    def now(self) -> datetime:
        """The instant, in UTC."""
        return self.clock.now()

    def timestamp(self) -> str:
        """The instant as metadata carries it: RFC 3339, whole seconds."""
        return self.clock.now().strftime(TIME_FORMAT)

    def new_uid(self) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def find(self, resource: Resource, namespace: str, name: str) -> KubeObject | None:
        """The object in the resource's form, or None."""
        storage = storage_of(resource)
        obj = self.store.get(storage.key, namespace if resource.namespaced else "", name)
        return None if obj is None else storage.read(obj)

    def need(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """The object in the resource's form. Raises StatusError 404."""
        obj = self.find(resource, namespace, name)
        if obj is None:
            raise not_found(resource.plural, resource.group, name)
        return obj

    def namespace(self, name: str) -> KubeObject | None:
        """The Namespace object, or None."""
        return self.find(NAMESPACES, "", name)

    def save(self, resource: Resource, obj: KubeObject, *, dry_run: bool) -> KubeObject:
        """Store an object that nobody will touch again; a dry run only hands it back."""
        if dry_run:
            return obj
        storage = storage_of(resource)
        namespace, name = namespace_of(obj), name_of(obj)
        if resource.key == SERVICES.key:
            old = self.store.get(storage.key, namespace, name)
            if old is not None:
                self.addresses.release(old)
            self.addresses.claim(obj)
        return storage.read(self.store.write(storage.key, namespace, name, storage.write(obj)))

    def erase(self, resource: Resource, last: KubeObject, *, dry_run: bool) -> KubeObject:
        """Remove an object whose final state is `last`, which nobody will touch again."""
        if dry_run:
            return last
        storage = storage_of(resource)
        if resource.key == SERVICES.key:
            self.addresses.release(last)
        removed = self.store.remove(storage.key, namespace_of(last), name_of(last), storage.write(last))
        return storage.read(removed)
