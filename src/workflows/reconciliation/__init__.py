"""Compares open executions with Temporal, and writes what no workflow could."""
