package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// scene is what one run of an operation works on. The pod `home` is there for all operations on containers.
type scene struct {
	s         *server
	words     []string
	name      string // of what this run makes
	home      string
	pod       string
	container string
	answered  string // what the call answered before the crash, if it did
}

// operation is an RPC, with what it needs and what must hold after it was repeated.
type operation struct {
	name    string
	prepare func(ctx context.Context, sc *scene) error
	call    func(ctx context.Context, sc *scene) (string, error)
	check   func(ctx context.Context, sc *scene, again string) error // after the repetition, which answered `again`
	tidy    func(ctx context.Context, sc *scene) error
}

func homeConfig() *cri.PodSandboxConfig { return podConfig("home") }

func (sc *scene) podConfig() *cri.PodSandboxConfig {
	config := podConfig(sc.name)
	config.PortMappings = []*cri.PortMapping{{ContainerPort: 80, HostPort: 18081}}
	return config
}

// ---- what is there ----

func (sc *scene) podsNamed(ctx context.Context) ([]*cri.PodSandbox, error) {
	pods, err := sc.s.pods(ctx)
	var found []*cri.PodSandbox
	for _, pod := range pods {
		if pod.Metadata.Name == sc.name {
			found = append(found, pod)
		}
	}
	return found, err
}

func (sc *scene) containersNamed(ctx context.Context) ([]*cri.Container, error) {
	containers, err := sc.s.containers(ctx)
	var found []*cri.Container
	for _, container := range containers {
		if container.Metadata.Name == sc.name {
			found = append(found, container)
		}
	}
	return found, err
}

func (sc *scene) onePod(ctx context.Context, again string) error {
	pods, err := sc.podsNamed(ctx)
	if err != nil {
		return err
	}
	if len(pods) != 1 || pods[0].Id != again {
		return fmt.Errorf("%d pods of this name, %s answered", len(pods), again)
	}
	sc.pod = again
	state, err := sc.s.podStatus(ctx, again)
	if err != nil {
		return err
	}
	if state.State != cri.PodSandboxState_SANDBOX_READY || !strings.HasPrefix(state.GetNetwork().GetIp(), "10.88.") {
		return fmt.Errorf("the pod is %v with address %q", state.State, state.GetNetwork().GetIp())
	}
	return nil
}

func (sc *scene) oneContainer(ctx context.Context, again string) error {
	containers, err := sc.containersNamed(ctx)
	if err != nil {
		return err
	}
	if len(containers) != 1 || containers[0].Id != again {
		return fmt.Errorf("%d containers of this name, %s answered", len(containers), again)
	}
	sc.container = again
	if containers[0].State == cri.ContainerState_CONTAINER_CREATED {
		if err := sc.s.start(ctx, again); err != nil {
			return err
		}
	}
	return sc.s.exec(ctx, again, "usable", "echo", "usable")
}

// noGap reads logs in their order: the lines count up from 1.
func noGap(paths ...string) (int, error) {
	last := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return last, err
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if line == "" {
				continue
			}
			var number int
			if fields := strings.Fields(line); len(fields) != 5 {
				return last, fmt.Errorf("%s: %q", path, line)
			} else if _, err := fmt.Sscan(fields[4], &number); err != nil || number != last+1 {
				return last, fmt.Errorf("%s: after %d came %q", path, last, line)
			}
			last++
		}
	}
	return last, nil
}

// ---- preparation and cleaning ----

func havePod(ctx context.Context, sc *scene) (err error) {
	sc.pod, err = sc.s.runPod(ctx, sc.podConfig())
	return err
}

func haveRunningPod(ctx context.Context, sc *scene) (err error) {
	if err = havePod(ctx, sc); err != nil {
		return err
	}
	if sc.container, err = sc.s.create(ctx, sc.pod, containerConfig(sc.name), sc.podConfig()); err != nil {
		return err
	}
	return sc.s.start(ctx, sc.container)
}

func haveContainer(ctx context.Context, sc *scene) (err error) {
	sc.container, err = sc.s.create(ctx, sc.home, containerConfig(sc.name), homeConfig())
	return err
}

