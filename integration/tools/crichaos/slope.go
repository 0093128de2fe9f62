package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// spread is the median, the 95th percentile and the maximum.
func spread(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	at := func(q float64) time.Duration {
		return times[int(q*float64(len(times)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("median %v, p95 %v, max %v", at(0.5), at(0.95), at(1))
}

// series is a quantity over time, at the server.
type series struct {
	name, unit string
	bound      float64 // how much it may grow in the time measured
	take       func(pid int) float64
	at, value  []float64 // seconds, units
}

// slope is that of the least squares, in units per second.
func (s *series) slope() float64 {
	var meanAt, meanValue float64
	for i := range s.at {
		meanAt += s.at[i] / float64(len(s.at))
		meanValue += s.value[i] / float64(len(s.at))
	}
	var over, under float64
	for i := range s.at {
		over += (s.at[i] - meanAt) * (s.value[i] - meanValue)
		under += (s.at[i] - meanAt) * (s.at[i] - meanAt)
	}
	if under == 0 {
		return 0
	}
	return over / under
}

func statusField(pid int, field string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == field+":" {
			value, _ := strconv.ParseFloat(words[1], 64)
			return value
		}
	}
	return 0
}

func fdsOf(pid int) float64 {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return float64(len(entries))
}

// diskOf is what the server's folders take, in KiB.
func diskOf(int) float64 {
	var blocks int64
	for _, folder := range []string{root, "/run/crisp", "/var/lib/cni"} {
		filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			// not into a container's root filesystem, which is the image's over again
			if entry.IsDir() && entry.Name() == "rootfs" {
				return filepath.SkipDir
			}
			if info, err := entry.Info(); err == nil {
				blocks += info.Sys().(*syscall.Stat_t).Blocks
			}
			return nil
		})
	}
	return float64(blocks) / 2
}

// measure lets the workers go on for the time given; the first fifth, when pools and heaps fill, does not count.
func (c *churning) measure() {
	all := []*series{
		{name: "RSS", unit: "KiB", bound: *growRSS, take: func(pid int) float64 { return statusField(pid, "VmRSS") }},
		{name: "fds", unit: "", bound: *growFds, take: fdsOf},
		{name: "threads", unit: "", bound: *growThr, take: func(pid int) float64 { return statusField(pid, "Threads") }},
		{name: "disk", unit: "KiB", bound: *growDisk, take: diskOf},
	}
	length := time.Duration(*minutes * float64(time.Minute))
	begin := time.Now()
	step := max(length/400, 200*time.Millisecond)
	for now := begin; now.Sub(begin) < length; now = time.Now() {
		if now.Sub(begin) >= length/5 {
			for _, s := range all {
				s.at = append(s.at, now.Sub(begin).Seconds())
				s.value = append(s.value, s.take(c.s.cmd.Process.Pid))
			}
		}
		time.Sleep(step)
	}
	for _, s := range all {
		s.tell(c, length.Seconds()*4/5)
	}
	fmt.Printf("%.1f pods a second\n", float64(c.lives.Load())/length.Seconds())
}

func (s *series) tell(c *churning, seconds float64) {
	slope := s.slope()
	low, high := s.value[0], s.value[0]
	for _, value := range s.value {
		low, high = min(low, value), max(high, value)
	}
	fmt.Printf("%s: %.0f to %.0f %s, %+.1f %s in %.0f s, slope %+.1f %s an hour\n", s.name, low, high, s.unit, slope*seconds, s.unit, seconds,
		slope*3600, s.unit)
	if slope*seconds > s.bound {
		c.failed("%s grows by more than %.0f %s", s.name, s.bound, s.unit)
	}
}
