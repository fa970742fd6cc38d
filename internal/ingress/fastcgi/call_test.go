package fastcgi

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/fcgi"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/switchyard-net/switchyard/internal/ingress/message"
)

// dialGo connects to Go's FastCGI server with a handler.
func dialGo(t *testing.T, h http.HandlerFunc) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { _ = fcgi.Serve(l, h) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func params(pairs ...string) []Param {
	var out []Param
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, Param{pairs[i], []byte(pairs[i+1])})
	}
	return out
}

// readAll reads the body of a response.
func readAll(c *Call) (string, error) {
	var all []byte
	for {
		p, err := c.Read()
		if errors.Is(err, io.EOF) {
			return string(all), nil
		}
		if err != nil {
			return string(all), err
		}
		all = append(all, p...)
	}
}

func TestCall(t *testing.T) {
	sent := make([]byte, 300<<10)
	_, _ = rand.Read(sent)
	long := strings.Repeat("x", 70<<10) // more than a record
	c := New(dialGo(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprint(r.Method, " ", r.Host, r.URL.RequestURI(), " ", len(r.Header.Get("X-Long")), " ", bytes.Equal(body, sent)))
		w.WriteHeader(201)
		_, _ = w.Write(body)
	}))
	err := c.Begin(params("REQUEST_METHOD", "PUT", "SERVER_PROTOCOL", "HTTP/1.1", "HTTP_HOST", "a.test", "REQUEST_URI", "/x?y",
		"CONTENT_LENGTH", fmt.Sprint(len(sent)), "HTTP_X_LONG", long))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Write(sent)
		_ = c.End()
	}()
	r, err := c.Response(1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Header.Get("x-got")); r.Status != 201 || got != fmt.Sprint("PUT a.test/x?y ", len(long), " ", true) {
		t.Errorf("%d %q", r.Status, got)
	}
	if body, err := readAll(c); body != string(sent) || err != nil || !c.Ended() {
		t.Errorf("%d bytes came back of %d: %v", len(body), len(sent), err)
	}
}

// rec is a record of a backend.
func rec(kind byte, content string, padding int) string {
	return string([]byte{1, kind, 0, 1, byte(len(content) >> 8), byte(len(content)), byte(padding), 0}) + content + strings.Repeat("p", padding)
}

const ended = "\x00\x00\x00\x00\x00\x00\x00\x00"

// answer has a backend answer with bytes, n at a time, and returns what becomes of it.
func answer(t *testing.T, bytes string, n int) (*message.Response, string, error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		for b := bytes; b != ""; {
			piece := b[:min(n, len(b))]
			if _, err := io.WriteString(theirs, piece); err != nil {
				return
			}
			b = b[len(piece):]
		}
	}()
	c := New(ours)
	r, err := c.Response(100)
	if err != nil {
		return nil, c.Messages(), err
	}
	body, err := readAll(c)
	return r, body + c.Messages(), err
}

