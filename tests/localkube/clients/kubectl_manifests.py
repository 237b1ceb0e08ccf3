"""Manifests for kubectl's tests."""

from __future__ import annotations

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: pause
        ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
"""

WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.NAMESPACE.example.com}
spec:
  group: NAMESPACE.example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Colour, type: string, jsonPath: .spec.colour, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A widget.
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How big.}
              colour: {type: string, enum: [red, green]}
              parts: {type: array, items: {type: object, properties: {name: {type: string}}}}
          status: {type: object, properties: {size: {type: integer}}}
"""
WIDGET = """
apiVersion: NAMESPACE.example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3, colour: red}
"""

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: runs, labels: {app: x}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: busybox, command: [sh, -c, "echo a-one; echo a-two; exec sleep 1000"]}
  - {name: b, image: busybox, command: [sh, -c, "echo b-one; exec sleep 1000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: crashes, labels: {app: x}}
spec:
  containers: [{name: c, image: busybox, command: [sh, -c, "echo run; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: completes}
spec:
  restartPolicy: Never
  containers: [{name: c, image: busybox, command: [sh, -c, "echo done"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: fails}
spec:
  restartPolicy: Never
  containers: [{name: c, image: busybox, command: [sh, -c, "exit 4"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: inits}
spec:
  terminationGracePeriodSeconds: 0
  initContainers: [{name: i, image: busybox, command: [sleep, "1000"]}]
  containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: initfails}
spec:
  restartPolicy: Never
  initContainers: [{name: i, image: busybox, command: [sh, -c, "exit 1"]}]
  containers: [{name: c, image: busybox, command: [sleep, "1000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: noimage}
spec:
  containers: [{name: c, image: "nosuch/image:9"}]
---
apiVersion: v1
kind: Pod
metadata: {name: noconfig}
spec:
  containers:
  - {name: c, image: busybox, command: [sleep, "1"], envFrom: [{configMapRef: {name: nosuch}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: novolume}
spec:
  volumes: [{name: v, configMap: {name: nosuch}}]
  containers:
  - {name: c, image: busybox, command: [sleep, "1"], volumeMounts: [{name: v, mountPath: /v}]}
---
apiVersion: v1
kind: Pod
metadata: {name: toobig}
spec:
  containers: [{name: c, image: busybox, command: [sleep, "1"], resources: {requests: {cpu: "999"}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: toofat}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: python
    command: [python, -c, "import time; kept = bytearray(120 << 20); time.sleep(1000)"]
    resources: {limits: {memory: 64Mi}}
"""
