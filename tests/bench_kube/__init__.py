"""Measures an API server, or two in turns: `python -m tests.bench_kube`, or `make bench-kube`."""
