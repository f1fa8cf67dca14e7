"""Inputs whose structure is mutated, given to everything of clipx that reads what strangers wrote.

    PYTHONPATH=tests python -m fuzz mp4 --inputs 10000 --jobs 2
    PYTHONPATH=tests python -m fuzz all --inputs 1000 --first 5000 --failures failures
    PYTHONPATH=tests python -m fuzz mp4 --first 4711 --inputs 1         # one input again, by its number
    PYTHONPATH=tests python -m fuzz mp4 --replay failures/mp4-4711.bin  # or from its bytes

Kinds: the boxes of mp4, the elements of mkv, the chunks and index of avi, and the packets and sections of ts (video);
wav, flac, mp3 and ogg; the headers of npy, the directory of npz and the headers of tar (shards); tables of files and
segments, manifests and descriptions of jobs, and indexes; and states: of a Loader, whose digest is made right again,
also dealt out to other ranks, and of a ClipSampler. An input is its kind and its number: the number seeds all that is
drawn, so that it can be made again.

Inputs run in child processes. One fails that ends the process (a signal, a sanitizer), takes longer or more memory than
it may, warns, raises what is not documented, or gives other frames of an array than numpy reads; its bytes are kept in
a folder, beside a text that says what happened. `.ci/fuzz` builds the extensions with AddressSanitizer and UBSan and
runs all kinds on them.

structure.py: trees of boxes, elements and chunks, and what is done to them; media.py, ts.py, sounds.py, arrays.py,
tars.py: functions that make an input of a number; use_media.py, use_arrays.py: functions that use one; tables.py,
states.py: both, of tables and states; running.py: child processes and their bounds.
"""
