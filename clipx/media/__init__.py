"""Parts that videos and sound share: opening files, their packets, time lines, damage, and clips being written."""
