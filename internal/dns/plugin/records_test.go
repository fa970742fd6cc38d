package plugin

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/switchyard-net/switchyard/internal/dns/zone"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestRecords asks the questions of each file of testdata/records over UDP and TCP. A file begins with a Corefile; after
// it, a line that begins with "# " is the name of a test, and one with "> " a question; what follows is the answer.
func TestRecords(t *testing.T) {
	files, err := filepath.Glob("testdata/records/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { checkFile(t, file) })
	}
}

func checkFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	corefile, rest, _ := strings.Cut(string(text), "\n# ")
	c := newCluster().readFile(t, "testdata/cluster.yaml")
	s := start(t, testDeps(c.synced(t, zone.Config{PodNames: true})), corefile)
	out := corefile
	for group := range strings.SplitSeq(rest, "\n# ") {
		name, questions, _ := strings.Cut(group, "\n")
		out += "\n# " + name + "\n"
		t.Run(name, func(t *testing.T) {
			for _, block := range strings.Split(questions, "> ")[1:] {
				out += checkQuestion(t, s, block)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkQuestion asks the question in the first line of block, compares with the rest, and returns what the block should
// be.
func checkQuestion(t *testing.T, s *server, block string) string {
	t.Helper()
	question, want, _ := strings.Cut(block, "\n")
	name, kind, _ := strings.Cut(question, " ")
	var got string
	for _, network := range []string{"udp", "tcp"} {
		m := s.ask(t, network, name, dns.StringToType[kind], func(m *dns.Msg) { m.SetEdns0(4096, false) })
		if m.Question[0].Name != name {
			t.Errorf("asked for %s, the answer says %s", name, m.Question[0].Name)
		}
		got = show(m)
		if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" && !*update {
			t.Errorf("%s over %s (-want +got):\n%s", question, network, diff)
		}
	}
	return "> " + question + "\n" + got
}
