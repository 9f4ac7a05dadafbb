"""`plant`: a simulated plant of six sensors with named faults, labelled to the step."""

import numpy as np

from unsupjax.data.series import Series

CHANNELS = ("load", "flow", "pressure", "temperature", "current", "vibration")
STEPS, TRAINED, MINUTE = 9_000, 3_000, 60_000_000_000
FAULTS = {  # name -> its intervals, first step and end
    "spike": ((3_600, 3_603), (6_900, 6_903)),  # the pressure jumps
    "drift": ((4_100, 4_400),),  # the temperature walks away, slowly
    "stuck": ((4_900, 5_020),),  # the flow stays at its last value
    "period": ((5_500, 5_750),),  # the vibration is faster
    "decoupled": ((6_200, 6_420), (8_200, 8_420)),  # the current no longer follows the load
    "dropout": ((7_500, 7_540),),  # the pressure reads zero
}


def open_plant() -> Series:
    """Nine thousand minutes of it, the first three thousand without a fault; always the same ones."""
    rng, t = np.random.default_rng(0), np.arange(STEPS)
    day = np.sin(2 * np.pi * t / 480)
    wander = np.convolve(rng.normal(size=STEPS + 59), np.ones(60) / 60**0.5, "valid")
    load = 50 + 15 * day + 4 * np.sign(np.sin(2 * np.pi * t / 120)) + 2 * wander
    flow = 2 * load + rng.normal(0, 1, STEPS)
    lagged = np.convolve(np.r_[np.full(29, load[0]), load], np.exp(-np.arange(30) / 10) / 9.97, "valid")
    pressure, current = 3 + 0.02 * flow + rng.normal(0, 0.03, STEPS), 0.4 * load + rng.normal(0, 0.3, STEPS)
    temperature = 40 + 0.5 * lagged + rng.normal(0, 0.2, STEPS)
    phase = 2 * np.pi * t / 24
    for first, end in FAULTS["period"]:
        phase[first:] += 2 * np.pi * np.minimum(t[first:] - first, end - first) * (1 / 15 - 1 / 24)
    vibration = 1 + 0.3 * np.sin(phase) + rng.normal(0, 0.05, STEPS)
    for sign, (first, end) in zip((1, -1), FAULTS["spike"], strict=True):
        pressure[first:end] += sign * 1.2
    for first, end in FAULTS["drift"]:
        temperature[first:end] += np.linspace(0, 8, end - first)
    for first, end in FAULTS["stuck"]:
        flow[first:end] = flow[first - 1]
    for first, end in FAULTS["decoupled"]:
        current[first:end] = 0.4 * load[first - 700 : end - 700] + rng.normal(0, 0.3, end - first)
    for first, end in FAULTS["dropout"]:
        pressure[first:end] = 0
    labels = np.zeros(STEPS, bool)
    for first, end in (pair for pairs in FAULTS.values() for pair in pairs):
        labels[first:end] = True
    values = np.stack([load, flow, pressure, temperature, current, vibration], axis=1)
    time = (np.datetime64("2024-01-01", "ns") + t * np.timedelta64(MINUTE, "ns")).astype("M8[ns]")
    return Series("plant", values, CHANNELS, time, labels)
