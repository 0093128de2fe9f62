package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const namespace = "chaos"

// What a container does: it counts into its log, and ends with 3 when it is asked to.
const counting = `trap "exit 3" TERM; i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.1; done`

func podConfig(name string) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Namespace: namespace, Uid: "uid-of-" + name},
		Hostname:     name,
		LogDirectory: filepath.Join(*logs, name),
		Linux:        &cri.LinuxPodSandboxConfig{CgroupParent: *parent},
	}
}

func containerConfig(name string) *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: *image, UserSpecifiedImage: *image},
		Command:  []string{"sh", "-c", counting},
		LogPath:  name + ".log",
		Linux:    &cri.LinuxContainerConfig{},
	}
}

func (s *server) runPod(ctx context.Context, config *cri.PodSandboxConfig) (string, error) {
	answer, err := s.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	return answer.GetPodSandboxId(), err
}

func (s *server) stopPod(ctx context.Context, id string) error {
	_, err := s.rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id})
	return err
}

func (s *server) removePod(ctx context.Context, id string) error {
	_, err := s.rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}

func (s *server) create(ctx context.Context, pod string, config *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) (string, error) {
	answer, err := s.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: pod, Config: config, SandboxConfig: sandbox})
	return answer.GetContainerId(), err
}

func (s *server) start(ctx context.Context, id string) error {
	_, err := s.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id})
	return err
}

func (s *server) stopContainer(ctx context.Context, id string, grace int64) error {
	_, err := s.rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: grace})
	return err
}

func (s *server) remove(ctx context.Context, id string) error {
	_, err := s.rt.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: id})
	return err
}

// exec fails unless the command ends well and says what it should.
func (s *server) exec(ctx context.Context, id, want string, command ...string) error {
	answer, err := s.rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	if err != nil {
		return err
	}
	if answer.ExitCode != 0 || strings.TrimSpace(string(answer.Stdout)) != want {
		return fmt.Errorf("exec: code %d, %q, %q", answer.ExitCode, answer.Stdout, answer.Stderr)
	}
	return nil
}

func (s *server) pods(ctx context.Context) ([]*cri.PodSandbox, error) {
	answer, err := s.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	return answer.GetItems(), err
}

func (s *server) containers(ctx context.Context) ([]*cri.Container, error) {
	answer, err := s.rt.ListContainers(ctx, &cri.ListContainersRequest{})
	return answer.GetContainers(), err
}

func (s *server) containerStatus(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	answer, err := s.rt.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	return answer.GetStatus(), err
}

func (s *server) podStatus(ctx context.Context, id string) (*cri.PodSandboxStatus, error) {
	answer, err := s.rt.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	return answer.GetStatus(), err
}

// imageID is empty when the image is not there.
func (s *server) imageID(ctx context.Context, name string) (string, error) {
	answer, err := s.im.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
	return answer.GetImage().GetId(), err
}

func (s *server) pull(ctx context.Context, name string) (string, error) {
	answer, err := s.im.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
	return answer.GetImageRef(), err
}

func (s *server) removeImage(ctx context.Context, name string) error {
	_, err := s.im.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: name}})
	return err
}
