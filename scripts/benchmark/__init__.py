"""The benchmark: how fast subgen is, beside whom, and how near to what the machine can do.

cli         commands and their printing
compare     one comparison, each contender in a process of its own
contenders  what runs in such a process; jobs, what it is asked and answers
rows        the figures of one measurement
work        operations and bytes that the model needs, from its shape alone
limits      what the machine can do: products, memory
shapes      the shapes that are measured; weights makes checkpoints of them
sound       what is listened to
listening   the whole way from a media file to its words
table, plot what is shown
"""

import subgen.speech.voxtral  # noqa: F401 - before anything imports MLX: it loads the fast BLAS, for all contenders
