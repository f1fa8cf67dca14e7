"""Inputs whose structure is mutated, given to everything of clipx that reads what strangers wrote.

    PYTHONPATH=tests python -m fuzzing mp4 --inputs 10000 --jobs 2
    PYTHONPATH=tests python -m fuzzing all --inputs 1000 --first 5000 --failures failures
    PYTHONPATH=tests python -m fuzzing mp4 --first 4711 --inputs 1         # one input again, by its number
    PYTHONPATH=tests python -m fuzzing mp4 --replay failures/mp4-4711.bin  # or from its bytes

Kinds: the boxes of mp4, the elements of mkv and the chunks and index of avi (video); wav, flac, mp3 and ogg; the
headers of npy, the directory of npz and the headers of tar (a Loader's shards); and a Loader's states, whose digest is
made right again. An input is its kind and its number: the number seeds all that is drawn, so that it can be made again.

Inputs run in child processes. One fails that ends the process (a signal, a sanitizer), takes longer or more memory than
it may, warns, or raises what is not documented; its bytes are kept in a folder, beside a text that says what happened.
`.ci/fuzz` builds the extensions with AddressSanitizer and UBSan and runs all kinds on them.

structure.py: trees of boxes, elements and chunks, and what is done to them; media.py, sounds.py, arrays.py, tars.py:
functions that make an input of a number; use_media.py, use_arrays.py: functions that use one; states.py: both, of
states; running.py: child processes and their bounds.
"""
