"""Prompts in, events out: scheduling, packing, drawing, stopping, cancelling.

Does not know HTTP and does not decode media. What schedules and reports (`batching`, `scheduler`,
`blocks`, `reply` and what they import) is free of torch; what computes is not.
"""
