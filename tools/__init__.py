"""Tools around the notebooks: build, run, check."""
