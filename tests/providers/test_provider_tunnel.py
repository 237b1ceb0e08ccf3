"""Which doors the tunnel opens, and to which pod a connection goes."""

from __future__ import annotations

from typing import Any

from lab.providers.tunnel import Door, backend, doors

DOOR = Door("shop", "api", "http", 8080)


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "api"}, "spec": spec}


def endpoint_slice(*endpoints: dict[str, Any], port: str = "http") -> dict[str, Any]:
    return {"ports": [{"name": port, "port": 9000}], "endpoints": list(endpoints)}


def endpoint(name: str, **conditions: bool) -> dict[str, Any]:
    return {"targetRef": {"kind": "Pod", "name": name}, "conditions": conditions}


def test_a_door_for_each_tcp_port_with_pods_behind_it() -> None:
    ports = [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"port": 443}]
    assert doors([service(selector={"app": "api"}, ports=ports)]) == [DOOR, Door("shop", "api", "", 443)]
    assert str(DOOR) == "shop/api:8080"


def test_no_door_where_nothing_is_selected() -> None:
    assert doors([service(ports=[{"port": 80}]), service(type="ExternalName", externalName="x.org")]) == []


def test_a_connection_goes_to_a_ready_pod_at_its_own_port() -> None:
    slices = [endpoint_slice(endpoint("a", ready=False)), endpoint_slice(endpoint("b", ready=True))]
    assert backend(slices, DOOR) == ("b", 9000)


def test_a_condition_that_is_not_said_means_ready() -> None:
    assert backend([endpoint_slice(endpoint("a"))], DOOR) == ("a", 9000)


def test_no_pod_without_the_port_and_none_that_is_no_pod() -> None:
    outside = {"addresses": ["192.0.2.1"], "conditions": {"ready": True}}
    assert backend([endpoint_slice(endpoint("a"), port="admin"), endpoint_slice(outside)], DOOR) is None
