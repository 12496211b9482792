"""Two lists of cues go in; the line, or the pieces of lines, that carries the times of one onto the other comes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Cue
from .evidence import SharedWords

__all__ = ["RATES", "Piece", "TimeMap", "Track", "core", "fit", "nearest_difference", "read_track", "search"]

Floats: TypeAlias = NDArray[np.float64]
_FRAMES: Final = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0)
RATES: Final = tuple(sorted({round(a / b, 9) for a in _FRAMES for b in _FRAMES if 0.94 < a / b < 1.07}))
"""What a film is stretched by when it is played at another number of frames a second, 1 among them."""

LONGEST_CUE: Final = 30.0
"""Seconds that a cue is taken to last at most: a longer one was never closed."""
_STEP: Final = 0.1
_COARSE_STEP: Final = 0.25
_MOST_STEPS: Final = 2**17
_SURE: Final = 11.0
"""Standard deviations above chance from which a known rate is believed without trying those in between."""
_FAVOUR_KNOWN: Final = 1.25
_FAVOUR: Final = 1.1
"""What another rate must beat the rate 1 by: over a short file they can hardly be told apart."""


@dataclass(frozen=True, slots=True)
class TimeMap:
    """Carries times of the target onto those of the source: `rate` * time + `offset`, in seconds."""

    rate: float = 1.0
    offset: float = 0.0

    def __call__(self, times: Floats) -> Floats:
        """Return target times as source times."""
        return times * self.rate + self.offset


@dataclass(frozen=True, slots=True)
class Piece:
    """A `TimeMap` that holds from a time of the target on, in seconds."""

    start: float
    time_map: TimeMap


@dataclass(frozen=True, slots=True)
class Track:
    """The cues that can be placed in time, in the order of their starts: `index` [n] into the list they came from."""

    index: NDArray[np.int64]
    start: Floats
    end: Floats

    def __len__(self) -> int:
        return len(self.index)

    def moved(self, pieces: Sequence[Piece]) -> Track:
        """Return the track with the times that `pieces` give."""
        which = np.maximum(np.searchsorted([piece.start for piece in pieces], self.start, side="right") - 1, 0)
        rate = np.array([piece.time_map.rate for piece in pieces])[which]
        offset = np.array([piece.time_map.offset for piece in pieces])[which]
        return Track(self.index, self.start * rate + offset, self.end * rate + offset)


def read_track(cues: Sequence[Cue]) -> Track:
    """Return the cues whose times are numbers; one that ends before it starts, or never, gets an end that can be."""
    times = np.array([(cue.start, cue.end) for cue in cues], np.float64).reshape(-1, 2)
    usable = np.flatnonzero(np.isfinite(times[:, 0]) & (np.abs(times[:, 0]) < 1e6))
    index = usable[np.argsort(times[usable, 0], kind="stable")]
    start = times[index, 0]
    end = np.where(np.isfinite(times[index, 1]), times[index, 1], start + 2.0)
    return Track(index, start, np.clip(end, start + 0.1, start + LONGEST_CUE))


def search(source: Track, target: Track, words: SharedWords) -> tuple[TimeMap, ...]:
    """Return the lines that the times and shared words speak for, the best first; more than one where it is unsure."""
    if min(len(source), len(target)) < 4:
        return (TimeMap(),)
    signals = _Signals(source, target, words)
    peaks = [signals.best(rate) for rate in RATES]
    plain = next(peak for peak in peaks if peak.rate == 1)
    found = max(peaks, key=lambda peak: peak.height * (_FAVOUR if peak is plain else 1))
    sure = found.deviations >= _SURE
    if not sure:
        coarse = _Signals(source, target, words, step=_COARSE_STEP)
        known = coarse.best(found.rate)
        grid = [coarse.best(float(rate)) for rate in np.arange(0.94, 1.0605, 0.001)]
        rate = max([known, *grid], key=lambda peak: peak.height * (_FAVOUR_KNOWN if peak is known else 1)).rate
        found = signals.best(rate)
    if found.rate not in RATES:
        for step in (0.0005, 0.00025, 0.000125):
            near = (signals.best(found.rate - step), signals.best(found.rate + step))
            found = max([found, *near], key=lambda peak: peak.height)
    best = fit(source, target, TimeMap(found.rate, found.offset))
    if sure:
        return (best,)
    return tuple(dict.fromkeys([best, fit(source, target, TimeMap(1.0, plain.offset)), TimeMap()]))


@dataclass(frozen=True, slots=True)
class _Peak:
    """The highest point of the correlation at one rate."""

    rate: float
    offset: float
    height: float
    deviations: float


class _Signals:
    """Correlates when somebody starts, is, and stops speaking on both sides, at any rate and all offsets at once."""

    def __init__(self, source: Track, target: Track, words: SharedWords, *, step: float = _STEP) -> None:
        self._words = (source.start[words.source], target.start[words.target], words.share)
        self._source, self._target = core(source), core(target)
        self._base = self._source.start[0], self._target.start[0]
        spans = [float(track.end.max() - track.start[0]) for track in (self._source, self._target)]
        self._step = max(step, sum(spans) * 1.1 / _MOST_STEPS)
        self._size = 2 ** math.ceil(math.log2(max(spans[0] + spans[1] * 1.1, 1.0) / self._step + 16))
        width = max(0.2 / self._step, 0.5)
        self._blur = np.exp(-2 * (np.pi * np.fft.rfftfreq(self._size) * width) ** 2) ** 2
        self._far_blur = np.exp(-2 * (np.pi * np.fft.rfftfreq(self._size) * 1.5 / self._step) ** 2)
        self._left = self._spectra(self._source, self._base[0], 1.0)

    def best(self, rate: float) -> _Peak:
        right = self._spectra(self._target, self._base[1], rate)
        product = sum((a * np.conj(b) for a, b in zip(self._left, right, strict=True)), np.zeros(1))
        curve = np.fft.irfft(product * self._blur, self._size)
        deviation = self._noise(curve)
        curve /= deviation
        timing = curve.copy()
        here, there, share = self._words
        if len(share) >= 8:
            lags = np.rint((here - self._base[0] - (there - self._base[1]) * rate) / self._step).astype(np.int64)
            counts = np.bincount(lags % self._size, share, minlength=self._size)
            shared = np.fft.irfft(np.fft.rfft(counts) * self._far_blur, self._size)
            curve += (shared - shared.mean()) / self._noise(shared) / 2
        place = int(curve.argmax())
        lag = place - self._size if place > self._size // 2 else place
        offset = lag * self._step + self._base[0] - rate * self._base[1]
        near = timing.take(range(place - 20, place + 21), mode="wrap").max()
        return _Peak(rate, offset, float(curve[place]), float(near))

    def _noise(self, curve: Floats) -> float:
        return float(curve.std()) or 1.0

    def _spectra(self, track: Track, base: float, rate: float) -> list[NDArray[np.complex128]]:
        start = ((track.start - base) * rate / self._step).astype(np.int64)
        end = ((track.end - base) * rate / self._step).astype(np.int64)
        starts, ends = (np.bincount(place, minlength=self._size)[: self._size] for place in (start, end))
        speech = np.minimum(np.cumsum(starts - ends), 1).astype(np.float64)
        last = int(end.max()) + 1
        spectra = []
        for signal in (starts.astype(np.float64), ends.astype(np.float64), speech):
            signal[:last] -= signal[:last].mean()
            spectra.append(np.fft.rfft(signal) / (float(np.linalg.norm(signal)) or 1.0))
        return spectra


def core(track: Track) -> Track:
    """Return the track without what is hours away from the rest, as an advertisement at 99:59:59."""
    low, high = np.quantile(track.start, (0.02, 0.98))
    room = high - low + 60.0
    kept = (track.start >= low - room) & (track.start <= high + room)
    return Track(track.index[kept], track.start[kept], track.end[kept])


def nearest_difference(times: Floats, to: Floats) -> Floats:
    """Return for each of `times` how far the nearest of `to`, which is in order, lies behind it; in seconds."""
    after = np.clip(np.searchsorted(to, times), 1, len(to) - 1) if len(to) > 1 else np.zeros(len(times), np.int64)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(to[after] - times) < np.abs(to[before] - times), to[after] - times, to[before] - times)


def fit(source: Track, target: Track, guess: TimeMap, *, rate_too: bool = True) -> TimeMap:
    """Fit a line to the boundaries that `guess` brings close together, by least squares with Cauchy weights."""
    found = guess
    sides = ((source.start, target.start), (np.sort(source.end), np.sort(target.end)))
    times = np.concatenate([side for _, side in sides])
    for reach in (1.2, 0.8, 0.5, 0.5):
        gap = np.concatenate([nearest_difference(found(mine), to) for to, mine in sides])
        close = np.abs(gap) < reach
        if close.sum() < 4:
            return found
        x, y = times[close], found(times[close]) + gap[close]
        weight = 1 / (1 + (gap[close] / 0.2) ** 2)
        middle, height = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float(np.average((x - middle) ** 2, weights=weight))
        rate = found.rate
        if rate_too and close.sum() >= 40 and spread > 60.0**2:
            slope = float(np.average((x - middle) * (y - height), weights=weight)) / spread
            rate = slope if abs(slope - guess.rate) < 0.002 else found.rate
        found = TimeMap(rate, float(height - rate * middle))
    length = float(np.ptp(times))
    known = min(RATES, key=lambda each: abs(each - found.rate))
    if found.rate != known and abs(known - found.rate) * length < 0.3:
        return fit(
            source, target, TimeMap(known, found.offset + (found.rate - known) * float(times.mean())), rate_too=False
        )
    return found
