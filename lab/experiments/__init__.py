"""Chaos Toolkit experiments against a lab: the toolkit's own library runs them, the lab gives activities."""
