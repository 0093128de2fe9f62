package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// pullOnce pulls each of the images, par at a time, looks that all are there, and removes them one after the other. What
// is measured is what a kubelet would wait for: pull_ms from the first request to the last answer, remove_ms the sum of
// the removals' answers. server, when not 0, is the server's process id: then the pulls' CPU seconds and the server's
// highest resident memory at their end are told too.
func pullOnce(ctx context.Context, im cri.ImageServiceClient, images []string, par, server int) map[string]any {
	spec := func(i int) *cri.ImageSpec { return &cri.ImageSpec{Image: images[i], UserSpecifiedImage: images[i]} }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	ids := make([]string, len(images))
	before := cpuSeconds(server)
	res := map[string]any{"pull_ms": ms(each(len(images), par, func(i int) error {
		_, e := im.PullImage(ctx, &cri.PullImageRequest{Image: spec(i)})
		return e
	}))}
	if server != 0 {
		res["pull_cpu_s"] = cpuSeconds(server) - before
		res["peak_rss_mib"] = peakMiB(server)
	}
	for i := range images {
		st, e := im.ImageStatus(ctx, &cri.ImageStatusRequest{Image: spec(i)})
		must(e)
		if st.Image == nil {
			must(fmt.Errorf("%s was pulled and is not there", images[i]))
		}
		ids[i] = st.Image.Id
	}
	var remove time.Duration
	for i := range images { // by ID: a tag alone may only be untagged
		t := time.Now()
		_, e := im.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: ids[i]}})
		must(e)
		remove += time.Since(t)
	}
	res["remove_ms"] = ms(remove)
	return res
}

// The process's CPU time and that of its children that it has waited for (proc(5), in hundredths of a second).
func cpuSeconds(pid int) float64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(err)
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:])) // fields[0] is the third, "state"
	ticks := 0
	for _, f := range fields[11:15] {
		n, err := strconv.Atoi(f)
		must(err)
		ticks += n
	}
	return float64(ticks) / 100
}

func peakMiB(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(err)
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "VmHWM:") {
			kb, err := strconv.Atoi(strings.Fields(l)[1])
			must(err)
			return float64(kb) / 1024
		}
	}
	must(fmt.Errorf("no VmHWM of %d", pid))
	return 0
}
