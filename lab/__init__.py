"""A chaos lab for hands-on automation: real toil, shadow to live, graded by effects."""

from lab.version import __version__

__all__ = ["__version__"]
