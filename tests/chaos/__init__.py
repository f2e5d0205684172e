"""Killing runs and comparing what comes out with a run that nobody killed."""
