package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// census is all that a server may leave behind: how often each line is there. integration/lib/census.sh takes the same at the
// end of a whole file; this one is quick enough to be taken after every crash.
type census map[string]int

// What stays by design: the address allocator's own files; locks; the warm-up's bridge is there before.
var stays = regexp.MustCompile(`/(last_reserved_ip\.\d+|lock|xtables\.lock)$`)

func (c census) files(root string) {
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path != root && !stays.MatchString(path) {
			c["file "+path]++
		}
		return nil
	})
}

// descendants of ours that are not the server's work: this process and whom it runs for the census.
func (c census) processes() {
	entries, _ := os.ReadDir("/proc")
	self := os.Getpid()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == self {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		line := string(text)
		open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
		if open < 0 || end < open {
			continue
		}
		if name := line[open+1 : end]; name != "bash" && !strings.HasPrefix(name, "bats") {
			c["process "+name]++
		}
	}
}

func (c census) mounts() {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 4 {
			c["mount "+fields[4]]++
		}
	}
}

func (c census) links() {
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		c["link "+i.Name]++
	}
}

func (c census) cgroups() {
	filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			c["cgroup "+path]++
		}
		return nil
	})
}

func (c census) firewall() {
	for _, table := range []string{"filter", "nat"} {
		text, _ := exec.Command("iptables", "-t", table, "-S").Output()
		for _, line := range strings.Split(string(text), "\n") {
			c["iptables "+table+" "+line]++
		}
	}
}

func takeCensus(root string) census {
	c := census{}
	c.firewall()
	c.processes()
	c.mounts()
	c.links()
	c.cgroups()
	for _, folder := range []string{root, "/run/crisp", "/run/netns", "/var/lib/cni"} {
		c.files(folder)
	}
	return c
}

// against tells what is here and was not there (+), and the other way round (-).
func (c census) against(before census) []string {
	var lines []string
	for line, n := range c {
		if n > before[line] {
			lines = append(lines, "+ "+line)
		}
	}
	for line, n := range before {
		if n > c[line] {
			lines = append(lines, "- "+line)
		}
	}
	sort.Strings(lines)
	return lines
}

// settled is the census once it stays the same for a while: a start leaves some to the background.
func settled(root string) census {
	for last := takeCensus(root); ; {
		time.Sleep(quiet)
		this := takeCensus(root)
		if len(this.against(last)) == 0 {
			return this
		}
		last = this
	}
}

// clean waits until the census is as before: what removal leaves to the background may take a moment.
func clean(root string, before census, patience time.Duration) error {
	var lines []string
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if lines = takeCensus(root).against(before); len(lines) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("left behind:\n    %s", strings.Join(lines, "\n    "))
		}
	}
}
