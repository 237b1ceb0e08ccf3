"""Defaults, validation, immutable fields, addresses."""

import base64
import contextlib

import pytest
from registry_manifests import (
    BUDGETS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    SECRETS,
    SERVICES,
    budget,
    container,
    deployment,
    job,
    pod,
    service,
)

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.registry import open_registry

MERGE = "application/merge-patch+json"
CRON_JOBS = builtin("cronjobs")
STATEFUL_SETS = builtin("statefulsets")
ROLES = builtin("roles")
ROLE_BINDINGS = builtin("rolebindings")


def with_container(**more: object) -> dict:
    return pod(containers=[container(**more)])


def template(**spec: object) -> dict:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]} | spec}


PROBE = {"exec": {"command": ["true"]}}
SLEEP = {"preStop": {"sleep": {"seconds": 31}}}
HEADERS = [{"name": "X Y", "value": ""}]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"initContainers": [container(name="i", livenessProbe=PROBE)]},
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without "
            "restartPolicy=Always",
        ),
        (
            {"initContainers": [container(name="i", restartPolicy="Never")]},
            'spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        (
            {"containers": [container(restartPolicy="Always")]},
            "spec.containers[0].restartPolicy: Forbidden: may not be set for non-init containers",
        ),
        (
            {"containers": [container(lifecycle=SLEEP)]},
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and "
            "less than terminationGracePeriodSeconds (30)",
        ),
        (
            {"containers": [container(readinessProbe=PROBE | {"terminationGracePeriodSeconds": 1})]},
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be "
            "set for readinessProbes",
        ),
        (
            {"containers": [container(livenessProbe=PROBE | {"terminationGracePeriodSeconds": 0})]},
            "livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            {"containers": [container(livenessProbe={"httpGet": {"port": 80, "httpHeaders": HEADERS}})]},
            'livenessProbe.httpGet.httpHeaders: Invalid value: "X Y": a valid HTTP header must consist of '
            "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
            "'[-A-Za-z0-9]+')",
        ),
        (
            {"containers": [container(livenessProbe={"grpc": {"port": 0}})]},
            "livenessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
    ],
)
def test_probes_and_hooks_are_for_those_who_may_have_them(registry, spec: dict, said: str) -> None:
    with pytest.raises(StatusError) as refused:
        registry.create(PODS, "default", pod(**spec))
    assert refused.value.code == 422
    assert said in refused.value.message


def test_deployment_defaults(registry) -> None:
    spec = registry.create(DEPLOYMENTS, "default", deployment())["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    assert spec["template"]["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "toil-lab:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_container_defaults(registry) -> None:
    obj = with_container(
        image="x",
        ports=[{"containerPort": 80}],
        readinessProbe={"httpGet": {"port": 80}},
        env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        resources={"limits": {"cpu": "0.5", "memory": "1024Mi"}},
    )
    made = registry.create(PODS, "default", obj)
    found = made["spec"]["containers"][0]
    assert found["imagePullPolicy"] == "Always"
    assert found["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert found["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert found["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert found["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert made["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}


def test_pods_get_a_service_account_and_its_token(registry) -> None:
    spec = registry.create(PODS, "default", pod())["spec"]
    assert spec["serviceAccountName"] == "default"
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [volume["name"] for volume in spec["volumes"]] == [mount["name"]]
    assert {toleration["tolerationSeconds"] for toleration in spec["tolerations"]} == {300}
    without = registry.create(PODS, "default", pod("q", automountServiceAccountToken=False))["spec"]
    assert "volumes" not in without
    with pytest.raises(StatusError, match='serviceaccount "robot" not found') as caught:
        registry.create(PODS, "default", pod("r", serviceAccountName="robot"))
    assert caught.value.code == 403


def test_how_long_pods_stay_on_a_lost_node_is_the_clusters_choice(tmp_path, clock) -> None:
    registry = open_registry(tmp_path / "other", clock=clock, service_range=[], toleration_seconds=5)
    with contextlib.closing(registry):
        own = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 7}
        own["operator"] = "Exists"
        made = registry.create(PODS, "default", pod(tolerations=[own]))
        assert [each["tolerationSeconds"] for each in made["spec"]["tolerations"]] == [7, 5]
        without = made | {"spec": made["spec"] | {"tolerations": [own]}}
        assert registry.update(PODS, "default", "p", without)["spec"] == made["spec"]


def test_other_defaults(registry) -> None:
    made = registry.create(SERVICES, "default", service())["spec"]
    assert made["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (made["type"], made["sessionAffinity"], made["internalTrafficPolicy"]) == (
        "ClusterIP",
        "None",
        "Cluster",
    )
    secret = registry.create(SECRETS, "default", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert secret["data"] == {"a": base64.b64encode(b"b").decode()}
    assert "stringData" not in secret
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}],
    }
    bound = registry.create(ROLE_BINDINGS, "default", binding)
    assert bound["roleRef"]["apiGroup"] == bound["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    cron = {
        "metadata": {"name": "c"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job()["spec"]}},
    }
    spec = registry.create(CRON_JOBS, "default", cron)["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"], spec["failedJobsHistoryLimit"]) == ("Allow", False, 1)


