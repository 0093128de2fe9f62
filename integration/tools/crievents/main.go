// crievents subscribes to GetContainerEvents many times over, makes pods for the subscribers to hear of, and says who heard
// what:
//
//	crievents -e SOCKET -readers 90 -stalled 10 -pods 250 -config POD.json
//
// POD.json is a PodSandboxConfig (protobuf JSON) whose name and uid are varied. Each pod is run, stopped and removed: four
// events. A reader fails unless it gets all four of every pod in order, with the pod's status; a stalled one does not read
// before all readers have finished, and must then find either the same events or a stream that was ended with
// RESOURCE_EXHAUSTED. The last line of output is a JSON object; the exit status is 1 when somebody missed something.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	endpoint = flag.String("e", "/run/crisp/crisp.sock", "unix socket of the server")
	readers  = flag.Int("readers", 90, "subscribers that read")
	stalled  = flag.Int("stalled", 10, "subscribers that do not")
	pods     = flag.Int("pods", 25, "pods to be made")
	parallel = flag.Int("parallel", 4, "of them at once")
	config   = flag.String("config", "", "file with a PodSandboxConfig")
	timeout  = flag.Duration("t", 2*time.Minute, "for everything")
)

const perPod = 4

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "crievents: "+format+"\n", args...)
	os.Exit(2)
}

func dial() cri.RuntimeServiceClient {
	conn, err := grpc.NewClient("unix://"+*endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail("%v", err)
	}
	return cri.NewRuntimeServiceClient(conn)
}

type stream = grpc.ServerStreamingClient[cri.ContainerEventResponse]

// subscribe returns when the server has answered with its headers: from then on nothing may be missed.
func subscribe(ctx context.Context) stream {
	events, err := dial().GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		fail("GetContainerEvents: %v", err)
	}
	if _, err = events.Header(); err != nil {
		fail("GetContainerEvents: %v", err)
	}
	return events
}

// listener is what one subscriber has heard.
type listener struct {
	next  map[string]cri.ContainerEventType // by pod: what must come next
	count int
	order string // digest of the sequence
	last  int64
}

func (l *listener) hear(event *cri.ContainerEventResponse) error {
	name := event.GetPodSandboxStatus().GetMetadata().GetName()
	if name == "" {
		return fmt.Errorf("an event of %s without the pod's status", event.ContainerId)
	}
	if event.ContainerEventType != l.next[name] {
		return fmt.Errorf("%s: %v, %v expected", name, event.ContainerEventType, l.next[name])
	}
	if event.CreatedAt <= l.last {
		return fmt.Errorf("%s: %v is not later than the event before", name, event.ContainerEventType)
	}
	l.next[name]++
	l.last = event.CreatedAt
	l.count++
	sum := sha256.Sum256([]byte(l.order + event.ContainerId + event.ContainerEventType.String()))
	l.order = string(sum[:])
	return nil
}

// listen reads until all is heard or the stream ends.
func listen(events stream) (*listener, error) {
	heard := &listener{next: map[string]cri.ContainerEventType{}}
	for heard.count < perPod**pods {
		event, err := events.Recv()
		if err != nil {
			return heard, err
		}
		if err := heard.hear(event); err != nil {
			return heard, err
		}
	}
	return heard, nil
}

func readConfig() *cri.PodSandboxConfig {
	data, err := os.ReadFile(*config)
	if err != nil {
		fail("%v", err)
	}
	pod := &cri.PodSandboxConfig{}
	if err := protojson.Unmarshal(data, pod); err != nil {
		fail("%s: %v", *config, err)
	}
	return pod
}

func churn(ctx context.Context, client cri.RuntimeServiceClient, number int) error {
	pod := readConfig()
	pod.Metadata.Name = fmt.Sprintf("%s-%d", pod.Metadata.Name, number)
	pod.Metadata.Uid = pod.Metadata.Name
	made, err := client.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pod})
	if err != nil {
		return err
	}
	if _, err := client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: made.PodSandboxId}); err != nil {
		return err
	}
	_, err = client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: made.PodSandboxId})
	return err
}

// makePods returns when all of them have come and gone.
func makePods(ctx context.Context) {
	numbers := make(chan int)
	var workers sync.WaitGroup
	client := dial()
	for i := 0; i < *parallel; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := range numbers {
				if err := churn(ctx, client, number); err != nil {
					fail("pod %d: %v", number, err)
				}
			}
		}()
	}
	for i := 0; i < *pods; i++ {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
}

type result struct {
	Events   int     `json:"events"`
	Complete int     `json:"complete"` // readers that heard everything
	Same     bool    `json:"same"`     // in the same order
	Stalled  int     `json:"stalled"`  // stalled ones that found everything all the same
	CutOff   int     `json:"cut_off"`  // stalled ones that were told RESOURCE_EXHAUSTED
	Text     string  `json:"text"`     // what they were told
	Seconds  float64 `json:"seconds"`  // for the pods
}

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	var reading, idle []stream
	for i := 0; i < *readers; i++ {
		reading = append(reading, subscribe(ctx))
	}
	for i := 0; i < *stalled; i++ {
		idle = append(idle, subscribe(ctx))
	}
	answers := make(chan *listener, *readers)
	for _, events := range reading {
		go func() {
			heard, err := listen(events)
			if err != nil {
				fmt.Fprintf(os.Stderr, "a reader, after %d events: %v\n", heard.count, err)
				heard = nil
			}
			answers <- heard
		}()
	}
	sum := result{Events: perPod * *pods, Same: true}
	began := time.Now()
	makePods(ctx)
	sum.Seconds = time.Since(began).Seconds()
	var first *listener
	for range reading {
		heard := <-answers
		if heard == nil {
			continue
		}
		if first == nil {
			first = heard
		}
		sum.Complete++
		sum.Same = sum.Same && heard.order == first.order
	}
	for _, events := range idle {
		heard, err := listen(events)
		switch {
		case err == nil && heard.order == first.order:
			sum.Stalled++
		case status.Code(err) == codes.ResourceExhausted:
			sum.CutOff++
			sum.Text = status.Convert(err).Message()
		default:
			fmt.Fprintf(os.Stderr, "a stalled one, after %d events: %v\n", heard.count, err)
		}
	}
	line, _ := json.Marshal(sum)
	fmt.Println(string(line))
	if sum.Complete != *readers || !sum.Same || sum.Stalled+sum.CutOff != *stalled {
		os.Exit(1)
	}
}
