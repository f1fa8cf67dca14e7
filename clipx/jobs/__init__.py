"""Offline work over files and shards."""
