package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	startPatience = 30 * time.Second
	callPatience  = 60 * time.Second
)

// server is one life of the server's process.
type server struct {
	cmd    *exec.Cmd
	gone   chan struct{} // closed once the process has ended
	conn   *grpc.ClientConn
	rt     cri.RuntimeServiceClient
	im     cri.ImageServiceClient
	served time.Duration // from its start to its first good answer
}

func launch(words []string) (*server, error) {
	log, err := os.OpenFile(*output, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &server{cmd: exec.Command(words[0], words[1:]...), gone: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if *crashes != "" {
		s.cmd.Env = append(os.Environ(), "CRISP_CRASH="+*crashes)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.gone)
	}()
	return s, nil
}

var errEnded = errors.New("the server ended")

// waitServing returns once a List is answered; errEnded when the process ends before that.
func (s *server) waitServing(begin time.Time) error {
	for end := begin.Add(startPatience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		select {
		case <-s.gone:
			return errEnded
		default:
		}
		probe, err := net.Dial("unix", *socket)
		if err != nil {
			continue
		}
		probe.Close()
		if s.conn == nil {
			// A socket of the server before may have taken the probe: such a connection is lost and dialled again.
			s.conn, err = grpc.NewClient("unix://"+*socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			s.rt, s.im = cri.NewRuntimeServiceClient(s.conn), cri.NewImageServiceClient(s.conn)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err = s.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
		cancel()
		if err == nil {
			s.served = time.Since(begin)
			return nil
		}
		if status.Code(err) != codes.Unavailable && status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("ListPodSandbox: %w", err)
		}
		s.conn.ResetConnectBackoff()
	}
	return errors.New("the server does not serve")
}

func startServer(words []string) (*server, error) {
	begin := time.Now()
	s, err := launch(words)
	if err != nil {
		return nil, err
	}
	return s, s.waitServing(begin)
}

func (s *server) running() bool {
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

func (s *server) waitGone(patience time.Duration) bool {
	select {
	case <-s.gone:
		return true
	case <-time.After(patience):
		return false
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.gone
	s.close()
}

func (s *server) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *server) stop() error {
	s.cmd.Process.Signal(os.Interrupt)
	if !s.waitGone(startPatience) {
		return errors.New("the server does not stop")
	}
	s.close()
	return nil
}

func within(patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}
