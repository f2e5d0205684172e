"""Counting and scoring: pure, and used by every evaluation."""