@pytest.mark.parametrize(
    ("resource", "obj", "field", "message"),
    [
        (PODS, pod("UPPER"), "metadata.name", "a lowercase RFC 1123 subdomain"),
        (PODS, pod(labels={"a b": "c"}), "metadata.labels", "name part must consist"),
        (PODS, pod(labels={"a": "-"}), "metadata.labels", "a valid label must be"),
        (PODS, pod(containers=[]), "spec.containers", "Required value"),
        (PODS, pod(containers=[container(), container()]), "spec.containers[1].name", 'Duplicate value: "c"'),
        (PODS, with_container(image=""), "spec.containers[0].image", "Required value"),
        (PODS, with_container(name="C"), "spec.containers[0].name", "a lowercase RFC 1123 label"),
        (
            PODS,
            with_container(imagePullPolicy="No"),
            "spec.containers[0].imagePullPolicy",
            "Unsupported value",
        ),
        (
            PODS,
            with_container(ports=[{"containerPort": 70_000}]),
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (PODS, with_container(env=[{"value": "x"}]), "spec.containers[0].env[0].name", "Required value"),
        (
            PODS,
            with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "v"',
        ),
        (
            PODS,
            with_container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            PODS,
            with_container(resources={"limits": {"cpu": "lots"}}),
            "spec.containers[0].resources.limits[cpu]",
            "quantities must match the regular expression",
        ),
        (
            PODS,
            with_container(livenessProbe={"periodSeconds": 1}),
            "spec.containers[0].livenessProbe",
            "Required value: must specify a handler type",
        ),
        (PODS, pod(restartPolicy="Sometimes"), "spec.restartPolicy", 'Unsupported value: "Sometimes"'),
        (PODS, pod(volumes=[{"name": "a"}, {"name": "a"}]), "spec.volumes[1].name", "Duplicate value"),
        (
            DEPLOYMENTS,
            deployment(selector={"matchLabels": {"app": "other"}}),
            "spec.template.metadata.labels",
            'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        ),
        (DEPLOYMENTS, deployment(selector=None), "spec.selector", "Required value"),
        (DEPLOYMENTS, deployment(selector={}), "spec.selector", "empty selector is invalid for deployment"),
        (DEPLOYMENTS, deployment(replicas=-1), "spec.replicas", "must be greater than or equal to 0"),
        (
            DEPLOYMENTS,
            deployment(template=template(restartPolicy="Never")),
            "spec.template.spec.restartPolicy",
            'Unsupported value: "Never": supported values: "Always"',
        ),
        (
            DEPLOYMENTS,
            deployment(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}),
            "spec.strategy.rollingUpdate.maxUnavailable",
            "Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            DEPLOYMENTS,
            deployment(strategy={"type": "Recreate", "rollingUpdate": {}}),
            "spec.strategy.rollingUpdate",
            "Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            JOBS,
            {"metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [container()]}}}},
            "spec.template.spec.restartPolicy",
            'Required value: valid values: "OnFailure", "Never"',
        ),
        (
            CRON_JOBS,
            {"metadata": {"name": "c"}, "spec": {"schedule": "1 2", "jobTemplate": {"spec": job()["spec"]}}},
            "spec.schedule",
            "expected exactly 5 fields, found 2: [1 2]",
        ),
        (SERVICES, service("9x"), "metadata.name", "a DNS-1035 label"),
        (SERVICES, service(ports=[]), "spec.ports", "Required value"),
        (SERVICES, service(ports=[{"port": 1}, {"port": 2}]), "spec.ports[0].name", "Required value"),
        (SERVICES, service(type="Magic"), "spec.type", "Unsupported value"),
        (SERVICES, service(clusterIP="10.0.0.1"), "spec.clusterIPs", "is not in the valid range"),
        (CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"a/b": "x"}}, "data[a/b]", "a valid config key"),
        (CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"..": "x"}}, "data[..]", "must not be '..'"),
        (CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"..x": "x"}}, "data[..x]", "must not start with"),
        (SECRETS, {"metadata": {"name": "s"}, "data": {"..y": "eA=="}}, "data[..y]", "must not start with"),
        (SECRETS, {"metadata": {"name": "s"}, "data": {"a": "%%"}}, "data[a]", "illegal base64 data"),
        (
            SECRETS,
            {"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            "data[tls.key]",
            "Required value",
        ),
        (BUDGETS, budget(minAvailable=1, maxUnavailable=1), "spec", "cannot be both set"),
        (
            ROLES,
            {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"]}]},
            "rules[0].apiGroups",
            "Required value",
        ),
        (
            ROLE_BINDINGS,
            {"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": ""}},
            "roleRef.name",
            "Required value",
        ),
    ],
)
def test_invalid_objects_name_the_field(registry, resource, obj, field, message) -> None:
    with pytest.raises(StatusError) as caught:
        registry.create(resource, "default", obj)
    error = caught.value
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.details["kind"] == resource.kind
    causes = {cause["field"]: cause["message"] for cause in error.details["causes"]}
    assert message in causes.get(field, f"no cause for {field}: {causes}")
    assert error.message.startswith(f'{resource.kind}{"." + resource.group if resource.group else ""} "')


