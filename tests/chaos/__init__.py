"""Killing runs and comparing their results with those of an undisturbed run."""