func TestResponses(t *testing.T) {
	tests := map[string]struct {
		bytes  string
		status int
		body   string // with messages
		fails  bool
	}{
		"plain":                {rec(6, "Content-Type: a/b\r\n\r\nhello", 3) + rec(6, "", 0) + rec(3, ended, 0), 200, "hello", false},
		"bare LF":              {rec(6, "X: y\n\nhello", 0) + rec(3, ended, 0), 200, "hello", false},
		"status":               {rec(6, "Status: 404 Not Found\r\n\r\n", 0) + rec(3, ended, 0), 404, "", false},
		"redirect":             {rec(6, "Location: /x\r\n\r\n", 0) + rec(3, ended, 0), 302, "", false},
		"in pieces":            {rec(6, "Stat", 1) + rec(7, "oops", 5) + rec(6, "us: 201\r\n\r", 0) + rec(6, "\nhe", 0) + rec(6, "llo", 0) + rec(3, ended, 0), 201, "hellooops", false},
		"length":               {rec(6, "Content-Length: 5\r\n\r\nhello", 0) + rec(3, ended, 0), 200, "hello", false},
		"too short":            {rec(6, "Content-Length: 6\r\n\r\nhello", 0) + rec(3, ended, 0), 200, "hello", true},
		"too long":             {rec(6, "Content-Length: 4\r\n\r\nhello", 0) + rec(3, ended, 0), 200, "", true},
		"cut off":              {rec(6, "X: y\r\n\r\nhello", 0), 200, "hello", true},
		"cut off in the head":  {rec(6, "X: y\r\n", 0), 0, "", true},
		"no head":              {rec(6, "", 0) + rec(3, ended, 0), 0, "", true},
		"an empty head":        {rec(6, "\r\n", 0) + rec(3, ended, 0), 0, "", true},
		"a head too long":      {rec(6, "X: "+strings.Repeat("y", 200), 0), 0, "", true},
		"no colon":             {rec(6, "X\r\n\r\n", 0), 0, "", true},
		"a bad name":           {rec(6, "X y: z\r\n\r\n", 0), 0, "", true},
		"a bad value":          {rec(6, "X: y\rz\r\n\r\n", 0), 0, "", true},
		"a bad status":         {rec(6, "Status: 99\r\n\r\n", 0), 0, "", true},
		"an interim status":    {rec(6, "Status: 100\r\n\r\n", 0), 0, "", true},
		"a bad length":         {rec(6, "Content-Length: +1\r\n\r\n", 0), 0, "", true},
		"two lengths":          {rec(6, "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0), 0, "", true},
		"refused":              {rec(3, "\x00\x00\x00\x00\x02\x00\x00\x00", 0), 0, "", true},
		"an end that is short": {rec(3, "\x00", 0), 0, "", true},
		"another version":      {"\x02" + rec(6, "X: y\r\n\r\n", 0)[1:], 0, "", true},
		"another request":      {"\x01\x06\x00\x02" + rec(6, "X: y\r\n\r\n", 0)[4:], 0, "", true},
		"another type":         {rec(10, "", 0), 0, "", true},
	}
	for name, tt := range tests {
		for _, n := range []int{1, 7, 1 << 20} {
			r, body, err := answer(t, tt.bytes, n)
			status := 0
			if r != nil {
				status = r.Status
			}
			if status != tt.status || (err != nil) != tt.fails || !tt.fails && body != tt.body {
				t.Errorf("%s by %d: %d %q %v", name, n, status, body, err)
			}
		}
	}
}

func TestHopByHop(t *testing.T) {
	r, _, err := answer(t, rec(6, "Transfer-Encoding: chunked\r\nConnection: close\r\nX: y\r\n\r\n", 0)+rec(3, ended, 0), 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message.Header{{Name: []byte("X"), Value: []byte("y")}}, r.Header); diff != "" {
		t.Error(diff)
	}
}

// FuzzResponse answers with anything: it is a good response or an error, however it is cut.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(rec(6, "Status: 201 x\r\nX: y\r\n\r\nhello", 3) + rec(7, "oops", 1) + rec(3, ended, 0)))
	f.Add([]byte(rec(6, "Content-Length: 5\n\nhello", 0) + rec(3, ended, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, body, err := answer(t, string(b), len(b)+1)
		again, pieces, errPieces := answer(t, string(b), 3)
		if (err == nil) != (errPieces == nil) || err == nil && (r.Status != again.Status || body != pieces) {
			t.Errorf("%v %q %v, but in pieces %v %q %v", r, body, err, again, pieces, errPieces)
		}
		if err != nil {
			return
		}
		for _, field := range r.Header {
			if !goodName(field.Name) || !goodValue(field.Value) {
				t.Errorf("field %q: %q", field.Name, field.Value)
			}
		}
		if r.Status < 200 || r.Status > 999 {
			t.Errorf("status %d", r.Status)
		}
	})
}
