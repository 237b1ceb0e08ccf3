"""The API server accepts requests and never answers."""

from __future__ import annotations

from lab.faults.api_fault import ApiFault, api_spec


class ApiHang(ApiFault):
    """A request hangs until its client gives up, or the fault ends and the connection with it."""

    spec = api_spec(
        "api-hang",
        "The Kubernetes API accepts a request and never answers; the request is not carried out.",
    )
