package main

import (
	"math/bits"
	"time"
)

const subBuckets = 128 // within 0.8 % of the value, as HDR histograms do it

// histogram counts latencies in microseconds: exact below 128, then 64 steps to each doubling.
type histogram struct {
	counts [64 * subBuckets]uint64
	total  uint64
	max    time.Duration
}

func bucketOf(micros uint64) int {
	if micros < subBuckets {
		return int(micros)
	}
	shift := bits.Len64(micros) - 7
	return shift*subBuckets/2 + int(micros>>shift)
}

func valueOf(bucket int) float64 {
	if bucket < subBuckets {
		return float64(bucket)
	}
	shift := bucket/(subBuckets/2) - 1
	return float64(uint64(bucket-shift*subBuckets/2)<<shift) + float64(uint64(1)<<shift)/2
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(uint64(d.Microseconds()))]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// percentile in milliseconds.
func (h *histogram) percentile(p float64) float64 {
	rank := uint64(p / 100 * float64(h.total))
	var seen uint64
	for bucket, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return valueOf(bucket) / 1000
		}
	}
	return 0
}
