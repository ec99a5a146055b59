"""One measurement's figures: what follows from the shape, the machine's limits and what was counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scripts.benchmark.jobs import LONGEST_SECONDS, Counters, Heard, Job
from scripts.benchmark.limits import Limits
from scripts.benchmark.shapes import BYTES, Stored
from scripts.benchmark.work import (
    FRAMES_PER_SECOND,
    Stream,
    at_length,
    decoder_matrix_parameters,
    decoding_operations,
    step_bytes,
    useful_operations,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `speed` is in seconds of audio a second of time; for a peer that heard only a
    part, `speed` is that of its whole stretches, at the same operations a second, and
    `speed_as_heard` that of the part as it was. Shares are of the machine's limits."""

    weights: str
    contender: str
    minutes: float
    lanes: int
    files: int
    heard: Heard
    speed: float
    speed_as_heard: float
    ratio: dict[str, float]
    operations_per_second: float  # of audio
    bytes_per_second: float  # of audio, read from memory while decoding
    share_of_products: float
    share_of_products_decoding: float | None
    share_of_bandwidth_decoding: float | None


def measured(
    weights: str,
    content: Stored,
    job: Job,
    minutes: float,
    heard: Heard,
    limits: Limits,
    peers: dict[str, float],
) -> Row:
    """The figures of one run; `peers` are the speeds to set it beside."""
    stream = stream_of(heard.chunk_seconds, heard.delay_ms)
    speed = speed_as_heard = heard.audio_seconds / heard.seconds
    if job.contender != "subgen" and job.seconds < minutes * 60:
        whole = stream_of(min(LONGEST_SECONDS[job.contender], minutes * 60), heard.delay_ms)
        taken = at_length(content.shape, stream, heard.seconds, whole, heard.step_seconds)
        stream, speed = whole, whole.audio_frames / FRAMES_PER_SECOND / taken
    needed = useful_operations(content.shape, stream)
    read = bytes_of_step(content, stream, limits, heard.lanes)
    products, bandwidth = decoding_shares(content, stream, limits, heard.counters)
    return Row(
        weights=weights,
        contender=job.contender,
        minutes=minutes,
        lanes=heard.lanes,
        files=job.files,
        heard=heard,
        speed=speed,
        speed_as_heard=speed_as_heard,
        ratio={peer: speed / theirs for peer, theirs in peers.items()} if job.contender == "subgen" else {},
        operations_per_second=needed,
        bytes_per_second=FRAMES_PER_SECOND * read / heard.lanes,
        share_of_products=needed * speed / limits.products,
        share_of_products_decoding=products,
        share_of_bandwidth_decoding=bandwidth,
    )


def decoding_shares(
    content: Stored, stream: Stream, limits: Limits, counted: Counters | None
) -> tuple[float | None, float | None]:
    """Of products and of bandwidth, in the time spent decoding; None where nobody counted."""
    if counted is None or not counted.decode_seconds:
        return None, None
    operations = decoding_operations(content.shape, stream, counted.rows, counted.prompts)
    read = counted.steps * bytes_of_step(content, stream, limits, counted.rows / max(counted.steps, 1))
    seconds = counted.decode_seconds
    return operations / seconds / limits.products, read / seconds / limits.bandwidth


def bytes_of_step(content: Stored, stream: Stream, limits: Limits, lanes: float) -> float:
    """What a step reads: a GPU the weights as stored, a CPU all in float32."""
    weights = content.decoder_bytes
    if limits.device.startswith("cpu"):
        weights = decoder_matrix_parameters(content.shape) * BYTES["F32"]
    return step_bytes(content.shape, stream, weights, BYTES[limits.dtype], lanes)


def against(row: Row, measured: Limits, best: Limits) -> Row:
    """`row`, whose shares are of `measured`, with those of `best`."""
    products, bandwidth = measured.products / best.products, measured.bandwidth / best.bandwidth
    decoding, reading = row.share_of_products_decoding, row.share_of_bandwidth_decoding
    return replace(
        row,
        share_of_products=row.share_of_products * products,
        share_of_products_decoding=None if decoding is None else decoding * products,
        share_of_bandwidth_decoding=None if reading is None else reading * bandwidth,
    )


def stream_of(seconds: float, delay_ms: int) -> Stream:
    """A chunk of so many seconds."""
    return Stream(max(round(seconds * 12.5), 1), delay_ms)
