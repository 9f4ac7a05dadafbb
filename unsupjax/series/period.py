"""The period of a series."""

import numpy as np

USUAL = 125  # where there is none
_LAGS = 3, 300
_ROWS = 20_000


def period(values: np.ndarray, usual: int = USUAL) -> int:
    """The lag in steps at which a series resembles itself most.

    It is that of the highest peak of the autocorrelation of the first 20,000 steps, among the lags from 3 to 300;
    `usual` where no peak lies there. At most a twentieth of the series.

    Args:
        values: `[T]`; missing ones count as the mean.
        usual: of a series without a period.

    Source: the convention of TSB-UAD (Paparrizos et al., PVLDB 15, 2022).
    """
    x = np.asarray(values[:_ROWS], np.float64)
    known = np.isfinite(x)
    x = np.where(known, x - (x[known].mean() if known.any() else 0), 0)
    first, last = _LAGS
    size = 1 << (2 * len(x) - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    correlation = np.fft.irfft(power, size)[: min(last, len(x) - 1) + 1]
    inner = correlation[first:-1]
    peaks = first + np.flatnonzero((inner > correlation[first - 1 : -2]) & (inner > correlation[first + 1 :]))
    found = int(peaks[correlation[peaks].argmax()]) if len(peaks) and correlation[0] > 0 else usual
    return max(1, min(found, len(values) // 20))
