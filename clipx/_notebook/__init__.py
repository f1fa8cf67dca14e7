"""HTML that notebooks show of clips, batches, pools and loaders.

html       elements: strips of pictures, waveforms, bars, tables
pictures   arrays of any layout to small pictures
clips      the strip of one clip, and its sound; pools: the slots of a pool
"""
