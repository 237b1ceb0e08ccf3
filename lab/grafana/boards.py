"""Every dashboard, and the text of its file in clusters/dashboards."""

from __future__ import annotations

import json

from lab.grafana import automation, objectives, service, toil
from lab.grafana.board import Board

BOARDS: tuple[Board, ...] = (service.BOARD, automation.BOARD, toil.BOARD, objectives.BOARD)


def text(board: Board) -> str:
    """The file's content."""
    return json.dumps(board.document(), indent=1) + "\n"
