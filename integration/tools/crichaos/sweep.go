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
)

const (
	root      = "/var/lib/crisp"
	quiet     = 250 * time.Millisecond // what a call leaves to the background has passed its points by then
	endSoon   = 5 * time.Second
	cleanSoon = 30 * time.Second
)

// pass is the nth time that a point is passed after it was armed.
type pass struct {
	name string
	nth  int
}

func (p pass) String() string { return fmt.Sprintf("%s %d", p.name, p.nth) }

type sweep struct {
	words  []string
	s      *server
	home   string
	count  int // of scenes
	passed map[string]bool
	taken  map[string]bool // with -once: names that there was a crash at
}

// ---- the points ----

func crashFile(name string) string { return filepath.Join(*crashes, name) }

func arm(p pass) error {
	os.Remove(crashFile("fired"))
	temporary := crashFile("arming")
	if err := os.WriteFile(temporary, []byte(p.String()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, crashFile("armed"))
}

func disarm() { os.Remove(crashFile("armed")) }

func traceOn() error { return os.WriteFile(crashFile("trace"), nil, 0o600) }

// traceOff waits until no more points are passed, and returns the names in their order.
func traceOff() []string {
	size := int64(-1)
	for {
		info, err := os.Stat(crashFile("trace"))
		if err != nil || info.Size() == size {
			break
		}
		size = info.Size()
		time.Sleep(quiet)
	}
	text, _ := os.ReadFile(crashFile("trace"))
	os.Remove(crashFile("trace"))
	return strings.Fields(string(text))
}

// choose makes passes of a trace: all of them, or the first and the last of each name.
func (w *sweep) choose(trace []string) []pass {
	total, seen := map[string]int{}, map[string]int{}
	for _, name := range trace {
		total[name]++
		w.passed[name] = true
	}
	var passes []pass
	for _, name := range trace {
		seen[name]++
		if *once && w.taken[name] {
			continue
		}
		if *full || seen[name] == 1 || (!*once && seen[name] == total[name]) {
			w.taken[name] = true
			passes = append(passes, pass{name, seen[name]})
		}
	}
	return passes
}

// ---- one run ----

func (w *sweep) restart() (err error) {
	if w.s != nil {
		w.s.close()
	}
	w.s, err = startServer(w.words)
	return err
}

func (w *sweep) scene() *scene {
	w.count++
	return &scene{s: w.s, words: w.words, name: fmt.Sprintf("it-%d", w.count), home: w.home}
}

func isLost(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}

// callAndCrash makes the call, at whose armed point the server must end; missed when it does not.
func (w *sweep) callAndCrash(ctx context.Context, op operation, sc *scene) (missed bool, err error) {
	sc.answered, err = op.call(ctx, sc)
	if err != nil && !isLost(err) && w.s.running() {
		return false, fmt.Errorf("the call: %w", err)
	}
	if err != nil {
		sc.answered = ""
	}
	return !w.s.waitGone(endSoon), nil
}

// listed are the ids of what has this run's name: there may be one at most.
func (sc *scene) listed(ctx context.Context) (string, error) {
	pods, err := sc.podsNamed(ctx)
	if err != nil {
		return "", err
	}
	containers, err := sc.containersNamed(ctx)
	if err != nil {
		return "", err
	}
	if len(pods) > 1 || len(containers) > 1 {
		return "", fmt.Errorf("%d pods and %d containers of one name", len(pods), len(containers))
	}
	if len(containers) == 1 {
		return containers[0].Id, nil
	}
	if len(pods) == 1 {
		return pods[0].Id, nil
	}
	return "", nil
}

// afterwards repeats the call and looks at the outcome. makes: the operation answers the id of what it made.
func (w *sweep) afterwards(ctx context.Context, op operation, sc *scene, before census, wait bool) error {
	sc.s = w.s
	makes := op.name == "RunPodSandbox" || op.name == "CreateContainer"
	there, err := sc.listed(ctx)
	if err != nil {
		return err
	}
	if makes && sc.answered != "" && there != sc.answered {
		return fmt.Errorf("%s was answered, %q is listed", sc.answered, there)
	}
	if makes && there == "" && wait {
		if err := clean(root, before, cleanSoon); err != nil {
			return fmt.Errorf("not undone: %w", err)
		}
	}
	again, err := op.call(ctx, sc)
	if err != nil {
		return fmt.Errorf("the same request once more: %w", err)
	}
	if makes && there != "" && again != there {
		return fmt.Errorf("%s is listed, the same request once more answers %s", there, again)
	}
	if err := op.check(ctx, sc, again); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	if err := op.tidy(ctx, sc); err != nil {
		return fmt.Errorf("removal: %w", err)
	}
	return clean(root, before, cleanSoon)
}

// calm runs an operation without a crash, traced.
func (w *sweep) calm(op operation) ([]pass, error) {
	ctx, cancel := within(callPatience)
	defer cancel()
	sc := w.scene()
	if err := op.prepare(ctx, sc); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if err := traceOn(); err != nil {
		return nil, err
	}
	answered, err := op.call(ctx, sc)
	passes := w.choose(traceOff())
	if err != nil {
		return nil, err
	}
	if err := op.check(ctx, sc, answered); err != nil {
		return nil, fmt.Errorf("check: %w", err)
	}
	return passes, op.tidy(ctx, sc)
}

var errMissed = errors.New("the point was not passed")

func (w *sweep) crashAt(op operation, p pass, before census, wait bool) error {
	ctx, cancel := within(callPatience)
	defer cancel()
	sc := w.scene()
	if err := op.prepare(ctx, sc); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := arm(p); err != nil {
		return err
	}
	missed, err := w.callAndCrash(ctx, op, sc)
	if err != nil {
		return err
	}
	if missed {
		disarm()
	} else if err := w.restart(); err != nil {
		return err
	}
	if err := w.afterwards(ctx, op, sc, before, wait); err != nil {
		return err
	}
	if missed {
		return errMissed
	}
	return nil
}

// ---- crashes while a start undoes what a crash has left ----

// half makes the call and dies at p; the server is then not running.
func (w *sweep) half(ctx context.Context, op operation, p pass) (*scene, error) {
	sc := w.scene()
	if err := op.prepare(ctx, sc); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if err := arm(p); err != nil {
		return nil, err
	}
	if missed, err := w.callAndCrash(ctx, op, sc); missed || err != nil {
		return nil, fmt.Errorf("not ended at %v (%v)", p, err)
	}
	return sc, nil
}

func (w *sweep) calmStart(op operation, p pass, before census) ([]pass, error) {
	ctx, cancel := within(callPatience)
	defer cancel()
	sc, err := w.half(ctx, op, p)
	if err != nil {
		return nil, err
	}
	if err := traceOn(); err != nil {
		return nil, err
	}
	if err := w.restart(); err != nil {
		return nil, err
	}
	passes := w.choose(traceOff())
	return passes, w.afterwards(ctx, op, sc, before, true)
}

func (w *sweep) crashInStart(op operation, first, second pass, before census) error {
	ctx, cancel := within(callPatience)
	defer cancel()
	sc, err := w.half(ctx, op, first)
	if err != nil {
		return err
	}
	if err := arm(second); err != nil {
		return err
	}
	if err := w.restart(); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	missed := !w.s.waitGone(endSoon)
	if missed {
		disarm()
	} else if err := w.restart(); err != nil {
		return err
	}
	if err := w.afterwards(ctx, op, sc, before, true); err != nil {
		return err
	}
	if missed {
		return errMissed
	}
	return nil
}

// What a start has to do: after a crash of this operation at this point.
var starts = map[string][]string{
	"RunPodSandbox":   {"run_pod.hosts"},
	"CreateContainer": {"create.made"},
	"StartContainer":  {"start.started"},
	"StopContainer":   {"stop.asked"},
	"RemoveContainer": {"discard.moved"},
	"ExecSync-long":   {"exec.started"},
}

// ---- all of it ----

type tally struct{ points, failures, missed int }

func (t *tally) add(what string, err error) {
	t.points++
	switch {
	case err == errMissed:
		t.missed++
		fmt.Printf("# %s: %v\n", what, err)
	case err != nil:
		t.failures++
		fmt.Printf("FAILED %s: %v\n", what, err)
	}
}

// ready has a server and the pod `home`, whatever the run before left.
func (w *sweep) ready() error {
	disarm()
	if w.s == nil || !w.s.running() {
		if err := w.restart(); err != nil {
			return err
		}
	}
	ctx, cancel := within(callPatience)
	defer cancel()
	if err := w.removeAll(ctx); err != nil {
		return err
	}
	home, err := w.s.runPod(ctx, homeConfig())
	w.home = home
	return err
}

func (w *sweep) removeAll(ctx context.Context) error {
	pods, err := w.s.pods(ctx)
	for _, pod := range pods {
		if err == nil {
			err = tidyPod(ctx, &scene{s: w.s, pod: pod.Id})
		}
	}
	return err
}

func (w *sweep) operation(op operation) tally {
	var t tally
	if err := w.ready(); err != nil {
		t.add(op.name, err)
		return t
	}
	passes, err := w.calm(op)
	if err != nil {
		t.add(op.name+", without a crash", err)
		return t
	}
	before := settled(root)
	for i, p := range passes {
		err := w.crashAt(op, p, before, i%2 == 0)
		t.add(fmt.Sprintf("%s at %v", op.name, p), err)
		if err != nil && err != errMissed {
			if err := w.ready(); err != nil {
				t.add(op.name+", after a failure", err)
				return t
			}
			before = settled(root)
		}
	}
	for _, name := range starts[op.name] {
		w.starts(op, pass{name, 1}, &t)
	}
	return t
}

func (w *sweep) starts(op operation, first pass, t *tally) {
	if err := w.ready(); err != nil {
		t.add(op.name, err)
		return
	}
	before := settled(root)
	passes, err := w.calmStart(op, first, before)
	if err != nil {
		t.add(fmt.Sprintf("the start after %s at %v", op.name, first), err)
		return
	}
	for _, p := range passes {
		err := w.crashInStart(op, first, p, before)
		t.add(fmt.Sprintf("the start after %s at %v, at %v", op.name, first, p), err)
		if err != nil && err != errMissed {
			if err := w.ready(); err != nil {
				t.add(op.name+", after a failure", err)
				return
			}
			before = settled(root)
		}
	}
}

// unpassed are the points that the file names and nothing has passed.
func (w *sweep) unpassed() []string {
	var names []string
	if *points == "" {
		return nil
	}
	text, err := os.ReadFile(*points)
	if err != nil {
		fail("%v", err)
	}
	for _, name := range strings.Fields(string(text)) {
		if !w.passed[name] {
			names = append(names, name)
		}
	}
	return names
}

func wanted(name string, names []string) bool {
	if len(names) == 0 {
		return true
	}
	for _, candidate := range names {
		if candidate == name {
			return true
		}
	}
	return false
}

func sweepAll(words, names []string) int {
	w := &sweep{words: words, passed: map[string]bool{}, taken: map[string]bool{}}
	var all tally
	begin := time.Now()
	for _, op := range operations() {
		if !wanted(op.name, names) {
			continue
		}
		since := time.Now()
		t := w.operation(op)
		fmt.Printf("%s: %d points, %d failures, %d not passed again, %.1f s\n", op.name, t.points, t.failures, t.missed,
			time.Since(since).Seconds())
		all.points += t.points
		all.failures += t.failures
		all.missed += t.missed
	}
	if len(names) == 0 {
		for _, name := range w.unpassed() {
			fmt.Printf("FAILED point %s: no call passes it\n", name)
			all.failures++
		}
	}
	if w.s != nil && w.s.running() {
		ctx, cancel := within(callPatience)
		defer cancel()
		if err := w.removeAll(ctx); err != nil {
			fmt.Printf("FAILED removing all: %v\n", err)
			all.failures++
		}
		if err := w.s.stop(); err != nil {
			fmt.Printf("FAILED %v\n", err)
			all.failures++
		}
	}
	fmt.Printf("%d crashes at %d names in %.0f s, %d failures\n", all.points-all.missed, len(w.passed), time.Since(begin).Seconds(),
		all.failures)
	return all.failures
}
