"""`shadowReads: intended` as the runner carries it out: the program's own kubeconfig leads to the view."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.kube.kubeconfig import write_kubeconfig

MANIFEST = """\
apiVersion: toil-lab/v1
kind: Automation
name: probe
runtime: python
entrypoint: main.py
shadowReads: intended
"""
PROGRAM = """\
import os, time, yaml
with open(os.environ["KUBECONFIG"]) as file:
    print("SERVER", yaml.safe_load(file)["clusters"][0]["cluster"]["server"], flush=True)
time.sleep(600)
"""


def start(folder: Path, kubeconfig: Path) -> subprocess.Popen[str]:
    for name in ("workspace", "scratch"):
        (folder / name).mkdir()
    (folder / "workspace" / "automation.yaml").write_text(MANIFEST)
    (folder / "workspace" / "main.py").write_text(PROGRAM)
    env = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "WORKSPACE_DIR": str(folder / "workspace"),
        "SCRATCH_DIR": str(folder / "scratch"), "METRICS_PORT": "0", "KUBECONFIG": str(kubeconfig),
    }  # fmt: skip
    command = [sys.executable, "-m", "lab.automation"]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_program_s_kubeconfig_leads_to_the_view(tmp_path: Path) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:8443", b"ca", "token")
    process = start(tmp_path, tmp_path / "kubeconfig")
    assert process.stdout is not None
    try:
        said = next(line for line in process.stdout if "SERVER" in line)
        assert "https://127.0.0.1:8443/view/intended" in said
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_without_a_kubeconfig_it_says_so_and_ends(tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "none")
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "kubeconfig" in out
    assert "Traceback" not in out
