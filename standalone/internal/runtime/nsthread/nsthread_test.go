package nsthread

import (
	"errors"
	"os"
	"sync"
	"testing"
)

func link(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestNobodyIsLeftBehind has many threads in other namespaces at once; afterwards the process is where it was, the main
// thread, which /proc/self shows, included.
func TestNobodyIsLeftBehind(t *testing.T) {
	before := link(t, "/proc/self/ns/net")
	made, err := Create(Which{Net: true, UTS: true, IPC: true}, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := made.Do(func() error {
				if got, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || got == before {
					return errors.New("the thread is not in the new namespace: " + got)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if got := link(t, "/proc/thread-self/ns/net"); got != before {
				t.Errorf("a goroutine is in %s, not in %s", got, before)
			}
		})
	}
	wg.Wait()
	if got := link(t, "/proc/self/ns/net"); got != before {
		t.Errorf("the main thread is in %s, not in %s", got, before)
	}
}

func TestErrorsComeBack(t *testing.T) {
	want := errors.New("no")
	if err := (Namespaces{}).Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	if _, err := Create(Which{Net: true}, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	if _, err := OfProcess(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := (Namespaces{Net: file}).Do(func() error { return nil }); err == nil {
		t.Error("a file that is no namespace was entered")
	}
}
