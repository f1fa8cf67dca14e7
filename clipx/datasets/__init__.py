"""Datasets: the samples of shards, their fields, and the share of them that each process reads."""
