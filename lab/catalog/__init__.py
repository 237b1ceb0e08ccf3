"""Data folders become core objects, validated all at once with every problem reported."""

from lab.catalog.exercises import exercise, exercises, load_exercise
from lab.catalog.mutants import Mutant, apply_mutant, load_mutants

__all__ = ["Mutant", "apply_mutant", "exercise", "exercises", "load_exercise", "load_mutants"]
