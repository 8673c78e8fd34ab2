"""Published models of transformers: bundles made of them, and made into them."""
