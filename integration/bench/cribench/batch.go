package main

import (
	"context"
	"fmt"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// batch is a number of pods with one container each, started and stopped with each RPC timed.
type batch struct {
	rt      cri.RuntimeServiceClient
	r       *rec
	image   *cri.ImageSpec
	mode    cri.NamespaceMode
	profile *cri.SecurityProfile
	run     string

	pods, ctrs []string // ids
}

func newBatch(rt cri.RuntimeServiceClient, r *rec, image *cri.ImageSpec, mode cri.NamespaceMode, profile *cri.SecurityProfile, run string) *batch {
	return &batch{rt: rt, r: r, image: image, mode: mode, profile: profile, run: run,
		pods: make([]string, *n), ctrs: make([]string, *n)}
}

func (b *batch) podConfig(i int) *cri.PodSandboxConfig {
	pc := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: fmt.Sprintf("bench-%d", i), Namespace: "bench", Uid: b.run + "-" + fmt.Sprint(i)},
		Hostname: fmt.Sprintf("bench-%d", i), LogDirectory: "/tmp/cribench/" + b.run + fmt.Sprint(i), Labels: map[string]string{"app": "bench"},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: b.mode}, Seccomp: b.profile}}}
	if *scale {
		pc.Linux.CgroupParent = cgroupParent(i)
	}
	if *hostnet {
		pc.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
	}
	return pc
}

func (b *batch) start(ctx context.Context, i int) error {
	pc := b.podConfig(i)
	return b.r.time("PodReady", func() error {
		if e := b.r.time("RunPodSandbox", func() error {
			x, e := b.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pc, RuntimeHandler: *handler})
			if e == nil {
				b.pods[i] = x.PodSandboxId
			}
			return e
		}); e != nil {
			return e
		}
		if e := b.r.time("CreateContainer", func() error {
			x, e := b.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: b.pods[i], SandboxConfig: pc, Config: &cri.ContainerConfig{
				Metadata: &cri.ContainerMetadata{Name: "c"}, Image: b.image, Command: []string{"sleep", "100000"}, LogPath: "c.log",
				Labels: map[string]string{"app": "bench"}, Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
					NamespaceOptions: &cri.NamespaceOption{Pid: b.mode}, Seccomp: b.profile}}}})
			if e == nil {
				b.ctrs[i] = x.ContainerId
			}
			return e
		}); e != nil {
			return e
		}
		return b.r.time("StartContainer", func() error {
			_, e := b.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: b.ctrs[i]})
			return e
		})
	})
}

func (b *batch) stop(ctx context.Context, i int) error {
	return b.r.time("PodGone", func() error {
		if e := b.r.time("StopContainer", func() error {
			_, e := b.rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: b.ctrs[i], Timeout: 0})
			return e
		}); e != nil {
			return e
		}
		if e := b.r.time("StopPodSandbox", func() error {
			_, e := b.rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: b.pods[i]})
			return e
		}); e != nil {
			return e
		}
		return b.r.time("RemovePodSandbox", func() error {
			_, e := b.rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: b.pods[i]})
			return e
		})
	})
}
