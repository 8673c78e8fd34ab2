"""Records of a run: sources, order, prefetching, micro-batches."""
