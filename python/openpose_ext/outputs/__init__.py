"""Writers of results, one module per format."""
