"""Where monitoring faults bite in the pager: in the alerts that come in, in the notifications that go out.

Prometheus ─► hearing ─► episodes ─► telling ─► webhook
                 ▲
              raising: storms, flapping, alerts that fire again

Without a row, all of it passes on what it gets.
"""

from lab.pager.trouble.rows import PART, Rows
from lab.pager.trouble.trouble import Trouble

__all__ = ["PART", "Rows", "Trouble"]
