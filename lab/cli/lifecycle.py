"""up, down, reset, status, env, logs: the lab itself."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.cli.contents import (
    OWN,
    Extras,
    Nodes,
    Prometheus,
    Retain,
    Starts,
    Toil,
    Workers,
    hour_of,
    made_of,
)
from lab.cli.options import DEFAULT_NAME, Hour, Json, Name, Seed
from lab.cli.output import OUTPUT
from lab.cli.placement import Context, ContextAgain, Image, Kubeconfig, NodeImage, Provider, Registry, placed
from lab.core import interrupt
from lab.core.audit import Mode
from lab.core.staffing import DEAR, PARTITIONS
from lab.engine import bringup
from lab.engine import lab as labs
from lab.engine.program import program_state
from lab.engine.providers import provider_of
from lab.engine.settings import LabSettings
from lab.errors import LabError, NotReadyError, UsageError
from lab.kube.objects import name_of, namespace_of
from lab.providers.kind_ready import kind_is_ready

PARTS = {
    "api": "shop", "payments": "shop", "worker": "shop", "load": "shop", "db": "shop", "logstore": "shop",
    "gateway": "lab-system", "pager": "lab-system", "oncall": "lab-system", "faults": "lab-system",
    "prometheus": "lab-system", "dashboard": "lab-system", "automation": "automation",
    "alertmanager": "lab-system", "grafana": "lab-system",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(up)
    app.command()(down)
    app.command()(reset)
    app.command()(status)
    app.command()(env)
    app.command()(logs)


def up(
    name: Name = DEFAULT_NAME,
    seed: Seed = 1,
    hour: Hour = "60s",
    toil: Toil = "recurring",
    provider: Provider = "local",
    extras: Extras = "",
    workers: Workers = PARTITIONS,
    starts: Starts = DEAR,
    nodes: Nodes = 1,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    context_again: ContextAgain = "",
    image: Image = "",
    node_image: NodeImage = "",
    registry: Registry = "",
    prometheus: Prometheus = OWN,
    retain: Retain = False,
    json: Json = False,
) -> None:
    """Start a lab and return when every part of it is ready."""
    settings = LabSettings(name, seed, hour_of(hour), provider, toil, extras, workers, starts, nodes)
    settings = placed(settings, provider, kubeconfig, context, context_again, image, node_image, registry)
    settings = made_of(settings, prometheus)
    labs.remove_orphans()
    with labs.exclusive(labs.lab_directory(name)):
        existing = running(name)
        if existing is not None:
            _already_up(existing, settings)
            return
        started = time.monotonic()
        with OUTPUT.progress("up") as bar:
            lab = bringup.bring_up(settings, progress=bar, retain=retain)
        seconds = time.monotonic() - started
    OUTPUT.text(f"lab {name!r} is up ({seconds:.1f} s): {lab.cluster.server}")
    OUTPUT.next_step("lab exercises", "lab status", 'eval "$(lab env)"')
    if lab.settings.provider == "local" and kind_is_ready(os.environ):
        OUTPUT.say("kind is ready here: lab up --provider kind gives the same lab on a real cluster")
    OUTPUT.done(_facts(lab) | {"seconds": round(seconds, 2)})


def running(name: str) -> labs.Lab | None:
    """The lab of that name if it is up."""
    try:
        return labs.open_lab(name)
    except NotReadyError:
        return None


def _already_up(lab: labs.Lab, wanted: LabSettings) -> None:
    if lab.settings != wanted:
        differing = [key for key, value in asdict(wanted).items() if asdict(lab.settings)[key] != value]
        raise UsageError(
            f"the lab {lab.name!r} is up already, with other settings: {', '.join(differing)}",
            hint="lab reset with the wanted options, lab down first, or --name for a second lab",
        )
    OUTPUT.text(f"lab {lab.name!r} is up already: {lab.cluster.server}")
    OUTPUT.next_step("lab status", "lab reset", "lab down")
    OUTPUT.done(_facts(lab))


def _facts(lab: labs.Lab) -> dict[str, Any]:
    return {
        "name": lab.name,
        "server": lab.cluster.server,
        "kubeconfig": str(lab.kubeconfig),
        "settings": asdict(lab.settings),
    }


def _say_what_goes(directory: Path) -> None:
    """Show what is taken out of a cluster that others use."""
    record = labs.read_record(directory)
    if record is None:
        return
    provider = provider_of(record.settings)
    belongings = provider.belongings(directory)
    if belongings:
        OUTPUT.say("taken out of the cluster:" + "".join(f"\n  - {each}" for each in belongings))
    cluster = provider.find(directory)
    if cluster is not None and cluster.kept:
        OUTPUT.say("left standing, as an administrator made it: " + ", ".join(cluster.kept))


def down(
    name: Name = DEFAULT_NAME,
    everything: Annotated[bool, typer.Option("--all", help="Remove every lab of this machine.")] = False,
    json: Json = False,
) -> None:
    """Remove a lab and all that it left: processes, ports, files. Workspaces and results stay."""
    names = [found for found, _ in labs.all_labs()] if everything else [name]
    removed = []
    for each in names:
        interrupt.check()
        directory = labs.lab_directory(each)
        if not labs.is_there(directory):
            continue
        with labs.exclusive(directory):
            if directory.exists():
                _say_what_goes(directory)
                labs.remove(directory)
                removed.append(each)
    removed += labs.remove_orphans()
    interrupt.check()
    if removed:
        OUTPUT.text("\n".join(f"lab {each!r} is down" for each in removed))
    else:
        OUTPUT.say(
            f"nothing to do: no lab named {name!r}" if not everything else "nothing to do: there is no lab"
        )
    OUTPUT.done({"removed": removed})


def reset(
    name: Name = DEFAULT_NAME,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Another seed than before.")] = None,
    json: Json = False,
) -> None:
    """Bring a lab down and up again, with the settings it had."""
    directory = labs.lab_directory(name)
    record = labs.read_record(directory)
    settings = record.settings if record else LabSettings(name)
    if seed is not None:
        settings = replace(settings, seed=seed)
    with labs.exclusive(directory):
        labs.remove(directory)
        with OUTPUT.progress("reset") as bar:
            lab = bringup.bring_up(settings, progress=bar)
    OUTPUT.text(f"lab {name!r} is fresh: {lab.cluster.server}")
    OUTPUT.done(_facts(lab))


def status(
    name: Name = DEFAULT_NAME,
    everything: Annotated[bool, typer.Option("--all", help="List every lab of this machine.")] = False,
    json: Json = False,
) -> None:
    """Show the parts, mode, kill switch, incidents and faults."""
    if everything:
        _status_all()
        return
    lab = labs.open_lab(name)
    restarts = lab.kube.restarts()
    program = program_state(lab)
    parts = [
        {
            "part": f"{namespace_of(d)}/{name_of(d)}",
            "ready": f"{(d.get('status') or {}).get('readyReplicas', 0)}/{d['spec']['replicas']}",
            "ok": labs.is_available(d),
            "restarts": restarts.get(f"{namespace_of(d)}/{name_of(d)}", 0),
        }
        for d in lab.kube.deployments()
    ]
    control = lab.control()
    facts = _facts(lab) | {
        "parts": parts,
        "mode": control.get("mode", "unknown"),
        "canary_percent": control.get("canaryPercent") if control.get("mode") == Mode.CANARY else None,
        "kill_switch": control.get("killSwitch", "unknown"),
        "open_incidents": _or_error(lambda: len(lab.pager.incidents("open"))),
        "program": program and asdict(program),
        "active_faults": _or_error(lambda: len(lab.faults.active())),
    }
    OUTPUT.table(
        ("PART", "READY", "RESTARTS", "STATE"),
        [(p["part"], p["ready"], p["restarts"], _state(p)) for p in parts],
    )
    share = f" ({facts['canary_percent']} %)" if facts["canary_percent"] else ""
    OUTPUT.text(
        f"\nmode {facts['mode']}{share}, kill switch {facts['kill_switch']}, "
        f"open incidents {facts['open_incidents']}, active faults {facts['active_faults']}, "
        f"seed {lab.settings.seed}"
    )
    if program is not None:
        OUTPUT.text(f"the automation's program: {program}")
        if not program.healthy:
            OUTPUT.next_step("lab logs automation", "lab logs automation --previous", "lab stop")
    OUTPUT.done(facts, exit_code=0 if all(p["ok"] for p in parts) else NotReadyError.exit_code)


def _state(part: dict[str, Any]) -> str:
    if part["ready"] == "0/0":
        return "off"
    return "ok" if part["ok"] else "not ready"


def _or_error(read: Any) -> Any:
    try:
        return read()
    except LabError as error:
        return f"unknown ({error})"


def _status_all() -> None:
    rows = []
    for name, record in labs.all_labs():
        running = record is not None and provider_of(record.settings).find(labs.lab_directory(name))
        rows.append(
            {
                "name": name,
                "state": _lab_state(record) if running else "dead",
                "created_at": record and record.created_at,
            }
        )
    if not rows:
        OUTPUT.say("there is no lab on this machine")
    else:
        OUTPUT.table(
            ("LAB", "STATE", "SINCE"), [(r["name"], r["state"], r["created_at"] or "-") for r in rows]
        )
    OUTPUT.done({"labs": rows})


def _lab_state(record: labs.LabRecord | None) -> str:
    if labs.is_orphan(record):
        return "orphaned"
    return "up" if record and record.addresses else "unfinished"


def env(name: Name = DEFAULT_NAME, json: Json = False) -> None:
    """Point kubectl and your own tools at the lab. Prints shell commands: eval "$(lab env)"."""
    lab = labs.open_lab(name)
    variables = {
        "KUBECONFIG": str(lab.kubeconfig),
        "PROMETHEUS_URL": lab.prometheus_url,
        "PAGER_URL": lab.pager.base,
        "LAB_HOUR_SECONDS": f"{lab.settings.hour_seconds:g}",
        "LAB_NAME": lab.name,
    }
    if "grafana" in lab.settings.parts:
        variables["GRAFANA_URL"] = lab.url("lab-system", "grafana", 3000)
    OUTPUT.text("\n".join(f"export {key}={shlex.quote(value)}" for key, value in variables.items()))
    OUTPUT.done(variables)


def logs(
    part: Annotated[
        str, typer.Argument(help="A part of the lab, or `cluster` for localkube itself.")
    ] = "cluster",
    name: Name = DEFAULT_NAME,
    tail: Annotated[int, typer.Option("--tail", min=1, help="How many lines.")] = 40,
    previous: Annotated[
        bool, typer.Option("--previous", help="Of the container before its last restart.")
    ] = False,
    json: Json = False,
) -> None:
    """The last log lines of a part. kubectl logs does the rest."""
    if part != "cluster" and part not in PARTS:
        raise UsageError(f"there is no part {part!r}", hint="cluster, " + ", ".join(PARTS))
    if part == "cluster":
        record = labs.read_record(labs.lab_directory(name))
        if record is None:
            raise NotReadyError(f"no lab named {name!r} is up", hint="lab up starts one")
        text = provider_of(record.settings).log_tail(labs.lab_directory(name), tail)
        OUTPUT.text(text)
        OUTPUT.done({"part": part, "pods": {part: text.splitlines()}})
        return
    lab = labs.open_lab(name)
    pods = lab.kube.pods(PARTS[part], part)
    if not pods:
        raise NotReadyError(
            f"{part} has no pod", hint="lab run starts the automation; lab status shows the rest"
        )
    found = {
        name_of(pod): lab.kube.pod_log(PARTS[part], name_of(pod), tail_lines=tail, previous=previous)
        for pod in pods
    }
    for pod_name, text in found.items():
        OUTPUT.text((f"==> {pod_name} <==\n" if len(found) > 1 else "") + text)
    OUTPUT.done({"part": part, "pods": {pod: text.splitlines() for pod, text in found.items()}})
