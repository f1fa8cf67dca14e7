"""The index of a dataset: a Parquet file with a row for each stream, by which samples are read at random."""

from clipx.datasets.index.index import Index

__all__ = ["Index"]
