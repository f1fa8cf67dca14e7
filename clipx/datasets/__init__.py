"""Where samples come from: shards, their members and fields, and who reads which."""
