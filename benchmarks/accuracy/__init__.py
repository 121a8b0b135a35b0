"""How good heads and detectors are, beside what a user would otherwise take, on several data sets.

``python -m benchmarks.accuracy`` fills a table, one cell a file: row (a data set, a kind and rate of noise, a share of
verified images), method, seed. A cell that is there is not measured again.

A method is given the images outside test with their noisy labels and the true ones of the verified images, and answers
with scores of the test images and, where it can, with how right every noisy label looks. It never sees a test image.
Rows are marked *tuned on* or *held back*: defaults were fixed by looking at the first kind alone.
"""
