package echo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Answer is what the server says to one request; the JSON form is sent to clients that accept application/json.
type Answer struct {
	Identity
	Client  string `json:"client"`  // the address that the request came from
	Request string `json:"request"` // the request line, or the text sent over TCP or UDP
	Host    string `json:"host,omitempty"`
}

// handler serves the answers on every path but the six it keeps: /healthz (200 while the process lives), /readyz (200
// or 503), /ready (POST with ok=true or ok=false sets what /readyz says), /pod (the pod's name and nothing else), /ws (WebSocket) and the health check of gRPC.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", s.readyz)
	mux.HandleFunc("POST /ready", s.setReady)
	mux.HandleFunc("/pod", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.config.Identity.Pod) })
	mux.HandleFunc("/ws", s.websocket)
	mux.HandleFunc(grpcHealth, s.grpcCheck)
	mux.HandleFunc("/", s.answer)
	return s.closeWhenDraining(mux)
}

// closeWhenDraining makes clients that keep connections alive open new ones, which go to other pods, before Shutdown
// has to close theirs.
func (s *Server) closeWhenDraining(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.Ready() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) setReady(w http.ResponseWriter, r *http.Request) {
	ok, err := strconv.ParseBool(r.FormValue("ok"))
	if err != nil {
		http.Error(w, `parameter "ok" must be true or false`, http.StatusBadRequest)
		return
	}
	s.unready.Store(!ok)
	s.log.Info("readiness set", "ready", ok, "by", r.RemoteAddr)
	fmt.Fprintf(w, "%s ready=%t\n", s.config.Identity.Pod, ok)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	answer := Answer{
		Identity: s.config.Identity,
		Client:   r.RemoteAddr,
		Request:  r.Method + " " + r.URL.RequestURI(),
		Host:     r.Host,
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		// The client may be gone; there is nobody left to tell.
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	fmt.Fprintf(w, "pod:     %s\nnode:    %s\nip:      %s\nclient:  %s\nrequest: %s\nhost:    %s\n",
		answer.Pod, answer.Node, answer.IP, answer.Client, answer.Request, answer.Host)
}
