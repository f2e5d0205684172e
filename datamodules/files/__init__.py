"""What lies on disk: images, masks, polygons, and what is remembered of them."""