def test_every_problem_is_reported_at_once(registry) -> None:
    with pytest.raises(StatusError) as caught:
        registry.create(PODS, "default", pod("BAD", containers=[{"name": "X"}], restartPolicy="?"))
    assert [cause["field"] for cause in caught.value.details["causes"]] == [
        "metadata.name",
        "spec.containers[0].name",
        "spec.containers[0].image",
        "spec.restartPolicy",
    ]


@pytest.mark.parametrize(
    ("resource", "obj", "patch", "field", "message"),
    [
        (
            DEPLOYMENTS,
            deployment(),
            {
                "spec": {
                    "selector": {"matchLabels": {"app": "b"}},
                    "template": {"metadata": {"labels": {"app": "b"}}},
                }
            },
            "spec.selector",
            "field is immutable",
        ),
        (
            PODS,
            pod(),
            {"spec": {"hostNetwork": True}},
            "spec",
            "pod updates may not change fields other than",
        ),
        (
            PODS,
            pod(),
            {"spec": {"containers": [container(), container(name="d")]}},
            "spec.containers",
            "may not add or remove containers",
        ),
        (JOBS, job(), {"spec": {"completions": 5}}, "spec.completions", "field is immutable"),
        (
            SERVICES,
            service(),
            {"spec": {"clusterIP": "10.0.0.9"}},
            "spec.clusterIPs[0]",
            "may not change once set",
        ),
        (
            CONFIG_MAPS,
            {"metadata": {"name": "web"}, "data": {"a": "b"}, "immutable": True},
            {"data": {"a": "c"}},
            "data",
            "field is immutable when `immutable` is set",
        ),
        (SECRETS, {"metadata": {"name": "web"}}, {"type": "other"}, "type", "field is immutable"),
        (
            STATEFUL_SETS,
            deployment() | {"kind": "StatefulSet"},
            {"spec": {"serviceName": "x"}},
            "spec",
            "updates to statefulset spec for fields other than",
        ),
        (
            ROLE_BINDINGS,
            {"metadata": {"name": "web"}, "roleRef": {"kind": "Role", "name": "r"}},
            {"roleRef": {"name": "s"}},
            "roleRef",
            "cannot change roleRef",
        ),
    ],
)
def test_what_cannot_change(registry, resource, obj, patch, field, message) -> None:
    name = registry.create(resource, "default", obj)["metadata"]["name"]
    with pytest.raises(StatusError) as caught:
        registry.patch(resource, "default", name, patch, MERGE)
    assert caught.value.code == 422
    causes = {cause["field"]: cause["message"] for cause in caught.value.details["causes"]}
    assert message in causes.get(field, f"no cause for {field}: {causes}")


