"""Bodies that are too large, too deep or none at all are refused, cost little, and leave the server well."""

from __future__ import annotations

import gzip
import json

import pytest
from localkube_process import Served
from security_wire import CONFIG_MAPS, JSON, YAML, Wire

MEBIBYTE = 1024 * 1024
_NINE = ",".join(["x"] * 9)
BOMB = f"a: &a [{_NINE}]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [*{chr(97 + i)}, *{chr(97 + i)}]}}\n" for i in range(24)
)


def nested(depth: int, opening: str, closing: str) -> str:
    return f'{{"metadata":{{"name":"x"}},"x":{opening * depth}1{closing * depth}}}'


REFUSED = {
    "nothing": (JSON, b"", 400),
    "a number": (JSON, b"1", 400),
    "a list": (JSON, b"[]", 400),
    "half of an object": (JSON, b'{"metadata":{"name":"x"', 400),
    "two objects": (JSON, b"{}{}", 400),
    "not a number": (JSON, b'{"metadata":{"name":"x"},"data":{"a":NaN}}', 400),
    "no UTF-8": (JSON, b'{"metadata":{"name":"\xff"}}', 400),
    "half of a pair": (JSON, b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', 400),
    "a byte order mark": (JSON, b'\xef\xbb\xbf{"metadata":{"name":"x"}}', 400),
    "maps in maps": (JSON, nested(20_000, '{"a":', "}").encode(), 400),
    "lists in lists": (JSON, nested(200_000, "[", "]").encode(), 400),
    "zipped": (JSON, gzip.compress(b'{"metadata":{"name":"x"}}'), 400),
    "more than three mebibytes": (JSON, b'{"x":"' + b"y" * (3 * MEBIBYTE) + b'"}', 413),
    "more data than a ConfigMap has": (
        JSON,
        json.dumps({"metadata": {"name": "x"}, "data": {"a": "y" * (MEBIBYTE + 1)}}).encode(),
        422,
    ),
    "long annotations": (
        JSON,
        json.dumps({"metadata": {"name": "x", "annotations": {"a": "y" * (MEBIBYTE // 4)}}}).encode(),
        422,
    ),
    "aliases of aliases": (YAML, BOMB.encode(), 400),
    "merges of merges": (YAML, MERGES.encode(), 400),
    "an alias in itself": (YAML, b"a: &a {b: *a}", 400),
    "YAML that is deep": (YAML, b"a: " + b"[" * 50_000, 400),
    "YAML with a tag of Python": (YAML, b"a: !!python/object/apply:os.getcwd []", 400),
    "YAML with a list as key": (YAML, b"{? [a] : b}", 400),
    "YAML with a set": (YAML, b"metadata: {name: x}\ndata: !!set {a}", 400),
    "YAML with no number": (YAML, b"metadata: {name: x}\ndata: {a: .nan}", 400),
    "YAML with a control character": (YAML, b"a: \x00", 400),
    "protobuf that is none": ("application/vnd.kubernetes.protobuf", b"k8s\x00\xff\xff\xff\xff\x0f", 400),
    "another type": ("text/html", b"{}", 415),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_is_refused(wire: Wire, name: str) -> None:
    content_type, body, code = REFUSED[name]
    answer = wire.ask("POST", CONFIG_MAPS, body, content_type)
    assert (answer.code, answer.status["kind"], answer.status["code"]) == (code, "Status", code)
    assert "Traceback" not in answer.status["message"]


def test_a_zipped_bomb_is_not_unpacked(attacked: Served, wire: Wire) -> None:
    bomb = gzip.compress(b" " * (32 * MEBIBYTE), 1)
    before = resident(attacked.process.pid)
    answer = wire.ask("POST", CONFIG_MAPS, bomb, headers={"Content-Encoding": "gzip"})
    assert answer.code == 400
    assert resident(attacked.process.pid) - before < 16 * MEBIBYTE


def resident(pid: int) -> int:
    """Bytes of memory that a process has held at most."""
    with open(f"/proc/{pid}/status") as lines:
        peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


def test_what_yaml_has_and_json_has_not(wire: Wire) -> None:
    body = "metadata: {name: yaml-values}\ndata: {2: a, true: b, c: 22:22, d: !!binary aGk=}"
    made = wire.ask("POST", f"{CONFIG_MAPS}?dryRun=All", body, YAML)
    assert made.code == 201
    assert made.status["data"] == {"2": "a", "true": "b", "c": "22:22", "d": "hi"}


@pytest.mark.parametrize("content_type", [JSON, YAML])
@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "9" * 25, "9" * 400, "1e300", "0.5"])
def test_numbers_that_do_not_fit(wire: Wire, content_type: str, number: str) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments?dryRun=All"
    body = f'{{"metadata": {{"name": "x"}}, "spec": {{"replicas": {number}}}}}'
    answer = wire.ask("POST", path, body if content_type == JSON else f"# not JSON\n{body}", content_type)
    assert answer.code == 400
    assert "Traceback" not in answer.status["message"]


@pytest.mark.parametrize(
    "query",
    [
        "resourceVersion=" + "9" * 30,
        "resourceVersion=" + "9" * 5_000,
        "resourceVersion=%D9%A3",
        "resourceVersion=-1",
        "limit=" + "9" * 30,
        "limit=1_0",
        "watch=1&timeoutSeconds=" + "9" * 300,
        "continue=" + "A" * 1_000,
    ],
)
def test_numbers_of_a_query_that_do_not_fit(wire: Wire, query: str) -> None:
    assert wire.ask("GET", f"{CONFIG_MAPS}?{query}").code == 400


def test_a_field_that_comes_twice(wire: Wire) -> None:
    body = '{"metadata":{"name":"twice","name":"thrice"}}'
    strict = wire.ask("POST", f"{CONFIG_MAPS}?dryRun=All&fieldValidation=Strict", body)
    assert strict.code == 400
    assert 'duplicate field "metadata.name"' in strict.status["message"]
    assert wire.ask("POST", f"{CONFIG_MAPS}?dryRun=All", body).status["metadata"]["name"] == "thrice"


def test_long_selectors_and_headers_are_read_and_endless_ones_are_not(wire: Wire) -> None:
    selector = ",".join(f"k{number}!=v" for number in range(3_000))
    assert wire.ask("GET", f"{CONFIG_MAPS}?labelSelector={selector}").code == 200
    assert wire.ask("GET", CONFIG_MAPS, headers={"X-Long": "y" * 30_000}).code == 200
    assert wire.ask("GET", CONFIG_MAPS, headers={"X-Long": "y" * 100_000}).code == 400
    assert wire.ask("GET", CONFIG_MAPS, headers={f"X-{n}": "y" for n in range(500)}).code == 400


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x01\x02 garbage\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400(wire: Wire, head: bytes) -> None:
    assert b" 400 " in wire.say(head).splitlines()[0]


def test_a_body_that_never_ends_holds_nobody_up(wire: Wire) -> None:
    head = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.token}\r\n"
    slow = [wire.connect() for _ in range(12)]
    try:
        for number, connection in enumerate(slow):
            if number % 2:
                connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
            else:
                connection.sendall(head.encode())
        assert wire.ask("GET", CONFIG_MAPS).code == 200
    finally:
        for connection in slow:
            connection.close()
    assert wire.ask("GET", CONFIG_MAPS).code == 200
