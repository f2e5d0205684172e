"""Counting and scoring: pure functions of confusion matrices."""
