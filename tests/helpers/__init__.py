"""Files, sources and checks that tests of several folders share, in modules that spawned processes import by name."""
