"""The pager: alerts become incidents, incidents reach people and programs, and everything is kept.

    Prometheus ─ Alertmanager v2 ─► alerts ─► book ─► state ◄─► journal (JSON lines)
                                                │
                         webhook version 4 ◄─ delivery      api ◄─ people, automations, the on-call human

`book` decides what an alert or a request means; `state` is only what has happened; `journal` makes it last
over a restart. Nothing here knows what repairs an incident.
"""