// haveRunning waits for the first line of the log: by then the shell hears signals.
func haveRunning(ctx context.Context, sc *scene) error {
	if err := haveContainer(ctx, sc); err != nil {
		return err
	}
	if err := sc.s.start(ctx, sc.container); err != nil {
		return err
	}
	return sc.waitLog(ctx)
}

func (sc *scene) waitLog(ctx context.Context) error {
	for {
		if text, _ := os.ReadFile(sc.log()); len(text) > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the container writes nothing")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (sc *scene) log() string {
	return filepath.Join(homeConfig().LogDirectory, sc.name+".log")
}

func tidyPod(ctx context.Context, sc *scene) error {
	if sc.pod == "" {
		return nil
	}
	if err := sc.s.stopPod(ctx, sc.pod); err != nil {
		return err
	}
	return sc.s.removePod(ctx, sc.pod)
}

func tidyContainer(ctx context.Context, sc *scene) error {
	if sc.container == "" {
		return nil
	}
	if err := sc.s.remove(ctx, sc.container); err != nil {
		return err
	}
	if left, err := sc.containersNamed(ctx); err != nil || len(left) > 0 {
		return fmt.Errorf("%d containers of this name are left (%v)", len(left), err)
	}
	return nil
}

func nothing(context.Context, *scene) error { return nil }

// ---- the operations ----

func hasEnded(ctx context.Context, sc *scene, code int32) error {
	state, err := sc.s.containerStatus(ctx, sc.container)
	if err != nil {
		return err
	}
	if state.State != cri.ContainerState_CONTAINER_EXITED || state.ExitCode != code || state.FinishedAt < state.StartedAt ||
		state.FinishedAt > time.Now().UnixNano() {
		return fmt.Errorf("the container is %v, code %d, %q, ended %d", state.State, state.ExitCode, state.Reason, state.FinishedAt)
	}
	return nil
}

func stopping(name string, grace int64, code int32) operation {
	return operation{
		name: name, prepare: haveRunning, tidy: tidyContainer,
		call: func(ctx context.Context, sc *scene) (string, error) {
			return "", sc.s.stopContainer(ctx, sc.container, grace)
		},
		check: func(ctx context.Context, sc *scene, _ string) error {
			if _, err := noGap(sc.log()); err != nil {
				return err
			}
			return hasEnded(ctx, sc, code)
		},
	}
}

func podOperations() []operation {
	return []operation{
		{
			name: "RunPodSandbox", prepare: nothing, tidy: tidyPod, check: checkPod,
			call: func(ctx context.Context, sc *scene) (string, error) { return sc.s.runPod(ctx, sc.podConfig()) },
		},
		{
			name: "StopPodSandbox", prepare: haveRunningPod, tidy: tidyPod,
			call: func(ctx context.Context, sc *scene) (string, error) { return "", sc.s.stopPod(ctx, sc.pod) },
			check: func(ctx context.Context, sc *scene, _ string) error {
				pods, err := sc.podsNamed(ctx)
				if err != nil || len(pods) != 1 || pods[0].State != cri.PodSandboxState_SANDBOX_NOTREADY {
					return fmt.Errorf("%v (%v)", pods, err)
				}
				leases, _ := filepath.Glob("/var/lib/cni/networks/crisp-it/10.88.*")
				if len(leases) != 1 { // home's
					return fmt.Errorf("addresses: %v", leases)
				}
				return hasEnded(ctx, sc, 137)
			},
		},
		{
			name: "RemovePodSandbox", prepare: haveRunningPod, tidy: nothing,
			call: func(ctx context.Context, sc *scene) (string, error) { return "", sc.s.removePod(ctx, sc.pod) },
			check: func(ctx context.Context, sc *scene, _ string) error {
				pods, err := sc.podsNamed(ctx)
				containers, other := sc.containersNamed(ctx)
				if err != nil || other != nil || len(pods)+len(containers) > 0 {
					return fmt.Errorf("%v %v (%v, %v)", pods, containers, err, other)
				}
				return nil
			},
		},
		{
			name: "UpdatePodSandboxResources", tidy: tidyPod, check: checkUpdatedPod,
			prepare: func(ctx context.Context, sc *scene) (err error) {
				config := sc.podConfig()
				config.Linux.CgroupParent = "" // a cgroup of the server's own, which it limits
				sc.pod, err = sc.s.runPod(ctx, config)
				return err
			},
			call: func(ctx context.Context, sc *scene) (string, error) {
				_, err := sc.s.rt.UpdatePodSandboxResources(ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: sc.pod,
					Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000}})
				return "", err
			},
		},
	}
}

