package main

import (
	"context"
	"fmt"
	"math/rand"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// churning is what the workers share with whoever kills the server.
type churning struct {
	words []string
	mu    sync.Mutex
	s     *server         // that serves, or did a moment ago
	pods  map[string]bool // answered, and not asked to be removed yet
	runs  map[string]bool // containers whose start was answered, and that were not asked to stop
	gone  map[string]bool // pods whose removal was answered

	lives    atomic.Int64 // of pods
	calls    atomic.Int64 // answered
	repeated atomic.Int64
	failures atomic.Int64
	over     atomic.Bool
}

func (c *churning) failed(format string, args ...any) {
	c.failures.Add(1)
	fmt.Printf("FAILED "+format+"\n", args...)
}

func (c *churning) server() *server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

func (c *churning) note(set map[string]bool, id string, in bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in {
		set[id] = true
	} else {
		delete(set, id)
	}
}

// insist repeats a call for as long as the server is not there, as a kubelet does.
func (c *churning) insist(call func(ctx context.Context, s *server) error) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		ctx, cancel := within(callPatience)
		err := call(ctx, c.server())
		cancel()
		if !isLost(err) || time.Now().After(end) {
			c.calls.Add(1)
			return err
		}
		c.repeated.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
}

// idOf is of a call that answers one; the same request must always answer the same.
func (c *churning) idOf(call func(ctx context.Context, s *server) (string, error)) (id string, err error) {
	err = c.insist(func(ctx context.Context, s *server) (err error) {
		id, err = call(ctx, s)
		return err
	})
	if err != nil {
		return "", err
	}
	var again string
	err = c.insist(func(ctx context.Context, s *server) (err error) {
		again, err = call(ctx, s)
		return err
	})
	if err == nil && again != id {
		err = fmt.Errorf("%s was answered, then %s", id, again)
	}
	return id, err
}

func (c *churning) startContainer(id string) error {
	err := c.insist(func(ctx context.Context, s *server) error { return s.start(ctx, id) })
	if status.Code(err) != codes.FailedPrecondition {
		return err
	}
	// The call before may have started it without an answer.
	var state *cri.ContainerStatus
	other := c.insist(func(ctx context.Context, s *server) (err error) {
		state, err = s.containerStatus(ctx, id)
		return err
	})
	if other == nil && state.State == cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	return err
}

