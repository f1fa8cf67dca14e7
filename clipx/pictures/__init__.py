"""Numbered pictures, such as 000.jpg, 001.jpg, ..., to clips."""
