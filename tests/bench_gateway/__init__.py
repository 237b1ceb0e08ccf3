"""Measures the gateway: `python -m tests.bench_gateway [PART ...] [--quick]`, or `make bench-gateway`."""