// container is a whole life of one. Half of them are stopped and removed by themselves, the others with their pod.
func (c *churning) container(pod string, sandbox *cri.PodSandboxConfig, name string, random *rand.Rand) error {
	config := containerConfig(name)
	id, err := c.idOf(func(ctx context.Context, s *server) (string, error) { return s.create(ctx, pod, config, sandbox) })
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := c.startContainer(id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	c.note(c.runs, id, true)
	defer c.note(c.runs, id, false)
	for i := random.Intn(4); i > 0; i-- {
		if err := c.insist(func(ctx context.Context, s *server) error { return s.exec(ctx, id, name, "echo", name) }); err != nil {
			return fmt.Errorf("exec: %w", err)
		}
	}
	c.note(c.runs, id, false)
	if random.Intn(2) == 0 {
		return nil
	}
	if err := c.insist(func(ctx context.Context, s *server) error { return s.stopContainer(ctx, id, 20) }); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if err := c.hasEnded(id, filepath.Join(sandbox.LogDirectory, name+".log")); err != nil {
		return err
	}
	if err := c.insist(func(ctx context.Context, s *server) error { return s.remove(ctx, id) }); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

// hasEnded: by the signal it was sent, after the shell heard it or before.
func (c *churning) hasEnded(id, log string) error {
	var state *cri.ContainerStatus
	err := c.insist(func(ctx context.Context, s *server) (err error) {
		state, err = s.containerStatus(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if state.State != cri.ContainerState_CONTAINER_EXITED || (state.ExitCode != 3 && state.ExitCode != 143 && state.ExitCode != 137) {
		return fmt.Errorf("stopped, it is %v with code %d, %s", state.State, state.ExitCode, state.Reason)
	}
	if _, err := noGap(log); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// life is that of a pod.
func (c *churning) life(name string, random *rand.Rand) error {
	config := podConfig(name)
	id, err := c.idOf(func(ctx context.Context, s *server) (string, error) { return s.runPod(ctx, config) })
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	c.note(c.pods, id, true)
	defer c.note(c.pods, id, false)
	for i := 0; i <= random.Intn(2); i++ {
		if err := c.container(id, config, fmt.Sprintf("c%d", i), random); err != nil {
			return fmt.Errorf("container %d of %s: %w", i, id, err)
		}
	}
	c.note(c.pods, id, false)
	if random.Intn(2) == 0 {
		if err := c.insist(func(ctx context.Context, s *server) error { return s.stopPod(ctx, id) }); err != nil {
			return fmt.Errorf("stop of the pod: %w", err)
		}
	}
	if err := c.insist(func(ctx context.Context, s *server) error { return s.removePod(ctx, id) }); err != nil {
		return fmt.Errorf("removal of the pod: %w", err)
	}
	c.note(c.gone, id, true)
	c.lives.Add(1)
	return nil
}

func (c *churning) work(worker int) {
	random := rand.New(rand.NewSource(*seed + int64(worker)))
	for i := 0; !c.over.Load(); i++ {
		if err := c.life(fmt.Sprintf("w%d-%d", worker, i), random); err != nil {
			c.failed("worker %d, pod %d: %v", worker, i, err)
		}
	}
}

// promised is what was answered up to now.
type promised struct{ pods, runs, gone map[string]bool }

func copied(set map[string]bool) map[string]bool {
	copy := map[string]bool{}
	for id := range set {
		copy[id] = true
	}
	return copy
}

func (c *churning) promised() promised {
	c.mu.Lock()
	defer c.mu.Unlock()
	return promised{copied(c.pods), copied(c.runs), copied(c.gone)}
}

// look compares what is listed with what was answered: what was so before the list and still is after it.
func (c *churning) look() error {
	ctx, cancel := within(callPatience)
	defer cancel()
	before := c.promised()
	pods, err := c.s.pods(ctx)
	if err != nil {
		return err
	}
	containers, err := c.s.containers(ctx)
	if err != nil {
		return err
	}
	after := c.promised()
	ready, names := map[string]bool{}, map[string]bool{}
	for _, pod := range pods {
		if names[pod.Metadata.Name] {
			c.failed("two pods have the name %s", pod.Metadata.Name)
		}
		names[pod.Metadata.Name] = true
		ready[pod.Id] = pod.State == cri.PodSandboxState_SANDBOX_READY
		if before.gone[pod.Id] {
			c.failed("pod %s is back after its removal", pod.Id)
		}
	}
	for id := range before.pods {
		if after.pods[id] && !ready[id] {
			c.failed("pod %s is lost or not ready", id)
		}
	}
	running := map[string]bool{}
	for _, container := range containers {
		name := container.PodSandboxId + "/" + container.Metadata.Name
		if names[name] {
			c.failed("two containers have the name %s", name)
		}
		names[name] = true
		running[container.Id] = container.State == cri.ContainerState_CONTAINER_RUNNING
	}
	for id := range before.runs {
		if after.runs[id] && !running[id] {
			c.failed("container %s is lost or does not run", id)
		}
	}
	return nil
}

func (c *churning) restart() error {
	s, err := startServer(c.words)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.s = s
	c.mu.Unlock()
	return nil
}

// letPass waits until so many calls were answered: on a slow machine, too, the workers get on between two kills.
func (c *churning) letPass(calls int) {
	want := c.calls.Load() + int64(calls)
	for end := time.Now().Add(5 * time.Second); c.calls.Load() < want && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// killing ends the server at random moments; it returns the times from start to serving.
func (c *churning) killing() []time.Duration {
	var served []time.Duration
	random := rand.New(rand.NewSource(*seed))
	for i := 0; i < *kills; i++ {
		c.letPass(random.Intn(24))
		time.Sleep(time.Duration(random.Intn(20)) * time.Millisecond)
		c.s.kill()
		if err := c.restart(); err != nil {
			c.failed("start %d: %v", i, err)
			break
		}
		served = append(served, c.s.served)
		if err := c.look(); err != nil {
			c.failed("after kill %d: %v", i, err)
		}
	}
	return served
}

func churn(words []string) int {
	c := &churning{words: words, pods: map[string]bool{}, runs: map[string]bool{}, gone: map[string]bool{}}
	if err := c.restart(); err != nil {
		fail("%v", err)
	}
	before := settled(root)
	begin := time.Now()
	var all sync.WaitGroup
	for i := 0; i < *workers; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			c.work(i)
		}()
	}
	if *kills > 0 {
		served := c.killing()
		fmt.Printf("start to serving: %v\n", spread(served))
	} else {
		c.measure()
	}
	c.over.Store(true)
	all.Wait()
	if c.s.running() {
		if err := clean(root, before, cleanSoon); err != nil {
			c.failed("%v", err)
		}
		if err := c.s.stop(); err != nil {
			c.failed("%v", err)
		}
	}
	fmt.Printf("%d kills, %d pods lived, %d calls answered, %d repeated, %.0f s, %d failures\n", *kills, c.lives.Load(), c.calls.Load(),
		c.repeated.Load(), time.Since(begin).Seconds(), c.failures.Load())
	return int(c.failures.Load())
}
