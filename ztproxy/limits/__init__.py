"""Token buckets: at which rate an identity may ask."""
