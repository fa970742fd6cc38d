package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/switchyard-net/switchyard/bench/report"
)

// changeCount is how many changes are made under load.
const changeCount = 200

// changes measures how long changes take to be in force, and how many requests fail meanwhile.
func (r *results) changes(ctx context.Context, s *system, ingresses int) error {
	fmt.Fprintf(os.Stderr, "%d Ingresses, %d changes under load: %s\n", ingresses, changeCount, s.name)
	loading := exec.CommandContext(ctx, "taskset", "-c", otherCore, "h2load", "--h1", "-t1", "-c", strconv.Itoa(connections),
		"--rps", "50", "-n", "40000", "-H", ":authority: "+hostOf(ingresses/2), "http://"+s.http.String()+"/")
	var out bytes.Buffer
	loading.Stdout, loading.Stderr = &out, &out
	if err := loading.Start(); err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	for i := range changeCount {
		what := []string{"ingress", "slice"}[i%2]
		// Every other change is one of the host that is asked for.
		n := ingresses / 2
		if i%4 >= 2 {
			n = i % ingresses
		}
		c, err := change(ctx, s, what, n)
		if err != nil {
			return err
		}
		took[what] = append(took[what], c.Seen)
		time.Sleep(40 * time.Millisecond)
	}
	if err := loading.Wait(); err != nil {
		return fmt.Errorf("h2load: %w: %s", err, out.Bytes())
	}
	ok, err := find(out.Bytes(), `(\d+) 2xx`)
	if err != nil {
		return err
	}
	done, err := find(out.Bytes(), `(\d+) done`)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%d changes under load", changeCount)
	r.add(s.name, ingresses, name, "failed requests", "", float64(done-ok))
	for _, what := range []string{"ingress", "slice"} {
		r.add(s.name, ingresses, "change of an "+what, "to traffic, p99", "ms", report.Percentile(took[what], 99).Seconds()*1e3)
	}
	return nil
}

func change(ctx context.Context, s *system, what string, n int) (c changed, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/%s?n=%d", s.ask, what, n), nil)
	if err != nil {
		return c, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return c, err
	}
	if response.StatusCode != http.StatusOK {
		return c, fmt.Errorf("change %s %d: %s", what, n, text)
	}
	return c, json.Unmarshal(text, &c)
}
