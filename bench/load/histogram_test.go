package main

import (
	"math"
	"testing"
	"time"
)

func TestBucketsAreContiguousAndClose(t *testing.T) {
	last := -1
	for micros := uint64(0); micros < 5_000_000; micros++ {
		bucket := bucketOf(micros)
		if bucket != last && bucket != last+1 {
			t.Fatalf("%d µs: bucket %d after %d", micros, bucket, last)
		}
		last = bucket
		if off := math.Abs(valueOf(bucket)-float64(micros)) / float64(max(micros, 1)); micros >= subBuckets && off > 0.01 {
			t.Fatalf("%d µs reads back as %f", micros, valueOf(bucket))
		}
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	for p, want := range map[float64]float64{50: 500, 90: 900, 99: 990} {
		if got := h.percentile(p); math.Abs(got-want)/want > 0.01 {
			t.Errorf("p%v is %v, not %v", p, got, want)
		}
	}
	if h.max != time.Second {
		t.Errorf("max is %v", h.max)
	}
}
