"""The one place that states the version; the changelog must agree with it."""

__version__ = "0.1.0"
