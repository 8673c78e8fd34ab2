"""Prompts in, events out: scheduling, packing, drawing, stopping, cancelling.

Does not know HTTP and does not decode media. What decides and what tells (`batching`, `scheduler`,
`blocks`, `reply` and what they import) is free of torch; what computes is not.
"""
