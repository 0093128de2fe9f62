// An open-loop load: pods arrive at a given rate whether or not the server keeps up, each is timed from the instant it was due, lives
// a moment and goes; while other pods are there, a kubelet relists once a second, takes stats every ten, and runs exec probes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	rates   = flag.String("rates", "", "only an open-loop load, see load.go: pods per second, comma separated; -n arrivals at each")
	present = flag.Int("present", 0, "with -rates: pods present all the time")
	probes  = flag.Float64("probes", 22, "with -rates: exec probes per second")
	life    = flag.Duration("life", 3*time.Second, "with -rates: how long a pod lives once it is ready")
)

// pod is what the load knows of one: it is made, probed and removed.
type pod struct{ sandbox, container string }

type maker struct {
	rt       cri.RuntimeServiceClient
	spec     *cri.ImageSpec
	security *cri.NamespaceOption
	profile  *cri.SecurityProfile
	run      string
	leftOut  atomic.Int32 // probes
}

func (m *maker) make(ctx context.Context, i int) (pod, error) {
	name := fmt.Sprintf("bench-%d", i)
	config := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: m.run + "-" + fmt.Sprint(i)},
		Hostname: name, LogDirectory: "/tmp/cribench/" + m.run + fmt.Sprint(i), Labels: map[string]string{"app": "bench"},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: m.security, Seccomp: m.profile}}}
	box, err := m.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: *handler})
	if err != nil {
		return pod{}, err
	}
	made, err := m.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: box.PodSandboxId, SandboxConfig: config,
		Config: &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: m.spec, Command: []string{"sleep", "100000"},
			LogPath: "c.log", Labels: map[string]string{"app": "bench"}, Linux: &cri.LinuxContainerConfig{
				SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: m.security, Seccomp: m.profile}}}})
	if err != nil {
		return pod{}, err
	}
	_, err = m.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: made.ContainerId})
	return pod{box.PodSandboxId, made.ContainerId}, err
}

func (m *maker) remove(ctx context.Context, p pod) error {
	if _, err := m.rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.container}); err != nil {
		return err
	}
	if _, err := m.rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		return err
	}
	_, err := m.rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox})
	return err
}

// every runs f at the given rate until done is closed; a call that is late does not hold up the next.
func every(gap time.Duration, done chan struct{}, wg *sync.WaitGroup, f func(i int)) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(gap)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
				wg.Add(1)
				go func() { defer wg.Done(); f(i) }()
			}
		}
	}()
}

// kubelet polls as one does, and probes the pods that are there all the time.
func (m *maker) kubelet(ctx context.Context, r *rec, there []pod, done chan struct{}, wg *sync.WaitGroup) {
	every(time.Second, done, wg, func(int) {
		must(r.time("Relist", func() error {
			if _, err := m.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err != nil {
				return err
			}
			_, err := m.rt.ListContainers(ctx, &cri.ListContainersRequest{})
			return err
		}))
	})
	every(10*time.Second, done, wg, func(int) { _, _ = m.rt.ListContainerStats(ctx, &cri.ListContainerStatsRequest{}) })
	var running atomic.Int32 // a server that does not keep up is asked less: the probes left out are told
	every(time.Duration(float64(time.Second) / *probes), done, wg, func(i int) {
		defer running.Add(-1)
		if running.Add(1) > 100 {
			m.leftOut.Add(1)
			return
		}
		must(r.time("Probe", func() error {
			_, err := m.rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: there[i%len(there)].container, Cmd: []string{"true"}, Timeout: 30})
			return err
		}))
	})
}

func (m *maker) arrivals(ctx context.Context, r *rec, rate float64, first int) {
	gap := time.Duration(float64(time.Second) / rate)
	name := "PodReady_" + strconv.FormatFloat(rate, 'f', -1, 64) + "_per_s"
	began := time.Now()
	var wg sync.WaitGroup
	for i := 0; i < *n; i++ {
		due := began.Add(time.Duration(i) * gap)
		time.Sleep(time.Until(due))
		wg.Add(1)
		go func() {
			defer wg.Done()
			p, err := m.make(ctx, first+i)
			must(err)
			r.add(name, time.Since(due))
			time.Sleep(*life)
			must(r.time("PodGone", func() error { return m.remove(ctx, p) }))
		}()
	}
	wg.Wait()
}

func load(ctx context.Context, m *maker, r *rec, res map[string]any) {
	there := make([]pod, max(*present, 1)) // without a pod there is nothing to probe
	must(os.MkdirAll("/tmp/cribench", 0o755))
	each(len(there), 4, func(i int) (err error) {
		there[i], err = m.make(ctx, i)
		return err
	})
	done := make(chan struct{})
	var wg sync.WaitGroup
	m.kubelet(ctx, r, there, done, &wg)
	for i, text := range strings.Split(*rates, ",") {
		rate, err := strconv.ParseFloat(text, 64)
		must(err)
		m.arrivals(ctx, r, rate, len(there)+i**n)
	}
	close(done)
	wg.Wait()
	each(len(there), 4, func(i int) error { return m.remove(ctx, there[i]) })
	res["present"] = *present
	res["probes_left_out"] = m.leftOut.Load()
}

// busy is the time the whole machine spent not idle, without this program's own: what a load costs whoever serves it.
func busy() time.Duration {
	const tick = time.Second / 100 // USER_HZ
	text, err := os.ReadFile("/proc/stat")
	must(err)
	var sum time.Duration
	for i, field := range strings.Fields(strings.SplitN(string(text), "\n", 2)[0])[1:9] {
		value, err := strconv.ParseInt(field, 10, 64)
		must(err)
		if i != 3 && i != 4 { // idle, iowait
			sum += time.Duration(value) * tick
		}
	}
	var own syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	return sum - time.Duration(own.Utime.Nano()+own.Stime.Nano())
}
