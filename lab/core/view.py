"""How a client of the gateway asks to be shown the world as its shadow intents would have made it."""

from __future__ import annotations

INTENDED_PATH = "/view/intended"
"""Before every other path: part of the server's address in a kubeconfig, so that any client can use it."""
