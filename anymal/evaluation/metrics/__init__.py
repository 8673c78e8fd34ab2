"""Metrics of captions, answers and labels, as the benchmarks compute them."""
