package guesttest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/switchyard-net/switchyard/internal/lab/guest"
)

// subjectVariable names the subject that TestSubject is, in the processes that the tests of this package start: what it
// says about failures cannot be tried in a process that is to pass.
const subjectVariable = "GUESTTEST_SUBJECT"

// patience is how long something may take that must happen.
const patience = 2 * time.Minute

// subjects are tests to be run in a guest.
func subjects() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"outcomes": outcomes,
		"panics":   func(t *testing.T) { t.Run("part", func(*testing.T) { panic("for a reason") }) },
		"exits":    func(t *testing.T) { t.Run("part", func(*testing.T) { unix.Exit(0) }) },
		"stops": func(t *testing.T) {
			t.Run("part", func(t *testing.T) {
				t.Log("so far")
				if err := unix.Kill(os.Getpid(), unix.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			})
		},
		"crashes": func(t *testing.T) {
			if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
				t.Fatal(err)
			}
			select {}
		},
		"waits": func(*testing.T) { select {} },
	}
}

// outcomes has a subtest of each kind.
func outcomes(t *testing.T) {
	t.Log("from the test")
	t.Run("passes", func(t *testing.T) { t.Log("a line\nand another") })
	t.Run("has a/slash and spaces", func(t *testing.T) {
		fmt.Print("no end of line")
		t.Run("in it", func(t *testing.T) { t.Error("this fails") })
	})
	t.Run("skips", func(t *testing.T) { t.Skip("for lack of time") })
	t.Run("group", func(t *testing.T) {
		for i := range 2 {
			t.Run("same", func(t *testing.T) {
				t.Parallel()
				t.Logf("number %d", i)
			})
		}
	})
}

// TestSubject is what the other tests run in processes of their own. By itself it is nothing.
func TestSubject(t *testing.T) {
	name := os.Getenv(subjectVariable)
	limit := longest
	switch name {
	case "":
		return
	case "stops":
		limit = 20 * time.Second
	}
	run(t, guest.Machine{}, limit, subjects()[name])
}

// subject returns the command of a process that runs a subject, whose temporary files are in a directory of the test's.
func subject(ctx context.Context, t *testing.T, name string, flags ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-test.run=^TestSubject$", "-test.v", "-test.timeout=3m"}, flags...)...)
	cmd.Env = append(os.Environ(), subjectVariable+"="+name, "TMPDIR="+t.TempDir())
	return cmd
}

// TestOutcomes compares what the test binary says of a test in the guest with what it says of any other.
func TestOutcomes(t *testing.T) {
	out, err := subject(t.Context(), t, "outcomes").CombinedOutput()
	if err == nil {
		t.Errorf("the process succeeded")
	}
	var verdicts []string
	for _, match := range regexp.MustCompile(`--- (\w+): TestSubject(\S*) `).FindAllStringSubmatch(string(out), -1) {
		verdicts = append(verdicts, match[1]+" "+match[2])
	}
	want := []string{
		"FAIL ", "PASS /passes", "FAIL /has_a/slash_and_spaces", "FAIL /has_a/slash_and_spaces/in_it", "SKIP /skips",
		"PASS /group", "PASS /group/same", "PASS /group/same#01",
	}
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s\n%s", diff, out)
	}
	for _, word := range []string{"from the test", "a line\n", "and another", "no end of line", "this fails", "for lack of time", "number 0", "number 1"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("%q is missing in\n%s", word, out)
		}
	}
}

// TestOneSubtest asks for one subtest, as a person would who looks for a failure.
func TestOneSubtest(t *testing.T) {
	out, err := subject(t.Context(), t, "outcomes", "-test.run=^TestSubject$/^group$/01").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "number 1") || strings.Contains(string(out), "number 0") {
		t.Errorf("%v; want number 1 alone in\n%s", err, out)
	}
}

// TestPattern shows which subtests are asked for in the guest.
func TestPattern(t *testing.T) {
	for _, c := range []struct{ name, asked, want string }{
		{"TestA", "", "^TestA$"},
		{"TestA", "TestA", "^TestA$"},
		{"TestA", "A/b/c", "^TestA$/b/c"},
		{"TestA/b.c", "TestA/b", `^TestA$/^b\.c$`},
		{"TestA/b.c", "TestA//d", `^TestA$/^b\.c$/d`},
		{"TestA", "TestA/b|TestB", "^TestA$/b"},
		{"TestA", "TestA/b|A/c", "^TestA$/b|^TestA$/c"},
		{"TestA", "TestA/b|A", "^TestA$"},
		{"TestA", "TestA/(b|c/d)/[/|]x", "^TestA$/(b|c/d)/[/|]x"},
		{"TestA", `TestA/b\|c`, `^TestA$/b\|c`},
	} {
		if got := pattern(c.name, c.asked); got != c.want {
			t.Errorf("pattern(%q, %q) = %q; want %q", c.name, c.asked, got, c.want)
		}
	}
}

// TestEnds runs tests that end in other ways than by returning.
func TestEnds(t *testing.T) {
	for name, want := range map[string][]string{
		"panics":  {"--- FAIL: TestSubject/part", "panic: for a reason"},
		"exits":   {"--- FAIL: TestSubject/part", "did not end in the guest"},
		"stops":   {"--- FAIL: TestSubject/part", "so far", "it has not ended after 20s"},
		"crashes": {"--- FAIL: TestSubject", "its kernel has ended", "sysrq triggered crash"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := subject(t.Context(), t, name).CombinedOutput()
			if err == nil {
				t.Error("the process succeeded")
			}
			for _, word := range want {
				if !strings.Contains(string(out), word) {
					t.Errorf("%q is missing in\n%s", word, out)
				}
			}
		})
	}
}

// TestNothingSurvives kills a process whose guest is running: the guest ends, and the next one removes what it left.
func TestNothingSurvives(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := subject(ctx, t, "waits")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	temporary := strings.TrimPrefix(cmd.Env[len(cmd.Env)-1], "TMPDIR=")
	started := func() bool { return len(glob(t, temporary, "*/job-1/pid")) > 0 }
	await(t, "the guest to run the test", started)
	shared := filepath.Dir(filepath.Dir(glob(t, temporary, "*/job-1/pid")[0]))
	if processes(t, shared) == 0 {
		t.Error("no process of the guest is found while it runs")
	}
	cancel()
	_ = cmd.Wait()
	await(t, "the guest to end", func() bool { return processes(t, shared) == 0 })
	t.Setenv("TMPDIR", temporary)
	g, err := guest.Boot(t.Context(), guest.Machine{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left := glob(t, temporary, "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// await polls a condition.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

func glob(t *testing.T, directory, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(directory, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// processes returns how many processes have a word in their arguments.
func processes(t *testing.T, word string) int {
	t.Helper()
	count := 0
	for _, path := range glob(t, "/proc", "[0-9]*/cmdline") {
		// One that has ended meanwhile has no arguments.
		arguments, _ := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if pid != os.Getpid() && strings.Contains(string(arguments), word) {
			count++
		}
	}
	return count
}
