"""The simulated on-call human: slow, careful, one incident at a time; the baseline of all measurements."""
