"""Published models as bundles: import one, prove that it computes the same, export it again."""
