"""Samples in, events out: queueing, decoding, stopping, cancelling.

Does not know HTTP and does not decode media. Light: only `decoder` imports torch.
"""