func checkPod(ctx context.Context, sc *scene, again string) error {
	return sc.onePod(ctx, again)
}

func checkUpdatedPod(ctx context.Context, sc *scene, _ string) error {
	answer, err := sc.s.rt.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: sc.pod, Verbose: true})
	if err != nil {
		return err
	}
	for _, text := range answer.Info {
		if strings.Contains(text, "50000") {
			return nil
		}
	}
	return fmt.Errorf("the pod's status does not know of the update: %v", answer.Info)
}

func containerOperations() []operation {
	return []operation{
		{
			name: "CreateContainer", prepare: nothing, tidy: tidyContainer,
			call: func(ctx context.Context, sc *scene) (string, error) {
				return sc.s.create(ctx, sc.home, containerConfig(sc.name), homeConfig())
			},
			check: func(ctx context.Context, sc *scene, again string) error { return sc.oneContainer(ctx, again) },
		},
		{
			name: "StartContainer", prepare: haveContainer, tidy: tidyContainer,
			call: func(ctx context.Context, sc *scene) (string, error) {
				err := sc.s.start(ctx, sc.container)
				if status.Code(err) == codes.FailedPrecondition {
					if state, e := sc.s.containerStatus(ctx, sc.container); e == nil && state.State == cri.ContainerState_CONTAINER_RUNNING {
						err = nil // the first call did it
					}
				}
				return "", err
			},
			check: func(ctx context.Context, sc *scene, _ string) error {
				state, err := sc.s.containerStatus(ctx, sc.container)
				if err != nil || state.State != cri.ContainerState_CONTAINER_RUNNING || state.StartedAt < state.CreatedAt {
					return fmt.Errorf("%v (%v)", state, err)
				}
				return sc.s.exec(ctx, sc.container, "usable", "echo", "usable")
			},
		},
		stopping("StopContainer", 20, 3),
		stopping("StopContainer-now", 0, 137),
		{
			name: "RemoveContainer", prepare: haveRunning, tidy: tidyContainer,
			call: func(ctx context.Context, sc *scene) (string, error) { return "", sc.s.remove(ctx, sc.container) },
			check: func(ctx context.Context, sc *scene, _ string) error {
				left, err := sc.containersNamed(ctx)
				if err != nil || len(left) > 0 {
					return fmt.Errorf("%v (%v)", left, err)
				}
				return nil
			},
		},
		{
			name: "UpdateContainerResources", prepare: haveRunning, tidy: tidyContainer,
			call: func(ctx context.Context, sc *scene) (string, error) {
				_, err := sc.s.rt.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{ContainerId: sc.container,
					Linux: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000}})
				return "", err
			},
			check: func(ctx context.Context, sc *scene, _ string) error {
				state, err := sc.s.containerStatus(ctx, sc.container)
				if err != nil || state.GetResources().GetLinux().GetCpuQuota() != 50000 {
					return fmt.Errorf("%v (%v)", state, err)
				}
				return sc.s.exec(ctx, sc.container, "usable", "echo", "usable")
			},
		},
		{
			name: "ReopenContainerLog", tidy: tidyContainer,
			prepare: func(ctx context.Context, sc *scene) error {
				if err := haveRunning(ctx, sc); err != nil {
					return err
				}
				return os.Rename(sc.log(), sc.log()+".1")
			},
			call: func(ctx context.Context, sc *scene) (string, error) {
				// When the first call has made the new log there are lines in it, which the second must not lose.
				if _, err := os.Stat(sc.log()); err == nil {
					if err := sc.waitLog(ctx); err != nil {
						return "", err
					}
				}
				_, err := sc.s.rt.ReopenContainerLog(ctx, &cri.ReopenContainerLogRequest{ContainerId: sc.container})
				return "", err
			},
			check: func(ctx context.Context, sc *scene, _ string) error {
				if err := sc.waitLog(ctx); err != nil { // a line after those that may be missing
					return err
				}
				if err := sc.s.stopContainer(ctx, sc.container, 20); err != nil {
					return err
				}
				_, err := noGap(sc.log()+".1", sc.log())
				return err
			},
		},
		{
			name: "ExecSync", prepare: haveRunning, tidy: tidyContainer, check: checkNoExec,
			call: func(ctx context.Context, sc *scene) (string, error) {
				return "", sc.s.exec(ctx, sc.container, "hello", "echo", "hello")
			},
		},
		{
			name: "ExecSync-long", prepare: haveRunning, tidy: tidyContainer, check: checkNoExec,
			call: func(ctx context.Context, sc *scene) (string, error) {
				_, err := sc.s.rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: sc.container, Cmd: []string{"sleep", "4343"}, Timeout: 1})
				if status.Code(err) == codes.DeadlineExceeded {
					err = nil
				}
				return "", err
			},
		},
	}
}

