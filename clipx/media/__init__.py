"""What videos and sound share: opening files, the packets in them, damage, and clips that are being filled."""
