package echo

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// idleTimeout closes a TCP connection that sends nothing.
const idleTimeout = 5 * time.Minute

// maxDatagram is the longest UDP request that is read whole.
const maxDatagram = 64 << 10

// line is the answer over TCP and UDP, where a person reads it in a terminal: one line for one line.
func (s *Server) line(client net.Addr, text string) string {
	id := s.config.Identity
	return fmt.Sprintf("pod=%s node=%s ip=%s client=%s %q\n", id.Pod, id.Node, id.IP, client, strings.TrimSpace(text))
}

// serveTCP answers every line of every connection until the listener is closed.
func (s *Server) serveTCP(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", listener.Addr(), err)
		}
		go s.serveConn(conn)
	}
}

func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for {
		if conn.SetReadDeadline(time.Now().Add(idleTimeout)) != nil || !lines.Scan() {
			return
		}
		if _, err := conn.Write([]byte(s.line(conn.RemoteAddr(), lines.Text()))); err != nil {
			return
		}
	}
}

// serveUDP answers every datagram until the socket is closed.
func (s *Server) serveUDP(conn net.PacketConn) error {
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from %s: %w", conn.LocalAddr(), err)
		}
		if _, err := conn.WriteTo([]byte(s.line(client, string(buffer[:n]))), client); err != nil {
			s.log.Debug("answer not sent", "client", client, "error", err)
		}
	}
}
