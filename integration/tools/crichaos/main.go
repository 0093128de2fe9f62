// crichaos starts a CRI server, ends it by SIGKILL where it hurts, and looks whether anything that was answered is lost,
// anything is there twice, or anything is left behind. Inside integration/enter:
//
//	crichaos -server "crispd-crash --config F" -socket S -image I sweep [-full] [RPC...]
//	crichaos -server "crispd --config F" -socket S -image I churn [-kills N | -minutes M]
//
// sweep finds every crash point (base/crash.h) that an RPC passes by tracing it once; then, for each point, it makes the
// call again with that point armed, starts the server anew, repeats the same request, and takes a census. A point that an
// RPC passes several times is taken at its first and last pass; at every pass with -full, and once over all RPCs with
// -once. -points FILE wants every name in that file to be passed by one of the RPCs.
//
// churn has workers make, start, exec into, stop and remove pods and containers, each call repeated until it is answered,
// as a kubelet does. With -kills the server is killed that often at random moments; with -minutes it is not, and the slopes
// of its memory, descriptors, threads and disk are told, which fail beyond a bound.
//
// The last line of output is "N ..., N failures"; the exit status is 1 unless that is 0.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

var (
	command  = flag.String("server", "", "the server's command line")
	socket   = flag.String("socket", "/run/crisp/crisp.sock", "where it listens")
	image    = flag.String("image", "", "an image with a shell, which is there")
	spare    = flag.String("spare", "", "sweep: another image, to be pulled and removed")
	parent   = flag.String("parent", "/crisp-it", "the cgroup parent of pods")
	logs     = flag.String("logs", "", "folder for the containers' logs")
	output   = flag.String("output", os.DevNull, "file that gets the server's log")
	crashes  = flag.String("crashes", "", "sweep: an empty folder for CRISP_CRASH")
	full     = flag.Bool("full", false, "sweep: every pass of every point")
	once     = flag.Bool("once", false, "sweep: every point once, whichever RPC passes it")
	points   = flag.String("points", "", "sweep: file with the names of all points there are")
	kills    = flag.Int("kills", 0, "churn: end the server so often")
	minutes  = flag.Float64("minutes", 0, "churn: how long, without kills")
	workers  = flag.Int("workers", 8, "churn: how many")
	seed     = flag.Int64("seed", 1, "churn: of the random moments")
	growRSS  = flag.Float64("grow-rss", 1024, "churn: KiB that memory may grow by in the time measured")
	growFds  = flag.Float64("grow-fds", 8, "churn: the same of descriptors")
	growThr  = flag.Float64("grow-threads", 8, "churn: the same of threads")
	growDisk = flag.Float64("grow-disk", 1024, "churn: the same of KiB on disk")
)

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "crichaos: "+format+"\n", args...)
	os.Exit(2)
}

func main() {
	flag.Parse()
	if *command == "" || *image == "" || *logs == "" || flag.NArg() == 0 {
		fail("usage: crichaos -server COMMAND -image IMAGE -logs FOLDER [OPTION...] sweep|churn")
	}
	mode := flag.Arg(0)
	// options may follow the mode
	if err := flag.CommandLine.Parse(flag.Args()[1:]); err != nil {
		fail("%v", err)
	}
	words := strings.Fields(*command)
	failures := 0
	switch mode {
	case "sweep":
		failures = sweepAll(words, flag.Args())
	case "churn":
		failures = churn(words)
	default:
		fail("no mode %q", mode)
	}
	if failures > 0 {
		os.Exit(1)
	}
}
