"""Writes tensorboard.tfevents, the bytes that goma's event file of the history
below must have, with TensorBoard's own protocol buffers and record writer, and
reads them back with its reader.

    pip install tensorboard==2.20.0 && python tensorboard_events.py
"""

import pathlib

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

path = pathlib.Path(__file__).with_name("tensorboard.tfevents")


def scalars(step, **values):
    group = "validation" if "pixel_ap" in values or "learning_rate" not in values else "train"
    entries = [
        Summary.Value(tag=f"{group}/{tag}", simple_value=value)
        for tag, value in values.items()
        if value is not None
    ]
    return Event(step=step, summary=Summary(value=entries))


def losses(step):
    return scalars(
        step, total=1.5 / step, l2=0.25, ssim=0.5, focal=0.0, learning_rate=1e-4, gradient_norm=3.0
    )


def validation(step, pixel_ap):
    return scalars(step, total=0.75, l2=0.125, ssim=0.5, focal=0.125, pixel_ap=pixel_ap)


events = [
    Event(file_version="brain.Event:2"),
    losses(1),
    losses(200),
    validation(200, 0.625),
    losses(70_000),
    validation(70_000, None),
]
with open(path, "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()

read = EventAccumulator(str(path)).Reload()
assert read.Tags()["scalars"] == [
    *(f"train/{t}" for t in ("total", "l2", "ssim", "focal", "learning_rate", "gradient_norm")),
    *(f"validation/{t}" for t in ("total", "l2", "ssim", "focal", "pixel_ap")),
], read.Tags()["scalars"]
assert [(e.step, e.value) for e in read.Scalars("validation/pixel_ap")] == [(200, 0.625)]
assert [e.step for e in read.Scalars("train/total")] == [1, 200, 70_000]
