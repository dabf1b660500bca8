"""Loss terms, one file each, and their aggregation over the global batch."""
