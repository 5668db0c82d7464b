"""What the notebooks show and share: the builder puts these definitions into them."""