def test_what_may_change_of_a_pod(registry) -> None:
    registry.create(PODS, "default", pod())
    toleration = {"key": "a", "operator": "Exists"}
    strategic = "application/strategic-merge-patch+json"
    patch = {"spec": {"containers": [{"name": "c", "image": "new:2"}], "activeDeadlineSeconds": 9}}
    changed, _ = registry.patch(PODS, "default", "p", patch, strategic)
    assert changed["spec"]["containers"][0]["image"] == "new:2"
    more = [*changed["spec"]["tolerations"], toleration]
    changed, _ = registry.patch(PODS, "default", "p", {"spec": {"tolerations": more}}, MERGE)
    assert changed["spec"]["tolerations"][-1] == toleration


def addresses(registry) -> dict[str, str]:
    return {s["metadata"]["name"]: s["spec"].get("clusterIP", "") for s in registry.list(SERVICES).items}


def test_cluster_addresses_are_unique_kept_and_given_back(registry, reopen) -> None:
    for name in ("a", "b"):
        registry.create(SERVICES, "default", service(name))
    registry.create(SERVICES, "default", service("headless", clusterIP="None"))
    registry.create(SERVICES, "default", service("chosen", clusterIP="127.9.200.5"))
    registry.create(SERVICES, "default", service("out", type="ExternalName", externalName="example.com"))
    expected = {
        "a": "127.9.200.1",
        "b": "127.9.200.2",
        "headless": "None",
        "chosen": "127.9.200.5",
        "out": "",
    }
    assert addresses(registry) == expected
    again = reopen()
    assert addresses(again) == expected
    changed = service("a", ports=[{"port": 81}])
    assert again.update(SERVICES, "default", "a", changed)["spec"]["clusterIPs"] == ["127.9.200.1"]
    with pytest.raises(StatusError, match="provided IP is already allocated"):
        again.create(SERVICES, "default", service("d", clusterIP="127.9.200.5"))
    again.delete(SERVICES, "default", "b")
    given = [again.create(SERVICES, "default", service(f"n{n}"))["spec"]["clusterIP"] for n in range(6)]
    assert given == [f"127.9.200.{last}" for last in (6, 7, 8, 2, 3, 4)]
    with pytest.raises(StatusError, match="range is full") as caught:
        again.create(SERVICES, "default", service("full"))
    assert caught.value.code == 500


def test_a_dry_run_spends_no_address(registry) -> None:
    first = registry.create(SERVICES, "default", service("a"), WriteOptions(dry_run=True))
    second = registry.create(SERVICES, "default", service("b"))
    assert first["spec"]["clusterIP"] == second["spec"]["clusterIP"]


def test_node_ports_are_given_and_kept(registry) -> None:
    spec = {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}
    made = registry.create(SERVICES, "default", service(**spec))
    ports = [port["nodePort"] for port in made["spec"]["ports"]]
    assert ports == [30_000, 30_001]
    same = registry.update(SERVICES, "default", "web", service(**spec))
    assert [port["nodePort"] for port in same["spec"]["ports"]] == ports
    inner, _ = registry.patch(SERVICES, "default", "web", {"spec": {"type": "ClusterIP"}}, MERGE)
    assert all("nodePort" not in port for port in inner["spec"]["ports"])
    assert "externalTrafficPolicy" not in inner["spec"]
    assert inner["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    patch = {"spec": {"type": "ExternalName", "externalName": "example.com"}}
    outer, _ = registry.patch(SERVICES, "default", "web", patch, MERGE)
    assert "clusterIP" not in outer["spec"]
