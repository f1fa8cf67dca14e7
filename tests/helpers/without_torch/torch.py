"""Stands before torch on the import path of processes that have no use for it; see helpers/torchless.py."""

raise ModuleNotFoundError("No module named 'torch'", name="torch")
