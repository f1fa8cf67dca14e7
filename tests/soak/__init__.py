"""Long runs, in which memory, descriptors and threads must stay what they were.

    PYTHONPATH=tests python -m soak clips                   # 10,000,000 small clips: minutes
    PYTHONPATH=tests python -m soak epochs                  # 1,000 epochs of a Loader
    PYTHONPATH=tests python -m soak all --plot soak.svg --json soak.json

`clips` extracts windows of arrays into a pool, most with `clipx.windows.iterate` and some with the stage, and drops
them in odd orders: last ones first, at random, in reference cycles, on another thread, or by a view that outlives the
array. `epochs` iterates over a Loader with threads again and again; every tenth epoch is broken off, its state saved,
and gone on with by a Loader made anew, and every fiftieth is read by a DataLoader whose workers start anew (where torch
is installed). Frames are compared on the way, and the clips of each epoch counted.

A run prints a table over time and fails where something grew. Its first tenth warms up. Drift is the median of the last
tenth of the measurements, divided by the median of the second tenth, less 1: it must be under 1 % for the resident
memory (RSS) and for that which is the process's own (USS); medians of descriptors and threads must not grow at all, and
no slot of a pool may be lost.

measuring.py: what is measured, and drift; small_clips.py, epochs.py: the runs; report.py: the table and the drawing.
"""
