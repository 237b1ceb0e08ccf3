"""Before a container starts: its image and all that it refers to must resolve. It is tried until they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.kube.objects import KubeObject
from lab.localkube.images.images import Image
from lab.localkube.images.launch import ContainerInput, Launch, StartError, UnknownImage
from lab.localkube.images.reference import reference_problem
from lab.localkube.kubelet.context import PodContext
from lab.localkube.kubelet.podfields import MissingReference
from lab.localkube.kubelet.stopping import Stopping
from lab.localkube.kubelet.waiting import first_of


class _NoImage(Exception):
    """An image that is not even asked for: the container's `reason`, and that of its first event."""

    def __init__(self, reason: str, event: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.event = event


@dataclass(frozen=True, slots=True)
class Preparation:
    """One container's way to a process.

    spec: the container as it is defined now. resolve: its input; raises MissingReference. waiting: puts
    (reason, message) into its status. event: records (type, reason, message).
    """

    context: PodContext
    spec: Callable[[], KubeObject]
    resolve: Callable[[KubeObject], ContainerInput]
    waiting: Callable[[str, str], None]
    event: Callable[[str, str, str], None]

    @property
    def image(self) -> str:
        """The image's name."""
        return str(self.spec()["image"])

    async def run(self, stopping: Stopping) -> tuple[Launch, ContainerInput] | None:
        """Try until it works, sooner when a ConfigMap or Secret changes; None when it is to stop."""
        node = self.context.node
        delay = node.backoff.base
        pulled = False
        while not stopping.for_good:
            try:
                self._check_name()
                image = self._find()
                resolved = self.resolve(self.spec())
                launch = image.launch(resolved)
                text = f'Container image "{self.image}" already present on machine'
                self.event("Normal", "Pulled", text)
                return launch, resolved
            except _NoImage as error:
                self.waiting(error.reason, str(error))
                self.event("Warning", error.event, str(error))
                self.event("Warning", "Failed", f"Error: {error.reason}")
            except UnknownImage as error:
                self._image_failed(str(error), first=not pulled)
                pulled = True
            except MissingReference as error:
                self._failed("CreateContainerConfigError", str(error))
            except (StartError, OSError) as error:
                self._failed("CreateContainerError", str(error))
            await first_of(node.clock, delay, stopping.requested(), self.context.references.wait())
            delay = min(delay * 2, node.backoff.cap)
        return None

    def _check_name(self) -> None:
        problem = reference_problem(self.image)
        if problem:
            why = f'couldn\'t parse image name "{self.image}": {problem}'
            text = f'Failed to apply default image tag "{self.image}": {why}'
            raise _NoImage("InvalidImageName", "InspectFailed", text)

    def _find(self) -> Image:
        try:
            return self.context.node.images.resolve(self.image)
        except UnknownImage as error:
            if self.spec().get("imagePullPolicy") != "Never":
                raise
            text = f'Container image "{self.image}" is not present with pull policy of Never'
            raise _NoImage("ErrImageNeverPull", "ErrImageNeverPull", text) from error

    def _failed(self, reason: str, why: str) -> None:
        self.waiting(reason, why)
        self.event("Warning", "Failed", f"Error: {why}")

    def _image_failed(self, why: str, *, first: bool) -> None:
        if first:
            self.event("Normal", "Pulling", f'Pulling image "{self.image}"')
            self.waiting("ErrImagePull", why)
            self.event("Warning", "Failed", f'Failed to pull image "{self.image}": {why}')
            self.event("Warning", "Failed", "Error: ErrImagePull")
        else:
            why = f'Back-off pulling image "{self.image}": ErrImagePull: {why}'
            self.waiting("ImagePullBackOff", why)
            self.event("Normal", "BackOff", f'Back-off pulling image "{self.image}"')
            self.event("Warning", "Failed", "Error: ImagePullBackOff")
