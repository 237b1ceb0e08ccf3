"""Grafana dashboards as data: what each panel shows, and how they become Grafana's JSON."""
