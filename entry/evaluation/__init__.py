"""One evaluation: a checkpoint, a split, the counts and the files."""
