"""Scores, tables and figures of an evaluation."""
