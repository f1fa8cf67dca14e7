"""The offline job that writes the clips of a dataset as shards: `clipx.jobs.extract`."""
