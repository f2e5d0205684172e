"""Exporting a run: its weights or its graph in a file, what describes them, and the proof that they predict the same."""
