"""Arrays as sources: `.npy` and `.npz`, mapped pages, and frames written as a format says."""
