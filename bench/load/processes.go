package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// usage of a group of processes: time since they started, memory now.
type usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSKB      int     `json:"rss_kb"`
	PSSKB      int     `json:"pss_kb"`
}

const ticksPerSecond = 100 // USER_HZ, fixed by Linux's interface

// readUsage reads /proc for groups written name=pid,pid;name=pid. The load itself is the group "load".
func readUsage(watch string) (map[string]usage, error) {
	groups := map[string]usage{}
	for _, part := range strings.Split(fmt.Sprintf("%s;load=%d", watch, os.Getpid()), ";") {
		name, pids, found := strings.Cut(part, "=")
		if !found {
			continue
		}
		var sum usage
		for _, pid := range strings.Split(pids, ",") {
			if err := sum.add(pid); err != nil {
				return nil, err
			}
		}
		groups[name] = sum
	}
	var err error
	groups["machine"], err = readMachine()
	return groups, err
}

// readMachine reads how long all cores together were busy, whoever kept them so.
func readMachine() (usage, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	first, _, _ := strings.Cut(string(stat), "\n")
	var busy usage
	for i, field := range strings.Fields(first)[1:9] { // user nice system idle iowait irq softirq steal
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return usage{}, err
		}
		if i != 3 && i != 4 {
			busy.CPUSeconds += ticks / ticksPerSecond
		}
	}
	return busy, nil
}

func (u *usage) add(pid string) error {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return err
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	for _, field := range fields[11:13] { // utime and stime, counted from state
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return err
		}
		u.CPUSeconds += ticks / ticksPerSecond
	}
	rollup, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return err
	}
	u.RSSKB += kilobytes(string(rollup), "Rss:")
	u.PSSKB += kilobytes(string(rollup), "Pss:")
	return nil
}

func kilobytes(rollup, name string) int {
	for line := range strings.Lines(rollup) {
		if rest, found := strings.CutPrefix(line, name); found {
			value, err := strconv.Atoi(strings.Fields(rest)[0])
			if err == nil {
				return value
			}
		}
	}
	return 0
}

// since gives the time used between two readings, and the memory of the later.
func since(before, after map[string]usage) map[string]usage {
	difference := map[string]usage{}
	for name, now := range after {
		now.CPUSeconds -= before[name].CPUSeconds
		difference[name] = now
	}
	return difference
}
