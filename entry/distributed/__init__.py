"""Several processes: launching, finding one another, and watching."""