// checkNoExec waits until neither a document nor a process of an exec is there.
func checkNoExec(ctx context.Context, sc *scene, _ string) error {
	for {
		documents, _ := filepath.Glob("/run/crisp/containers/" + sc.container + "/exec-*")
		sleeps := 0
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			if text, _ := os.ReadFile(path); string(text) == "sleep\x004343\x00" {
				sleeps++
			}
		}
		if len(documents)+sleeps == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%v, %d processes of an exec", documents, sleeps)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func imageOperations() []operation {
	return []operation{
		{
			name: "PullImage", prepare: nothing,
			call: func(ctx context.Context, sc *scene) (string, error) { return sc.s.pull(ctx, *spare) },
			check: func(ctx context.Context, sc *scene, again string) error {
				id, err := sc.s.imageID(ctx, *spare)
				if err != nil || id == "" {
					return fmt.Errorf("the image is not there (%v)", err)
				}
				config := containerConfig(sc.name)
				config.Image.Image = *spare
				config.Command = nil
				if sc.container, err = sc.s.create(ctx, sc.home, config, homeConfig()); err != nil {
					return err
				}
				return sc.s.start(ctx, sc.container)
			},
			tidy: func(ctx context.Context, sc *scene) error {
				if err := tidyContainer(ctx, sc); err != nil {
					return err
				}
				return sc.s.removeImage(ctx, *spare)
			},
		},
		{
			name: "RemoveImage", tidy: nothing,
			prepare: func(ctx context.Context, sc *scene) error { _, err := sc.s.pull(ctx, *spare); return err },
			call:    func(ctx context.Context, sc *scene) (string, error) { return "", sc.s.removeImage(ctx, *spare) },
			check: func(ctx context.Context, sc *scene, _ string) error {
				id, err := sc.s.imageID(ctx, *spare)
				if err != nil || id != "" {
					return fmt.Errorf("the image is still there: %s (%v)", id, err)
				}
				return nil
			},
		},
		{
			name: "UpdateRuntimeConfig", prepare: nothing, tidy: nothing,
			call: func(ctx context.Context, sc *scene) (string, error) {
				_, err := sc.s.rt.UpdateRuntimeConfig(ctx, &cri.UpdateRuntimeConfigRequest{RuntimeConfig: &cri.RuntimeConfig{
					NetworkConfig: &cri.NetworkConfig{PodCidr: "10.88.0.0/16"}}})
				return "", err
			},
			check: func(ctx context.Context, sc *scene, _ string) error {
				answer, err := sc.s.rt.Status(ctx, &cri.StatusRequest{Verbose: true})
				if err == nil && !strings.Contains(fmt.Sprint(answer.Info), "10.88.0.0/16") {
					err = fmt.Errorf("the status does not know of it: %v", answer.Info)
				}
				return err
			},
		},
	}
}

func operations() []operation {
	return append(append(podOperations(), containerOperations()...), imageOperations()...)
}
