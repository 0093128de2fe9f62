package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcmem "google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// scaled measures what a node with many running pods costs, and ends them. Results:
//
//	<RPC>_ms, <RPC>_p99_ms   as a Go client waits for it, one call after the other; Version is the floor of any call
//	<RPC>_bytes_ms           the same without the client's decoding of the answer
//	daemon_pss_kb, pss_kb    the server's memory; that of the processes named by -mem: [count, sum]
//	pss_max_kb               the largest process of each name
//	poll_cpu_percent         of a core, the server's, while it is asked as by a kubelet: lists each second, stats each 10
//	poll_helpers_percent     the same of the other processes named by -mem
func scaled(ctx context.Context, rt cri.RuntimeServiceClient, im cri.ImageServiceClient, r *rec, res map[string]any, b *batch) {
	time.Sleep(2 * time.Second)
	memory(res)
	for _, q := range questions(ctx, rt, im) {
		// A server that cannot answer is measured without it: the name is then absent from the result.
		if e := q.ask(); e != nil {
			fmt.Fprintf(os.Stderr, "cribench: no %s: %.200s\n", q.name, e)
			continue
		}
		ask(r, res, q)
	}
	pollAsKubelet(ctx, rt, res)
	stop := each(*n, *par, func(i int) error { return b.stop(ctx, i) })
	res["stop_pods_per_s"] = float64(*n) / stop.Seconds()
	if *n > 0 {
		removeCgroups()
	}
}

// cgroupParent is the pod's own cgroup, as a kubelet asks for; the servers make it, and whoever asked removes it.
func cgroupParent(i int) string { return fmt.Sprintf("/kubepods/bench-%d", i) }

func removeCgroups() {
	dirs := []string{}
	for i := 0; i < *n; i++ {
		dirs = append(dirs, cgroupParent(i))
	}
	for _, dir := range append(dirs, "/kubepods") {
		for _, root := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
			found, _ := filepath.Glob(root + dir)
			for _, path := range found {
				removeSoon(path)
			}
		}
	}
}

// A cgroup is busy for a moment after its last process has ended.
func removeSoon(path string) {
	for end := time.Now().Add(time.Second); syscall.Rmdir(path) == syscall.EBUSY && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

type question struct {
	name string
	ask  func() error
}

func questions(ctx context.Context, rt cri.RuntimeServiceClient, im cri.ImageServiceClient) []question {
	raw := grpc.ForceCodecV2(undecoded{})
	pods := func(o ...grpc.CallOption) error {
		_, e := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}, o...)
		return e
	}
	ctrs := func(o ...grpc.CallOption) error {
		_, e := rt.ListContainers(ctx, &cri.ListContainersRequest{}, o...)
		return e
	}
	return []question{
		{"Version", func() error { _, e := rt.Version(ctx, &cri.VersionRequest{}); return e }},
		{"ListPodSandbox", func() error { return pods() }},
		{"ListPodSandbox_bytes", func() error { return pods(raw) }},
		{"ListContainers", func() error { return ctrs() }},
		{"ListContainers_bytes", func() error { return ctrs(raw) }},
		{"ListImages", func() error { _, e := im.ListImages(ctx, &cri.ListImagesRequest{}); return e }},
		{"ListContainerStats", func() error { return listContainerStats(ctx, rt) }},
		{"ListPodSandboxStats", func() error { return listPodStats(ctx, rt) }},
		{"ListPodSandboxMetrics", func() error {
			_, e := rt.ListPodSandboxMetrics(ctx, &cri.ListPodSandboxMetricsRequest{})
			return e
		}},
	}
}

func listContainerStats(ctx context.Context, rt cri.RuntimeServiceClient) error {
	_, e := rt.ListContainerStats(ctx, &cri.ListContainerStatsRequest{})
	return e
}

func listPodStats(ctx context.Context, rt cri.RuntimeServiceClient) error {
	_, e := rt.ListPodSandboxStats(ctx, &cri.ListPodSandboxStatsRequest{})
	return e
}

// ask asks -lists times, or at least 10 times within 15 seconds.
func ask(r *rec, res map[string]any, q question) {
	end := time.Now().Add(15 * time.Second)
	for i := 0; i < *lists && (i < 10 || time.Now().Before(end)); i++ {
		must(r.time(q.name, q.ask))
	}
	d := r.d[q.name]
	slices.Sort(d)
	res[q.name+"_p99_ms"] = float64(d[int(0.99*float64(len(d)-1))].Microseconds()) / 1000
}

// undecoded leaves answers as they came.
type undecoded struct{}

func (undecoded) Marshal(v any) (grpcmem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return grpcmem.BufferSlice{grpcmem.SliceBuffer(b)}, err
}
func (undecoded) Unmarshal(grpcmem.BufferSlice, any) error { return nil }
func (undecoded) Name() string                             { return "proto" }

var _ encoding.CodecV2 = undecoded{}

func memory(res map[string]any) {
	res["daemon_pss_kb"] = pssKB(strconv.Itoa(*server))
	res["pss_kb"] = pssOf(*mem)
	largest := map[string]int{}
	for _, name := range strings.Split(*mem, ",") {
		for _, pid := range named(name) {
			largest[name] = max(largest[name], pssKB(strconv.Itoa(pid)))
		}
	}
	res["pss_max_kb"] = largest
}

func named(name string) (pids []int) {
	b, _ := exec.Command("pgrep", "-x", name).Output()
	for _, text := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(text)
		must(err)
		pids = append(pids, pid)
	}
	return pids
}

func helpersCPU() (seconds float64) {
	for _, name := range strings.Split(*mem, ",") {
		for _, pid := range named(name) {
			if pid != *server {
				seconds += cpuSeconds(pid)
			}
		}
	}
	return seconds
}

func pollAsKubelet(ctx context.Context, rt cri.RuntimeServiceClient, res map[string]any) {
	if *poll == 0 {
		return
	}
	daemon, helpers, began := cpuSeconds(*server), helpersCPU(), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; i < *poll; i++ {
		_, e := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		must(e)
		_, e = rt.ListContainers(ctx, &cri.ListContainersRequest{})
		must(e)
		if i%10 == 0 {
			// What cannot be answered costs nothing, and was told above.
			_ = listContainerStats(ctx, rt)
			_ = listPodStats(ctx, rt)
		}
		<-tick.C
	}
	percent := 100 / time.Since(began).Seconds()
	res["poll_cpu_percent"] = (cpuSeconds(*server) - daemon) * percent
	res["poll_helpers_percent"] = (helpersCPU() - helpers) * percent
}
